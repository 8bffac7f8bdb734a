"""How far the candidate is from the exact optimum of a small system, whose load swings between two rates.

There the candidate is given a price for each second that a request is in the system, in place of an objective; like the
optimum it pays for servers that start, unlike it it does not see the phase.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optimum import Switching

import sim
from policies.mpc import MpcSpec
from sim.intervals import Estimate
from sim.mmpp import Mmpp, RateState
from sim.scenario import Control, Model, Replicas, RequestClass, Scenario, Version
from sim.service import Exponential

TICK_S = 0.5
"""Half a mean service time."""
AIM = 0.08
REPLICATIONS = 8
HORIZON_S, QUICK_S = 10_000.0, 1_500.0
LEARNT = 0.1
"""Not measured is this share of the horizon, in which the candidate has seen too little of the load."""
Floats = NDArray[np.float64]

NAMES = ("start-up of 5 service times", "start-up of 50 service times")

ANCHORS: Mapping[str, Switching] = {
    name: Switching(rates=(1.0, 8.0), leave=(0.01, 0.03), service_rate=1.0, setup_rate=rate, servers=14)
    for name, rate in zip(NAMES, (0.2, 0.02), strict=True)
}


KNOWN = {"the optimum": 12.3030982737, "9 servers always on": 12.7268119206}
"""Of the second anchor, by relative value iteration in another program; the first has the same fixed pool."""


def solved() -> str:
    """Whether the solver finds what is known, in words."""
    anchor = ANCHORS[NAMES[1]]
    found = {"the optimum": anchor.least_cost()[0], "9 servers always on": anchor.fixed_cost(9)}
    wrong = [
        f"{what} is {found[what]:.10g}, known is {KNOWN[what]:.10g}" for what in KNOWN if not _is_near(found, what)
    ]
    return f"[red]no[/]   the solver is wrong: {'; '.join(wrong)}" if wrong else "[green]yes[/]  the solver is right"


def _is_near(found: Mapping[str, float], what: str) -> bool:
    return abs(found[what] - KNOWN[what]) <= 1e-8 * KNOWN[what]


@dataclass(frozen=True, slots=True)
class Gap:
    """What the candidate pays in the mean, and the least that can be paid."""

    anchor: str
    cost: Estimate
    least: float
    fixed: float
    """The best fixed pool."""

    @property
    def share(self) -> Estimate:
        """By how much the candidate is dearer."""
        e = self.cost
        return Estimate(e.value / self.least - 1, e.low / self.least - 1, e.high / self.least - 1, e.batches)

    def __str__(self) -> str:
        gap, is_near = self.share, self.share.value <= AIM
        words = f"{self.anchor}: mpc costs {self.cost.value:.4g}, the optimum {self.least:.5g}, the best fixed pool "
        words += f"{self.fixed:.5g}: {gap.value:+.1%} [{gap.low:+.1%}, {gap.high:+.1%}] of the optimum; aim {AIM:+.0%}"
        return f"[green]yes[/]  {words}" if is_near else f"[red]no[/]   {words}"

    def plain(self) -> dict[str, Any]:
        e = self.cost
        return {"anchor": self.anchor, "cost": [e.value, e.low, e.high], "optimum": self.least, "fixed": self.fixed}


def gap(name: str, jobs: int, *, quick: bool) -> Gap:
    """Simulate the candidate on an anchor, and solve it."""
    anchor = ANCHORS[name]
    scenario = scenario_of(anchor, QUICK_S if quick else HORIZON_S)
    costs, arrivals = simulated(anchor, scenario, jobs)
    fixed = min(
        anchor.fixed_cost(n) for n in range(1, anchor.servers + 1) if n * anchor.service_rate > anchor.mean_rate
    )
    return Gap(name, mean_at(costs, arrivals, anchor.mean_rate), anchor.least_cost()[0], fixed)


def scenario_of(anchor: Switching, horizon_s: float) -> Scenario:
    """The same system, its unit of time a second, seen at once."""
    states = tuple(
        RateState(rate_per_s=rate, mean_sojourn_s=1 / leave)
        for rate, leave in zip(anchor.rates, anchor.leave, strict=True)
    )
    version = Version(
        name="v1",
        service=Exponential(mean_s=1 / anchor.service_rate),
        startup=Exponential(mean_s=1 / anchor.setup_rate),
        replicas=Replicas(initial=9, at_least=0, at_most=anchor.servers),
    )
    return Scenario(
        name="anchor",
        horizon_s=horizon_s,
        replications=REPLICATIONS,
        control=Control(tick_s=TICK_S, scrape_s=TICK_S, lag_s=0.0, loss=0.0),
        models=(Model(name="model", versions=(version,)),),
        traffic=(RequestClass(name="requests", model="model", arrivals=Mmpp(states=states)),),
        policy=MpcSpec(holding_cost=anchor.holding_cost / anchor.server_cost, reaction_s=TICK_S),
    )


def simulated(anchor: Switching, scenario: Scenario, jobs: int) -> tuple[Floats, Floats]:
    """Mean cost and arrivals per second of each replication, once the candidate has seen the load for a while.

    Costs are of replicas from start to gone, and of requests as they are at ticks.
    """
    rows = sim.simulate(scenario, jobs=jobs).pools
    rows = rows[rows["time_s"] >= LEARNT * scenario.horizon_s]
    here = rows["requests_queued"] + rows["requests_in_service"]
    by_run = rows.assign(here=here).groupby("replication")
    totals = by_run[["time_s", "replica_s_total", "requests_arrived_total"]]
    grown = totals.last() - totals.first()
    rates = grown.div(grown["time_s"], axis=0)
    costs = anchor.server_cost * rates["replica_s_total"] + anchor.holding_cost * by_run["here"].mean()
    return np.asarray(costs, dtype=np.float64), np.asarray(rates["requests_arrived_total"], dtype=np.float64)


def mean_at(costs: Floats, arrivals: Floats, arrival_rate: float) -> Estimate:
    """The mean cost at the true arrival rate, with its 95 % interval: costs go with arrivals, whose mean is known.

    The regression estimator with arrivals as control variate (Lavenberg and Welch 1981); three replications or more.
    """
    from scipy.special import stdtrit

    n, off = len(costs), arrivals - arrivals.mean()
    slope = float(off @ costs / (off @ off))
    residuals = costs - costs.mean() - slope * off
    mean = float(costs.mean() + slope * (arrival_rate - arrivals.mean()))
    spread = np.sqrt(residuals @ residuals / (n - 2) * (1 / n + (arrival_rate - arrivals.mean()) ** 2 / (off @ off)))
    half = float(stdtrit(n - 2, 0.975) * spread)
    return Estimate(mean, mean - half, mean + half, n)
