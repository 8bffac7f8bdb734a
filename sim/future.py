"""What is known of a run before it: for each pool, who comes when, bringing how much work."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.pool import PoolTraits
from sim.requests import Arrivals, Floats, Workload
from sim.routing import Table
from sim.scenario import Model, RequestClass, Scenario, Version
from sim.streams import Stream

STARTUPS = 4096
"""So many start-up times are read beforehand; a pool that starts more replicas than that is not foreseen exactly."""


@dataclass(frozen=True, eq=False, slots=True)
class Demand:
    """The requests of one pool in order of arrival, one entry each, and what its replicas are like.

    `target_s` is infinite where nothing is asked, `patience_s` where it is unlimited. `startup_s[b]` is the start-up
    of the b-th replica, 0 for those that are there at the beginning.
    """

    pool: PoolTraits
    initial: int
    arrival_s: Floats
    work_s: Floats
    target_s: Floats
    patience_s: Floats
    startup_s: Floats
    least_startup_s: float
    """No replica is ready sooner."""
    safe_startup_s: float
    """Nine replicas in ten are ready sooner."""

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Whose answer has an objective."""
        return np.isfinite(self.target_s)

    def in_reach(self, horizon_s: float) -> NDArray[np.bool_]:
        """Whose answer can be in time, and is by the end where it is."""
        return self._due(horizon_s) & (self.work_s <= self.target_s)

    def doomed(self, horizon_s: float) -> int:
        """How many miss whatever is done."""
        return int((self._due(horizon_s) & (self.work_s > self.target_s)).sum())

    def _due(self, horizon_s: float) -> NDArray[np.bool_]:
        """Whose time is up by the end."""
        return self.arrival_s + self.target_s < horizon_s


def demands(scenario: Scenario, replication: int) -> list[Demand]:
    """Each pool's requests, in the order of the scenario's pools.

    Raises `ValueError` for a model whose requests meet more than one queue, first come, first served: other
    disciplines, balancers, one queue over versions, rooms and failures.
    """
    foreseeable(scenario)
    stream = Stream(scenario.seed, (f"replication {replication}",))
    blocks, _ = Workload(scenario, stream).until(scenario.horizon_s)
    traits = iter(scenario.pools.values())
    return [
        _demand(scenario, next(traits), model, place, blocks, stream)
        for model in scenario.models
        for place in range(len(model.versions))
    ]


def foreseeable(scenario: Scenario) -> None:
    """Raises `ValueError` as `demands` does."""
    for model in scenario.models:
        _check(model)


def _check(model: Model) -> None:
    if model.queue != "fcfs":
        name: str = model.queue if isinstance(model.queue, str) else model.queue.kind
        raise ValueError(f"model {model.name!r}: policy clairvoyant foresees queue fcfs only, got {name}")
    if model.balancer != "central":
        raise ValueError(
            f"model {model.name!r}: policy clairvoyant foresees balancer central only, got {model.balancer}"
        )
    if model.room is not None:
        raise ValueError(f"model {model.name!r}: policy clairvoyant foresees no room; leave it out")
    for version in model.versions:
        for name in ("room", "failures"):
            if getattr(version, name) is not None:
                raise ValueError(f"version {version.name!r}: policy clairvoyant foresees no {name}; leave it out")


def _demand(
    scenario: Scenario, pool: PoolTraits, model: Model, place: int, blocks: tuple[Arrivals, ...], stream: Stream
) -> Demand:
    parts = [
        _taken(block, _versions(c, model, block) == place, place, scenario.target_s(c))
        for c, block in zip(scenario.traffic, blocks, strict=True)
        if c.model == model.name
    ]
    columns = np.concatenate(parts, axis=1) if parts else np.empty((4, 0))
    arrival_s, work_s, target_s, patience_s = columns[:, np.argsort(columns[0], kind="stable")]
    version = model.versions[place]
    return Demand(
        pool=pool,
        initial=version.replicas.initial,
        arrival_s=arrival_s,
        work_s=work_s,
        target_s=target_s,
        patience_s=patience_s,
        startup_s=_startups(version, stream / "startup" / pool.name),
        least_startup_s=version.startup.quantile(1e-9),
        safe_startup_s=version.startup.quantile(0.9),
    )


def _startups(version: Version, stream: Stream) -> Floats:
    return np.concatenate([np.zeros(version.replicas.initial), version.startup.sampler(stream)(STARTUPS)])


def _taken(block: Arrivals, mine: NDArray[np.bool_], place: int, target_s: float) -> Floats:
    """Rows arrival, work, target and patience of those that are mine."""
    n = int(mine.sum())
    if n == 0:
        return np.empty((4, 0))
    patience_s = np.full(n, np.inf) if block.patience_s is None else block.patience_s[mine]
    return np.array([block.arrival_s[mine], block.work_s[place][mine], np.full(n, target_s), patience_s])


def _versions(request_class: RequestClass, model: Model, block: Arrivals) -> NDArray[np.int64]:
    """The place of the version that each request goes to; what a shift changes comes after who arrives with it."""
    if block.version is not None:
        return block.version
    if block.route is None:
        return np.zeros(len(block), dtype=np.int64)
    names = [version.name for version in model.versions]
    found = np.zeros(len(block), dtype=np.int64)
    changes = [(-1.0, model.weights(request_class.name))]
    shifts = sorted(getattr(model.routing, "shifts", ()), key=lambda s: s.at_s)
    changes += [(s.at_s, s.weights) for s in shifts if s.request_class in (None, request_class.name)]
    for at_s, weights in changes:
        first = int(np.searchsorted(block.arrival_s, at_s, side="right"))
        found[first:] = np.searchsorted(Table(names, weights).bounds, block.route[first:], side="right")
    return found
