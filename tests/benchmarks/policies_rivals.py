"""Who is tried: the candidate with its one setting, and for each rival a grid to find its best setting in hindsight."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import product
from math import isnan

import sim
from policies.catalog import PolicySpec
from policies.fcfs import FcfsSpec
from policies.fixed import FixedSpec
from policies.hpa import HpaSpec
from policies.hpa_metrics import UtilizationMetric
from policies.kpa import KpaSpec
from policies.mpc import MpcSpec
from policies.ray_serve import RayServeSpec
from policies.square_root import SquareRootSpec
from sim.scenario import Control, Scenario

CANDIDATE = "mpc"
NEAR = 6
"""Fixed pools are tried with so many replicas more and fewer than the objective needs."""
RARELY_S = 3600.0
EXACT = ("fcfs", "fixed")
"""Rivals of few settings."""

Specs = dict[str, PolicySpec]
"""Setting -> policy; the name of a setting begins with its rival's."""


def candidate(scenario: Scenario) -> PolicySpec:
    """The same for all loads: it is told the objective and how often it is asked, and nothing else."""
    slo = scenario.slo
    assert slo is not None
    return MpcSpec(response_s=slo.response_s, quantile=slo.quantile, reaction_s=scenario.control.tick_s)


def hpa(_: Scenario) -> Specs:
    """Utilization target and stabilization window."""
    grid = product((0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), (60.0, 300.0, 900.0, 3600.0))
    return {
        f"hpa {100 * u:.0f} % {s:g} s": HpaSpec(metrics=(UtilizationMetric(target=u),), stabilization_s=s)
        for u, s in grid
    }


def kpa(_: Scenario) -> Specs:
    """Share of the concurrency target and stable window."""
    grid = product((20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 95.0), (60.0, 300.0, 900.0, 3600.0))
    return {
        f"kpa {u:g} % {s:g} s": KpaSpec(metric="concurrency", target_utilization_percentage=u, stable_window_s=s)
        for u, s in grid
    }


def ray_serve(_: Scenario) -> Specs:
    """Ongoing requests aimed at, and both delays."""
    delays_s = ((0.0, 60.0), (0.0, 600.0), (30.0, 600.0), (0.0, 3600.0))
    grid = product((0.3, 0.45, 0.6, 0.8, 1.0, 1.5, 2.0), delays_s)
    return {
        f"ray_serve {n:g} +{up:g} s -{down:g} s": RayServeSpec(
            target_ongoing_requests=n, upscale_delay_s=up, downscale_delay_s=down
        )
        for n, (up, down) in grid
    }


def square_root(_: Scenario) -> Specs:
    """Safety and window."""
    grid = product((0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0), (60.0, 300.0, 900.0, 3600.0))
    return {f"square_root {b:g} {s:g} s": SquareRootSpec(beta=b, window_s=s) for b, s in grid}


def fcfs(scenario: Scenario) -> Specs:
    """Quantile that is sized for, as far as services alone allow it."""
    assert scenario.slo is not None
    response_s, misses = scenario.slo.response_s, 1 - scenario.slo.quantile
    shares = (round(1 - factor * misses, 4) for factor in (4.0, 2.0, 1.0, 0.5, 0.2))
    found = {f"fcfs {100 * q:g} %": FcfsSpec(response_s=response_s, quantile=q) for q in shares if q > 0}
    return {name: spec for name, spec in found.items() if _buildable(spec, scenario)}


def _buildable(spec: FcfsSpec, scenario: Scenario) -> bool:
    with suppress(ValueError):
        spec.build(scenario.pools)
        return True
    return False


def fixed(scenario: Scenario) -> Specs:
    """The number of replicas; of several pools the numbers that serve best together for what they cost."""
    pools = scenario.pools
    if len(pools) > 1:
        return {f"fixed {'-'.join(map(str, n.values()))}": FixedSpec(replicas=n) for n in _together(scenario)}
    ((name, pool),) = pools.items()
    fewest = _fewest(scenario, name, pool.at_most)
    near = range(max(1, fewest - NEAR), min(pool.at_most, fewest + NEAR) + 1)
    return {f"fixed {n}": FixedSpec(replicas={name: n}) for n in near}


def _fewest(scenario: Scenario, pool: str, at_most: int) -> int:
    """The least number that meets the objective in two replications; `at_most` where none does."""
    assert scenario.slo is not None
    asked = scenario.slo.quantile
    return bisect_left(range(at_most), True, lo=1, key=lambda n: _attained(scenario, {pool: n})[pool] >= asked)


def _attained(scenario: Scenario, counts: dict[str, int]) -> dict[str, float]:
    """Pool -> share of its requests in time; 1 where it had none."""
    # What never changes need not be looked at often.
    rarely = replace(scenario, policy=FixedSpec(replicas=counts), control=Control(tick_s=RARELY_S, scrape_s=RARELY_S))
    found = sim.simulate(rarely, replications=2).figures.by_version
    shares = {name: group.slo_attainment for name, group in found.items()}
    return {name: 1.0 if e is None or isnan(e.value) else e.value for name, e in shares.items()}


def _together(scenario: Scenario) -> Iterator[dict[str, int]]:
    """Counts of several pools, from the cheapest on, each the best for some price of a late request.

    Pools that requests are recorded for do not share queues, so each pool's misses follow from its own count.
    """
    late = _late(scenario)
    before: dict[str, int] = {}
    for price in (1e-4 * 1.6**k for k in range(40)):
        counts = {pool: min(late[pool], key=lambda n, pool=pool: n + price * late[pool][n]) for pool in late}  # type: ignore[misc]
        if counts != before:
            yield counts
        before = counts


def _late(scenario: Scenario) -> dict[str, dict[int, float]]:
    """Pool -> its count -> requests that come to it and miss their objective."""
    late: dict[str, dict[int, float]] = {name: {} for name in scenario.pools}
    arrived = {
        name: group.requests.arrived
        for name, group in sim.simulate(scenario, replications=1).figures.by_version.items()
    }
    for n in range(min(pool.at_most for pool in scenario.pools.values()) + 1):
        for name, share in _attained(scenario, dict.fromkeys(late, n)).items():
            late[name][n] = arrived[name] * (1 - share)
    return late


RIVALS: Mapping[str, Callable[[Scenario], Specs]] = {
    "hpa": hpa,
    "kpa": kpa,
    "ray_serve": ray_serve,
    "square_root": square_root,
    "fcfs": fcfs,
    "fixed": fixed,
}


def grid(scenario: Scenario, one_in: int) -> dict[str, Specs]:
    """Rival -> its settings, one in so many of them; of fcfs and fixed all."""
    found = {rival: settings(scenario) for rival, settings in RIVALS.items()}
    return {rival: dict(list(specs.items())[:: 1 if rival in EXACT else one_in]) for rival, specs in found.items()}
