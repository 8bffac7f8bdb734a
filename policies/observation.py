"""What a policy is shown: what a scrape would have seen, and nothing derived from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.histogram import Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """The requests of a pool, or of one class in it: two gauges, counters that only grow, cumulative histograms.

    None means unknown, never zero. A counter that went back means that its source was restarted.
    """

    queued: float | None = None
    in_service: float | None = None
    arrived_total: float | None = None
    started_total: float | None = None
    completed_total: float | None = None
    failed_total: float | None = None
    rejected_total: float | None = None
    abandoned_total: float | None = None
    busy_s_total: float | None = None
    """Slot-seconds spent serving, of running services too."""
    wait_s: Histogram | None = None
    """Of requests that started, entered as they start."""
    service_s: Histogram | None = None
    """Of requests that completed, entered as they complete."""
    response_s: Histogram | None = None
    """Of requests that completed, entered as they complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaReading:
    """One replica, for rules that look at each, as the Horizontal Pod Autoscaler does."""

    name: str
    utilization: float | None = None
    """Share of its slots that are busy, now."""
    started_s: float | None = None
    ready_since_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReading:
    """One pool at one scrape."""

    wanted: int | None = None
    starting: int | None = None
    ready: int | None = None
    draining: int | None = None
    age_s: float | None = None
    """Time between the reading and the observation; None where nothing was ever read."""
    total: Flow = field(default_factory=Flow)
    classes: Mapping[str, Flow] = field(default_factory=dict)
    replicas: tuple[ReplicaReading, ...] | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """All pools as they can be seen at `time_s`, the only clock that a policy has."""

    time_s: float
    pools: Mapping[str, PoolReading]
