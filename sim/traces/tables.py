"""The description of a trace as tables for people."""

from collections.abc import Iterable, Iterator

from rich.box import SIMPLE_HEAD
from rich.table import Table

from sim.text import duration
from sim.traces.description import Description, Group, Spread

MOST_GROUPS = 15


def tables(description: Description) -> list[Table]:
    """The description for people."""
    found = (
        _summary(description),
        _dispersion(description),
        _spreads(description),
        _groups("versions", description.versions),
        _groups("request classes", description.classes),
        _findings(description),
    )
    return [table for table in found if table.row_count]


def rate(per_s: float) -> str:
    """Per second, minute or hour: the shortest in which there is one."""
    for unit, length_s in (("s", 1.0), ("min", 60.0)):
        if per_s * length_s >= 1:
            return f"{per_s * length_s:.3g}/{unit}"
    return f"{per_s * 3600:.3g}/h"


def _figure(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.{digits}g}"


def _table(title: str, left: Iterable[str], right: Iterable[str] = ()) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _summary(description: Description) -> Table:
    table = _table(description.name, ("", ""))
    table.show_header = False
    for name, value in _facts(description):
        if value is not None:
            table.add_row(name, value)
    return table


def _facts(it: Description) -> Iterator[tuple[str, str | None]]:
    yield "format", it.format
    yield "start", it.start
    yield "span", f"{duration(it.span_s)} ({it.span_s:,.0f} s)"
    yield "requests", f"{it.requests:,}"
    yield "did not succeed", None if it.failed is None else f"{it.failed:,}"
    yield "counted each", None if it.interval_s is None else duration(it.interval_s)
    yield "clock step", None if it.clock_step_s is None else f"{it.clock_step_s:.3g} s"
    yield "mean rate", None if it.rate_per_s is None else rate(it.rate_per_s)
    yield "rate of the fullest minute", _over_mean(it.peak_minute_rate_per_s, it.rate_per_s)
    yield "rate of the fullest hour", _over_mean(it.peak_hour_rate_per_s, it.rate_per_s)
    yield "SCV of interarrival times", None if it.interarrival_scv is None else _figure(it.interarrival_scv)
    yield "offered load (replicas busy on average)", None if it.offered_load is None else _figure(it.offered_load)
    yield "most busy at once had none waited", None if it.peak_busy is None else f"{it.peak_busy:,}"


def _over_mean(peak_per_s: float | None, mean_per_s: float | None) -> str | None:
    if peak_per_s is None or not mean_per_s:
        return None
    return f"{rate(peak_per_s)}, {peak_per_s / mean_per_s:.3g} times the mean"


def _dispersion(description: Description) -> Table:
    table = _table("index of dispersion of counts (1 if Poisson)", (), ("window", "windows", "index"))
    for entry in description.dispersion:
        table.add_row(duration(entry.scale_s), f"{entry.windows:,}", _figure(entry.index))
    return table


def _spreads(description: Description) -> Table:
    table = _table("distributions", ("",), ("known", "mean", "SCV", "min", "p50", "p90", "p95", "p99", "max"))
    rows = {
        "service time (s)": description.service,
        "patience (s)": description.patience,
        "context tokens": description.context_tokens,
        "generated tokens": description.generated_tokens,
        "requests an interval": description.count,
    }
    for name, spread in rows.items():
        if spread is not None:
            table.add_row(name, *_spread_cells(spread))
    return table


def _spread_cells(it: Spread) -> list[str]:
    values = (it.mean, it.scv, it.minimum, it.p50, it.p90, it.p95, it.p99, it.maximum)
    return [f"{it.known:,}", *(_figure(value) for value in values)]


def _groups(title: str, groups: "tuple[Group, ...]") -> Table:
    right = ("requests", "share", "failed", "mean s", "SCV", "p95 s", "load", "peak busy", "first", "last")
    table = _table(title, ("",), right)
    for group in groups[:MOST_GROUPS]:
        table.add_row(group.name or "(unknown)", *_group_cells(group))
    rest = groups[MOST_GROUPS:]
    if rest:
        requests, share = sum(group.requests for group in rest), sum(group.share for group in rest)
        table.add_row(f"{len(rest)} others", f"{requests:,}", f"{share:.1%}")
    return table


def _group_cells(it: Group) -> list[str]:
    service = it.service
    moments = (service.mean, service.scv, service.p95) if service is not None else (None, None, None)
    figures = (*moments, it.offered_load, it.peak_busy)
    seen = (duration(it.first_s), duration(it.last_s))
    return [f"{it.requests:,}", f"{it.share:.1%}", f"{it.failed:,}", *(_figure(value) for value in figures), *seen]


def _findings(description: Description) -> Table:
    table = _table("findings", ("name",), ("value",))
    table.add_column("meaning", overflow="fold")
    for finding in description.findings:
        table.add_row(
            finding.name, f"{finding.value:,.6g}" if finding.value % 1 else f"{finding.value:,.0f}", finding.text
        )
    return table
