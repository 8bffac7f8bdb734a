"""A monitoring system's histogram as one of the simulator's: its values spread within their buckets, the mean kept."""

import numpy as np
from numpy.typing import NDArray

from policies.histogram import Histogram
from sim.loghistogram import LogHistogram

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

STEEPEST = 50.0
"""At this decay within a bucket all its values are at one end."""
FINEST = 1000
"""So many values of one bucket at the most are told apart."""


def spread(histogram: Histogram) -> LogHistogram:
    """As many values, within each bucket as an exponential's, of one rate for all buckets, so that the mean is exact.

    That is the law of the greatest entropy that has these counts and this mean. A negative rate has more of the long
    times. What is beyond the last bound lies together, as far out as the mean asks, at the bound at least.
    """
    counts = np.rint(np.diff(np.array(histogram.counts), prepend=0.0)).astype(np.int64)
    inside, beyond = counts[:-1], int(counts[-1])
    edges = np.array([0.0, *histogram.bounds])
    within = np.flatnonzero(inside > 0)
    low, width = edges[within], np.diff(edges)[within]
    far_s = _far_s(histogram, inside[within], low + width / 2, beyond)
    rate = _rate(histogram.sum - beyond * far_s, inside[within], low, width)
    parts = [_values(*bucket, rate) for bucket in zip(low, width, inside[within].tolist(), strict=True)]
    if beyond:
        parts.append((np.array([far_s]), np.array([beyond])))
    if not parts:
        return LogHistogram.of({})
    return _entered(np.concatenate([values for values, _ in parts]), np.concatenate([n for _, n in parts]))


def _far_s(histogram: Histogram, inside: Counts, middle: Floats, beyond: int) -> float:
    """The mean of what is beyond the last bound, were the rest in the middle of its buckets."""
    last = histogram.bounds[-1] if histogram.bounds else 0.0
    return max(last, (histogram.sum - float(inside @ middle)) / beyond) if beyond else last


def _rate(total_s: float, counts: Counts, low: Floats, width: Floats) -> float:
    """Of decay, in 1/s: the one at which the values sum up to `total_s`; the steepest where none does."""
    from scipy.optimize import brentq

    def excess(rate: float) -> float:
        return float(counts @ (low + width * _mean(rate * width))) - total_s

    if not len(counts):
        return 0.0
    steepest = STEEPEST / float(width.max())
    if excess(-steepest) <= 0 or excess(steepest) >= 0:
        return -steepest if excess(0.0) < 0 else steepest
    return float(brentq(excess, -steepest, steepest, xtol=1e-9 * steepest))


def _mean(decay: Floats) -> Floats:
    """Of exponentials cut off at 1."""
    small = np.abs(decay) < 1e-4
    x = np.where(small, 1.0, decay)
    mean: Floats = np.where(small, 0.5 - decay / 12, 1 / x - 1 / np.expm1(x))
    return mean


def _values(low: float, width: float, count: int, rate: float) -> tuple[Floats, Counts]:
    """Values at equal shares of a bucket, and how many requests each stands for."""
    points, decay = min(count, FINEST), rate * width
    at = (np.arange(points) + 0.5) / points
    if abs(decay) > 1e-4:
        at = -np.log1p(at * np.expm1(-decay)) / decay
    return low + width * at, np.diff(np.arange(points + 1) * count // points)


def _entered(values_s: Floats, counts: Counts) -> LogHistogram:
    one = LogHistogram.of_times
    unique = [one(values_s[counts == n]) for n in np.unique(counts)]
    return LogHistogram.merged(
        LogHistogram(h.buckets, h.counts * n, h.sums * n) for h, n in zip(unique, np.unique(counts), strict=True)
    )
