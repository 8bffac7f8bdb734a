"""What a trace says of its traffic: rates, variability, service times, versions; as data."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.traces.file import Finding
from sim.traces.form import Counts, Labels, Trace
from sim.traces.formats import clock_step_s

FloatArray = NDArray[np.float64]
SCALES_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400, 604800)
LEAST_WINDOWS = 20
DAY_S = 86400.0


@dataclass(frozen=True)
class Spread:
    """A distribution in short. `scv` is the squared coefficient of variation (None for fewer than two values)."""

    known: int
    mean: float
    scv: float | None
    minimum: float
    p50: float
    p90: float
    p95: float
    p99: float
    maximum: float


@dataclass(frozen=True)
class Dispersion:
    """Variance over mean of the numbers of arrivals in windows of `scale_s`: 1 for a Poisson stream at every scale."""

    scale_s: float
    windows: int
    index: float


@dataclass(frozen=True)
class Group:
    """The requests of one version or class (None: those whose version is unknown).

    `service` is of the successful requests. `offered_load` is rate x mean time on a replica, failed requests
    included since they held one too; `peak_busy` is the most of them on replicas at once had none waited.
    """

    name: str | None
    requests: int
    share: float
    failed: int
    first_s: float
    last_s: float
    service: Spread | None
    offered_load: float | None
    peak_busy: int | None


@dataclass(frozen=True, kw_only=True)
class Description:
    """Rates are per second. Peaks are of the fullest minute and hour, wherever they begin (whole intervals of counts).
    None is what the trace cannot tell: its columns, its length or the step of its clock do not allow it."""

    name: str
    format: str
    kind: str
    start: str | None
    span_s: float
    requests: int
    failed: int | None = None
    interval_s: float | None = None
    clock_step_s: float | None = None
    rate_per_s: float | None
    peak_minute_rate_per_s: float | None
    peak_hour_rate_per_s: float | None
    dispersion: tuple[Dispersion, ...]
    interarrival_scv: float | None = None
    service: Spread | None = None
    patience: Spread | None = None
    context_tokens: Spread | None = None
    generated_tokens: Spread | None = None
    count: Spread | None = None
    offered_load: float | None = None
    peak_busy: int | None = None
    versions: tuple[Group, ...] = ()
    classes: tuple[Group, ...] = ()
    rate_by_hour_of_day_per_s: tuple[float, ...] | None = None
    findings: tuple[Finding, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Nested dicts, lists and scalars, fit for JSON."""
        return asdict(self)


def describe(trace: Trace | Counts) -> Description:
    return _describe_counts(trace) if isinstance(trace, Counts) else _describe_requests(trace)


def spread(values: FloatArray | None) -> Spread | None:
    """Of the known values; None where there are none."""
    known = values[~np.isnan(values)] if values is not None else np.empty(0)
    if not len(known):
        return None
    low, p50, p90, p95, p99, high = np.quantile(known, (0, 0.5, 0.9, 0.95, 0.99, 1)).tolist()
    return Spread(len(known), float(known.mean()), scv(known), low, p50, p90, p95, p99, high)


def scv(values: FloatArray) -> float | None:
    """Squared coefficient of variation; None for fewer than two values or a mean of 0."""
    if len(values) < 2 or values.mean() == 0:
        return None
    return float(values.var(ddof=1) / values.mean() ** 2)


