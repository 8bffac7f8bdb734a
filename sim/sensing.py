"""What a simulated policy sees: scrapes that come at intervals, arrive late and are lost now and then."""

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, count

import numpy as np
from simpy.events import Event

from policies.histogram import Histogram
from policies.observation import Flow, Observation, PoolReading, ReplicaReading
from sim.cluster import TICKS_PER_S, Cluster, Counters
from sim.environment import Environment, Phase
from sim.replicas import Replicas
from sim.scenario import Control


@dataclass(frozen=True, slots=True)
class Scrape:
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
        self._classes = classes
        self._bounds = bounds
        self._losses = losses
        self._each_replica = each_replica
        self._shown: dict[str, list[tuple[Counters, Flow]]] = {}
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
        counters = self._cluster.counters(number)
        *each, total = self._flows(pool, [*counters, self._cluster.total(number)])
        classes = {name: shown for name, shown in zip(self._classes[pool], each, strict=True) if name}
        replicas = self._replicas(self._pools[pool]) if self._each_replica else None
        return Scrape(self._env.now, total, classes, replicas)

    def _flows(self, pool: str, counters: Sequence[Counters]) -> list[Flow]:
        """The counters as a scrape shows them; the same flow as at the last scrape where nothing happened."""
        before = {id(c): (c, shown) for c, shown in self._shown.get(pool, ())}
        found = [before[id(c)][1] if id(c) in before else flow(c, self._bounds) for c in counters]
        self._shown[pool] = list(zip(counters, found, strict=True))
        return found

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
        replicas = self._pools[pool]
        reading = PoolReading(
            wanted=replicas.wanted,
            starting=replicas.starting,
            ready=replicas.ready,
            draining=replicas.draining,
        )
        if last is not None:
            reading = replace(
                reading,
                age_s=self._env.now - last.time_s,
                total=last.total,
                classes=last.classes,
                replicas=last.replicas,
            )
        return _without(reading, self._control.unseen)


def flow(c: Counters, bounds: tuple[float, ...]) -> Flow:
    """Counters as a scrape shows them."""
    return Flow(
        queued=c.queued,
        in_service=c.in_service,
        arrived_total=c.arrived,
        started_total=c.started,
        completed_total=c.completed,
        failed_total=c.failed,
        rejected_total=c.rejected,
        abandoned_total=c.abandoned,
        busy_s_total=c.busy / TICKS_PER_S,
        wait_s=_histogram(bounds, c.wait_buckets, c.wait),
        service_s=_histogram(bounds, c.service_buckets, c.service),
        response_s=_histogram(bounds, c.response_buckets, c.response),
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
