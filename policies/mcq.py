"""Size each pool so that every request class meets its own target, where there is a queue for each class."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import ceil
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from policies.class_sizing import Claim, slots_by_priority, slots_by_weight
from policies.decision import Decision, Reason
from policies.loads import Looking, LookingAhead, Seen, seen_service
from policies.observation import Flow, Observation, PoolReading
from policies.policy import Readings
from policies.pool import Pools, PoolTraits
from policies.queues import PriorityClass
from policies.rationing import rationed
from policies.sizing import SCV_STEP, Load, rounded_up
from policies.spec import STRICT, Count, InnerFraction, Name, NonNegative, Positive, PositiveSeconds, Seconds
from policies.windows import Window


@checked(frozen=True, kw_only=True, config=STRICT)
class ClassTarget:
    """What the requests of one class shall have."""

    wait_s: Seconds
    """A share `quantile` of them starts within this time."""
    quantile: InnerFraction = 0.95
    priority: int = 0
    """The lowest number goes first; classes of one number share a queue."""
    weight: Positive = 1.0
    """Its share of service while all classes wait, where `order` is `weights`."""


@checked(frozen=True, kw_only=True, config=STRICT)
class McqSpec(LookingAhead):
    """Size by queueing theory for a target of each request class; classes without one come last."""

    kind: Literal["mcq"] = "mcq"
    classes: Annotated[dict[Name, ClassTarget], Field(min_length=1)]
    """Request class -> its target."""
    order: Literal["priority", "weights"] = "priority"
    """Who is served next: the class of the lowest priority, or the one that is farthest behind its weight."""
    replicas: Count | None = None
    """No more than these for all pools together; where they are too few, classes get theirs in order of priority."""
    window_s: PositiveSeconds = 600.0
    """Service times, variability and trend are taken from this much of the past."""
    rate_window_s: PositiveSeconds = 60.0
    """A rise is looked for in this time and in parts of it; the trend in intervals of it."""
    horizon_s: NonNegative | None = None
    """The trend is followed this far ahead; the pool's start-up time (95 % quantile) where not given."""

    def build(self, pools: Pools) -> "Mcq":
        return Mcq(pools, self)

    @property
    def levels(self) -> Sequence[int]:
        """Priorities, the first first."""
        return sorted({target.priority for target in self.classes.values()})

    @property
    def strictest(self) -> ClassTarget:
        return min(self.classes.values(), key=lambda target: (target.wait_s, -target.quantile))


class ClassesSeen:
    """One pool and its request classes in the window."""

    def __init__(self, looking: Looking) -> None:
        self.whole = Seen(looking)
        self._windows: dict[str, Window] = {}

    def see(self, time_s: float, reading: PoolReading, pool: PoolTraits) -> None:
        self.whole.see(time_s, reading, pool)
        for name in reading.classes.keys() | self._windows.keys():
            if name not in self._windows:
                self._windows[name] = Window(self.whole.looking.window_s)
            self._windows[name].take(time_s, reading.age_s, reading.classes.get(name, UNREAD))

    def loads(self, whole: Load) -> dict[str, PriorityClass]:
        """Class -> its part of the load; empty where no class is shown.

        Parts are those of the window; services of a class of which too few were seen are as those of all.
        """
        rates = {name: window.rate_per_s("arrived_total") or 0.0 for name, window in sorted(self._windows.items())}
        scale = whole.rate_per_s / total if (total := sum(rates.values())) > 0 else 0.0
        found = {}
        for name, rate_per_s in rates.items():
            if rate_per_s > 0:
                service_s, scv = seen_service(self._windows[name]) or (whole.service_s, whole.service_scv)
                found[name] = stepped(rate_per_s * scale, service_s or whole.service_s, scv)
        return found


UNREAD = Flow()


@dataclass(frozen=True, slots=True)
class Sized:
    """What a pool needs: replicas for classes up to each level of priority, and how that came about."""

    needs: tuple[int, ...]
    words: str


