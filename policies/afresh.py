"""A policy that begins anew when its clock goes back: what it remembers would lie in the future."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from policies.decision import Decision
from policies.observation import Observation
from policies.policy import Policy, Readings


@dataclass(slots=True)
class Afresh:
    """Law: after a step back it decides as one just built. The daemon and its replay both look through this."""

    build: Callable[[], Policy]
    _policy: Policy = field(init=False)
    _last_s: float = field(default=-inf, init=False)

    def __post_init__(self) -> None:
        self._policy = self.build()

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
