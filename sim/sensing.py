"""What a simulated policy sees: scrapes that come at intervals, arrive late and are lost now and then."""

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, count

import numpy as np
from numpy.typing import NDArray
from simpy.events import Event

from policies.histogram import Histogram
from policies.observation import Flow, Observation, PoolReading, ReplicaReading
from sim.cluster import Cluster, Counter
from sim.environment import Environment, Phase
from sim.loghistogram import TICKS_PER_S
from sim.replicas import Replicas
from sim.scenario import Control


@dataclass(frozen=True, slots=True)
class Scrape:
    """One scrape of a pool, as `Cluster.look` counts; most are never read by a policy, so no flow is made of them."""

    time_s: float
    counters: NDArray[np.int64]
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
        self._classes = classes
        self._bounds = bounds
        self._losses = losses
        self._each_replica = each_replica
        self._shown: dict[str, tuple[Scrape, Flow, dict[str, Flow]]] = {}
        self._scrapes: dict[str, deque[Scrape]] = {pool: deque() for pool in pools}
        env.process(self._scraping())

    def read(self) -> Observation:
        return Observation(self._env.now, {pool: self._reading(pool) for pool in self._pools})

    def _scraping(self) -> Generator[Event, None, None]:
        for k in count():
            yield self._env.at(k * self._control.scrape_s, Phase.SCRAPE)
            lost = self._losses.random(len(self._pools)) < self._control.loss
            for number, pool in enumerate(self._pools):
                if not lost[number]:
                    self._scrapes[pool].append(self._scrape(number, pool))

    def _scrape(self, number: int, pool: str) -> Scrape:
        replicas = self._replicas(self._pools[pool]) if self._each_replica else None
        return Scrape(self._env.now, self._cluster.look(number), replicas)

    def _flows(self, pool: str, scrape: Scrape) -> tuple[Flow, dict[str, Flow]]:
        """The pool's flow, and that of each class: the same ones as long as the same scrape is shown."""
        shown = self._shown.get(pool)
        if shown is None or shown[0] is not scrape:
            each = {
                name: flow(row, self._bounds)
                for name, row in zip(self._classes[pool], scrape.counters, strict=True)
                if name
            }
            total = next(iter(each.values())) if len(each) == 1 else flow(scrape.counters.sum(axis=0), self._bounds)
            shown = self._shown[pool] = (scrape, total, each)
        return shown[1], shown[2]

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
        scrapes = self._scrapes[pool]
        seen_s = self._env.now - self._control.lag_s
        while len(scrapes) > 1 and scrapes[1].time_s <= seen_s:
            scrapes.popleft()
        last = scrapes[0] if scrapes and scrapes[0].time_s <= seen_s else None
        wanted, starting, ready, draining, *_ = self._pools[pool].look()
        gauges = {"wanted": wanted, "starting": starting, "ready": ready, "draining": draining}
        if last is None:
            return _without(PoolReading(**gauges), self._control.unseen)
        total, classes = self._flows(pool, last)
        age_s = self._env.now - last.time_s
        reading = PoolReading(**gauges, age_s=age_s, total=total, classes=classes, replicas=last.replicas)
        return _without(reading, self._control.unseen)


def flow(counters: NDArray[np.int64], bounds: tuple[float, ...]) -> Flow:
    """A row of `Cluster.look` as a scrape shows it."""
    c = counters.tolist()
    first, buckets = len(Counter), len(bounds) + 1
    wait, service, response = (c[first + i * buckets : first + (i + 1) * buckets] for i in range(3))
    return Flow(
        queued=c[Counter.QUEUED],
        in_service=c[Counter.IN_SERVICE],
        arrived_total=c[Counter.ARRIVED],
        started_total=c[Counter.STARTED],
        completed_total=c[Counter.COMPLETED],
        failed_total=c[Counter.FAILED],
        rejected_total=c[Counter.REJECTED],
        abandoned_total=c[Counter.ABANDONED],
        busy_s_total=c[Counter.BUSY] / TICKS_PER_S,
        wait_s=_histogram(bounds, wait, c[Counter.WAIT]),
        service_s=_histogram(bounds, service, c[Counter.SERVICE]),
        response_s=_histogram(bounds, response, c[Counter.RESPONSE]),
    )


def _histogram(bounds: tuple[float, ...], buckets: Sequence[int], total: int) -> Histogram:
    return Histogram(bounds, tuple(accumulate(buckets)), total / TICKS_PER_S)


def _without(reading: PoolReading, unseen: Sequence[str]) -> PoolReading:
    if not unseen:
        return reading
    of_pool = {name: None for name in unseen if name in PoolReading.__slots__}
    of_flow = {name: None for name in unseen if name in Flow.__slots__}
    classes = {name: replace(c, **of_flow) for name, c in reading.classes.items()}
    return replace(reading, **of_pool, total=replace(reading.total, **of_flow), classes=classes)
