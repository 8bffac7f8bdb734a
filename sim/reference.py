"""The reference engine: requests served by SimPy events alone, one appointment for each thing that happens."""

import heapq
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import chain, count

import numpy as np
from numpy.typing import NDArray
from simpy.events import Event

from sim.cluster import Counter, Harvest, Keep, OnCrash, Outcome, Requests, Tallied, kept
from sim.environment import Environment, Phase
from sim.loghistogram import LogHistogram, bucket, ticks
from sim.requests import Arrivals, Workload
from sim.routing import Table
from sim.scenario import Model, Scenario


class Request:
    __slots__ = ("arrival_s", "giving_up", "number", "place", "pool", "request_class", "slot", "start_s", "work_s")

    def __init__(self, place: int, request_class: int, number: int, pool: int, arrival_s: float, work_s: float) -> None:
        self.place = place
        """Its place in the order of arrival, of all classes."""
        self.request_class = request_class
        self.number = number
        self.pool = pool
        self.arrival_s = arrival_s
        self.work_s = work_s
        self.start_s = float("nan")
        self.slot = -1
        self.giving_up: Event | None = None


class Slot:
    """One place in a replica: it serves one request at a time from `idle_since_s` on, while it is open."""

    __slots__ = ("completion", "idle_since_s", "number", "open", "request")

    def __init__(self, number: int, idle_since_s: float) -> None:
        self.number = number
        self.idle_since_s = idle_since_s
        self.open = True
        self.request: Request | None = None
        self.completion: Event | None = None


class Tally:
    """What is counted of one request class in one pool; sums of times in whole `TICKS_PER_S`."""

    def __init__(self, bounds: Sequence[float], target_s: float) -> None:
        self.bounds = bounds
        self.target_s = target_s
        self.counters = [0] * len(Counter)
        self.wait, self.service, self.response = (Times(bounds) for _ in range(3))
        self.tallied = [0] * len(Tallied)

    def arrive(self) -> None:
        self.counters[Counter.ARRIVED] += 1
        self.tallied[Tallied.ARRIVED] += 1

    def queue(self, change: int) -> None:
        self.counters[Counter.QUEUED] += change

    def reject(self) -> None:
        self.counters[Counter.REJECTED] += 1
        self.tallied[Tallied.REJECTED] += 1

    def abandon(self, waited_s: float) -> None:
        self.counters[Counter.ABANDONED] += 1
        self.tallied[Tallied.ABANDONED] += 1
        self.tallied[Tallied.ABANDONED_WAIT] += ticks(waited_s)

    def start(self, wait_s: float) -> None:
        self.counters[Counter.STARTED] += 1
        self.counters[Counter.IN_SERVICE] += 1
        self.counters[Counter.WAIT] += ticks(wait_s)
        self.wait.enter(wait_s)

    def complete(self, service_s: float, response_s: float) -> None:
        self.counters[Counter.COMPLETED] += 1
        self.counters[Counter.IN_SERVICE] -= 1
        self.counters[Counter.BUSY] += ticks(service_s)
        self.counters[Counter.SERVICE] += ticks(service_s)
        self.counters[Counter.RESPONSE] += ticks(response_s)
        self.service.enter(service_s)
        self.response.enter(response_s)
        self.tallied[Tallied.COMPLETED] += 1
        self.tallied[Tallied.MET] += response_s <= self.target_s

    def fail(self) -> None:
        self.counters[Counter.FAILED] += 1
        self.tallied[Tallied.FAILED] += 1

    def interrupt(self, service_s: float) -> None:
        self.counters[Counter.IN_SERVICE] -= 1
        self.counters[Counter.BUSY] += ticks(service_s)


