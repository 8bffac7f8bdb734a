"""Rates, means and variability over the recent past of one pool, computed alike in both worlds.

Everything comes from the readings in the window, nothing is carried over from those that left it: a window that was
fed the last `span_s` of readings gives the same bits as one that has always been there.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf, isfinite
from typing import cast

from policies.histogram import Histogram
from policies.observation import Flow, Observation


class Window:
    """The readings of one pool of the last `span_s`, by the time at which they were taken.

    Empty when the newest is older than that: what no longer comes says nothing of now.
    """

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self.since_s = -inf
        """Readings taken before were dropped."""
        self._readings: deque[tuple[float, Flow]] = deque()
        self._followed: dict[str, _Unbroken] = {}
        self._counters: dict[str, _Counted] = {}

    def see(self, observation: Observation, pool: str) -> bool:
        """Take in the pool's reading, and say whether it is new; one that was seen before is not counted again."""
        return self.take(observation.time_s, observation.pools[pool].age_s, observation.pools[pool].total)

    def take(self, time_s: float, age_s: float | None, flow: Flow) -> bool:
        """Take in what was read so long before a moment, as `see` does."""
        new = age_s is not None and (not self._readings or time_s - age_s > self._readings[-1][0])
        if new and age_s is not None:
            self._readings.append((time_s - age_s, flow))
            for name, followed in self._followed.items():
                followed.see(time_s - age_s, getattr(flow, name))
            for name, counted in self._counters.items():
                counted.see(time_s - age_s, getattr(flow, name))
        # Counted back from the last reading: a window as long as the time between two readings still holds both.
        newest_s = self._readings[-1][0] if self._readings else time_s
        self.since_s = newest_s - self.span_s if newest_s >= time_s - self.span_s else time_s
        while self._readings and self._readings[0][0] < self.since_s:
            self._readings.popleft()
        for counted in self._counters.values():
            counted.forget(self.since_s)
        return new

    @property
    def covered_s(self) -> float:
        """Time between the first and the last reading in the window."""
        return self._readings[-1][0] - self._readings[0][0] if self._readings else 0.0

    def increase(self, counter: str, last_s: float | None = None) -> tuple[float, float] | None:
        """How much a counter grew in the last `last_s`, and the time in which it did; None before two readings.

        A counter that went back was restarted from zero.
        """
        counted = self._counted(counter)
        points = counted.points
        since_s = -inf if last_s is None or not points else self._readings[-1][0] - last_s
        first = next((point for point in points if point[0] >= since_s), None)
        if first is None or first is points[-1]:
            return None
        restarted = sum([before for t, before in counted.restarts if t > first[0]])
        return points[-1][1] - first[1] + restarted, points[-1][0] - first[0]

    def rate_per_s(self, counter: str, last_s: float | None = None) -> float | None:
        """Mean growth of a counter over the last `last_s` (the whole window where not given)."""
        grown = self.increase(counter, last_s)
        return grown[0] / grown[1] if grown else None

    def histogram(self, name: str, last_s: float | None = None) -> Histogram | None:
        """The values that were added in the last `last_s`; None where fewer than two readings have the histogram."""
        followed = self._unbroken(name)
        if not self._readings or followed.shown_s < self._readings[0][0]:
            return None
        if last_s is None and followed.since_s <= self._readings[0][0] < self._readings[-1][0]:
            first, last = getattr(self._readings[0][1], name), getattr(self._readings[-1][1], name)
            return cast(Histogram, last).since(first)
        kept: list[Histogram | None] = [getattr(flow, name) for _, flow in self._within(last_s)]
        known = [histogram for histogram in kept if histogram is not None]
        if len(known) < 2:
            return None
        parts = [after.since(before) for before, after in _segments(known)]
        return parts[0] if len(parts) == 1 else _together(parts)

    def _unbroken(self, name: str) -> "_Unbroken":
        """What the readings show of a histogram."""
        followed = self._followed.get(name)
        if followed is None:
            followed = self._followed[name] = _Unbroken()
            for t, flow in self._readings:
                followed.see(t, getattr(flow, name))
        return followed

    def _counted(self, counter: str) -> "_Counted":
        """What the readings show of a counter."""
        counted = self._counters.get(counter)
        if counted is None:
            counted = self._counters[counter] = _Counted()
            for t, flow in self._readings:
                counted.see(t, getattr(flow, counter))
        return counted

    def latest(self, gauge: str) -> float | None:
        """A gauge at the last reading."""
        return getattr(self._readings[-1][1], gauge) if self._readings else None

    def _within(self, last_s: float | None) -> Iterator[tuple[float, Flow]]:
        since_s = -inf if last_s is None or not self._readings else self._readings[-1][0] - last_s
        return ((t, flow) for t, flow in self._readings if t >= since_s)

    def growth(self, counter: str, scale_s: float) -> Iterator[tuple[float, float]]:
        """(Duration, growth) of consecutive intervals at least `scale_s` long."""
        start: tuple[float, float] | None = None
        grown = 0.0
        before = 0.0
        for t, value in self._counted(counter).points:
            if start is None:
                start = (t, value)
            else:
                grown += value - before if value >= before else value
                if t - start[0] >= scale_s * (1 - 1e-9):
                    yield t - start[0], grown
                    start, grown = (t, value), 0.0
            before = value


@dataclass(slots=True)
class _Counted:
    """The readings that show a counter, and after which of them it had been restarted."""

    points: deque[tuple[float, float]] = field(default_factory=deque)
    restarts: deque[tuple[float, float]] = field(default_factory=deque)
    """When it was read the first time after a restart, and what it showed before."""

    def see(self, taken_s: float, value: float | None) -> None:
        if value is not None and isfinite(value):
            if self.points and value < self.points[-1][1]:
                self.restarts.append((taken_s, self.points[-1][1]))
            self.points.append((taken_s, value))

    def forget(self, before_s: float) -> None:
        """Drop what was read before this time."""
        while self.points and self.points[0][0] < before_s:
            self.points.popleft()
        while self.restarts and self.restarts[0][0] < before_s:
            self.restarts.popleft()


@dataclass(slots=True)
class _Unbroken:
    """How far back a histogram goes without a restart, new bounds, or a reading that lacks it."""

    since_s: float = inf
    """Infinite where the last reading lacks it."""
    shown_s: float = -inf
    """The last reading that has it."""
    _last: Histogram | None = None

    def see(self, taken_s: float, histogram: Histogram | None) -> None:
        if histogram is None:
            self.since_s = inf
        else:
            self.shown_s = taken_s
            if self._last is None or not _may_go_on(self._last, histogram):
                self.since_s = taken_s
        self._last = histogram


def _may_go_on(before: Histogram, after: Histogram) -> bool:
    same = before.bounds is after.bounds or before.bounds == after.bounds
    return same and before.counts[-1] <= after.counts[-1]


def _segments(histograms: list[Histogram]) -> Iterator[tuple[Histogram, Histogram]]:
    """(First, last) of the longest runs without a restart."""
    first = histograms[0]
    for before, after in pairwise(histograms):
        if after.since(before) is after:
            if before is not first:
                yield first, before
            yield before, after
            first = after
    if first is not histograms[-1]:
        yield first, histograms[-1]


def _together(parts: list[Histogram]) -> Histogram:
    last = [p for p in parts if p.bounds == parts[-1].bounds]
    counts = tuple(sum(column) for column in zip(*(p.counts for p in last), strict=True))
    return Histogram(last[0].bounds, counts, sum(p.sum for p in last))
