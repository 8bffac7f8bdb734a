"""Stretches of a run as sums that add up, and the figures by which policies are compared."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from policies.pool import PoolTraits
from sim.cluster import Requests, Tallied
from sim.columns import Columns
from sim.history import PoolRow
from sim.loghistogram import LogHistogram
from sim.measures import Sample
from sim.scenario import Scenario
from sim.windows import Window

Floats = NDArray[np.float64]


class Sum(IntEnum):
    """The entries of `Piece.sums`; from `RUNS` on they are of replicas, before of requests."""

    MET = 0
    """Requests that met their objective."""
    LEFT = 1
    """Requests with an objective that left, those that gave up or were turned away too, or whose time is up."""
    NEVER = 2
    """Requests that were never served."""
    RUNS = 3
    """The share of a whole run that the stretch is."""
    POOL_HOURS = 4
    """Hours, times the number of pools."""
    REPLICA_HOURS = 5
    COST = 6
    SCALE_EVENTS = 7
    """Changes of the wanted replicas of a pool, from one tick to the next."""
    REVERSALS = 8
    """Those that went the other way than the change of the same pool before them."""


LEFT_THE_SYSTEM = [Tallied.COMPLETED, Tallied.FAILED, Tallied.REJECTED, Tallied.ABANDONED]
NEVER_SERVED = [Tallied.FAILED, Tallied.REJECTED, Tallied.ABANDONED]


@dataclass(frozen=True, eq=False, slots=True)
class Piece:
    """A stretch of a run: the sums of `Sum`, and the response times of the requests that left in it."""

    start_s: float
    sums: Floats
    response: LogHistogram

    @property
    def mean_response_s(self) -> float:
        return self.response.total_s / self.response.count if self.response.count else np.nan

    def without(self, part: "Piece") -> "Piece":
        """What is left of this one where a part of it is taken away."""
        whole, gone = self.response, part.response
        response = LogHistogram.summed(
            np.concatenate([whole.buckets, gone.buckets], dtype=np.int64),
            np.concatenate([whole.counts, -gone.counts.astype(np.int64)], dtype=np.int64),
            np.concatenate([whole.sums, -gone.sums]),
        )
        return Piece(self.start_s, self.sums - part.sums, response)

    def quantile_s(self, p: float) -> float:
        """Of the response times of all requests, those never served counted as infinite."""
        return Sample.of_histograms([[self.response]], [self.sums[Sum.NEVER]], serial=False).quantile(p).value


def together(pieces: Sequence[Piece]) -> Piece:
    """Several as one."""
    response = LogHistogram.merged(piece.response for piece in pieces).thin()
    return Piece(pieces[0].start_s, np.sum([piece.sums for piece in pieces], axis=0), response)


def whole_run(pieces: Sequence[Piece], from_s: float) -> Piece:
    """A run as one: its replicas from the beginning, its requests from `from_s` on."""
    measured = together([piece for piece in pieces if piece.start_s >= from_s])
    sums = np.sum([piece.sums for piece in pieces], axis=0)
    sums[: Sum.RUNS] = measured.sums[: Sum.RUNS]
    return Piece(measured.start_s, sums, measured.response)


def pieces_of(
    scenario: Scenario, windows: Sequence[Window], present: Requests, rows: Mapping[str, Columns[PoolRow]]
) -> list[Piece]:
    """A piece for each window of a finished run, whose first histogram is of all requests.

    Those still there at the end belong to the last: among the response times with the time they have been there, and
    to the requests that missed their objective once their time is up.
    """
    targets_s = np.array([scenario.target_s(c) for c in scenario.traffic])
    edges_s = np.array([windows[0].start_s, *(window.end_s for window in windows)])
    used = sum(_used(scenario.pools[name], rows[name], edges_s) for name in rows)
    assert isinstance(used, np.ndarray)
    spans_s = np.diff(edges_s)
    pieces = []
    for i, window in enumerate(windows):
        stretch = [spans_s[i] / scenario.horizon_s, len(rows) * spans_s[i] / 3600]
        sums = np.array([*_requests(window.counts, np.isfinite(targets_s)), *stretch, *used[:, i]])
        pieces.append(Piece(window.start_s, sums, window.response[0]))
    stayed_s = edges_s[-1] - present.arrival_s
    late = np.zeros(len(Sum))
    late[Sum.LEFT] = np.count_nonzero(stayed_s > targets_s[present.request_class])
    return [*pieces[:-1], together([pieces[-1], Piece(edges_s[-1], late, LogHistogram.of_times(stayed_s))])]


def _requests(counts: NDArray[np.int64], asked: NDArray[np.bool_]) -> Iterable[int]:
    """Those that met their objective, those that had one and left, those never served."""
    by_class = counts.sum(axis=0)
    yield by_class[asked, Tallied.MET].sum()
    yield by_class[asked][:, LEFT_THE_SYSTEM].sum()
    yield by_class[:, NEVER_SERVED].sum()


def _used(pool: PoolTraits, rows: Columns[PoolRow], edges_s: Floats) -> Floats:
    """Replica-hours, cost, scale events and reversals of a pool between these times: shape (4, stretches)."""
    time_s = np.asarray(rows.column("time_s"))
    hours = np.diff(np.interp(edges_s, time_s, np.asarray(rows.column("replica_s_total")))) / 3600
    steps = np.diff(np.asarray(rows.column("replicas_wanted")))
    changes = np.flatnonzero(steps)
    turned = changes[1:][np.sign(steps[changes[1:]]) != np.sign(steps[changes[:-1]])]
    happened = [np.histogram(time_s[1:][which], edges_s)[0] for which in (changes, turned)]
    return np.array([hours, hours * pool.cost_per_hour, *happened])


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a policy: the words and the unit that people read, and how it follows from the sums."""

    title: str
    unit: str
    of: Callable[[Piece], float]


def _share(part: Sum, whole: Sum) -> Callable[[Piece], float]:
    def share(piece: Piece) -> float:
        return float(piece.sums[part] / piece.sums[whole]) if piece.sums[whole] else np.nan

    return share


def _quantile(p: float) -> Callable[[Piece], float]:
    return lambda piece: piece.quantile_s(p)


QUANTILES = {"response_p50_s": 0.50, "response_p95_s": 0.95, "response_p99_s": 0.99}
MEASURES: Mapping[str, Measure] = {
    "slo_attainment": Measure("SLO met", "%", _share(Sum.MET, Sum.LEFT)),
    "response_p50_s": Measure("p50", "s", _quantile(0.50)),
    "response_p95_s": Measure("p95", "s", _quantile(0.95)),
    "response_p99_s": Measure("p99", "s", _quantile(0.99)),
    "replica_hours": Measure("replica-hours", "", _share(Sum.REPLICA_HOURS, Sum.RUNS)),
    "cost_usd": Measure("cost in USD", "", _share(Sum.COST, Sum.RUNS)),
    "scale_events_per_pool_hour": Measure("scale events", "", _share(Sum.SCALE_EVENTS, Sum.POOL_HOURS)),
    "reversals_per_pool_hour": Measure("reversals", "", _share(Sum.REVERSALS, Sum.POOL_HOURS)),
}
"""Name -> measure. SLO attainment and response times are of all requests after the warm-up, replica-hours and cost of a
run of the whole horizon; scale events and reversals (changes of a pool's wanted replicas that go the other way than
its change before) are counted pool by pool and told for one pool and hour, in the mean."""
