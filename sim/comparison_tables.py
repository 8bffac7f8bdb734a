"""A comparison as tables: rows of cells for a terminal or a page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.comparison import Comparison
from sim.comparison_words import PLUS_MINUS, footing, plus_minus
from sim.intervals import Estimate
from sim.pieces import MEASURES, QUANTILES
from sim.text import UNKNOWN, duration, percent, seconds, value_and_interval

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


OF_REQUESTS = ("slo_attainment", *QUANTILES)


@dataclass(frozen=True, slots=True)
class Grid:
    """Columns, and policy -> a cell for each: the value, and its interval or an empty text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[str, str]]]]


def grids(comparison: Comparison) -> Iterator[Grid]:
    """The figures of each policy, the cheapest first; and what the others differ by from the reference."""
    slo = comparison.scenario.slo
    asked = f" (SLO: {percent(slo.quantile)} answered within {seconds(slo.response_s)})" if slo else ""
    shown = _shown(comparison)
    parts = [name for name in shown if name in OF_REQUESTS], [name for name in shown if name not in OF_REQUESTS]
    yield _figures(comparison, f"Response time of all requests{asked}", parts[0])
    grid = _figures(comparison, "Replicas; scale events and reversals for a pool and hour", parts[1])
    if comparison.clairvoyant is not None:
        gaps = [(name, [*cells, _gap(comparison, name)]) for name, cells in grid.rows]
        grid = Grid(grid.title, [*grid.columns, "gap to the clairvoyant"], gaps)
    yield grid
    for what, measures in zip(("response time", "replicas"), parts, strict=True):
        yield _differences(comparison, f"Differences from {comparison.reference}: {what}", measures)


def _figures(comparison: Comparison, title: str, shown: Sequence[str]) -> Grid:
    rows = [
        (name, [value_and_interval(comparison.figures[name][m], MEASURES[m].unit) for m in shown])
        for name in comparison.by_price
    ]
    return Grid(title, [MEASURES[m].title for m in shown], rows)


def _shown(comparison: Comparison) -> list[str]:
    """Without what is unknown, or costs nothing, under every policy."""
    idle = {
        name
        for name in ("slo_attainment", "cost_usd")
        if all(not found[name].value > 0 for found in comparison.figures.values())
    }
    return [name for name in MEASURES if name not in idle]


def _gap(comparison: Comparison, name: str) -> tuple[str, str]:
    if comparison.clairvoyant is None or name == comparison.clairvoyant:
        return UNKNOWN, ""
    return _signed(comparison.paired[name, comparison.clairvoyant][comparison.price].relative, "%")


def _differences(comparison: Comparison, title: str, shown: Sequence[str]) -> Grid:
    """Less the reference's; of the price also as a share of the reference's."""
    columns = [MEASURES[name].title for name in shown]
    rows = [
        (name, [_signed(comparison.paired[name, comparison.reference][m].absolute, MEASURES[m].unit) for m in shown])
        for name in comparison.by_price
        if name != comparison.reference
    ]
    # The difference of two shares is told in points, lest it be taken for a share of one of them.
    rows = [(n, [(v.replace("%", "points"), half.replace("%", "points")) for v, half in cells]) for n, cells in rows]
    if (price := comparison.price) in shown:
        columns.append(f"{MEASURES[price].title}, relative")
        shares = {name: comparison.paired[name, comparison.reference][price].relative for name, _ in rows}
        rows = [(name, [*cells, _signed(shares[name], "%")]) for name, cells in rows]
    return Grid(title, columns, rows)


def _signed(e: Estimate, unit: str) -> tuple[str, str]:
    """`+1.2 +- 0.3 s`, in two parts."""
    value, _, half = plus_minus(e, unit, sign="+").partition(f" {PLUS_MINUS} ")
    return value, half and f"{PLUS_MINUS} {half}"


def _table(grid: Grid) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=grid.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in grid.columns:
        table.add_column(column, justify="right")
    for name, cells in grid.rows:
        table.add_row(name, *("\n".join(part for part in cell if part) for cell in cells))
    return table


def tables(comparison: Comparison) -> "Iterator[RenderableType]":
    """What was compared, the figures, the differences, the verdicts, and what to beware of; for a terminal."""
    from rich.text import Text

    scenario = comparison.scenario
    part = " (broken off)" if comparison.partial else ""
    many = f"{comparison.replications} x " if comparison.replications > 1 else ""
    course = f"{many}{duration(scenario.horizon_s)}{part}, seed {scenario.seed}"
    yield Text(f"{scenario.name}: {len(comparison.policies)} policies, {course}", "bold")
    for grid in grids(comparison):
        yield _table(grid)
    yield Text("Verdict", "bold")
    for words in comparison.verdicts:
        yield Text(f"  {words}.")
    yield Text("")
    for words in footing(comparison):
        yield Text(words, "dim")
    for words in comparison.notes:
        yield Text(f"Beware: {words}.", "yellow")
