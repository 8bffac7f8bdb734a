"""The reference engine: requests served by SimPy events alone, one appointment for each thing that happens."""

import heapq
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import count

import numpy as np
from simpy.events import Event

from sim.cluster import TICKS_PER_S, Counters, OnCrash, Outcome, Requests, together
from sim.environment import Environment, Phase
from sim.requests import Arrivals, Workload
from sim.routing import Table
from sim.scenario import Model, Scenario


class Request:
    __slots__ = ("arrival_s", "giving_up", "number", "request_class", "start_s", "work_s")

    def __init__(self, number: int, request_class: int, arrival_s: float, work_s: float) -> None:
        self.number = number
        self.request_class = request_class
        self.arrival_s = arrival_s
        self.work_s = work_s
        self.start_s = arrival_s
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

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.queued = self.in_service = 0
        self.arrived = self.started = self.completed = self.failed = self.rejected = self.abandoned = 0
        self.busy_ended = self.wait = self.service = self.response = 0
        self.wait_buckets = [0] * (len(bounds) + 1)
        self.service_buckets = [0] * (len(bounds) + 1)
        self.response_buckets = [0] * (len(bounds) + 1)

    def start(self, wait_s: float) -> None:
        self.started += 1
        self.in_service += 1
        self.wait += whole(wait_s)
        self.wait_buckets[bisect_left(self.bounds, wait_s)] += 1

    def complete(self, service_s: float, response_s: float) -> None:
        self.completed += 1
        self.in_service -= 1
        self.busy_ended += whole(service_s)
        self.service += whole(service_s)
        self.service_buckets[bisect_left(self.bounds, service_s)] += 1
        self.response += whole(response_s)
        self.response_buckets[bisect_left(self.bounds, response_s)] += 1

    def interrupt(self, service_s: float) -> None:
        self.in_service -= 1
        self.busy_ended += whole(service_s)


def whole(time_s: float) -> int:
    """A time as a whole number of `TICKS_PER_S`."""
    return int(time_s * TICKS_PER_S)


class Log:
    """A growing table with a row for each request, in order of arrival."""

    def __init__(self) -> None:
        self.request_class = array("h")
        self.pool = array("h")
        self.arrival_s = array("d")
        self.start_s = array("d")
        self.leave_s = array("d")
        self.work_s = array("d")
        self.outcome = array("b")
        self.slot = array("i")

    def arrive(self, pool: int, request_class: int, arrival_s: float, work_s: float) -> int:
        """Add a row and give its number."""
        self.request_class.append(request_class)
        self.pool.append(pool)
        self.arrival_s.append(arrival_s)
        self.start_s.append(float("nan"))
        self.leave_s.append(float("nan"))
        self.work_s.append(work_s)
        self.outcome.append(Outcome.PRESENT)
        self.slot.append(-1)
        return len(self.pool) - 1

    def leave(self, number: int, time_s: float, outcome: Outcome) -> None:
        self.leave_s[number] = time_s
        self.outcome[number] = outcome


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
        self.tallies[request.request_class].arrived += 1
        slot = self._longest_idle()
        if slot is not None:
            self._start(request, slot)
        elif self._room is not None and len(self._queue) >= self._room:
            self.tallies[request.request_class].rejected += 1
            self._log.leave(request.number, self._env.now, Outcome.REJECTED)
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
        self.tallies[request.request_class].interrupt(served_s)
        slot.idle_since_s = self._env.now
        if on_crash == "lose":
            self.tallies[request.request_class].failed += 1
            self._log.leave(request.number, self._env.now, Outcome.FAILED)
            return
        if on_crash == "resume":
            request.work_s -= served_s
        self._return(request)

    def busy_now(self, request_class: int) -> int:
        """Time that this class's running services have lasted, in whole `TICKS_PER_S`."""
        running = (slot.request for slot in self.slots.values() if slot.request is not None)
        return sum(whole(self._env.now - r.start_s) for r in running if r.request_class == request_class)

    def _wait(self, request: Request, patience_s: float | None) -> None:
        self.tallies[request.request_class].queued += 1
        self._queue[request.number] = request
        if patience_s is not None and patience_s != float("inf"):
            until_s = request.arrival_s + patience_s
            request.giving_up = self._env.call(until_s, Phase.PATIENCE, lambda _: self._give_up(request))

    def _return(self, request: Request) -> None:
        """Back into the queue, before all that arrived later."""
        self.tallies[request.request_class].queued += 1
        before = list(_while_below(self._queue, request.number))
        self._queue[request.number] = request
        for number in (request.number, *reversed(before)):
            self._queue.move_to_end(number, last=False)
        self._dispatch_soon()

    def _give_up(self, request: Request) -> None:
        if request.giving_up is None:
            return
        del self._queue[request.number]
        tally = self.tallies[request.request_class]
        tally.queued -= 1
        tally.abandoned += 1
        self._log.leave(request.number, self._env.now, Outcome.ABANDONED)

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
        while self._queue and (slot := self._longest_idle()) is not None:
            request = self._queue.popitem(last=False)[1]
            self.tallies[request.request_class].queued -= 1
            self._start(request, slot)

    def _start(self, request: Request, slot: Slot) -> None:
        now = self._env.now
        request.start_s = now
        request.giving_up = None
        slot.request = request
        self.tallies[request.request_class].start(now - request.arrival_s)
        self._log.start_s[request.number] = now
        self._log.slot[request.number] = slot.number
        slot.completion = self._env.call(now + request.work_s, Phase.COMPLETION, lambda end: self._complete(slot, end))

    def _complete(self, slot: Slot, end: Event) -> None:
        request = slot.request
        if slot.completion is not end or request is None:
            return
        now = self._env.now
        self.tallies[request.request_class].complete(now - request.start_s, now - request.arrival_s)
        self._log.leave(request.number, now, Outcome.COMPLETED)
        slot.request = None
        slot.idle_since_s = now
        self._idles(slot)


