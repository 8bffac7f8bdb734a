"""How many replicas one metric asks for, as the Horizontal Pod Autoscaler of Kubernetes computes it.

The arithmetic is the controller's: whole thousandths of a unit, whole percents, cut off where it cuts off, so that
what it rounds is rounded alike. Source: kubernetes, pkg/controller/podautoscaler, replica_calculator.go and
metrics/utilization.go, as of 2026 (a tolerance for each direction).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, inf, nan
from typing import NamedTuple, Protocol

from policies.decision import Reason

LARGEST_COUNT = 2**31 - 1
LARGEST_VALUE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Tolerance:
    """No change while usage over target is this close to 1, below and above."""

    down: float = 0.1
    up: float = 0.1

    def holds(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one metric asks for.

    `usage` is in thousandths: the mean of a replica, or all of it where the target is a value for all. `percent` is
    the utilisation, where the target is one.
    """

    reason: Reason
    usage: int
    percent: int | None = None

    @property
    def replicas(self) -> int:
        return self.reason.final


class Replica(NamedTuple):
    """What must be known of a replica to say whether its metric counts."""

    name: str
    started_s: float | None = None
    ready: bool | None = None
    """None where nothing has been said of it yet."""
    changed_s: float = -inf
    """When it became, or ceased to be, ready; its start where it never was."""
    pending: bool = False
    """It has no machine yet."""
    gone: bool = False
    """It is being stopped, or has ended."""


class Sample(NamedTuple):
    """The metric of one replica, in thousandths: a mean over the `window_s` before `taken_s`."""

    value: int
    taken_s: float
    window_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """When the processor usage of a replica says nothing yet, because it is still coming up."""

    initialization_s: float = 300.0
    """Flag --horizontal-pod-autoscaler-cpu-initialization-period."""
    delay_s: float = 30.0
    """Flag --horizontal-pod-autoscaler-initial-readiness-delay."""

    def counts(self, replica: Replica, sample: Sample, now_s: float) -> bool:
        """Young replicas count once a whole window has been measured while ready, old ones if ever ready."""
        if replica.ready is None or replica.started_s is None:
            return False
        if replica.started_s + self.initialization_s > now_s:
            return replica.ready and sample.taken_s >= replica.changed_s + sample.window_s
        return replica.ready or replica.started_s + self.delay_s <= replica.changed_s


class Groups(NamedTuple):
    """Names of replicas, by what their metric is worth."""

    ready: list[str]
    unready: list[str]
    missing: list[str]
    ignored: list[str]


def grouped(
    replicas: Iterable[Replica], samples: Mapping[str, Sample], now_s: float, readiness: Readiness | None
) -> Groups:
    """`readiness` is asked for processor usage only; other metrics count as soon as there are any."""
    groups = Groups([], [], [], [])
    for replica in replicas:
        groups[_group(replica, samples.get(replica.name), now_s, readiness)].append(replica.name)
    return groups


def _group(replica: Replica, sample: Sample | None, now_s: float, readiness: Readiness | None) -> int:
    if replica.gone:
        return 3
    if replica.pending:
        return 1
    if sample is None:
        return 2
    return 0 if readiness is None or readiness.counts(replica, sample, now_s) else 1


