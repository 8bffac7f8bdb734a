"""The arrival rate of one pool in bins of equal length, collected from a counter as it was read."""

from collections import deque
from collections.abc import Iterator
from math import floor, isfinite, nan, sqrt
from typing import NamedTuple

LONGEST_GAP = 10
"""Between readings that lie more bins apart than this nobody knows how the arrivals were spread."""

CHANCE = 3.0


class Bin(NamedTuple):
    """A bin that is over: its number, and arrivals per second in it, nan where unknown."""

    number: int
    rate_per_s: float


class RateSeries:
    """Bin n lasts from `phase_s + n * bin_s` for `bin_s`, whenever collecting began.

    What a counter grew between two readings is spread evenly over that time, so lost readings cost no arrivals. A
    counter that went back, or that was not read for ten bins, leaves the bins between unknown: some numbers may be
    left out altogether. A bin of which less than half is known is unknown.
    """

    def __init__(self, bin_s: float, phase_s: float = 0.0) -> None:
        self.bin_s = bin_s
        self._phase_s = phase_s
        self._last: tuple[float, float] | None = None
        self._count = 0.0
        self._known_s = 0.0
        self._recent: deque[tuple[float, float]] = deque()

    def see(self, taken_s: float, total: float) -> list[Bin]:
        """Take in a reading of the counter; the bins that are over by now, in order."""
        before, self._last = self._last, (taken_s, total)
        if before is None:
            self._remember(taken_s, total)
            return []
        growth = total - before[1]
        rate = growth / (taken_s - before[0]) if growth >= 0 else nan
        if taken_s - before[0] > LONGEST_GAP * self.bin_s:
            rate = nan
        if isfinite(rate):
            self._remember(taken_s, total)
        else:
            self._recent.clear()
            self._recent.append((taken_s, total))
        return list(self._spread(before[0], taken_s, rate))

    def recent(self) -> tuple[float, float] | None:
        """How many arrived lately, and the seconds in which they did, up to the last reading.

        These are one bin's length or little more; but only the time between the last two readings where its count
        differs from the rest beyond chance, three standard deviations. None where less than half a bin is known.
        """
        if len(self._recent) < 2:
            return None
        (start_s, before), (last_s, last), (end_s, after) = self._recent[0], self._recent[-2], self._recent[-1]
        if 2 * (end_s - start_s) < self.bin_s:
            return None
        count, length_s = after - before, end_s - start_s
        expected = count / length_s * (end_s - last_s)
        if abs(after - last - expected) > CHANCE * sqrt(max(expected, 1.0)):
            return after - last, end_s - last_s
        return count, length_s

    def _remember(self, taken_s: float, total: float) -> None:
        self._recent.append((taken_s, total))
        while len(self._recent) > 2 and self._recent[1][0] <= taken_s - self.bin_s:
            self._recent.popleft()

    def _spread(self, start_s: float, end_s: float, rate: float) -> Iterator[Bin]:
        """Add the time from start to end, at this rate, to the bins; give those that are over."""
        number, last = self._number(start_s), self._number(end_s)
        if last - number > LONGEST_GAP + 1:
            yield self._closed(number)
            number = last
        while number < last:
            edge_s = self._phase_s + (number + 1) * self.bin_s
            self._add(edge_s - start_s, rate)
            yield self._closed(number)
            start_s, number = edge_s, number + 1
        self._add(end_s - start_s, rate)

    def _number(self, time_s: float) -> int:
        return floor((time_s - self._phase_s) / self.bin_s)

    def _add(self, length_s: float, rate: float) -> None:
        if isfinite(rate):
            self._count += length_s * rate
            self._known_s += length_s

    def _closed(self, number: int) -> Bin:
        rate = self._count / self._known_s if 2 * self._known_s >= self.bin_s else nan
        self._count = self._known_s = 0.0
        return Bin(number, rate)
