"""A policy as it is run: within bounds, and anew when its clock goes back, as what it remembers would lie ahead."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from policies.bounded import Bounded
from policies.decision import Decision
from policies.observation import Observation
from policies.policy import Policy, Readings
from policies.pool import Pools

if TYPE_CHECKING:
    from policies.catalog import PolicySpec


@dataclass(slots=True)
class Afresh:
    """Law: after a step back it decides as one just built. The daemon and its replay both look through this."""

    build: Callable[[], Policy]
    _policy: Policy = field(init=False)
    _last_s: float = field(default=-inf, init=False)

    def __post_init__(self) -> None:
        self._policy = self.build()

    @classmethod
    def of(cls, spec: "PolicySpec", pools: Pools) -> "Afresh":
        """What a file names, within the bounds of its pools. Raises `ValueError` where it does not fit them."""
        return cls(lambda: Bounded(spec.build(pools), pools))

    @property
    def readings(self) -> Readings:
        return self._policy.readings

    @property
    def memory_s(self) -> float:
        return self._policy.memory_s

    def decide(self, observation: Observation, /) -> Decision:
        if observation.time_s < self._last_s:
            self._policy = self.build()
        self._last_s = observation.time_s
        return self._policy.decide(observation)
