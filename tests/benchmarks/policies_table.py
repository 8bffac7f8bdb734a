"""A race as a table for people and as one object for programs."""

from collections.abc import Callable, Iterator
from math import isfinite
from typing import TYPE_CHECKING, Any

from policies_race import Point, Race, frontier, point, points
from policies_rivals import CANDIDATE

from policies.spec import plain
from sim.comparison import CLAIRVOYANT, Comparison
from sim.intervals import Estimate
from sim.summary import finite

if TYPE_CHECKING:
    from rich.table import Table

MOST_OVER_CLAIRVOYANT = 1.15
COLUMNS = {"slo_attainment": "in time", "replica_hours": "replica-hours", "reversals_per_pool_hour": "reversals/h"}
SHOWN = 4
"""Of the settings that beat the candidate."""


def table(race: Race) -> "Table":
    """A line for the candidate and for each rival at its best setting."""
    from rich import box
    from rich.table import Table

    drawn = Table(title=race.load.title, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    drawn.add_column("cheapest setting that meets it", no_wrap=True)
    for title in (*COLUMNS.values(), "mpc costs"):
        drawn.add_column(title, justify="right", no_wrap=True)
    drawn.add_column("settings that beat mpc")
    for cells in _lines(race):
        drawn.add_row(*cells)
    return drawn


def _lines(race: Race) -> Iterator[tuple[str, ...]]:
    colour = "green" if race.meets else "red"
    yield (
        f"[{colour}]{CANDIDATE}[/]",
        *_figures(race.final, CANDIDATE),
        "",
        "" if race.meets else "misses the objective",
    )
    if race.yardstick is not None:
        yield (
            CLAIRVOYANT,
            *_figures(race.yardstick, CLAIRVOYANT),
            _ratio(race.over_clairvoyant) if race.over_clairvoyant else "",
            "",
        )
    for rival in race.rivals:
        beaten = _beaten(race.beaten_by(rival))
        if rival in race.best:
            setting = race.best[rival]
            yield setting, *_figures(race.final, setting), _relative(race.against(setting)), beaten
        else:
            nearest = _nearest(race, rival)
            yield f"[dim]{nearest} (misses it)[/]", *_figures(race.final, nearest), "", beaten


def _nearest(race: Race, rival: str) -> str:
    mine = [p for p in points(race.final) if p.setting in race.rivals[rival]]
    return max(mine, key=lambda p: p.attainment).setting


def _beaten(better: list[Point]) -> str:
    shown = "; ".join(f"{p.setting} ({p.attainment:.2%}, {p.replicas:.4g})" for p in frontier(better)[:SHOWN])
    return f"[red]{len(better)}[/]: {shown}" if better else "[green]none[/]"


def _figures(comparison: Comparison, name: str) -> Iterator[str]:
    for measure in COLUMNS:
        e = comparison.figures[name][measure]
        share = measure == "slo_attainment"
        words = f"{e.value:.2%}" if share else f"{e.value:.4g}"
        if isfinite(e.low) and isfinite(e.high):
            words += f" [{100 * e.low:.2f}, {100 * e.high:.2f}]" if share else f" [{e.low:.4g}, {e.high:.4g}]"
        yield words


def _relative(e: Estimate) -> str:
    return _with_ends(e, lambda x: f"{100 * x:+.1f} %")


def _ratio(e: Estimate) -> str:
    return _with_ends(e, lambda x: f"{x:.3f}")


def _with_ends(e: Estimate, write: Callable[[float], str]) -> str:
    return f"{write(e.value)} [{write(e.low)}, {write(e.high)}]" if isfinite(e.low + e.high) else write(e.value)


def verdicts(race: Race) -> Iterator[str]:
    """Whether the candidate reaches what it should, each aim in a sentence."""
    ours = point(race.final, CANDIDATE)
    yield _judged(
        race.meets, f"{CANDIDATE} answers {ours.attainment:.2%} in time, {race.load.slo.quantile:.0%} is asked"
    )
    beaten = {rival: n for rival in race.rivals if (n := len(race.beaten_by(rival)))}
    words = ", ".join(f"{n} of {rival}" for rival, n in beaten.items()) or "none"
    yield _judged(not beaten, f"settings as good for less: {words}")
    if race.load.shaped:
        yield _of_shape(race)
    else:
        yield _of_burst(race)


def _of_shape(race: Race) -> str:
    over = race.over_clairvoyant
    if over is None:
        return f"[yellow]no yardstick[/]: {race.no_yardstick or 'not sought'}"
    return _judged(over.value <= MOST_OVER_CLAIRVOYANT, f"costs {_ratio(over)} of the clairvoyant's, 1.15 is the aim")


def _of_burst(race: Race) -> str:
    if race.cheapest is None:
        return "[yellow]no rival meets the objective[/]"
    less = race.against(race.cheapest)
    aim = f"aim {-100 * race.load.cheaper:g} %" if race.load.cheaper else "aim: no more"
    words = f"costs {_relative(less)} against the cheapest rival, {race.cheapest}; {aim}"
    return _judged(race.meets and less.value <= -race.load.cheaper, words)


def _judged(is_so: bool, words: str) -> str:
    return f"[green]yes[/]  {words}" if is_so else f"[red]no[/]   {words}"


def plain_race(race: Race) -> dict[str, Any]:
    """Everything that was found on one load."""
    return {
        "load": race.load.title,
        "slo": plain(race.load.slo),
        "meets": race.meets,
        "best": race.best,
        "against_best": {rival: _ends(race.against(setting)) for rival, setting in race.best.items()},
        "over_clairvoyant": None if race.over_clairvoyant is None else _ends(race.over_clairvoyant),
        "no_yardstick": race.no_yardstick,
        "beaten_by": {rival: [p.setting for p in race.beaten_by(rival)] for rival in race.rivals},
        "policies": {name: plain(spec) for name, spec in race.wide.policies.items()},
        "few_seeds": _plain(race.wide),
        "all_seeds": _plain(race.final),
        "clairvoyant": None if race.yardstick is None else _plain(race.yardstick),
    }


def _plain(comparison: Comparison) -> dict[str, Any]:
    found = {name: {m: _ends(e) for m, e in f.items()} for name, f in comparison.figures.items()}
    return {"replications": comparison.replications, "figures": found}


def _ends(e: Estimate) -> list[float | None]:
    """Value, low, high; null where unknown."""
    return [finite(e.value), finite(e.low), finite(e.high)]
