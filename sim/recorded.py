"""A live journal as a result: the same tables, figures and report as of a simulated run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from policies.histogram import Histogram
from sim.cluster import Harvest, Outcome, Requests, Tallied
from sim.columns import Columns
from sim.from_journal import class_names, scenario_of
from sim.history import PoolRow
from sim.loghistogram import LogHistogram
from sim.observed import FlowSeries, Observed, PoolSeries, held, observe
from sim.result import Result, finished
from sim.scenario import RequestClass, Scenario
from sim.spread import spread
from sim.summary import Run
from sim.windows import Scopes, Windows

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

HOUR_S = 3600.0
NONE = LogHistogram.of({})
COUNTED = {
    Tallied.ARRIVED: "arrived",
    Tallied.COMPLETED: "completed",
    Tallied.FAILED: "failed",
    Tallied.REJECTED: "rejected",
    Tallied.ABANDONED: "abandoned",
}
TOTALS = ("arrived", "started", "completed", "failed", "rejected", "abandoned")


def read_journal(journal: str | Path) -> Result:
    """What a journal tells, as a result whose scenario is the one that `scenario_of` makes of it.

    Times come from the buckets of histograms and are as coarse as these. Raises `InputError` for what is no journal,
    and where no request was counted.
    """
    return result_of(observe(journal))


def result_of(observed: Observed) -> Result:
    """The same of a journal that has been read. Time 0 is that of the first turn."""
    made = scenario_of(observed)
    scenario = made.scenario
    if not any("response_s" in pool.total.met for pool in observed.pools.values()):
        scenario = replace(scenario, slo=None)
    result = finished(scenario, [_run(observed, scenario)], 0.0)
    figures = replace(result.figures, notes=tuple(_notes(observed, scenario)))
    sources: dict[str, Callable[[], pd.DataFrame]] = {
        **result.sources,
        "pools": partial(_pools_frame, observed, scenario),
    }
    return replace(result, figures=figures, sources=sources, _made={})


def _notes(observed: Observed, scenario: Scenario) -> Iterator[str]:
    yield "this was recorded, not simulated: times are as fine as the buckets of its histograms"
    yield "the scenario is the what-if that the journal makes; its seed plays no part"
    if scenario.slo is None and observed.header.config.get("slo"):
        yield "no response times were read: nothing tells whether the objective was met"
    yield from observed.notes


def _run(observed: Observed, scenario: Scenario) -> Run:
    cells = _Cells(observed, scenario)
    windows = Windows(observed.timeline.end_s, Scopes(scenario).masks)
    windows.width_s = observed.timeline.width_s
    for number, end_s in enumerate(observed.timeline.edges_s[1:].tolist()):
        windows.take(cells.harvest(number), end_s)
    return Run(
        windows=windows.found,
        service=windows.service,
        service_s=windows.service_s,
        present=cells.present(),
        rows={name: _rows(observed.pools[name], observed, name) for name in scenario.pools},
        decisions=observed.decisions,
        end_s=observed.timeline.end_s,
    )


class _Cells:
    """The requests of each pool and class of the scenario, window by window."""

    def __init__(self, observed: Observed, scenario: Scenario) -> None:
        journal_names = {name: key for key, name in class_names(observed.classes).items()}
        self._scenario = scenario
        self._observed = observed
        self._flows = [
            [_flow(observed, pool, c, journal_names[c.name][1]) for c in scenario.traffic] for pool in scenario.pools
        ]
        self._counts = np.zeros((observed.timeline.windows, len(scenario.pools), len(scenario.traffic), len(Tallied)))
        for p, row in enumerate(self._flows):
            for k, flow in enumerate(row):
                if flow is not None:
                    self._tally(self._counts[:, p, k], flow, scenario.target_s(scenario.traffic[k]))

    def harvest(self, number: int) -> Harvest:
        """Of one window."""
        return Harvest(
            counts=np.rint(self._counts[number]).astype(np.int64),
            wait=self._times("wait_s", number),
            service=self._times("service_s", number),
            response=self._times("response_s", number),
        )

    def present(self) -> Requests:
        """Those there at the end; they are taken to be the last that arrived, the queued ones the very last."""
        parts = [
            _present(flow, self._observed.timeline.times_s, p, k)
            for p, row in enumerate(self._flows)
            for k, flow in enumerate(row)
            if flow is not None
        ]
        return Requests.together([part for part in parts if part is not None] or [_requests(0, 0, *np.empty((2, 0)))])

    def _tally(self, counts: Floats, flow: FlowSeries, target_s: float) -> None:
        """Enter one cell; what was met of the responses that are known stands for all completions."""
        for column, name in COUNTED.items():
            if (found := flow.count(name)) is not None:
                # Whole numbers in such a way that their sum is right.
                counts[:, column] = np.diff(np.rint(np.cumsum(found)), prepend=0.0)
        for number, window in enumerate(flow.met.get("response_s", [])):
            total = sum(histogram.total for histogram in window)
            met = sum(h.total * (h.share_at_most(target_s) or 0.0) for h in window)
            counts[number, Tallied.MET] = counts[number, Tallied.COMPLETED] * met / total if total else 0.0

    def _times(self, name: str, number: int) -> list[list[LogHistogram]]:
        def times(flow: FlowSeries | None) -> LogHistogram:
            return _spread(flow.met[name][number]) if flow and name in flow.met else NONE

        return [[times(flow) for flow in row] for row in self._flows]


def _flow(observed: Observed, pool: str, c: RequestClass, journal_name: str) -> FlowSeries | None:
    return observed.flow(pool, journal_name) if observed.pools[pool].traits.model == c.model else None


def _spread(histograms: Sequence[Histogram]) -> LogHistogram:
    return LogHistogram.merged(map(spread, histograms))


def _present(flow: FlowSeries, times_s: Floats, pool: int, request_class: int) -> Requests | None:
    queued, serving = (int(held(flow.levels[name])[-1]) for name in ("queued", "in_service"))
    if not queued + serving:
        return None
    arrived = flow.totals.get("arrived", np.zeros_like(times_s))
    last_first = np.interp(arrived[-1] - np.arange(queued + serving), arrived, times_s)
    start_s = np.where(np.arange(queued + serving) < queued, np.nan, last_first)
    return _requests(pool, request_class, last_first, start_s)


def _requests(pool: int, request_class: int, arrival_s: Floats, start_s: Floats) -> Requests:
    n = len(arrival_s)
    return Requests(
        request_class=np.full(n, request_class, dtype=np.int16),
        number=np.arange(n, dtype=np.int64),
        pool=np.full(n, pool, dtype=np.int16),
        arrival_s=arrival_s,
        start_s=start_s,
        leave_s=np.full(n, np.nan),
        work_s=np.full(n, np.nan),
        outcome=np.full(n, Outcome.PRESENT, dtype=np.int8),
        slot=np.full(n, -1, dtype=np.int32),
    )


def _rows(pool: PoolSeries, observed: Observed, name: str) -> Columns[PoolRow]:
    """Turn by turn, with the last known value where one is unknown."""
    rows = Columns(PoolRow)
    columns = _columns(pool, observed)
    filled = (_typed(field, held(columns[field])) if field in columns else repeat(name) for field in PoolRow._fields)
    for values in zip(*filled, strict=False):
        rows.append(PoolRow._make(values))
    return rows


def _typed(field: str, values: Floats) -> list[float | int]:
    typed: list[float | int] = (values.astype(int) if PoolRow.__annotations__[field] is int else values).tolist()
    return typed


def _columns(pool: PoolSeries, observed: Observed) -> dict[str, Floats]:
    """The columns of a `PoolRow`, NaN where unknown; replicas and slots are counted on from what was known last."""
    steps_s, times_s = observed.timeline.steps_s, observed.timeline.times_s
    gauges = {name: pool.gauges[name] for name in ("wanted", "starting", "ready", "draining")}
    serving = held(gauges["ready"]) + held(gauges["draining"])
    paid = held(gauges["wanted"]) + held(gauges["draining"])
    unknown = np.full_like(times_s, np.nan)
    busy = _grown(held(pool.total.levels["in_service"]), steps_s)
    return {
        "time_s": times_s,
        **{f"replicas_{name}": values for name, values in gauges.items()},
        "replica_s_total": _grown(paid, steps_s),
        "serving_s_total": _grown(serving, steps_s),
        "requests_queued": pool.total.levels["queued"],
        "requests_in_service": pool.total.levels["in_service"],
        **{f"requests_{name}_total": pool.total.totals.get(name, unknown) for name in TOTALS},
        "busy_s_total": pool.total.totals.get("busy_s", busy),
    }


def _grown(values: Floats, steps_s: Floats) -> Floats:
    """The integral of what held from each turn until the next."""
    total: Floats = np.cumsum(np.concatenate([[0.0], values[:-1]]) * steps_s)
    return total


def _pools_frame(observed: Observed, scenario: Scenario) -> "pd.DataFrame":
    """As of a simulated run, but for what is unknown, which is NaN."""
    import pandas as pd

    frames = []
    for name, traits in scenario.pools.items():
        columns = _columns(observed.pools[name], observed)
        frame = pd.DataFrame(columns).assign(replication=0)
        for place, (column, value) in enumerate(
            {"pool": name, "model": traits.model, "version": traits.version}.items()
        ):
            frame.insert(place + 1, column, value)
        frame["cost_usd_total"] = frame["replica_s_total"] * traits.cost_per_hour / HOUR_S
        frames.append(frame)
    return pd.concat(frames, ignore_index=True).sort_values("time_s", kind="stable", ignore_index=True)
