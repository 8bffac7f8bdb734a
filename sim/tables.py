"""A result as tables for a terminal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sim.measures import Estimate
from sim.result import Result
from sim.summary import Group
from sim.text import duration, estimate, number, percent, seconds, value_and_interval

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

NARROWEST = 132
"""Columns; where output is no terminal, or a narrower one, lines run on rather than break inside figures."""


def console() -> "Console":
    """Standard output, wide enough for a table."""
    from rich.console import Console

    out = Console(highlight=False, soft_wrap=False)
    return out if out.width >= NARROWEST else Console(highlight=False, width=NARROWEST)


def tables(result: Result) -> "Iterator[RenderableType]":
    """What was simulated, the figures by group, what theory and others say of them, and what to beware of."""
    from rich.text import Text

    scenario = result.scenario
    part = " (broken off)" if result.partial else ""
    yield Text(
        f"{scenario.name}: {duration(result.end_s)}{part}, seed {scenario.seed}, policy {scenario.policy.kind}", "bold"
    )
    yield _requests(result)
    yield _times(result)
    yield _resources(result)
    if result.verdicts:
        yield _verdicts(result)
    cut = f"; the first {result.warmup_s:,.0f} s are left out as warm-up" if result.warmup_s else ""
    yield Text(f"[ ] are 95 % intervals, from {result.interval}{cut}.", "dim")
    if result.requests_share is not None and result.requests_share < 1:
        share = percent(result.requests_share)
        yield Text(f"Of {share} of the requests, chosen by class and number, there are records.", "dim")
    for note in result.figures.notes:
        yield Text(f"Beware: {note}.", "yellow")


def _groups(result: Result) -> list[tuple[str, Group]]:
    """Label and group of each row; groups that are the same as the overall one are left out."""
    found = list(result.figures.groups())
    several = {kind: sum(k == kind for k, _, _ in found) > 1 for kind, _, _ in found}
    return [(name or "all", group) for kind, name, group in found if kind == "overall" or several[kind]]


def _table(title: str, *columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _requests(result: Result) -> "Table":
    table = _table(
        "Requests", "arrived", "completed", "rejected", "abandoned", "failed", "waiting at the end", "SLO met"
    )
    for label, group in _groups(result):
        r = group.requests
        counts = (r.arrived, r.completed, r.rejected, r.abandoned, r.failed, r.waiting)
        attained = "-" if group.slo_attainment is None else estimate(group.slo_attainment, "%")
        table.add_row(label, *map(number, counts), attained)
    return table


def _times(result: Result) -> "Table":
    slo = result.scenario.slo
    title = "Time" if slo is None else f"Time (SLO: {percent(slo.quantile)} answered within {seconds(slo.response_s)})"
    table = _table(title, "mean wait", "mean response", "p50", "p95", "p99")
    for label, group in _groups(result):
        quantiles = (group.response_s[name] for name in ("p50", "p95", "p99"))
        table.add_row(label, *(_two_lines(e) for e in (group.wait_s["mean"], group.response_s["mean"], *quantiles)))
    return table


def _two_lines(e: Estimate) -> str:
    """The value above its interval: on one line five of them would not fit."""
    return "\n".join(part for part in value_and_interval(e, "s") if part)


def _resources(result: Result) -> "Table":
    table = _table("Replicas", "utilization", "replica-hours", "cost in USD", "scale events")
    for label, group in _groups(result):
        usage = (number(group.replica_hours), f"{group.cost:,.2f}", number(group.scale_events))
        table.add_row(label, percent(group.utilization), *usage)
    return table


def _verdicts(result: Result) -> "Table":
    table = _table("What theory and others say", "of the", "says", "simulated", "")
    for verdict in result.verdicts:
        table.add_row(
            verdict.source, verdict.measure, seconds(verdict.says_s), estimate(verdict.simulated, "s"), verdict.words
        )
    return table
