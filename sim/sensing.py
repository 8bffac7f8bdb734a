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
    replicas: tuple[ReplicaReading, ...]


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
    ) -> None:
        """`classes` gives each pool its request classes in the scenario's order, "" for those of other models."""
        self._env = env
        self._cluster = cluster
        self._pools = pools
        self._control = control
        self._classes = classes
        self._bounds = bounds
        self._losses = losses
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
        named = {name: c for name, c in zip(self._classes[pool], counters, strict=True) if name}
        classes = {name: flow([c], self._bounds) for name, c in named.items()}
        total = next(iter(classes.values())) if len(classes) == 1 else flow(list(named.values()), self._bounds)
        return Scrape(self._env.now, total, classes, self._replicas(self._pools[pool]))

    def _replicas(self, pool: Replicas) -> tuple[ReplicaReading, ...]:
        if "replicas" in self._control.unseen:
            return ()
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


def flow(counters: Sequence[Counters], bounds: tuple[float, ...]) -> Flow:
    """The sum of these counters as a scrape shows it."""
    return Flow(
        queued=sum(c.queued for c in counters),
        in_service=sum(c.in_service for c in counters),
        arrived_total=sum(c.arrived for c in counters),
        started_total=sum(c.started for c in counters),
        completed_total=sum(c.completed for c in counters),
        failed_total=sum(c.failed for c in counters),
        rejected_total=sum(c.rejected for c in counters),
        abandoned_total=sum(c.abandoned for c in counters),
        busy_s_total=sum(c.busy for c in counters) / TICKS_PER_S,
        wait_s=_histogram(bounds, [c.wait_buckets for c in counters], sum(c.wait for c in counters)),
        service_s=_histogram(bounds, [c.service_buckets for c in counters], sum(c.service for c in counters)),
        response_s=_histogram(bounds, [c.response_buckets for c in counters], sum(c.response for c in counters)),
    )


def _histogram(bounds: tuple[float, ...], buckets: Sequence[Sequence[int]], total: int) -> Histogram:
    together = buckets[0] if len(buckets) == 1 else [sum(column) for column in zip(*buckets, strict=True)]
    return Histogram(bounds, tuple(accumulate(together)), total / TICKS_PER_S)


def _without(reading: PoolReading, unseen: Sequence[str]) -> PoolReading:
    if not unseen:
        return reading
    of_pool = {name: None for name in unseen if name in PoolReading.__slots__}
    of_flow = {name: None for name in unseen if name in Flow.__slots__}
    classes = {name: replace(c, **of_flow) for name, c in reading.classes.items()}
    return replace(reading, **of_pool, total=replace(reading.total, **of_flow), classes=classes)
