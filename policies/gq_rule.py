"""The cheapest mix of versions behind one queue whose joint capacity meets a target, exactly."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np
from numpy.typing import NDArray

from policies.programs import Program, fewer_first
from policies.sizing import Load, Target

MOST_TRIED = 20_000
"""No more mixes than that are tried one by one; an integer program takes longer for few, and no longer for many."""

DIGITS = 1e-7
"""So near to the slowest mean service that meets a target it is found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A version that takes from the queue: what its replicas are like, how many there may be, what it must serve."""

    name: str
    slots: int
    service_s: float
    service_scv: float
    at_least: int
    at_most: int
    cost_per_hour: float = 0.0
    quality: float = 0.0
    share: float = 0.0
    """It serves at least this share of the requests."""

    @property
    def rate_per_s(self) -> float:
        """Requests a second that a busy replica serves."""
        return self.slots / self.service_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    replicas: int | None = None
    cost_per_hour: float | None = None
    quality: float | None = None
    """Of the requests served, in the mean."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Versions behind one queue as one law of service times.

    A free slot of any version takes the head, so while the queue is busy a version serves in proportion to its slots
    over its mean service.
    """

    lines: Sequence[Line]

    def scv(self, service_s: float) -> float:
        """The greatest SCV of service times of any mix of versions with this mean, or with a lesser one.

        A mix that is slower in the mean must count as harder to serve, also where it is more even. Of a given mean, the
        second moment is greatest between two versions or at one.
        """
        points = sorted((x.service_s, x.service_s**2 * (1.0 + x.service_scv)) for x in self.lines)
        fastest = points[0][0]
        most = max(y / x**2 for x, y in points if x <= max(service_s, fastest) * (1.0 + 1e-9))
        for (x, y), (u, v) in ((p, q) for p in points for q in points if p[0] < min(q[0], service_s)):
            slope = (v - y) / (u - x)
            start = y - slope * x
            # The ratio of second moment to squared mean, along a chord, is greatest there, if anywhere inside.
            top = -2.0 * start / slope if start < 0.0 < slope else x
            at = min(max(top, x), u, service_s)
            most = max(most, (start + slope * at) / at**2)
        return max(0.0, most - 1.0)

    def meets(self, target: Target, rate_per_s: float, arrival_scv: float, slots: int, service_s: float) -> bool:
        if rate_per_s * service_s >= slots:
            return False
        scv = self.scv(service_s)
        load = Load(rate_per_s=rate_per_s, service_s=service_s, service_scv=scv, arrival_scv=arrival_scv)
        return target.met_by(load, slots)


@dataclass(frozen=True, slots=True)
class Plan:
    """Version -> replicas; what had to be given up, in words."""

    replicas: Mapping[str, int]
    loss: str = ""


def plan(
    lines: Sequence[Line], target: Target, rate_per_s: float, arrival_scv: float = 1.0, limits: Limits | None = None
) -> Plan | None:
    """The cheapest mix that meets the target, and of equally cheap ones that of the fewest replicas.

    Where limits leave none: the mix of the most capacity, which loses least of the target; where there is none either,
    without shares, and then without the quality floor. None where the limits leave no replica.
    """
    bounds = limits or Limits()
    found = _cheapest(lines, bounds, partial(Mixture(lines).meets, target, rate_per_s, arrival_scv), rate_per_s)
    if found is not None:
        return Plan(found)
    for shares, quality, words in (
        (True, True, "the target is missed"),
        (False, True, "the target is missed and shares are not kept"),
        (False, False, "the target is missed, shares and quality are not kept"),
    ):
        found = _solved(lines, bounds, None, shares, quality)
        # No replicas keep all shares and any quality, and serve nobody.
        if found is not None and any(found.values()):
            return Plan(found, words)
    return None


Meets = Callable[[int, float], bool]
"""Whether so many slots meet the target with this mean service; if not, then neither do fewer or slower ones."""


def _cheapest(lines: Sequence[Line], limits: Limits, meets: Meets, rate_per_s: float) -> dict[str, int] | None:
    """The cheapest mix that meets the target: mixes are tried by cost where few may do, else a program is solved."""
    few = fewer_first([x.cost_per_hour for x in lines])
    costs = [x.cost_per_hour + few for x in lines]
    dearest = sum(cost * (x.at_most - x.at_least) for cost, x in zip(costs, lines, strict=True))
    # Beyond the least replicas no less than this bears the load.
    lacking = max(0.0, rate_per_s - sum(x.at_least * x.rate_per_s for x in lines))
    budget = lacking * min(cost / x.rate_per_s for cost, x in zip(costs, lines, strict=True))
    while budget <= dearest * (1.0 + 1e-9):
        budget = 1.3 * budget + 4.0 * max(costs)
        more = [min(x.at_most - x.at_least, int(budget / cost)) for cost, x in zip(costs, lines, strict=True)]
        if prod(n + 1 for n in more) > MOST_TRIED:
            return _solved(lines, limits, _slowest(lines, meets, rate_per_s), shares=True, quality=True)
        counts = np.indices([n + 1 for n in more]).reshape(len(lines), -1)
        counts = counts[:, np.array(costs) @ counts <= budget] + np.array([[x.at_least] for x in lines])
        found = _first(lines, counts[:, _kept(lines, limits, counts, rate_per_s)], np.array(costs), meets)
        if found is not None:
            return found
    return None


def _kept(lines: Sequence[Line], limits: Limits, counts: NDArray[np.int64], rate_per_s: float) -> NDArray[np.bool_]:
    """Which mixes, one a column, bear the load and keep to shares and limits."""
    served = np.array([[x.rate_per_s] for x in lines]) * counts
    together = served.sum(axis=0)
    kept: NDArray[np.bool_] = together > rate_per_s
    for line, part in zip(lines, served, strict=True):
        kept &= part >= line.share * together - 1e-9
    if limits.quality is not None:
        kept &= np.array([x.quality for x in lines]) @ served >= limits.quality * together - 1e-9
    if limits.replicas is not None:
        kept &= counts.sum(axis=0) <= limits.replicas
    if limits.cost_per_hour is not None:
        kept &= np.array([x.cost_per_hour for x in lines]) @ counts <= limits.cost_per_hour + 1e-9
    return kept


def _first(
    lines: Sequence[Line], counts: NDArray[np.int64], costs: NDArray[np.float64], meets: Meets
) -> dict[str, int] | None:
    """The cheapest of these mixes, one a column, that meets the target; of equally cheap ones the fastest."""
    slots = np.array([x.slots for x in lines]) @ counts
    rates_per_s = np.array([x.rate_per_s for x in lines]) @ counts
    service_s = slots / rates_per_s
    left = np.lexsort((-rates_per_s, np.round(costs @ counts / costs.max(), 9)))
    while left.size:
        best = left[0]
        if meets(int(slots[best]), float(service_s[best])):
            return {x.name: int(n) for x, n in zip(lines, counts[:, best], strict=True)}
        left = left[(slots[left] > slots[best]) | (service_s[left] < service_s[best])]
    return None


Needs = Sequence[tuple[int, float]]
"""(Slots, the slowest mean service with which so many meet the target), for each number of slots that may do."""


def _slowest(lines: Sequence[Line], meets: Meets, rate_per_s: float) -> Needs:
    """From the fewest slots of the fastest version up to where any mix of as many meets the target."""
    fast, slow = min(x.service_s for x in lines), max(x.service_s for x in lines)
    most = sum(x.at_most * x.slots for x in lines)
    needs: list[tuple[int, float]] = []
    low = fast
    for slots in range(int(rate_per_s * fast) + 1, most + 1):
        in_time = partial(meets, slots)
        if in_time(low):
            low = slow if in_time(slow) else _edge(in_time, low, slow, 2.0 * low / slots)
            needs.append((slots, low))
        if needs and low >= slow:
            break
    return needs


def _edge(in_time: Callable[[float], bool], low: float, high: float, step: float) -> float:
    """The greatest number at which `in_time` holds, where it holds at `low`, not at `high`; looked for from below."""
    while low + step < high and in_time(low + step):
        low, step = low + step, 2.0 * step
    high = min(high, low + step)
    while high - low > DIGITS * low:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if in_time(middle) else (low, middle)
    return low


def _solved(
    lines: Sequence[Line], limits: Limits, needs: Needs | None, shares: bool, quality: bool
) -> dict[str, int] | None:
    """The cheapest mix for these needs, or the one of the most capacity where needs are None; None where none does."""
    program = Program()
    few = fewer_first([x.cost_per_hour for x in lines])
    costs = [x.cost_per_hour + few if needs is not None else few * x.cost_per_hour - x.rate_per_s for x in lines]
    own = {program.variable(c, x.at_least, x.at_most): x for c, x in zip(costs, lines, strict=True)}
    if needs is not None:
        _constrain_slots(program, own, needs, max(x.service_s for x in lines))
    for i, line in own.items() if shares else ():
        if line.share > 0.0:
            program.constrain({j: x.rate_per_s * ((i == j) - line.share) for j, x in own.items()}, low=0.0)
    if quality and limits.quality is not None:
        program.constrain({j: x.rate_per_s * (x.quality - limits.quality) for j, x in own.items()}, low=0.0)
    if limits.replicas is not None:
        program.constrain(dict.fromkeys(own, 1.0), high=limits.replicas)
    if limits.cost_per_hour is not None:
        program.constrain({j: x.cost_per_hour for j, x in own.items()}, high=limits.cost_per_hour)
    found = program.solve()
    return None if found is None else {x.name: int(found[i]) for i, x in own.items()}


def _constrain_slots(program: Program, own: Mapping[int, Line], needs: Needs, slow: float) -> None:
    """As many slots as one of the needs says, and fast enough for it; beyond the last, where any mix does, more too."""
    chosen = {program.variable(0.0, 0.0, 1.0): need for need in needs}
    beyond = program.variable(0.0, 0.0, sum(x.at_most * x.slots for x in own.values()))
    if needs and needs[-1][1] >= slow:
        last = next(reversed(chosen))
        program.constrain({beyond: 1.0, last: -sum(x.at_most * x.slots for x in own.values())}, high=0.0)
    else:
        program.constrain({beyond: 1.0}, high=0.0)
    program.constrain(dict.fromkeys(chosen, 1.0), low=1.0, high=1.0)
    slots = {j: float(x.slots) for j, x in own.items()}
    program.constrain({**slots, **{i: -float(n) for i, (n, _) in chosen.items()}, beyond: -1.0}, low=0.0, high=0.0)
    speed = {j: x.rate_per_s for j, x in own.items()}
    program.constrain({**speed, **{i: -n / service_s for i, (n, service_s) in chosen.items()}}, low=0.0)
