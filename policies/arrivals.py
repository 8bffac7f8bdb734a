"""What the arrivals of the recent past say of those to come: their rate, its trend, and how bursty they are."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from math import floor, inf, sqrt
from operator import mul
from typing import cast

SIZES = (1, 2, 4, 8)
"""Burstiness is looked at over so many intervals taken together."""

CHANCE = 3.0
"""What is so many standard deviations off may be chance; it is, of a thousand times, once."""

JUMP = 5.0
"""What is more standard deviations off than this is a jump."""


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
        # By size, at each reading: how surprising the last so many intervals are after as many before them; and when
        # last one was not to be told as nothing arrived.
        self._surprises: dict[int, list[float | None]] = {size: [] for size in SIZES}
        self._silent_s = -inf
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
        self._surprise()
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
    def length_s(self) -> float:
        """Of all together; there must be one, here and in what follows."""
        return self._times_s[-1] - self._times_s[0]

    @property
    def count(self) -> float:
        """How many arrived in all of them."""
        return self._totals[-1] - self._totals[0]

    @property
    def rate_per_s(self) -> float:
        """Over all of them."""
        return self.count / self.length_s

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
        ends = range(len(self._times_s) - 1 - 4 * size, len(self._times_s), size)
        least, rates, lengths_s = inf, [], []
        for start, end in pairwise(ends):
            lengths_s.append(self._times_s[end] - self._times_s[start])
            rates.append((self._totals[end] - self._totals[start]) / lengths_s[-1])
            if len(rates) > 1:
                # From the middle of each quarter to that of the next.
                least = min(least, 2.0 * (rates[-1] - rates[-2]) / (lengths_s[-2] + lengths_s[-1]))
            if least <= 0.0:
                return 0.0
        variance = rates[0] / lengths_s[0] + rates[-1] / lengths_s[-1]
        return least if self._beyond_chance(rates[-1] - rates[0], variance) else 0.0

    @property
    def dispersion(self) -> Mapping[float, float]:
        """Index of dispersion (variance over mean) of counts, by length of interval in seconds; 1 for Poisson.

        What Poisson arrivals may well show by chance counts as 1 too. Lengths of which there are too few are left out.
        """
        if self._dispersion is None:
            each_s = self.length_s / self.intervals
            self._dispersion = {}
            for size in SIZES:
                index = _dispersion(self._of_size(size))
                if index is not None:
                    self._dispersion[size * each_s] = index
        return self._dispersion

    def _beyond_chance(self, excess: float, poisson_variance: float) -> bool:
        """Whether arrivals as bursty as these would hardly ever show so much more."""
        deviations = excess / sqrt(poisson_variance) if poisson_variance > 0 else 0.0
        # Dispersion is dear, and asked only where Poisson arrivals would hardly ever show so much.
        return deviations > CHANCE and deviations > CHANCE * sqrt(max(self.dispersion.values(), default=1.0))

    def _surprise(self) -> None:
        """Note how many standard deviations more of the arrivals came in the last so many intervals than in as many
        before them and them together at an even rate; None where there are too few, or no arrivals."""
        times_s, totals = self._times_s, self._totals
        last = len(times_s) - 1
        now_s, total = times_s[last], totals[last]
        for size, found in self._surprises.items():
            start = last - 2 * size
            both = total - totals[start] if start >= 0 else 0.0
            if both > 0.0:
                share = (now_s - times_s[start + size]) / (now_s - times_s[start])
                found.append((total - totals[start + size] - both * share) / sqrt(both * share * (1.0 - share)))
            else:
                found.append(None)
                self._silent_s = now_s if start >= 0 else self._silent_s

    def _of_size(self, size: int) -> list[float]:
        """The surprises of all runs of so many intervals, back from the last; what is left over is the oldest."""
        found = self._surprises[size][: 2 * size - 1 : -size]
        if self._silent_s < self._times_s[0]:
            # Where all were too few, that was before the runs that are looked at.
            return cast(list[float], found)
        return [s for s in found if s is not None]


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
    pairs = len(usual)
    drift = sum(usual) / pairs
    index = max(0.0, sum(map(mul, usual, usual)) / pairs - drift * drift)
    least, most = _by_chance(pairs)
    return 1.0 if least <= index <= most else index


@lru_cache(maxsize=256)
def _by_chance(pairs: int) -> tuple[float, float]:
    """The least and the greatest dispersion that Poisson counts may show: two standard deviations of their law.

    Neighbouring pairs share an interval, so the index is nearly chi-square over its degrees of freedom, of which there
    are 2/3 as many as pairs; its cube root is nearly normal (Wilson and Hilferty 1931).
    """
    variance = 1.0 / (3.0 * pairs)
    low, high = (1.0 - variance + deviations * sqrt(variance) for deviations in (-2.0, 2.0))
    return max(0.0, low) ** 3, high**3


def _without_jump(surprises: Sequence[float]) -> list[float]:
    """All but the greatest and, as a jump may lie inside an interval, the greater beside it, if they are jumps."""
    at = max(range(len(surprises)), key=lambda i: abs(surprises[i]))
    beside = max((i for i in (at - 1, at + 1) if 0 <= i < len(surprises)), key=lambda i: abs(surprises[i]))
    jump = {i for i in (at, beside) if abs(surprises[i]) > JUMP}
    return [s for i, s in enumerate(surprises) if i not in jump]
