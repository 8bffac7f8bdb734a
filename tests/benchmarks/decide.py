"""How long `decide` takes for 1,000 pools, of every policy that a file may name, against 100 ms a tick.

    python tests/benchmarks/decide.py                  all policies
    python tests/benchmarks/decide.py --only mpc kpa   some of them

Each is shown 48 ticks of a steady load, of which the last 8 count, then 4 in which every pool has four times the load
of the one before or a quarter of it. Of the ticks of a kind the quickest is what the policy takes, the slowest what
else the machine does.
Ends with 1 where a policy needs more than 100 ms of the steady load.
"""

import argparse
import gc
import sys
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any, get_args

import numpy as np
from pydantic import TypeAdapter

from policies.catalog import PolicySpec
from policies.histogram import Histogram
from policies.observation import Flow, Observation, PoolReading, ReplicaReading
from policies.pool import PoolTraits

POOLS = 1000
AIM_MS = 100.0
TICK_S = 15.0
SERVICE_S = 5.0
WARM, STEADY, CHANGED = 40, 8, 4
REPLICAS = 10
BOUNDS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
SHARES = np.array((0.18, 0.33, 0.63, 0.86, 0.98, 1.0, 1.0, 1.0))
WAIT_S, WAIT_SHARES = 0.37, np.array((0.88, 0.93, 0.99, 1.0, 1.0, 1.0, 1.0, 1.0))
"""About what M/M/10 with a load of 7 gives: other waits would be a surprise at each tick."""

INNER = {"kind": "target", "utilization": 0.7}
SETTINGS: dict[str, dict[str, Any]] = {
    "budget": {"policy": INNER, "cost_per_hour": 5e4},
    "cold_start": {"policy": INNER},
    "cooldown": {"policy": INNER},
    "fcfs": {"response_s": 20.0},
    "forecast": {"policy": INNER, "season_s": 300.0},
    "fresh": {"policy": INNER},
    "gq": {"response_s": 20.0},
    "hpa": {"metrics": [{"kind": "utilization", "target": 0.7}]},
    "keda": {"triggers": [{"kind": "total", "reading": "in_system", "average": 2}]},
    "kpa": {"target": 0.7},
    "maximum": {"policies": [INNER, {"kind": "fixed"}]},
    "mcq": {"classes": {"chat": {"wait_s": 10.0, "quantile": 0.95, "priority": 0}}},
    "mix": {"response_s": 20.0},
    "mpc": {"response_s": 20.0},
    "paused": {"policy": INNER},
    "rate_limited": {"policy": INNER, "shrink": {"percent": 10.0}},
    "ray_serve": {},
    "schedule": {"starts": "2026-11-23T00:00:00Z", "cron": [{"at": "0 7 * * *", "replicas": {"m0/v1": 4}}]},
    "square_root": {},
    "stabilized": {"policy": INNER},
    "step": {
        "period_s": 15.0,
        "scale_out": {"threshold": 0.7, "steps": [{"lower_bound": 0, "adjustment": 1}]},
        "scale_in": {"threshold": 0.4, "steps": [{"upper_bound": 0, "adjustment": -1}]},
    },
    "target": {"utilization": 0.7},
}
"""Where a policy needs more than its kind to be named."""
UNSEEN = frozenset({"clairvoyant"})
"""These need what only a simulation can show."""


LINE = "{:<14}{:>9}{:>9}{:>13}{:>9}  {}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the policies asked for and print a line of each as it is known."""
    kinds = _kinds()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=kinds, metavar="KIND", help=f"of {', '.join(kinds)}")
    print(f"decide for {POOLS:,} pools, ms a tick (aim: {AIM_MS:g})")
    print(LINE.format("policy", "steady", "slowest", "all changed", "slowest", "").rstrip())
    missed = False
    for kind in parser.parse_args(arguments).only or kinds:
        steady, changed = measured(kind)
        slow = min(steady) > AIM_MS
        missed |= slow
        verdict = "too slow" if slow else "slow when all changes" if min(changed) > AIM_MS else ""
        figures = (f"{ms:.1f}" for times in (steady, changed) for ms in (min(times), max(times)))
        print(LINE.format(kind, *figures, verdict).rstrip(), flush=True)
    return 1 if missed else 0


