"""Lines of waiting requests, and the disciplines that say who in a line is served next."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sim.ledger import Request
from sim.scenario import Mcq, Model, Scenario


class Discipline(Protocol):
    """Gives each request a key as it comes to a line; the least key is served first, then who arrived first."""

    def key(self, request: Request) -> float:
        """Asked once, whether the request then waits or is served at once; and anew where a crash sends it back."""
        ...

    def start(self, key: float) -> None:
        """A request of this key starts its service."""
        ...


@dataclass(frozen=True, slots=True)
class ByKey:
    """A discipline without memory."""

    key: Callable[[Request], float]

    def start(self, key: float) -> None:
        pass


class FairQueueing:
    """Self-clocked fair queueing (Golestani 1994): a key is the time at which a class that is owed service by weight
    would be served, on a clock that shows the key of the request that started last; both begin at 0 with the line.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        self._weights = weights
        self._last_key = [0.0] * len(weights)
        self._clock = 0.0

    def key(self, request: Request) -> float:
        k = request.request_class
        self._last_key[k] = max(self._clock, self._last_key[k]) + 1.0 / self._weights[k]
        return self._last_key[k]

    def start(self, key: float) -> None:
        self._clock = key


FIRST_COME = ByKey(lambda _: 0.0)
LAST_COME = ByKey(lambda request: -float(request.place))
LEAST_WORK = ByKey(lambda request: request.work_s)
"""By the work as it is when the request comes to the line: after a crash, what is left of it."""


def discipline(model: Model, scenario: Scenario) -> Callable[[], Discipline]:
    """What makes the discipline of each line of a model."""
    if isinstance(model.queue, Mcq):
        weights = [model.queue.weights.get(c.name, 1.0) for c in scenario.traffic]
        return lambda: FairQueueing(weights)
    by_key = _by_key(model.queue, scenario)
    return lambda: by_key


def _by_key(queue: str, scenario: Scenario) -> ByKey:
    match queue:
        case "lcfs":
            return LAST_COME
        case "sjf":
            return LEAST_WORK
        case "edf":
            targets_s = [scenario.target_s(c) for c in scenario.traffic]
            return ByKey(lambda request: request.arrival_s + targets_s[request.request_class])
        case "priority" | "mcq":
            ranks = [float(c.priority) for c in scenario.traffic]
            return ByKey(lambda request: ranks[request.request_class])
        case _:
            return FIRST_COME


class Line:
    """Those who wait, in the order in which they are served."""

    def __init__(self, discipline: Discipline = FIRST_COME) -> None:
        self.discipline = discipline
        self._there: dict[int, Request] = {}
        # Those who leave from amidst stay in the heap until they come to its top; they never come back.
        self._heap: list[tuple[float, int, Request]] = []

    def __len__(self) -> int:
        return len(self._there)

    def __iter__(self) -> Iterator[Request]:
        return iter(self._there.values())

    def add(self, request: Request) -> None:
        request.line = self
        request.key = self.discipline.key(request)
        self._there[request.place] = request
        heapq.heappush(self._heap, (request.key, request.place, request))

    def remove(self, request: Request) -> None:
        request.line = None
        del self._there[request.place]
        if self._heap[0][2] is request:
            heapq.heappop(self._heap)

    def first(self) -> Request:
        """Who is served next. Raises `IndexError` where nobody waits."""
        while self._heap[0][1] not in self._there:
            heapq.heappop(self._heap)
        return self._heap[0][2]