def dispersion(time_s: FloatArray, scale_s: float) -> Dispersion | None:
    """Over the whole windows of `scale_s` that fit from 0 to the last arrival; None for fewer than 20 of them."""
    windows = int(time_s[-1] // scale_s)
    if windows < LEAST_WINDOWS:
        return None
    window = time_s // scale_s
    window = window[: np.searchsorted(window, windows)]
    # Empty windows need no bin: a second of a year-long trace is one of 31 million.
    filled = np.diff(np.append(np.flatnonzero(np.diff(window, prepend=-1.0)), len(window))).astype(np.float64)
    mean = len(window) / windows
    variance = (np.sum(filled**2) - windows * mean**2) / (windows - 1)
    return Dispersion(scale_s, windows, float(variance / mean))


def peak_rate_per_s(time_s: FloatArray, window_s: float) -> float | None:
    """Of the fullest window of that length, wherever it begins; None where the trace is shorter than it."""
    if time_s[-1] < window_s:
        return None
    until = np.searchsorted(time_s, time_s + window_s, side="left")
    return float((until - np.arange(len(time_s))).max() / window_s)


def peak_busy(time_s: FloatArray, service_s: FloatArray) -> int:
    """The most requests on replicas at once had none waited; unknown service times count as none. At one instant a
    completion comes before an arrival."""
    known = ~np.isnan(service_s)
    arrivals, ends = time_s[known], np.sort(time_s[known] + service_s[known])
    present = np.arange(1, len(arrivals) + 1) - np.searchsorted(ends, arrivals, side="right")
    return int(present.max(initial=0))


def _describe_requests(trace: Trace) -> Description:
    step_s = clock_step_s(trace.time_s)
    rate_per_s = len(trace.time_s) / trace.span_s if trace.span_s > 0 else None
    return Description(
        name=trace.name,
        format=trace.format,
        kind="requests",
        start=trace.start,
        span_s=trace.span_s,
        requests=len(trace.time_s),
        failed=None if trace.failed is None else int(trace.failed.sum()),
        clock_step_s=step_s,
        rate_per_s=rate_per_s,
        peak_minute_rate_per_s=peak_rate_per_s(trace.time_s, 60.0),
        peak_hour_rate_per_s=peak_rate_per_s(trace.time_s, 3600.0),
        dispersion=tuple(_dispersions(trace.time_s, step_s)),
        interarrival_scv=scv(np.diff(trace.time_s)) if tells_interarrivals(trace.time_s, step_s) else None,
        service=spread(successful_service_s(trace)),
        patience=spread(trace.patience_s),
        context_tokens=spread(trace.context_tokens),
        generated_tokens=spread(trace.generated_tokens),
        offered_load=_offered_load(rate_per_s, trace.service_s),
        peak_busy=None if trace.service_s is None else peak_busy(trace.time_s, trace.service_s),
        versions=_groups(trace, trace.version),
        classes=_groups(trace, trace.request_class),
        rate_by_hour_of_day_per_s=_rate_by_hour(trace),
        findings=trace.findings,
    )


def tells_interarrivals(time_s: FloatArray, step_s: float | None) -> bool:
    """Whether the clock is finer than the mean time between arrivals."""
    return bool(time_s[-1] > 0) if step_s is None else bool(step_s * len(time_s) < time_s[-1])


def successful_service_s(trace: Trace) -> FloatArray | None:
    if trace.service_s is None or trace.failed is None:
        return trace.service_s
    return trace.service_s[~trace.failed]


def _dispersions(time_s: FloatArray, step_s: float | None) -> Iterator[Dispersion]:
    """At the scales that a clock of this step can tell: its whole multiples, and all from ten steps on."""
    for scale_s in SCALES_S:
        steps = scale_s / step_s if step_s else np.inf
        if steps >= 10 or (steps > 0.5 and abs(steps - round(steps)) < 1e-6):
            found = dispersion(time_s, scale_s)
            if found is not None:
                yield found


def _offered_load(rate_per_s: float | None, service_s: FloatArray | None) -> float | None:
    held = spread(service_s)
    return None if held is None or rate_per_s is None else rate_per_s * held.mean


def _groups(trace: Trace, labels: Labels | None) -> tuple[Group, ...]:
    """Largest first; those unknown last."""
    if labels is None:
        return ()
    order = np.argsort(labels.codes, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(labels.codes[order])) + 1)
    groups = [_group(trace, labels, rows) for rows in parts]
    return tuple(sorted(groups, key=lambda group: (group.name is None, -group.requests, group.name)))


def _group(trace: Trace, labels: Labels, rows: NDArray[np.intp]) -> Group:
    code = int(labels.codes[rows[0]])
    held = None if trace.service_s is None else trace.service_s[rows]
    failed = np.zeros(len(rows), np.bool_) if trace.failed is None else trace.failed[rows]
    return Group(
        name=labels.names[code] if code >= 0 else None,
        requests=len(rows),
        share=len(rows) / len(trace.time_s),
        failed=int(failed.sum()),
        first_s=float(trace.time_s[rows[0]]),
        last_s=float(trace.time_s[rows[-1]]),
        service=None if held is None else spread(held[~failed]),
        offered_load=_offered_load(len(rows) / trace.span_s if trace.span_s > 0 else None, held),
        peak_busy=None if held is None else peak_busy(trace.time_s[rows], held),
    )