class Sums(NamedTuple):
    """Usage and requests in thousandths, of `known` replicas; `values` counts metrics of strangers too."""

    used: int
    requested: int
    known: int
    values: int

    def with_others(self, used: int, requests: tuple[int, ...]) -> "Sums":
        """The same and some more replicas, which use so much together."""
        more = len(requests)
        return Sums(self.used + used, self.requested + sum(requests), self.known + more, self.values + more)


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of one pool: what counts, and the requests (thousandths) of those whose metric does not."""

    ready: int
    sums: Sums
    missing: tuple[int, ...] = ()
    unready: tuple[int, ...] = ()


def measured(
    groups: Groups, samples: Mapping[str, Sample], requests: Mapping[str, int | None] | None
) -> Measured | Unknown:
    """The sums of one metric; `requests` only where the target is a utilisation, of all replicas there are."""
    left_out = {*groups.unready, *groups.ignored}
    counted = {name: sample[0] for name, sample in samples.items() if name not in left_out}
    if not counted:
        return Unknown("no replica that is ready shows the metric")
    if requests is None:
        sums = Sums(sum(counted.values()), 0, len(counted), len(counted))
        return Measured(len(groups.ready), sums, (0,) * len(groups.missing), (0,) * len(groups.unready))
    known = {name: request for name, request in requests.items() if request is not None}
    if len(known) < len(requests):
        return Unknown("a replica requests no such resource, so its utilization is not defined")
    own = [name for name in counted if name in known]
    request = known.__getitem__
    sums = Sums(sum(map(counted.__getitem__, own)), sum(map(request, own)), len(own), len(counted))
    return Measured(len(groups.ready), sums, tuple(map(request, groups.missing)), tuple(map(request, groups.unready)))


class Target(Protocol):
    """What a metric that is measured at each replica should be."""

    def level(self, sums: Sums, /) -> int | None: ...
    def ratio(self, level: int, /) -> float: ...
    def assumed(self, requests: tuple[int, ...], /) -> int:
        """What replicas without the metric use together, before anything is stopped for want of use."""
        ...

    def proposal(self, reason: Reason, sums: Sums, /) -> Proposal: ...
    def told(self, level: int, /) -> str: ...


@dataclass(frozen=True, slots=True)
class UtilizationTarget:
    """A share of what replicas request, in percent: `averageUtilization`."""

    percent: float

    def level(self, sums: Sums) -> int | None:
        return _whole(sums.used * 100, sums.requested) if sums.requested else None

    def ratio(self, level: int) -> float:
        return level / self.percent

    def assumed(self, requests: tuple[int, ...]) -> int:
        full = int(max(100, self.percent))
        return sum(request * full // 100 for request in requests)

    def proposal(self, reason: Reason, sums: Sums) -> Proposal:
        return Proposal(reason, _whole(sums.used, sums.known), self.level(sums))

    def told(self, level: int) -> str:
        return f"{level} % / {self.percent:g} %"


@dataclass(frozen=True, slots=True)
class AverageTarget:
    """Usage of a replica on average, in thousandths: `averageValue` of a Resource or Pods metric."""

    usage: int

    def level(self, sums: Sums) -> int | None:
        return _whole(sums.used, sums.values)

    def ratio(self, level: int) -> float:
        return level / self.usage

    def assumed(self, requests: tuple[int, ...]) -> int:
        return self.usage * len(requests)

    def proposal(self, reason: Reason, sums: Sums) -> Proposal:
        return Proposal(reason, _whole(sums.used, sums.values))

    def told(self, level: int) -> str:
        return f"{level / 1000:g} / {self.usage / 1000:g} a replica"


def by_replica(current: int, seen: Measured, target: Target, tolerance: Tolerance, what: str) -> Proposal | Unknown:
    """Usage over target, times the replicas that count: GetResourceReplicas, GetRawResourceReplicas, GetMetricReplicas.

    Before growing, replicas without the metric and those not ready count as idle; before shrinking, the former count
    as fully used (at the target, where that is an average). Where that turns the direction, nothing changes.
    """
    level = target.level(seen.sums)
    if level is None:
        return Unknown("no replica that is known shows the metric")
    ratio = target.ratio(level)
    wish = Reason(_count(ratio * seen.ready), f"{what} {target.told(level)} x {seen.ready} ready")
    if seen.missing or (seen.unready and ratio > 1.0):
        reason = _with_all(wish, current, seen, target, tolerance, ratio)
    elif tolerance.holds(ratio):
        reason = wish.limited("tolerance", current, f"usage over target is {ratio:.3g}")
    else:
        reason = wish
    return target.proposal(reason, seen.sums)


def _with_all(wish: Reason, current: int, seen: Measured, target: Target, tolerance: Tolerance, ratio: float) -> Reason:
    sums = seen.sums
    if ratio != 1.0:
        sums = sums.with_others(target.assumed(seen.missing) if ratio < 1.0 else 0, seen.missing)
    if ratio > 1.0:
        sums = sums.with_others(0, seen.unready)
    again = target.ratio(target.level(sums) or 0)
    others = f"{len(seen.missing)} replicas without the metric and {len(seen.unready)} not ready: {again:.3g} of target"
    if tolerance.holds(again) or (again - 1.0) * (ratio - 1.0) < 0:
        return wish.limited("replicas not seen", current, others)
    count = _count(again * sums.values)
    turned = count > current if again < 1.0 else count < current
    return wish.limited("replicas not seen", current if turned else count, others)


def by_value(current: int, ready: int, usage: int, target: int, tolerance: Tolerance, what: str) -> Proposal:
    """All usage over the target, times the ready replicas: `value` of an Object or External metric.

    From zero replicas as many as the ratio says, whatever the tolerance.
    """
    ratio = usage / target
    told = f"{what} {usage / 1000:g} / {target / 1000:g}"
    if not current:
        return Proposal(Reason(_count(ratio), f"{told} from none"), usage)
    reason = Reason(_count(ratio * ready), f"{told} x {ready} ready")
    if tolerance.holds(ratio):
        reason = reason.limited("tolerance", current, f"usage over target is {ratio:.3g}")
    return Proposal(reason, usage)


def by_average_value(there: int, usage: int, target: int, tolerance: Tolerance, what: str) -> Proposal:
    """All usage over the target of one replica: `averageValue` of an Object or External metric.

    `there` counts replicas in whatever state.
    """
    reason = Reason(_count(usage / target), f"{what} {usage / 1000:g} / {target / 1000:g} a replica")
    ratio = _over(usage, target * there)
    if tolerance.holds(ratio):
        reason = reason.limited("tolerance", there, f"usage over target is {ratio:.3g}")
    return Proposal(reason, each(usage, there))


def each(usage: int, replicas: int) -> int:
    """Usage of one replica in thousandths, rounded up; 0 where there is none, at most 2^63 - 1."""
    if float(usage) >= float(LARGEST_VALUE):
        return LARGEST_VALUE
    return ceil(usage / replicas) if replicas else 0


def total(values: Iterable[int]) -> int:
    """The sum of an external metric's series in thousandths, at most 2^63 - 1."""
    return min(sum(values), LARGEST_VALUE)


def thousandths(value: float) -> int:
    """A reading as the metrics API carries it, rounded up; what floating point left over is not."""
    scaled = value * 1000
    up = ceil(scaled)
    # Rounding to digits is dear, and matters only to what is a hair above a whole number.
    return min(up if scaled - (up - 1) > 1e-6 else ceil(round(scaled, 6)), LARGEST_VALUE)


def _count(replicas: float) -> int:
    return min(ceil(min(replicas, LARGEST_COUNT)), LARGEST_COUNT)


def _over(a: float, b: float) -> float:
    """A quotient as floating point has it, by zero too."""
    if b:
        return a / b
    return inf if a > 0 else nan


def _whole(a: int, b: int) -> int:
    """A quotient of whole numbers, cut off towards zero."""
    return a // b if a >= 0 else -(-a // b)
