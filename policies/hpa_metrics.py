"""The metrics of a Horizontal Pod Autoscaler, and how each is read off the observations of one pool.

`utilization` and `usage` are `type: Resource`, with the busy slots of a replica in the place of its processor;
`per_replica` is `type: Pods`; `total` is `type: Object` or `External`.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass as checked

from policies.hpa_replicas import (
    AverageTarget,
    Measured,
    Proposal,
    Readiness,
    Replica,
    Sample,
    Sums,
    Target,
    Tolerance,
    Unknown,
    UtilizationTarget,
    by_average_value,
    by_replica,
    by_value,
    grouped,
    measured,
    thousandths,
)
from policies.observation import Observation, PoolReading, ReplicaReading
from policies.pool import PoolTraits
from policies.spec import STRICT, InnerFraction, Positive, PositiveSeconds
from policies.windows import Window

Amount = Literal[
    "queued",
    "in_service",
    "in_system",
    "arrived_total",
    "started_total",
    "completed_total",
    "failed_total",
    "rejected_total",
    "abandoned_total",
    "busy_s_total",
]
"""What adds up over replicas: a gauge, now (`in_system` is queued and in service), or a counter, as its growth a
second over the window."""

Time = Literal["wait_s", "service_s", "response_s"]
"""A histogram, as its quantile over the window."""

TIMES: tuple[str, ...] = get_args(Time)


class ReplicaWindow:
    """What single replicas showed in the last `span_s`, by the time at which it was read."""

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self._readings: deque[tuple[float, Mapping[str, float]]] = deque()
        """When it was read, and the utilization of each replica that showed it."""

    def see(self, observation: Observation, pool: str) -> None:
        reading = observation.pools[pool]
        if reading.age_s is not None:
            taken_s = observation.time_s - reading.age_s
            if not self._readings or taken_s > self._readings[-1][0]:
                shown = {r.name: r.utilization for r in reading.replicas or () if r.utilization is not None}
                self._readings.append((taken_s, shown))
        while self._readings and self._readings[0][0] < observation.time_s - self.span_s:
            self._readings.popleft()

    def samples(self, slots: int, window_s: float) -> dict[str, Sample]:
        """The mean busy slots of each replica that the last reading shows the utilization of."""
        if not self._readings:
            return {}
        taken_s, newest = self._readings[-1]
        within = [shown for time_s, shown in self._readings if time_s > taken_s - window_s]
        names = list(newest)
        values: Iterable[Sequence[float]]
        if all(list(shown) == names for shown in within):
            values = zip(*[shown.values() for shown in within], strict=True)
        else:
            values = [[shown[name] for shown in within if name in shown] for name in names]
        return {
            name: Sample(thousandths(slots * sum(each) / len(each)), taken_s, window_s)
            for name, each in zip(names, values, strict=True)
        }


@dataclass(slots=True)
class PoolView:
    """One pool as its metrics see it: the present reading and the windows over those before."""

    traits: PoolTraits
    tolerance: Tolerance
    readiness: Readiness
    flows: dict[float, Window]
    """By length in seconds."""
    replicas: ReplicaWindow
    now_s: float = 0.0
    reading: PoolReading = field(default_factory=PoolReading)

    def see(self, observation: Observation) -> None:
        self.now_s = observation.time_s
        self.reading = observation.pools[self.traits.name]
        for window in self.flows.values():
            window.see(observation, self.traits.name)
        if self.replicas.span_s:
            self.replicas.see(observation, self.traits.name)

    @property
    def current(self) -> int:
        return self.reading.wanted or 0

    @property
    def ready(self) -> int:
        return max(0, self.current - self.starting) if self.reading.ready is None else self.reading.ready

    @property
    def starting(self) -> int:
        return self.reading.starting or 0

    @property
    def there(self) -> int:
        """Replicas in whatever state but draining."""
        return self.ready + self.starting

    def amount(self, reading: str, window_s: float, quantile: float) -> float | Unknown:
        """What a pool shows of a reading by its name."""
        window = self.flows[window_s]
        if reading == "in_system":
            parts = [window.latest("queued"), window.latest("in_service")]
            value = None if None in parts else sum(part for part in parts if part is not None)
        elif reading.endswith("_total"):
            value = window.rate_per_s(reading)
        elif reading in TIMES:
            histogram = window.histogram(reading)
            value = histogram.quantile(quantile) if histogram else None
        else:
            value = window.latest(reading)
        return Unknown(f"{reading} is not known of the last {window_s:g} s") if value is None else value


@checked(frozen=True, kw_only=True, config=STRICT)
class UtilizationMetric:
    """Keep a share of the slots of ready replicas busy: Resource with `averageUtilization`."""

    kind: Literal["utilization"] = "utilization"
    target: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Busy slots over slots; `averageUtilization: 80` is 0.8."""
    window_s: PositiveSeconds = 60.0
    """Utilisation is a mean over this time; a new replica counts when it has been ready so long."""

    def proposal(self, view: PoolView) -> Proposal | Unknown:
        return _by_busy_slots(view, UtilizationTarget(round(self.target * 100, 6)), self.window_s, self.kind)


