"""Step scaling with cooldown and warm-up, as clouds offer it: the greater the breach of a threshold, the greater
the change."""

from collections import deque
from dataclasses import dataclass, field
from math import ceil, floor, inf
from typing import Literal

from pydantic import model_validator
from pydantic.dataclasses import dataclass as checked

from policies.between import Between, Follower
from policies.decision import Decision, Reason
from policies.observation import Observation, PoolReading
from policies.policy import Readings
from policies.pool import Pools, PoolTraits
from policies.spec import STRICT, PositiveSeconds, Seconds
from policies.step_rule import StepAdjustment, StepAlarm, aggregate

Metric = Literal["utilization", "ongoing_per_replica", "queued_per_replica", "arrivals_per_s_per_replica", "queued"]
Aggregation = Literal["average", "minimum", "maximum"]

SAME_PERIOD = 1e-9
"""Share of a period by which a reading may miss its end and still be taken to be at it."""

NEEDED: dict[str, tuple[str, ...]] = {
    "utilization": ("in_service",),
    "ongoing_per_replica": ("in_service", "queued"),
    "queued_per_replica": ("queued",),
    "arrivals_per_s_per_replica": ("arrived_total",),
    "queued": ("queued",),
}


@checked(frozen=True, kw_only=True, config=STRICT)
class StepSpec:
    """Scale in steps, as AWS Auto Scaling does on CloudWatch alarms. Bounds are those of the pool.

    The metric is averaged over each period, by the clock; when a period is over, its alarm is looked at once. A
    period without a reading is missing: growing passes it over, shrinking begins to count anew.
    """

    kind: Literal["step"] = "step"
    metric: Metric = "utilization"
    """Busy slots over slots of ready replicas; or requests in service and queued, queued, or arrivals per second, over
    ready replicas; or requests queued in all."""
    period_s: PositiveSeconds = 60.0
    """At least the time between readings."""
    metric_aggregation: Aggregation = "average"
    """Of the periods of an alarm, to choose a step by."""
    scale_out: StepAlarm | None = None
    """At or above its threshold."""
    scale_in: StepAlarm | None = None
    """At or below its threshold."""
    cooldown_s: Seconds = 300.0
    """After a change none shrinks, and one that grows counts what the change before has added as part of its own."""
    warmup_s: Seconds = 0.0
    """A replica is counted when it was ready for so long; while others start or warm up, none is taken away."""

    @model_validator(mode="after")
    def _alarms(self) -> "StepSpec":
        if self.scale_out is None and self.scale_in is None:
            raise ValueError("needs scale_out, scale_in or both")
        for name, alarm, sign in (("scale_out", self.scale_out, 1), ("scale_in", self.scale_in, -1)):
            if alarm is not None:
                _check(name, alarm, sign)
        return self

    def build(self, pools: Pools) -> "StepScaling":
        return StepScaling(pools, self)

    @property
    def longest(self) -> int:
        """Periods that are looked at, at most; growing looks back twice as far as it needs, for missing ones."""
        return max(2 * alarm.evaluation_periods for alarm in (self.scale_out, self.scale_in) if alarm is not None)


def _check(name: str, alarm: StepAlarm, sign: int) -> None:
    """Raise `ValueError` where an alarm's steps leave some breach out, or go the wrong way."""
    far, near = (alarm.steps[-1].high, alarm.steps[0].low) if sign > 0 else (alarm.steps[0].low, alarm.steps[-1].high)
    if far != sign * inf:
        bound = "last step must have no upper_bound" if sign > 0 else "first step must have no lower_bound"
        raise ValueError(f"{name}: the {bound}, it is {far:g}")
    if near * sign > 0:
        raise ValueError(f"{name}: steps must begin at the threshold, 0, and not at {near:g}")
    if alarm.adjustment_type != "exact_capacity" and any(step.adjustment * sign < 0 for step in alarm.steps):
        raise ValueError(f"{name}: adjustments must be {'0 or more' if sign > 0 else '0 or less'}")


