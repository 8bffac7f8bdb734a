"""Figures of a finished run.

Each draws into the axes that it is given, or into a new figure, which a notebook shows:

    from sim import plots
    plots.replicas(result)
    plots.save_figures(result, "figures")
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from sim.files import write_whole
from sim.plotstyle import (
    ALARM,
    FAINT,
    INK,
    OTHERS,
    SLATE,
    Drawn,
    colors,
    count_axis,
    drawing,
    in_unit,
    legend,
    log_axis,
    note,
    panels,
    png,
    say,
    shown_pools,
    svg,
    time_axis,
    whole,
)
from sim.result import Result
from sim.text import percent, seconds, usd

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

MOST_CHANGES = 2000
"""Of replicas; more are drawn in so many parts, or the lines of a long run would be a blur of many megabytes."""
MOST_QUEUES = 480
STATES = ("replicas_ready", "replicas_starting", "replicas_draining")
QUANTILES = {"p99": "#B4BDC6", "p95": SLATE, "p50": INK}
SMALLEST_SHARE = 1e-5
WORTH_TELLING = 5e-4
"""The share of requests from which it matters that a distribution leaves them out."""
NONE_COMPLETED = "no request was completed"
LOG_FROM = 100.0
"""A ratio of the largest to the smallest quantile from which a linear axis would hide the small ones."""
LEFT_OUT = 0.003
"""The shortest of the response times that no distribution needs to show."""


@drawing
def rates(result: Result, ax: Axes | None = None) -> Axes:
    """Arrivals a second as a line, over completions a second of each version, stacked; means over replications."""
    ax = ax or panels()[0]
    edges = in_unit(_edges_s(result), result)
    below = np.zeros(len(edges) - 1)
    for name, color, pools in _stacked(result):
        above = below + _per_s(result, "requests_completed", pools)
        ax.stairs(above, edges, baseline=below, fill=True, color=color, alpha=0.8, label=name)
        below = above
    arrived = _per_s(result, "requests_arrived", ["all"])
    ax.stairs(arrived, edges, baseline=None, color=INK, linewidth=1.2, label="arrived")
    ax.set_title("Arrivals (line) and completions (areas)")
    count_axis(ax, "requests/s")
    time_axis(ax, result)
    legend(ax)
    return ax


@drawing
def replicas(result: Result, axes: Sequence[Axes] | None = None) -> Figure:
    """Replicas ready, starting and draining, stacked, and those wanted, as a line.

    A panel for each pool, eight at most; `axes`, where given, are as many as there are pools in
    `plotstyle.shown_pools`. Of several replications the first is shown.
    """
    pools = shown_pools(result)
    columns = 1 if len(pools) <= 3 else 2
    rows = -(-len(pools) // columns)
    drawn = axes or panels(rows, columns, 2.9 if rows == 1 else 1.9)
    for i, (pool, ax) in enumerate(zip(pools, drawn, strict=False)):
        _replicas_of(ax, result, pool)
        if i + columns < len(pools):
            ax.set_xlabel("")
    for ax in drawn[len(pools) :]:
        ax.set_axis_off()
    _replica_legend(drawn[0], above=axes is None and columns > 1)
    return whole(drawn[0])


def _replicas_of(ax: Axes, result: Result, pool: str) -> None:
    color = colors(result)[pool]
    looks: list[dict[str, Any]] = [
        {"facecolor": color, "alpha": 0.8},
        {"facecolor": color, "alpha": 0.3},
        {"facecolor": "#DDDDDD", "edgecolor": FAINT, "hatch": "////"},
    ]
    rows = _thinned(_first(result, pool), ["replicas_wanted", *STATES], "mean", MOST_CHANGES)
    time = in_unit(rows["time_s"], result)
    below = np.zeros(len(rows))
    for state, look in zip(STATES, looks, strict=True):
        above = below + rows[state].to_numpy()
        there = above > below
        # A step lasts until the next point, which must be in the area too.
        there[1:] |= there[:-1].copy()
        ax.fill_between(time, below, above, where=there, step="post", linewidth=0, **look)
        below = above
    ax.step(time, rows["replicas_wanted"], where="post", color=INK, linewidth=1.0)
    ax.set_title(f"Replicas of {pool}")
    count_axis(ax, "replicas", whole=True)
    time_axis(ax, result)


def _replica_legend(ax: Axes, above: bool) -> None:
    """For the panel, or above the whole figure."""
    handles = [
        Line2D([], [], color=INK, linewidth=1.0),
        Patch(facecolor="#555555", alpha=0.8),
        Patch(facecolor="#555555", alpha=0.3),
        Patch(facecolor="#DDDDDD", edgecolor=FAINT, hatch="//////"),
    ]
    names = ["wanted", "ready", "starting", "draining"]
    if above:
        whole(ax).legend(handles, names, loc="outside upper right", ncols=4, handlelength=1.4)
    else:
        legend(ax, names, handles)


@drawing
def queues(result: Result, ax: Axes | None = None) -> Axes:
    """Requests that wait, a line for each pool, eight at most; of several replications the first.

    Where they are too many to draw, the line is the mean, and the shade the maximum, of each of so many parts.
    """
    ax = ax or panels()[0]
    for pool, color in colors(result).items():
        rows = _first(result, pool)
        mean, most = (_thinned(rows, ["requests_queued"], how, MOST_QUEUES) for how in ("mean", "max"))
        time = in_unit(mean["time_s"], result)
        ax.fill_between(time, most["requests_queued"], step="post", color=color, alpha=0.3, linewidth=0)
        ax.step(time, mean["requests_queued"], where="post", color=color, linewidth=1.1, label=pool)
    ax.set_title("Queue")
    count_axis(ax, "requests waiting", whole=True)
    time_axis(ax, result)
    legend(ax)
    return ax


@drawing
def response_quantiles(result: Result, ax: Axes | None = None) -> Axes:
    """p50, p95 and p99 of the response times of the requests completed in each part of the run, and the SLO."""
    ax = ax or panels()[0]
    everything = _scope(result.course, "all")
    time = in_unit(everything["time_s"], result)
    for name, color in QUANTILES.items():
        ax.plot(time, everything[f"response_{name}_s"], color=color, label=name, marker=".", markersize=2.5)
    if slo := result.scenario.slo:
        words = f"SLO: {percent(slo.quantile)} within {seconds(slo.response_s)}"
        ax.axhline(slo.response_s, color=ALARM, linestyle="--", linewidth=1.3, label=words)
    if everything["response_p99_s"].max() > LOG_FROM * everything["response_p50_s"].min() > 0:
        ax.set_yscale("log")
        log_axis(ax.yaxis, "response time (s)")
    else:
        count_axis(ax, "response time (s)")
    if not everything["requests_completed"].any():
        say(ax, NONE_COMPLETED)
    ax.set_title("Response time")
    time_axis(ax, result)
    legend(ax)
    return ax


@drawing
def response_distribution(result: Result, ax: Axes | None = None) -> Axes:
    """The share of all requests in each bin of response time, bins of equal ratio; what is over the SLO in vermilion.

    p50, p95 and p99 are those of the summary: of all requests after the warm-up, those never served included.
    """
    ax = ax or panels()[0]
    frame = _scope(result.distribution, "all")
    slo = result.scenario.slo
    share = frame["requests"] / max(result.figures.overall.requests.arrived * result.replications, 1)
    late = frame["low_s"] >= (slo.response_s * 0.999 if slo else np.inf)
    width = frame["high_s"] - frame["low_s"]
    ax.bar(frame["low_s"], share, width, align="edge", color=np.where(late, ALARM, SLATE), alpha=0.85)
    ax.set_title("Distribution of response times", pad=30)
    _share_axis(ax, "share of requests in a bin")
    ax.set_ylim(0, max(1.05 * share.max(), 0.01) if len(share) else 1.0)
    _response_axis(ax, result)
    _mark_quantiles(ax, result)
    return ax


@drawing
def response_tails(result: Result, ax: Axes | None = None) -> Axes:
    """For each pool, eight at most, the share of its completed requests that took longer; both axes logarithmic."""
    ax = ax or panels()[0]
    lowest = 0.5
    for pool, color in colors(result).items():
        frame = _scope(result.distribution, pool)
        longer = 1 - frame["requests"].cumsum() / max(frame["requests"].sum(), 1)
        shown = longer.where(longer > SMALLEST_SHARE)
        ax.plot(frame["high_s"], shown, color=color, label=pool)
        lowest = min(lowest, shown.min())
    if slo := result.scenario.slo:
        ax.plot([slo.response_s], [1 - slo.quantile], "D", color=ALARM, markersize=6, label="SLO")
    ax.set_title("Tails of response times, by version")
    ax.set(yscale="log", ylim=(lowest / 1.5, 1.2))
    _share_axis(ax, "share that took longer")
    _response_axis(ax, result)
    legend(ax)
    return ax


@drawing
def cost(result: Result, ax: Axes | None = None) -> Axes:
    """What the replicas of each version cost an hour, stacked, start-up and draining included.

    Of several replications the first is drawn; the total in the title is the mean of all.
    """
    ax = ax or panels()[0]
    edges_s = _edges_s(result)
    below = np.zeros(len(edges_s) - 1)
    for name, color, pools in _stacked(result):
        paid = sum(_paid_usd(result, pool, edges_s) for pool in pools)
        above = below + np.diff(paid) / np.diff(edges_s) * 3600
        ax.stairs(above, in_unit(edges_s, result), baseline=below, fill=True, color=color, alpha=0.8, label=name)
        below = above
    ax.set_title(f"Cost: {usd(result.figures.overall.cost)} in all")
    count_axis(ax, "USD an hour")
    time_axis(ax, result)
    legend(ax)
    return ax


FIGURES: dict[str, Callable[[Result], Drawn]] = {
    "rates": rates,
    "replicas": replicas,
    "queues": queues,
    "response_quantiles": response_quantiles,
    "response_distribution": response_distribution,
    "response_tails": response_tails,
    "cost": cost,
}


def figures(result: Result) -> dict[str, Figure]:
    """Every figure that has something to show: `cost` needs a price, `response_tails` two pools to compare."""
    needless = set()
    if not result.figures.overall.cost:
        needless.add("cost")
    if len(result.figures.by_version) < 2:
        needless.add("response_tails")
    return {name: whole(draw(result)) for name, draw in FIGURES.items() if name not in needless}


def save_figures(result: Result, folder: str | Path) -> list[Path]:
    """Write each figure into a folder as PNG (150 dpi) and as SVG; nothing is written unless all could be drawn."""
    found = figures(result)
    files = {f"{name}.png": png(figure) for name, figure in found.items()}
    files |= {f"{name}.svg": svg(figure) for name, figure in found.items()}
    paths = [Path(folder) / name for name in sorted(files)]
    for path in paths:
        write_whole(path, files[path.name])
    return paths


def _scope(frame: "pd.DataFrame", scope: str) -> "pd.DataFrame":
    return frame[frame["scope"] == scope]


def _edges_s(result: Result) -> Floats:
    """The ends of the parts of a run's course."""
    everything = _scope(result.course, "all")
    middle_s, length_s = everything["time_s"].to_numpy(), everything["length_s"].to_numpy()
    return np.append(middle_s - length_s / 2, middle_s[-1] + length_s[-1] / 2)


