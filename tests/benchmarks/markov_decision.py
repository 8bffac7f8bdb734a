"""A Markov decision policy against model predictive control: what was tried, on the same requests.

    python tests/benchmarks/markov_decision.py                             all of it, an hour and more
    python tests/benchmarks/markov_decision.py --only mmpp50 --seeds 2     some loads, with fewer replications

Prints a line for each policy and load. It gains on bursts whose law can be learnt soon, and costs more
than model predictive control where the load drifts.
"""

import argparse
import sys
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import numpy as np
from markov_levels import Chain, Counted, Prior
from markov_model import Costs, Model, Worth
from numpy.typing import NDArray
from policies_anchors import ANCHORS, LEARNT, NAMES, mean_at, scenario_of
from policies_bench import TRACES
from policies_loads import USUAL, loads

from policies.decision import Reason
from policies.mpc import Mpc, MpcSpec, PoolMpc, _here, _ready
from policies.mpc_rollout import LatePrice, Situation
from policies.observation import PoolReading
from policies.pool import Pools, PoolTraits
from sim.cluster import Keep
from sim.mmpp import Mmpp
from sim.pieces import MEASURES, pieces_of, whole_run
from sim.scenario import Scenario
from sim.windows import Scopes, Windows
from sim.world import World

REMEMBERED = 4096
"""Bins of the load."""
FIRST, EVERY = 16, 512
"""It is learnt anew at every so many bins, and before when there are twice as many as the first so many."""
SHOWN = ("slo_attainment", "replica_hours", "reversals_per_pool_hour")
CASES = ("anchor5", "anchor50", "mmpp50", "mmpp500", "azure30", "azure120", "azure300")
Truth = tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]
SUPPOSED = Prior()
PRICES = 1.35
"""Prices of a late request are told apart by this factor."""


@dataclass(frozen=True, kw_only=True)
class MarkovSpec:
    """A Markov decision model of the pool: what is supposed of the load, or its true law."""

    mpc: MpcSpec
    """Objective, and what both do alike: price of a late request, evidence before a pool shrinks, bad readings."""
    prior: Prior = SUPPOSED
    learns: bool = True
    learns_levels: bool = True
    truth: Truth | None = None
    """Loads in slots, and rates per second between them."""
    step_services: float = 2.0
    together: bool | None = None
    stay_leads: float = 0.05
    """A change must promise to save each replica that changes for so many start-up times."""
    margin: float = 0.3
    """Levels reach so far, as a share, below and above what was seen as a mean over a start-up time."""
    kind: str = "markov"

    def build(self, pools: Pools) -> Mpc:
        return Markov(self.mpc, {name: PoolMarkov(self, pool) for name, pool in pools.items()})


class Markov(Mpc):
    """As model predictive control, but for how many replicas cost least."""

    def _plan(self, now_s: float, outdated: Sequence[tuple[PoolMpc, PoolReading]]) -> None:
        for pool, reading in outdated:
            assert isinstance(pool, PoolMarkov)
            pool.keep(now_s, reading, pool.planned(now_s, reading))


