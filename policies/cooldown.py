"""A policy around a policy: after a change of a pool, none for a while."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass as checked

from policies.around import UNKNOWN, keeping, together
from policies.decision import Decision
from policies.observation import Observation
from policies.policy import Policy, Readings
from policies.pool import Pools
from policies.spec import STRICT, Seconds

if TYPE_CHECKING:
    from policies.catalog import PolicySpec


@checked(frozen=True, kw_only=True, config=STRICT)
class CooldownSpec:
    """Leave a pool alone for a time after its replicas were changed, whoever changed them, either way."""

    kind: Literal["cooldown"] = "cooldown"
    shrink_s: Seconds = 300.0
    """No shrinking for so long after a change."""
    grow_s: Seconds = 0.0
    """No growing for so long after a change; 0 where growth is never to wait."""
    policy: "PolicySpec"

    def build(self, pools: Pools) -> "Cooldown":
        return Cooldown(self.policy.build(pools), self.shrink_s, self.grow_s)


@dataclass(slots=True)
class _Pool:
    """When replicas were last seen, how many were wanted then, and when that had last changed, if ever."""

    seen_s: float
    wanted: int
    changed_s: float | None = None

    def see(self, now_s: float, wanted: int) -> None:
        if wanted != self.wanted:
            # What is seen now was decided at the observation before.
            self.changed_s = self.seen_s
        self.seen_s, self.wanted = now_s, wanted


@dataclass(slots=True)
class Cooldown:
    """Law: no target is above what is wanted within `grow_s`, or below within `shrink_s`, of the pool's last change."""

    policy: Policy
    shrink_s: float
    grow_s: float
    _pools: dict[str, _Pool] = field(default_factory=dict, init=False)

    @property
    def readings(self) -> Readings:
        return together(self.policy.readings, Readings(frozenset({"wanted"})))

    @property
    def memory_s(self) -> float:
        return self.policy.memory_s + max(self.shrink_s, self.grow_s)

    def decide(self, observation: Observation, /) -> Decision:
        for name, reading in observation.pools.items():
            if reading.wanted is not None:
                pool = self._pools.setdefault(name, _Pool(observation.time_s, reading.wanted))
                pool.see(observation.time_s, reading.wanted)
        decision = self.policy.decide(observation)
        changes, unknown = {}, {}
        for name, wish in decision.targets.items():
            if observation.pools[name].wanted is None:
                unknown[name] = UNKNOWN
            elif (why := self._hot(self._pools[name], observation.time_s, wish)) is not None:
                changes[name] = (self._pools[name].wanted, why)
        return keeping(decision.limited("cooldown", changes), unknown)

    def _hot(self, pool: _Pool, now_s: float, wish: int) -> str | None:
        """Why the pool may not change to the wish yet; None where it may."""
        rest_s = self.grow_s if wish > pool.wanted else self.shrink_s
        if wish == pool.wanted or pool.changed_s is None or now_s >= pool.changed_s + rest_s:
            return None
        return f"changed {now_s - pool.changed_s:g} s ago, less than {rest_s:g} s"
