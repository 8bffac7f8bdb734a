"""Model predictive control: the replicas whose expected cost over the next start-up times is least.

At each tick an ensemble of load paths is taken from what followed like situations in the pool's own past; on each path
the queue is followed as a fluid for several numbers of replicas; and the cheapest is chosen, where cost is replica-time
and a price for each request that comes too late. The price follows the objective: it rises while too many were late.
So a pool is shrunk only where what is saved outweighs what is risked until a replica could be back, keeps standing room
for bursts that come faster than replicas start, and counts on those that are starting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, sqrt
from typing import Literal

import numpy as np
from pydantic import model_validator
from pydantic.dataclasses import dataclass as checked

from policies.decision import Decision, Reason
from policies.mpc_load import LIBRARY, WINDOWS, LoadHistory, settle
from policies.mpc_rollout import HoldingPrice, LatePrice, Price, Situation, costs
from policies.mpc_seen import SCATTERED, SERVED, Seen
from policies.observation import Observation, PoolReading
from policies.policy import Readings
from policies.pool import Pools, PoolTraits
from policies.spec import STRICT, InnerFraction, Positive, PositiveSeconds

LEAD = 5
"""A start-up time, and a tick, are cut into so many steps."""
STEPS = 12
"""So many steps are looked ahead."""
SETTLED = 4
"""So many bins of load must be seen before anything is wished."""
EVIDENCE = 20
"""No shrinking before so many reaction times, and three start-up times, were seen."""
LEADS = 2
BETTER = 0.04
"""A change must promise to save this share of the cost."""
AIM = 0.65
"""Of the requests that may be late, this share is aimed at."""
TOGETHER = 0.6
"""How many are late at once where slots serve together."""
PATIENCE = 50.0
"""So many late requests more or less than aimed at are chance."""
FIRMNESS = 5.0
"""The price is in proportion to this power of the share of late requests over the share aimed at."""
LEAST_FACTOR, GREATEST_FACTOR = 1.0, 30.0
NEEDED = ("arrived_total", "queued", "in_service")
STALE = 5
"""No reading older than so many reaction times is acted on."""
AT_ONCE = 20
"""Of more pools than this only a part is planned anew at each tick, by turns, and those where much has changed."""


@checked(frozen=True, kw_only=True, config=STRICT)
class MpcSpec:
    """Choose the replicas of least expected cost over the next start-up times, learned from the pool's own past."""

    kind: Literal["mpc"] = "mpc"
    response_s: PositiveSeconds | None = None
    """A share `quantile` of the requests is answered within this time."""
    quantile: InnerFraction = 0.95
    holding_cost: Positive | None = None
    """In place of `response_s`: each second that a request is in the system costs so many replica-seconds."""
    reaction_s: PositiveSeconds = 15.0
    """Time from a change of the load to a decision on it, a tick and a scrape, which adds to start-up."""

    @model_validator(mode="after")
    def _one_objective(self) -> "MpcSpec":
        if (self.response_s is None) == (self.holding_cost is None):
            found = "neither" if self.response_s is None else "both"
            raise ValueError(f"needs exactly one of response_s, holding_cost; found {found}")
        return self

    def build(self, pools: Pools) -> "Mpc":
        return Mpc(self, {name: PoolMpc(self, pool) for name, pool in pools.items()})


@dataclass(slots=True)
class Plan:
    """The last wish for a pool, and what it was made of."""

    wish: Reason
    wanted: int
    ready: int
    in_system: float
    level: float
    arrived_total: float
    turn: int
    """Which horizon, counted from time 0, it was made in."""

    def asleep(self, reading: PoolReading, at_least: int, turn: int) -> bool:
        """Whether nobody is here or has come since, and there is nothing to stop either."""
        flow = reading.total
        nobody = not flow.queued and not flow.in_service and flow.arrived_total == self.arrived_total
        return nobody and self.wish.final == reading.wanted == at_least and turn == self.turn

    def holds(self, reading: PoolReading, level: float) -> bool:
        """Whether little has changed since: then it is as good as a new one."""
        here = _here(reading)
        still = reading.wanted == self.wanted and _ready(reading) == self.ready
        asked = here > 0 and not self.wanted
        # Two Poisson counts differ by four times the root of twice their mean once in ten thousand times.
        usual = abs(here - self.in_system) <= 4 * sqrt(2 * max(here, self.in_system, 1.0))
        return still and not asked and usual and abs(level - self.level) <= max(0.25 * self.level, 0.75 * sqrt(level))


