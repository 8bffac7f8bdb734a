"""A policy around a policy: a pool wakes at once when somebody comes, and rests only when nobody came for long."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass as checked

from policies.around import UNKNOWN, keeping, together
from policies.between import Between, Follower
from policies.decision import Decision, Reason
from policies.observation import Observation, PoolReading
from policies.policy import Policy, Readings
from policies.pool import Pools
from policies.spec import STRICT, PositiveCount, PositiveSeconds

if TYPE_CHECKING:
    from policies.catalog import PolicySpec


@checked(frozen=True, kw_only=True, config=STRICT)
class ColdStartSpec:
    """From none at once, to none only after a time without arrivals; for pools whose at_least is 0."""

    kind: Literal["cold_start"] = "cold_start"
    replicas: PositiveCount = 1
    """At least so many while somebody waits, or has just arrived, before a pool that has none ready."""
    idle_s: PositiveSeconds = 300.0
    """The last replica stays for so long after anybody arrived, waited or was served."""
    policy: "PolicySpec"

    def build(self, pools: Pools) -> "ColdStart":
        return ColdStart(self.policy.build(pools), pools, self.replicas, self.idle_s)


@dataclass(slots=True)
class _Traffic:
    """When something went on in a pool last, and when it was read last; the beginning counts as something."""

    follower: Follower = field(default_factory=Follower)
    busy_s: float | None = None
    read_s: float | None = None

    def see(self, now_s: float, reading: PoolReading) -> Between | None:
        """What is new in this reading, None where it shows nothing new."""
        between = self.follower.see(now_s, reading)
        if between is not None:
            self.read_s = between.end_s
            if self.busy_s is None or _maybe_busy(between):
                self.busy_s = between.end_s
        return between

    @property
    def idle_s(self) -> float | None:
        """For how long nothing is known to have gone on, up to the last reading; None before the first."""
        return None if self.read_s is None or self.busy_s is None else self.read_s - self.busy_s


def _maybe_busy(between: Between) -> bool:
    """Whether anybody came, waited or was served, or may have."""
    return between.arrivals_per_s is None or any((between.arrivals_per_s, between.queued, between.in_service))


@dataclass(slots=True)
class ColdStart:
    """Law: no pool that has a replica goes to none within `idle_s` of anything going on there, and none that has
    nobody ready stays below `replicas` while somebody waits."""

    policy: Policy
    pools: Pools
    replicas: int
    idle_s: float
    _traffic: dict[str, _Traffic] = field(default_factory=dict, init=False)

    @property
    def readings(self) -> Readings:
        own = Readings(
            needed=frozenset({"wanted", "arrived_total"}),
            assumed={"queued": "nobody waiting", "ready": "as many replicas ready as are wanted"},
        )
        return together(self.policy.readings, own)

    @property
    def memory_s(self) -> float:
        """Readings are taken to come at least every `idle_s`."""
        return self.policy.memory_s + 2 * self.idle_s

    def decide(self, observation: Observation, /) -> Decision:
        decision = self.policy.decide(observation)
        found = {name: self._size(name, decision, observation) for name in self.pools if name in observation.pools}
        changed = {name: size for name, size in found.items() if size is not None}
        reasons = {name: size for name, size in changed.items() if isinstance(size, Reason)}
        awake = Decision(
            {**decision.reasons, **reasons}, {name: why for name, why in decision.kept.items() if name not in reasons}
        )
        return keeping(awake, {name: size for name, size in changed.items() if isinstance(size, str)})

    def _size(self, name: str, decision: Decision, observation: Observation) -> Reason | str | None:
        """What becomes of one pool: a reason, words why it keeps what it has, None where nothing changes."""
        traffic, reading = self._traffic.setdefault(name, _Traffic()), observation.pools[name]
        new, wish = traffic.see(observation.time_s, reading), decision.reasons.get(name)
        if reading.wanted is None:
            return None if wish is None else UNKNOWN
        if why := _awaited(reading, new):
            return self._woken(wish, reading.wanted, why)
        if wish is not None and wish.final == 0:
            return self._rested(wish, reading.wanted, traffic, reading.age_s)
        return None

    def _woken(self, wish: Reason | None, wanted: int, why: str) -> Reason | None:
        """The wish for at least `replicas`; None where they are on their way already and nothing is wished."""
        if wish is None:
            return None if wanted >= self.replicas else Reason(self.replicas, why)
        return wish.limited("cold start", max(wish.final, self.replicas), why)

    def _rested(self, wish: Reason, wanted: int, traffic: _Traffic, age_s: float | None) -> Reason:
        """The wish for none where that is due; else the last replica stays."""
        idle_s = traffic.idle_s
        if idle_s is None or age_s is None or age_s > self.idle_s:
            return wish.limited("cold start", min(wanted, 1), "whether anybody came is not known")
        if idle_s < self.idle_s:
            return wish.limited("cold start", min(wanted, 1), f"idle for {idle_s:g} s, less than {self.idle_s:g} s")
        return wish


def _awaited(reading: PoolReading, new: Between | None) -> str:
    """Who is there for a pool that has nobody ready; empty where nobody is, or somebody is ready."""
    if (reading.wanted if reading.ready is None else reading.ready) != 0:
        return ""
    if reading.total.queued:
        return f"{reading.total.queued:g} waiting before no replica"
    if new is not None and new.arrivals_per_s:
        return f"{new.arrivals_per_s * new.length_s:g} arrived at no replica"
    return ""
