"""The frontier on each load: every setting of every rival as a point, the candidate among them."""

from collections.abc import Sequence
from math import ceil, log10
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from policies_race import Point, Race, frontier, point
from policies_rivals import CANDIDATE

from sim.comparison import CLAIRVOYANT
from sim.files import write_whole
from sim.plotstyle import ALARM, INK, PALETTE, drawing, panels, png, whole

LEAST = 1e-4
"""Shares of late requests below are drawn as this."""
WORST = 0.6
DEAREST = 2.2
"""Costs are shown up to so many times that of the dearest best setting."""
LATE = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0001)


@drawing
def draw(races: Sequence[Race], path: Path) -> None:
    """Write one PNG with a panel for each load."""
    columns = min(2, len(races))
    axes = panels(ceil(len(races) / columns), columns, height_in=4.2)
    for ax, race in zip(axes, races, strict=False):
        _panel(ax, race)
    for ax in axes[len(races) :]:
        ax.set_visible(False)
    axes[0].legend(loc="lower right", fontsize=7.5, frameon=True, framealpha=0.85)
    write_whole(path, png(whole(axes[0])))


def _panel(ax: Axes, race: Race) -> None:
    for colour, (rival, settings) in zip(PALETTE, race.rivals.items(), strict=False):
        _cloud(ax, [race.placed[setting] for setting in settings], rival, colour)
    ours = point(race.final, CANDIDATE)
    ax.plot([ours.replicas], [_height(ours)], "*", color=INK, markersize=15, label=CANDIDATE, zorder=5)
    if race.yardstick is not None:
        plan = point(race.yardstick, CLAIRVOYANT)
        ax.plot([plan.replicas], [_height(plan)], "D", color=INK, markersize=6, label=CLAIRVOYANT, zorder=5)
    ax.axhline(-log10(1 - race.load.slo.quantile), color=ALARM, linestyle="--", linewidth=1.2, zorder=1)
    _axes(ax, race)


def _cloud(ax: Axes, settings: Sequence[Point], rival: str, colour: str) -> None:
    best = frontier(settings)
    ax.plot([p.replicas for p in settings], [_height(p) for p in settings], ".", color=colour, markersize=4, alpha=0.5)
    ax.plot([p.replicas for p in best], [_height(p) for p in best], "-", color=colour, linewidth=1.3, label=rival)


def _height(p: Point) -> float:
    """Nines: 1 is 90 % in time, 2 is 99 %."""
    return -log10(min(max(1 - p.attainment, LEAST), 1.0))


def _axes(ax: Axes, race: Race) -> None:
    slo = race.load.slo
    ax.set_title(f"{race.load.name}: {slo.quantile:.0%} within {slo.response_s:g} s", fontsize=9.5)
    ax.set_xlabel("replicas paid for, in the mean")
    ax.set_ylabel("answered in time")
    ax.set_ylim(-log10(WORST), -log10(LEAST) + 0.1)
    ax.set_xlim(*_span(race))
    ax.yaxis.set_major_locator(FixedLocator([-log10(x) for x in LATE]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * (1 - 10**-y):.4g} %"))


def _span(race: Race) -> tuple[float, float]:
    """From the cheapest that is shown to well beyond those that meet the objective."""
    near = [point(race.final, setting).replicas for setting in (CANDIDATE, *race.best.values())]
    shown = [p.replicas for p in race.placed.values() if 1 - p.attainment < WORST] + near
    return 0.9 * min(shown), min(1.02 * max(shown), DEAREST * max(near))
