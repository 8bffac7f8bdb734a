"""Replica counts by the clock: what was planned beforehand, whatever the load does."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass as checked

from policies.decision import Decision, Reason
from policies.observation import Observation
from policies.policy import Readings
from policies.pool import Pools, known
from policies.spec import STRICT, Count, PositiveSeconds, Seconds


@checked(frozen=True, kw_only=True, config=STRICT)
class Step:
    """From `at_s` on, these replicas; a pool that a step does not name keeps what it has."""

    at_s: Seconds
    replicas: Annotated[dict[str, Count], Field(min_length=1)]
    """Pool (`model/version`) or version -> replicas."""


@checked(frozen=True, kw_only=True, config=STRICT)
class ScheduleSpec:
    """Change replica counts at planned times."""

    kind: Literal["schedule"] = "schedule"
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    repeat_s: PositiveSeconds | None = None
    """Start again after this time, 86400 for every day; once where not given."""

    @model_validator(mode="after")
    def _ascending(self) -> "ScheduleSpec":
        times = [step.at_s for step in self.steps]
        if any(a >= b for a, b in pairwise(times)):
            raise ValueError("steps must come in order of at_s, each later than the one before")
        if self.repeat_s is not None and times[-1] >= self.repeat_s:
            raise ValueError(f"the last step, at {times[-1]:g} s, must come before repeat_s, {self.repeat_s:g} s")
        return self

    def build(self, pools: Pools) -> "Schedule":
        replicas = [known(step.replicas, pools) for step in self.steps]
        return Schedule(tuple(step.at_s for step in self.steps), tuple(replicas), self.repeat_s)


@dataclass(frozen=True, slots=True)
class Schedule:
    times_s: tuple[float, ...]
    replicas: tuple[dict[str, int], ...]
    """For each time, pool -> replicas."""
    repeat_s: float | None = None
    memory_s: float = 0.0
    readings: Readings = Readings()

    def decide(self, observation: Observation, /) -> Decision:
        reasons = {
            pool: Reason(count, f"planned from {at_s:g} s on")
            for pool, (at_s, count) in self._plan(observation.time_s).items()
            if pool in observation.pools
        }
        return Decision(reasons)

    def _plan(self, now_s: float) -> dict[str, tuple[float, int]]:
        """Pool -> the step that holds for it now: its time and count."""
        time_s = now_s if self.repeat_s is None else now_s % self.repeat_s
        passed = bisect_right(self.times_s, time_s)
        # In a later round the steps of the round before still hold until the first one comes.
        order = [*range(passed, len(self.times_s))] if self.repeat_s is not None and now_s >= self.repeat_s else []
        plan: dict[str, tuple[float, int]] = {}
        for i in (*order, *range(passed)):
            plan.update({pool: (self.times_s[i], count) for pool, count in self.replicas[i].items()})
        return plan
