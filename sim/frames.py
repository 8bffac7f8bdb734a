"""Tidy tables of a run: pools and decisions by tick, quantiles over time, distributions."""

import math
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.cluster import Tallied
from sim.columns import Columns
from sim.history import DecisionRow, PoolRow
from sim.loghistogram import LogHistogram
from sim.scenario import Scenario
from sim.summary import QUANTILES, Run, Summary
from sim.windows import Mask, Scopes, together

if TYPE_CHECKING:
    import pandas as pd

BINS_PER_DECADE = 20
LAST_DECADE = 8


def pools_frame(runs: Sequence[Run], scenario: Scenario) -> "pd.DataFrame":
    """One row for each replication, tick and pool: replica and request gauges, counters from the start of the run."""
    import pandas as pd

    frame = pd.concat(
        [
            pd.DataFrame(_table(rows, PoolRow._fields)).assign(replication=i)
            for i, run in enumerate(runs)
            for rows in run.rows.values()
        ],
        ignore_index=True,
    ).sort_values(["replication", "time_s"], kind="stable", ignore_index=True)
    traits = scenario.pools
    frame.insert(2, "model", frame["pool"].map({name: t.model for name, t in traits.items()}))
    frame.insert(3, "version", frame["pool"].map({name: t.version for name, t in traits.items()}))
    price = frame["pool"].map({name: t.cost_per_hour / 3600 for name, t in traits.items()})
    frame["cost_usd_total"] = frame["replica_s_total"] * price
    return frame


def decisions_frame(runs: Sequence[Run]) -> "pd.DataFrame":
    """One row for each replication, tick and pool that the policy spoke of: raw wish, why, limits, target."""
    import pandas as pd

    frames = [
        pd.DataFrame(_table(run.decisions, DecisionRow._fields))
        .astype({"before": "Int64", "wish": "Int64", "target": "Int64"})
        .assign(replication=i)
        for i, run in enumerate(runs)
    ]
    return pd.concat(frames, ignore_index=True)


def course_frame(runs: Sequence[Run], scenario: Scenario) -> "pd.DataFrame":
    """One row for each window of the run and scope (`all`, then each pool), of all replications together.

    `time_s` is the middle of the window; quantiles are of the response times of those that completed in it.
    """
    import pandas as pd

    windows = [reduce(together, same) for same in zip(*(run.windows for run in runs), strict=True)]
    rows = [
        {
            "scope": scope,
            "time_s": (window.start_s + window.end_s) / 2,
            "length_s": window.end_s - window.start_s,
            "requests_arrived": int(window.counts[mask, Tallied.ARRIVED].sum()) / len(runs),
            "requests_completed": window.response[number].count / len(runs),
            **{f"response_{name}_s": _quantile(window.response[number], p) for name, p in QUANTILES.items()},
        }
        for scope, number, mask in _scopes(scenario)
        for window in windows
    ]
    return pd.DataFrame(rows)


def distribution_frame(runs: Sequence[Run], scenario: Scenario) -> "pd.DataFrame":
    """Counts of response times in bins of equal ratio, for each scope, of completed requests of all replications."""
    import pandas as pd

    frames = []
    edges = np.concatenate([[0.0], np.logspace(-3, LAST_DECADE, (LAST_DECADE + 3) * BINS_PER_DECADE + 1)])
    for scope, number, _ in _scopes(scenario):
        whole = LogHistogram.merged(window.response[number] for run in runs for window in run.windows)
        bins = np.clip(np.searchsorted(edges, whole.means_s, side="right"), 1, len(edges) - 1) - 1
        counts = np.bincount(bins, whole.counts, len(edges) - 1).astype(np.int64)
        frame = pd.DataFrame({"scope": scope, "low_s": edges[:-1], "high_s": edges[1:], "requests": counts})
        frames.append(frame[frame["requests"] > 0])
    return pd.concat(frames, ignore_index=True)


def _table(rows: Columns[Any], fields: Sequence[str]) -> dict[str, Any]:
    return {name: rows.column(name) for name in fields}


def summary_frame(summary: Summary) -> "pd.DataFrame":
    """One row for each group and measure: value and, where there is one, its 95 % interval."""
    import pandas as pd

    return pd.DataFrame(_summary_rows(summary), columns=["kind", "name", "measure", "value", "low", "high"])


def _summary_rows(summary: Summary) -> Iterator[tuple[str, str, str, float, float, float]]:
    for kind, name, group in summary.groups():
        for what in group.requests.__slots__:
            yield kind, name, f"requests_{what}", getattr(group.requests, what), np.nan, np.nan
        for word, times in (("wait", group.wait_s), ("response", group.response_s)):
            for quantity, e in times.items():
                yield kind, name, f"{word}_{quantity}_s", e.value, e.low, e.high
        if group.slo_attainment is not None:
            e = group.slo_attainment
            yield kind, name, "slo_attainment", e.value, e.low, e.high
        for what in ("utilization", "replica_hours", "cost", "scale_events"):
            value = getattr(group, what)
            yield kind, name, what, np.nan if value is None else value, np.nan, np.nan


def _scopes(scenario: Scenario) -> Iterator[tuple[str, int, Mask]]:
    """Name, number and mask of all requests and of those of each pool."""
    scopes = Scopes(scenario)
    pools, classes = range(len(scenario.pools)), range(len(scenario.traffic))
    for name, some in (("all", pools), *((pool, range(i, i + 1)) for i, pool in enumerate(scenario.pools))):
        number = scopes.number(some, classes)
        yield name, number, scopes.masks[number]


def _quantile(times: LogHistogram, p: float) -> float:
    """The smallest time that at least the share `p` of all do not exceed; nan without any."""
    if not times.count:
        return np.nan
    return float(times.means_s[np.searchsorted(np.cumsum(times.counts), math.ceil(times.count * p * (1 - 1e-12)))])
