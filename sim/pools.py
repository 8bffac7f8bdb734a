"""Pools of the reference engine: a line for all replicas, a line for each, or one for all versions of a model."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol

from sim.balancers import NEVER, Balancer, Replica
from sim.cluster import OnCrash
from sim.disciplines import Line
from sim.environment import Environment, Phase
from sim.ledger import Ledger, Request
from sim.servers import Left, Servers, Slots
from sim.stations import Dispatch, Room, Station


class Pool(Protocol):
    """The part of the `Cluster` port that concerns one pool."""

    room: Room

    def arrive(self, request: Request, patience_s: float) -> None: ...

    def open(self, slots: range, from_s: float) -> None: ...

    def close(self, slots: range) -> None: ...

    def crash(self, slots: range, on_crash: OnCrash) -> None: ...

    def busy(self, slots: range) -> int: ...

    def freed_s(self, slots: range) -> float: ...

    def running(self) -> Iterator[Request]: ...


class Queue(Protocol):
    """Where a pool's requests wait for its servers, and perhaps for others."""

    def arrive(self, request: Request, patience_s: float) -> None: ...

    def send_back(self, request: Request) -> None: ...


def to_serve_again(ledger: Ledger, left: Sequence[Left], on_crash: OnCrash) -> list[Request]:
    """Count what a crash has interrupted; those of it that are to be served again, with the work they then bring."""
    for request, left_s in left:
        ledger.interrupt(request)
        if on_crash == "lose":
            ledger.fail(request)
        else:
            ledger.send_back(request)
        if on_crash == "resume":
            request.resume(left_s)
    return [] if on_crash == "lose" else [request for request, _ in left]


def by_arrival(requests: Iterable[Request]) -> list[Request]:
    return sorted(requests, key=lambda request: request.place)


class Central:
    """All replicas take from one queue, whether it is theirs alone or not."""

    def __init__(self, ledger: Ledger, room: Room, queue: Queue, servers: Servers) -> None:
        self.room = room
        self._ledger = ledger
        self._queue = queue
        self._servers = servers

    def arrive(self, request: Request, patience_s: float) -> None:
        self._queue.arrive(request, patience_s)

    def open(self, slots: range, from_s: float) -> None:
        self._servers.open(slots, from_s)

    def close(self, slots: range) -> None:
        self._servers.close(slots)

    def crash(self, slots: range, on_crash: OnCrash) -> None:
        for request in by_arrival(to_serve_again(self._ledger, self._servers.crash(slots), on_crash)):
            self._queue.send_back(request)

    def busy(self, slots: range) -> int:
        return self._servers.busy(slots)

    def freed_s(self, slots: range) -> float:
        return self._servers.freed_s(slots)

    def running(self) -> Iterator[Request]:
        return self._servers.running()