class Periods:
    """The metric of one pool by period: means of the readings in each."""

    def __init__(self, spec: StepSpec, slots: int) -> None:
        self._spec = spec
        self._slots = slots
        self._follower = Follower()
        self._means: deque[tuple[int, float, int]] = deque()
        """Period, sum of its values, how many there are."""
        self._ended: int | None = None

    def see(self, time_s: float, reading: PoolReading, ready: int) -> int | None:
        """Take in a reading; the last period that is over where that was not known before."""
        between = self._follower.see(time_s, reading)
        if between is None:
            return None
        value = self._value(between, ready)
        ends = between.end_s / self._spec.period_s
        if value is not None:
            self._add(ceil(ends - SAME_PERIOD) - 1, value)
        ended = floor(ends + SAME_PERIOD) - 1
        is_news, self._ended = self._ended is not None and ended > self._ended, ended
        return ended if is_news else None

    def latest(self, alarm: StepAlarm, ended: int, missing_allowed: bool) -> list[float]:
        """The means of the alarm's periods up to `ended`; empty where too few are known."""
        count = alarm.evaluation_periods
        known = [(period, total / n) for period, total, n in self._means if period <= ended][-count:]
        oldest = ended - count * (2 if missing_allowed else 1)
        if len(known) < count or known[-1][0] != ended or known[0][0] <= oldest:
            return []
        return [mean for _, mean in known]

    def _add(self, period: int, value: float) -> None:
        total, n = self._means.pop()[1:] if self._means and self._means[-1][0] == period else (0.0, 0)
        self._means.append((period, total + value, n + 1))
        while self._means[0][0] < period - self._spec.longest:
            self._means.popleft()

    def _value(self, between: Between, ready: int) -> float | None:
        metric = self._spec.metric
        if metric == "queued":
            return between.queued
        load = _load(between, metric)
        if load is None:
            return None
        if ready == 0:
            return inf if load > 0 else 0.0
        return load / (ready * self._slots if metric == "utilization" else ready)


def _load(between: Between, metric: Metric) -> float | None:
    if metric == "utilization":
        return between.in_service
    if metric == "arrivals_per_s_per_replica":
        return between.arrivals_per_s
    if metric == "queued_per_replica" or between.in_service is None or between.queued is None:
        return between.queued if metric == "queued_per_replica" else None
    return between.in_service + between.queued