def _rate_by_hour(trace: Trace) -> tuple[float, ...] | None:
    """Arrivals in each hour of the day over the time that the trace spends in it; for two days or more."""
    begin_s = _second_of_day(trace.start)
    if begin_s is None or trace.span_s < 2 * DAY_S:
        return None
    edges = np.arange(begin_s // 3600 * 3600, begin_s + trace.span_s + 3600, 3600)
    spent_s = np.diff(np.clip(edges, begin_s, begin_s + trace.span_s))
    exposure_s = np.bincount((edges[:-1] // 3600).astype(int) % 24, spent_s, minlength=24)
    arrivals = np.bincount(((begin_s + trace.time_s) // 3600).astype(int) % 24, minlength=24)
    return tuple((arrivals / exposure_s).tolist())


def _second_of_day(start: str | None) -> float | None:
    """In the zone that `start` is written in; None where it is no ISO 8601 time."""
    import pandas as pd

    when = pd.to_datetime(start, format="ISO8601", errors="coerce") if start is not None else pd.NaT
    return None if pd.isna(when) else float((when - when.normalize()).total_seconds())


def _describe_counts(counts: Counts) -> Description:
    grid = _grid(counts)
    return Description(
        name=counts.name,
        format=counts.format,
        kind="counts",
        start=counts.start,
        span_s=counts.span_s,
        requests=int(counts.count.sum()),
        interval_s=counts.interval_s,
        rate_per_s=float(counts.count.mean() / counts.interval_s),
        peak_minute_rate_per_s=_peak_of_counts(grid, counts.interval_s, 60.0),
        peak_hour_rate_per_s=_peak_of_counts(grid, counts.interval_s, 3600.0),
        dispersion=tuple(_dispersions_of_counts(grid, counts.interval_s)),
        count=spread(counts.count.astype(np.float64)),
        rate_by_hour_of_day_per_s=_rate_by_hour_of_counts(counts),
        findings=counts.findings,
    )


def _grid(counts: Counts) -> FloatArray:
    """The count of every interval from first to last, NaN where there is no row."""
    place = np.round(counts.time_s / counts.interval_s).astype(np.int64)
    grid = np.full(int(place[-1]) + 1, np.nan)
    grid[place] = counts.count
    return grid


def _whole(scale_s: float, interval_s: float) -> int | None:
    """How many intervals make up the scale; None where it is not a whole number of them."""
    intervals = round(scale_s / interval_s)
    return intervals if intervals and abs(intervals * interval_s - scale_s) < 1e-6 * scale_s else None


def _peak_of_counts(grid: FloatArray, interval_s: float, window_s: float) -> float | None:
    intervals = _whole(window_s, interval_s)
    if intervals is None or intervals > len(grid):
        return None
    sums = np.lib.stride_tricks.sliding_window_view(grid, intervals).sum(axis=1)
    known = sums[~np.isnan(sums)]
    return float(known.max() / window_s) if len(known) else None


def _dispersions_of_counts(grid: FloatArray, interval_s: float) -> Iterator[Dispersion]:
    for scale_s in sorted({interval_s, *(float(scale) for scale in SCALES_S if scale > interval_s)}):
        intervals = _whole(scale_s, interval_s)
        if intervals is None:
            continue
        windows = grid[: len(grid) // intervals * intervals].reshape(-1, intervals).sum(axis=1)
        known = windows[~np.isnan(windows)]
        if len(known) >= LEAST_WINDOWS and known.mean() > 0:
            yield Dispersion(scale_s, len(known), float(known.var(ddof=1) / known.mean()))


def _rate_by_hour_of_counts(counts: Counts) -> tuple[float, ...] | None:
    begin_s = _second_of_day(counts.start)
    if begin_s is None or counts.span_s < 2 * DAY_S or counts.interval_s > 3600:
        return None
    hour = ((begin_s + counts.time_s + counts.interval_s / 2) // 3600).astype(int) % 24
    exposure_s = np.bincount(hour, minlength=24) * counts.interval_s
    if not exposure_s.all():
        return None
    return tuple((np.bincount(hour, counts.count, minlength=24) / exposure_s).tolist())
