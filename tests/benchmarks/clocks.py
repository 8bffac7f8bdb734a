"""What is measured by the clock: a long day, the start of the command, two replications on two cores."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import day
import psutil
from cases import DENSE, Case
from findings import Figure
from measuring import Bench, short
from ours import under_ticks
from timing import NotHereError, Process, Spread, fresh, size

from sim.world import Engine

CASE = Case(servers=10)
TINY = 1_000
"""Requests of a scenario that is simulated in no time."""
REPLICATION_S = 8.0
"""How long each of two replications takes, so that the start of processes matters little."""
ROUNDS = 2
BUSY_PERCENT = 20
"""So busy with other things, two cores cannot show what two jobs gain."""


def day_s(bench: Bench) -> Figure:
    """CPU time of `sim.simulate`, in one run."""
    found = _day(bench.engine)
    cpu_s = found["cpu_s"] * day.REQUESTS / found["arrived"]
    reckoned = "" if _is_whole(found) else f"; reckoned from {short(found['arrived'])} requests"
    servers = "{} to {}".format(*found["servers"])
    return Figure(Spread.of([cpu_s]), f"{servers} servers{reckoned}", _implausible(found))


def day_mb(bench: Bench) -> Figure:
    """The most memory of that process."""
    found = _day(bench.engine)
    return Figure(Spread.of([found["peak_rss_bytes"] / 1e6]), f"after {short(found['arrived'])} requests")


@cache
def _day(engine: Engine) -> dict[str, Any]:
    """A day; of a slow engine its first minute."""
    horizon_s = 60.0 if engine == "reference" else day.DAY_S
    return dict(fresh([day.__file__, engine, str(horizon_s)]).json())


def _is_whole(found: Mapping[str, Any]) -> bool:
    return bool(found["horizon_s"] == day.DAY_S)


def _implausible(found: Mapping[str, Any]) -> str:
    """What is wrong with a day that is not as many requests, nearly all of them served in their time; else empty."""
    arrived, served = found["arrived"], found["completed"] / found["arrived"]
    if _is_whole(found) and abs(arrived - day.REQUESTS) > 5 * sqrt(day.REQUESTS):
        return f"{arrived:,.0f} requests came, not {day.REQUESTS:,.0f}"
    if not (served > 0.98 and 0.98 < found["response_s"] / day.SERVICE_S < 2):
        return f"{served:.1%} served, in {found['response_s']:.4g} s; a service takes {day.SERVICE_S:g} s"
    return ""


def start_s(bench: Bench) -> Figure:
    """From the command to its first result, in a process of its own, everything compiled and cached."""
    with _written(CASE.scenario(CASE.horizon_s(TINY), 60.0)) as file:
        _command(file, bench.engine)
        done = [_command(file, bench.engine) for _ in range(bench.repetitions)]
    cpu_s = Spread.of([process.cpu_s for process in done]).median
    return Figure(Spread.of([process.wall_s for process in done]), f"wall clock; {cpu_s:.2f} s of CPU time")


def two_cores(bench: Bench) -> Figure:
    """Two replications one after the other over both at a time, without the start of the command."""
    cores = os.cpu_count() or 1
    if cores < 2:
        raise NotHereError("one core only")
    if (busy := psutil.cpu_percent(interval=2.0)) > BUSY_PERCENT:
        raise NotHereError(f"other programs keep the cores {busy:.0f} % busy; two jobs need both")
    start = start_s(bench).spread.median
    with _written(_long(bench.engine)) as file:
        rounds = [[_command(file, bench.engine, "--jobs", n).wall_s - start for n in "12"] for _ in range(ROUNDS)]
    note = f"{rounds[0][0]:.1f} s to {rounds[0][1]:.1f} s wall clock, {cores} cores"
    return Figure(Spread.of([one / two for one, two in rounds]), note)


def _long(engine: Engine) -> dict[str, Any]:
    """Two replications of about `REPLICATION_S`, as the plane's speed just now tells."""
    sample_s = REPLICATION_S / 20
    requests = size(partial(under_ticks, CASE, per_tick=DENSE, engine=engine), sample_s)
    horizon_s = CASE.horizon_s(requests * REPLICATION_S / sample_s)
    return CASE.scenario(horizon_s, CASE.tick_s(DENSE)) | {"replications": 2}


def _command(file: Path, engine: Engine, *options: str) -> Process:
    done = fresh(["-m", "sim.cli", "run", str(file), "--json", "--engine", engine, *options])
    done.json()
    return done


@contextmanager
def _written(scenario: Mapping[str, Any]) -> Iterator[Path]:
    """The scenario in a file, as long as this lasts; JSON is YAML."""
    with TemporaryDirectory(prefix="poolwright-") as folder:
        file = Path(folder) / "scenario.yaml"
        file.write_text(json.dumps(scenario))
        yield file
