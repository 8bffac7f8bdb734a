"""What a journal's turns tell of replicas and requests: series by turn, and what requests met by window of time."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policies.faults import InputError
from policies.histogram import Histogram
from policies.journal import Header, rotated
from policies.loop import Turn
from policies.observation import Flow
from policies.pool import PoolTraits
from sim.columns import Columns
from sim.history import DecisionRow, decided_rows
from sim.journal import LONGEST_TICKS, headers, tick_of, turns
from sim.startups import Startups

Floats = NDArray[np.float64]

MOST_WINDOWS = 128
TICKS_A_WINDOW = 2
"""At least."""
GAUGES = ("wanted", "starting", "ready", "draining", "age_s")
LEVELS = ("queued", "in_service")
TOTALS = ("arrived", "started", "completed", "failed", "rejected", "abandoned", "busy_s")
TIMES = ("wait_s", "service_s", "response_s")
COVERED = 0.99
"""The share of a model's requests that its classes must have, to be told apart."""


@dataclass(frozen=True, eq=False, slots=True)
class Timeline:
    """The turns of a journal, from time 0, cut into windows of a number of ticks; the last may be shorter."""

    begin_s: float
    """Of the first turn, as the journal has it."""
    times_s: Floats
    tick_s: float
    ticks_a_window: int
    whole: bool
    """Whether counters began with the journal; else its oldest files are gone."""

    @property
    def end_s(self) -> float:
        return float(self.times_s[-1])

    @property
    def width_s(self) -> float:
        """Were windows no whole ticks, some would have one growth of counters more than others."""
        return self.ticks_a_window * self.tick_s

    @property
    def windows(self) -> int:
        return max(ceil(self.end_s / self.width_s * (1 - 1e-9)), 1)

    @property
    def edges_s(self) -> Floats:
        """Of the windows."""
        edges_s: Floats = np.minimum(np.arange(self.windows + 1) * self.width_s, self.end_s)
        return edges_s

    @property
    def steps_s(self) -> Floats:
        """Time since the turn before; 0 for the first, and where nobody knows what was in between."""
        steps = np.diff(self.times_s, prepend=self.times_s[0])
        return np.where(steps <= LONGEST_TICKS * self.tick_s, steps, 0.0)

    def window(self, place: int, age_s: float) -> int:
        """Where that belongs which grew from the turn before until this one, read so long before."""
        middle_s = (self.times_s[max(place - 1, 0)] + self.times_s[place]) / 2 - age_s
        return min(max(int(middle_s / self.width_s), 0), self.windows - 1)


class FlowSeries:
    """The requests of a pool, or of one class in it."""

    def __init__(self, timeline: Timeline) -> None:
        n = len(timeline.times_s)
        self.levels = {name: np.full(n, np.nan) for name in LEVELS}
        self.totals: dict[str, Floats] = {}
        """Growth since the journal's begin, restarts of the source made good; what was not read stays as it was."""
        self.grown: dict[str, Floats] = {}
        """The same in each window."""
        self.met: dict[str, list[list[Histogram]]] = {}
        """What was entered in each window: a histogram for each set of bounds."""
        self._timeline = timeline
        self._last: dict[str, float] = {}
        self._last_of: dict[str, Histogram] = {}

    def see(self, place: int, flow: Flow, window: int) -> None:
        for name, series in self.levels.items():
            value = getattr(flow, name)
            series[place] = np.nan if value is None else value
        for name in TOTALS:
            self._count(name, getattr(flow, f"{name}_total"), place, window)
        for name in TIMES:
            self._enter(name, getattr(flow, name), window)

    def histogram(self, name: str) -> Histogram | None:
        """All that was entered, over the bounds that most of it has."""
        by_bounds: dict[tuple[float, ...], list[Histogram]] = {}
        for window in self.met.get(name, []):
            for histogram in window:
                by_bounds.setdefault(histogram.bounds, []).append(histogram)
        merged = [reduce(added, same) for same in by_bounds.values()]
        return max(merged, key=lambda histogram: histogram.total, default=None)

    def count(self, name: str) -> Floats | None:
        """Requests in each window, from the counter or the best that there is in its place; None without any."""
        for other in (name, *INSTEAD.get(name, ())):
            if other in self.grown:
                return self.grown[other]
            if other in self.met:
                return np.array([sum(histogram.total for histogram in window) for window in self.met[other]])
        return None

    def _count(self, name: str, value: float | None, place: int, window: int) -> None:
        series = self.totals.get(name)
        if value is None:
            if series is not None:
                series[place] = series[place - 1]
            return
        if series is None:
            series = self.totals[name] = np.full(len(self._timeline.times_s), np.nan)
            series[:place] = 0.0
            self.grown[name] = np.zeros(self._timeline.windows)
        before = self._last.get(name, 0.0 if self._timeline.whole else value)
        growth = value - before if value >= before else value
        self._last[name] = value
        series[place] = (series[place - 1] if place else 0.0) + growth
        self.grown[name][window] += growth

    def _enter(self, name: str, histogram: Histogram | None, window: int) -> None:
        if histogram is None:
            return
        before = self._last_of.get(name)
        self._last_of[name] = histogram
        if name not in self.met:
            self.met[name] = [[] for _ in range(self._timeline.windows)]
        if before is None and not self._timeline.whole:
            return
        new = histogram if before is None else histogram.since(before)
        if new.total > 0:
            _merge(self.met[name][window], new)