def _kinds() -> list[str]:
    specs = get_args(get_args(PolicySpec)[0])
    return [kind for spec in specs if (kind := spec.__dataclass_fields__["kind"].default) not in UNSEEN]


def measured(kind: str) -> tuple[list[float], list[float]]:
    """Milliseconds of ticks with a steady load, and of ticks in which everything has changed."""
    pools = {name: _traits(name) for name in _names()}
    spec: Any = TypeAdapter(PolicySpec).validate_python({"kind": kind} | SETTINGS.get(kind, {}))
    policy = spec.build(pools)
    times = []
    for observation in _seen():
        gc.collect()
        gc.disable()
        began_s = perf_counter()
        policy.decide(observation)
        times.append(1e3 * (perf_counter() - began_s))
        gc.enable()
    return times[WARM : WARM + STEADY], times[WARM + STEADY :]


def _names() -> list[str]:
    """Two versions of each model."""
    return [f"m{k // 2}/v{k % 2 + 1}" for k in range(POOLS)]


def _traits(name: str) -> PoolTraits:
    model, _, version = name.partition("/")
    return PoolTraits(
        name=name,
        model=model,
        version=version,
        at_least=1,
        at_most=100,
        startup_s=60.0,
        startup_p95_s=75.0,
        service_s=SERVICE_S,
        service_scv=1.0,
        cost_per_hour=1.0,
        quality=0.9,
    )


def _seen() -> Iterator[Observation]:
    """Every pool with Poisson arrivals of its own: a mean of 7 slots, and at the end 28 and 7 in turn."""
    random = np.random.default_rng(1)
    totals = np.zeros(POOLS)
    # Pools whose services are alike to the last bit would find each other's answers, as those of no fleet do.
    services_s = [float(s) for s in SERVICE_S * random.uniform(0.8, 1.2, POOLS)]
    for k in range(WARM + STEADY + CHANGED):
        slots = 28.0 if k >= WARM + STEADY and (k - WARM - STEADY) % 2 == 0 else 7.0
        totals += random.poisson(slots * TICK_S / SERVICE_S, POOLS)
        here = random.poisson(slots, POOLS)
        readings = (_reading(float(t), int(n), k, s) for t, n, s in zip(totals, here, services_s, strict=True))
        yield Observation(k * TICK_S, dict(zip(_names(), readings, strict=True)))


def _reading(total: float, here: int, tick: int, service_s: float) -> PoolReading:
    busy = min(here, REPLICAS)
    responses = Histogram(BOUNDS_S, tuple(float(n) for n in SHARES * total), service_s * total)
    waits = Histogram(BOUNDS_S, tuple(float(n) for n in WAIT_SHARES * total), WAIT_S * total)
    flow = Flow(
        queued=float(here - busy),
        in_service=float(busy),
        arrived_total=total,
        started_total=total,
        completed_total=total,
        failed_total=0.0,
        rejected_total=0.0,
        abandoned_total=0.0,
        busy_s_total=service_s * total,
        wait_s=waits,
        service_s=responses,
        response_s=responses,
    )
    each = tuple(
        ReplicaReading(name=f"r{i}", utilization=float(i < busy), started_s=-600.0, ready_since_s=-500.0)
        for i in range(REPLICAS)
    )
    return PoolReading(
        wanted=REPLICAS,
        starting=0,
        ready=REPLICAS,
        draining=0,
        age_s=2.0 if tick else 0.0,
        total=flow,
        classes={"chat": flow},
        replicas=each,
    )


if __name__ == "__main__":
    sys.exit(main())
