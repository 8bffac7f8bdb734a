"""Requests of one workload: they come, wait in one queue, are served in the slots of its pods, and counted there."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import accumulate, count
from math import inf

import numpy as np

from live.twin.series import Samples

BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


def nobody(elapsed_s: float) -> float:
    """No arrivals."""
    return 0.0 * elapsed_s


@dataclass(frozen=True, slots=True)
class RequestClass:
    """Some of the requests: their part of all, and what their series are labelled with."""

    labels: Mapping[str, str] = field(default_factory=dict)
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is deployed, how it behaves, and how much comes to it."""

    name: str
    namespace: str = "models"
    kind: str = "Deployment"
    """Or StatefulSet, or the name of a custom kind that the API serves."""
    replicas: int = 1
    slots: int = 1
    """Requests that a replica serves at once."""
    startup_s: float = 60.0
    """Mean time from a pod's making to its being ready; gamma distributed."""
    startup_scv: float = 0.05
    service_s: float = 1.0
    """Mean; gamma distributed."""
    service_scv: float = 1.0
    rate_per_s: Callable[[float], float] = nobody
    """Arrivals, by seconds since the twin began; Poisson."""
    rate_at_most_per_s: float = 0.0
    """No rate is greater."""
    patience_s: float = inf
    """Who has waited so long goes away."""
    queue_at_most: float = inf
    """Who finds so many waiting is turned away."""
    grace_s: float = 30.0
    """What a pod that is to end has left for what it serves."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of its series, besides namespace and pod."""
    classes: tuple[RequestClass, ...] = (RequestClass(),)
    """Shares add up to one."""


@dataclass(slots=True)
class Tally:
    """Values counted by bucket."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    sum_s: float = 0.0

    def enter(self, value_s: float) -> None:
        self.counts[bisect_left(BOUNDS_S, value_s)] += 1
        self.sum_s += value_s


@dataclass(slots=True)
class Counters:
    """What one pod's exporter shows."""

    arrived: int = 0
    started: int = 0
    completed: int = 0
    failed: int = 0
    rejected: int = 0
    abandoned: int = 0
    busy_s: float = 0.0
    wait: Tally = field(default_factory=Tally)
    service: Tally = field(default_factory=Tally)
    response: Tally = field(default_factory=Tally)
    in_service: int = 0


@dataclass(slots=True)
class Server:
    """A pod as requests see it."""

    name: str
    slots: int
    counters: list[Counters]
    """By class."""
    busy: int = 0
    draining: bool = False
    seen_s: float = 0.0
    """Until when its busy time is counted."""
    series: list[Samples] = field(default_factory=list)
    """Where its samples are kept, once it was scraped."""

    def pass_to(self, now_s: float) -> None:
        for counters in self.counters:
            counters.busy_s += counters.in_service * (now_s - self.seen_s)
        self.seen_s = now_s


