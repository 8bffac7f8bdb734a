"""One turn of the control loop: see, decide, act, write down. It keeps no time; each world has a driver."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from policies.decision import Decision
from policies.observation import Observation
from policies.policy import Policy


@dataclass(frozen=True, slots=True)
class Action:
    """What became of one target: replicas wanted before and after; `error` where the write did not take effect."""

    before: int | None
    after: int | None
    error: str | None = None


class Turn(NamedTuple):
    """One whole turn, enough to put the same policy through it again."""

    observation: Observation
    decision: Decision
    actions: Mapping[str, Action]


class Sensor(Protocol):
    def read(self) -> Observation: ...


class Actuator(Protocol):
    def apply(self, decision: Decision) -> Mapping[str, Action]:
        """Make the world want the decision's targets; an action for each target that differed from what was wanted."""
        ...


class Journal(Protocol):
    def write(self, turn: Turn) -> None: ...


@dataclass(frozen=True, slots=True)
class ControlLoop:
    policy: Policy
    sensor: Sensor
    actuator: Actuator
    journal: Journal

    def tick(self) -> Turn:
        observation = self.sensor.read()
        decision = self.policy.decide(observation)
        turn = Turn(observation, decision, self.actuator.apply(decision))
        self.journal.write(turn)
        return turn
