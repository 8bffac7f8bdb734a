"""What requests met: warm-up cut, mean, quantiles and attained shares, each with its confidence interval."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.intervals import Estimate, Floats, at_most, proportion, quantile_function, ratio, woodruff

__all__ = ["Estimate", "Run", "Sample", "mser5", "tail_index", "tail_warnings", "warmup_s"]

WINDOWS = 32
"""Into so many windows of equal time one run is cut; chosen by the coverage study in tests/sim/test_measures.py."""

Run = tuple[ArrayLike, ArrayLike]
"""The arrival times of requests in seconds, ascending, and a value of each: +inf where it was never served."""


def mser5(values: ArrayLike) -> int:
    """How many of the first values to delete as warm-up, at most half of them.

    Least marginal standard error of the means of five (White 1997; White, Cobb and Spratt 2000). Infinite values are
    passed over; what comes before the first value kept is deleted. A cut near half says that the run is too short.
    """
    values = np.asarray(values, dtype=float)
    finite = np.flatnonzero(np.isfinite(values))
    groups = len(finite) // 5
    if groups < 2:
        return 0
    means = values[finite[: 5 * groups]].reshape(groups, 5).mean(1)
    cut = int(np.argmin(_marginal_errors(means)[: groups // 2 + 1]))
    return int(finite[5 * cut]) if cut else 0


def _marginal_errors(means: Floats) -> Floats:
    """For each k, the variance of the means from k on, over their number."""
    backwards = means[::-1] - means.mean()  # centred, or the difference of two large sums is noise
    number = np.arange(1.0, len(means) + 1)
    variance = np.cumsum(backwards**2) / number - (np.cumsum(backwards) / number) ** 2
    errors: Floats = variance / number
    return errors[::-1]


def warmup_s(runs: Sequence[Run]) -> float:
    """When the warm-up ends: the arrival of the first request that MSER-5 keeps, of all replications as one stream."""
    arrival_s = np.concatenate([np.asarray(a, dtype=float) for a, _ in runs])
    values = np.concatenate([np.asarray(v, dtype=float) for _, v in runs])
    if not len(arrival_s):
        return 0.0
    order = np.argsort(arrival_s, kind="stable")
    cut = mser5(values[order])
    return float(arrival_s[order[cut]]) if cut else 0.0


def tail_index(ordered: ArrayLike) -> float:
    """Hill's estimator (1975) over the largest sqrt(n) of the ascending, finite values; nan from fewer than 1000.

    The power with which the tail falls: below 2 the variance is infinite, below 1 the mean.
    """
    ordered = np.asarray(ordered, dtype=float)
    largest = math.isqrt(len(ordered))
    if len(ordered) < 1000 or ordered[-largest - 1] <= 0:
        return math.nan
    excess = float(np.log(ordered[-largest:] / ordered[-largest - 1]).mean())
    return 1 / excess if excess > 0 else math.inf


def tail_warnings(service_s: ArrayLike) -> tuple[str, ...]:
    """Why waits may have no finite variance, judged by service times.

    The tail of the stationary wait falls with a power one less than that of service (Cohen 1973, M/G/1). Waits
    themselves hardly show it: too few independent ones are large.
    """
    index = tail_index(np.sort(np.asarray(service_s, dtype=float)))
    if not index < 3:
        return ()
    return (f"the variance of waits may be infinite (tail index of service {index:.2g}): intervals are too narrow",)


@dataclass(frozen=True, eq=False)
class Sample:
    """The values of the requests that arrived in a window of one run, or of several replications.

    `values[edges[b] : edges[b + 1]]` are those of batch b: a window of time where `serial`, else a replication.
    """

    values: Floats
    edges: NDArray[np.int64]
    serial: bool

    @classmethod
    def of(cls, runs: Sequence[Run], from_s: float, to_s: float) -> "Sample":
        """The requests of one run or of independent replications that arrived at `from_s` or later, before `to_s`.

        One run is cut into 32 windows of equal time; of several, each is a batch. Raises ValueError where the window is
        not one, arrivals are not in order, the arrays of a run differ in length, or a value is nan.
        """
        if not (from_s < to_s and math.isfinite(to_s - from_s)):
            raise ValueError(f"window from {from_s} s to {to_s} s: give finite times, the end later than the start")
        windows = WINDOWS if len(runs) == 1 else 1
        checked = [_checked(run, f"runs[{i}]") for i, run in enumerate(runs)]
        parts = [part for arrival_s, values in checked for part in _cut(arrival_s, values, from_s, to_s, windows)]
        edges = np.cumsum([0, *map(len, parts)])
        return cls(np.concatenate(parts or [np.empty(0)]), edges, serial=len(runs) == 1)

    @cached_property
    def ordered(self) -> Floats:
        """The values, ascending."""
        return np.sort(self.values)

    @property
    def served(self) -> int:
        """How many values are finite."""
        return int(np.searchsorted(self.ordered, math.inf))

    def mean(self, level: float = 0.95) -> Estimate:
        """Of the requests that were served; a warning tells how many were not."""
        sums = self._per_batch(np.where(np.isfinite(self.values), self.values, 0.0))
        estimate = ratio(sums, self._per_batch(np.isfinite(self.values)), level, serial=self.serial)
        return replace(estimate, warnings=(*estimate.warnings, *self._doubts_of_the_mean()))

    def quantile(self, p: float, level: float = 0.95) -> Estimate:
        """Of all requests: inf where more than 1 - `p` of them were never served."""
        at = quantile_function(self.ordered)
        hits = self._per_batch(at_most(self.values, at(p)))
        return woodruff(at, hits, np.diff(self.edges), p, level, serial=self.serial)

    def share_at_most(self, limit: float, level: float = 0.95) -> Estimate:
        """The share of all requests whose value is `limit` or less, as a service level objective counts them."""
        return proportion(self._per_batch(self.values <= limit), np.diff(self.edges), level, serial=self.serial)

    def summary(self, level: float = 0.95) -> dict[str, Estimate]:
        """Mean, median, 95th and 99th percentile, as `mean`, `p50`, `p95` and `p99`."""
        percentiles = {f"p{100 * p:g}": self.quantile(p, level) for p in (0.5, 0.95, 0.99)}
        return {"mean": self.mean(level), **percentiles}

    def _per_batch(self, array: NDArray[np.float64] | NDArray[np.bool_]) -> Floats:
        return np.array([array[start:end].sum() for start, end in pairwise(self.edges)], dtype=float)

    def _doubts_of_the_mean(self) -> Iterator[str]:
        unserved = len(self.values) - self.served
        if unserved:
            yield f"the mean leaves out {unserved} of {len(self.values)} requests that were never served"
        index = tail_index(self.ordered[: self.served])
        if index < 2:
            yield f"the variance may be infinite (tail index {index:.2g}): the interval of the mean is too narrow"


def _checked(run: Run, name: str) -> tuple[Floats, Floats]:
    arrival_s, values = np.asarray(run[0], dtype=float), np.asarray(run[1], dtype=float)
    if arrival_s.shape != values.shape:
        raise ValueError(f"{name}: {arrival_s.size} arrival times and {values.size} values; give one value a request")
    if not (np.diff(arrival_s) >= 0).all():
        raise ValueError(f"{name}: arrival times are not ascending; sort both arrays by arrival time")
    if np.isnan(values).any():
        raise ValueError(f"{name}: value {np.isnan(values).argmax()} is nan; use inf for a request never served")
    return arrival_s, values


def _cut(arrival_s: Floats, values: Floats, from_s: float, to_s: float, windows: int) -> list[Floats]:
    edges = np.searchsorted(arrival_s, np.linspace(from_s, to_s, windows + 1))
    return [values[start:end] for start, end in pairwise(edges)]