def _per_s(result: Result, what: str, scopes: Sequence[str]) -> Floats:
    """Requests a second in each part of the run, of some scopes together."""
    frames = [_scope(result.course, scope) for scope in scopes]
    total: Floats = np.sum([frame[what].to_numpy() / frame["length_s"].to_numpy() for frame in frames], axis=0)
    return total


def _stacked(result: Result) -> Iterator[tuple[str, str, list[str]]]:
    """(label, colour, pools) of each layer: the pools that are shown, then all others as one."""
    shown = colors(result)
    for pool, color in shown.items():
        yield pool, color, [pool]
    if others := [pool for pool in result.figures.by_version if pool not in shown]:
        yield f"{len(others)} others", OTHERS, others


def _first(result: Result, pool: str) -> "pd.DataFrame":
    """The history of a pool in the first replication."""
    frame = result.pools
    return frame[(frame["replication"] == 0) & (frame["pool"] == pool)]


def _paid_usd(result: Result, pool: str, at_s: Floats) -> Floats:
    rows = _first(result, pool)
    paid: Floats = np.interp(at_s, rows["time_s"], rows["cost_usd_total"])
    return paid


def queues_in_parts(result: Result) -> bool:
    """Whether some queue changes so often that means and maxima of parts are drawn."""
    histories = (_first(result, pool) for pool in shown_pools(result))
    return any(_changed(rows, ["requests_queued"]).sum() > MOST_QUEUES for rows in histories)


