"""Simulate a scenario: its replications, as long as asked for, and what they measured."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sim.cluster import Outcome
from sim.measures import Estimate, Sample, warmup_s
from sim.result import Result, finished
from sim.scenario import Scenario
from sim.summary import Run
from sim.world import World

Progress = Callable[[float, str], None]
"""Called now and then with the share of the work that is done and a few words."""

STEPS = 100
LONGEST = 1000.0
"""A run is lengthened for the sake of precision up to so many horizons, or replications."""


def simulate(
    scenario: Scenario,
    *,
    seed: int | None = None,
    replications: int | None = None,
    precision: float | None = None,
    keep_requests: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Run a scenario and measure it.

    `seed` and `replications` take the place of the scenario's own. With `precision` (0.01 is 1 %) a stationary
    scenario runs on, and another is repeated, until the half-width of the 95 % interval of the mean response is at
    most this share of it. `keep_requests` keeps a row for each request in the result.
    """
    scenario = replace(
        scenario,
        seed=scenario.seed if seed is None else seed,
        replications=scenario.replications if replications is None else replications,
    )
    runs, from_s = replicated(scenario, precision, progress)
    return finished(scenario, runs, from_s, keep_requests)


def replicated(
    scenario: Scenario, precision: float | None = None, progress: Progress | None = None
) -> tuple[list[Run], float]:
    """The scenario's replications, whole, and the time from which they are to be measured.

    Raises `ValueError` for a precision that is no share.
    """
    if precision is not None and not 0 < precision < 1:
        raise ValueError(f"precision {precision} is not a share between 0 and 1; 0.01 is 1 %")
    told = progress or (lambda _share, _words: None)
    if precision is None or not _extensible(scenario):
        runs = _repeated(scenario, precision, told)
    else:
        runs = [_extended(scenario, precision, told)]
    return runs, _warmup_s(scenario, runs)


def _extensible(scenario: Scenario) -> bool:
    return scenario.stationary and scenario.replications == 1


def _repeated(scenario: Scenario, precision: float | None, told: Progress) -> list[Run]:
    """The scenario's replications; with a precision, at least five and as many as it takes."""
    runs: list[Run] = []
    wanted = scenario.replications if precision is None else max(5, scenario.replications)
    while len(runs) < wanted:
        runs.append(_replication(scenario, len(runs), wanted, told))
        if precision is not None and len(runs) == wanted:
            wanted = min(int(wanted * _lacking(_mean_response(scenario, runs), precision) + 0.999), int(LONGEST))
    return runs


def _replication(scenario: Scenario, number: int, of: int, told: Progress) -> Run:
    world = World(scenario, number)
    for step in range(1, STEPS + 1):
        world.run_through(scenario.horizon_s * step / STEPS)
        told((number + step / STEPS) / of, f"replication {number + 1} of {of}" if of > 1 else "simulating")
    return _run(world)


def _extended(scenario: Scenario, precision: float, told: Progress) -> Run:
    """One run, lengthened until the mean response is as precise as asked."""
    world = World(scenario)
    end_s = scenario.horizon_s
    while True:
        start_s = world.env.now
        for step in range(1, STEPS + 1):
            world.run_through(start_s + (end_s - start_s) * step / STEPS)
            told(world.env.now / end_s, f"to {end_s:,.0f} s")
        longer = _lacking(_mean_response(scenario, [_run(world)]), precision)
        if longer == 1 or end_s >= LONGEST * scenario.horizon_s:
            return _run(world)
        end_s = min(end_s * longer, LONGEST * scenario.horizon_s)


def _lacking(mean: Estimate, precision: float) -> float:
    """By what factor there is too little data for this precision; 1 where there is enough."""
    if mean.relative <= precision:
        return 1.0
    # The interval narrows with the square root of the data; a bit more saves a round.
    return float(np.clip(1.1 * (mean.relative / precision) ** 2, 1.25, 8.0)) if np.isfinite(mean.relative) else 2.0


def _run(world: World) -> Run:
    return Run(world.requests(), world.rows(), world.history.decisions, world.env.now)


def _responses(run: Run) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    completed = run.requests.outcome == Outcome.COMPLETED
    arrival_s = run.requests.arrival_s[completed]
    return arrival_s, run.requests.leave_s[completed] - arrival_s


def _mean_response(scenario: Scenario, runs: Sequence[Run]) -> Estimate:
    cut_s = _warmup_s(scenario, runs)
    return Sample.of([_responses(run) for run in runs], cut_s, float(np.nextafter(runs[0].end_s, np.inf))).mean()


def _warmup_s(scenario: Scenario, runs: Sequence[Run]) -> float:
    if scenario.warmup_s != "auto":
        return scenario.warmup_s
    return warmup_s([_responses(run) for run in runs]) if scenario.stationary else 0.0
