"""A pool as it would read under another load: its counters grow faster or slower, and never go back.

What scales with the rate of arrivals is scaled: the growth of each counter between two readings, requests in service
(their mean number is rate x service time, by Little's law), and how busy each replica is. What does not is left as it
is: requests queued, for they are there whatever comes; replicas; and histograms, since a request's wait or service is
not longer for its being counted twice, nor has more been measured.

Counters begin at zero with the first reading. Growth is a multiple of 2^-20, so that sums of it are exact and a
difference of two totals is the same whenever counting began.
"""

from dataclasses import replace
from math import isfinite
from typing import NamedTuple

from policies.observation import Flow, PoolReading, ReplicaReading

COUNTERS = (
    "arrived_total",
    "started_total",
    "completed_total",
    "failed_total",
    "rejected_total",
    "abandoned_total",
    "busy_s_total",
)

GRAIN = 2.0**20


class Lens(NamedTuple):
    """How a load is shown: `factor` times as it is, but with at least `rate_per_s` arrivals of `service_s` each."""

    factor: float = 1.0
    rate_per_s: float = 0.0
    service_s: float = 0.0

    def least(self, share: float, length_s: float) -> tuple[float, ...]:
        """The least growth of each counter in that time, for a class with this share of the arrivals."""
        count = self.rate_per_s * share * length_s
        return (count, count, count, 0.0, 0.0, 0.0, count * self.service_s)


class ShownFlow:
    """The counters of one flow as they are shown."""

    def __init__(self) -> None:
        self._before: list[float | None] = [None] * len(COUNTERS)
        self._shown = [0.0] * len(COUNTERS)

    def see(self, flow: Flow, lens: Lens, share: float, length_s: float) -> Flow:
        """The flow as shown, after a reading that came so long after the one before."""
        least = lens.least(share, length_s)
        shown = [self._count(i, getattr(flow, name), lens.factor, least[i]) for i, name in enumerate(COUNTERS)]
        in_service = flow.in_service
        if in_service is not None:
            in_service = max(in_service * lens.factor, lens.rate_per_s * share * lens.service_s)
        return Flow(
            queued=flow.queued,
            in_service=in_service,
            arrived_total=shown[0],
            started_total=shown[1],
            completed_total=shown[2],
            failed_total=shown[3],
            rejected_total=shown[4],
            abandoned_total=shown[5],
            busy_s_total=shown[6],
            wait_s=flow.wait_s,
            service_s=flow.service_s,
            response_s=flow.response_s,
        )

    def _count(self, i: int, value: float | None, factor: float, least: float) -> float | None:
        """A counter as shown; one that went back was restarted from zero."""
        if value is None or not isfinite(value):
            return None
        before, self._before[i] = self._before[i], value
        if before is not None:
            growth = value - before if value >= before else value
            self._shown[i] += round(max(growth * factor, least) * GRAIN) / GRAIN
        return self._shown[i]


class ShownPool:
    """One pool as it is shown: `take` each new reading once, then `show` it as often as it is looked at."""

    def __init__(self) -> None:
        self._taken_s: float | None = None
        self._total = ShownFlow()
        self._classes: dict[str, ShownFlow] = {}
        self._flows: tuple[Flow, dict[str, Flow]] = (Flow(), {})
        self._lens = Lens()

    def take(self, taken_s: float, reading: PoolReading, lens: Lens) -> None:
        length_s = 0.0 if self._taken_s is None else taken_s - self._taken_s
        self._taken_s, self._lens = taken_s, lens
        classes = {
            name: self._classes.setdefault(name, ShownFlow()).see(flow, lens, _share(flow, reading.total), length_s)
            for name, flow in reading.classes.items()
        }
        self._flows = self._total.see(reading.total, lens, 1.0, length_s), classes

    def show(self, reading: PoolReading) -> PoolReading:
        """The last reading taken, with the replicas as they are."""
        if self._taken_s is None:
            return reading
        total, classes = self._flows
        return PoolReading(
            wanted=reading.wanted,
            starting=reading.starting,
            ready=reading.ready,
            draining=reading.draining,
            age_s=reading.age_s,
            total=total,
            classes=classes,
            replicas=reading.replicas and tuple(_busier(r, self._lens.factor) for r in reading.replicas),
        )


def _share(part: Flow, whole: Flow) -> float:
    """A class's share of all arrivals so far; 0 where that is unknown."""
    return part.arrived_total / whole.arrived_total if part.arrived_total and whole.arrived_total else 0.0


def _busier(replica: ReplicaReading, factor: float) -> ReplicaReading:
    used = replica.utilization
    return replica if used is None or factor == 1 else replace(replica, utilization=used * factor)
