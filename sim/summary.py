"""The figures of a run, overall and by model, version and request class, each with its 95 % interval."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.pool import PoolTraits
from sim.cluster import Requests, Tallied
from sim.columns import Columns
from sim.history import DecisionRow, PoolRow
from sim.intervals import proportion
from sim.loghistogram import TICKS_PER_S, LogHistogram, bucket
from sim.measures import Estimate, Sample, batches, tail_warnings
from sim.scenario import Scenario
from sim.text import percent
from sim.windows import Mask, Scopes, Window

Floats = NDArray[np.float64]

LATE = 0.4
"""Share of the run that is cut as warm-up from which on the run is said to be too short."""
UNSETTLED = 0.05
"""Share of the requests that are still there at the end from which on the queue is said not to have settled."""
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, eq=False, slots=True)
class Run:
    """One finished replication."""

    windows: Sequence[Window]
    service: LogHistogram
    """Of all services that came to their end."""
    service_s: Floats
    """Their sum for each pool and class."""
    present: Requests
    """Those still there at the end."""
    rows: Mapping[str, Columns[PoolRow]]
    decisions: Columns[DecisionRow]
    end_s: float

    def since(self, time_s: float) -> list[Window]:
        """The windows that begin then or later."""
        return [window for window in self.windows if window.start_s >= time_s]


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests by what became of them; means over replications. `waiting` are those still in the system at the end."""

    arrived: float
    completed: float
    rejected: float
    abandoned: float
    failed: float
    waiting: float


@dataclass(frozen=True, slots=True)
class Group:
    """The figures of some of the requests: all, a model's, a version's or a class's.

    Counts, replica-hours, cost and scale events are of the whole run, times, SLO and utilisation of what comes after
    the warm-up: waits of the requests that started, or left without a start, after it, all else of those that left
    after it. Mean wait: of requests that waited and were served or gave up. Mean response: of those completed.
    Percentiles: of all requests, those never served counted as infinite, and those still there at the end with the
    time they have been there. SLO: of those that left; those still there count once their time is up.
    """

    requests: Counts
    wait_s: Mapping[str, Estimate]
    response_s: Mapping[str, Estimate]
    slo_attainment: Estimate | None
    utilization: float
    replica_hours: float
    cost: float
    scale_events: float | None
    """None for a class: replicas are not of one class."""


@dataclass(frozen=True, slots=True)
class Summary:
    overall: Group
    by_model: Mapping[str, Group]
    by_version: Mapping[str, Group]
    by_class: Mapping[str, Group]
    notes: tuple[str, ...]
    """What keeps the figures from meaning what they seem to."""

    def groups(self) -> Iterator[tuple[str, str, Group]]:
        """(kind, name, group) of all of them, the overall one first."""
        yield "overall", "", self.overall
        for kind in ("model", "version", "class"):
            for name, group in getattr(self, f"by_{kind}").items():
                yield kind, name, group