@dataclass(frozen=True, slots=True)
class Change:
    """The last change of how many are wanted, whoever made it, and the replicas that were counted before it, or before
    the growth that it went on with."""

    at_s: float
    counted: int
    grew: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The replicas of a pool at one moment."""

    wanted: int
    ready: int
    warm: int
    """Ready for as long as the warm-up takes."""
    starting: int
    draining: int


class StepGroup:
    """What is kept for one pool: its periods, its last change, and how many replicas were ready."""

    def __init__(self, spec: StepSpec, pool: PoolTraits) -> None:
        self._spec = spec
        self._pool = pool
        self._periods = Periods(spec, pool.slots)
        self._ready: deque[tuple[float, int]] = deque()
        self._before: tuple[float, Group] | None = None
        self._change: Change | None = None

    def decide(self, now_s: float, reading: PoolReading, wanted: int) -> Reason | str:
        """The wish, or in words why there is none."""
        group = self._group(now_s, reading, wanted)
        ended = self._periods.see(now_s, reading, group.ready)
        if wanted == 0 and reading.total.queued:
            return self._bounded(Reason(1, "requests wait and no replica is wanted"))
        if ended is None:
            return "no period has ended"
        wish = self._grown(now_s, group, ended) or self._shrunk(now_s, group, ended)
        return "no alarm" if wish is None else self._bounded(wish)

    def _grown(self, now_s: float, group: Group, ended: int) -> Reason | None:
        alarm = self._spec.scale_out
        found = self._step(alarm, ended, above=True)
        if alarm is None or found is None:
            return None
        counted = self._counted(now_s, group)
        step, words = found
        most = max(group.wanted, alarm.adjusted(counted, step))
        wish = Reason(alarm.adjusted(group.wanted, step), words)
        by = "warm-up" if counted == group.warm else "cooldown"
        return wish.limited(by, most, f"from {counted} replicas, and no fewer than are wanted")

    def _shrunk(self, now_s: float, group: Group, ended: int) -> Reason | None:
        alarm = self._spec.scale_in
        found = self._step(alarm, ended, above=False)
        if alarm is None or found is None:
            return None
        step, words = found
        wish = Reason(alarm.adjusted(group.wanted, step), words)
        counted = group.ready + group.draining
        if self._is_cooling(now_s):
            return wish.limited("cooldown", group.wanted, f"{self._spec.cooldown_s:g} s after a change")
        if group.starting or group.warm < group.ready:
            return wish.limited("warm-up", group.wanted, "replicas start or warm up")
        least = min(group.wanted, alarm.adjusted(counted, step))
        return wish.limited("draining", least, f"from {counted} replicas, those that drain included")

    def _step(self, alarm: StepAlarm | None, ended: int, above: bool) -> tuple[StepAdjustment, str] | None:
        """The step of an alarm that goes off, with words for why; growing overlooks periods that are missing."""
        means = self._periods.latest(alarm, ended, missing_allowed=above) if alarm else []
        if alarm is None or not means:
            return None
        if any(mean < alarm.threshold if above else mean > alarm.threshold for mean in means):
            return None
        metric = aggregate(means, self._spec.metric_aggregation)
        step = alarm.step(metric, above)
        side = "above" if above else "below"
        words = f"{self._spec.metric} {metric:.3g}, {side} {alarm.threshold:g} for {len(means)} periods"
        return None if step is None else (step, words)

    def _group(self, now_s: float, reading: PoolReading, wanted: int) -> Group:
        ready = wanted if reading.ready is None else reading.ready
        self._ready.append((now_s, ready))
        while self._ready[0][0] < now_s - self._spec.warmup_s:
            self._ready.popleft()
        group = Group(
            wanted=wanted,
            ready=ready,
            warm=min(n for _, n in self._ready),
            starting=max(0, wanted - ready) if reading.starting is None else reading.starting,
            draining=reading.draining or 0,
        )
        self._notice(group)
        self._before = now_s, group
        return group

    def _notice(self, now: Group) -> None:
        """Remember a change of what is wanted, as made when the pool was last seen."""
        if self._before is None or self._before[1].wanted == now.wanted:
            return
        at_s, group = self._before
        self._change = Change(at_s, self._counted(at_s, group), grew=now.wanted > group.wanted)

    def _counted(self, now_s: float, group: Group) -> int:
        """Replicas that growth counts from: the warm ones, or what there was before a growth that has just been."""
        if self._change is not None and self._change.grew and self._is_cooling(now_s):
            return min(group.warm, self._change.counted)
        return group.warm

    def _is_cooling(self, now_s: float) -> bool:
        return self._change is not None and now_s - self._change.at_s < self._spec.cooldown_s

    def _bounded(self, reason: Reason) -> Reason:
        least, most = self._pool.at_least, self._pool.at_most
        within = max(least, min(reason.final, most))
        return reason.limited("bounds", within, f"at least {least}" if within == least else f"at most {most}")


@dataclass(slots=True)
class StepScaling:
    pools: Pools
    spec: StepSpec
    _groups: dict[str, StepGroup] = field(default_factory=dict, init=False)

    @property
    def readings(self) -> Readings:
        assumed = {
            "ready": "as many replicas ready as are wanted",
            "starting": "those that are wanted and not ready",
            "draining": "none",
        }
        if "in_service" in NEEDED[self.spec.metric]:
            assumed["busy_s_total"] = "between two readings, the mean of what is in service at both"
        return Readings(needed=frozenset({"wanted", *NEEDED[self.spec.metric]}), assumed=assumed)

    @property
    def memory_s(self) -> float:
        spec = self.spec
        return (spec.longest + 2) * spec.period_s + spec.cooldown_s + spec.warmup_s

    def decide(self, observation: Observation, /) -> Decision:
        seen = [name for name in self.pools if name in observation.pools]
        return Decision.of({name: self._wish(name, observation.time_s, observation.pools[name]) for name in seen})

    def _wish(self, name: str, now_s: float, reading: PoolReading) -> Reason | str:
        if reading.wanted is None:
            return "how many replicas are wanted is not known"
        if name not in self._groups:
            self._groups[name] = StepGroup(self.spec, self.pools[name])
        return self._groups[name].decide(now_s, reading, reading.wanted)
