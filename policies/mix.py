"""Choose the replicas of several versions together, each with its own queue: the cheapest mix within all limits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass as checked

from policies.decision import Decision, Reason
from policies.loads import LookingAhead, Seen
from policies.mix_rule import Asked, Group, Mix, Part, mix
from policies.observation import Observation
from policies.policy import Readings
from policies.pool import Pools, PoolTraits, check_qualities, known
from policies.sizing import SCV_STEP, STEP, Aiming, Load, one_target, rounded_up
from policies.spec import STRICT, Count, Fraction, InnerFraction, Name, NonNegative, PositiveSeconds, Seconds


@checked(frozen=True, kw_only=True, config=STRICT)
class Share:
    """How much of its model's traffic a version may be given."""

    at_least: Fraction = 0.0
    at_most: Fraction = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> "Share":
        if self.at_least > self.at_most:
            raise ValueError(f"at_least is {self.at_least:g}, must not be above at_most, {self.at_most:g}")
        return self


@checked(frozen=True, kw_only=True, config=STRICT)
class PoolGroup:
    """Pools that share a limit, as those at one site do."""

    pools: Annotated[tuple[str, ...], Field(min_length=1)]
    """Pools (`model/version`) or versions."""
    replicas: Count | None = None
    """Together no more than these."""
    cost_per_hour: NonNegative | None = None
    """Together no dearer than this."""


@checked(frozen=True, kw_only=True, config=STRICT)
class MixSpec(Aiming, LookingAhead):
    """The cheapest replicas of all versions for one target: `wait_s`, `response_s` or `mean_response_s`."""

    kind: Literal["mix"] = "mix"
    wait_s: Seconds | None = None
    """A share `quantile` of the requests starts within this time."""
    response_s: PositiveSeconds | None = None
    """A share `quantile` of the requests is answered within this time."""
    mean_response_s: PositiveSeconds | None = None
    """The mean response time is at most this."""
    quantile: InnerFraction = 0.95
    shares: dict[str, Share] = Field(default_factory=dict)
    """Pool (`model/version`) or version -> the traffic that it may be given; what it gets where not named. A router
    must then follow: the reasons say how much the replicas are for."""
    quality: Fraction | None = None
    """The mean quality of the requests served is at least this, for each model."""
    groups: dict[Name, PoolGroup] = Field(default_factory=dict)
    """Limits that are never broken; quality is given up first, then the target."""
    window_s: PositiveSeconds = 600.0
    """Service times, variability and trend are taken from this much of the past."""
    rate_window_s: PositiveSeconds = 60.0
    """A rise is looked for in this time and in parts of it; the trend in intervals of it."""
    horizon_s: NonNegative | None = None
    """The trend is followed this far ahead; the pool's start-up time (95 % quantile) where not given."""

    @model_validator(mode="after")
    def _one_target(self) -> "MixSpec":
        one_target(self.target)
        return self

    def build(self, pools: Pools) -> "MixPolicy":
        """Raises `ValueError` for names of no pool, and for a quality floor where a version's quality is not known."""
        check_qualities(self.quality, pools)
        groups = tuple(
            Group(
                name=name,
                pools=frozenset(known(dict.fromkeys(group.pools), pools)),
                replicas=group.replicas,
                cost_per_hour=group.cost_per_hour,
            )
            for name, group in self.groups.items()
        )
        return MixPolicy(pools, self, known(self.shares, pools), groups)


@dataclass(slots=True)
class MixPolicy:
    pools: Pools
    spec: MixSpec
    shares: Mapping[str, Share]
    groups: Sequence[Group]
    readings: Readings = Readings(
        needed=frozenset({"arrived_total"}),
        assumed={
            "service_s": "service mean and variability as stated for the version",
            "queued": "no backlog",
            "ready": "as many replicas ready as are wanted",
        },
    )
    _parts: list["_Together"] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        for names in _connected(self.pools, self.groups):
            own = {name: self.pools[name] for name in self.pools if name in names}
            groups = [group for group in self.groups if group.pools & names]
            self._parts.append(_Together(own, self.spec, self.shares, groups))

    @property
    def memory_s(self) -> float:
        return 2 * self.spec.window_s

    def decide(self, observation: Observation, /) -> Decision:
        wishes: dict[str, Reason | str] = {}
        for part in self._parts:
            wishes.update(part.wishes(observation))
        return Decision.of(wishes)


def _connected(pools: Pools, groups: Sequence[Group]) -> list[frozenset[str]]:
    """Pools by model, models that share a group together."""
    by_model: dict[str, set[str]] = {}
    for name, pool in pools.items():
        by_model.setdefault(pool.model, set()).add(name)
    parts = [frozenset(names) for names in by_model.values()]
    for group in groups:
        joined = [part for part in parts if part & group.pools]
        parts = [part for part in parts if part not in joined]
        parts.append(frozenset().union(*joined))
    return parts