INSTEAD = {
    "completed": ("response_s", "service_s"),
    "arrived": ("started", "wait_s", "completed", "response_s", "service_s"),
}
"""What stands for a counter that nobody keeps."""


class PoolSeries:
    """One pool, turn by turn; NaN where a gauge is unknown."""

    def __init__(self, traits: PoolTraits, timeline: Timeline) -> None:
        self.traits = traits
        self.gauges = {name: np.full(len(timeline.times_s), np.nan) for name in GAUGES}
        self.total = FlowSeries(timeline)
        self.classes: dict[str, FlowSeries] = {}
        self.startups = Startups(LONGEST_TICKS * timeline.tick_s)

    def held(self, name: str) -> Floats:
        """A gauge with its last known value where it is unknown; the first known one before, 0 where none is."""
        return held(self.gauges[name])


@dataclass(frozen=True, eq=False, slots=True)
class Observed:
    """A whole journal. `classes` gives each model the request classes that are told apart; none where they are not."""

    path: Path
    header: Header
    """The last one."""
    timeline: Timeline
    pools: Mapping[str, PoolSeries]
    classes: Mapping[str, tuple[str, ...]]
    decisions: Columns[DecisionRow]
    notes: tuple[str, ...] = field(default=())

    @property
    def age_s(self) -> float:
        """Of half of the readings at most; 0 where nothing was ever read."""
        ages_s = np.concatenate([pool.gauges["age_s"] for pool in self.pools.values()])
        return 0.0 if np.isnan(ages_s).all() else float(np.nanmedian(ages_s))

    def flow(self, pool: str, request_class: str) -> FlowSeries | None:
        """The requests of a class, or of the pool where its model has none."""
        series = self.pools[pool]
        return series.classes.get(request_class) if self.classes[series.traits.model] else series.total


def observe(journal: str | Path) -> Observed:
    """Read a journal, all its files in order. Raises `InputError` where there are fewer than two turns in it."""
    path = Path(journal)
    heads = headers(path)
    pools = _pools(heads)
    timeline, left_out = _timeline(path)
    series = {name: PoolSeries(traits, timeline) for name, traits in pools.items()}
    decisions = Columns(DecisionRow)
    for place, turn in enumerate(_ascending(path)):
        _enter(turn, place, timeline, series)
        for row in decided_rows(float(timeline.times_s[place]), turn):
            decisions.append(row)
    classes, unclear = _classes(series)
    notes = [*_notes(timeline, left_out), *unclear]
    return Observed(path, heads[-1], timeline, series, classes, decisions, tuple(notes))


def held(values: Floats) -> Floats:
    """The same with the last known value where one is unknown; the first known one before, 0 where none is."""
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return np.zeros_like(values)
    at = np.maximum(np.searchsorted(known, np.arange(len(values)), side="right") - 1, 0)
    filled: Floats = values[known[at]]
    return filled


