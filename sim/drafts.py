"""The replica counts of one pool on their way to the best, and what to begin with."""

from collections.abc import Iterator
from itertools import pairwise
from math import inf

import numpy as np
from numpy.typing import NDArray

from sim.future import Demand
from sim.requests import Floats

Counts = NDArray[np.int64]

SPANS = (256, 128, 64, 32, 16, 8, 4, 2, 1)
"""Ticks over which a move adds or takes a replica."""
LOOKS = (0.0, 0.5, 1.0, 2.0)
"""Square roots of the load that counts to begin with have beyond it."""


class Draft:
    """The counts of one pool on their way to the best. Law: what it says of them is what a replay says."""

    def __init__(self, demand: Demand, tick_s: float, horizon_s: float) -> None:
        self.demand = demand
        self._tick_s = tick_s
        self._horizon_s = horizon_s
        self._ticks = _useful(demand, tick_s, horizon_s)
        self._times_s = np.append(self._ticks * tick_s, horizon_s)
        self._startup_s = np.full(1, demand.safe_startup_s)
        self._requests = (demand.arrival_s, demand.work_s, demand.target_s, demand.patience_s)
        self._places = 2 * demand.initial + 8
        self.counts = np.zeros(0, dtype=np.int64)
        self.set(np.full(len(self._ticks), demand.pool.at_least))

    @property
    def missed(self) -> int:
        return int(self._tallied[:, 0].sum())

    @property
    def undecided(self) -> int:
        return int(self._tallied[:, 1].sum())

    @property
    def paid_s(self) -> float:
        """Replica-seconds, draining included."""
        return float(self.counts @ np.diff(self._times_s) + self._tallied[:, 2].sum())

    def set(self, counts: Counts) -> None:
        """Replay with other counts."""
        from sim.timetable import FIXED, replay

        self.counts = np.clip(counts, self.demand.pool.at_least, self.demand.pool.at_most)
        self._places = max(self._places, int(self.counts.max(initial=0)) + 8)
        self._tallied = np.zeros((len(self.counts) + 1, 3))
        self._ends_s = np.empty(len(self.demand.arrival_s))
        while True:
            self._rows = np.empty((len(self.counts) + 1, FIXED + self._places * (3 + self.demand.pool.slots)))
            if replay(
                self.counts,
                self.demand.initial,
                self._times_s,
                self._pool(),
                self._requests,
                self._rows,
                self._tallied,
                self._ends_s,
            ):
                return
            self._places *= 2

    def copy(self) -> "Draft":
        other = object.__new__(Draft)
        other.__dict__.update(self.__dict__)
        other.set(self.counts.copy())
        return other

    def drawn(self) -> "Draft":
        """The same counts under the start-up times that the run will draw."""
        other = self.copy()
        other._startup_s = self.demand.startup_s
        other.set(self.counts)
        return other

    def improve(self, miss_s: float, spare: float) -> int:
        """Make all moves of one replica that are worth it, a miss counted as `miss_s` replica-seconds; how many."""
        from sim.timetable import improve

        spans = np.array([span for span in SPANS if span <= len(self.counts)])
        ends_s = np.empty(len(self._ends_s))
        pool = self.demand.pool
        reach = int(self.demand.safe_startup_s / self._tick_s) + 2
        made, _ = improve(
            self.counts,
            spans,
            miss_s,
            spare,
            pool.at_least,
            pool.at_most,
            self._times_s,
            self._pool(),
            self._requests,
            self._rows,
            self._tallied,
            ends_s,
            reach,
        )
        self.set(self.counts)
        return int(made)

    def starts(self) -> Iterator[Counts]:
        """Counts to begin from: the offered load, smoothed over some ticks, and more by its square root."""
        # Where nobody is served, the difference of two sums may be a little less than nothing.
        load = np.maximum(_offered(self.demand, self._times_s), 0.0) / self.demand.pool.slots
        ahead = int(np.ceil(self.demand.safe_startup_s / self._tick_s)) + 1
        for width in (1, 4, 16, len(load)):
            smooth = np.maximum(_smoothed(load, width), 0.0)
            for look in LOOKS:
                yield _greatest_ahead(np.ceil(smooth + look * np.sqrt(smooth)), ahead).astype(np.int64)
        peak = np.ceil(_peaks(self.demand, self._times_s) / self.demand.pool.slots)
        yield _greatest_ahead(peak, ahead).astype(np.int64)

    def every_tick(self) -> Counts:
        """The count from each tick of the run on."""
        all_ticks = np.arange(int(np.ceil(self._horizon_s / self._tick_s - 1e-9)))
        return self.counts[np.searchsorted(self._ticks, all_ticks, side="right") - 1]

    def _pool(self) -> tuple[int, int, Floats, float]:
        return self._places, self.demand.pool.slots, self._startup_s, self._horizon_s


def _useful(demand: Demand, tick_s: float, horizon_s: float) -> NDArray[np.int64]:
    """The ticks near some request: at all others nothing that is decided can help."""
    every = np.arange(int(np.ceil(horizon_s / tick_s - 1e-9)))
    target_s = np.where(demand.asked, demand.target_s, 0.0)
    first = np.floor((demand.arrival_s - demand.safe_startup_s) / tick_s) - 1
    last = np.ceil((demand.arrival_s + np.maximum(target_s, demand.work_s)) / tick_s) + 1
    ends = np.zeros(len(every) + 1)
    np.add.at(ends, np.clip(first, 0, len(every)).astype(int), 1)
    np.add.at(ends, np.clip(last + 1, 0, len(every)).astype(int), -1)
    near = np.cumsum(ends[:-1]) > 0
    near[0] = True
    return every[near]


def _offered(demand: Demand, times_s: Floats) -> Floats:
    """Slots that would be busy in each tick, in the mean, were there always one free."""
    return _busy(demand.arrival_s, demand.arrival_s + demand.work_s, times_s) / np.diff(times_s)


def _busy(start_s: Floats, end_s: Floats, edges_s: Floats) -> Floats:
    """Seconds in each interval, summed over all that last from their start to their end."""
    order, ends = np.sort(start_s), np.sort(end_s)
    begun = np.concatenate([[0.0], np.cumsum(order)])
    ended = np.concatenate([[0.0], np.cumsum(ends)])
    i, j = np.searchsorted(order, edges_s), np.searchsorted(ends, edges_s)
    busy: Floats = np.diff((i * edges_s - begun[i]) - (j * edges_s - ended[j]))
    return busy


def _peaks(demand: Demand, times_s: Floats) -> Floats:
    """The most slots that would be busy at once in each tick, were there always one free."""
    moments = np.concatenate([demand.arrival_s, demand.arrival_s + demand.work_s])
    steps = np.repeat([1.0, -1.0], len(demand.arrival_s))
    order = np.lexsort((steps, moments))
    level = np.concatenate([[0.0], np.cumsum(steps[order])])
    edges = np.searchsorted(moments[order], times_s)
    return np.array([level[a : b + 1].max() for a, b in pairwise(edges)])


def _smoothed(values: Floats, width: int) -> Floats:
    """Means over `width` around each, fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    low, high = np.maximum(at - width // 2, 0), np.minimum(at + (width + 1) // 2, len(values))
    means: Floats = (total[high] - total[low]) / (high - low)
    return means


def _greatest_ahead(values: Floats, ahead: int) -> Floats:
    """The greatest of each value and the `ahead` next ones."""
    padded = np.concatenate([values, np.full(ahead, -inf)])
    greatest: Floats = np.lib.stride_tricks.sliding_window_view(padded, ahead + 1).max(axis=1)
    return greatest
