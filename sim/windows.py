"""A run in windows of time: what left in each, as counts and histograms, in memory that does not grow with the run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sim.cluster import Harvest
from sim.loghistogram import BUCKETS, LogHistogram
from sim.scenario import Scenario

FEWEST = 128
"""Into so many windows a run is cut; one that is lengthened has up to twice as many."""

Mask = NDArray[np.bool_]
"""Shape (pools, classes): which requests are meant."""


class Scopes:
    """The distinct sets of requests that figures are taken of: all, each model's, each version's, each class's."""

    def __init__(self, scenario: Scenario) -> None:
        pools = list(scenario.pools.values())
        self._of_model = np.array([[pool.model == c.model for c in scenario.traffic] for pool in pools])
        every_pool, every_class = np.ones(len(pools), dtype=bool), np.ones(len(scenario.traffic), dtype=bool)
        models = [np.array([pool.model == model.name for pool in pools]) for model in scenario.models]
        self.masks: list[Mask] = []
        self._numbers: dict[bytes, int] = {}
        self._enter(every_pool, every_class)
        for some in (*models, *np.eye(len(pools), dtype=bool)):
            self._enter(some, every_class)
        for one in np.eye(len(scenario.traffic), dtype=bool):
            self._enter(every_pool, one)

    def number(self, pools: Sequence[int], classes: Sequence[int]) -> int:
        """The place of such a set among `masks`."""
        some_pools, some_classes = (np.zeros(length, dtype=bool) for length in self._of_model.shape)
        some_pools[list(pools)] = some_classes[list(classes)] = True
        return self._numbers[self._mask(some_pools, some_classes).tobytes()]

    def _mask(self, pools: Mask, classes: Mask) -> Mask:
        mask: Mask = self._of_model & np.outer(pools, classes)
        return mask

    def _enter(self, pools: Mask, classes: Mask) -> None:
        mask = self._mask(pools, classes)
        if mask.tobytes() not in self._numbers:
            self._numbers[mask.tobytes()] = len(self.masks)
            self.masks.append(mask)


@dataclass(frozen=True, eq=False, slots=True)
class Window:
    """What happened from `start_s` to `end_s`: waits of those who started then, response times of those completed.

    `counts` has shape (pools, classes, `Tallied`); of histograms there is one for each of `Scopes.masks`.
    """

    place: int
    """Its start as a number of windows' widths; also of the second part, where the warm-up ends within."""
    start_s: float
    end_s: float
    counts: NDArray[np.int64]
    wait: Sequence[LogHistogram]
    response: Sequence[LogHistogram]


class Windows:
    """A run cut into windows of equal width, a 128th of the horizon; merged two by two before there are 257.

    `split_s` is a boundary whatever the width. Law: the windows follow each other without gap from 0 to `end_s`.
    """

    def __init__(self, horizon_s: float, masks: Sequence[Mask], split_s: float = 0.0) -> None:
        self.width_s = horizon_s / FEWEST
        self.found: list[Window] = []
        self.service_s = np.zeros(masks[0].shape)
        """The sum of all services that came to their end, for each pool and class."""
        self._split_s = split_s
        self._served = np.zeros((2, BUCKETS), dtype=np.int64)
        self._scopes = len(masks)
        self._cells = [tuple(cell) for cell in np.argwhere(np.array(masks)).tolist()]
        """Scope, pool and class."""

    @property
    def service(self) -> LogHistogram:
        """Of all services that came to their end."""
        return LogHistogram.dense(*self._served)

    @property
    def end_s(self) -> float:
        return self.found[-1].end_s if self.found else 0.0

    def next_s(self) -> float:
        """The boundary after `end_s`."""
        place = self._place()
        if self._split(place):
            return self._split_s
        return (place + 1) * self.width_s

    def boundary_s(self, at_least_s: float) -> float:
        """The first regular boundary that is not before `at_least_s`."""
        return float(np.ceil(at_least_s / self.width_s * (1 - 1e-12))) * self.width_s

    def take(self, harvest: Harvest, end_s: float) -> None:
        """Enter what happened since the last boundary; `end_s` is the next, or earlier where the run breaks off."""
        self._serve(harvest.service)
        wait, response = (self._scoped(found) for found in (harvest.wait, harvest.response))
        self.found.append(Window(self._place(), self.end_s, end_s, harvest.counts, wait, response))
        if len(self.found) > 1:
            self.found[-2:] = self._neighbours(self.found[-2:])
        if len(self.found) > 2 * FEWEST:
            self.width_s *= 2
            self.found = self._neighbours([replace(w, place=w.place // 2) for w in self.found])

    def _place(self) -> int:
        """Of the window that begins at `end_s`."""
        place = self.found[-1].place if self.found else 0
        return place + (self.end_s >= (place + 1) * self.width_s)

    def _split(self, place: int) -> bool:
        """Whether the boundary of its own is the next one."""
        return self.end_s < self._split_s < (place + 1) * self.width_s

    def _neighbours(self, windows: Sequence[Window]) -> list[Window]:
        """The same with those in the same place merged, but for across the boundary of its own."""
        merged: list[Window] = []
        for window in windows:
            if merged and merged[-1].place == window.place and merged[-1].end_s != self._split_s:
                merged[-1] = together(merged[-1], window)
            else:
                merged.append(window)
        return merged

    def _scoped(self, found: Sequence[Sequence[LogHistogram]]) -> list[LogHistogram]:
        """Those of the cells of each scope as one: sorted once for all scopes, their buckets one after another's."""
        cells = [(scope, found[p][k]) for scope, p, k in self._cells if len(found[p][k].buckets)]
        if not cells:
            return [LogHistogram.of({})] * self._scopes
        whole = LogHistogram.summed(
            np.concatenate([cell.buckets + scope * BUCKETS for scope, cell in cells]),
            np.concatenate([cell.counts for _, cell in cells]),
            np.concatenate([cell.sums for _, cell in cells]),
        )
        edges = np.searchsorted(whole.buckets, np.arange(self._scopes + 1) * BUCKETS).tolist()
        return [
            LogHistogram(whole.buckets[a:b] - scope * BUCKETS, whole.counts[a:b], whole.sums[a:b]).thin()
            for scope, (a, b) in enumerate(pairwise(edges))
        ]

    def _serve(self, service: Sequence[Sequence[LogHistogram]]) -> None:
        for p, row in enumerate(service):
            for k, histogram in enumerate(row):
                if len(histogram.buckets):
                    self.service_s[p, k] += histogram.total_s
                    self._served[:, histogram.buckets] += histogram.counts, histogram.sums


def together(first: Window, second: Window) -> Window:
    """Two neighbours as one; or the same window of two replications."""
    return Window(
        place=first.place,
        start_s=first.start_s,
        end_s=second.end_s,
        counts=first.counts + second.counts,
        wait=[LogHistogram.merged(pair).thin() for pair in zip(first.wait, second.wait, strict=True)],
        response=[LogHistogram.merged(pair).thin() for pair in zip(first.response, second.response, strict=True)],
    )
