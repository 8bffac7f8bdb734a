"""What a simulated policy sees: scrapes that come at intervals, arrive late and are lost now and then."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from policies.histogram import Histogram
from policies.observation import Flow, Observation, PoolReading, ReplicaReading
from sim.cluster import Cluster, Counter
from sim.environment import Environment, Phase
from sim.loghistogram import TICKS_PER_S
from sim.replicas import Replicas
from sim.scenario import Control

COUNTS = {
    "queued": Counter.QUEUED,
    "in_service": Counter.IN_SERVICE,
    "arrived_total": Counter.ARRIVED,
    "started_total": Counter.STARTED,
    "completed_total": Counter.COMPLETED,
    "failed_total": Counter.FAILED,
    "rejected_total": Counter.REJECTED,
    "abandoned_total": Counter.ABANDONED,
}
HISTOGRAMS = {"wait_s": (0, Counter.WAIT), "service_s": (1, Counter.SERVICE), "response_s": (2, Counter.RESPONSE)}
"""Which of the histograms of `Cluster.look` it is, and the column of its sum."""

UNREAD = Flow()
DRAWN_AT_ONCE = 1024


class ScrapedFlow(Flow):
    """A flow that reads a field from the counters when somebody first asks for it: most fields are never asked for."""

    __slots__ = ("_source",)
    _source: tuple[NDArray[np.int64], tuple[float, ...]]

    @classmethod
    def of(cls, rows: NDArray[np.int64], bounds: tuple[float, ...]) -> "ScrapedFlow":
        """The sum of some rows of `Cluster.look`."""
        flow = cls.__new__(cls)
        object.__setattr__(flow, "_source", (rows, bounds))
        return flow

    def __getattr__(self, name: str) -> Any:
        # Python asks here only for what is not there: a field that nobody has asked for yet.
        if name not in Flow.__slots__:
            raise AttributeError(f"a flow has no {name!r}; it has {', '.join(Flow.__slots__)}")
        value = _read(name, *self._source)
        object.__setattr__(self, name, value)
        return value


class Scrape(NamedTuple):
    """One scrape of a pool."""

    time_s: float
    total: Flow
    classes: Mapping[str, Flow]
    replicas: tuple[ReplicaReading, ...] | None


class Scraper:
    """The `Sensor` port on a simulated cluster.

    Request metrics come by scrape; replica counts are what the cluster's own API says at the moment of reading.
    """

    def __init__(
        self,
        env: Environment,
        cluster: Cluster,
        pools: Mapping[str, Replicas],
        control: Control,
        classes: Mapping[str, Sequence[str]],
        bounds: tuple[float, ...],
        losses: np.random.Generator,
        each_replica: bool,
    ) -> None:
        """`classes` gives each pool its request classes in the scenario's order, "" for those of other models.

        Replicas are looked at one by one only for `each_replica`, as few policies want that.
        """
        self._env = env
        self._cluster = cluster
        self._pools = pools
        self._control = control
        self._classes = {pool: [(k, c) for k, c in enumerate(names) if c] for pool, names in classes.items()}
        self._bounds = bounds
        self._lost = _happens(control.loss, losses)
        self._each_replica = each_replica
        self._scrapes: dict[str, deque[Scrape]] = {pool: deque() for pool in pools}
        env.every(control.scrape_s, Phase.SCRAPE, self._scrape_all)

    def read(self) -> Observation:
        return Observation(self._env.now, {pool: self._reading(pool) for pool in self._pools})

    def _scrape_all(self) -> None:
        for number, (pool, scrapes) in enumerate(self._scrapes.items()):
            if not next(self._lost):
                scrapes.append(self._scrape(number, pool))

    def _scrape(self, number: int, pool: str) -> Scrape:
        rows, bounds = self._cluster.look(number), self._bounds
        classes = {name: ScrapedFlow.of(rows[k : k + 1], bounds) for k, name in self._classes[pool]}
        total = next(iter(classes.values())) if len(classes) == 1 else ScrapedFlow.of(rows, bounds)
        replicas = self._replicas(self._pools[pool]) if self._each_replica else None
        return Scrape(self._env.now, total, classes, replicas)

    def _replicas(self, pool: Replicas) -> tuple[ReplicaReading, ...]:
        return tuple(
            ReplicaReading(
                name=str(r.birth),
                utilization=pool.busy(r) / len(pool.slots_of(r)),
                started_s=r.started_s,
                ready_since_s=r.ready_s if r.ready_s <= self._env.now else None,
            )
            for r in pool
        )

    def _reading(self, pool: str) -> PoolReading:
        now = self._env.now
        last = self._shown(self._scrapes[pool], now - self._control.lag_s)
        replicas = self._pools[pool].counts()
        reading = PoolReading(
            wanted=replicas.wanted,
            starting=replicas.starting,
            ready=replicas.ready,
            draining=replicas.draining,
            age_s=None if last is None else now - last.time_s,
            total=UNREAD if last is None else last.total,
            classes={} if last is None else last.classes,
            replicas=None if last is None else last.replicas,
        )
        return _without(reading, self._control.unseen) if self._control.unseen else reading

    def _shown(self, scrapes: deque[Scrape], taken_s: float) -> Scrape | None:
        """The last scrape up to this time; those before it are dropped."""
        while len(scrapes) > 1 and scrapes[1].time_s <= taken_s:
            scrapes.popleft()
        return scrapes[0] if scrapes and scrapes[0].time_s <= taken_s else None


def _happens(share: float, draws: np.random.Generator) -> Iterator[bool]:
    """Whether it happens this time, and the next, in this share of cases."""
    while True:
        yield from (draws.random(DRAWN_AT_ONCE) < share).tolist()


def _read(name: str, rows: NDArray[np.int64], bounds: tuple[float, ...]) -> float | Histogram:
    """A field of `Flow` as the sum of some rows of `Cluster.look` has it."""
    if name in HISTOGRAMS:
        place, total = HISTOGRAMS[name]
        first = len(Counter) + place * (len(bounds) + 1)
        buckets = rows[:, first : first + len(bounds) + 1].sum(axis=0).tolist()
        return Histogram(bounds, tuple(accumulate(buckets)), _counted(rows, total) / TICKS_PER_S)
    if name == "busy_s_total":
        return _counted(rows, Counter.BUSY) / TICKS_PER_S
    return _counted(rows, COUNTS[name])


def _counted(rows: NDArray[np.int64], counter: Counter) -> int:
    # As Python's own numbers: over a few rows that is faster than an array's sum.
    return sum(rows[:, counter].tolist())


def _without(reading: PoolReading, unseen: Sequence[str]) -> PoolReading:
    of_pool = {name: None for name in unseen if name in PoolReading.__slots__}
    of_flow = {name: None for name in unseen if name in Flow.__slots__}
    classes = {name: replace(c, **of_flow) for name, c in reading.classes.items()}
    return replace(reading, **of_pool, total=replace(reading.total, **of_flow), classes=classes)
