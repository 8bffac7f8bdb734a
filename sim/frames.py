"""Tidy tables of a run: pools and decisions by tick, requests, quantiles over time, distributions."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.cluster import Outcome, Requests
from sim.history import DecisionRow, PoolRow
from sim.scenario import Scenario
from sim.summary import Run, Summary

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

WINDOWS = 120
"""Into so many parts a run is cut for quantiles over time."""
BINS_PER_DECADE = 20


def pools_frame(runs: Sequence[Run], scenario: Scenario) -> "pd.DataFrame":
    """One row for each replication, tick and pool: replica and request gauges, counters from the start of the run."""
    import pandas as pd

    frame = pd.concat(
        [
            pd.DataFrame(rows, columns=PoolRow._fields).assign(replication=i)
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
        pd.DataFrame(run.decisions, columns=DecisionRow._fields)
        .astype({"before": "Int64", "wish": "Int64", "target": "Int64"})
        .assign(replication=i)
        for i, run in enumerate(runs)
    ]
    return pd.concat(frames, ignore_index=True)


def requests_frame(runs: Sequence[Run], scenario: Scenario) -> "pd.DataFrame":
    """One row for each request, in order of arrival; times in seconds, NaN where they were not reached."""
    import pandas as pd

    pools = pd.Index(list(scenario.pools))
    classes = pd.Index([c.name for c in scenario.traffic])
    outcomes = pd.Index([o.name.lower() for o in Outcome])
    frames = []
    for i, run in enumerate(runs):
        r = run.requests
        frames.append(
            pd.DataFrame(
                {
                    "replication": i,
                    "request": np.arange(len(r.pool)),
                    "request_class": pd.Categorical.from_codes(r.request_class, categories=classes),
                    "pool": pd.Categorical.from_codes(r.pool, categories=pools),
                    "arrival_s": r.arrival_s,
                    "start_s": r.start_s,
                    "leave_s": r.leave_s,
                    "wait_s": r.start_s - r.arrival_s,
                    "response_s": np.where(r.outcome == Outcome.COMPLETED, r.leave_s - r.arrival_s, np.nan),
                    "work_s": r.work_s,
                    "outcome": pd.Categorical.from_codes(r.outcome, categories=outcomes),
                    "slot": r.slot,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def course_frame(runs: Sequence[Run], scenario: Scenario) -> "pd.DataFrame":
    """One row for each part of the run and scope (`all`, then each pool), of all replications together.

    `time_s` is the middle of the part; quantiles are of the response times of those that completed in it.
    """
    import pandas as pd

    end_s = max(run.end_s for run in runs)
    edges = np.linspace(0.0, end_s, WINDOWS + 1)
    rows: list[dict[str, object]] = []
    for scope, parts in _scopes(runs, scenario):
        arrived = np.histogram(np.concatenate([r.arrival_s for r in parts]), edges)[0] / len(runs)
        done = [(r.leave_s[c], (r.leave_s - r.arrival_s)[c]) for r in parts for c in [r.outcome == Outcome.COMPLETED]]
        ended_s = np.concatenate([e for e, _ in done])
        response_s = np.concatenate([x for _, x in done])[np.argsort(ended_s, kind="stable")]
        cuts = np.searchsorted(np.sort(ended_s), edges)
        for k in range(WINDOWS):
            within = response_s[cuts[k] : cuts[k + 1]]
            quantiles = np.quantile(within, [0.5, 0.95, 0.99]) if len(within) else [np.nan] * 3
            rows.append(
                {
                    "scope": scope,
                    "time_s": (edges[k] + edges[k + 1]) / 2,
                    "length_s": edges[k + 1] - edges[k],
                    "requests_arrived": arrived[k],
                    "requests_completed": len(within) / len(runs),
                    **dict(zip(("response_p50_s", "response_p95_s", "response_p99_s"), quantiles, strict=True)),
                }
            )
    return pd.DataFrame(rows)


def distribution_frame(runs: Sequence[Run], scenario: Scenario) -> "pd.DataFrame":
    """Counts of response times in bins of equal ratio, for each scope, of completed requests of all replications."""
    import pandas as pd

    frames = []
    edges = np.concatenate([[0.0], np.logspace(-3, 6, 9 * BINS_PER_DECADE + 1)])
    for scope, parts in _scopes(runs, scenario):
        values = [(r.leave_s - r.arrival_s)[r.outcome == Outcome.COMPLETED] for r in parts]
        counts = np.histogram(np.concatenate(values), edges)[0]
        frame = pd.DataFrame({"scope": scope, "low_s": edges[:-1], "high_s": edges[1:], "requests": counts})
        frames.append(frame[frame["requests"] > 0])
    return pd.concat(frames, ignore_index=True)


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


def _scopes(runs: Sequence[Run], scenario: Scenario) -> Iterator[tuple[str, list[Requests]]]:
    yield "all", [run.requests for run in runs]
    for i, pool in enumerate(scenario.pools):
        yield pool, [_of_pool(run.requests, i) for run in runs]


def _of_pool(requests: Requests, pool: int) -> Requests:
    here = requests.pool == pool
    return Requests(*(getattr(requests, name)[here] for name in Requests.__slots__))
