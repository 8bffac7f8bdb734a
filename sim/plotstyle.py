"""One look for all figures of a run: colours, panels, time axes, and the bytes of their files."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from io import BytesIO
from typing import Any, ParamSpec, TypeVar

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, MultipleLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from sim.result import Result
from sim.text import short, time_unit

P = ParamSpec("P")
R = TypeVar("R")
Drawn = Axes | Figure

# Okabe and Ito's colours, told apart by every kind of colour vision; their vermilion is kept for what misses the
# objective, and two darker ones stand in for yellow and black, which fit no area.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#8C6D31", "#882255", "#4D4D4D")
OTHERS, INK, FAINT, SLATE, ALARM = "#B0B0B0", "#222222", "#767676", "#6F7F8F", "#D55E00"
PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
"""What is behind words that lie on a drawing."""
MOST_POOLS = len(PALETTE)
WIDTH_IN = 9.6
PNG_DPI = 150
CHARACTERS = 115
"""So many of a legend fit over a panel that is as wide as the figure; those of a title are bolder."""
TICKS = {
    "s": (1, 2, 5, 10, 15, 20, 30),
    "min": (0.5, 1, 2, 5, 10, 15, 20, 30),
    "h": (0.5, 1, 2, 3, 6, 12),
    "days": (0.5, 1, 2, 5, 7, 14, 28),
}
MOST_TICKS = 9
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.xmargin": 0.0,
    "figure.dpi": 100,
    "font.size": 9.5,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.solid_joinstyle": "round",
    "patch.linewidth": 0.0,
    "svg.fonttype": "path",
    "svg.hashsalt": "poolwright",
    "text.color": INK,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
}


class Picture(Figure):
    """A figure that a notebook shows although pyplot knows nothing of it."""

    def _repr_png_(self) -> bytes:
        return png(self)


class Panel(Axes):
    """Axes that a notebook shows, with the figure that they are in."""

    def _repr_png_(self) -> bytes:
        return png(self)


def styled() -> AbstractContextManager[None]:
    """The look, whatever the user's own settings are, until the context ends."""
    return style.context(STYLE, after_reset=True)


def drawing(draw: Callable[P, R]) -> Callable[P, R]:
    """The same function, drawing in our look."""

    @wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> R:
        with styled():
            return draw(*args, **kwargs)

    return in_style


def panels(rows: int = 1, columns: int = 1, height_in: float = 3.2) -> list[Axes]:
    """Empty panels of a new figure, row by row; `height_in` inches for each row."""
    figure = Picture(figsize=(WIDTH_IN, height_in * rows), layout="constrained")
    return [figure.add_subplot(rows, columns, i + 1, axes_class=Panel) for i in range(rows * columns)]


def whole(drawn: Drawn) -> Figure:
    """The figure that axes are in; a figure is its own."""
    figure = drawn if isinstance(drawn, Figure) else drawn.get_figure(root=True)
    assert figure is not None
    return figure


def png(drawn: Drawn) -> bytes:
    return _saved(drawn, format="png", dpi=PNG_DPI)


def svg(drawn: Drawn) -> bytes:
    """Of the same figure, the same bytes."""
    return _saved(drawn, format="svg", metadata={"Date": None})


def _saved(drawn: Drawn, **how: Any) -> bytes:
    file = BytesIO()
    with styled():
        whole(drawn).savefig(file, **how)
    return file.getvalue()


def shown_pools(result: Result) -> list[str]:
    """At most eight pools, those with the most replica-hours, in the scenario's order."""
    hours = {name: group.replica_hours for name, group in result.figures.by_version.items()}
    largest = sorted(hours, key=lambda name: -hours[name])[:MOST_POOLS]
    return [name for name in hours if name in largest]


def colors(result: Result) -> dict[str, str]:
    """Pool -> its colour, the same in every figure of a result; of the pools that are shown."""
    return dict(zip(shown_pools(result), PALETTE, strict=False))


def in_unit(times_s: ArrayLike, result: Result) -> NDArray[np.float64]:
    """Times in the unit of the time axis."""
    return np.asarray(times_s, dtype=float) / time_unit(result.end_s).length_s


def time_axis(ax: Axes, result: Result) -> None:
    """Time in the unit of the run's length on the x axis, the warm-up shaded. Plot times with `in_unit`."""
    unit = time_unit(result.end_s)
    ax.set_xlim(0, result.end_s / unit.length_s)
    ax.set_xlabel(f"time ({unit.symbol})")
    ax.xaxis.set_major_locator(_ticks(result.end_s / unit.length_s, TICKS[unit.symbol]))
    if result.warmup_s:
        _shade_warmup(ax, result.warmup_s / unit.length_s, share=result.warmup_s / result.end_s)


def _ticks(length: float, steps: Sequence[float]) -> Locator:
    step = next((step for step in steps if length <= MOST_TICKS * step), None)
    if step is None or length < 2 * step:
        return MaxNLocator(nbins=MOST_TICKS, steps=[1, 2, 5, 10])
    return MultipleLocator(step)


def _shade_warmup(ax: Axes, until: float, share: float) -> None:
    ax.axvspan(0, until, facecolor="none", edgecolor="#C4C4C4", hatch="////", zorder=0.5)
    ax.axvline(until, color=OTHERS, linewidth=0.8, zorder=0.6)
    if share > 0.1:
        at = ax.get_xaxis_transform()
        ax.text(until * 0.98, 0.95, "warm-up", transform=at, ha="right", va="top", color=FAINT, bbox=PAPER)


def count_axis(ax: Axes, label: str, whole: bool = False) -> None:
    """An amount from 0 up on the y axis, large ones as `12.3 k`."""
    ax.set_ylabel(label)
    ax.set_ylim(0, max(ax.get_ylim()[1], 1.0 if whole else 0.0))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=whole, min_n_ticks=2))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def log_axis(axis: Axis, label: str) -> None:
    """Seconds on a logarithmic axis, ticks at 1, 2 and 5; the limits are set before."""
    axis.set_label_text(f"{label}, logarithmic")
    low, high = axis.get_view_interval()
    subs = (1.0, 2.0, 5.0) if high < 1e5 * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def say(ax: Axes, words: str) -> None:
    """Words in the middle of a panel that has nothing to draw."""
    ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", color=FAINT, bbox=PAPER)


def note(ax: Axes, lines: Iterable[tuple[str, str]]) -> None:
    """Lines of words, each with its colour, at the upper left inside a panel."""
    for i, (words, color) in enumerate(lines):
        place = (8, -6 - 14 * i)
        ax.annotate(
            words,
            (0, 1),
            xycoords="axes fraction",
            xytext=place,
            textcoords="offset points",
            va="top",
            color=color,
            bbox=PAPER,
        )


def legend(ax: Axes, names: Sequence[str] | None = None, handles: Sequence[Any] | None = None) -> None:
    """Beside the title where it is short, else to the right of the panel."""
    if handles is None or names is None:
        handles, names = ax.get_legend_handles_labels()
    look: dict[str, Any] = {"handlelength": 1.4, "columnspacing": 1.4, "borderaxespad": 0.2}
    place = ax.get_subplotspec()
    room = CHARACTERS / (place.get_gridspec().ncols if place else 1) - 1.3 * len(ax.get_title(loc="left"))
    if sum(len(name) + 5 for name in names) <= room:
        look |= {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "ncols": max(len(names), 1)}
    else:
        look |= {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
    if names:
        ax.legend(handles, names, **look)