class Summarizer:
    """Takes the figures of a finished run."""

    def __init__(self, scenario: Scenario, runs: Sequence[Run], warmup_s: float) -> None:
        self._scenario = scenario
        self._runs = runs
        self._warmup_s = warmup_s
        self._scopes = Scopes(scenario)
        self._targets_s = np.array([scenario.target_s(c) for c in scenario.traffic])
        self._usage = [[_usage(run.rows[p.name], p, warmup_s) for p in scenario.pools.values()] for run in runs]
        self._counts = [np.sum([w.counts for w in run.windows], axis=0) for run in runs]
        self._batches, self._last = _batched(runs, warmup_s)
        self._tallied = np.array([np.sum([w.counts for w in b], axis=0) for b in self._batches])
        self._stayed_s = [run.end_s - run.present.arrival_s for run in runs]
        self._times_of: dict[int, tuple[dict[str, Estimate], dict[str, Estimate]]] = {}

    def summary(self) -> Summary:
        pools = list(self._scenario.pools.values())
        every_pool = range(len(pools))
        every_class = range(len(self._scenario.traffic))
        models = {m.name: [i for i, pool in enumerate(pools) if pool.model == m.name] for m in self._scenario.models}
        overall = self._group(every_pool, every_class)
        return Summary(
            overall=overall,
            by_model={name: self._group(numbers, every_class) for name, numbers in models.items()},
            by_version={pool.name: self._group([i], every_class) for i, pool in enumerate(pools)},
            by_class={c.name: self._group(every_pool, [k]) for k, c in enumerate(self._scenario.traffic)},
            notes=tuple(self._notes(overall)),
        )

    def mean_response(self) -> Estimate:
        """Of all requests."""
        parts = [[window.response[0] for window in batch] for batch in self._batches]
        return self._sample(parts, None).mean()

    def _group(self, pools: Sequence[int], classes: Sequence[int]) -> Group:
        scope = self._scopes.number(pools, classes)
        shares = self._shares(pools, classes)
        if scope not in self._times_of:
            self._times_of[scope] = self._waits(scope), self._responses(scope)
        wait_s, response_s = self._times_of[scope]
        return Group(
            requests=self._requests(self._scopes.masks[scope]),
            wait_s=wait_s,
            response_s=response_s,
            slo_attainment=self._attainment(scope, classes),
            utilization=_over(self._used("busy_s", pools, shares), self._used("serving_s", pools)),
            replica_hours=self._used("replica_hours", pools, shares),
            cost=self._used("cost", pools, shares),
            scale_events=self._used("scale_events", pools) if len(classes) == len(self._scenario.traffic) else None,
        )

    def _requests(self, mask: Mask) -> Counts:
        def mean(found: Sequence[int]) -> float:
            return found[0] if len(found) == 1 else sum(found) / len(found)

        tallied = [counts[mask].sum(axis=0).tolist() for counts in self._counts]
        return Counts(
            arrived=mean([row[Tallied.ARRIVED] for row in tallied]),
            completed=mean([row[Tallied.COMPLETED] for row in tallied]),
            rejected=mean([row[Tallied.REJECTED] for row in tallied]),
            abandoned=mean([row[Tallied.ABANDONED] for row in tallied]),
            failed=mean([row[Tallied.FAILED] for row in tallied]),
            waiting=mean([int(_members(run.present, mask).sum()) for run in self._runs]),
        )

    def _waits(self, scope: int) -> dict[str, Estimate]:
        started = [[LogHistogram.merged(window.wait[scope] for window in batch)] for batch in self._batches]
        tallied = self._tallied[:, self._scopes.masks[scope]].sum(axis=1)
        mean = self._sample([[*s, _gave_up(row)] for s, row in zip(started, tallied, strict=True)], None).mean()
        never = tallied[:, [Tallied.REJECTED, Tallied.ABANDONED]].sum(axis=1)
        return self._times(mean, started, never, [np.isnan(run.present.start_s) for run in self._runs], scope)

    def _responses(self, scope: int) -> dict[str, Estimate]:
        completed = [[LogHistogram.merged(window.response[scope] for window in batch)] for batch in self._batches]
        tallied = self._tallied[:, self._scopes.masks[scope]].sum(axis=1)
        mean = self._sample(completed, None).mean()
        never = tallied[:, [Tallied.FAILED, Tallied.REJECTED, Tallied.ABANDONED]].sum(axis=1)
        return self._times(mean, completed, never, [np.full(len(s), True) for s in self._stayed_s], scope)

    def _times(
        self,
        mean: Estimate,
        served: Sequence[Sequence[LogHistogram]],
        never: NDArray[np.int64],
        open_ended: Sequence[Mask],
        scope: int,
    ) -> dict[str, Estimate]:
        """This mean, and the quantiles of all: `open_ended` are those of the present whose time still runs."""
        every = [list(histograms) for histograms in served]
        for i, (run, there) in enumerate(zip(self._runs, open_ended, strict=True)):
            found = there & _members(run.present, self._scopes.masks[scope])
            every[self._last[i]].append(LogHistogram.of_times(self._stayed_s[i][found]))
        whole = self._sample(every, never)
        # A time is never negative; an interval by the normal law may be.
        times = {"mean": replace(mean, low=float(np.maximum(mean.low, 0.0)))}
        return {**times, **{name: whole.quantile(p) for name, p in QUANTILES.items()}}

    def _attainment(self, scope: int, classes: Sequence[int]) -> Estimate | None:
        asked = np.isfinite(self._targets_s)
        if not asked[list(classes)].any():
            return None
        mask = self._scopes.masks[scope] & asked
        tallied = self._tallied[:, mask].sum(axis=1)
        left = tallied[:, [Tallied.COMPLETED, Tallied.FAILED, Tallied.REJECTED, Tallied.ABANDONED]].sum(axis=1)
        for i, run in enumerate(self._runs):
            # Somebody still there whose time is not up may yet meet the objective, or not.
            late = self._stayed_s[i] > self._targets_s[run.present.request_class]
            left[self._last[i]] += (late & _members(run.present, mask)).sum()
        return proportion(tallied[:, Tallied.MET], left, serial=len(self._runs) == 1)

    def _sample(self, parts: Sequence[Sequence[LogHistogram]], never: NDArray[np.int64] | None) -> Sample:
        none = np.zeros(len(parts))
        return Sample.of_histograms(parts, none if never is None else never, serial=len(self._runs) == 1)

    def _shares(self, pools: Sequence[int], classes: Sequence[int]) -> list[list[float]]:
        """For each run and pool, the share of its service time that these classes took."""
        return [[self._share(run, pool, classes) for pool in pools] for run in self._runs]

    def _share(self, run: Run, pool: int, classes: Sequence[int]) -> float:
        if len(classes) == len(self._scenario.traffic):
            return 1.0
        return _over(float(run.service_s[pool, list(classes)].sum()), float(run.service_s[pool].sum()))

    def _used(self, what: str, pools: Sequence[int], shares: Sequence[Sequence[float]] | None = None) -> float:
        """Mean over replications of what these pools used, or of these shares of it."""
        each = shares or [[1.0] * len(pools)] * len(self._runs)
        used = [
            sum(getattr(usage[p], what) * s for p, s in zip(pools, share, strict=True))
            for usage, share in zip(self._usage, each, strict=True)
        ]
        return float(sum(used) / len(used))

    def _notes(self, overall: Group) -> Iterator[str]:
        r = overall.requests
        if r.waiting > UNSETTLED * r.arrived:
            there = percent(r.waiting / r.arrived)
            yield f"{there} of the requests are still there at the end: in a longer run they would wait longer"
        end_s = self._runs[0].end_s
        if self._warmup_s > LATE * end_s:
            cut = percent(self._warmup_s / end_s)
            yield f"warm-up takes {cut} of the run: it has hardly settled, make it longer"
        yield from self._silences()
        yield from tail_warnings(LogHistogram.merged(run.service for run in self._runs))
        if not self._scenario.stationary and len(self._runs) == 1:
            yield (
                "the load changes with time and this is one run: its intervals tell of the load's ups and downs too; "
                "with --replications they tell how sure the figures of the whole course are"
            )
            return
        times = {"wait": overall.wait_s, "response": overall.response_s}
        doubtful = [f"{name} of {word}" for word, figures in times.items() for name, e in figures.items() if e.warnings]
        if doubtful:
            yield f"the run is too short to trust the intervals of {', '.join(doubtful)}; make it longer"

    def _silences(self) -> Iterator[str]:
        """Where a policy kept what there was at most ticks, the reason that it gave most often."""
        decisions = [row for run in self._runs for row in run.decisions]
        reasons = Counter(row.because for row in decisions if row.wish is None)
        if sum(reasons.values()) > len(decisions) / 2:
            ((why, _),) = reasons.most_common(1)
            yield f"the policy kept what there was at most ticks, mostly because {why}"


