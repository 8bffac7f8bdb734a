"""The cheapest replica counts found for requests that are known beforehand, and a bound that none can be below.

A price for each miss turns the objective into a sum over pools: pool by pool, moves of one replica over some ticks are
made while they lower replica cost + price * misses, each judged by replaying the requests. The price is halved while
too few miss, then raised until few enough do, and misses left over go to whichever pool they save most in.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, inf

import numpy as np

from policies.clairvoyant import Clairvoyant, ClairvoyantSpec, Plan
from policies.policy import Policy
from sim.drafts import Counts, Draft
from sim.future import Demand, demands, foreseeable
from sim.scenario import Scenario
from sim.text import number, percent

SETTLED = 0.002
"""A round of moves that saves a smaller share than this is the last one at its price."""
ROUNDS = 12
"""At most so many times all moves are tried at one price of a miss."""
FIRST_MISS_S = 60.0
"""The price of a miss to begin with, in replica-seconds of the dearest pool."""
STEPS = 40
"""At most so many prices are tried on a way up or down."""
KICKS = (0.5, 0.3, 0.7)
"""After an end is found the search goes back to misses this much cheaper, and up again."""
TRIES = 6
"""So often a plan that misses too many under the start-up times that are drawn is made again with fewer allowed."""


@dataclass(frozen=True, eq=False, slots=True)
class Foresight:
    """Pool -> replicas from each tick on; what they cost, what no schedule can cost less than, and what they attain.

    Costs are in USD, or in replica-hours where no pool has a price. `attainment` is the share of the requests whose
    time is up by the end that were answered within it, of all pools together.
    """

    counts: Mapping[str, Counts]
    cost: float
    bound: float
    attainment: float
    unit: str

    def __str__(self) -> str:
        """What it is worth, in words: the least cost lies between the bound and what was found."""
        return (
            f"planned with foresight: {percent(self.attainment)} in time for {number(self.cost, 4)} {self.unit}; "
            f"no plan attains as much as asked for less than {number(self.bound, 4)}"
        )


def best_schedule(scenario: Scenario, replication: int = 0, attainment: float | None = None) -> Foresight:
    """The cheapest counts found with which the requests of this replication attain the objective.

    `attainment` takes the place of the policy's, which takes that of the SLO's quantile. Raises `ValueError` where
    there is no objective, where the scenario has what cannot be foreseen, or where no schedule attains it.
    """
    from sim.fluid import bound

    asked = objective(scenario) if attainment is None else attainment
    problem = Problem.of(scenario, replication, asked)
    found = searched(problem)
    exact = [draft.drawn() for draft in found]
    return Foresight(
        counts={draft.demand.pool.name: draft.every_tick() for draft in exact},
        cost=sum(p * draft.paid_s for p, draft in zip(problem.prices, exact, strict=True)),
        bound=bound(problem.demands, problem.prices, problem.tick_s, problem.horizon_s, problem.most_missed),
        attainment=problem.attained(exact),
        unit=problem.unit,
    )


def objective(scenario: Scenario) -> float:
    """The share of requests to answer in time. Raises `ValueError` where nothing says it."""
    policy = scenario.policy
    asked = policy.attainment if isinstance(policy, ClairvoyantSpec) else None
    if asked is None and scenario.slo is not None:
        asked = scenario.slo.quantile
    if asked is None:
        raise ValueError("policy clairvoyant has no objective; give the scenario an slo, or the policy an attainment")
    if all(np.isinf(scenario.target_s(c)) for c in scenario.traffic):
        raise ValueError("policy clairvoyant has no time to meet; give the scenario an slo, or a class a deadline_s")
    return asked


def check(scenario: Scenario) -> None:
    """Raises `ValueError` where the scenario's policy, which needs the future, cannot have it."""
    if not isinstance(scenario.policy, ClairvoyantSpec):
        raise ValueError(
            f"policy {scenario.policy.kind} holds policy clairvoyant, which plans for itself alone; name it without "
            f"{scenario.policy.kind} around it"
        )
    objective(scenario)
    foreseeable(scenario)


def foreseeing(scenario: Scenario, replication: int) -> Policy:
    """The scenario's clairvoyant policy with its plans for this replication.

    Raises `ValueError` as `check` does, and where no schedule attains the objective.
    """
    check(scenario)
    best = best_schedule(scenario, replication)
    plans = {
        name: Plan(
            tuple((scenario.control.tick_s * np.arange(len(counts))).tolist()),
            tuple(counts.tolist()),
            scenario.horizon_s,
        )
        for name, counts in best.counts.items()
    }
    return Clairvoyant(plans, str(best))


@dataclass(frozen=True, eq=False, slots=True)
class Problem:
    """What the search is given. `prices` are per replica-second and pool, in `unit`."""

    demands: Sequence[Demand]
    prices: Sequence[float]
    unit: str
    tick_s: float
    horizon_s: float
    asked: float

    @classmethod
    def of(cls, scenario: Scenario, replication: int, asked: float) -> "Problem":
        known = demands(scenario, replication)
        hourly = [demand.pool.cost_per_hour for demand in known]
        unit, hourly = ("USD", hourly) if any(hourly) else ("replica-hours", [1.0] * len(hourly))
        prices = [price / 3600 for price in hourly]
        return cls(known, prices, unit, scenario.control.tick_s, scenario.horizon_s, asked)

    @property
    def most_missed(self) -> int:
        """Of all requests so many may miss at most."""
        return self.allowed(0)

    def allowed(self, undecided: int) -> int:
        """Misses, where so many have their time not up at the end."""
        of = sum(int(demand.asked.sum()) for demand in self.demands) - undecided
        return floor((1 - self.asked) * of + 1e-9)

    def attained(self, drafts: Sequence[Draft]) -> float:
        of = sum(int(demand.asked.sum()) for demand in self.demands) - sum(draft.undecided for draft in drafts)
        return 1 - sum(draft.missed for draft in drafts) / of if of else 1.0

    def excess(self, drafts: Sequence[Draft]) -> int:
        """Misses beyond those that are allowed; below 0 what may still be spent."""
        return sum(draft.missed for draft in drafts) - self.allowed(sum(draft.undecided for draft in drafts))

    def cost(self, drafts: Sequence[Draft]) -> float:
        return sum(price * draft.paid_s for price, draft in zip(self.prices, drafts, strict=True))


