"""One replication: a cluster, its workload and its control loop, wired to one clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from policies.bounded import Bounded
from policies.clairvoyant import FUTURE
from policies.decision import Decision
from policies.loop import Action, ControlLoop
from policies.policy import Policy
from sim.cluster import Cluster, Keep, Requests
from sim.columns import Columns
from sim.disturbances import Crashes, shifting
from sim.environment import Environment, Phase
from sim.history import History, PoolRow
from sim.replicas import Replicas
from sim.requests import Workload
from sim.scenario import Scenario, Version
from sim.sensing import Scraper
from sim.streams import Stream

BOUNDS_S = tuple(round(m * 10.0**e, 3) for e in range(-3, 4) for m in (1, 2, 5))
"""Histogram bounds of simulated metrics: 1-2-5 from 1 ms to 5,000 s."""


Engine = Literal["plane", "reference"]
"""The compiled request plane, or the same event by event: much slower, with a loop for everything."""


@dataclass(frozen=True, slots=True)
class Scaler:
    """The `Actuator` port on a simulated cluster."""

    pools: dict[str, Replicas]

    def apply(self, decision: Decision) -> dict[str, Action]:
        actions = {}
        for pool, target in decision.targets.items():
            before = self.pools[pool].wanted
            if target != before:
                self.pools[pool].scale(target)
                actions[pool] = Action(before, target)
        return actions


class World:
    """Everything of one replication; `run_through` may be called again to go on.

    Records of requests go where `keep` says; without it, all of them stay here for `requests`.
    """

    def __init__(
        self, scenario: Scenario, replication: int = 0, engine: Engine = "plane", keep: Keep | None = None
    ) -> None:
        stream = Stream(scenario.seed, (f"replication {replication}",))
        self.scenario = scenario
        self.env = Environment()
        bounds = BOUNDS_S if scenario.slo is None else tuple(sorted({*BOUNDS_S, scenario.slo.response_s}))
        self._left: list[Requests] = []
        keep = keep or Keep(1.0, self._left.append)
        self.cluster = _cluster(engine)(self.env, scenario, Workload(scenario, stream), bounds, keep)
        self.pools = {name: self._replicas(i, name, stream) for i, name in enumerate(scenario.pools)}
        self.history = History(self.env, self.cluster, self.pools)
        policy = Bounded(_policy(scenario, replication), scenario.pools)
        sensor = Scraper(
            self.env,
            self.cluster,
            self.pools,
            scenario.control,
            _classes(scenario),
            bounds,
            (stream / "scrape losses").generator(),
            each_replica="replicas" in policy.readings.needed or "replicas" in policy.readings.assumed,
        )
        loop = ControlLoop(policy, sensor, Scaler(self.pools), self.history)
        self._plan_shifts()
        self.env.every(scenario.control.tick_s, Phase.TICK, loop.tick)

    def run_through(self, time_s: float) -> None:
        """Simulate up to and at `time_s`."""
        self.env.run_through(time_s)

    def requests(self) -> Requests:
        """The requests whose records stay here, in order of arrival."""
        self.cluster.harvest()
        return Requests.together([*self._left, self.cluster.present()])

    def rows(self) -> dict[str, Columns[PoolRow]]:
        """Pool -> its history, the present moment included."""
        if next(iter(self.history.rows.values()))[-1].time_s < self.env.now:
            self.history.look()
        return self.history.rows

    def _replicas(self, number: int, name: str, stream: Stream) -> Replicas:
        version = _versions(self.scenario)[number]
        startup = version.startup.sampler(stream / "startup" / name)
        replicas = Replicas(self.env, self.cluster, number, version.slots, startup)
        if version.failures is not None:
            Crashes(self.env, replicas, version.failures, stream / "failures" / name)
        replicas.begin(version.replicas.initial)
        return replicas

    def _plan_shifts(self) -> None:
        for model in self.scenario.models:
            shifts = getattr(model.routing, "shifts", ())
            classes = [(k, c) for k, c in enumerate(self.scenario.traffic) if c.model == model.name]
            self.env.process(shifting(self.env, self.cluster, shifts, classes))


def _policy(scenario: Scenario, replication: int) -> Policy:
    """The scenario's policy, with the future where it needs it."""
    policy = scenario.policy.build(scenario.pools)
    if FUTURE not in policy.readings.needed:
        return policy
    from sim.foresight import foreseeing

    return foreseeing(scenario, replication)


def _cluster(engine: Engine) -> Callable[[Environment, Scenario, Workload, Sequence[float], Keep], Cluster]:
    # Each takes a while to import, which the other need not wait for.
    if engine == "reference":
        from sim.reference import Reference

        return Reference
    from sim.plane import Plane

    return Plane


def _versions(scenario: Scenario) -> list[Version]:
    return [version for model in scenario.models for version in model.versions]


def _classes(scenario: Scenario) -> dict[str, list[str]]:
    """Pool -> its request classes in the scenario's order, "" for those of other models."""
    return {
        pool.name: [c.name if c.model == pool.model else "" for c in scenario.traffic]
        for pool in scenario.pools.values()
    }