def _batched(runs: Sequence[Run], from_s: float) -> tuple[list[list[Window]], list[int]]:
    """The windows of each batch, and for each run the number of its last batch."""
    if len(runs) > 1:
        return [run.since(from_s) for run in runs], list(range(len(runs)))
    windows = runs[0].since(from_s)
    found = [[windows[i] for i in batch] for batch in batches(len(windows))]
    return found, [len(found) - 1]


def _members(requests: Requests, mask: Mask) -> NDArray[np.bool_]:
    members: NDArray[np.bool_] = mask[requests.pool, requests.request_class]
    return members


def _gave_up(tallied: NDArray[np.int64]) -> LogHistogram:
    """The waits of those that gave up, all as long as their mean."""
    gone, waited = (int(tallied[column]) for column in (Tallied.ABANDONED, Tallied.ABANDONED_WAIT))
    return LogHistogram.of({bucket(waited / gone / TICKS_PER_S): (gone, waited)} if gone else {})


@dataclass(frozen=True, slots=True)
class _Usage:
    """What one pool used in one run: busy and serving slot-seconds after the warm-up, the rest from the start."""

    busy_s: float
    serving_s: float
    replica_hours: float
    cost: float
    scale_events: int


def _usage(rows: Columns[PoolRow], pool: PoolTraits, warmup_s: float) -> _Usage:
    last = rows[-1]
    first = rows[int(np.searchsorted(rows.column("time_s"), min(warmup_s, last.time_s)))]
    hours = last.replica_s_total / 3600
    return _Usage(
        busy_s=last.busy_s_total - first.busy_s_total,
        serving_s=(last.serving_s_total - first.serving_s_total) * pool.slots,
        replica_hours=hours,
        cost=hours * pool.cost_per_hour,
        scale_events=int(np.count_nonzero(np.diff(rows.column("replicas_wanted")))),
    )


