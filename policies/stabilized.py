"""A policy around a policy: shrink, or grow, only to what was wished throughout a window."""

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass as checked

from policies.decision import Decision
from policies.observation import Observation
from policies.policy import Policy, Readings
from policies.pool import Pools
from policies.spec import STRICT, Seconds

if TYPE_CHECKING:
    from policies.catalog import PolicySpec


@checked(frozen=True, kw_only=True, config=STRICT)
class StabilizedSpec:
    """Hold a change back until the inner policy has wished for it throughout a window."""

    kind: Literal["stabilized"] = "stabilized"
    shrink_s: Seconds = 300.0
    """Never below the greatest wish of this long."""
    grow_s: Seconds = 0.0
    """Never above the least wish of this long."""
    policy: "PolicySpec"

    def build(self, pools: Pools) -> "Stabilized":
        return Stabilized(self.policy.build(pools), self.shrink_s, self.grow_s)


@dataclass(slots=True)
class Stabilized:
    """The rule of the Horizontal Pod Autoscaler: what is wanted now is moved into [least wish of `grow_s`,
    greatest wish of `shrink_s`], no further."""

    policy: Policy
    shrink_s: float
    grow_s: float
    _wishes: dict[str, deque[tuple[float, int]]] = field(default_factory=dict, init=False)

    @property
    def readings(self) -> Readings:
        return self.policy.readings

    @property
    def memory_s(self) -> float:
        return self.policy.memory_s + max(self.shrink_s, self.grow_s)

    def decide(self, observation: Observation, /) -> Decision:
        decision = self.policy.decide(observation)
        changes = {}
        for pool, wish in decision.targets.items():
            least, greatest = self._range(pool, observation.time_s, wish)
            wanted = observation.pools[pool].wanted
            held = min(max(greatest if wanted is None else wanted, least), greatest)
            if held != wish:
                window_s = self.shrink_s if held > wish else self.grow_s
                changes[pool] = (held, f"held by the wishes of the last {window_s:g} s")
        return decision.limited("stabilization", changes)

    def _range(self, pool: str, now_s: float, wish: int) -> tuple[int, int]:
        """The least wish of `grow_s` and the greatest of `shrink_s`, the present one included in both."""
        wishes = self._wishes.setdefault(pool, deque())
        wishes.append((now_s, wish))
        while wishes[0][0] < now_s - max(self.shrink_s, self.grow_s):
            wishes.popleft()
        least = min(w for t, w in wishes if t >= now_s - self.grow_s)
        greatest = max(w for t, w in wishes if t >= now_s - self.shrink_s)
        return least, greatest
