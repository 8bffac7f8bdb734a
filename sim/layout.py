"""How a scenario lies in the flat arrays of the compiled plane: its models, classes, counters and records."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.faults import InputError
from sim import kernel
from sim.arena import Arena, Plan, Stations
from sim.cluster import Counter, Harvest, Requests, Tallied
from sim.kernel import HIDDEN, KEPT_FLOATS, KEPT_INTEGERS, SHARED, WAIT_BUCKETS
from sim.loghistogram import BUCKETS, LOWEST_OCTAVE, PER_OCTAVE_BITS, LogHistogram, bucket, ticks
from sim.requests import Arrivals, eligible, recording
from sim.routing import Table
from sim.scenario import Mcq, Model, Recorded, RequestClass, Scenario
from sim.service import Constant

INBOX = 1 << 10
SMALLEST = 1 << 6
RECORDS = 1 << 14
"""Records that the loops hold before they are handed over."""

NOTHING = LogHistogram.of({})

BALANCERS = {
    "central": kernel.CENTRAL,
    "round_robin": kernel.ROUND_ROBIN,
    "random": kernel.RANDOM,
    "two_choices": kernel.TWO_CHOICES,
    "join_shortest_queue": kernel.SHORTEST_QUEUE,
    "least_outstanding": kernel.LONGEST_AGO,
}
RULES = {
    "ps": kernel.BY_PLACE,
    "fcfs": kernel.BY_PLACE,
    "gq": kernel.BY_PLACE,
    "lcfs": kernel.LAST_FIRST,
    "sjf": kernel.SHORTEST,
    "edf": kernel.EARLIEST,
    "priority": kernel.PRIORITY,
    "mcq": kernel.PRIORITY,
}


class UncompiledError(InputError):
    """A scenario for which there is no compiled loop."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What is counted of one request class in one pool, for control to correct after a crash."""

    counters: NDArray[np.int64]
    hidden: NDArray[np.int64]
    waits: NDArray[np.int64]

    def interrupt(self, served_s: float) -> None:
        self.counters[Counter.IN_SERVICE] -= 1
        self.hidden[kernel.BUSY_ENDED] += ticks(served_s)
        self.hidden[kernel.INTERRUPTED] += 1

    def fail(self) -> None:
        self.counters[Counter.FAILED] += 1
        self.hidden[Tallied.FAILED] += 1

    def take_back(self, wait_s: float) -> None:
        """A wait out of the fine histogram; what scrapes see never goes back."""
        self.waits[bucket(wait_s)] -= (1, ticks(wait_s))

    def wait_again(self) -> None:
        self.counters[Counter.QUEUED] += 1
        self.hidden[kernel.REQUEUED] += 1