def _while_below(queue: Mapping[int, Request], number: int) -> Iterator[int]:
    for waiting in queue:
        if waiting > number:
            return
        yield waiting


class Reference:
    """The `Cluster` port, event by event."""

    def __init__(self, env: Environment, scenario: Scenario, workload: Workload, bounds: Sequence[float]) -> None:
        self._env = env
        self._log = Log()
        self._workload = workload
        self._classes = scenario.traffic
        self._models = {model.name: model for model in scenario.models}
        self._pools = [
            Pool(env, self._log, version.room, [Tally(bounds) for _ in scenario.traffic])
            for model in scenario.models
            for version in model.versions
        ]
        self._first_pool = _first_pools(scenario)
        self._last_counted: dict[int, tuple[Sequence[Counters], Counters]] = {}
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

    def counters(self, pool: int) -> Sequence[Counters]:
        return self._counted(pool)[0]

    def total(self, pool: int) -> Counters:
        return self._counted(pool)[1]

    def requests(self) -> Requests:
        log = self._log
        return Requests(
            request_class=np.array(log.request_class, dtype=np.int16),
            pool=np.array(log.pool, dtype=np.int16),
            arrival_s=np.array(log.arrival_s),
            start_s=np.array(log.start_s),
            leave_s=np.array(log.leave_s),
            work_s=np.array(log.work_s),
            outcome=np.array(log.outcome, dtype=np.int8),
            slot=np.array(log.slot, dtype=np.int32),
        )

    def _counted(self, pool: int) -> tuple[Sequence[Counters], Counters]:
        tallies = self._pools[pool].tallies
        last = self._last_counted.get(pool)
        if last is not None and all(map(_unchanged, last[0], tallies)):
            return last
        counters = [_counters(tally, self._pools[pool].busy_now(k)) for k, tally in enumerate(tallies)]
        counted = self._last_counted[pool] = (counters, together(counters))
        return counted

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
        arrival_s = self._env.now
        work_s = float(block.work_s[version][i])
        number = self._log.arrive(pool, request_class, arrival_s, work_s)
        patience_s = None if block.patience_s is None else float(block.patience_s[i])
        self._pools[pool].arrive(Request(number, request_class, arrival_s, work_s), patience_s)

    def _version(self, request_class: int, block: Arrivals, i: int) -> int:
        table = self._tables[request_class]
        if block.version is not None and table is None:
            return int(block.version[i])
        if table is None or block.route is None:
            return 0
        return table.version(float(block.route[i]))


SLABS = 100
"""In so many parts of the horizon the workload is read ahead."""


def _first_pools(scenario: Scenario) -> list[int]:
    """For each request class the number of its model's first pool."""
    first: dict[str, int] = {}
    pools = 0
    for model in scenario.models:
        first[model.name] = pools
        pools += len(model.versions)
    return [first[c.model] for c in scenario.traffic]


def _unchanged(last: Counters, tally: Tally) -> bool:
    """Whether nobody is there, was there, or came since: then nothing else can have changed either."""
    there = last.queued + last.in_service + tally.queued + tally.in_service
    return there == 0 and last.arrived == tally.arrived


def _counters(tally: Tally, busy_now: int) -> Counters:
    return Counters(
        queued=tally.queued,
        in_service=tally.in_service,
        arrived=tally.arrived,
        started=tally.started,
        completed=tally.completed,
        failed=tally.failed,
        rejected=tally.rejected,
        abandoned=tally.abandoned,
        busy=tally.busy_ended + busy_now,
        wait=tally.wait,
        service=tally.service,
        response=tally.response,
        wait_buckets=tuple(tally.wait_buckets),
        service_buckets=tuple(tally.service_buckets),
        response_buckets=tuple(tally.response_buckets),
    )
