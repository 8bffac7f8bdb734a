"""The replicas of one pool: starting, ready, draining, gone; what each engine serves with, and what is paid for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush, nsmallest
from itertools import groupby, islice
from typing import NamedTuple

from sim.cluster import Cluster, OnCrash
from sim.draws import Sampler
from sim.environment import Environment
from sim.loghistogram import TICKS_PER_S, ticks


@dataclass(eq=False, slots=True)
class Replica:
    birth: int
    """Its rank by time of start within the pool."""
    place: int
    """Its slots are place * slots .. (place + 1) * slots - 1."""
    started_s: float
    ready_s: float
    """Since when it is ready, or when it will be."""


class ReplicaCounts(NamedTuple):
    """The replicas of a pool at a moment."""

    wanted: int
    starting: int
    ready: int
    draining: int


class Meter:
    """Time summed over all that run, in whole `TICKS_PER_S`: no order of starts and stops can change the sum."""

    __slots__ = ("_ticks", "running")

    def __init__(self) -> None:
        self.running = 0
        self._ticks = 0

    def start(self, time_s: float) -> None:
        self.running += 1
        self._ticks -= ticks(time_s)

    def stop(self, time_s: float) -> None:
        self.running -= 1
        self._ticks += ticks(time_s)

    def total_s(self, now_s: float) -> float:
        return (self._ticks + self.running * ticks(now_s)) / TICKS_PER_S


class Replicas:
    """Law: `wanted` replicas are starting or ready at all times; each is paid for from its start until it is gone.

    Nothing walks over those that are starting or ready but a `scale` down: a look costs the same for any number.
    """

    def __init__(self, env: Environment, cluster: Cluster, pool: int, slots: int, startup: Sampler) -> None:
        self._env = env
        self._cluster = cluster
        self._pool = pool
        self._slots = slots
        self._startup = startup
        self._there: dict[int, Replica] = {}
        """Place -> replica of those starting or ready, oldest first."""
        self._starting: list[tuple[float, int, Replica]] = []
        """A heap by time of readiness of those not known to be ready; some of them may be gone."""
        self._draining: list[Replica] = []
        self._free_places: list[int] = []
        self._births = 0
        self._paid = Meter()
        self._serving = Meter()
        self.on_start: list[Callable[[Replica], None]] = []

    @property
    def wanted(self) -> int:
        return len(self._there)

    @property
    def paid_s(self) -> float:
        """Replica-seconds paid for so far: from start to gone."""
        self._catch_up()
        return self._paid.total_s(self._env.now)

    @property
    def serving_s(self) -> float:
        """Replica-seconds ready so far, draining included."""
        self._catch_up()
        return self._serving.total_s(self._env.now)

    def counts(self) -> ReplicaCounts:
        self._catch_up()
        wanted, draining = len(self._there), len(self._draining)
        ready = self._serving.running - draining
        return ReplicaCounts(wanted, wanted - ready, ready, draining)

    def __iter__(self) -> Iterator[Replica]:
        """Those that are not draining, oldest first."""
        return iter(self._there.values())

    def is_there(self, replica: Replica) -> bool:
        """Whether it is starting or ready, and not draining."""
        return self._there.get(replica.place) is replica

    def slots_of(self, replica: Replica) -> range:
        return range(replica.place * self._slots, (replica.place + 1) * self._slots)

    def busy(self, replica: Replica) -> int:
        return self._cluster.busy(self._pool, self.slots_of(replica))

    def begin(self, count: int) -> None:
        """Put `count` ready replicas in place, as they are when a run begins."""
        self._start([0.0] * count)

    def scale(self, target: int) -> None:
        """Start replicas; or stop those still starting, then idle ones, then busy ones as they finish; young first."""
        self._catch_up()
        if target >= self.wanted:
            self._start(self._startup(target - self.wanted).tolist())
        else:
            for replica in self._first_to_go(self.wanted - target):
                self._stop(replica)

    def crash(self, replica: Replica, on_crash: OnCrash, repair_s: float) -> None:
        """A ready replica loses what it serves and is ready again, in its place, after `repair_s`."""
        self._note_ready()
        now = self._env.now
        self._cluster.crash(self._pool, self.slots_of(replica), on_crash)
        self._serving.stop(now)
        replica.ready_s = now + repair_s
        self._open([replica])

    def _start(self, startups_s: Sequence[float]) -> None:
        now = self._env.now
        started = [self._born(now, now + startup_s) for startup_s in startups_s]
        self._open(started)
        for told in self.on_start:
            for replica in started:
                told(replica)

    def _born(self, now_s: float, ready_s: float) -> Replica:
        place = heappop(self._free_places) if self._free_places else len(self._there) + len(self._draining)
        replica = self._there[place] = Replica(self._births, place, now_s, ready_s)
        self._births += 1
        self._paid.start(now_s)
        return replica

    def _open(self, replicas: Sequence[Replica]) -> None:
        """Open their slots, neighbours that are ready at the same time at once; places ascend."""
        for replica in replicas:
            heappush(self._starting, (replica.ready_s, replica.birth, replica))
        for (ready_s, _), run in groupby(enumerate(replicas), key=lambda x: (x[1].ready_s, x[1].place - x[0])):
            neighbours = [replica for _, replica in run]
            slots = range(self.slots_of(neighbours[0]).start, self.slots_of(neighbours[-1]).stop)
            self._cluster.open(self._pool, slots, ready_s)

    def _first_to_go(self, count: int) -> list[Replica]:
        """Those still starting, then the least busy ones; young first."""
        starting = sorted((r for *_, r in self._starting if self.is_there(r)), key=lambda r: -r.birth)
        return starting[:count] if len(starting) >= count else starting + self._least_busy(count - len(starting))

    def _least_busy(self, count: int) -> list[Replica]:
        """So many of the ready ones, young first where equally busy."""
        # Often enough are idle: then there is no need to ask for all.
        idle = list(islice((r for r in self._ready_young_first() if not self.busy(r)), count))
        return idle if len(idle) == count else nsmallest(count, self._ready_young_first(), key=self.busy)

    def _ready_young_first(self) -> Iterator[Replica]:
        return (r for r in reversed(self._there.values()) if r.ready_s <= self._env.now)

    def _stop(self, replica: Replica) -> None:
        self._cluster.close(self._pool, self.slots_of(replica))
        del self._there[replica.place]
        if self.busy(replica):
            self._draining.append(replica)
        else:
            self._gone(replica, self._env.now)

    def _catch_up(self) -> None:
        self._note_ready()
        if self._draining:
            self._settle()

    def _note_ready(self) -> None:
        """Count those that have become ready since the last look."""
        while self._starting and self._starting[0][0] <= self._env.now:
            ready_s, _, replica = heappop(self._starting)
            if self.is_there(replica):
                self._serving.start(ready_s)

    def _settle(self) -> None:
        """Let those draining go that have finished since the last look."""
        draining, self._draining = self._draining, []
        for replica in draining:
            if self.busy(replica):
                self._draining.append(replica)
            else:
                self._gone(replica, self._cluster.freed_s(self._pool, self.slots_of(replica)))

    def _gone(self, replica: Replica, time_s: float) -> None:
        heappush(self._free_places, replica.place)
        self._paid.stop(time_s)
        if replica.ready_s <= time_s:
            self._serving.stop(time_s)
