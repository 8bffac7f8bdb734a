"""Fakes of the loop's ports and short ways to say what is seen, for tests of policies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from policies.decision import Decision, Reason
from policies.loop import Action, Turn
from policies.observation import Flow, Observation, PoolReading
from policies.policy import Readings
from policies.pool import PoolTraits


def traits(name: str = "m/v1", **known: Any) -> PoolTraits:
    """A pool `model/version` of up to 1,000 replicas, with these other traits."""
    model, _, version = name.partition("/")
    return PoolTraits(**{"name": name, "model": model, "version": version, "at_most": 1000, **known})


def seen(
    time_s: float, pool: str = "m/v1", wanted: int | None = 1, age_s: float | None = 0.0, **flow: Any
) -> Observation:
    """One pool at a moment, all its wanted replicas ready; `flow` gives gauges and counters."""
    reading = PoolReading(wanted=wanted, starting=0, ready=wanted, draining=0, age_s=age_s, total=Flow(**flow))
    return Observation(time_s, {pool: reading})


@dataclass
class Script:
    """A policy that wants what it was told to, turn by turn; None keeps, as does every turn after the last."""

    wishes: Sequence[int | None]
    pool: str = "m/v1"
    memory_s: float = 0.0
    _turn: int = field(default=0, init=False)

    @property
    def readings(self) -> Readings:
        return Readings()

    def decide(self, _observation: Observation, /) -> Decision:
        wish = self.wishes[self._turn] if self._turn < len(self.wishes) else None
        self._turn += 1
        return Decision() if wish is None else Decision({self.pool: Reason(wish, "as told")})


@dataclass
class Recording:
    """A sensor that shows given observations, an actuator that does as told, and a journal, in one."""

    observations: Sequence[Observation]
    turns: list[Turn] = field(default_factory=list)
    wanted: dict[str, int] = field(default_factory=dict)

    def read(self) -> Observation:
        return self.observations[len(self.turns)]

    def apply(self, decision: Decision) -> Mapping[str, Action]:
        actions = {
            pool: Action(self.wanted.get(pool), target)
            for pool, target in decision.targets.items()
            if self.wanted.get(pool) != target
        }
        self.wanted.update(decision.targets)
        return actions

    def write(self, turn: Turn) -> None:
        self.turns.append(turn)