def searched(problem: Problem) -> list[Draft]:
    """The best drafts found, with which enough are in time under the start-up times that will be drawn.

    Raises `ValueError` where there are none.
    """
    if sum(demand.doomed(problem.horizon_s) for demand in problem.demands) > problem.most_missed:
        raise ValueError(_out_of_reach(problem))
    tighter = 0
    for _ in range(TRIES):
        drafts = _search(problem, tighter)
        late = problem.excess([draft.drawn() for draft in drafts])
        if late <= 0:
            return drafts
        tighter += late
    raise ValueError(
        f"policy clairvoyant finds no schedule with {percent(problem.asked)} in time: start-up times are too uneven; "
        "give a lower attainment"
    )


def _search(problem: Problem, tighter: int) -> list[Draft]:
    """The cheapest drafts found that miss at most what is allowed, less `tighter`."""
    drafts = [Draft(demand, problem.tick_s, problem.horizon_s) for demand in problem.demands]
    price = FIRST_MISS_S * max(problem.prices)
    drafts = [_begun(draft, price / _positive(p)) for draft, p in zip(drafts, problem.prices, strict=True)]
    drafts, price = _descended(problem, drafts, price, tighter)
    best, price = _climbed(problem, drafts, price, tighter)
    for lower in KICKS:
        cheaper = [_settled(draft, lower * price / _positive(p)) for draft, p in _priced(problem, best)]
        again, _ = _climbed(problem, cheaper, lower * price, tighter)
        if problem.cost(again) < problem.cost(best):
            best = again
    return best


def _priced(problem: Problem, drafts: Sequence[Draft]) -> Iterator[tuple[Draft, float]]:
    return zip(drafts, problem.prices, strict=True)


def _positive(price: float) -> float:
    """A pool without a price is nearly free."""
    return max(price, 1e-9)


def _descended(problem: Problem, drafts: list[Draft], price: float, tighter: int) -> tuple[list[Draft], float]:
    """The first drafts, as misses become cheaper, that have too many; or the last where none do."""
    for _ in range(STEPS):
        drafts = [_settled(draft, price / _positive(p)) for draft, p in _priced(problem, drafts)]
        if problem.excess(drafts) + tighter > 0:
            break
        price /= 2
    return drafts, price


def _climbed(problem: Problem, drafts: list[Draft], price: float, tighter: int) -> tuple[list[Draft], float]:
    """The first drafts, as misses become dearer, that have few enough, the rest of those that are allowed well spent.

    Raises `ValueError` where there are none.
    """
    for _ in range(STEPS):
        late = problem.excess(drafts) + tighter
        if late <= 0:
            return _spent(problem, drafts, price, tighter), price
        price *= 1.2 if late < 0.3 * problem.most_missed else 2.0
        drafts = [_settled(draft, price / _positive(p)) for draft, p in _priced(problem, drafts)]
    raise ValueError(_out_of_reach(problem))


def _begun(draft: Draft, miss_s: float) -> Draft:
    """The best of the counts to begin from."""
    tried: list[tuple[float, int, Counts]] = []
    for counts in draft.starts():
        draft.set(counts)
        tried.append((draft.paid_s + miss_s * draft.missed, len(tried), draft.counts))
    draft.set(min(tried)[2])
    return draft


def _settled(draft: Draft, miss_s: float) -> Draft:
    """After all moves that are worth it at this price of a miss, in replica-seconds."""
    draft = draft.copy()
    worth = draft.paid_s + miss_s * draft.missed
    for _ in range(ROUNDS):
        before, made = worth, draft.improve(miss_s, inf)
        worth = draft.paid_s + miss_s * draft.missed
        if not made or worth > (1 - SETTLED) * before:
            break
    return draft


def _spent(problem: Problem, drafts: list[Draft], price: float, tighter: int) -> list[Draft]:
    """Misses that are left over go where they save most: those that save less come later."""
    for share in (1.0, 0.5, 0.25, 0.1, 0.03, 0.0):
        for i, p in enumerate(problem.prices):
            spare = -(problem.excess(drafts) + tighter)
            tried = drafts[i].copy()
            tried.improve(share * price / _positive(p), spare)
            after = [*drafts[:i], tried, *drafts[i + 1 :]]
            if problem.excess(after) + tighter <= 0 and problem.cost(after) < problem.cost(drafts):
                drafts = after
    return drafts


def _out_of_reach(problem: Problem) -> str:
    doomed = sum(demand.doomed(problem.horizon_s) for demand in problem.demands)
    return (
        f"policy clairvoyant finds no schedule with {percent(problem.asked)} in time; {problem.most_missed:,} requests "
        f"may miss, and {doomed:,} take longer than their objective in service alone; give a lower attainment, or a "
        "longer response_s"
    )
