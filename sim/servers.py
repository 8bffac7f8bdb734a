"""What serves requests: slots that serve one at a time, and replicas whose requests share them."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Protocol

from simpy.events import Event

from sim.environment import Environment, Phase
from sim.ledger import Ledger, Request

NEVER_S = float("-inf")

Left = tuple[Request, float]
"""A request whose service was interrupted, and the work that was left of it."""


class Servers(Protocol):
    """Some slots of one pool. Each `range` covers whole replicas."""

    in_service: int
    on_free: Callable[[], None]
    """To be called when something can serve that could not before."""

    def open(self, slots: range, from_s: float) -> None:
        """They can serve from `from_s` (now or later) on."""
        ...

    def close(self, slots: range) -> None:
        """They finish what they have."""
        ...

    def settle(self) -> None:
        """Bring to the present what is kept of services under way."""
        ...

    def crash(self, slots: range) -> list[Left]:
        """They stop at once; what they were serving."""
        ...

    def free(self) -> bool:
        """Whether a request could start now."""
        ...

    def start(self, request: Request) -> None:
        """Serve it from now on. Raises `IndexError` where nothing is free."""
        ...

    def running(self) -> Iterator[Request]: ...

    def busy(self, slots: range) -> int:
        """How many of these slots serve now."""
        ...

    def freed_s(self, slots: range) -> float:
        """When the last of these slots ended its last service; -inf where none ever served since it was opened."""
        ...


def nobody_waits() -> None:
    pass


class Slot:
    """One place in a replica: it serves one request at a time from `idle_since_s` on, while it is open."""

    __slots__ = ("completion", "freed_s", "idle_since_s", "number", "open", "request")

    def __init__(self, number: int, idle_since_s: float) -> None:
        self.number = number
        self.idle_since_s = idle_since_s
        self.freed_s = NEVER_S
        self.open = True
        self.request: Request | None = None
        self.completion: Event | None = None


class Slots:
    """Slots that serve one request each, to its end. The one free longest is next, then the one of lowest number."""

    def __init__(self, env: Environment, pool: int, ledger: Ledger) -> None:
        self._env = env
        self._pool = pool
        self._ledger = ledger
        self.on_free: Callable[[], None] = nobody_waits
        self._slots: dict[int, Slot] = {}
        self._idle: list[tuple[float, int, int, Slot]] = []
        self._entries = count()
        self.in_service = 0

    def open(self, slots: range, from_s: float) -> None:
        for number in slots:
            self._open(Slot(number, from_s))

    def close(self, slots: range) -> None:
        for number in slots:
            self._slots[number].open = False

    def settle(self) -> None:
        pass

    def crash(self, slots: range) -> list[Left]:
        self.close(slots)
        return [self._interrupt(self._slots[n], r) for n in slots if (r := self._slots[n].request) is not None]

    def free(self) -> bool:
        while self._idle and not self._idle[0][-1].open:
            heapq.heappop(self._idle)
        return bool(self._idle)

    def free_since_s(self) -> float:
        """Since when the slot has been free that is next. Raises `IndexError` where nothing is free."""
        return self._idle[0][0]

    def start(self, request: Request) -> None:
        slot = heapq.heappop(self._idle)[-1]
        slot.request = request
        self.in_service += 1
        request.pool = self._pool
        request.slot = slot.number
        self._ledger.start(request)
        end_s = request.start_s + request.work_s
        slot.completion = self._env.call(end_s, Phase.COMPLETION, lambda end: self._complete(slot, end))

    def running(self) -> Iterator[Request]:
        return (slot.request for slot in self._slots.values() if slot.request is not None)

    def busy(self, slots: range) -> int:
        return sum(self._slots[number].request is not None for number in slots)

    def freed_s(self, slots: range) -> float:
        return max(self._slots[number].freed_s for number in slots)

    def _open(self, slot: Slot) -> None:
        self._slots[slot.number] = slot
        if slot.idle_since_s > self._env.now:
            self._env.call(slot.idle_since_s, Phase.COMPLETION, lambda _: self._idles(slot))
        else:
            self._idles(slot)

    def _complete(self, slot: Slot, end: Event) -> None:
        request = slot.request
        if slot.completion is not end or request is None:
            return
        self._ledger.complete(request)
        self._end(slot)
        self._idles(slot)

    def _interrupt(self, slot: Slot, request: Request) -> Left:
        self._end(slot)
        return request, request.work_s - (self._env.now - request.start_s)

    def _end(self, slot: Slot) -> None:
        slot.request = None
        slot.completion = None
        slot.freed_s = slot.idle_since_s = self._env.now
        self.in_service -= 1

    def _idles(self, slot: Slot) -> None:
        if slot.open:
            heapq.heappush(self._idle, (slot.idle_since_s, slot.number, next(self._entries), slot))
            self.on_free()


@dataclass(eq=False, slots=True)
class Shared:
    """A replica that serves its requests all at once, each at 1/n of full speed while they are n.

    Its virtual time passes at 1/n of real time: a request ends when it has passed by the request's work.
    """

    free_slots: list[int]
    changed_s: float
    ready: bool = False
    open: bool = True
    virtual_s: float = 0.0
    jobs: list[tuple[float, int, Request]] = field(default_factory=list)
    """A heap: when it ends in virtual time, its place in the order of arrival, and the request."""
    completion: Event | None = None
    freed_s: float = NEVER_S

    def advance(self, now_s: float) -> None:
        if self.jobs:
            self.virtual_s += (now_s - self.changed_s) / len(self.jobs)
        self.changed_s = now_s

    def next_end_s(self) -> float:
        # Rounding may have brought virtual time past an end.
        return self.changed_s + max(0.0, self.jobs[0][0] - self.virtual_s) * len(self.jobs)


class Sharing:
    """Replicas under processor sharing, with a limit on how many share each.

    The next request goes to the ready one that serves fewest, the first of those; there it takes the lowest slot.
    """

    def __init__(self, env: Environment, pool: int, ledger: Ledger, slots: int) -> None:
        self._env = env
        self._pool = pool
        self._ledger = ledger
        self.on_free: Callable[[], None] = nobody_waits
        self._limit = slots
        self._replicas: dict[int, Shared] = {}
        self.in_service = 0

    def open(self, slots: range, from_s: float) -> None:
        for place in self._places(slots):
            free = list(range(place * self._limit, (place + 1) * self._limit))
            self._open(place, Shared(free, from_s), from_s)

    def close(self, slots: range) -> None:
        for replica in self._named(slots):
            replica.open = False
            self._settle(replica)

    def settle(self) -> None:
        for replica in self._replicas.values():
            self._settle(replica)

    def crash(self, slots: range) -> list[Left]:
        self.close(slots)
        return list(chain.from_iterable(self._interrupt(replica) for replica in self._named(slots)))

    def free(self) -> bool:
        return self._next() is not None

    def start(self, request: Request) -> None:
        replica = self._next()
        if replica is None:
            raise IndexError("no replica is free")
        replica.advance(self._env.now)
        request.pool = self._pool
        request.slot = heapq.heappop(replica.free_slots)
        self.in_service += 1
        self._ledger.start(request)
        heapq.heappush(replica.jobs, (replica.virtual_s + request.work_s, request.place, request))
        self._appoint(replica)

    def running(self) -> Iterator[Request]:
        return (request for replica in self._replicas.values() for _, _, request in replica.jobs)

    def busy(self, slots: range) -> int:
        return sum(len(replica.jobs) for replica in self._named(slots))

    def freed_s(self, slots: range) -> float:
        return max(replica.freed_s for replica in self._named(slots))

    def _places(self, slots: range) -> range:
        return range(slots.start // self._limit, slots.stop // self._limit)

    def _named(self, slots: range) -> Sequence[Shared]:
        return [self._replicas[place] for place in self._places(slots)]

    def _open(self, place: int, replica: Shared, from_s: float) -> None:
        self._replicas[place] = replica
        if from_s > self._env.now:
            self._env.call(from_s, Phase.COMPLETION, lambda _: self._readied(replica))
        else:
            self._readied(replica)

    def _readied(self, replica: Shared) -> None:
        replica.ready = True
        self.on_free()

    def _next(self) -> Shared | None:
        able = [r for _, r in sorted(self._replicas.items()) if r.open and r.ready and r.free_slots]
        return min(able, key=lambda replica: len(replica.jobs), default=None)

    def _settle(self, replica: Shared) -> None:
        replica.advance(self._env.now)
        self._appoint(replica)

    def _appoint(self, replica: Shared) -> None:
        replica.completion = None
        if replica.jobs:
            end_s = replica.next_end_s()
            replica.completion = self._env.call(end_s, Phase.COMPLETION, lambda end: self._complete(replica, end))

    def _complete(self, replica: Shared, end: Event) -> None:
        if replica.completion is not end:
            return
        finish, _, request = heapq.heappop(replica.jobs)
        # Exactly the end: a sum of small steps would drift.
        replica.virtual_s, replica.changed_s = finish, self._env.now
        self._end(replica, request)
        self._ledger.complete(request)
        self._appoint(replica)
        self.on_free()

    def _interrupt(self, replica: Shared) -> list[Left]:
        left = [(request, finish - replica.virtual_s) for finish, _, request in replica.jobs]
        replica.jobs.clear()
        self._appoint(replica)
        for request, _ in left:
            self._end(replica, request)
        return left

    def _end(self, replica: Shared, request: Request) -> None:
        heapq.heappush(replica.free_slots, request.slot)
        replica.freed_s = self._env.now
        self.in_service -= 1
