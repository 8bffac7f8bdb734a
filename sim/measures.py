"""What requests met: warm-up cut, mean, quantiles and attained shares, each with its confidence interval."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.intervals import Estimate, Floats, ratio, woodruff
from sim.loghistogram import BUCKETS, TICKS_PER_S, LogHistogram, lowest_s

__all__ = ["BATCHES", "Estimate", "Sample", "batches", "mser", "tail_index", "tail_warnings"]

BATCHES = 32
"""Into so many batches one run is cut; chosen by the coverage study in tests/sim/test_measures.py."""
AS_GOOD = 1.2
FULL, UNEVEN = 16, 4
FEWEST_MEANS = 10
"""From fewer means no warm-up can be told."""

Run = tuple[ArrayLike, ArrayLike]
"""Times in seconds, ascending, and the value of a request at each: +inf where it was never served."""


def mser(means: ArrayLike) -> int:
    """How many of the first means to delete as warm-up, at most half of them; nan, where there is none, is passed over.

    Marginal standard error rule (White 1997; White, Cobb and Spratt 2000) over the means of windows: the earliest cut
    whose error is at most 20 % above the least. The least itself is often behind a busy time that belongs to the steady
    state; cutting there takes 2 % off the mean wait of M/M/1 at 0.8, and intervals miss. What comes before the first
    mean kept is deleted. A cut near half says that the run is too short.
    """
    means = np.asarray(means, dtype=float)
    known = np.flatnonzero(~np.isnan(means))
    if len(known) < FEWEST_MEANS:
        return 0
    errors = _marginal_errors(means[known])[: len(known) // 2 + 1]
    rounding = 1e-12 * errors[0]
    cut = int(np.argmax(errors <= AS_GOOD * errors.min() + rounding))
    return int(known[cut]) if cut else 0


def _marginal_errors(means: Floats) -> Floats:
    """For each k, the variance of the means from k on, over their number."""
    backwards = means[::-1] - means.mean()  # centred, or the difference of two large sums is noise
    number = np.arange(1.0, len(means) + 1)
    variance = np.cumsum(backwards**2) / number - (np.cumsum(backwards) / number) ** 2
    errors: Floats = variance / number
    return errors[::-1]


def batches(windows: int) -> list[range]:
    """Which of so many windows in a row make up each batch: 32 nearly equal ones, or as many as there are windows."""
    edges = np.linspace(0, windows, min(BATCHES, windows) + 1).round().astype(int).tolist()
    return [range(start, end) for start, end in pairwise(edges)]


def tail_index(times: LogHistogram) -> float:
    """Hill's estimator (1975) over the largest sqrt(n) of n times; nan from fewer than 1000.

    The power with which the tail falls: below 2 the variance is infinite, below 1 the mean.
    """
    return _hill(times.means_s, times.counts)


def _hill(ascending: Floats, counts: NDArray[np.int64] | Floats) -> float:
    total = int(counts.sum())
    largest = math.isqrt(total)
    if total < 1000:
        return math.nan
    values, from_top = ascending[::-1], np.cumsum(counts[::-1])
    at = int(np.searchsorted(from_top, largest + 1))
    if values[at] <= 0:
        return math.nan
    taken = np.diff(np.minimum(from_top[: at + 1], largest), prepend=0)
    excess = float(taken @ np.log(values[: at + 1] / values[at])) / largest
    return 1 / excess if excess > 0 else math.inf


def tail_warnings(service: LogHistogram) -> tuple[str, ...]:
    """Why waits may have no finite variance, judged by service times.

    The tail of the stationary wait falls with a power one less than that of service (Cohen 1973, M/G/1). Waits
    themselves hardly show it: too few independent ones are large.
    """
    index = tail_index(service)
    if not index < 3:
        return ()
    return (f"the variance of waits may be infinite (tail index of service {index:.2g}): intervals are too narrow",)


@dataclass(frozen=True, eq=False)
class Sample:
    """Times of requests in batches: windows of one run in a row where `serial`, else independent replications.

    Row i of the entries says that `counts[i]` times in batch `batch[i]`, of sum `sums[i]` in 2**-20 s, fell into
    bucket `buckets[i]` (see `sim.loghistogram`): means are exact; quantiles are off by less than 0.8 %, far less
    where times are spread, and exact where they are few or the same. `never[b]` requests of batch b were never served.
    """

    batch: NDArray[np.int64]
    buckets: NDArray[np.int64]
    counts: NDArray[np.int64]
    sums: NDArray[np.int64]
    never: Floats
    serial: bool

    @classmethod
    def of_histograms(cls, parts: Sequence[Sequence[LogHistogram]], never: ArrayLike, *, serial: bool) -> "Sample":
        """From the histograms of each batch, and how many of its requests were never served."""
        whole = list(chain.from_iterable(parts)) or [LogHistogram.of({})]
        lengths = [sum(len(histogram.buckets) for histogram in part) for part in parts]
        return cls(
            batch=np.repeat(np.arange(len(parts)), lengths),
            buckets=np.concatenate([histogram.buckets for histogram in whole], dtype=np.int64),
            counts=np.concatenate([histogram.counts for histogram in whole], dtype=np.int64),
            sums=np.concatenate([histogram.sums for histogram in whole]),
            never=np.asarray(never, dtype=float),
            serial=serial,
        )

    @classmethod
    def of(cls, runs: Sequence[Run], from_s: float, to_s: float) -> "Sample":
        """The requests of one run or of independent replications whose time is `from_s` or later, before `to_s`.

        One run is cut into 32 windows of equal time; of several, each is a batch. Raises ValueError where the window is
        not one, times are not in order, the arrays of a run differ in length, or a value is nan.
        """
        if not (from_s < to_s and math.isfinite(to_s - from_s)):
            raise ValueError(f"window from {from_s} s to {to_s} s: give finite times, the end later than the start")
        windows = BATCHES if len(runs) == 1 else 1
        checked = [_checked(run, f"runs[{i}]") for i, run in enumerate(runs)]
        parts = [part for times_s, values in checked for part in _cut(times_s, values, from_s, to_s, windows)]
        served = [[LogHistogram.of_times(part[np.isfinite(part)])] for part in parts]
        return cls.of_histograms(served, [np.isinf(part).sum() for part in parts], serial=len(runs) == 1)

    @property
    def served(self) -> int:
        """How many of them have a time."""
        return int(self.counts.sum())

    def mean(self, level: float = 0.95) -> Estimate:
        """Of the requests that were served; a warning tells how many were not."""
        sums = self._per_batch(self.sums) / TICKS_PER_S
        estimate = ratio(sums, self._per_batch(self.counts), level, serial=self.serial)
        return replace(estimate, warnings=(*estimate.warnings, *self._doubts_of_the_mean()))

    def quantile(self, p: float, level: float = 0.95) -> Estimate:
        """Of all requests: inf where more than 1 - `p` of them were never served."""
        whole = self._whole
        found = whole.place(p)
        # Where the quantile is infinite, the share of those that were served has an error; 1 has none.
        everybody = found == len(whole.buckets)
        within = np.full(len(self.buckets), True) if everybody else self.buckets <= whole.buckets[found]
        hits = np.bincount(self.batch[within], self.counts[within], len(self.never))
        return woodruff(whole.at, hits, self._per_batch(self.counts) + self.never, p, level, serial=self.serial)

    def summary(self, level: float = 0.95) -> dict[str, Estimate]:
        """Mean, median, 95th and 99th percentile, as `mean`, `p50`, `p95` and `p99`."""
        percentiles = {f"p{100 * p:g}": self.quantile(p, level) for p in (0.5, 0.95, 0.99)}
        return {"mean": self.mean(level), **percentiles}

    @cached_property
    def _whole(self) -> "_Whole":
        counts: Floats = np.bincount(self.buckets, self.counts, BUCKETS).astype(float)
        # A start that a crash took back is counted off, maybe in a later window than it was counted in.
        filled: NDArray[np.int64] = np.flatnonzero(counts > 0).astype(np.int64)
        sums = np.bincount(self.buckets, self.sums, BUCKETS)
        means_s = sums[filled] / counts[filled] / TICKS_PER_S
        return _Whole(filled, counts[filled], means_s, float(self.never.sum()))

    def _per_batch(self, column: NDArray[np.int64]) -> Floats:
        return np.bincount(self.batch, column, len(self.never)).astype(float)

    def _doubts_of_the_mean(self) -> Iterator[str]:
        unserved = int(self.never.sum())
        if unserved:
            yield f"the mean leaves out {unserved} of {self.served + unserved} requests that were never served"
        index = _hill(self._whole.means_s, self._whole.counts)
        if index < 2:
            yield f"the variance may be infinite (tail index {index:.2g}): the interval of the mean is too narrow"


@dataclass(frozen=True, eq=False)
class _Whole:
    """All batches together: the buckets that hold something, in ascending order, with the count and mean of each."""

    buckets: NDArray[np.int64]
    counts: Floats
    means_s: Floats
    never: float

    def place(self, fraction: float) -> int:
        """Which of the buckets holds this quantile; as many as there are, where it is infinite."""
        return int(np.searchsorted(self._up_to, self._rank(fraction)))

    def at(self, fraction: float) -> float:
        """The quantile: within its bucket by rank where times are spread, else the mean of the bucket."""
        i = self.place(fraction)
        if i == len(self.buckets):
            return math.inf
        if not self._spread(i):
            return float(self.means_s[i])
        low_s, high_s = (lowest_s(int(self.buckets[i]) + k) for k in (0, 1))
        rank = self._rank(fraction) - (self._up_to[i] - self.counts[i])
        return float(low_s + (high_s - low_s) * (rank - 0.5) / self.counts[i])

    def _rank(self, fraction: float) -> float:
        total = float(self.counts.sum()) + self.never
        # 0.07 * 100 is a little more than 7, and the eighth value is not the 7 % quantile of a hundred.
        return min(max(math.ceil(total * fraction * (1 - 1e-12)), 1), total)

    @cached_property
    def _up_to(self) -> Floats:
        return np.cumsum(self.counts)

    def _spread(self, i: int) -> bool:
        """Whether this bucket is full and no fuller than those beside it let expect: then it is no single value."""
        around = slice(max(i - 1, 0), i + 2)
        beside = np.diff(self.buckets[around]).tolist() == [1, 1]
        return beside and bool(self.counts[i] >= FULL and self.counts[around].min() * UNEVEN >= self.counts[i])


def _checked(run: Run, name: str) -> tuple[Floats, Floats]:
    times_s, values = np.asarray(run[0], dtype=float), np.asarray(run[1], dtype=float)
    if times_s.shape != values.shape:
        raise ValueError(f"{name}: {times_s.size} times and {values.size} values; give one value a request")
    if not (np.diff(times_s) >= 0).all():
        raise ValueError(f"{name}: times are not ascending; sort both arrays by time")
    if np.isnan(values).any():
        raise ValueError(f"{name}: value {np.isnan(values).argmax()} is nan; use inf for a request never served")
    return times_s, values


def _cut(times_s: Floats, values: Floats, from_s: float, to_s: float, windows: int) -> list[Floats]:
    edges = np.searchsorted(times_s, np.linspace(from_s, to_s, windows + 1))
    return [values[start:end] for start, end in pairwise(edges)]