def _changed(rows: "pd.DataFrame", columns: list[str]) -> "pd.Series[bool]":
    """Which rows differ from those before them; and the last."""
    changed = rows[columns].ne(rows[columns].shift()).any(axis=1)
    changed.iloc[-1] = True
    return changed


def _thinned(rows: "pd.DataFrame", columns: list[str], how: str, most: int) -> "pd.DataFrame":
    """Time and these columns where something changes; of what changes more often the mean, or maximum, of parts."""
    changed = _changed(rows, columns)
    if changed.sum() <= most:
        return rows.loc[changed, ["time_s", *columns]]
    part = np.arange(len(rows)) * most // len(rows)
    return rows.groupby(part).agg({"time_s": "first", **dict.fromkeys(columns, how)})


def _share_axis(ax: Axes, label: str) -> None:
    ax.set_ylabel(label)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _response_axis(ax: Axes, result: Result) -> None:
    """Response times, logarithmic, from all but the shortest to the longest, the SLO and the quantiles in view."""
    frame = _scope(result.distribution, "all")
    found = [e.value for e in result.figures.overall.response_s.values()]
    found += [result.scenario.slo.response_s] if result.scenario.slo else []
    if len(frame):
        share = frame["requests"].cumsum() / frame["requests"].sum()
        found += [frame["low_s"][share >= LEFT_OUT].iloc[0], frame["high_s"].iloc[-1]]
    else:
        say(ax, NONE_COMPLETED)
    seen = [value for value in found if np.isfinite(value) and value > 0] or [1.0]
    ax.set_xlim(max(min(seen) / 1.1, 1e-3), 1.25 * max(seen))
    ax.set_xscale("log")
    log_axis(ax.xaxis, "response time (s)")


