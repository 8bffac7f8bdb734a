"""What the arrivals of the recent past say of those to come: their rate, its trend, and how bursty they are."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor, sqrt

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


class RecentArrivals:
    """Counts of arrivals in intervals that follow one another.

    An interval ends with the first reading of each `cell_s` of the clock, and with the last reading of all. So it
    does not matter when the first reading was taken, and what was found of two intervals stays true while both are
    kept.
    """

    def __init__(self, cell_s: float) -> None:
        self._cell_s = cell_s
        self._times_s: list[float] = []
        self._totals: list[float] = []
        self._counter = 0.0
        self._cell: int | None = None
        self._open = False
        # By size, at each reading: how surprising the last so many intervals are after as many before them.
        self._surprises: dict[int, list[float | None]] = {size: [] for size in SIZES}
        self._dispersion: Mapping[float, float] | None = None

    def see(self, taken_s: float, counter: float) -> None:
        """Take in a later reading of the counter of all arrivals; one that went back was restarted from zero."""
        total = 0.0
        if self._times_s:
            total = self._totals[-1] + (counter - self._counter if counter >= self._counter else counter)
        # What is a hair before a cell is in it: times come from differences of clocks.
        cell = floor(taken_s / self._cell_s + 1e-6)
        if self._open:
            self._drop(-1)
        self._open, self._cell, self._counter = cell == self._cell, cell, counter
        self._times_s.append(taken_s)
        self._totals.append(total)
        for size, found in self._surprises.items():
            found.append(self._surprise(size))
        self._dispersion = None

    def forget(self, before_s: float) -> None:
        """Drop readings taken before this time."""
        while self._times_s and self._times_s[0] < before_s:
            self._drop(0)
            self._dispersion = None
        if not self._times_s:
            self._open, self._cell = False, None

    def _drop(self, at: int) -> None:
        del self._times_s[at], self._totals[at]
        for found in self._surprises.values():
            del found[at]

    @property
    def intervals(self) -> int:
        """How many there are."""
        return max(0, len(self._times_s) - 1)

    @property
    def whole(self) -> Interval:
        """All together; there must be one."""
        return Interval(self._times_s[-1] - self._times_s[0], self._totals[-1] - self._totals[0])

    def risen_per_s(self, last_s: float) -> float | None:
        """The rate over the last few seconds, where that is above the rate of all beyond chance; else None.

        Chance is three standard deviations. None too where the last interval is longer than `last_s`.
        """
        times_s, totals = self._times_s, self._totals
        start = bisect_left(times_s, times_s[-1] - last_s - 1e-6)
        length_s, count = times_s[-1] - times_s[start], totals[-1] - totals[start]
        expected = (totals[-1] - totals[0]) / (times_s[-1] - times_s[0]) * length_s
        return count / length_s if count > expected and self._beyond_chance(count - expected, count) else None

    @property
    def growth_per_s2(self) -> float:
        """By how much the rate grows each second, where it has grown all the time; else 0.

        Of the four quarters each must have had more than the one before, and the last more than the first beyond
        chance (three standard deviations). The least of the three steps counts: after a jump two of them are flat.
        """
        size = self.intervals // 4
        if not size:
            return 0.0
        start = len(self._times_s) - 1 - 4 * size
        lengths_s = [b - a for a, b in pairwise(self._times_s[start::size])]
        counts = [b - a for a, b in pairwise(self._totals[start::size])]
        rates = [count / length_s for count, length_s in zip(counts, lengths_s, strict=True)]
        # From the middle of each quarter to that of the next.
        slopes = [2.0 * (rates[i + 1] - rates[i]) / (lengths_s[i] + lengths_s[i + 1]) for i in range(3)]
        if min(slopes) <= 0.0:
            return 0.0
        variance = rates[0] / lengths_s[0] + rates[-1] / lengths_s[-1]
        return min(slopes) if self._beyond_chance(rates[-1] - rates[0], variance) else 0.0

    @property
    def dispersion(self) -> Mapping[float, float]:
        """Index of dispersion (variance over mean) of counts, by length of interval in seconds; 1 for Poisson.

        What Poisson arrivals may well show by chance counts as 1 too. Lengths of which there are too few are left out.
        """
        if self._dispersion is None:
            each_s = self.whole.length_s / self.intervals
            found = ((n * each_s, _dispersion(self._of_size(n))) for n in SIZES)
            self._dispersion = {length_s: index for length_s, index in found if index is not None}
        return self._dispersion

    def _beyond_chance(self, excess: float, poisson_variance: float) -> bool:
        """Whether arrivals as bursty as these would hardly ever show so much more."""
        deviations = excess / sqrt(poisson_variance) if poisson_variance > 0 else 0.0
        # Dispersion is dear, and asked only where Poisson arrivals would hardly ever show so much.
        return deviations > CHANCE and deviations > CHANCE * sqrt(max(self.dispersion.values(), default=1.0))

    def _surprise(self, size: int) -> float | None:
        """How many standard deviations more of the arrivals came in the last so many intervals than in as many before
        them and them together at an even rate; None where there are too few, or no arrivals."""
        start = len(self._times_s) - 1 - 2 * size
        if start < 0:
            return None
        times_s, totals = self._times_s, self._totals
        both = totals[-1] - totals[start]
        if both <= 0.0:
            return None
        share = (times_s[-1] - times_s[start + size]) / (times_s[-1] - times_s[start])
        return (totals[-1] - totals[start + size] - both * share) / sqrt(both * share * (1.0 - share))

    def _of_size(self, size: int) -> list[float]:
        """The surprises of all runs of so many intervals, back from the last; what is left over is the oldest."""
        return [s for s in self._surprises[size][: 2 * size - 1 : -size] if s is not None]


def _dispersion(surprises: Sequence[float]) -> float | None:
    """Variance over mean of counts, from how surprising each interval is after the one before; None for fewer than
    four.

    Of the Poisson arrivals in two neighbouring intervals those in the second are a binomial part, whatever the rate.
    So the variance of how far off that part is, in its standard deviations, is 1 while the rate stays or drifts. One
    jump does not count: it is a change of load, which the rate follows; several are bursts. 1 too where it may be.
    """
    if len(surprises) < 4:
        return None
    usual = surprises if -min(surprises) <= JUMP >= max(surprises) else _without_jump(surprises)
    drift = sum(usual) / len(usual)
    index = sum([(s - drift) ** 2 for s in usual]) / len(usual)
    return 1.0 if _may_be_chance(index, len(usual)) else index


def _may_be_chance(index: float, pairs: int) -> bool:
    """Whether Poisson counts may show such a dispersion: within two standard deviations of their law.

    Neighbouring pairs share an interval, so the index is nearly chi-square over its degrees of freedom, of which there
    are 2/3 as many as pairs; its cube root is nearly normal (Wilson and Hilferty 1931).
    """
    variance = 1.0 / (3.0 * pairs)
    return bool(abs(index ** (1.0 / 3.0) - (1.0 - variance)) <= 2.0 * sqrt(variance))


def _without_jump(surprises: Sequence[float]) -> list[float]:
    """All but the greatest and, as a jump may lie inside an interval, the greater beside it, if they are jumps."""
    at = max(range(len(surprises)), key=lambda i: abs(surprises[i]))
    beside = max((i for i in (at - 1, at + 1) if 0 <= i < len(surprises)), key=lambda i: abs(surprises[i]))
    jump = {i for i in (at, beside) if abs(surprises[i]) > JUMP}
    return [s for i, s in enumerate(surprises) if i not in jump]
