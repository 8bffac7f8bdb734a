"""Simulate a scenario: its replications, as long as asked for, and what they measured."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np

from sim.cluster import Keep
from sim.jobs import Stopped, Told, each, interruptible
from sim.loghistogram import LogHistogram
from sim.measures import Estimate, mser
from sim.records import Folder, Recorder, Stored, Wanted, joined
from sim.result import Result, finished
from sim.scenario import Scenario
from sim.summary import Run, Summarizer
from sim.windows import Scopes, Windows
from sim.world import Engine, World

Progress = Callable[[float, float, str], None]
"""Called now and then with the share of the work that is done, the seconds simulated so far, and a few words."""

STEPS = 4
"""In each window come so many moments where progress is told and a run may be broken off."""
LONGEST = 1000.0
"""A run is lengthened for the sake of precision up to so many horizons, or replications."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while a scenario was simulated; `result` measures what had been simulated until then."""

    def __init__(self, result: Result) -> None:
        super().__init__(f"broken off after {result.simulated_s:,.0f} s of simulated time")
        self.result = result


def simulate(
    scenario: Scenario,
    *,
    seed: int | None = None,
    replications: int | None = None,
    precision: float | None = None,
    keep_requests: bool | float = False,
    jobs: int = 1,
    engine: Engine = "plane",
    beside: Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Run a scenario and measure it.

    `seed` and `replications` take the place of the scenario's own. With `precision` (0.01 is 1 %) a stationary
    scenario runs on, and another is repeated, until the half-width of the 95 % interval of the mean response is at
    most this share of it. `jobs` is how many processes the replications may take; the result is the same.

    `keep_requests` keeps a record of each request, or of this share of them (0.01 is 1 %), chosen by class and number
    and so the same under every policy. They are written to a hidden temporary folder, beside the path `beside` where
    that is given, which is there as long as the result.

    Ctrl-C, or the stop button of a notebook, ends the run soon and raises `Interrupted`, a `KeyboardInterrupt` whose
    `result` measures what was simulated by then; a second Ctrl-C breaks off at once. Raises `ValueError` for a
    precision or share that is none, fewer jobs than one, or an engine that there is not.
    """
    if precision is not None and not 0 < precision < 1:
        raise ValueError(f"precision {precision} is not a share between 0 and 1; 0.01 is 1 %")
    if not 0 <= keep_requests <= 1:
        raise ValueError(f"keep_requests {keep_requests} is not a share of all requests; 0.01 is 1 %, True is all")
    if jobs < 1:
        raise ValueError(f"jobs {jobs} is no number of processes; give 1 or more")
    if engine not in get_args(Engine):
        raise ValueError(f"engine {engine!r} is unknown; engines are {', '.join(get_args(Engine))}")
    scenario = replace(
        scenario,
        seed=scenario.seed if seed is None else seed,
        replications=scenario.replications if replications is None else replications,
    )
    folder = Folder(beside) if keep_requests else None
    wanted = Wanted(float(keep_requests), folder.path) if folder else None
    with interruptible() as stopped:
        order = _Order(scenario, engine, wanted, jobs, stopped, progress or (lambda *_: None))
        done = _done(order, precision)
        if stopped() and not done.runs:
            raise KeyboardInterrupt
        records = Stored(joined(wanted, list(done.runs)), folder) if wanted else None
        result = _measured(scenario, done, records, wanted)
        if stopped():
            raise Interrupted(result)
    return result


@dataclass(frozen=True)
class _Order:
    """What is to be simulated, and how."""

    scenario: Scenario
    engine: Engine
    wanted: Wanted | None
    jobs: int
    stopped: Stopped
    progress: Progress

    def task(self, replication: int) -> "_Task":
        return _Task(self.scenario, replication, self.engine, self.wanted)


@dataclass(frozen=True)
class _Task:
    """One replication."""

    scenario: Scenario
    replication: int
    engine: Engine
    wanted: Wanted | None


@dataclass(frozen=True)
class _Done:
    """Number -> replication; where they are less than was asked for, `partial` says how much there is."""

    runs: dict[int, Run]
    partial: str | None = None


class _Replication:
    """One run that may go on; it is harvested at each boundary of its windows."""

    def __init__(self, task: _Task) -> None:
        scenario, number = task.scenario, task.replication
        self._recorder = Recorder(task.wanted, scenario, number) if task.wanted else None
        keep = self._recorder.keep if self._recorder else Keep(0.0, lambda _: None)
        self._world = World(scenario, number, engine=task.engine, keep=keep)
        split_s = 0.0 if scenario.warmup_s == "auto" else scenario.warmup_s
        self.windows = Windows(scenario.horizon_s, Scopes(scenario).masks, split_s)

    def advance(self, to_s: float, stopped: Stopped, told: Told) -> None:
        """Simulate up to `to_s`, a boundary, or until it is stopped, but a step at least."""
        while self._world.env.now < to_s:
            start_s, end_s = self._world.env.now, self.windows.next_s()
            for step in range(1, STEPS + 1):
                self._world.run_through(end_s if step == STEPS else start_s + (end_s - start_s) * step / STEPS)
                told(self._world.env.now)
                if stopped():
                    break
            self.windows.take(self._world.cluster.harvest(), self._world.env.now)
            if stopped():
                break

    def run(self) -> Run:
        """What has happened so far."""
        return Run(
            windows=self.windows.found,
            service=self.windows.service,
            service_s=self.windows.service_s,
            present=self._world.cluster.present(),
            rows=self._world.rows(),
            decisions=self._world.history.decisions,
            end_s=self._world.env.now,
        )

    def close(self) -> Run:
        run = self.run()
        if self._recorder:
            self._recorder.close(run.present)
        return run


def _replicate(task: _Task, stopped: Stopped, told: Told) -> Run:
    replication = _Replication(task)
    replication.advance(task.scenario.horizon_s, stopped, told)
    return replication.close()


def _done(order: _Order, precision: float | None) -> _Done:
    if precision is None or not order.scenario.stationary or order.scenario.replications > 1:
        return _repeated(order, precision)
    return _extended(order, precision)


def _repeated(order: _Order, precision: float | None) -> _Done:
    """The scenario's replications; with a precision, at least five and as many as it takes."""
    scenario = order.scenario
    runs: list[Run] = []
    wanted = scenario.replications if precision is None else max(5, scenario.replications)
    while len(runs) < wanted and not order.stopped():
        tasks = [order.task(number) for number in range(len(runs), wanted)]
        runs += each(_replicate, tasks, order.jobs, order.stopped, _summed(order, len(runs), wanted))
        if precision is not None and len(runs) == wanted and not order.stopped():
            mean = _mean_response(scenario, runs)
            wanted = min(math.ceil(wanted * _lacking(mean, precision) - 1e-3), int(LONGEST))
    return _whole(dict(enumerate(runs)), scenario, wanted)


def _summed(order: _Order, before: int, of: int) -> Callable[[Sequence[float]], None]:
    """Tells of the progress of several replications as of one."""
    horizon_s = order.scenario.horizon_s

    def told(come: Sequence[float]) -> None:
        simulated_s = before * horizon_s + sum(come)
        ended = before + sum(far >= horizon_s for far in come)
        words = f"{ended} of {of} replications" if of > 1 else ""
        order.progress(simulated_s / (of * horizon_s), simulated_s, words)

    return told


def _whole(runs: dict[int, Run], scenario: Scenario, wanted: int) -> _Done:
    """The replications that came to their end; where none did, what there is of one."""
    ended = {number: run for number, run in runs.items() if run.end_s >= scenario.horizon_s}
    if len(ended) == wanted:
        return _Done(ended)
    if ended:
        return _Done(ended, f"{len(ended)} of {wanted} replications")
    longest = max(runs, key=lambda number: runs[number].end_s, default=None)
    if longest is None:
        return _Done({})
    run = runs[longest]
    return _Done({longest: run}, f"{run.end_s:,.0f} of {scenario.horizon_s:,.0f} s")


def _extended(order: _Order, precision: float) -> _Done:
    """One run, lengthened until the mean response is as precise as asked."""
    replication = _Replication(order.task(0))
    horizon_s = end_s = order.scenario.horizon_s
    while True:
        replication.advance(end_s, order.stopped, _lengthened(order, end_s))
        longer = _lacking(_mean_response(order.scenario, [replication.run()]), precision)
        if longer == 1 or order.stopped() or end_s >= LONGEST * horizon_s:
            break
        end_s = replication.windows.boundary_s(min(end_s * longer, LONGEST * horizon_s))
    run = replication.close()
    if order.stopped() and longer > 1:
        return _Done({0: run}, f"{run.end_s:,.0f} s, not yet as precise as asked")
    return _Done({0: run})


def _lengthened(order: _Order, end_s: float) -> Told:
    longer = end_s / order.scenario.horizon_s
    words = f"{longer:.2g} times as long" if longer > 1 else ""
    return lambda now_s: order.progress(now_s / end_s, now_s, words)


def _lacking(mean: Estimate, precision: float) -> float:
    """By what factor there is too little data for this precision; 1 where there is enough."""
    if mean.relative <= precision:
        return 1.0
    # The interval narrows with the square root of the data; a bit more saves a round.
    return float(np.clip(1.1 * (mean.relative / precision) ** 2, 1.25, 8.0)) if np.isfinite(mean.relative) else 2.0


def _measured(scenario: Scenario, done: _Done, records: Stored | None, wanted: Wanted | None) -> Result:
    runs = list(done.runs.values())
    share = wanted.share if wanted else None
    return finished(scenario, runs, _warmup_s(scenario, runs), done.partial, records, share)


def _mean_response(scenario: Scenario, runs: Sequence[Run]) -> Estimate:
    return Summarizer(scenario, runs, _warmup_s(scenario, runs)).mean_response()


def _warmup_s(scenario: Scenario, runs: Sequence[Run]) -> float:
    """When the warm-up ends: as the scenario says, or before the first window that MSER keeps, of all replications."""
    if scenario.warmup_s != "auto":
        return scenario.warmup_s if scenario.warmup_s < runs[0].end_s else 0.0
    if not scenario.stationary:
        return 0.0
    same = zip(*(run.windows for run in runs), strict=True)
    responses = [LogHistogram.merged(window.response[0] for window in windows) for windows in same]
    cut = mser([r.total_s / r.count if r.count else math.nan for r in responses])
    return runs[0].windows[cut].start_s