class Layout:
    """The arrays of one scenario, made for `kernel.advance`.

    Raises `UncompiledError` for a model whose queue and balancer have no compiled loop.
    """

    def __init__(self, scenario: Scenario, bounds: Sequence[float], share: float, chunk: int) -> None:
        """`share` of the requests is to be kept; `chunk` of a class are read at a time."""
        self._chunk = chunk
        self._scenario = scenario
        self._mine = [[k for k, c in enumerate(scenario.traffic) if c.model == m.name] for m in scenario.models]
        self.arena = Arena()
        self.bounds = np.array([*bounds, np.inf])
        self.first_bound = _first_bounds(bounds)
        stations = [1 if model.queue == "gq" else len(model.versions) for model in scenario.models]
        self.models: NDArray[Any] = np.zeros(len(scenario.models), dtype=kernel.MODEL)
        self.sources: NDArray[Any] = np.zeros(len(scenario.traffic) + sum(stations), dtype=kernel.SOURCE)
        self.stations = Stations(self.arena, sum(stations), len(scenario.traffic))
        self.station_of: list[int] = []
        self._share_tables(share)
        self._count_cells(bounds)
        for m, (model, first) in enumerate(zip(scenario.models, accumulate(stations, initial=0), strict=False)):
            self._place_model(m, model, first, stations[m])
        self.kinds = sorted({int(kind) for kind in self.models["kind"]})

    def route(self, request_class: int, weights: Mapping[str, float]) -> None:
        """Let this class's requests fall to versions by these weights."""
        m = next(m for m, mine in enumerate(self._mine) if request_class in mine)
        versions = [version.name for version in self._scenario.models[m].versions]
        first = int(self.models[m]["table"]) + self._mine[m].index(request_class) * len(versions)
        self.arena.floats[first : first + len(versions)] = Table(versions, weights).bounds

    def refill(self, request_class: int, block: Arrivals) -> None:
        """The next requests of a class, in place of those that were read."""
        source = self.sources[request_class]
        n, floats, integers = len(block), self.arena.floats, self.arena.integers
        source["first_number"] += source["end"]
        source["at"], source["end"], source["ended"] = 0, n, n == 0
        floats[source["arrival"] : source["arrival"] + n] = block.arrival_s
        for v, work_s in block.work_s.items():
            first = source["work"] + v * source["capacity"]
            floats[first : first + n] = work_s
        if block.patience_s is not None:
            np.add(block.arrival_s, block.patience_s, out=floats[source["deadline"] : source["deadline"] + n])
        for name, values in (("route", block.route), ("balance", block.balance)):
            if values is not None and source[name] >= 0:
                floats[source[name] : source[name] + n] = values
        if block.version is not None:
            integers[source["version"] : source["version"] + n] = block.version

    def counted(self, pool: int) -> NDArray[np.int64]:
        """As `Cluster.look` shows it."""
        rows, cells = self._cells_of[pool]
        if len(cells) == self._cells.shape[1] == 1:
            return self._table[cells[0] : cells[0] + 1, : self._shown].copy()
        found = np.zeros((self._cells.shape[1], self._shown), dtype=np.int64)
        found[rows] = self._table[cells, : self._shown]
        return found

    def cell(self, pool: int, request_class: int) -> Cell:
        cell = self._cells[pool, request_class]
        return Cell(self._table[cell], self._table[cell, self._shown :], self._fine_table[cell, 0])

    def harvest(self) -> Harvest:
        """What was counted since the last time, and start anew."""
        counts = np.zeros((*self._cells.shape, len(Tallied)), dtype=np.int64)
        found = [[[NOTHING] * self._cells.shape[1] for _ in self._cells_of] for _ in range(3)]
        for pool, (rows, cells) in enumerate(self._cells_of):
            for k, cell in zip(rows, cells, strict=True):
                counts[pool, k] = self._table[cell, self._shown : self._shown + len(Tallied)]
                self._table[cell, self._shown : self._shown + len(Tallied)] = 0
                for kind in range(3):
                    found[kind][pool][k] = _taken(self._fine_table[cell, kind])
        return Harvest(counts, *found)

    def records(self) -> Requests:
        """The records that the loops have kept, taken out."""
        shared = self.arena.integers[:SHARED]
        n, first_float, first_integer = (int(shared[at]) for at in (kernel.KEPT, kernel.KEEP_F, kernel.KEEP_I))
        shared[kernel.KEPT] = 0
        times = self.arena.floats[first_float : first_float + n * KEPT_FLOATS].reshape(n, KEPT_FLOATS).copy()
        named = self.arena.integers[first_integer : first_integer + n * KEPT_INTEGERS].reshape(n, KEPT_INTEGERS)
        return Requests(
            request_class=named[:, 0].astype(np.int16),
            number=named[:, 1].copy(),
            pool=named[:, 2].astype(np.int16),
            arrival_s=times[:, 0],
            start_s=times[:, 1],
            leave_s=times[:, 2],
            work_s=times[:, 3],
            outcome=named[:, 3].astype(np.int8),
            slot=named[:, 4].astype(np.int32),
        )

    def room_for_records(self) -> None:
        """Let as many be kept at once as one window may end at its beginning."""
        shared = self.arena.integers[:SHARED]
        needed = RECORDS + 2 * int(self.stations.records["capacity"].max())
        if shared[kernel.KEEP_BELOW] and needed > shared[kernel.KEEP_ROOM]:
            first_float = self.arena.put_floats(np.zeros(needed * KEPT_FLOATS))
            first_integer = self.arena.put_integers(np.zeros(needed * KEPT_INTEGERS, dtype=np.int64))
            at = [kernel.KEEP_ROOM, kernel.KEEP_F, kernel.KEEP_I]
            self.arena.integers[at] = needed, first_float, first_integer

    def _share_tables(self, share: float) -> None:
        traffic = self._scenario.traffic
        first_target = self.arena.put_floats(np.array([self._scenario.target_s(c) for c in traffic]))
        first_priority = self.arena.put_floats(np.array([float(c.priority) for c in traffic]))
        self.arena.integers[[kernel.KEEP_BELOW, kernel.CLASSES]] = int(share * 2.0**53), len(traffic)
        self.arena.integers[[kernel.TARGETS, kernel.PRIORITIES]] = first_target, first_priority

    def _count_cells(self, bounds: Sequence[float]) -> None:
        """A row of counters and fine histograms for each pool and class that may come to it."""
        pools = sum(len(model.versions) for model in self._scenario.models)
        self._cells = np.full((pools, len(self._scenario.traffic)), -1, dtype=np.int64)
        for pool, request_class in self._comings():
            self._cells[pool, request_class] = 0
        self._cells[self._cells == 0] = np.arange(np.count_nonzero(self._cells == 0))
        self._cells_of = [(np.flatnonzero(row >= 0), row[row >= 0]) for row in self._cells]
        self._shown = WAIT_BUCKETS + 3 * (len(bounds) + 1)
        number = int(self._cells.max()) + 1
        self.counters = np.zeros(number * (self._shown + HIDDEN), dtype=np.int64)
        self.fine = np.zeros(number * 3 * BUCKETS * 2, dtype=np.int64)
        self._table = self.counters.reshape(number, -1)
        self._fine_table = self.fine.reshape(number, 3, BUCKETS, 2)
        first = self.arena.put_integers(self._cells.ravel())
        self.arena.integers[kernel.CELLS] = first

    def _comings(self) -> Iterator[tuple[int, int]]:
        """Pools, and the classes that may come to them."""
        first = 0
        for model, mine in zip(self._scenario.models, self._mine, strict=True):
            for k in mine:
                yield from ((first + v, k) for v in _versions(model, self._scenario.traffic[k]))
            first += len(model.versions)

    def _place_model(self, m: int, model: Model, first_station: int, stations: int) -> None:
        mine, versions, arena = self._mine[m], len(model.versions), self.arena
        record = self.models[m]
        record["kind"] = kind(model, self._scenario)
        record["first_station"], record["stations"], record["classes"] = first_station, stations, len(mine)
        record["first_pool"], record["versions"] = len(self.station_of), versions
        record["pooled"] = model.queue == "gq"
        record["direct"] = len(mine) == 1 and versions == 1
        record["first_class"] = arena.put_integers(np.array(mine, dtype=np.int64))
        record["recorded"] = arena.put_integers(np.full(len(mine), isinstance(model.routing, Recorded), np.int64))
        record["table"] = arena.put_floats(np.ones(len(mine) * versions))
        for k in mine:
            self._place_source(k, model, k, works=versions)
            if weights := model.weights(self._scenario.traffic[k].name):
                self.route(k, weights)
        for i in range(stations):
            self._place_station(m, model, first_station + i, i)

    def _place_station(self, m: int, model: Model, s: int, i: int) -> None:
        gq = model.queue == "gq"
        works = len(model.versions) if gq else 1
        version = model.versions[i]
        weights = model.queue.weights if isinstance(model.queue, Mcq) else {}
        plan = Plan(
            kind=int(self.models[m]["kind"]),
            pool=len(self.station_of),
            pools=works,
            works=works,
            spread=max(v.slots for v in model.versions) if gq else version.slots,
            room=model.room if gq else version.room,
            rule=kernel.FAIR if weights else RULES[_queue(model)],
            balancer=BALANCERS[model.balancer],
            sharing=model.queue == "ps",
            weights=np.array([weights.get(c.name, 1.0) for c in self._scenario.traffic]),
        )
        self.stations.begin(s, plan)
        self.station_of += [s] * works
        source = self._mine[m][0] if self.models[m]["direct"] else len(self._scenario.traffic) + s
        self.stations.records[s]["source"] = source
        if not self.models[m]["direct"]:
            self._place_source(source, model, None, works)

    def _place_source(self, number: int, model: Model, request_class: int | None, works: int) -> None:
        """Arrays for a class's requests to come, or, where no class is given, for a station's."""
        source, arena = self.sources[number], self.arena
        capacity = self._capacity(request_class)
        source["capacity"], source["works"] = capacity, works
        source["arrival"] = arena.put_floats(np.zeros(capacity))
        source["work"] = arena.put_floats(np.zeros(capacity * works))
        patience = request_class is None or _is_patience_limited(self._scenario.traffic[request_class], model)
        source["has_deadlines"] = patience
        source["deadline"] = arena.put_floats(np.zeros(capacity)) if patience else 0
        draws = model.balancer in ("random", "two_choices")
        source["balance"] = arena.put_floats(np.zeros(capacity)) if draws else -1
        source["only_class"] = -1 if request_class is None else request_class
        source["route"] = -1
        if request_class is None:
            for name in ("request_class", "number", "home"):
                source[name] = arena.put_integers(np.zeros(capacity, dtype=np.int64))
        elif len(model.versions) > 1:
            source["route"] = arena.put_floats(np.zeros(capacity))
            source["version"] = arena.put_integers(np.zeros(capacity, dtype=np.int64))

    def _capacity(self, request_class: int | None) -> int:
        """So many requests are read, or dealt, at a time: no more of a quiet class than come in the whole run."""
        if request_class is None:
            return min(self._chunk, INBOX)
        arrivals = self._scenario.traffic[request_class].arrivals
        expected = getattr(arrivals, "mean_rate_per_s", math.inf) * self._scenario.horizon_s
        return int(min(self._chunk, max(SMALLEST, expected)))