class _Together:
    """Pools that must be sized together, and the mix that was found last."""

    def __init__(
        self, pools: Mapping[str, PoolTraits], spec: MixSpec, shares: Mapping[str, Share], groups: Sequence[Group]
    ) -> None:
        self._pools = pools
        self._spec = spec
        self._target = spec.target
        self._shares = shares
        self._groups = groups
        self._seen = {name: Seen(spec.looking) for name in pools}
        self._chosen = frozenset(pool.model for name, pool in pools.items() if name in shares)
        self._found: tuple[object, Mix | None] | None = None

    def wishes(self, observation: Observation) -> Mapping[str, Reason | str]:
        found = {name: self._load(name, observation) for name in self._pools if name in observation.pools}
        kept = self._kept(found)
        loads = {name: one for name, one in found.items() if name not in kept and not isinstance(one, str)}
        if not loads:
            return kept
        best = self._mix(
            tuple(self._part(name, load) for name, (load, _) in loads.items()), self._left(loads, observation)
        )
        if best is None:
            return {**kept, **dict.fromkeys(loads, "no mix keeps to the limits and to the least replicas")}
        return {**kept, **{name: self._wish(name, words, best, observation) for name, (_, words) in loads.items()}}

    def _load(self, name: str, observation: Observation) -> tuple[Load, str] | str:
        """The load of a pool, what it has to catch up with included."""
        pool, reading, seen = self._pools[name], observation.pools[name], self._seen[name]
        seen.see(observation.time_s, reading, pool)
        found = seen.load(pool, reading)
        if isinstance(found, str) or found[0].offered <= 0:
            return found
        load, words = found
        backlog = seen.backlog(pool, reading, load, self._target.time_s)
        if not backlog:
            return load, words
        more = replace(load, rate_per_s=load.rate_per_s + backlog / load.service_s)
        return more, f"{words}, {backlog} slots for a backlog of {seen.window.latest('queued'):.0f}"

    def _kept(self, found: Mapping[str, tuple[Load, str] | str]) -> dict[str, Reason | str]:
        """Pools of which too little is known; and the others of a model whose traffic cannot be divided without it."""
        kept: dict[str, Reason | str] = {name: one for name, one in found.items() if isinstance(one, str)}
        unknown = {self._pools[name].model for name in [*kept, *(self._pools.keys() - found.keys())]}
        for name in found.keys() - kept.keys():
            if (model := self._pools[name].model) in unknown & self._chosen:
                kept[name] = f"the load of another version of {model} is not known"
        return kept

    def _part(self, name: str, load: Load) -> Part:
        pool = self._pools[name]
        rate_per_s = rounded_up(load.rate_per_s, STEP)
        return Part(
            name=name,
            model=pool.model,
            low_per_s=rate_per_s,
            high_per_s=rate_per_s,
            slots=pool.slots,
            service_s=rounded_up(max(load.service_s, 1e-9), STEP),
            service_scv=rounded_up(load.service_scv, SCV_STEP),
            arrival_scv=rounded_up(load.arrival_scv, SCV_STEP),
            at_least=pool.at_least,
            at_most=pool.at_most,
            cost_per_hour=pool.cost_per_hour,
            quality=pool.quality or 0.0,
        )

    def _left(self, loads: Mapping[str, object], observation: Observation) -> tuple[Group, ...]:
        """The groups, less what is taken by pools that keep what they have."""
        taken = {n: observation.pools[n].wanted or 0 for n in self._pools if n not in loads and n in observation.pools}
        return tuple(self._less(group, taken) for group in self._groups)

    def _less(self, group: Group, taken: Mapping[str, int]) -> Group:
        own = {name: n for name, n in taken.items() if name in group.pools}
        if not own:
            return group
        cost = sum(n * self._pools[name].cost_per_hour for name, n in own.items())
        replicas = None if group.replicas is None else max(0, group.replicas - sum(own.values()))
        left = None if group.cost_per_hour is None else max(0.0, group.cost_per_hour - cost)
        return Group(name=group.name, pools=group.pools, replicas=replicas, cost_per_hour=left)

    def _mix(self, parts: tuple[Part, ...], groups: tuple[Group, ...]) -> Mix | None:
        key = (parts, groups)
        if self._found is None or self._found[0] != key:
            rates: dict[str, float] = {}
            for part in parts:
                rates[part.model] = rates.get(part.model, 0.0) + part.low_per_s
            shared = [self._shared(part, rates[part.model]) for part in parts]
            asked = Asked(
                target=self._target,
                parts=shared,
                rates_per_s=rates,
                quality=self._spec.quality,
                groups=groups,
            )
            self._found = key, mix(asked)
        return self._found[1]

    def _shared(self, part: Part, rate_per_s: float) -> Part:
        """The part with the traffic that it may be given."""
        share = self._shares.get(part.name)
        if share is None:
            return part
        return replace(part, low_per_s=share.at_least * rate_per_s, high_per_s=share.at_most * rate_per_s)

    def _wish(self, name: str, words: str, best: Mix, observation: Observation) -> Reason | str:
        words += f": for {best.rates_per_s[name]:.3g}/s the cheapest mix"
        if best.loss:
            words += f" within {_names(self._groups) or 'the most replicas'}; {best.loss}"
        return self._seen[name].held(Reason(best.replicas[name], words), observation.pools[name].wanted)


def _names(groups: Iterable[Group]) -> str:
    return ", ".join(group.name for group in groups)
