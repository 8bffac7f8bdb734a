"""Replica counts by the clock: what was planned beforehand, whatever the load does."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from math import inf
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass as checked

from policies.cron import check_line, due, zone
from policies.decision import Decision, Reason
from policies.moments import EPOCH, Moment, unix_s
from policies.observation import Observation
from policies.policy import Policy, Readings
from policies.pool import Pools, known
from policies.spec import STRICT, Count, PositiveSeconds, Seconds

Replicas = Annotated[dict[str, Count], Field(min_length=1)]


@checked(frozen=True, kw_only=True, config=STRICT)
class Step:
    """From `at_s` on, these replicas; a pool that a step does not name keeps what it has."""

    at_s: Seconds
    replicas: Replicas
    """Pool (`model/version`) or version -> replicas."""


@checked(frozen=True, kw_only=True, config=STRICT)
class CronStep:
    """Each time that `at` comes due, these replicas from then on; a pool that it does not name keeps what it has."""

    at: Annotated[str, AfterValidator(check_line)]
    """Minute, hour, day of month, month and day of week, as in a crontab: `0 8 * * 1-5`.

    A time that the clocks jump over in spring is due when they have jumped; one that they pass twice in autumn only
    the first time. Where minute or hour begins with a star, it is elapsed time that counts.
    """
    timezone: Annotated[str, AfterValidator(lambda name: zone(name).key)] = "UTC"
    """A name of the IANA time zone database: `Europe/Berlin`."""
    replicas: Replicas
    """Pool (`model/version`) or version -> replicas."""


@checked(frozen=True, kw_only=True, config=STRICT)
class ScheduleSpec:
    """Change replica counts at planned times: after so many seconds (`steps`), or by the calendar (`cron`)."""

    kind: Literal["schedule"] = "schedule"
    steps: tuple[Step, ...] = ()
    repeat_s: PositiveSeconds | None = None
    """Start the steps again after this time, 86400 for every day; once where not given."""
    cron: tuple[CronStep, ...] = ()
    """For each pool the one that came due last holds; of two at one moment the later in the file."""
    starts: Moment = EPOCH
    """When the clock showed 0, for `cron`: in a simulation the moment of its start. A live clock shows Unix time."""

    @model_validator(mode="after")
    def _one_way(self) -> "ScheduleSpec":
        if bool(self.steps) == bool(self.cron):
            raise ValueError(f"needs either steps or cron; found {'both' if self.steps else 'neither'}")
        if self.cron and self.repeat_s is not None:
            raise ValueError("repeat_s goes with steps; cron lines repeat by themselves")
        if self.steps and self.starts != EPOCH:
            raise ValueError("starts goes with cron; steps count from 0 on the clock")
        return self

    @model_validator(mode="after")
    def _ascending(self) -> "ScheduleSpec":
        times = [step.at_s for step in self.steps]
        if any(a >= b for a, b in pairwise(times)):
            raise ValueError("steps must come in order of at_s, each later than the one before")
        if times and self.repeat_s is not None and times[-1] >= self.repeat_s:
            raise ValueError(f"the last step, at {times[-1]:g} s, must come before repeat_s, {self.repeat_s:g} s")
        return self

    def build(self, pools: Pools) -> Policy:
        if self.cron:
            replicas = tuple(known(step.replicas, pools) for step in self.cron)
            return Calendar(self.cron, replicas, unix_s(self.starts))
        steps = [known(step.replicas, pools) for step in self.steps]
        return Schedule(tuple(step.at_s for step in self.steps), tuple(steps), self.repeat_s)


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


@dataclass(slots=True)
class Calendar:
    """The same decision again until a line comes due; law: what holds depends on the moment alone."""

    steps: tuple[CronStep, ...]
    replicas: tuple[dict[str, int], ...]
    """For each step, pool -> replicas."""
    starts_s: float
    """Unix time when the clock showed 0."""
    memory_s: float = 0.0
    readings: Readings = Readings()
    _holds: tuple[float, float] = field(default=(inf, inf), init=False)
    """From when until when, in Unix time, what was planned last holds."""
    _plan: dict[str, Reason] = field(default_factory=dict, init=False)
    _seen: frozenset[str] = field(default=frozenset(), init=False)
    _last: Decision = field(default=Decision(), init=False)

    def decide(self, observation: Observation, /) -> Decision:
        now_s = observation.time_s + self.starts_s
        since_s, until_s = self._holds
        changed = not since_s <= now_s < until_s
        if changed:
            self._look_up(now_s)
        if changed or observation.pools.keys() != self._seen:
            self._seen = frozenset(observation.pools)
            self._last = Decision({pool: reason for pool, reason in self._plan.items() if pool in self._seen})
        return self._last

    def _look_up(self, now_s: float) -> None:
        times = [due(step.at, zone(step.timezone), now_s) for step in self.steps]
        passed = [(time.last_s, i) for i, time in enumerate(times) if time.last_s is not None]
        self._plan = self._planned(sorted(passed))
        self._holds = now_s, min((time.next_s for time in times if time.next_s is not None), default=inf)

    def _planned(self, passed: Iterable[tuple[float, int]]) -> dict[str, Reason]:
        """What holds after steps that came due at these Unix times, in this order."""
        plan = {}
        for due_s, i in passed:
            step = self.steps[i]
            at = datetime.fromtimestamp(due_s, UTC).astimezone(zone(step.timezone))
            because = f"planned by {step.at} since {at:%a %Y-%m-%d %H:%M} in {step.timezone}"
            plan.update({pool: Reason(count, because) for pool, count in self.replicas[i].items()})
        return plan