def kind(model: Model, scenario: Scenario) -> int:
    """Which compiled loop serves a model. Raises `UncompiledError` where there is none."""
    classes = [c for c in scenario.traffic if c.model == model.name]
    if model.balancer != "central" and model.queue not in ("fcfs", "ps"):
        raise _uncompiled(model, f"queue {_queue(model)} with balancer {model.balancer}")
    if model.balancer != "central" or model.queue == "ps":
        if any(version.failures for version in model.versions):
            raise _uncompiled(model, f"queue {_queue(model)} with balancer {model.balancer} and failures")
        return kernel.BALANCED
    if model.queue == "gq":
        if any(version.failures for version in model.versions):
            raise _uncompiled(model, "queue gq with failures")
        if any(len(_versions(model, c)) < len(model.versions) or _partial(model) for c in classes):
            raise _uncompiled(model, "queue gq where not every version may serve every class")
        return kernel.ORDERED
    if model.queue != "fcfs":
        return kernel.ORDERED
    limited = any(version.room is not None for version in model.versions)
    return kernel.ORDERED if limited and not all(_is_patience_even(c, model) for c in classes) else kernel.FCFS


def _uncompiled(model: Model, what: str) -> UncompiledError:
    return UncompiledError(
        f"model {model.name!r}: {what} has no compiled loop; choose the reference engine (--engine reference)"
    )


