"""The report of a finished run: one HTML file that needs nothing else."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policies import specfile
from policies.spec import plain
from sim.files import write_whole
from sim.intervals import Estimate
from sim.measures import BATCHES
from sim.report.conclusions import Conclusion, attained, conclusion, deadlines, policy_words
from sim.result import Result
from sim.summary import Counts, Group
from sim.text import NEVER, clock, duration, number, percent, seconds, usd, value_and_interval

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_DECISIONS = 200
"""Of one pool; with very many pools, fewer."""
MOST_ROWS = 2000
LONGEST_LIST = 20
KINDS = {"model": "by model", "version": "by version", "class": "by request class"}


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    interval: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of a table under a heading of their own; label -> cells."""

    title: str
    rows: Mapping[str, Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Table:
    caption: str
    columns: Sequence[str]
    sections: Sequence[Section]

    @property
    def has_intervals(self) -> list[bool]:
        """Whether any cell of a column has an interval, for each column."""
        return [any(cell.interval for cell in cells) for cells in zip(*self._rows(), strict=True)]

    @property
    def has_never(self) -> bool:
        return any(NEVER in cell.text + cell.interval for row in self._rows() for cell in row)

    def _rows(self) -> list[Sequence[Cell]]:
        return [row for section in self.sections for row in section.rows.values()]


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure to be seen first."""

    label: str
    value: str
    details: Sequence[str] = ()
    state: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    name: str
    source: str
    alternative: str
    caption: str


@dataclass(frozen=True, slots=True)
class Decided:
    """What a policy said of one pool: the decisions that changed something, the first of them in rows."""

    pool: str
    spoken: int
    limited: int
    grown: int
    shrunk: int
    rows: Sequence[Mapping[str, str]]

    @property
    def changed(self) -> int:
        return self.grown + self.shrunk


def write_report(result: Result, path: str | Path) -> Path:
    """Write the report, whole or not at all; the same result gives the same bytes."""
    page = environment().get_template("report.html.j2").render(_page(result))
    write_whole(Path(path), page.encode())
    return Path(path)


def summary_html(result: Result) -> str:
    """The verdict and the tables, as a piece of HTML for a notebook."""
    parts = (environment().get_template(name).render(_summary(result)) for name in ("style.html.j2", "summary.html.j2"))
    return f'<div class="poolwright">{"".join(parts)}</div>'


@cache
def environment() -> "Environment":
    """The templates of this folder; `unbroken` is one of their filters."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["unbroken"] = unbroken
    return made


def unbroken(words: str) -> str:
    """The same words, with no line break between a number and its unit."""
    return re.sub(r"(?<=\d) (?=(?:s|min|h|d)\b|%)", "\N{NO-BREAK SPACE}", words)


def _summary(result: Result) -> dict[str, Any]:
    concluded = conclusion(result)
    return {
        "anchors": False,
        "name": result.scenario.name,
        "conclusion": concluded,
        "tiles": list(_tiles(result, concluded)),
        "notes": result.figures.notes,
        "tables": list(_tables(result)),
    }


def _page(result: Result) -> dict[str, Any]:
    return _summary(result) | {
        "description": result.scenario.description,
        "facts": dict(_facts(result)),
        "anchors": True,
        "replications": result.replications,
        "verdicts": _verdicts(result),
        "pictures": list(_pictures(result)),
        "decided": list(_decided(result)),
        "intervals": list(_interval_words(result)),
        "scenario": specfile.write(shortened(plain(result.scenario))),
        "versions": {"seed": str(result.scenario.seed), **result.versions},
    }


def _facts(result: Result) -> Iterator[tuple[str, str]]:
    yield "policy", policy_words(result)
    yield "simulated time", duration(result.end_s)
    yield "replications", number(result.replications)
    yield "warm-up", duration(result.warmup_s) if result.warmup_s else "none"
    yield "seed", str(result.scenario.seed)
    yield "poolwright", result.versions.get("poolwright", "unknown")


def _tiles(result: Result, concluded: Conclusion) -> Iterator[Tile]:
    overall, slo = result.figures.overall, result.scenario.slo
    if met := attained(result):
        words = {"met": "objective met", "missed": "objective missed", "open": "objective open", "none": "in time"}
        asked = [f"asked: {percent(slo.quantile)} within {seconds(slo.response_s)}"] if slo else []
        share = _cell(met, "%")
        yield Tile(words[concluded.state], share.text, [share.interval, *asked], concluded.state)
    name = f"p{100 * slo.quantile:g}" if slo and f"p{100 * slo.quantile:g}" in overall.response_s else "p95"
    quantile = _cell(overall.response_s[name], "s")
    limit = [f"limit: {seconds(slo.response_s)}"] if slo and name == f"p{100 * slo.quantile:g}" else []
    yield Tile(f"{name} response time", quantile.text, [quantile.interval, *limit])
    yield _lost_tile(overall.requests)
    hours = [f"{number(overall.replica_hours)} replica-hours"]
    yield Tile("cost", usd(overall.cost), hours) if overall.cost else Tile("cost", "no price", hours)
    mean = f"{number(overall.replica_hours * 3600 / result.end_s)} replicas in the mean"
    yield Tile("utilization", percent(overall.utilization), [mean])


def _lost_tile(counts: Counts) -> Tile:
    lost = counts.rejected + counts.abandoned + counts.failed
    share = lost / counts.arrived if counts.arrived else None
    return Tile("requests lost", percent(share), [f"{number(lost)} of {number(counts.arrived)}"])


def _cell(e: Estimate | None, unit: str = "") -> Cell:
    return Cell(*value_and_interval(e, unit))


def _tables(result: Result) -> Iterator[Table]:
    slo = result.scenario.slo
    own = " (a class with a deadline: within that)" if deadlines(result) and slo else ""
    met = f"; SLO: {percent(slo.quantile)} answered within {seconds(slo.response_s)}{own}" if slo else ""
    counted = ("arrived", "completed", "rejected", "abandoned", "failed", "still there", "SLO met")
    means = "; means over replications" if result.replications > 1 else ""
    yield _table(result, f"Requests of the whole run{means}{met}", counted, _counts)
    quantities = ("mean", "p50", "p95", "p99")
    responses = "Response time in seconds, with 95 % intervals; the mean of those completed, percentiles of all"
    yield _table(result, responses, quantities, lambda group: _times(group.response_s))
    waits = "Wait before service in seconds, with 95 % intervals; the mean of those that started or gave up"
    yield _table(result, waits, quantities, lambda group: _times(group.wait_s))
    used = ("utilization", "replica-hours", "cost", "scale events")
    yield _table(result, f"Replicas and cost of the whole run{means}", used, _usage)


def _table(result: Result, caption: str, columns: Sequence[str], cells: Callable[[Group], Sequence[Cell]]) -> Table:
    sections = [Section("", {"all": cells(result.figures.overall)})]
    for kind, title in KINDS.items():
        groups: Mapping[str, Group] = getattr(result.figures, f"by_{kind}")
        if len(groups) > 1:
            sections.append(Section(title, {name: cells(group) for name, group in groups.items()}))
    return Table(caption, columns, sections)


def _counts(group: Group) -> list[Cell]:
    r = group.requests
    counts = (r.arrived, r.completed, r.rejected, r.abandoned, r.failed, r.waiting)
    return [*(Cell(number(n)) for n in counts), _cell(group.slo_attainment, "%")]


def _times(times: Mapping[str, Estimate]) -> list[Cell]:
    return [_cell(times[name]) for name in ("mean", "p50", "p95", "p99")]


def _usage(group: Group) -> list[Cell]:
    return [
        Cell(percent(group.utilization)),
        Cell(number(group.replica_hours)),
        Cell(usd(group.cost)),
        Cell(number(group.scale_events)),
    ]


def _verdicts(result: Result) -> list[dict[str, str]]:
    return [
        {
            "source": v.source,
            "measure": v.measure,
            "says": seconds(v.says_s),
            "simulated": value_and_interval(v.simulated, "s")[0],
            "interval": value_and_interval(v.simulated, "s")[1],
            "words": v.words,
            "state": "none" if isnan(v.simulated.low) else "met" if v.inside else "missed",
            "note": v.note,
        }
        for v in result.verdicts
    ]


def _pictures(result: Result) -> Iterator[Picture]:
    from sim.plots import figures
    from sim.plotstyle import svg
    from sim.report.captions import alternative, caption

    for name, figure in figures(result).items():
        source = f"data:image/svg+xml;base64,{b64encode(svg(figure)).decode()}"
        yield Picture(name, source, alternative(name, result), caption(name, result))


def _decided(result: Result) -> Iterator[Decided]:
    first = result.decisions[result.decisions["replication"] == 0]
    groups = [(str(pool), rows) for pool, rows in first.groupby("pool", sort=False)]
    most = min(MOST_DECISIONS, max(MOST_ROWS // max(len(groups), 1), 1))
    for pool, rows in groups:
        change = (rows["target"] - rows["before"]).fillna(0)
        changed = rows[change != 0].head(most)
        limited = int((rows["limits"] != "").sum())
        told = [_decision(row) for row in changed.to_dict("records")]
        yield Decided(pool, len(rows), limited, int((change > 0).sum()), int((change < 0).sum()), told)


def _decision(row: Mapping[Any, Any]) -> dict[str, str]:
    return {
        "time": clock(row["time_s"]),
        "change": f"{row['before']} \N{RIGHTWARDS ARROW} {row['target']}",
        "wish": str(row["wish"]),
        "because": row["because"],
        "limits": row["limits"].replace("->", "\N{RIGHTWARDS ARROW}"),
    }


def _interval_words(result: Result) -> Iterator[str]:
    if result.replications > 1:
        yield (
            f"Brackets hold 95 % confidence intervals. They come from the differences between {result.replications} "
            "replications, each a whole run with random streams of its own."
        )
    else:
        yield (
            f"Brackets hold 95 % confidence intervals. The run was cut into {BATCHES} parts of about the same length; "
            "neighbouring parts were merged while they were correlated, and what correlation was left widens the "
            "interval."
        )
    yield (
        "Means and shares: ratio of two sums, Student's interval joined with one adjusted for skewness (Willink 2005; "
        "Tafazzoli and Wilson 2011). Percentiles: the interval of the share below them, inverted (Woodruff 1952)."
    )
    yield _warmup_words(result)
    yield (
        "Counts, replica-hours, cost and scale events are of the whole run; times, the SLO and utilization of what "
        "comes after the warm-up: of the requests that left after it, and waits of those that started after it. "
        "Percentiles are of all requests: those never served count as infinite, those still there at the end with the "
        "time that they have been there. Percentiles are read off fine histograms: they are off by "
        "less than 0.8 %, by far less where times are spread."
    )


def _warmup_words(result: Result) -> str:
    given = result.scenario.warmup_s != "auto"
    if result.warmup_s:
        found = (
            "as the scenario says" if given else "found by MSER (White, Cobb and Spratt 2000) over the means of windows"
        )
        share = percent(result.warmup_s / result.end_s)
        return f"Warm-up: the first {duration(result.warmup_s)}, {share} of the run, are left out, {found}."
    if given:
        return "Warm-up: none, as the scenario says."
    if not result.scenario.stationary:
        return "Warm-up: none; the load changes with time, so its beginning is part of what is measured."
    return "Warm-up: MSER (White, Cobb and Spratt 2000) found nothing to leave out."


def shortened(value: Any) -> Any:
    """The same nested data with the end of long lists told by its number only."""
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        kept = [shortened(item) for item in value[:LONGEST_LIST]]
        rest = len(value) - len(kept)
        return [*kept, f"\N{HORIZONTAL ELLIPSIS} {rest:,} more"] if rest else kept
    return value