class PoolMarkov(PoolMpc):
    """What is known of one pool, and its model."""

    def __init__(self, spec: MarkovSpec, traits: PoolTraits) -> None:
        super().__init__(spec.mpc, traits)
        self._markov = spec
        service_s = traits.service_s or 1.0
        self._step_s = min(self._lead_s / 5, spec.step_services * service_s)
        self._counted = Counted(self._step_s, REMEMBERED)
        self._services = self._step_s / service_s
        self._service_s = service_s
        self._chain = self._supposed(0.02, traits.at_most * traits.slots / 2)
        self._belief = np.full(len(self._chain.levels), 1 / len(self._chain.levels))
        self._worths: dict[int, Worth] = {}

    def _supposed(self, least: float, greatest: float) -> Chain:
        if self._markov.truth is None:
            return self._markov.prior.chain(least, greatest, self._lead_s / self._step_s)
        from scipy.linalg import expm

        levels, moves = self._markov.truth
        return Chain(levels=np.array(levels), chances=expm(np.array(moves) * self._step_s))

    def see(self, now_s: float, reading: PoolReading) -> None:
        arrived = reading.total.arrived_total
        if reading.age_s is not None and arrived is not None:
            closed = self._counted.see(now_s - reading.age_s, arrived)
            if any(_is_due(self._counted.closed_total - k) for k in range(closed)) and self._markov.truth is None:
                self._learn()
            elif closed:
                self._believe(self._counted.closed[-closed:])
        super().see(now_s, reading)

    def _learn(self) -> None:
        counts = np.array(self._counted.closed)
        # The least and the most that a mean over a start-up time was.
        wide = max(1, min(len(counts), round(self._lead_s / self._step_s)))
        means = np.convolve(counts, np.full(wide, 1 / wide), "valid") / self._services
        spec = self._markov
        greatest = min((1 + spec.margin) * float(means.max()) + 1.0, self._traits.at_most * self._traits.slots)
        chain = self._supposed(max(0.02, (1 - spec.margin) * float(means.min()) - 1.0), greatest)
        if spec.learns:
            chain = spec.prior.learnt(
                chain, counts, self._services, self._lead_s / self._step_s, levels=spec.learns_levels
            )
        self._chain = chain
        self._worths.clear()
        self._belief = np.full(len(chain.levels), 1 / len(chain.levels))
        self._believe(self._counted.closed[-256:])

    def _believe(self, counts: Sequence[float]) -> None:
        for likely in self._chain.likelihood(np.array(counts), self._services):
            self._belief = _normal((self._belief @ self._chain.chances) * likely)

    def _now(self) -> NDArray[np.float64]:
        """Belief now, the bin that is open counted in."""
        part = self._counted.open_s / self._step_s
        moved = (1 - part) * self._belief + part * (self._belief @ self._chain.chances)
        if not part:
            return moved
        services = self._services * part
        return _normal(moved * self._chain.likelihood(np.array([self._counted.open_count]), services)[0])

    def planned(self, now_s: float, reading: PoolReading) -> Reason:
        wanted, belief = reading.wanted or 0, self._now()
        factor, costs = self._costs(now_s, reading)
        if factor not in self._worths:
            self._worths[factor] = self._model(costs).worth
        worth = self._worths[factor]
        ahead = worth.costs(belief, _ready(reading), _here(reading))
        best = int(worth.model.replicas[int(ahead.argmin())])
        level = float(belief @ self._chain.levels)
        stay = float(np.interp(wanted, worth.model.replicas, ahead))
        if stay - ahead.min() < self._markov.stay_leads * self._lead_s * abs(best - wanted):
            best = wanted
        return Reason(best, f"load of {level:.3g} slots, {_here(reading):.0f} requests here")

    def _situation(self, _now_s: float, reading: PoolReading) -> Situation:
        """Without paths: all that is asked of it is the price."""
        none = np.zeros((1, 1), np.float32)
        scv = 1.0 if self._traits.service_scv is None else self._traits.service_scv
        return Situation(
            offered=none,
            weights=none[0],
            level=self.load.level,
            in_system=_here(reading),
            queued=0.0,
            waited_s=0.0,
            ready=none[0],
            lead=1,
            readied=None,
            step_s=self._step_s,
            slots=self._traits.slots,
            # What is seen, not stated: whose service alone takes too long depends much on it.
            service_s=self._seen.service_s or self._service_s,
            service_scv=scv,
        )

    def _costs(self, now_s: float, reading: PoolReading) -> tuple[int, Costs]:
        """The price, one of a series, and which."""
        price = self._price(self._situation(now_s, reading))
        if not isinstance(price, LatePrice):
            return 0, Costs(holding=price.replica_s)
        number = round(log(price.replica_s) / log(PRICES))
        return number, Costs(late=PRICES**number, response_s=price.response_s)

    def _model(self, costs: Costs) -> Model:
        traits, chain = self._traits, self._chain
        top = float(chain.levels[-1])
        most = min(traits.at_most, int((1.1 * top + 2.5 * top**0.5 + 1) / traits.slots) + 1)
        together = self._readied is None if self._markov.together is None else self._markov.together
        return Model(
            levels=chain.levels,
            moves=chain.moves(self._step_s),
            costs=costs,
            service_s=self._service_s,
            service_scv=1.0 if traits.service_scv is None else traits.service_scv,
            slots=traits.slots,
            lead_s=self._lead_s if together else traits.startup_s,
            step_s=self._step_s,
            together=together,
            at_least=traits.at_least,
            most=most,
        )


def _is_due(bins: int) -> bool:
    """Whether the load is learnt anew."""
    return bins % EVERY == 0 or (FIRST <= bins < EVERY and bins.bit_count() == 1)


