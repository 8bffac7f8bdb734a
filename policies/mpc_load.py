"""The load of a pool as bins of equal length, its present level, and an ensemble of what may follow."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

WINDOWS = np.array((1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128))
"""The level is a mean over one of these numbers of bins."""
CONFIDENCE = 2.5
"""Means of different windows that are so many standard deviations apart are of different loads."""
SCALES = (2, 6, 24)
"""Situations are compared by the mean load of so many last bins."""
WIDTHS = (0.25, 0.15, 0.15)
"""How much their square roots may differ between like situations; the square root of a Poisson count scatters by 1/2
whatever the rate (Anscombe 1948)."""
LIBRARY = 4096
"""So many bins are remembered."""
ALIKE, ANY = 24, 12
"""Paths that began in a situation most like the present one, and paths that began at any time."""
PATHS = ALIKE + ANY + 1
"""Those, and one at the greatest level of all."""
UNSETTLED = 4
"""The first bins after the start of reading are no example of anything."""
GREATEST_MOVE = 0.25
"""A path of the past is moved to the present level, by this share of the lower one at most."""
MOVES = np.array((-1.3, -0.5, 0.0, 0.5, 1.3, 0.2, -0.2, -1.3, -0.5, 0.0, 0.5, 1.3))
"""Paths that began at any time are moved by so many times what the level may."""
SPREAD = 0.15
"""The logarithm of the level may move by so much, in one start-up time, for all that is known without a history."""
ROWS = 256
"""Levels of so many bins are found at once: what these take stays in the cache."""
DOUBT = 6.0
"""So many horizons of history make the paths of like situations count as much as those of any time."""


@dataclass(slots=True)
class Bins:
    """Numbers in order of time, the oldest dropped beyond what the library and its levels need."""

    _held: Floats = field(default_factory=lambda: np.empty(2 * (LIBRARY + int(WINDOWS[-1]))))
    _end: int = 0

    def append(self, value: float) -> None:
        if self._end == len(self._held):
            kept = self._held[len(self._held) // 2 :].copy()
            self._held[: len(kept)], self._end = kept, len(kept)
        self._held[self._end] = value
        self._end += 1

    def last(self, n: int) -> Floats:
        """The last n, or as many as there are."""
        return self._held[max(0, self._end - n) : self._end]

    def __len__(self) -> int:
        return self._end


@dataclass(slots=True)
class LoadHistory:
    """Offered load in slots: arrivals times mean service time, over bins of `bin_s` that begin at multiples of it."""

    bin_s: float
    lead: int
    """A start-up takes so many bins."""
    offered: Bins = field(default_factory=Bins)
    service_s: float = 1.0
    bins_total: int = 0
    _levels: Bins = field(default_factory=Bins)
    _unsettled: int = 0
    """The last bins whose level is yet to be found, with those of other pools."""
    _edge: int | None = None
    _before: tuple[float, float] | None = None
    _count: float = 0.0
    _service_s: float = 1.0
    """As the last bin closed: what is made of the bins depends on nothing seen since."""
    _paths: dict[int, tuple[Singles, Singles]] = field(default_factory=dict)

    def see(self, taken_s: float, arrived_total: float, service_s: float) -> None:
        """A new reading; arrivals are taken to have come evenly between two readings."""
        if self._unsettled:
            settle([self])
        self.service_s = service_s
        before, self._before = self._before, (taken_s, arrived_total)
        if before is None or self._edge is None:
            self._edge, self._count = int(taken_s // self.bin_s) + 1, 0.0
            return
        if taken_s - before[0] > LIBRARY * self.bin_s:
            # Longer away than anything is remembered.
            self.offered, self._levels, self.bins_total, self._edge = Bins(), Bins(), 0, None
            return
        grown = arrived_total - before[1] if arrived_total >= before[1] else arrived_total
        rate_per_s = grown / (taken_s - before[0])
        at_s = before[0]
        while (edge_s := self._edge * self.bin_s) <= taken_s:
            self._close(self._count + rate_per_s * (edge_s - at_s))
            self._edge, self._count, at_s = self._edge + 1, 0.0, edge_s
        self._count += rate_per_s * (taken_s - at_s)

    def _close(self, count: float) -> None:
        self.offered.append(count * self.service_s / self.bin_s)
        self.bins_total += 1
        self._unsettled += 1
        self._service_s = self.service_s
        self._paths.clear()

    @property
    def levels(self) -> Bins:
        """The level as each bin closed."""
        if self._unsettled:
            settle([self])
        return self._levels

    @property
    def level(self) -> float:
        return float(self.levels.last(1)[0])

    @property
    def mean(self) -> float:
        """Over all that is remembered."""
        return float(self.offered.last(LIBRARY).mean())

    def _unsettled_bins(self) -> Iterator[Floats]:
        """Each bin that has no level yet, at the end of those before it that its level depends on."""
        longest, number = int(WINDOWS[-1]), self._unsettled
        bins = self.offered.last(number + longest - 1)
        for end in range(len(bins) - number + 1, len(bins) + 1):
            yield bins[max(0, end - longest) : end]

    def _settle(self, level: float) -> None:
        self._levels.append(level)
        self._unsettled -= 1

    def paths(self, steps: int) -> tuple[Singles, Singles]:
        """Offered load in the next bins: (PATHS, steps), and the weight of each path; 0 of those that are not known."""
        if steps not in self._paths:
            paths, weights = self._ensemble(steps)
            offered, weight = np.zeros((PATHS, steps), np.float32), np.zeros(PATHS, np.float32)
            offered[: len(paths)], weight[: len(paths)] = paths, weights
            self._paths[steps] = offered, weight
        return self._paths[steps]

    def _ensemble(self, steps: int) -> tuple[Floats, Floats]:
        offered, levels = self.offered.last(LIBRARY), self.levels.last(LIBRARY)
        starts = _all_over(len(offered))
        weights = np.full(len(starts), 1.0 / len(starts))
        number, horizons = len(starts), len(offered) / steps
        if len(offered) >= steps + 2 * UNSETTLED:
            alike, alike_weights = self._alike(offered, steps)
            doubt = DOUBT / (DOUBT + horizons)
            starts = np.concatenate((alike, starts))
            weights = np.concatenate((alike_weights * (1 - doubt), weights * doubt))
        # What has been before can be again at once: as likely as what was never seen in so many trials (Laplace 1814).
        again = 1.0 / (horizons + 2.0)
        paths = np.empty((len(starts) + 1, steps))
        paths[:-1] = self._followed(starts, offered, levels, steps)
        paths[-1 - number : -1] *= self._moved(len(offered), number, steps)
        paths[-1] = levels.max()
        return paths, np.append(weights * (1 - again), again)

    def _moved(self, bins: int, number: int, steps: int) -> Floats:
        """Factors by which paths that began at any time are moved: about as little as is known of the level."""
        known = sqrt(1.0 / (1.0 + bins / self.lead / 3.0))
        ramp = np.minimum(np.sqrt(np.arange(1, steps + 1) / self.lead), 1.5)
        return np.asarray(np.exp(SPREAD * known * MOVES[:number, None] * ramp))

    def _alike(self, offered: Floats, steps: int) -> tuple[NDArray[np.int_], Floats]:
        """After which bins the situation was most like the present one, and weights by nearness."""
        total = np.concatenate((np.zeros(SCALES[-1]), np.cumsum(offered)))
        ends = np.arange(1, len(offered) + 1)
        one = self.bin_s / self._service_s
        apart = np.zeros(len(offered) - steps)
        for scale, width in zip(SCALES, WIDTHS, strict=True):
            sums = total[SCALES[-1] :] - total[SCALES[-1] - scale : len(total) - scale]
            roots = np.sqrt(sums * (one / np.minimum(ends, scale)) + 0.02)
            apart += (roots[: len(apart)] - roots[-1]) ** 2 / width
        if self.bins_total == len(offered):
            apart[:UNSETTLED] = np.inf
        starts = _spaced(apart, max(1, self.lead // 2))
        weights = np.exp(-apart[starts] / 2) + 1e-9 * np.isfinite(apart[starts])
        return starts, weights / weights.sum()

    def _followed(self, starts: NDArray[np.int_], offered: Floats, levels: Floats, steps: int) -> Floats:
        """What followed those bins, at the present level; where the history ends it goes back again as it came."""
        n = len(offered)
        places = starts[:, None] + 1 + np.arange(steps)
        beyond = places >= n
        mirrored = np.where(beyond, np.maximum(2 * n - 1 - places, 0), places)
        then = np.where(beyond, levels[mirrored], levels[starts][:, None])
        # Moved and not multiplied: a quiet hour says nothing of how high the next burst will be.
        most = GREATEST_MOVE * np.minimum(levels[-1], then)
        return np.asarray(np.maximum(offered[mirrored] + np.clip(levels[-1] - then, -most, most), 0))


def settle(histories: Iterable[LoadHistory]) -> None:
    """Find the level of every bin that closed since it was last done, of many pools at once."""
    due = ((history, bins) for history in histories for bins in history._unsettled_bins())
    while rows := list(islice(due, ROWS)):
        services = np.array([history._service_s / history.bin_s for history, _ in rows])
        found = _levels([bins for _, bins in rows], services[:, None])
        for (history, _), level in zip(rows, found.tolist(), strict=True):
            history._settle(level)


def _levels(rows: Sequence[Floats], services: Floats) -> Floats:
    """Of each row of bins the mean over the longest window that agrees with all shorter ones (Lepski 1991).

    So a load that stays is known ever better, and one that jumps is known soon. `services`, (rows, 1), are in bins.
    """
    recent = np.zeros((len(rows), int(WINDOWS[-1])))
    lengths = np.array([len(row) for row in rows])[:, None]
    for place, row in zip(recent, rows, strict=True):
        place[: len(row)] = row[::-1]
    means = recent.cumsum(axis=1)[:, WINDOWS - 1] / WINDOWS
    scatter = _dispersion(recent / services, lengths) * services * np.maximum(means, 0.5 * services / WINDOWS)
    deviation = CONFIDENCE * np.sqrt(scatter / WINDOWS)
    low = np.maximum.accumulate(means - deviation, axis=1)
    high = np.minimum.accumulate(means + deviation, axis=1)
    # Of windows longer than the row none is taken.
    disagreeing = np.concatenate(((low > high) | (lengths < WINDOWS), np.full((len(rows), 1), True)), axis=1)
    return np.asarray(means[np.arange(len(rows)), disagreeing.argmax(axis=1) - 1])


def _dispersion(counts: Floats, lengths: NDArray[np.int_]) -> Floats:
    """(rows, 1): variance over mean of the first so many counts of a row, which few jumps of the load disturb.

    It is told from neighbours.
    """
    both = counts[:, 1:] + counts[:, :-1]
    told = (both > 0) & (np.arange(1, counts.shape[1]) < lengths)
    surprise = np.where(told, np.diff(counts) ** 2 / np.maximum(both, 0.6), np.inf)
    surprise.sort(axis=1)
    number, rows = np.count_nonzero(told, axis=1), np.arange(len(counts))
    median = (surprise[rows, np.maximum(number - 1, 0) // 2] + surprise[rows, number // 2]) / 2
    # 0.455 is the median of the chi-square law of one degree of freedom.
    return np.where(number < 8, 2.0, np.maximum(1.0, median / 0.455))[:, None]


def _all_over(bins: int) -> NDArray[np.int_]:
    """Moments evenly over the whole history."""
    last = bins - 2
    first = min(UNSETTLED, last // 2)
    return np.array(sorted({first + (last - first) * k // (ANY - 1) for k in range(ANY)}))


def _spaced(apart: Floats, spacing: int) -> NDArray[np.int_]:
    """The places of the least values, one of each run of so many, since neighbours tell of one and the same event."""
    runs = np.resize(np.append(apart, np.full(-len(apart) % spacing, np.inf)), (-(-len(apart) // spacing), spacing))
    least = runs.argmin(axis=1) + spacing * np.arange(len(runs))
    nearest = np.argpartition(apart[least], min(ALIKE, len(least)) - 1)[:ALIKE]
    return np.asarray(np.sort(least[nearest]))
