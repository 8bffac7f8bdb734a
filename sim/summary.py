"""The figures of a run, overall and by model, version and request class, each with its 95 % interval."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.pool import PoolTraits
from sim.cluster import Outcome, Requests
from sim.history import DecisionRow, PoolRow
from sim.measures import Estimate, Sample, tail_warnings
from sim.scenario import Scenario
from sim.text import percent

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LATE = 0.4
"""Share of the run that is cut as warm-up from which on the run is said to be too short."""
UNSETTLED = 0.05
"""Share of the requests that are still there at the end from which on the queue is said not to have settled."""
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Run:
    """One finished replication, whole."""

    requests: Requests
    rows: Mapping[str, Sequence[PoolRow]]
    decisions: Sequence[DecisionRow]
    end_s: float


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
    the warm-up. Mean wait: of requests that waited and were served or gave up. Mean response: of those completed.
    Percentiles: of all requests, those never served counted as infinite, and those still there at the end with the
    time they have been there.
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


class _Measured:
    """The arrays of one replication that figures are taken from."""

    def __init__(self, run: Run, scenario: Scenario, targets_s: Floats, warmup_s: float) -> None:
        requests = run.requests
        self.usage = [_usage(run.rows[pool.name], pool, warmup_s) for pool in scenario.pools.values()]
        self.work_s = requests.work_s
        self.arrival_s = requests.arrival_s
        self.pool = requests.pool
        self.request_class = requests.request_class
        self.outcome = requests.outcome
        stayed_s = run.end_s - requests.arrival_s
        left_s = requests.leave_s - requests.arrival_s
        waited_s = requests.start_s - requests.arrival_s
        present = requests.outcome == Outcome.PRESENT
        completed = requests.outcome == Outcome.COMPLETED
        started = ~np.isnan(requests.start_s)
        self.wait_s = np.where(started, waited_s, np.where(present, stayed_s, np.inf))
        self.response_s = np.where(completed, left_s, np.where(present, stayed_s, np.inf))
        self.waits = started | (requests.outcome == Outcome.ABANDONED)
        self.waited_s = np.where(started, waited_s, left_s)
        self.completed = completed
        self.over_target = self.response_s / np.where(np.isfinite(targets_s), targets_s, 1.0)[requests.request_class]
        # Somebody still there whose time is not up may yet meet the objective, or not.
        self.decided = np.isfinite(targets_s[requests.request_class]) & (~present | (self.over_target > 1))

    def members(self, pools: Sequence[int], classes: Sequence[int]) -> Mask:
        return np.isin(self.pool, pools) & np.isin(self.request_class, classes)


class Summarizer:
    """Takes the figures of a finished run."""

    def __init__(self, scenario: Scenario, runs: Sequence[Run], warmup_s: float) -> None:
        self._scenario = scenario
        self._warmup_s = warmup_s
        self._end_s = runs[0].end_s
        self._decisions = [row for run in runs for row in run.decisions]
        self._targets_s = np.array([scenario.target_s(c) for c in scenario.traffic])
        self._runs = [_Measured(run, scenario, self._targets_s, warmup_s) for run in runs]

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

    def _group(self, pools: Sequence[int], classes: Sequence[int]) -> Group:
        members = [run.members(pools, classes) for run in self._runs]
        shares = self._shares(pools, classes)
        return Group(
            requests=self._counts(members),
            wait_s=self._times(members, "wait_s", "waits", "waited_s"),
            response_s=self._times(members, "response_s", "completed", "response_s"),
            slo_attainment=self._attainment(members, classes),
            utilization=_over(self._used("busy_s", pools, shares), self._used("serving_s", pools)),
            replica_hours=self._used("replica_hours", pools, shares),
            cost=self._used("cost", pools, shares),
            scale_events=self._used("scale_events", pools) if len(classes) == len(self._scenario.traffic) else None,
        )

    def _counts(self, members: Sequence[Mask]) -> Counts:
        def mean(*outcomes: Outcome) -> float:
            found = [int(np.isin(run.outcome[m], outcomes).sum()) for run, m in zip(self._runs, members, strict=True)]
            return found[0] if len(found) == 1 else sum(found) / len(found)

        return Counts(
            arrived=mean(*Outcome),
            completed=mean(Outcome.COMPLETED),
            rejected=mean(Outcome.REJECTED),
            abandoned=mean(Outcome.ABANDONED),
            failed=mean(Outcome.FAILED),
            waiting=mean(Outcome.PRESENT),
        )

    def _times(self, members: Sequence[Mask], every: str, counted: str, value: str) -> dict[str, Estimate]:
        """The mean of `value` over those that are `counted`, the quantiles of `every` one's."""
        mean = self._sample(
            [m & getattr(run, counted) for run, m in zip(self._runs, members, strict=True)], value
        ).mean()
        whole = self._sample(members, every)
        # A time is never negative; an interval by the normal law may be.
        times = {"mean": replace(mean, low=float(np.maximum(mean.low, 0.0)))}
        return {**times, **{name: whole.quantile(p) for name, p in QUANTILES.items()}}

    def _attainment(self, members: Sequence[Mask], classes: Sequence[int]) -> Estimate | None:
        if not np.isfinite(self._targets_s[list(classes)]).any():
            return None
        decided = [m & run.decided for run, m in zip(self._runs, members, strict=True)]
        return self._sample(decided, "over_target").share_at_most(1.0)

    def _sample(self, members: Sequence[Mask], value: str) -> Sample:
        runs = [(run.arrival_s[m], getattr(run, value)[m]) for run, m in zip(self._runs, members, strict=True)]
        return Sample.of(runs, self._warmup_s, float(np.nextafter(self._end_s, np.inf)))

    def _shares(self, pools: Sequence[int], classes: Sequence[int]) -> list[list[float]]:
        """For each run and pool, the share of its service time that these classes took."""
        return [[self._share(run, pool, classes) for pool in pools] for run in self._runs]

    def _share(self, run: _Measured, pool: int, classes: Sequence[int]) -> float:
        if len(classes) == len(self._scenario.traffic):
            return 1.0
        work_s = np.where((run.pool == pool) & run.completed, run.work_s, 0.0)
        return _over(float(work_s[np.isin(run.request_class, classes)].sum()), float(work_s.sum()))

    def _used(self, what: str, pools: Sequence[int], shares: Sequence[Sequence[float]] | None = None) -> float:
        """Mean over replications of what these pools used, or of these shares of it."""
        each = shares or [[1.0] * len(pools)] * len(self._runs)
        used = [
            sum(getattr(run.usage[p], what) * s for p, s in zip(pools, share, strict=True))
            for run, share in zip(self._runs, each, strict=True)
        ]
        return float(sum(used) / len(used))

    def _notes(self, overall: Group) -> Iterator[str]:
        r = overall.requests
        if r.waiting > UNSETTLED * r.arrived:
            there = percent(r.waiting / r.arrived)
            yield f"{there} of the requests are still there at the end: in a longer run they would wait longer"
        if self._warmup_s > LATE * self._end_s:
            cut = percent(self._warmup_s / self._end_s)
            yield f"warm-up takes {cut} of the run: it has hardly settled, make it longer"
        yield from self._silences()
        yield from tail_warnings(np.concatenate([run.work_s for run in self._runs]))
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
        reasons = Counter(row.because for row in self._decisions if row.wish is None)
        if sum(reasons.values()) > len(self._decisions) / 2:
            ((why, _),) = reasons.most_common(1)
            yield f"the policy kept what there was at most ticks, mostly because {why}"


@dataclass(frozen=True, slots=True)
class _Usage:
    """What one pool used in one run: busy and serving slot-seconds after the warm-up, the rest from the start."""

    busy_s: float
    serving_s: float
    replica_hours: float
    cost: float
    scale_events: int


def _usage(rows: Sequence[PoolRow], pool: PoolTraits, warmup_s: float) -> _Usage:
    first = next((row for row in rows if row.time_s >= warmup_s), rows[-1])
    last = rows[-1]
    hours = last.replica_s_total / 3600
    return _Usage(
        busy_s=last.busy_s_total - first.busy_s_total,
        serving_s=(last.serving_s_total - first.serving_s_total) * pool.slots,
        replica_hours=hours,
        cost=hours * pool.cost_per_hour,
        scale_events=sum(a.replicas_wanted != b.replicas_wanted for a, b in pairwise(rows)),
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