class Times:
    """Times of one kind: how many in each bucket between bounds, and in each of a fine histogram since the harvest."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self._fine: dict[int, tuple[int, int]] = {}

    def enter(self, time_s: float) -> None:
        self.buckets[bisect_left(self._bounds, time_s)] += 1
        self._add(time_s, 1)

    def take_back(self, time_s: float) -> None:
        """Out of the fine histogram; what scrapes see never goes back."""
        self._add(time_s, -1)

    def harvest(self) -> LogHistogram:
        found = LogHistogram.of(self._fine)
        self._fine.clear()
        return found

    def _add(self, time_s: float, sign: int) -> None:
        count, total = self._fine.get(bucket(time_s), (0, 0))
        self._fine[bucket(time_s)] = (count + sign, total + sign * ticks(time_s))


class Log:
    """The requests to be kept, handed over as they leave, some at a time."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._left: list[tuple[Request, float, Outcome]] = []

    def leave(self, request: Request, time_s: float, outcome: Outcome) -> None:
        if self._keep.share and kept(request.request_class, request.number, self._keep.share):
            self._left.append((request, time_s, outcome))
            if len(self._left) == BLOCK:
                self.flush()

    def flush(self) -> None:
        if self._left:
            self._keep.sink(table(self._left))
            self._left.clear()


BLOCK = 1 << 16
"""So many records are handed over at a time."""


def table(rows: Sequence[tuple[Request, float, Outcome]]) -> Requests:
    """Requests, when they left and how, as columns."""
    requests = [request for request, _, _ in rows]
    return Requests(
        request_class=np.array([r.request_class for r in requests], dtype=np.int16),
        number=np.array([r.number for r in requests], dtype=np.int64),
        pool=np.array([r.pool for r in requests], dtype=np.int16),
        arrival_s=np.array([r.arrival_s for r in requests]),
        start_s=np.array([r.start_s for r in requests]),
        leave_s=np.array([time_s for _, time_s, _ in rows]),
        work_s=np.array([r.work_s for r in requests]),
        outcome=np.array([outcome for _, _, outcome in rows], dtype=np.int8),
        slot=np.array([r.slot for r in requests], dtype=np.int32),
    )