def _queue(model: Model) -> str:
    return model.queue.kind if isinstance(model.queue, Mcq) else model.queue


def _partial(model: Model) -> bool:
    """Whether some weights leave a version out."""
    routing = model.routing
    if routing is None or isinstance(routing, Recorded):
        return False
    every = [routing.weights, *routing.by_class.values(), *(shift.weights for shift in routing.shifts)]
    return any(not weights.get(version.name) for weights in every for version in model.versions)


def _versions(model: Model, request_class: RequestClass) -> Sequence[int]:
    """Places of the versions that may get requests of this class."""
    if isinstance(model.routing, Recorded):
        recorded = recording(request_class, model)
        if recorded is not None and recorded.version is not None:
            return [int(v) for v in np.unique(recorded.version)]
    return eligible(model)


def _is_patience_limited(request_class: RequestClass, model: Model) -> bool:
    recorded = recording(request_class, model)
    return request_class.patience_s is not None or (recorded is not None and recorded.patience_s is not None)


def _is_patience_even(request_class: RequestClass, model: Model) -> bool:
    """Whether all requests of the class are equally patient: then those that came first also give up first."""
    recorded = recording(request_class, model)
    law = request_class.patience_s
    return (recorded is None or recorded.patience_s is None) and (law is None or isinstance(law, Constant))


def _first_bounds(bounds: Sequence[float]) -> NDArray[np.uint8]:
    """For each fine bucket the number of bounds below all that it holds."""
    octave, within = np.divmod(np.arange(BUCKETS), 1 << PER_OCTAVE_BITS)
    lowest = 2.0 ** (octave + LOWEST_OCTAVE) * (1 + within / (1 << PER_OCTAVE_BITS))
    lowest[0] = 0.0
    return np.searchsorted(np.array(bounds), lowest, side="left").astype(np.uint8)


def _taken(fine: NDArray[np.int64]) -> LogHistogram:
    found = LogHistogram.dense(fine[:, 0], fine[:, 1])
    fine[found.buckets] = 0
    return found