@dataclass(slots=True)
class Mcq:
    pools: Pools
    spec: McqSpec
    readings: Readings = Readings(
        needed=frozenset({"arrived_total"}),
        assumed={
            "classes": "all requests are of one class, with the strictest target",
            "service_s": "service mean and variability as stated for the version",
            "queued": "no backlog",
            "ready": "as many replicas ready as are wanted",
        },
    )
    _seen: dict[str, ClassesSeen] = field(init=False)
    _levels: Sequence[int] = field(init=False)

    def __post_init__(self) -> None:
        looking, self._levels = self.spec.looking, self.spec.levels
        self._seen = {name: ClassesSeen(looking) for name in self.pools}

    @property
    def memory_s(self) -> float:
        return 2 * self.spec.window_s

    def decide(self, observation: Observation, /) -> Decision:
        shown = [name for name in self.pools if name in observation.pools]
        sized = {name: self._sized(name, observation) for name in shown}
        granted = self._granted(sized, observation)
        return Decision.of({name: self._wish(name, sized[name], granted.get(name), observation) for name in shown})

    def _wish(self, name: str, sized: Sized | str, granted: int | None, observation: Observation) -> Reason | str:
        if isinstance(sized, str):
            return sized
        reading = observation.pools[name]
        held = self._seen[name].whole.held(Reason(sized.needs[-1], sized.words), reading.wanted)
        if isinstance(held, str) or granted is None or granted >= held.final:
            return held
        return held.limited("budget", granted, f"{self.spec.replicas} for all pools{self._losers(sized, granted)}")

    def _losers(self, sized: Sized, granted: int) -> str:
        """Which classes go without what they need."""
        lost = {level for level, need in zip(self._levels, sized.needs, strict=True) if need > granted}
        names = [name for name, target in self.spec.classes.items() if target.priority in lost]
        return f"; {', '.join(names)} will wait longer than the target" if names else ""

    def _granted(self, sized: Mapping[str, Sized | str], observation: Observation) -> dict[str, int]:
        """What each pool gets of the budget; pools that keep what they have keep it."""
        if self.spec.replicas is None:
            return {}
        needs = {name: one.needs for name, one in sized.items() if isinstance(one, Sized)}
        kept = sum(observation.pools[name].wanted or 0 for name in sized.keys() - needs.keys())
        return rationed(needs, max(0, self.spec.replicas - kept))

    def _sized(self, name: str, observation: Observation) -> Sized | str:
        pool, reading = self.pools[name], observation.pools[name]
        seen = self._seen[name]
        seen.see(observation.time_s, reading, pool)
        found = seen.whole.load(pool, reading)
        if isinstance(found, str):
            return found
        load, words = found
        if load.offered <= 0:
            return Sized((1 if load.rate_per_s > 0 else 0,) * len(self._levels), words)
        return self._of(pool, reading, seen, load, words)

    def _of(self, pool: PoolTraits, reading: PoolReading, seen: ClassesSeen, load: Load, words: str) -> Sized:
        claims = self._claims(seen.loads(load), load)
        slots = self._slots(claims, rounded_up(load.arrival_scv, SCV_STEP))
        backlog = seen.whole.backlog(pool, reading, load, max(t.wait_s for t in self.spec.classes.values()))
        parts = ", ".join(f"{c.name} {c.load.rate_per_s:.3g}/s of {c.load.service_s:.3g} s" for c in claims)
        words += f", SCV {load.arrival_scv:.2g}: {parts}: {slots[-1]} slots"
        if backlog:
            words += f" and {backlog} for a backlog of {seen.whole.window.latest('queued'):.0f}"
        return Sized(tuple(ceil((n + backlog) / pool.slots) for n in slots), words)

    def _claims(self, loads: Mapping[str, PriorityClass], whole: Load) -> tuple[Claim, ...]:
        if not loads:
            one = self.spec.strictest
            load = stepped(whole.rate_per_s, whole.service_s, whole.service_scv)
            words = "all, as classes are not shown,"
            return (Claim(name=words, load=load, wait_s=one.wait_s, quantile=one.quantile, priority=self._levels[0]),)
        return tuple(self._claim(name, load) for name, load in loads.items())

    def _claim(self, name: str, load: PriorityClass) -> Claim:
        target = self.spec.classes.get(name)
        if target is None:
            return Claim(name=name, load=load, priority=self._levels[-1] + 1)
        return Claim(
            name=name,
            load=load,
            wait_s=target.wait_s,
            quantile=target.quantile,
            priority=target.priority,
            weight=target.weight,
        )

    def _slots(self, claims: tuple[Claim, ...], arrival_scv: float) -> list[int]:
        """Slots for the classes up to each level; those for the last serve all, classes without a target too."""
        if self.spec.order == "weights":
            return [by_weight(claims, arrival_scv)] * len(self._levels)
        whole = by_priority(claims, self._levels[-1] + 1, arrival_scv)
        # Only where a budget may be short it matters what the first classes need.
        first = self._levels[:-1] if self.spec.replicas is not None else ()
        levels = [min(whole, by_priority(claims, level, arrival_scv)) for level in first]
        return [*levels, *[whole] * (len(self._levels) - len(levels))]


@lru_cache(maxsize=1 << 16)
def by_priority(claims: tuple[Claim, ...], upto: int, arrival_scv: float) -> int:
    """What `slots_by_priority` says of loads that were stepped up, or more: never fewer than for any that become these.

    Remembered.
    """
    slots = slots_by_priority(claims, upto, arrival_scv)
    return slots_by_priority(_steadier(claims), upto, arrival_scv, slots) if arrival_scv > 1.0 else slots


@lru_cache(maxsize=1 << 16)
def by_weight(claims: tuple[Claim, ...], arrival_scv: float) -> int:
    """What `slots_by_weight` says of loads that were stepped up, or more, as `by_priority` does."""
    slots = slots_by_weight(claims, arrival_scv)
    return slots_by_weight(_steadier(claims), arrival_scv, slots) if arrival_scv > 1.0 else slots


def _steadier(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """The claims with the least variability of services that is rounded up to theirs: bursts of constant services
    keep together, so that more requests wait, if not for as long."""
    return tuple(
        replace(claim, load=_with_scv(claim.load, claim.load.service_scv / (1.0 + SCV_STEP))) for claim in claims
    )


def _with_scv(load: PriorityClass, scv: float) -> PriorityClass:
    return PriorityClass(load.rate_per_s, load.service_s, scv)


def stepped(rate_per_s: float, service_s: float, scv: float) -> PriorityClass:
    """A load that is hardly harder, and the same for all that hardly differ."""
    load = Load(rate_per_s=rate_per_s, service_s=service_s, service_scv=scv).rounded_up()
    return PriorityClass(load.rate_per_s, load.service_s, load.service_scv)