@checked(frozen=True, kw_only=True, config=STRICT)
class UsageMetric:
    """Keep so many slots of each ready replica busy: Resource with `averageValue`."""

    kind: Literal["usage"] = "usage"
    average: Positive
    """Busy slots a replica."""
    window_s: PositiveSeconds = 60.0

    def proposal(self, view: PoolView) -> Proposal | Unknown:
        return _by_busy_slots(view, AverageTarget(thousandths(self.average)), self.window_s, "busy slots")


@checked(frozen=True, kw_only=True, config=STRICT)
class PerReplicaMetric:
    """Keep what each replica has to do at a level: Pods with `averageValue`.

    Replicas that are starting show nothing: idle while growing, at the target while shrinking.
    """

    kind: Literal["per_replica"] = "per_replica"
    reading: Amount
    average: Positive
    window_s: PositiveSeconds = 60.0

    def proposal(self, view: PoolView) -> Proposal | Unknown:
        amount = view.amount(self.reading, self.window_s, 0.0)
        if isinstance(amount, Unknown):
            return amount
        if not view.ready:
            return Unknown(f"no replica is ready to show {self.reading}")
        sums = Sums(thousandths(amount), 0, view.ready, view.ready)
        seen = Measured(view.ready, sums, missing=(0,) * view.starting)
        target = AverageTarget(thousandths(self.average))
        return by_replica(view.current, seen, target, view.tolerance, self.reading)


@checked(frozen=True, kw_only=True, config=STRICT)
class TotalMetric:
    """Scale by something of the whole pool: Object or External, with `value` or `averageValue`."""

    kind: Literal["total"] = "total"
    reading: Amount | Time
    value: Positive | None = None
    """What all of it should be: replicas grow as the ratio of the reading to it."""
    average: Positive | None = None
    """How much of it one replica is for: replicas are the reading over it."""
    quantile: InnerFraction = 0.95
    """Of a time."""
    window_s: PositiveSeconds = 60.0

    @model_validator(mode="after")
    def _one_target(self) -> "TotalMetric":
        if (self.value is None) == (self.average is None):
            raise ValueError(f"needs either value or average; found {'none' if self.value is None else 'both'}")
        if self.average is not None and self.reading in TIMES:
            raise ValueError(f"{self.reading} does not add up over replicas; give value in place of average")
        return self

    @property
    def target(self) -> int:
        """In thousandths."""
        return thousandths(self.value or self.average or 0.0)

    def usage(self, view: PoolView) -> int | Unknown:
        """In thousandths."""
        amount = view.amount(self.reading, self.window_s, self.quantile)
        return amount if isinstance(amount, Unknown) else thousandths(amount)

    def proposal(self, view: PoolView) -> Proposal | Unknown:
        usage = self.usage(view)
        return usage if isinstance(usage, Unknown) else self.proposal_for(usage, view)

    def proposal_for(self, usage: int, view: PoolView) -> Proposal:
        """What the pool would be sized to at such a reading, in thousandths."""
        if self.value is None:
            return by_average_value(view.there, usage, self.target, view.tolerance, self.reading)
        return by_value(view.current, view.ready, usage, self.target, view.tolerance, self.reading)


