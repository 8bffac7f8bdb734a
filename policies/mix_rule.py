"""The cheapest replicas of several versions, each with a queue of its own, that together meet a target, exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil

from policies.programs import Program, fewer_first
from policies.sizing import Load, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A version, and how much of its model's traffic it is to serve: from `low_per_s` to `high_per_s` requests."""

    name: str
    model: str
    low_per_s: float
    high_per_s: float
    slots: int
    service_s: float
    service_scv: float
    arrival_scv: float
    at_least: int
    at_most: int
    cost_per_hour: float = 0.0
    quality: float = 0.0

    def needed(self, target: Target, rate_per_s: float) -> int:
        """The fewest replicas, at least `at_least`, that meet the target at this rate."""
        return max(self.at_least, ceil(target.slots(self._load(rate_per_s)) / self.slots))

    def borne_per_s(self, target: Target, replicas: int) -> float:
        """The most requests a second of which so many replicas meet the target."""
        if replicas == 0:
            return 0.0
        return _borne_per_s(target, replicas * self.slots, self.service_s, self.service_scv, self.arrival_scv)

    def _load(self, rate_per_s: float) -> Load:
        return Load(
            rate_per_s=rate_per_s,
            service_s=self.service_s,
            service_scv=self.service_scv,
            arrival_scv=self.arrival_scv,
        )


@lru_cache(maxsize=1 << 16)
def _borne_per_s(target: Target, slots: int, service_s: float, service_scv: float, arrival_scv: float) -> float:
    return target.rate_per_s(slots, service_s, service_scv, arrival_scv)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Pools that share a limit, as those at one site do; None for no limit."""

    name: str
    pools: frozenset[str]
    replicas: int | None = None
    cost_per_hour: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Parts, the rate of all requests of each model, the least mean quality of those, and limits that are hard."""

    target: Target
    parts: Sequence[Part]
    rates_per_s: Mapping[str, float]
    quality: float | None = None
    groups: Sequence[Group] = ()


@dataclass(frozen=True, slots=True)
class Mix:
    """Pool -> replicas, and the requests a second that they are for; what had to be given up, in words."""

    replicas: Mapping[str, int]
    rates_per_s: Mapping[str, float]
    loss: str = ""


def mix(asked: Asked) -> Mix | None:
    """The cheapest mix that meets the target, the quality floor and all limits.

    Where there is none, the quality floor is given up; where there is none either, the target too: the floor stands
    again if it can, and the fewest requests a second come beyond what is borne in time. Bounds, shares and groups
    always hold. None where not even these do.
    """
    found = _as_needed(asked) or _solved(asked)
    if found is not None:
        return found
    if asked.quality is not None:
        lower = replace(asked, quality=None)
        found = _as_needed(lower) or _solved(lower)
        if found is not None:
            return replace(found, loss="the quality floor is missed")
    found = _solved(asked, elastic=True)
    if found is not None:
        return replace(found, loss="the target is missed")
    found = _solved(replace(asked, quality=None), elastic=True)
    return None if found is None else replace(found, loss="the target and the quality floor are missed")


def _as_needed(asked: Asked) -> Mix | None:
    """What each part needs, where nothing is to be chosen; None where there is, or where that breaks a limit."""
    if any(part.low_per_s < part.high_per_s for part in asked.parts):
        return None
    replicas = {part.name: part.needed(asked.target, part.low_per_s) for part in asked.parts}
    within = all(replicas[part.name] <= part.at_most for part in asked.parts)
    costs = {part.name: part.cost_per_hour for part in asked.parts}
    if not (within and _good(asked) and all(_keeps(group, replicas, costs) for group in asked.groups)):
        return None
    return Mix(replicas, {part.name: part.low_per_s for part in asked.parts})


def _good(asked: Asked) -> bool:
    if asked.quality is None:
        return True
    return all(
        sum(p.low_per_s * (p.quality - asked.quality) for p in asked.parts if p.model == model) >= -1e-9
        for model in asked.rates_per_s
    )


def _keeps(group: Group, replicas: Mapping[str, int], costs: Mapping[str, float]) -> bool:
    own = [name for name in group.pools if name in replicas]
    if group.replicas is not None and sum(replicas[name] for name in own) > group.replicas:
        return False
    cost = sum(replicas[name] * costs[name] for name in own)
    return group.cost_per_hour is None or cost <= group.cost_per_hour + 1e-9


def _solved(asked: Asked, elastic: bool = False) -> Mix | None:
    """By a linear program in whole numbers; with `elastic`, requests beyond what is borne are what is to be least."""
    program = Program()
    few = fewer_first([part.cost_per_hour for part in asked.parts])
    counts: dict[str, dict[int, int]] = {}
    rates: dict[str, int] = {}
    for part in asked.parts:
        candidates = _candidates(part, asked.target, elastic)
        if not candidates:
            return None
        scale = 1e-6 / (1.0 + _dearest(asked)) if elastic else 1.0
        choice = {program.variable(scale * n * (part.cost_per_hour + few), 0.0, 1.0): n for n in candidates}
        program.constrain(dict.fromkeys(choice, 1.0), low=1.0, high=1.0)
        counts[part.name] = choice
        rates[part.name] = program.variable(0.0, part.low_per_s, part.high_per_s, whole=False)
        borne = {i: -part.borne_per_s(asked.target, n) * (1.0 + 1e-9) for i, n in choice.items()}
        late = {program.variable(1.0, 0.0, part.high_per_s, whole=False): -1.0} if elastic else {}
        program.constrain({rates[part.name]: 1.0, **borne, **late}, high=1e-9)
    _constrain(program, asked, counts, rates)
    found = program.solve()
    if found is None:
        return None
    replicas = {name: next(n for i, n in choice.items() if found[i] > 0.5) for name, choice in counts.items()}
    return Mix(replicas, {name: found[i] for name, i in rates.items()})


def _dearest(asked: Asked) -> float:
    return sum(part.at_most * part.cost_per_hour for part in asked.parts)


def _candidates(part: Part, target: Target, elastic: bool) -> range:
    """Numbers of replicas that may be the best: from what the least rate needs to what the greatest does."""
    low = part.at_least if elastic else part.needed(target, part.low_per_s)
    return range(low, min(part.at_most, max(low, part.needed(target, part.high_per_s))) + 1)


def _constrain(
    program: Program, asked: Asked, counts: Mapping[str, Mapping[int, int]], rates: Mapping[str, int]
) -> None:
    """All requests of each model are served, well enough in the mean, and no group has more than its limit."""
    for model, rate_per_s in asked.rates_per_s.items():
        own = [part for part in asked.parts if part.model == model]
        program.constrain({rates[p.name]: 1.0 for p in own}, low=rate_per_s - 1e-9, high=rate_per_s + 1e-9)
        if asked.quality is not None:
            program.constrain({rates[p.name]: p.quality - asked.quality for p in own}, low=-1e-9)
    costs = {part.name: part.cost_per_hour for part in asked.parts}
    for group in asked.groups:
        own_counts = [(i, n, costs[name]) for name in counts if name in group.pools for i, n in counts[name].items()]
        if group.replicas is not None:
            program.constrain({i: float(n) for i, n, _ in own_counts}, high=group.replicas)
        if group.cost_per_hour is not None:
            program.constrain({i: n * cost for i, n, cost in own_counts}, high=group.cost_per_hour)
