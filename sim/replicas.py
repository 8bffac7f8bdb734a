"""The replicas of one pool: starting, ready, draining, gone; what each engine serves with, and what is paid for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from sim.cluster import Cluster, OnCrash
from sim.environment import Environment

Draw = Callable[[], float]


@dataclass(slots=True)
class Replica:
    birth: int
    """Its rank by time of start within the pool."""
    place: int
    """Its slots are place * slots .. (place + 1) * slots - 1."""
    started_s: float
    ready_s: float
    """Since when it is ready, or when it will be."""
    draining: bool = False
    served_s: float = 0.0
    """Time ready before its last crash."""

    def serving_s(self, until_s: float) -> float:
        """Time ready, draining included, up to `until_s`."""
        return self.served_s + max(0.0, until_s - self.ready_s)


class Replicas:
    """Law: `wanted` replicas are starting or ready at all times; each is paid for from its start until it is gone."""

    def __init__(self, env: Environment, cluster: Cluster, pool: int, slots: int, startup: Draw) -> None:
        self._env = env
        self._cluster = cluster
        self._pool = pool
        self._slots = slots
        self._startup = startup
        self._there: dict[int, Replica] = {}
        self._births = 0
        self._free_places: list[int] = []
        self._paid_gone_s = 0.0
        self._serving_gone_s = 0.0
        self.on_start: list[Callable[[Replica], None]] = []

    @property
    def wanted(self) -> int:
        return sum(not r.draining for r in self._there.values())

    @property
    def starting(self) -> int:
        return sum(r.ready_s > self._env.now and not r.draining for r in self._there.values())

    @property
    def ready(self) -> int:
        return sum(r.ready_s <= self._env.now and not r.draining for r in self._there.values())

    @property
    def draining(self) -> int:
        self._settle()
        return sum(r.draining for r in self._there.values())

    @property
    def paid_s(self) -> float:
        """Replica-seconds paid for so far."""
        self._settle()
        return self._paid_gone_s + sum(self._env.now - r.started_s for r in self._there.values())

    @property
    def serving_s(self) -> float:
        """Replica-seconds ready so far, draining included."""
        self._settle()
        return self._serving_gone_s + sum(r.serving_s(self._env.now) for r in self._there.values())

    def __iter__(self) -> Iterator[Replica]:
        """Those that are not draining, oldest first."""
        return iter(sorted((r for r in self._there.values() if not r.draining), key=lambda r: r.birth))

    def is_there(self, replica: Replica) -> bool:
        """Whether it is starting or ready, and not draining."""
        return self._there.get(replica.place) is replica and not replica.draining

    def slots_of(self, replica: Replica) -> range:
        return range(replica.place * self._slots, (replica.place + 1) * self._slots)

    def busy(self, replica: Replica) -> int:
        return self._cluster.busy(self._pool, self.slots_of(replica))

    def begin(self, count: int) -> None:
        """Put `count` ready replicas in place, as they are when a run begins."""
        for _ in range(count):
            self._start(0.0)

    def scale(self, target: int) -> None:
        """Start replicas; or stop those still starting, then idle ones, then busy ones as they finish; young first."""
        self._settle()
        for _ in range(target - self.wanted):
            self._start(self._startup())
        for replica in sorted(self, key=self._rank)[: max(0, self.wanted - target)]:
            self._stop(replica)

    def crash(self, replica: Replica, on_crash: OnCrash, repair_s: float) -> None:
        """The replica loses what it serves and is ready again, in its place, after `repair_s`."""
        self._cluster.crash(self._pool, self.slots_of(replica), on_crash)
        replica.served_s = replica.serving_s(self._env.now)
        replica.ready_s = self._env.now + repair_s
        self._cluster.open(self._pool, self.slots_of(replica), replica.ready_s)

    def _rank(self, replica: Replica) -> tuple[int, int]:
        starting = replica.ready_s > self._env.now
        return (-1 if starting else self.busy(replica), -replica.birth)

    def _start(self, startup_s: float) -> None:
        place = heappop(self._free_places) if self._free_places else len(self._there)
        now = self._env.now
        replica = Replica(self._births, place, now, now + startup_s)
        self._births += 1
        self._there[place] = replica
        self._cluster.open(self._pool, self.slots_of(replica), replica.ready_s)
        for started in self.on_start:
            started(replica)

    def _stop(self, replica: Replica) -> None:
        self._cluster.close(self._pool, self.slots_of(replica))
        replica.draining = True
        if not self.busy(replica):
            self._gone(replica, self._env.now)

    def _settle(self) -> None:
        """Let those draining go that have finished since anybody looked."""
        for replica in [r for r in self._there.values() if r.draining and not self.busy(r)]:
            self._gone(replica, self._cluster.freed_s(self._pool, self.slots_of(replica)))

    def _gone(self, replica: Replica, time_s: float) -> None:
        del self._there[replica.place]
        heappush(self._free_places, replica.place)
        self._paid_gone_s += time_s - replica.started_s
        self._serving_gone_s += replica.serving_s(time_s)