@dataclass(frozen=True, slots=True)
class Problem:
    """A situation, and which numbers of replicas may be chosen in it."""

    at: Situation
    price: Price
    low: int
    high: int
    now: int
    """So many are wanted; within the bounds."""

    def coarse(self) -> list[int]:
        """A few numbers over all there are, and those next to the present one."""
        return sorted(
            {*range(max(self.low, self.now - 2), min(self.high, self.now + 2) + 1), *_between(self.low, self.high, 6)}
        )

    def fine(self, tried: Mapping[int, float]) -> list[int]:
        """The present number, and some around the cheapest, where there are any that were not tried."""
        choices = list(tried)
        best = choices.index(_least(tried))
        below, above = choices[max(best - 1, 0)], choices[min(best + 1, len(choices) - 1)]
        return sorted({self.now, *_between(below, above, 8)}) if above - below > 2 else []

    def chosen(self, tried: Mapping[int, float]) -> int:
        """The cheapest; the present number where that tried little more."""
        best = _least(tried)
        return self.now if tried[self.now] - tried[best] < BETTER * tried[best] else best

    def reason(self, best: int) -> Reason:
        at = self.at
        words = f"load of {at.level:.3g} slots, {at.in_system:.0f} requests here: {best} cost least"
        return Reason(best, f"{words} over the next {STEPS * at.step_s:.0f} s at {self.price}")


def cheapest(problems: Sequence[Problem]) -> list[int]:
    """The number of replicas to choose in each; what is chosen in one does not depend on the others."""
    found = _costs(problems, [problem.coarse() for problem in problems])
    finer = [problem.fine(tried) for problem, tried in zip(problems, found, strict=True)]
    again = [k for k, choices in enumerate(finer) if choices]
    for k, tried in zip(again, _costs([problems[k] for k in again], [finer[k] for k in again]), strict=True):
        found[k] = tried
    return [problem.chosen(tried) for problem, tried in zip(problems, found, strict=True)]


def _costs(problems: Sequence[Problem], choices: Sequence[list[int]]) -> list[dict[int, float]]:
    """Expected cost of each of the choices, in ascending order."""
    widest = max(map(len, choices), default=0)
    replicas = np.array([numbers + numbers[-1:] * (widest - len(numbers)) for numbers in choices])
    found = costs([problem.at for problem in problems], replicas, [problem.price for problem in problems])
    return [dict(zip(numbers, row, strict=False)) for numbers, row in zip(choices, found.tolist(), strict=True)]


def _least(costs_of: Mapping[int, float]) -> int:
    return min(costs_of, key=costs_of.__getitem__)


def _between(low: int, high: int, number: int) -> list[int]:
    """So many numbers, evenly between both and rounded."""
    return [round(low + (high - low) * k / (number - 1)) for k in range(number)]