Metric = Annotated[
    UtilizationMetric | UsageMetric | PerReplicaMetric | TotalMetric,
    Field(discriminator="kind"),
]

_PARTS = {"in_system": frozenset({"queued", "in_service"})}

_ASSUMED = {
    "replicas": "all ready replicas equally busy, as busy_s_total says",
    "ready": "all wanted replicas ready but those starting",
    "starting": "none starting",
}


def needed(metrics: Iterable[Metric]) -> frozenset[str]:
    """The readings without which the metrics are unknown."""
    names = [getattr(metric, "reading", None) for metric in metrics]
    return frozenset[str]().union(*(_PARTS.get(name, {name}) for name in names if name))


def assumed(metrics: Iterable[Metric]) -> Mapping[str, str]:
    """What is assumed where a reading is not seen."""
    each = any(_by_slots(metric) for metric in metrics)
    return {reading: instead for reading, instead in _ASSUMED.items() if each or reading != "replicas"}


def view_of(traits: PoolTraits, tolerance: Tolerance, readiness: Readiness, metrics: Iterable[Metric]) -> PoolView:
    """A view that has seen nothing yet, with the windows that the metrics ask for."""
    given = list(metrics)
    spans = {metric.window_s for metric in given}
    by_slots = max((metric.window_s for metric in given if _by_slots(metric)), default=0.0)
    return PoolView(traits, tolerance, readiness, {span: Window(span) for span in spans}, ReplicaWindow(by_slots))


def _by_slots(metric: Metric) -> bool:
    return isinstance(metric, (UtilizationMetric, UsageMetric))


def _by_busy_slots(view: PoolView, target: Target, window_s: float, what: str) -> Proposal | Unknown:
    seen = _of_each(view, target, window_s) if view.reading.replicas is not None else _of_all(view, window_s)
    if isinstance(seen, Unknown):
        return seen
    return by_replica(view.current, seen, target, view.tolerance, what)


def _of_each(view: PoolView, target: Target, window_s: float) -> Measured | Unknown:
    samples = view.replicas.samples(view.traits.slots, window_s)
    replicas = [_replica(r) for r in view.reading.replicas or ()]
    # Started since the reading was taken: they are there, and show nothing.
    replicas += [Replica(f"later {i}", pending=True) for i in range(view.there - len(replicas))]
    groups = grouped(replicas, samples, view.now_s, view.readiness)
    request = view.traits.slots * 1000
    of_share = isinstance(target, UtilizationTarget)
    return measured(groups, samples, dict.fromkeys([r.name for r in replicas], request) if of_share else None)


def _replica(reading: ReplicaReading) -> Replica:
    started_s, ready_since_s = reading.started_s, reading.ready_since_s
    if ready_since_s is not None:
        return Replica(reading.name, started_s, True, ready_since_s)
    return Replica(reading.name, started_s, False, -inf if started_s is None else started_s)


def _of_all(view: PoolView, window_s: float) -> Measured | Unknown:
    busy = view.amount("busy_s_total", window_s, 0.0)
    if isinstance(busy, Unknown):
        return busy
    if not view.ready:
        return Unknown("no replica is ready to be busy")
    request = view.traits.slots * 1000
    sums = Sums(thousandths(busy), request * view.ready, view.ready, view.ready)
    return Measured(view.ready, sums, unready=(request,) * view.starting)