class Pool:
    """Replica slots and one queue before them, first come, first served.

    Law: no slot is idle while a request waits, but for the instant until `DISPATCH`.
    """

    def __init__(self, env: Environment, log: Log, room: int | None, tallies: Sequence[Tally]) -> None:
        self._env = env
        self._log = log
        self._room = room
        self.tallies = tallies
        self.slots: dict[int, Slot] = {}
        self._idle: list[tuple[float, int, int, Slot]] = []
        self._entries = count()
        self._queue: OrderedDict[int, Request] = OrderedDict()
        self._dispatching = False

    def arrive(self, request: Request, patience_s: float | None) -> None:
        tally = self.tallies[request.request_class]
        tally.arrive()
        slot = self._longest_idle()
        if slot is not None:
            self._start(request, slot)
        elif self._room is not None and len(self._queue) >= self._room:
            tally.reject()
            self._log.leave(request, self._env.now, Outcome.REJECTED)
        else:
            self._wait(request, patience_s)

    def open(self, number: int, from_s: float) -> None:
        slot = self.slots[number] = Slot(number, from_s)
        if from_s > self._env.now:
            self._env.call(from_s, Phase.COMPLETION, lambda _: self._idles(slot))
        else:
            self._idles(slot)

    def close(self, number: int) -> None:
        self.slots[number].open = False

    def crash(self, number: int, on_crash: OnCrash) -> None:
        slot = self.slots[number]
        slot.open = False
        slot.completion = None
        request, slot.request = slot.request, None
        if request is None:
            return
        served_s = self._env.now - request.start_s
        tally = self.tallies[request.request_class]
        tally.interrupt(served_s)
        slot.idle_since_s = self._env.now
        if on_crash == "lose":
            tally.fail()
            self._log.leave(request, self._env.now, Outcome.FAILED)
            return
        tally.wait.take_back(request.start_s - request.arrival_s)
        if on_crash == "resume":
            request.work_s -= served_s
        self._return(request)

    def busy_now(self, request_class: int) -> int:
        """Time that this class's running services have lasted, in whole `TICKS_PER_S`."""
        running = (slot.request for slot in self.slots.values() if slot.request is not None)
        return sum(ticks(self._env.now - r.start_s) for r in running if r.request_class == request_class)

    def present(self) -> Iterator[Request]:
        """Those waiting and those in service."""
        return chain(self._queue.values(), (s.request for s in self.slots.values() if s.request is not None))

    def _wait(self, request: Request, patience_s: float | None) -> None:
        self.tallies[request.request_class].queue(1)
        self._queue[request.place] = request
        if patience_s is not None and patience_s != float("inf"):
            until_s = request.arrival_s + patience_s
            request.giving_up = self._env.call(until_s, Phase.PATIENCE, lambda _: self._give_up(request))

    def _return(self, request: Request) -> None:
        """Back into the queue, before all that arrived later."""
        self.tallies[request.request_class].queue(1)
        before = list(_while_below(self._queue, request.place))
        self._queue[request.place] = request
        for place in (request.place, *reversed(before)):
            self._queue.move_to_end(place, last=False)
        self._dispatch_soon()

    def _give_up(self, request: Request) -> None:
        if request.giving_up is None:
            return
        del self._queue[request.place]
        tally = self.tallies[request.request_class]
        tally.queue(-1)
        tally.abandon(self._env.now - request.arrival_s)
        self._log.leave(request, self._env.now, Outcome.ABANDONED)

    def _longest_idle(self) -> Slot | None:
        while self._idle:
            slot = heapq.heappop(self._idle)[-1]
            if slot.open:
                return slot
        return None

    def _idles(self, slot: Slot) -> None:
        if slot.open:
            heapq.heappush(self._idle, (slot.idle_since_s, slot.number, next(self._entries), slot))
            self._dispatch_soon()

    def _dispatch_soon(self) -> None:
        if self._queue and not self._dispatching:
            self._dispatching = True
            self._env.call(self._env.now, Phase.DISPATCH, self._dispatch)

    def _dispatch(self, _: Event) -> None:
        self._dispatching = False
        slot = self._longest_idle() if self._queue else None
        if slot is not None:
            request = self._queue.popitem(last=False)[1]
            self.tallies[request.request_class].queue(-1)
            self._start(request, slot)
            # One at a time: a service of no length ends before the next dispatch.
            self._dispatch_soon()

    def _start(self, request: Request, slot: Slot) -> None:
        now = self._env.now
        request.start_s = now
        request.giving_up = None
        slot.request = request
        self.tallies[request.request_class].start(now - request.arrival_s)
        request.slot = slot.number
        slot.completion = self._env.call(now + request.work_s, Phase.COMPLETION, lambda end: self._complete(slot, end))

    def _complete(self, slot: Slot, end: Event) -> None:
        request = slot.request
        if slot.completion is not end or request is None:
            return
        now = self._env.now
        self.tallies[request.request_class].complete(now - request.start_s, now - request.arrival_s)
        self._log.leave(request, now, Outcome.COMPLETED)
        slot.request = None
        slot.idle_since_s = now
        self._idles(slot)


def _while_below(queue: Mapping[int, Request], place: int) -> Iterator[int]:
    for waiting in queue:
        if waiting > place:
            return
        yield waiting