def added(a: Histogram, b: Histogram) -> Histogram:
    """Two histograms of the same bounds as one."""
    return Histogram(a.bounds, tuple(x + y for x, y in zip(a.counts, b.counts, strict=True)), a.sum + b.sum)


def _merge(found: list[Histogram], new: Histogram) -> None:
    for place, histogram in enumerate(found):
        if histogram.bounds == new.bounds:
            found[place] = added(histogram, new)
            return
    found.append(new)


def _pools(heads: list[Header]) -> dict[str, PoolTraits]:
    """All pools there ever were, each as it was last, those of a model together."""
    pools = {name: traits for head in heads for name, traits in head.pools.items()}
    models = dict.fromkeys(traits.model for traits in pools.values())
    return {name: traits for model in models for name, traits in pools.items() if traits.model == model}


def _ascending(path: Path) -> Iterator[Turn]:
    """The turns without those at which the clock had gone back."""
    last_s = -np.inf
    for turn in turns(path):
        if turn.observation.time_s > last_s:
            last_s = turn.observation.time_s
            yield turn


def _timeline(path: Path) -> tuple[Timeline, int]:
    """And how many turns are left out."""
    every = [turn.observation.time_s for turn in turns(path)]
    times_s = np.maximum.accumulate(np.array(every)) if every else np.empty(0)
    times_s = np.unique(times_s)
    if len(times_s) < 2:
        raise InputError(f"{path}: {len(times_s)} turns tell nothing of what happened between them; it takes two")
    tick_s = tick_of(path)
    ticks = max(ceil((times_s[-1] - times_s[0]) / tick_s / MOST_WINDOWS - 1e-9), TICKS_A_WINDOW)
    whole = [number for number, _ in rotated(path)][:1] in ([], [1])
    return Timeline(every[0], times_s - times_s[0], tick_s, ticks, whole), len(every) - len(times_s)


def _enter(turn: Turn, place: int, timeline: Timeline, series: Mapping[str, PoolSeries]) -> None:
    time_s = float(timeline.times_s[place])
    for name, reading in turn.observation.pools.items():
        pool = series[name]
        for gauge, values in pool.gauges.items():
            value = getattr(reading, gauge)
            values[place] = np.nan if value is None else value
        window = timeline.window(place, reading.age_s or 0.0)
        pool.total.see(place, reading.total, window)
        for request_class, flow in reading.classes.items():
            if request_class not in pool.classes:
                pool.classes[request_class] = FlowSeries(timeline)
            pool.classes[request_class].see(place, flow, window)
        pool.startups.see(time_s, reading, turn.actions.get(name))


def _classes(series: Mapping[str, PoolSeries]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Each model's classes, where they make up all its requests; and a note where not."""
    found: dict[str, tuple[str, ...]] = {}
    notes: list[str] = []
    for model in dict.fromkeys(pool.traits.model for pool in series.values()):
        pools = [pool for pool in series.values() if pool.traits.model == model]
        names = tuple(dict.fromkeys(name for pool in pools for name in pool.classes))
        share = _covered(pools)
        found[model] = names if share >= COVERED else ()
        if names and not found[model]:
            notes.append(f"the classes of {model} make up {share:.0%} of its requests only: it is taken as a whole")
    return found, notes


def _covered(pools: list[PoolSeries]) -> float:
    of_all = sum(_all(pool.total) for pool in pools)
    of_classes = sum(_all(flow) for pool in pools for flow in pool.classes.values())
    return of_classes / of_all if of_all else 0.0


def _all(flow: FlowSeries) -> float:
    arrived = flow.count("arrived")
    return 0.0 if arrived is None else float(arrived.sum())


def _notes(timeline: Timeline, left_out: int) -> Iterator[str]:
    if left_out:
        yield f"{left_out} turns are left out, before which the clock had gone back"
    gaps = Counter(np.diff(timeline.times_s) > LONGEST_TICKS * timeline.tick_s)[True]
    if gaps:
        yield f"in {gaps} gaps there were no turns: replicas are not counted there, requests as far as counters tell"
    if not timeline.whole:
        yield "the oldest files of the journal are gone: it is counted from the first turn that is left"
