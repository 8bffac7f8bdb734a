"""The reference engine: requests served by SimPy events alone, one appointment for each thing that happens."""

import math
from collections.abc import Generator, Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from simpy.events import Event

from sim.balancers import BALANCERS
from sim.cluster import Harvest, Keep, OnCrash, Outcome, Requests
from sim.disciplines import Line, discipline
from sim.environment import Environment, Phase
from sim.ledger import Ledger, Request, Tally, table
from sim.pools import Balanced, Central, Global, Pool
from sim.requests import Arrivals, Workload
from sim.routing import Table
from sim.scenario import Model, Scenario, Version
from sim.servers import Servers, Sharing, Slots
from sim.stations import Room, Station


class Reference:
    """The `Cluster` port, event by event."""

    def __init__(
        self,
        env: Environment,
        scenario: Scenario,
        workload: Workload,
        bounds: Sequence[float],
        keep: Keep,
    ) -> None:
        self._env = env
        self._workload = workload
        self._classes = scenario.traffic
        self._models = {model.name: model for model in scenario.models}
        self._ledger = Ledger(env, keep, _tallies(scenario, bounds))
        plant = Plant(env, self._ledger, scenario)
        self._pools, self._global = plant.pools, plant.queues
        self._first_pool = first_pools(scenario)
        self._arrived = [0] * len(scenario.traffic)
        self._tables: list[Table | None] = [None] * len(scenario.traffic)
        for k, c in enumerate(scenario.traffic):
            if weights := self._model(k).weights(c.name):
                self.shift(k, weights)
        env.process(self._arrivals(scenario.horizon_s / SLABS))

    def open(self, pool: int, slots: range, from_s: float) -> None:
        self._pools[pool].open(slots, from_s)

    def close(self, pool: int, slots: range) -> None:
        self._pools[pool].close(slots)

    def crash(self, pool: int, slots: range, on_crash: OnCrash) -> None:
        self._pools[pool].crash(slots, on_crash)

    def busy(self, pool: int, slots: range) -> int:
        return self._pools[pool].busy(slots)

    def freed_s(self, pool: int, slots: range) -> float:
        return self._pools[pool].freed_s(slots)

    def shift(self, request_class: int, weights: Mapping[str, float]) -> None:
        model = self._model(request_class)
        self._tables[request_class] = Table([v.name for v in model.versions], weights)
        if queue := self._global.get(model.name):
            first = self._first_pool[request_class]
            eligible = [first + i for i, v in enumerate(model.versions) if weights.get(v.name, 0.0) > 0]
            queue.route(request_class, eligible)

    def look(self, pool: int) -> NDArray[np.int64]:
        return self._ledger.look(pool, self._pools[pool].running())

    def harvest(self) -> Harvest:
        return self._ledger.harvest()

    def present(self) -> Requests:
        rooms = dict.fromkeys(pool.room for pool in self._pools)
        there = chain(chain.from_iterable(rooms), *(pool.running() for pool in self._pools))
        return table([(request, math.nan, Outcome.PRESENT) for request in there])

    def _model(self, request_class: int) -> Model:
        return self._models[self._classes[request_class].model]

    def _arrivals(self, slab_s: float) -> Generator[Event, None, None]:
        slab = place = 0
        while True:
            slab += 1
            blocks, order = self._workload.until(slab * slab_s)
            for k, i in order.tolist():
                yield self._env.at(float(blocks[k].arrival_s[i]), Phase.ARRIVAL)
                self._arrive(place, k, blocks[k], i)
                place += 1
            yield self._env.at(slab * slab_s, Phase.ARRIVAL)

    def _arrive(self, place: int, request_class: int, block: Arrivals, i: int) -> None:
        version, first = self._version(request_class, block, i), self._first_pool[request_class]
        number = self._arrived[request_class]
        self._arrived[request_class] += 1
        work_s = float(block.work_s[version][i])
        request = Request(place, request_class, number, first + version, self._env.now, work_s)
        if block.balance is not None:
            request.balance = float(block.balance[i])
        if self._classes[request_class].model in self._global:
            request.works_s = {first + v: float(works_s[i]) for v, works_s in block.work_s.items()}
        self._ledger.arrive(request)
        self._pools[request.home].arrive(request, math.inf if block.patience_s is None else float(block.patience_s[i]))

    def _version(self, request_class: int, block: Arrivals, i: int) -> int:
        table = self._tables[request_class]
        if block.version is not None and table is None:
            return int(block.version[i])
        if table is None or block.route is None:
            return 0
        return table.version(float(block.route[i]))


SLABS = 100
"""In so many parts of the horizon the workload is read ahead."""


class Plant:
    """The pools of a scenario, in order, and model -> the queue over its versions, where it has one."""

    def __init__(self, env: Environment, ledger: Ledger, scenario: Scenario) -> None:
        self._env = env
        self._ledger = ledger
        self._scenario = scenario
        self.pools: list[Pool] = []
        self.queues: dict[str, Global] = {}
        for model in scenario.models:
            if model.queue == "gq":
                self._add_global(model)
            else:
                for version in model.versions:
                    self._add(model, version)

    def _add_global(self, model: Model) -> None:
        room = Room(self._env, self._ledger, model.room)
        queue = self.queues[model.name] = Global(self._env, room, len(self._scenario.traffic))
        for _ in model.versions:
            servers = Slots(self._env, len(self.pools), self._ledger)
            queue.join(len(self.pools), servers)
            self.pools.append(Central(self._ledger, room, queue, servers))

    def _add(self, model: Model, version: Version) -> None:
        pool, room = len(self.pools), Room(self._env, self._ledger, version.room)
        new_discipline = discipline(model, self._scenario)

        def station() -> Station:
            return Station(self._env, room, Line(new_discipline()), self._servers(model, version, pool))

        if model.balancer == "central":
            only = station()
            self.pools.append(Central(self._ledger, room, only, only.servers))
        else:
            balancer = BALANCERS[model.balancer]
            self.pools.append(Balanced(self._env, self._ledger, room, station, balancer, version.slots))

    def _servers(self, model: Model, version: Version, pool: int) -> Servers:
        if model.queue == "ps":
            return Sharing(self._env, pool, self._ledger, version.slots)
        return Slots(self._env, pool, self._ledger)


def _tallies(scenario: Scenario, bounds: Sequence[float]) -> list[list[Tally]]:
    """For each pool a tally of each request class."""
    targets_s = [scenario.target_s(c) for c in scenario.traffic]
    return [[Tally(bounds, target_s) for target_s in targets_s] for _ in scenario.pools]


def first_pools(scenario: Scenario) -> list[int]:
    """For each request class the number of its model's first pool."""
    first: dict[str, int] = {}
    pools = 0
    for model in scenario.models:
        first[model.name] = pools
        pools += len(model.versions)
    return [first[c.model] for c in scenario.traffic]
