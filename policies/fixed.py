"""A fixed number of replicas: the yardstick of every other policy."""

from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from policies.decision import Decision, Reason
from policies.observation import Observation
from policies.policy import Readings
from policies.pool import Pools, known
from policies.spec import STRICT, Count


@checked(frozen=True, kw_only=True, config=STRICT)
class FixedSpec:
    """Keep these many replicas; a pool that is not named keeps what it started with."""

    kind: Literal["fixed"] = "fixed"
    replicas: dict[str, Count] = Field(default_factory=dict)
    """Pool (`model/version`) or version -> replicas."""

    def build(self, pools: Pools) -> "Fixed":
        return Fixed(known(self.replicas, pools))


@dataclass(slots=True)
class Fixed:
    replicas: dict[str, int]
    """Pool -> replicas."""
    memory_s: float = 0.0
    readings: Readings = Readings()
    _seen: frozenset[str] = field(default=frozenset(), init=False)
    _last: Decision = field(default=Decision(), init=False)

    def decide(self, observation: Observation, /) -> Decision:
        """The same decision again while the same pools are seen."""
        if observation.pools.keys() != self._seen:
            self._seen = frozenset(observation.pools)
            self._last = Decision({pool: Reason(n, "fixed") for pool, n in self.replicas.items() if pool in self._seen})
        return self._last
