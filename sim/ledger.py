"""What is counted of requests, and what is recorded of them as they leave."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from simpy.events import Event

from sim.cluster import Counter, Harvest, Keep, Outcome, Requests, Tallied, kept
from sim.environment import Environment
from sim.loghistogram import LogHistogram, bucket, ticks

if TYPE_CHECKING:
    from sim.disciplines import Line


class Request:
    __slots__ = (
        "arrival_s", "balance", "giving_up", "home", "key", "line", "number", "place", "pool", "request_class", "slot",
        "start_s", "work_s", "works_s",
    )  # fmt: skip

    def __init__(self, place: int, request_class: int, number: int, pool: int, arrival_s: float, work_s: float) -> None:
        self.place = place
        """Its place in the order of arrival, of all classes."""
        self.request_class = request_class
        self.number = number
        self.home = pool
        """The pool that it came to."""
        self.pool = pool
        """The pool that served it last; its home before any did."""
        self.arrival_s = arrival_s
        self.work_s = work_s
        self.works_s: dict[int, float] = {}
        """Pool -> the work, where any of several pools may serve it."""
        self.balance: float | None = None
        """Its draw in [0, 1) for the choice of a replica."""
        self.start_s = float("nan")
        self.slot = -1
        self.key = 0.0
        """Its rank in the line that it came to, the least first."""
        self.line: Line | None = None
        """Where it waits."""
        self.giving_up: Event | None = None

    def choose(self, pool: int) -> None:
        """It is served by this one of several pools."""
        self.pool = pool
        self.work_s = self.works_s[pool]

    def resume(self, left_s: float) -> None:
        """What it brings to the pool that served it is what was left; any other pool begins anew."""
        self.work_s = left_s
        if self.works_s:
            self.works_s[self.pool] = left_s


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
        self.counters[Counter.WAIT] += self.wait.enter(wait_s)

    def complete(self, service_s: float, response_s: float) -> None:
        self.counters[Counter.COMPLETED] += 1
        self.counters[Counter.IN_SERVICE] -= 1
        served = self.service.enter(service_s)
        self.counters[Counter.BUSY] += served
        self.counters[Counter.SERVICE] += served
        self.counters[Counter.RESPONSE] += self.response.enter(response_s)
        self.tallied[Tallied.COMPLETED] += 1
        self.tallied[Tallied.MET] += response_s <= self.target_s

    def fail(self) -> None:
        self.counters[Counter.FAILED] += 1
        self.tallied[Tallied.FAILED] += 1

    def interrupt(self, service_s: float) -> None:
        self.counters[Counter.IN_SERVICE] -= 1
        self.counters[Counter.BUSY] += ticks(service_s)

    def row(self, busy: int) -> list[int]:
        """The columns of `Cluster.look`; `busy` is the time that running services have lasted."""
        counters = [*self.counters]
        counters[Counter.BUSY] += busy
        return [*counters, *self.wait.buckets, *self.service.buckets, *self.response.buckets]

    def harvest(self) -> list[int]:
        """What was counted since the harvest before."""
        found, self.tallied = self.tallied, [0] * len(Tallied)
        return found


class Times:
    """Times of one kind: how many in each bucket between bounds, and in each of a fine histogram since the harvest."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self._fine: dict[int, tuple[int, int]] = {}

    def enter(self, time_s: float) -> int:
        """The time in `TICKS_PER_S`."""
        lasted = ticks(time_s)
        self.buckets[bisect_left(self._bounds, time_s)] += 1
        self._add(bucket(time_s), 1, lasted)
        return lasted

    def take_back(self, time_s: float) -> None:
        """Out of the fine histogram; what scrapes see never goes back."""
        self._add(bucket(time_s), -1, -ticks(time_s))

    def harvest(self) -> LogHistogram:
        found = LogHistogram.of(self._fine)
        self._fine.clear()
        return found

    def _add(self, place: int, times: int, lasted: int) -> None:
        count, total = self._fine.get(place, (0, 0))
        self._fine[place] = (count + times, total + lasted)


class Log:
    """The requests to be kept, handed over as they leave, some at a time."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._left: list[tuple[Request, float, Outcome]] = []

    def leave(self, request: Request, time_s: float, outcome: Outcome) -> None:
        share = self._keep.share
        if share == 1.0 or (share and kept(request.request_class, request.number, share)):
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


class Ledger:
    """The tallies of all pools and classes: what waits is counted at home, what is served where it is served."""

    def __init__(self, env: Environment, keep: Keep, tallies: Sequence[Sequence[Tally]]) -> None:
        self._env = env
        self._log = Log(keep)
        self.tallies = tallies

    def arrive(self, request: Request) -> None:
        self.tallies[request.home][request.request_class].arrive()

    def queue(self, request: Request, change: int) -> None:
        self.tallies[request.home][request.request_class].queue(change)

    def reject(self, request: Request) -> None:
        self.tallies[request.home][request.request_class].reject()
        self._log.leave(request, self._env.now, Outcome.REJECTED)

    def abandon(self, request: Request) -> None:
        self.tallies[request.home][request.request_class].abandon(self._env.now - request.arrival_s)
        self._log.leave(request, self._env.now, Outcome.ABANDONED)

    def start(self, request: Request) -> None:
        now = request.start_s = self._env.now
        self.tallies[request.pool][request.request_class].start(now - request.arrival_s)

    def complete(self, request: Request) -> None:
        now = self._env.now
        self.tallies[request.pool][request.request_class].complete(now - request.start_s, now - request.arrival_s)
        self._log.leave(request, now, Outcome.COMPLETED)

    def interrupt(self, request: Request) -> None:
        self.tallies[request.pool][request.request_class].interrupt(self._env.now - request.start_s)

    def send_back(self, request: Request) -> None:
        """What was interrupted will start once more."""
        self.tallies[request.pool][request.request_class].wait.take_back(request.start_s - request.arrival_s)
        request.start_s, request.slot = math.nan, -1

    def fail(self, request: Request) -> None:
        self.tallies[request.pool][request.request_class].fail()
        self._log.leave(request, self._env.now, Outcome.FAILED)

    def look(self, pool: int, running: Iterable[Request]) -> NDArray[np.int64]:
        """A row of counters for each class, with the time that running services have lasted."""
        lasted = [0] * len(self.tallies[pool])
        for request in running:
            lasted[request.request_class] += ticks(self._env.now - request.start_s)
        return np.array([tally.row(busy) for tally, busy in zip(self.tallies[pool], lasted, strict=True)])

    def harvest(self) -> Harvest:
        self._log.flush()
        return Harvest(
            counts=np.array([[tally.harvest() for tally in tallies] for tallies in self.tallies], dtype=np.int64),
            wait=[[tally.wait.harvest() for tally in tallies] for tallies in self.tallies],
            service=[[tally.service.harvest() for tally in tallies] for tallies in self.tallies],
            response=[[tally.response.harvest() for tally in tallies] for tallies in self.tallies],
        )
