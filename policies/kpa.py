"""The autoscaler of Knative serving (KPA): concurrency or arrivals over a stable window, and panic at a sudden rise."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass as checked

from policies.between import Between, Follower
from policies.decision import Decision, Reason
from policies.kpa_scaler import Scaler, ScalerSettings
from policies.kpa_windows import Buckets
from policies.kpa_zero import LastReplicas
from policies.observation import Observation, PoolReading
from policies.policy import Readings
from policies.pool import Pools, PoolTraits
from policies.spec import STRICT, Positive, PositiveCount, Seconds

LEAST_TARGET = 0.01
ARRIVALS_TARGET_PER_S = 200.0
"""Arrivals per second and replica where no target is given."""

Rate = Annotated[float, Field(gt=1)]


@checked(frozen=True, kw_only=True, config=STRICT)
class KpaSpec:
    """Scale as Knative serving does. Bounds are those of the pool; names and defaults are Knative's own.

    Readings stand for its scrapes: the time between two is filled second by second, with the mean of
    what was in service (from busy time, by Little's law) and what was queued, on a line between the two. Windows end
    at the last reading, and only one that is new can make a pool smaller.
    """

    kind: Literal["kpa"] = "kpa"
    metric: Literal["concurrency", "rps"] = "concurrency"
    """Requests queued and in service, or arrivals per second."""
    target: Positive | None = None
    """Of the metric, in one replica; its slots for concurrency (never more than those), 200 for rps."""
    target_utilization_percentage: Annotated[float, Field(ge=1, le=100)] = 70.0
    """The share of the target that is aimed at."""
    aggregation: Literal["linear", "weighted_exponential"] = "linear"
    """How a window's seconds are averaged: all alike, or the newer the heavier."""
    stable_window_s: Annotated[float, Field(ge=6, le=3600)] = 60.0
    panic_window_percentage: Annotated[float, Field(ge=1, le=100)] = 10.0
    """The panic window as a share of the stable one, in whole seconds."""
    panic_threshold_percentage: Annotated[float, Field(ge=110, le=1000)] = 200.0
    """Panic where the panic window asks for this many times the replicas that are ready."""
    max_scale_up_rate: Rate = 1000.0
    max_scale_down_rate: Rate = 2.0
    """Of one decision: most and least replicas, as ratio to those that are ready."""
    activation_scale: PositiveCount = 1
    """A pool with anything to do has at least so many replicas, or none."""
    initial_scale: PositiveCount = 1
    """A new pool has at least so many until they were once ready."""
    scale_down_delay_s: Seconds = 0.0
    """Never fewer than the most wished for in this time."""
    scale_to_zero: bool = True
    """Whether the last replica goes too, where the pool's bounds allow it."""
    scale_to_zero_grace_s: Seconds = 30.0
    """The last replicas stay for so long after they could go."""
    scale_to_zero_pod_retention_s: Seconds = 0.0
    """The same; the longer of the two counts."""
    target_burst_capacity: Annotated[float, Field(ge=-1)] = 211.0
    """A burst of requests that should find room; -1 is unlimited. What is left beyond it is told, not acted on."""

    @model_validator(mode="after")
    def _whole(self) -> "KpaSpec":
        if -1 < self.target_burst_capacity < 0:
            raise ValueError(f"target_burst_capacity {self.target_burst_capacity:g} must be -1, 0 or more")
        for name in ("stable_window_s", "scale_down_delay_s"):
            if (value := getattr(self, name)) != int(value):
                raise ValueError(f"{name} {value:g} must be whole seconds")
        return self

    @property
    def panic_window_s(self) -> float:
        return max(1.0, float(int(self.stable_window_s * self.panic_window_percentage / 100 + 0.5)))

    def build(self, pools: Pools) -> "Kpa":
        return Kpa(pools, self)

    def settings(self, pool: PoolTraits) -> ScalerSettings:
        """The scaler of one pool."""
        if self.metric == "rps":
            capacity = self.target or ARRIVALS_TARGET_PER_S
        else:
            capacity = min(self.target or pool.slots, pool.slots)
        return ScalerSettings(
            target=max(LEAST_TARGET, capacity * (self.target_utilization_percentage / 100)),
            capacity=capacity,
            stable_window_s=self.stable_window_s,
            panic_threshold=self.panic_threshold_percentage / 100,
            max_scale_up_rate=self.max_scale_up_rate,
            max_scale_down_rate=self.max_scale_down_rate,
            activation_scale=self.activation_scale,
            scale_down_delay_s=self.scale_down_delay_s,
            target_burst_capacity=self.target_burst_capacity,
        )


class Metric:
    """The metric of one pool, second by second, over the stable and the panic window."""

    def __init__(self, spec: KpaSpec) -> None:
        self._spec = spec
        self._stable = Buckets(spec.stable_window_s)
        self._panic = Buckets(spec.panic_window_s)
        self._follower = Follower()
        self._filled_to: int | None = None
        self._seen_s: float | None = None

    def see(self, time_s: float, reading: PoolReading, ready: int) -> bool:
        """Take in a reading; whether it is new and has the metric."""
        between = self._follower.see(time_s, reading)
        ends = _ends(between, self._spec.metric) if between else None
        if between is None or ends is None:
            return False
        self._seen_s = between.end_s
        newest = self._stable.at(between.end_s)
        # Replicas that are not there cannot be scraped: an idle pool at zero has no data, rather than zeros that
        # would dilute the first requests after it.
        if ready or any(ends):
            self._fill(self._stable.at(between.start_s) if self._filled_to is None else self._filled_to, newest, ends)
        self._filled_to = newest
        return True

    def means(self, now_s: float) -> tuple[float, float] | None:
        """Of the stable and of the panic window, both up to the last reading; None where nothing is known."""
        if self._seen_s is None or self._stable.is_empty(self._stable.at(now_s)):
            return None
        seen = self._stable.at(self._seen_s)
        if self._spec.aggregation == "linear":
            return self._stable.mean(seen), self._panic.mean(seen)
        return self._stable.weighted_mean(seen), self._panic.weighted_mean(seen)

    def _fill(self, last: int, newest: int, ends: tuple[float, float]) -> None:
        """Fill the buckets after `last` up to the newest with a straight line; the first bucket ever with its value.

        Of two readings within a second the later is passed over.
        """
        first = self._filled_to is None
        if newest == last and not first:
            return
        slope = (ends[1] - ends[0]) / max(newest - last, 1)
        for window, length_s in ((self._stable, self._spec.stable_window_s), (self._panic, self._spec.panic_window_s)):
            count = 1 if newest == last else min(newest - last, int(length_s))
            window.fill(newest - count + 1, [ends[1] - slope * back for back in range(count - 1, -1, -1)])


class Autoscaler:
    """What Knative keeps for one pool: its metric, its scaler, and whether it may have no replicas."""

    def __init__(self, spec: KpaSpec, pool: PoolTraits, now_s: float, ready: int, current: int) -> None:
        self._spec = spec
        self._pool = pool
        self._metric = Metric(spec)
        self._scaler = Scaler(spec.settings(pool), ready, now_s)
        # Replicas that are ready were there before this policy was.
        self._initial = spec.initial_scale if ready == 0 and current > 0 else 0
        grace_s = max(spec.scale_to_zero_grace_s, spec.scale_to_zero_pod_retention_s)
        self._last = LastReplicas(spec.stable_window_s, grace_s, now_s, current, self._enough(ready))

    def decide(self, now_s: float, reading: PoolReading, ready: int, current: int) -> Reason | str:
        """The wish, or in words why there is none."""
        is_new = self._metric.see(now_s, reading, ready)
        if ready >= self._initial:
            self._initial = 0
        means = self._metric.means(now_s)
        if means is None:
            return self._without_data(current)
        verdict = self._scaler.scale(now_s, ready, *means)
        words = f"{self._spec.metric} {verdict.reason.because}, excess burst capacity {verdict.excess_burst_capacity}"
        reason = self._bounded(replace(verdict.reason, because=words))
        if reason.final == 0 and not self._spec.scale_to_zero:
            reason = reason.limited("scale to zero", 1, "not allowed")
        reason = self._last.limited(reason, now_s, current, self._enough(ready))
        if not is_new:
            reason = reason.limited("unknown", max(reason.final, current), "no new reading")
        return self._at_most(reason)

    def _without_data(self, current: int) -> Reason | str:
        words = "no metric in the stable window"
        least = self._bounded(Reason(current, words))
        return least if self._last.activating and least.final > current else words

    def _bounded(self, reason: Reason) -> Reason:
        least = max(self._pool.at_least, self._initial)
        by, why = ("initial scale", "until so many were ready") if self._initial else ("bounds", f"at least {least}")
        reason = reason.limited(by, max(reason.final, least), why)
        return self._at_most(reason)

    def _at_most(self, reason: Reason) -> Reason:
        return reason.limited("bounds", min(reason.final, self._pool.at_most), f"at most {self._pool.at_most}")

    def _enough(self, ready: int) -> bool:
        return ready >= max(1, self._pool.at_least, self._initial)


@dataclass(slots=True)
class Kpa:
    """An `Autoscaler` for each pool.

    A panic that has lasted for longer than `memory_s` began with a number of replicas that a restart no longer knows;
    it takes those that are ready, as Knative does.
    """

    pools: Pools
    spec: KpaSpec
    _autoscalers: dict[str, Autoscaler] = field(default_factory=dict, init=False)

    @property
    def readings(self) -> Readings:
        ready = {"ready": "as many replicas ready as are wanted"}
        if self.spec.metric == "rps":
            return Readings(needed=frozenset({"arrived_total"}), assumed=ready)
        service = {"busy_s_total": "between two readings, the mean of what is in service at both"}
        return Readings(needed=frozenset({"queued", "in_service"}), assumed=ready | service)

    @property
    def memory_s(self) -> float:
        spec = self.spec
        grace_s = max(spec.scale_to_zero_grace_s, spec.scale_to_zero_pod_retention_s)
        return 3 * spec.stable_window_s + spec.scale_down_delay_s + grace_s

    def decide(self, observation: Observation, /) -> Decision:
        seen = [name for name in self.pools if name in observation.pools]
        return Decision.of({name: self._wish(name, observation.time_s, observation.pools[name]) for name in seen})

    def _wish(self, name: str, now_s: float, reading: PoolReading) -> Reason | str:
        ready = reading.wanted if reading.ready is None else reading.ready
        if ready is None:
            return "neither ready nor wanted replicas are known"
        current = ready if reading.wanted is None else reading.wanted
        if name not in self._autoscalers:
            self._autoscalers[name] = Autoscaler(self.spec, self.pools[name], now_s, ready, current)
        return self._autoscalers[name].decide(now_s, reading, ready, current)


def _ends(between: Between, metric: str) -> tuple[float, float] | None:
    """The metric at both ends; None where it is unknown."""
    if metric == "rps":
        return None if between.arrivals_per_s is None else (between.arrivals_per_s, between.arrivals_per_s)
    if between.in_service is None or between.queued is None:
        return None
    before = between.queued if between.queued_before is None else between.queued_before
    return between.in_service + before, between.in_service + between.queued
