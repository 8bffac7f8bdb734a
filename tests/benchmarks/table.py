"""The findings as a table for people and as one object for programs."""

import os
import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import psutil
from cases import DENSE, SPARSE
from findings import Finding
from measuring import Bench
from timing import Spread

if TYPE_CHECKING:
    from rich.table import Table

LEGEND = (
    f"x: ratio of requests a CPU second, medians of contenders in turn. dense: {DENSE:,} requests a tick and pool; "
    f"sparse: {SPARSE}.\nplane: the request plane under SimPy ticks that read every pool's counters; "
    "whole product: sim.simulate with scrapes, policy, history and summary."
)
COLOURS = {
    "broken": "bold red",
    "wrong": "bold red",
    "misses floor": "red",
    "not measured": "dim",
    "keeps floor": "yellow",
}


def table(bench: Bench, here: Mapping[str, Any], findings: Sequence[Finding]) -> "Table":
    """A line for each row: median, range, floor, aims, verdict, and the rates behind it."""
    from rich import box
    from rich.table import Table

    title = "poolwright's {} engine; {cores} cores, {busy_percent:.0f} % busy before; Python {python}"
    drawn = Table(title=title.format(bench.engine, **here), caption=LEGEND, box=box.SIMPLE_HEAD, pad_edge=False)
    drawn.title_justify = drawn.caption_justify = "left"
    drawn.add_column("")
    drawn.add_column("", no_wrap=True)
    for column in ("measured", "lowest to highest", "floor", "aim"):
        drawn.add_column(column, justify="right", no_wrap=True)
    drawn.add_column("verdict", no_wrap=True)
    drawn.add_column("")
    for finding in findings:
        drawn.add_row(*_cells(finding))
    return drawn


def _cells(finding: Finding) -> tuple[str, ...]:
    row, figure = finding.row, finding.figure
    measured, between, note = "", "", finding.absent
    if figure is not None:
        spread = figure.spread
        measured, note = f"{_number(spread.median)} {row.unit}", figure.wrong or figure.note
        between = f"{_number(spread.low)} to {_number(spread.high)}" if spread.low < spread.high else "once"
    aims = ", ".join(f"{aim:,g}" for aim in row.aims)
    colour = COLOURS.get(finding.verdict, "green")
    verdict = f"[{colour}]{finding.verdict}[/]"
    return f"{row.number}", row.what, measured, between, f"{row.floor:,g}", aims, verdict, note


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def plain(bench: Bench, here: Mapping[str, Any], findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings, and the rates of every contender that ran."""
    return {
        "engine": bench.engine,
        "machine": dict(here),
        "rows": [finding.plain() for finding in findings],
        "requests_per_cpu_s": {
            group: {name: _spread([run.rate_per_s for run in runs]) for name, runs in raced.items()}
            for group, raced in bench.runs.items()
        },
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    found = Spread.of(values)
    return {"median": found.median, "low": found.low, "high": found.high}


def machine() -> dict[str, Any]:
    """Where this runs, and how busy it is with other things at the moment."""
    return {
        "system": platform.system(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "busy_percent": psutil.cpu_percent(interval=1.0),
        "python": platform.python_version(),
    }
