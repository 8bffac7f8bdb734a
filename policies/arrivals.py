"""What the arrivals of the recent past say of those to come: their rate, its trend, and how bursty they are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import sqrt

SIZES = (1, 2, 4, 8)
"""Burstiness is looked at over so many intervals taken together."""

CHANCE = 3.0
"""What is so many standard deviations off may be chance; it is, of a thousand times, once."""

JUMP = 5.0
"""What is more standard deviations off than this is a jump."""


@dataclass(frozen=True, slots=True)
class Interval:
    length_s: float
    count: float

    @property
    def rate_per_s(self) -> float:
        return self.count / self.length_s


@dataclass(frozen=True)
class RecentArrivals:
    """Counts of arrivals in intervals that follow one another, the oldest first; at least one, none of no length."""

    intervals: tuple[Interval, ...]

    @cached_property
    def whole(self) -> Interval:
        return _together(self.intervals)

    def risen_per_s(self, last_s: float) -> float | None:
        """The rate over the last few seconds, where that is above the rate of all beyond chance; else None.

        Chance is three standard deviations. None too where the last interval is longer than `last_s`.
        """
        recent = _together(self._within(last_s))
        expected = self.whole.rate_per_s * recent.length_s
        return recent.rate_per_s if self._beyond_chance(recent.count - expected, recent.count) else None

    @property
    def growth_per_s2(self) -> float:
        """By how much the rate grows each second, where it has grown all the time; else 0.

        Of the four quarters each must have had more than the one before, and the last more than the first beyond
        chance (three standard deviations). The least of the three steps counts: after a jump two of them are flat.
        """
        quarters = _runs(self.intervals, len(self.intervals) // 4)[-4:]
        if len(quarters) < 4:
            return 0.0
        first, last = quarters[0], quarters[-1]
        variance = first.rate_per_s / first.length_s + last.rate_per_s / last.length_s
        if not self._beyond_chance(last.rate_per_s - first.rate_per_s, variance):
            return 0.0
        return max(0.0, min(_slope(a, b) for a, b in pairwise(quarters)))

    @cached_property
    def dispersion(self) -> Mapping[float, float]:
        """Index of dispersion (variance over mean) of counts, by length of interval in seconds; 1 for Poisson.

        What Poisson arrivals may well show by chance counts as 1 too. Lengths of which there are too few are left out.
        """
        found = {n: _dispersion(_runs(self.intervals, n)) for n in SIZES}
        each_s = self.whole.length_s / len(self.intervals)
        return {n * each_s: index for n, index in found.items() if index is not None}

    def _beyond_chance(self, excess: float, poisson_variance: float) -> bool:
        """Whether arrivals as bursty as these would hardly ever show so much more."""
        deviations = excess / sqrt(poisson_variance) if poisson_variance > 0 else 0.0
        # Dispersion is dear, and asked only where Poisson arrivals would hardly ever show so much.
        return deviations > CHANCE and deviations > CHANCE * sqrt(next(iter(self.dispersion.values()), 1.0))

    def _within(self, last_s: float) -> Iterable[Interval]:
        for interval in reversed(self.intervals):
            last_s -= interval.length_s
            if last_s < -1e-6:
                return
            yield interval


def _together(intervals: Iterable[Interval]) -> Interval:
    parts = tuple(intervals)
    return Interval(sum(i.length_s for i in parts), sum(i.count for i in parts))


def _runs(intervals: Sequence[Interval], size: int) -> list[Interval]:
    """So many intervals each time taken together; what is left over is the oldest. None where `size` is 0."""
    starts = range(len(intervals) % size, len(intervals), size) if size else ()
    return [_together(intervals[i : i + size]) for i in starts]


def _slope(a: Interval, b: Interval) -> float:
    """Growth of the rate per second from the middle of one interval to that of the next."""
    return 2.0 * (b.rate_per_s - a.rate_per_s) / (a.length_s + b.length_s)


def _dispersion(intervals: Sequence[Interval]) -> float | None:
    """Variance over mean of counts, from each interval and the next; None with fewer than four such pairs.

    Of the Poisson arrivals in two neighbouring intervals those in the second are a binomial part, whatever the rate.
    So the variance of how far off that part is, in its standard deviations, is 1 while the rate stays or drifts. One
    jump does not count: it is a change of load, which the rate follows; several are bursts. 1 too where it may be.
    """
    surprises = [_surprise(a, b) for a, b in pairwise(intervals) if a.count + b.count > 0]
    if len(surprises) < 4:
        return None
    usual = _without_jump(surprises)
    drift = sum(usual) / len(usual)
    index = sum((s - drift) ** 2 for s in usual) / len(usual)
    return 1.0 if _may_be_chance(index, len(usual)) else index


def _may_be_chance(index: float, pairs: int) -> bool:
    """Whether Poisson counts may show such a dispersion: within two standard deviations of their law.

    Neighbouring pairs share an interval, so the index is nearly chi-square over its degrees of freedom, of which there
    are 2/3 as many as pairs; its cube root is nearly normal (Wilson and Hilferty 1931).
    """
    variance = 1.0 / (3.0 * pairs)
    return bool(abs(index ** (1.0 / 3.0) - (1.0 - variance)) <= 2.0 * sqrt(variance))


def _surprise(a: Interval, b: Interval) -> float:
    """How many standard deviations more of the arrivals came in the second interval than at an even rate."""
    both, share = a.count + b.count, b.length_s / (a.length_s + b.length_s)
    return (b.count - both * share) / sqrt(both * share * (1.0 - share))


def _without_jump(surprises: Sequence[float]) -> list[float]:
    """All but the greatest and, as a jump may lie inside an interval, the greater beside it, if they are jumps."""
    at = max(range(len(surprises)), key=lambda i: abs(surprises[i]))
    beside = max((i for i in (at - 1, at + 1) if 0 <= i < len(surprises)), key=lambda i: abs(surprises[i]))
    jump = {i for i in (at, beside) if abs(surprises[i]) > JUMP}
    return [s for i, s in enumerate(surprises) if i not in jump]
