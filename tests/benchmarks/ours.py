"""Poolwright's side of every comparison; the one module here that knows how an engine is told and read."""

import json
from collections.abc import Generator, Mapping
from itertools import count
from time import process_time
from typing import Any, get_args

import numpy as np
from cases import Case
from numpy.typing import NDArray
from simpy.events import Event
from timing import NotHereError, Run

import sim
from policies import specfile
from policies.faults import InputError, SpecError
from sim.cluster import Counter, Keep
from sim.environment import Phase
from sim.loghistogram import TICKS_PER_S
from sim.scenario import Scenario
from sim.world import Engine, World

ENGINES: tuple[Engine, ...] = get_args(Engine)
NOTHING_KEPT = Keep(0.0, lambda _: None)


def scenario_of(described: Mapping[str, Any]) -> Scenario:
    """Raises `NotHereError` for what this version's scenarios cannot say."""
    try:
        return specfile.parse(Scenario, json.dumps(described), "scenario")
    except SpecError as fault:
        raise NotHereError(str(fault).splitlines()[0]) from fault


def under_ticks(case: Case, requests: int, per_tick: int, engine: Engine) -> Run:
    """The request plane alone: at each tick a SimPy process reads the counters of every pool."""
    horizon_s = case.horizon_s(requests)
    return of_scenario(case.scenario(horizon_s, quiet_s(horizon_s)), case.tick_s(per_tick), engine)


def whole(case: Case, requests: int, per_tick: int, engine: Engine) -> Run:
    """`sim.simulate`: scrapes, observations, the policy, the history and the summary too."""
    scenario = scenario_of(case.scenario(case.horizon_s(requests), case.tick_s(per_tick)))
    began_s = process_time()
    figures = sim.simulate(scenario, engine=engine).figures.overall
    return Run(int(figures.requests.completed), process_time() - began_s, figures.response_s["mean"].value)


def of_scenario(described: Mapping[str, Any], tick_s: float, engine: Engine) -> Run:
    """The request plane alone, of any scenario; the time is that of running it, not of setting it up."""
    scenario = scenario_of(described)
    world = _ticking(scenario, tick_s, engine)
    began_s = process_time()
    world.run_through(scenario.horizon_s)
    cpu_s = process_time() - began_s
    totals = _counters(world).sum(axis=(0, 1))
    completed = int(totals[Counter.COMPLETED])
    return Run(completed, cpu_s, int(totals[Counter.RESPONSE]) / TICKS_PER_S / completed)


def counters_under_ticks(scenario: Scenario, tick_s: float, engine: Engine) -> NDArray[np.int64]:
    """The last reading: pools, then request classes, then columns as `sim.cluster.Counter` tells."""
    world = _ticking(scenario, tick_s, engine)
    world.run_through(scenario.horizon_s)
    return _counters(world)


def quiet_s(horizon_s: float) -> float:
    """A tick so long that the product's own control loop turns but once."""
    return 2 * horizon_s


def _ticking(scenario: Scenario, tick_s: float, engine: Engine) -> World:
    """Raises `NotHereError` for what this engine cannot simulate."""
    try:
        world = World(scenario, engine=engine, keep=NOTHING_KEPT)
    except InputError as fault:
        raise NotHereError(str(fault)) from fault
    world.env.process(_reading(world, tick_s))
    return world


def _reading(world: World, tick_s: float) -> Generator[Event, None, None]:
    pools, look = range(len(world.pools)), world.cluster.look
    for k in count(1):
        yield world.env.at(k * tick_s, Phase.TICK)
        for number in pools:
            look(number)


def _counters(world: World) -> NDArray[np.int64]:
    return np.array([world.cluster.look(number) for number in range(len(world.pools))])