class Reference:
    """The `Cluster` port, event by event."""

    def __init__(
        self,
        env: Environment,
        scenario: Scenario,
        workload: Workload,
        bounds: Sequence[float],
        keep: Keep,
    ) -> None:
        self._env = env
        self._log = Log(keep)
        self._workload = workload
        self._classes = scenario.traffic
        self._models = {model.name: model for model in scenario.models}
        targets_s = [scenario.target_s(c) for c in scenario.traffic]
        self._pools = [
            Pool(env, self._log, version.room, [Tally(bounds, target_s) for target_s in targets_s])
            for model in scenario.models
            for version in model.versions
        ]
        self._first_pool = first_pools(scenario)
        self._arrived = [0] * len(scenario.traffic)
        self._tables: list[Table | None] = [None] * len(scenario.traffic)
        for k, c in enumerate(scenario.traffic):
            if weights := self._model(k).weights(c.name):
                self.shift(k, weights)
        env.process(self._arrivals(scenario.horizon_s / SLABS))

    def open(self, pool: int, slots: range, from_s: float) -> None:
        for number in slots:
            self._pools[pool].open(number, from_s)

    def close(self, pool: int, slots: range) -> None:
        for number in slots:
            self._pools[pool].close(number)

    def crash(self, pool: int, slots: range, on_crash: OnCrash) -> None:
        for number in slots:
            self._pools[pool].crash(number, on_crash)

    def busy(self, pool: int, slots: range) -> int:
        return sum(self._pools[pool].slots[number].request is not None for number in slots)

    def freed_s(self, pool: int, slots: range) -> float:
        return max(self._pools[pool].slots[number].idle_since_s for number in slots)

    def shift(self, request_class: int, weights: Mapping[str, float]) -> None:
        self._tables[request_class] = Table([v.name for v in self._model(request_class).versions], weights)

    def look(self, pool: int) -> NDArray[np.int64]:
        rows = []
        for k, tally in enumerate(self._pools[pool].tallies):
            counters = [*tally.counters]
            counters[Counter.BUSY] += self._pools[pool].busy_now(k)
            rows.append([*counters, *tally.wait.buckets, *tally.service.buckets, *tally.response.buckets])
        return np.array(rows, dtype=np.int64)

    def harvest(self) -> Harvest:
        self._log.flush()
        every = [pool.tallies for pool in self._pools]
        counts = np.array([[tally.tallied for tally in tallies] for tallies in every], dtype=np.int64)
        for tally in chain.from_iterable(every):
            tally.tallied = [0] * len(Tallied)
        return Harvest(
            counts=counts,
            wait=[[tally.wait.harvest() for tally in tallies] for tallies in every],
            service=[[tally.service.harvest() for tally in tallies] for tallies in every],
            response=[[tally.response.harvest() for tally in tallies] for tallies in every],
        )

    def present(self) -> Requests:
        there = chain.from_iterable(pool.present() for pool in self._pools)
        return table([(request, float("nan"), Outcome.PRESENT) for request in there])

    def _model(self, request_class: int) -> Model:
        return self._models[self._classes[request_class].model]

    def _arrivals(self, slab_s: float) -> Generator[Event, None, None]:
        slab = 0
        while True:
            slab += 1
            blocks, order = self._workload.until(slab * slab_s)
            for k, i in order.tolist():
                yield self._env.at(float(blocks[k].arrival_s[i]), Phase.ARRIVAL)
                self._arrive(k, blocks[k], i)
            yield self._env.at(slab * slab_s, Phase.ARRIVAL)

    def _arrive(self, request_class: int, block: Arrivals, i: int) -> None:
        version = self._version(request_class, block, i)
        pool = self._first_pool[request_class] + version
        place, number = sum(self._arrived), self._arrived[request_class]
        self._arrived[request_class] += 1
        request = Request(place, request_class, number, pool, self._env.now, float(block.work_s[version][i]))
        patience_s = None if block.patience_s is None else float(block.patience_s[i])
        self._pools[pool].arrive(request, patience_s)

    def _version(self, request_class: int, block: Arrivals, i: int) -> int:
        table = self._tables[request_class]
        if block.version is not None and table is None:
            return int(block.version[i])
        if table is None or block.route is None:
            return 0
        return table.version(float(block.route[i]))


SLABS = 100
"""In so many parts of the horizon the workload is read ahead."""


def first_pools(scenario: Scenario) -> list[int]:
    """For each request class the number of its model's first pool."""
    first: dict[str, int] = {}
    pools = 0
    for model in scenario.models:
        first[model.name] = pools
        pools += len(model.versions)
    return [first[c.model] for c in scenario.traffic]