def _mark_quantiles(ax: Axes, result: Result) -> None:
    """Where p50, p95, p99 and the SLO lie, and what the distribution does not show."""
    for name, side in {"p50": "center", "p95": "right", "p99": "left"}.items():
        value_s = result.figures.overall.response_s[name].value
        if np.isfinite(value_s):
            ax.axvline(value_s, color=INK, linewidth=0.9)
            at = ax.get_xaxis_transform()
            ax.text(value_s, 1.01, f"{name}\n{seconds(value_s, 3)}", transform=at, ha=side, va="bottom", fontsize=9)
    if slo := result.scenario.slo:
        ax.axvline(slo.response_s, color=ALARM, linestyle="--", linewidth=1.3)
    note(ax, _not_drawn(result))


def _not_drawn(result: Result) -> Iterator[tuple[str, str]]:
    counts = result.figures.overall.requests
    lost = counts.rejected + counts.abandoned + counts.failed
    if result.scenario.slo:
        yield f"dashed: SLO, {seconds(result.scenario.slo.response_s)}", ALARM
    if lost > WORTH_TELLING * counts.arrived:
        yield f"not drawn: {percent(lost / counts.arrived)} of the requests, never served", FAINT
    if counts.waiting > WORTH_TELLING * counts.arrived:
        yield f"not drawn: {percent(counts.waiting / counts.arrived)} of the requests, still there at the end", FAINT