def _over(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def plain_group(group: Group) -> dict[str, Any]:
    """A group as JSON has it: numbers, nested dicts, null for what is unknown or infinite."""
    attained = group.slo_attainment
    return {
        "requests": {name: getattr(group.requests, name) for name in Counts.__slots__},
        "wait_s": _plain_times(group.wait_s),
        "response_s": _plain_times(group.response_s),
        "slo_attainment": None if attained is None else finite(attained.value),
        "slo_attainment_ci95": None if attained is None else [finite(attained.low), finite(attained.high)],
        "utilization": group.utilization,
        "replica_hours": group.replica_hours,
        "cost": group.cost,
        "scale_events": group.scale_events,
    }


def _plain_times(times: Mapping[str, Estimate]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, estimate in times.items():
        plain[name] = finite(estimate.value)
        plain[f"{name}_ci95"] = [finite(estimate.low), finite(estimate.high)]
    return plain


def finite(value: float) -> float | None:
    """A number as JSON can have it: None where it is infinite or unknown."""
    return float(value) if np.isfinite(value) else None


def read_group(record: Mapping[str, Any]) -> Group:
    """What `plain_group` wrote: a null among quantiles is infinite where there were requests."""
    unknown = np.inf if record["requests"]["arrived"] else np.nan
    attained = record["slo_attainment"]
    return Group(
        requests=Counts(**record["requests"]),
        wait_s=_read_times(record["wait_s"], unknown),
        response_s=_read_times(record["response_s"], unknown),
        slo_attainment=None if attained is None else _estimate(attained, record["slo_attainment_ci95"], np.nan),
        **{name: record[name] for name in ("utilization", "replica_hours", "cost", "scale_events")},
    )


def _read_times(record: Mapping[str, Any], unknown: float) -> dict[str, Estimate]:
    return {
        name: _estimate(record[name], record[f"{name}_ci95"], np.nan if name == "mean" else unknown)
        for name in ("mean", *QUANTILES)
    }


def _estimate(value: float | None, ends: Sequence[float | None], unknown: float) -> Estimate:
    low, high = (unknown if end is None else end for end in ends)
    return Estimate(unknown if value is None else value, low, high, batches=0)
