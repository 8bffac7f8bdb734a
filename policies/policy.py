"""The contract: a scaling policy is a function of what can be seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from policies.decision import Decision
from policies.observation import Observation


@dataclass(frozen=True, slots=True)
class Readings:
    """Which readings a policy cannot do without, and what it assumes where another is missing (reading -> words).

    Names are those of `Flow` and `PoolReading` fields.
    """

    needed: frozenset[str] = frozenset()
    assumed: Mapping[str, str] = field(default_factory=dict)


class Policy(Protocol):
    """Deterministic: the same observations, in the same order, give the same decisions.

    `memory_s` is how far back a policy looks; one that is fed observations of that long a time decides as one
    that has never stopped. It may keep state, and must not read a clock, draw random numbers or do I/O.
    """

    @property
    def readings(self) -> Readings: ...

    @property
    def memory_s(self) -> float: ...

    def decide(self, observation: Observation, /) -> Decision: ...