class PoolMpc:
    """Model predictive control of one pool."""

    def __init__(self, spec: MpcSpec, traits: PoolTraits) -> None:
        self._spec, self._traits = spec, traits
        self._lead_s = traits.startup_s + spec.reaction_s
        self.load = LoadHistory(self._lead_s / LEAD, LEAD)
        scattered = traits.startup_p95_s >= SCATTERED * traits.startup_s > 0
        self._readied = 1 - exp(-self.load.bin_s / traits.startup_s) if scattered else None
        self._seen = Seen(traits, self.load, spec.response_s)
        self._plan: Plan | None = None
        self._unknown: str | None = None

    def see(self, now_s: float, reading: PoolReading) -> None:
        self._seen.see(now_s, reading)
        self._unknown = self._not_known(reading)

    def is_outdated(self, now_s: float, reading: PoolReading, due: bool) -> bool:
        """Whether it is to be planned anew: that is due or much has changed."""
        if self._unknown:
            return False
        if self._plan is None:
            return True
        if self._plan.asleep(reading, self._traits.at_least, self._turn(now_s)):
            return False
        return due or not self._plan.holds(reading, self.load.level)

    def problem(self, now_s: float, reading: PoolReading) -> Problem:
        """What is to be decided about the pool."""
        at = self._situation(now_s, reading)
        wanted = reading.wanted or 0
        # Who is here is served, however late.
        low = max(self._traits.at_least, min(1, ceil(at.in_system)))
        high = max(low, min(self._traits.at_most, max(at.greatest(), wanted)))
        return Problem(at, self._price(at), low, high, min(max(wanted, low), high))

    def keep(self, now_s: float, reading: PoolReading, wish: Reason) -> None:
        """Take that wish until it is outdated."""
        self._plan = Plan(
            wish=wish,
            wanted=reading.wanted or 0,
            ready=_ready(reading),
            in_system=_here(reading),
            level=self.load.level,
            arrived_total=reading.total.arrived_total or 0.0,
            turn=self._turn(now_s),
        )

    def wish(self, now_s: float, reading: PoolReading) -> Reason | str:
        """The wish for the pool, or why it keeps what it has."""
        if self._unknown or self._plan is None:
            return self._woken(reading, self._unknown or "nothing was planned yet")
        return self._held(self._plan.wish, now_s, reading.wanted or 0)

    def _turn(self, now_s: float) -> int:
        return int(now_s // (STEPS * self.load.bin_s))

    def _not_known(self, reading: PoolReading) -> str | None:
        """What must be known before anything is wished, and is not."""
        flow = reading.total
        if reading.wanted is None or reading.age_s is None:
            return "nothing was read yet"
        if reading.age_s > STALE * self._spec.reaction_s:
            return f"the last reading is {reading.age_s:.0f} s old"
        if flow.arrived_total is None or flow.queued is None or flow.in_service is None:
            return f"{next(name for name in NEEDED if getattr(flow, name) is None)} is not known"
        if not self._seen.service_s:
            return "no service time is known: none was seen and none is stated for the version"
        if len(self.load.offered) < SETTLED:
            return f"{len(self.load.offered)} of {SETTLED} intervals of {self.load.bin_s:.3g} s were seen"
        return None

    def _woken(self, reading: PoolReading, unknown: str) -> Reason | str:
        """One replica where none is wanted and somebody is here: without one nothing more would ever be known."""
        here = _here(reading)
        if reading.age_s is None or reading.wanted != 0 or not here:
            return unknown
        least = max(1, self._traits.at_least)
        return Reason(least, f"{here:.0f} requests here and nobody to serve them; {unknown}")

    def _situation(self, now_s: float, reading: PoolReading) -> Situation:
        paths, weights = self.load.paths(STEPS)
        flow = reading.total
        return Situation(
            offered=paths,
            weights=weights,
            level=self.load.level,
            in_system=_here(reading),
            queued=flow.queued or 0.0,
            waited_s=self._seen.waited_s(now_s, flow),
            ready=self._seen.coming(now_s, _ready(reading), STEPS),
            lead=LEAD,
            readied=self._readied,
            step_s=self.load.bin_s,
            slots=self._traits.slots,
            service_s=self._seen.service_s or 0.0,
            service_scv=1.0 if self._traits.service_scv is None else self._traits.service_scv,
        )

    def _price(self, at: Situation) -> Price:
        """What a late request costs.

        What serving it costs, over the share that may be late: at that price of one slot the best number of slots is
        the one of which the share is short (the newsvendor's rule). Where many slots serve together a shortage makes
        many late at once, in proportion to the root of their number.
        """
        if self._spec.response_s is None:
            return HoldingPrice(self._spec.holding_cost or 0.0)
        allowed = 1 - self._spec.quantile
        together = min(1.0, TOGETHER / sqrt(max(self.load.mean, 1e-9)))
        ended, late = self._seen.ended
        # No number of replicas helps those whose service alone takes too long.
        unavoidable = at.longer_than(self._spec.response_s)
        aimed = AIM * max(allowed - unavoidable, allowed / 10) * ended
        factor = ((max(late - unavoidable * ended, 0.0) + PATIENCE) / (aimed + PATIENCE)) ** FIRMNESS
        factor = min(max(factor, LEAST_FACTOR), GREATEST_FACTOR)
        return LatePrice(self._spec.response_s, at.service_s / allowed * together * factor / self._traits.slots)

    def _held(self, wish: Reason, now_s: float, wanted: int) -> Reason:
        """The wish, but no shrinking on little evidence."""
        seen_s = now_s - (now_s if self._seen.begin_s is None else self._seen.begin_s)
        if wish.wish < wanted and seen_s < max(EVIDENCE * self._spec.reaction_s, LEADS * self._lead_s):
            held = max(wish.wish, min(wanted, self._traits.at_most))
            return wish.limited("evidence", held, f"only {seen_s:.0f} s were seen")
        return wish


def _ready(reading: PoolReading) -> int:
    """Replicas that are ready; as many as are wanted where only that is known."""
    return (reading.wanted or 0) if reading.ready is None else reading.ready


def _here(reading: PoolReading) -> float:
    """Requests queued and in service."""
    return (reading.total.queued or 0.0) + (reading.total.in_service or 0.0)


@dataclass(slots=True)
class Mpc:
    spec: MpcSpec
    pools: dict[str, PoolMpc]
    readings: Readings = Readings(
        needed=frozenset(NEEDED),
        assumed={
            "busy_s_total": "the service time stated for the version",
            "started_total": "the service time stated for the version",
            "completed_total": "the service time stated for the version",
            "response_s": "the price of a late request as at the beginning",
            "ready": "as many replicas ready as are wanted",
            "starting": "no replicas starting",
        },
    )

    @property
    def memory_s(self) -> float:
        bins = LIBRARY + int(WINDOWS[-1]) + SERVED + STEPS
        return max((bins * pool.load.bin_s for pool in self.pools.values()), default=0.0)

    def decide(self, observation: Observation, /) -> Decision:
        now_s = observation.time_s
        turns = -(-len(self.pools) // AT_ONCE)
        turn = int(now_s // self.spec.reaction_s)
        shown = {
            name: (pool, observation.pools[name]) for name, pool in self.pools.items() if name in observation.pools
        }
        for pool, reading in shown.values():
            pool.see(now_s, reading)
        settle(pool.load for pool, _ in shown.values())
        outdated = [
            shown[name]
            for number, name in enumerate(self.pools)
            if name in shown and shown[name][0].is_outdated(now_s, shown[name][1], due=(turn + number) % turns == 0)
        ]
        self._plan(now_s, outdated)
        return Decision.of({name: pool.wish(now_s, reading) for name, (pool, reading) in shown.items()})

    def _plan(self, now_s: float, outdated: Sequence[tuple[PoolMpc, PoolReading]]) -> None:
        problems = [pool.problem(now_s, reading) for pool, reading in outdated]
        for (pool, reading), problem, best in zip(outdated, problems, cheapest(problems), strict=True):
            pool.keep(now_s, reading, problem.reason(best))