class Balanced:
    """Each replica has a line of its own; a balancer chooses one for each request as it arrives.

    Requests that find no replica ready wait in a hall, first come, first served, and are sent on one by one, in the
    phase of dispatch, when there is one. A replica that is closed serves its own line to the end. A replica opened
    anew, after a crash too, has an empty line without a memory, and was never chosen.
    """

    def __init__(
        self,
        env: Environment,
        ledger: Ledger,
        room: Room,
        station: Callable[[], Station],
        balancer: Balancer,
        slots: int,
    ) -> None:
        self._env = env
        self.room = room
        self._ledger = ledger
        self._new_station = station
        self._balancer = balancer
        self._slots = slots
        self._replicas: dict[int, Replica] = {}
        self._choices = 0
        self._last = NEVER
        self._hall = Line()
        self._dispatch = Dispatch(env, self._send_first)

    def arrive(self, request: Request, patience_s: float) -> None:
        replica = self._choose(request)
        if replica is None:
            self.room.arrive(request, self._hall, patience_s)
        else:
            replica.station.arrive(request, patience_s)

    def open(self, slots: range, from_s: float) -> None:
        for place in self._places(slots):
            self._open(Replica(place, self._new_station()), from_s)

    def close(self, slots: range) -> None:
        for replica in self._named(slots):
            replica.open = False
            replica.station.servers.settle()

    def crash(self, slots: range, on_crash: OnCrash) -> None:
        """All are closed before any of their requests is sent to another."""
        self.close(slots)
        places = self._places(slots)
        left = [x for place in places for x in self._replicas[place].station.servers.crash(self._slots_of(place))]
        waiting = [x for place in places for x in self._replicas[place].station.line]
        again = to_serve_again(self._ledger, left, on_crash)
        if on_crash == "lose":
            for request in waiting:
                self.room.leave(request)
                self._ledger.fail(request)
            return
        for request in by_arrival(chain(again, waiting)):
            self._send(request)

    def busy(self, slots: range) -> int:
        return sum(replica.outstanding for replica in self._named(slots))

    def freed_s(self, slots: range) -> float:
        places = self._places(slots)
        return max(self._replicas[place].station.servers.freed_s(self._slots_of(place)) for place in places)

    def running(self) -> Iterator[Request]:
        return chain.from_iterable(replica.station.servers.running() for replica in self._replicas.values())

    def _places(self, slots: range) -> range:
        return range(slots.start // self._slots, slots.stop // self._slots)

    def _slots_of(self, place: int) -> range:
        return range(place * self._slots, (place + 1) * self._slots)

    def _named(self, slots: range) -> list[Replica]:
        return [self._replicas[place] for place in self._places(slots)]

    def _open(self, replica: Replica, from_s: float) -> None:
        self._replicas[replica.place] = replica
        replica.station.servers.open(self._slots_of(replica.place), from_s)
        if from_s > self._env.now:
            self._env.call(from_s, Phase.COMPLETION, lambda _: self._readied(replica))
        else:
            self._readied(replica)

    def _readied(self, replica: Replica) -> None:
        replica.ready = True
        if self._hall:
            self._dispatch.ask()

    def _choose(self, request: Request) -> Replica | None:
        able = [replica for _, replica in sorted(self._replicas.items()) if replica.open and replica.ready]
        if not able:
            return None
        replica = self._balancer(able, request, self._last)
        replica.chosen = self._choices
        self._choices += 1
        self._last = replica.place
        return replica

    def _send(self, request: Request) -> None:
        """After a crash: into the line of another replica, or into the hall."""
        replica = self._choose(request)
        line = replica.station.line if replica else self._hall
        if request.line is None:
            self.room.enter(request, line)
        else:
            self.room.move(request, line)
        if replica:
            replica.station.ask()

    def _send_first(self) -> bool:
        """From the hall, as if it arrived now."""
        if not self._hall:
            return False
        request = self._hall.first()
        replica = self._choose(request)
        if replica is None:
            return False
        if replica.station.servers.free():
            self.room.leave(request)
            replica.station.start(request)
        else:
            self.room.move(request, replica.station.line)
        return bool(self._hall)


class Global:
    """One queue over all versions of a model, first come, first served.

    The first of those who wait for whom a slot is free, in a version to which its class is routed at present, takes
    of these slots the one free longest; of equals that of the first version, then of the lowest number.
    """

    def __init__(self, env: Environment, room: Room, classes: int) -> None:
        self._room = room
        self._dispatch = Dispatch(env, self._serve_first)
        self._lines = [Line() for _ in range(classes)]
        self._servers: dict[int, Slots] = {}
        self._eligible: list[Sequence[int]] = [()] * classes

    def join(self, pool: int, servers: Slots) -> None:
        """Let these serve too."""
        self._servers[pool] = servers
        servers.on_free = self._ask

    def route(self, request_class: int, pools: Sequence[int]) -> None:
        """Which pools may serve this class from now on, in their order; those who wait too."""
        self._eligible[request_class] = pools
        self._ask()

    def arrive(self, request: Request, patience_s: float) -> None:
        pool = self._free_for(request.request_class)
        if pool is None:
            self._room.arrive(request, self._lines[request.request_class], patience_s)
        else:
            self._start(request, pool)

    def send_back(self, request: Request) -> None:
        self._room.enter(request, self._lines[request.request_class])
        self._ask()

    def _ask(self) -> None:
        if any(self._lines):
            self._dispatch.ask()

    def _free_for(self, request_class: int) -> int | None:
        free = [pool for pool in self._eligible[request_class] if self._servers[pool].free()]
        return min(free, key=lambda pool: self._servers[pool].free_since_s(), default=None)

    def _serve_first(self) -> bool:
        firsts = [line.first() for line in self._lines if line]
        able = [(request, pool) for request in firsts if (pool := self._free_for(request.request_class)) is not None]
        if not able:
            return False
        request, pool = min(able, key=lambda pair: pair[0].place)
        self._room.leave(request)
        self._start(request, pool)
        return True

    def _start(self, request: Request, pool: int) -> None:
        request.choose(pool)
        self._servers[pool].start(request)