def _normal(belief: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(belief / belief.sum())


def _with_policy(scenario: Scenario, spec: Any) -> Scenario:
    """The same scenario under a policy that the catalogue does not know, which a checked copy would not take."""
    found = copy(scenario)
    object.__setattr__(found, "policy", spec)
    return found


def _load_run(scenario: Scenario, spec: Any, number: int) -> tuple[float, ...]:
    """Attainment, replica-hours and reversals an hour of a replication."""
    scenario = _with_policy(scenario, spec)
    world = World(scenario, number, keep=Keep(0.0, lambda _: None))
    windows = Windows(scenario.horizon_s, Scopes(scenario).masks[:1], 0.0)
    while world.env.now < scenario.horizon_s:
        world.run_through(windows.next_s())
        windows.take(world.cluster.harvest(), world.env.now)
    piece = whole_run(pieces_of(scenario, windows.found, world.cluster.present(), world.rows()), 0.0)
    return tuple(MEASURES[m].of(piece) for m in SHOWN)


def _anchor_run(scenario: Scenario, spec: Any, number: int) -> tuple[float, ...]:
    """Mean cost and arrivals per second of a replication, measured as those of model predictive control are."""
    world = World(_with_policy(scenario, spec), number, keep=Keep(0.0, lambda _: None))
    world.run_through(scenario.horizon_s)
    (rows,) = world.rows().values()
    names = ("time_s", "replica_s_total", "requests_arrived_total", "requests_queued", "requests_in_service")
    time_s, paid, arrived, queued, served = (np.asarray(rows.column(n), dtype=np.float64) for n in names)
    since = int(np.searchsorted(time_s, LEARNT * scenario.horizon_s))
    span_s = time_s[-1] - time_s[since]
    cost = (paid[-1] - paid[since]) / span_s + float((queued + served)[since:].mean())
    return cost, (arrived[-1] - arrived[since]) / span_s


def variants(mpc: MpcSpec, scenario: Scenario) -> dict[str, Any]:
    """Both policies, and the second with more and with less knowledge of the load."""
    found: dict[str, Any] = {"mpc": mpc, "markov": MarkovSpec(mpc=mpc)}
    found["markov, prior only"] = MarkovSpec(mpc=mpc, learns=False)
    arrivals = scenario.traffic[0].arrivals
    if isinstance(arrivals, Mmpp):
        found["markov, true chain"] = MarkovSpec(mpc=mpc, truth=_truth(arrivals, scenario))
    return found


def _truth(arrivals: Mmpp, scenario: Scenario) -> Truth:
    service_s = scenario.models[0].versions[0].service.mean_s
    one, other = arrivals.states
    leave, back = 1 / one.mean_sojourn_s, 1 / other.mean_sojourn_s
    return (one.rate_per_s * service_s, other.rate_per_s * service_s), ((-leave, leave), (back, -back))


def _anchor(number: int, chosen: argparse.Namespace) -> None:
    anchor = ANCHORS[NAMES[number]]
    scenario = scenario_of(anchor, chosen.anchor_s)
    least = anchor.least_cost()[0]
    print(f"\n{NAMES[number]}, {chosen.seeds} runs of {scenario.horizon_s:g} s: the optimum {least:.4f}", flush=True)
    assert isinstance(scenario.policy, MpcSpec)
    for name, spec in _asked(variants(scenario.policy, scenario), chosen):
        began_s = monotonic()
        runs = np.array([_anchor_run(scenario, spec, n) for n in range(chosen.seeds)])
        # With fewer than three runs there is nothing to regress on.
        cost = mean_at(runs[:, 0], runs[:, 1], anchor.mean_rate) if len(runs) > 2 else None
        words = f"at the true rate {cost.value:.3f} [{cost.low:.3f}, {cost.high:.3f}]" if cost else ""
        mean = float(runs[:, 0].mean())
        print(f"  {name:20} mean {mean:.3f}  {words}  {monotonic() - began_s:.0f} s", flush=True)


def _load(name: str, chosen: argparse.Namespace, folder: Path) -> None:
    (load,) = loads([name], chosen.traces, folder, replace(USUAL, mmpp_s=chosen.mmpp_s))
    if isinstance(load, str):
        print(load)
        return
    scenario, slo = load.scenario, load.slo
    print(f"\n{load.title}; {chosen.seeds} runs", flush=True)
    mpc = MpcSpec(response_s=slo.response_s, quantile=slo.quantile, reaction_s=scenario.control.tick_s)
    for title, spec in _asked(variants(mpc, scenario), chosen):
        began_s = monotonic()
        runs = np.array([_load_run(scenario, spec, n) for n in range(chosen.seeds)])
        in_time, hours, reversals = runs.mean(axis=0)
        print(
            f"  {title:20} in time {in_time:.2%}  replica-hours {hours:.2f}  reversals/h {reversals:.1f}"
            f"  {monotonic() - began_s:.0f} s",
            flush=True,
        )


def _asked(found: dict[str, Any], chosen: argparse.Namespace) -> list[tuple[str, Any]]:
    return [(name, spec) for name, spec in found.items() if not chosen.variants or name in chosen.variants.split(";")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and print it, each line as it is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CASES), metavar="LOAD,...", help=f"of {', '.join(CASES)}")
    parser.add_argument("--variants", metavar="NAME;...", help="of those that are printed")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each (3)")
    parser.add_argument("--anchor-s", type=float, default=10_000.0, metavar="S", help="length of a run of an anchor")
    parser.add_argument("--mmpp-s", type=float, default=50_000.0, metavar="S", help="length of a run of a burst load")
    parser.add_argument("--traces", type=Path, default=TRACES, metavar="DIR", help="where the traces are")
    chosen = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="poolwright-") as folder:
        for name in chosen.only.split(","):
            if name.startswith("anchor"):
                _anchor(CASES.index(name), chosen)
            else:
                _load(name, chosen, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