@dataclass(slots=True)
class Queue:
    """First come, first served, to the pod with most free slots. Times are those of the caller."""

    workload: Workload
    arrivals: np.random.Generator
    services: np.random.Generator
    now_s: float = 0.0
    servers: dict[str, Server] = field(default_factory=dict)
    waiting: deque[tuple[float, int]] = field(default_factory=deque)
    """When each came, and of which class."""
    unseen: list[Counters] = field(init=False)
    """What happened while there was no pod to count it; the next one does. By class."""
    on_idle: Callable[[str], None] = lambda _: None
    """A draining pod has served its last."""
    _ends: list[tuple[float, int, Server, float, float, int]] = field(default_factory=list)
    """When, order, where, when it came, when it was started, and its class."""
    _order: "count[int]" = field(default_factory=count)
    _turn: int = 0
    _next_s: float = inf

    def __post_init__(self) -> None:
        self.unseen = self._nothing()

    def begin(self, now_s: float) -> None:
        self.now_s = now_s
        self._next_s = self._drawn_arrival(now_s)

    def next_s(self) -> float:
        """When something happens next."""
        patience_ends_s = self.waiting[0][0] + self.workload.patience_s if self.waiting else inf
        return min(self._next_s, self._ends[0][0] if self._ends else inf, patience_ends_s)

    def advance(self, until_s: float) -> None:
        while (when_s := self.next_s()) <= until_s:
            self.now_s = when_s
            if self._ends and self._ends[0][0] == when_s:
                self._complete()
            elif self.waiting and self.waiting[0][0] + self.workload.patience_s <= when_s:
                _, of_class = self.waiting.popleft()
                self._counting(of_class).abandoned += 1
            else:
                self._arrive()
                self._next_s = self._drawn_arrival(when_s)
            self._dispatch()
        self.now_s = until_s

    def open(self, name: str) -> None:
        """A pod is ready."""
        counters = self._nothing()
        if not self.servers:
            counters, self.unseen = self.unseen, counters
        self.servers[name] = Server(name, self.workload.slots, counters, seen_s=self.now_s)
        self._dispatch()

    def drain(self, name: str) -> bool:
        """A pod takes no more; whether it has something left to serve."""
        server = self.servers.get(name)
        if server is not None:
            server.draining = True
        return server is not None and server.busy > 0

    def close(self, name: str) -> None:
        """A pod is gone, and what it served with it."""
        server = self.servers.pop(name, None)
        if server is not None:
            self._ends = [end for end in self._ends if end[2] is not server]
            self._ends.sort()

    def reset(self) -> None:
        """The counters of all pods begin again at nothing."""
        for server in self.servers.values():
            serving = [counters.in_service for counters in server.counters]
            server.counters = [Counters(in_service=count) for count in serving]

    def queued(self, of_class: int) -> int:
        return sum(waiting == of_class for _, waiting in self.waiting)

    def _nothing(self) -> list[Counters]:
        return [Counters() for _ in self.workload.classes]

    def _drawn_class(self) -> int:
        classes = self.workload.classes
        if len(classes) == 1:
            return 0
        point = self.arrivals.random()
        sums = accumulate(one.share for one in classes)
        return next((i for i, total in enumerate(sums) if point < total), len(classes) - 1)

    def _arrive(self) -> None:
        of_class = self._drawn_class()
        counters = self._counting(of_class)
        counters.arrived += 1
        if len(self.waiting) >= self.workload.queue_at_most and not self._free():
            counters.rejected += 1
        else:
            self.waiting.append((self.now_s, of_class))

    def _counting(self, of_class: int) -> Counters:
        """Each pod in turn counts what happens in the queue that they share."""
        names = list(self.servers)
        self._turn += 1
        return (self.servers[names[self._turn % len(names)]].counters if names else self.unseen)[of_class]

    def _free(self) -> Server | None:
        open_ = (server for server in self.servers.values() if not server.draining and server.busy < server.slots)
        return max(open_, key=lambda server: server.slots - server.busy, default=None)

    def _dispatch(self) -> None:
        while self.waiting and (server := self._free()) is not None:
            self._start(server, *self.waiting.popleft())

    def _start(self, server: Server, came_s: float, of_class: int) -> None:
        server.pass_to(self.now_s)
        server.busy += 1
        counters = server.counters[of_class]
        counters.in_service += 1
        counters.started += 1
        counters.wait.enter(self.now_s - came_s)
        service_s = gamma(self.services, self.workload.service_s, self.workload.service_scv)
        heappush(self._ends, (self.now_s + service_s, next(self._order), server, came_s, self.now_s, of_class))

    def _complete(self) -> None:
        _, _, server, came_s, started_s, of_class = heappop(self._ends)
        server.pass_to(self.now_s)
        server.busy -= 1
        counters = server.counters[of_class]
        counters.in_service -= 1
        counters.completed += 1
        counters.service.enter(self.now_s - started_s)
        counters.response.enter(self.now_s - came_s)
        if server.draining and not server.busy:
            self.on_idle(server.name)

    def _drawn_arrival(self, now_s: float) -> float:
        """Thinning: Lewis and Shedler, 1979."""
        greatest = self.workload.rate_at_most_per_s
        while greatest > 0:
            now_s += self.arrivals.exponential(1.0 / greatest)
            if self.arrivals.random() * greatest < self.workload.rate_per_s(now_s):
                return now_s
        return inf


def gamma(generator: np.random.Generator, mean: float, scv: float) -> float:
    """A draw with that mean and squared coefficient of variation."""
    return mean if scv <= 0 or mean <= 0 else float(generator.gamma(1.0 / scv, mean * scv))
