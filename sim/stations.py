"""Where requests wait and are served: the room of a pool, and stations of a line and its servers."""

import math
from collections.abc import Callable, Iterator

from simpy.events import Event

from sim.disciplines import Line
from sim.environment import Environment, Phase
from sim.ledger import Ledger, Request
from sim.servers import Servers


class Room:
    """All who wait in a pool, in whatever line: as many as there is room for, each as long as it has patience."""

    def __init__(self, env: Environment, ledger: Ledger, limit: int | None) -> None:
        self._env = env
        self._ledger = ledger
        self._limit = limit
        self._there: dict[int, Request] = {}

    def __iter__(self) -> Iterator[Request]:
        return iter(self._there.values())

    def arrive(self, request: Request, line: Line, patience_s: float) -> None:
        """Wait in this line, or be rejected where the room is full."""
        if self._limit is not None and len(self._there) >= self._limit:
            self._ledger.reject(request)
            return
        self.enter(request, line)
        if patience_s != math.inf:
            until_s = request.arrival_s + patience_s
            request.giving_up = self._env.call(until_s, Phase.PATIENCE, lambda _: self._give_up(request))

    def enter(self, request: Request, line: Line) -> None:
        """Wait in this line as long as it takes, full or not."""
        self._there[request.place] = request
        self._ledger.queue(request, 1)
        line.add(request)

    def move(self, request: Request, line: Line) -> None:
        """To another line; it is still waiting, and as patient as it was."""
        if request.line is not None:
            request.line.remove(request)
        line.add(request)

    def leave(self, request: Request) -> None:
        """It waits no more, neither here nor in its line."""
        del self._there[request.place]
        self._ledger.queue(request, -1)
        request.giving_up = None
        if request.line is not None:
            request.line.remove(request)

    def _give_up(self, request: Request) -> None:
        if request.giving_up is not None:
            self.leave(request)
            self._ledger.abandon(request)


class Dispatch:
    """A turn in the phase of dispatch, once for all that ask for it at one instant.

    One request a turn: a service of no length ends before the next.
    """

    def __init__(self, env: Environment, turn: Callable[[], bool]) -> None:
        """`turn` tells whether it did something, so that there may be more to do."""
        self._env = env
        self._turn = turn
        self._asked = False

    def ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._env.call(self._env.now, Phase.DISPATCH, self._run)

    def _run(self, _: Event) -> None:
        self._asked = False
        if self._turn():
            self.ask()


class Station:
    """A line and the servers that take from it.

    Law: nothing is free to serve while a request waits, but for the instant until `DISPATCH`.
    """

    def __init__(self, env: Environment, room: Room, line: Line, servers: Servers) -> None:
        self._room = room
        self._dispatch = Dispatch(env, self._serve_first)
        self.line = line
        self.servers = servers
        servers.on_free = self.ask

    @property
    def outstanding(self) -> int:
        """Requests that wait here or are in service."""
        return len(self.line) + self.servers.in_service

    def arrive(self, request: Request, patience_s: float) -> None:
        """Serve it at once where something is free, else let it wait, where there is room."""
        if self.servers.free():
            self.start(request)
        else:
            self._room.arrive(request, self.line, patience_s)

    def start(self, request: Request) -> None:
        """Serve at once one that does not wait here."""
        request.key = self.line.discipline.key(request)
        self._start(request)

    def send_back(self, request: Request) -> None:
        """Into the line once more."""
        self._room.enter(request, self.line)
        self.ask()

    def ask(self) -> None:
        """Serve those who wait, where something is free, as soon as it is the phase for it."""
        if self.line:
            self._dispatch.ask()

    def _serve_first(self) -> bool:
        if not self.line or not self.servers.free():
            return False
        request = self.line.first()
        self._room.leave(request)
        self._start(request)
        return bool(self.line)

    def _start(self, request: Request) -> None:
        self.line.discipline.start(request.key)
        self.servers.start(request)
