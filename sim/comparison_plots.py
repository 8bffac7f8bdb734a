"""The frontier of a comparison: what each policy costs, and what is got for it."""

import math
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import Bbox

from sim.comparison import Comparison
from sim.intervals import Estimate
from sim.pieces import MEASURES
from sim.plotstyle import ALARM, FAINT, INK, PALETTE, SLATE, drawing, panels, whole
from sim.text import percent, seconds, short

HEIGHT_IN = 4.6
OTHERWISE = "#9AA5B1"
PLACES = [
    (distance * x, distance * y)
    for distance in (1.0, 1.8, 2.8, 4.0, 5.5)
    for x, y in ((9, 7), (9, -7), (-9, 7), (-9, -7), (0, 11), (0, -11), (12, 0), (-12, 0))
]
"""Where a label may stand, in points from its mark, the best first."""
NEAR = PLACES[:8]
MARK_POINTS = 7.0


@drawing
def frontier(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """A mark for each policy with its 95 % intervals; those that no other beats in price and quality are joined."""
    ax = ax or panels(height_in=HEIGHT_IN)[0]
    x, y = comparison.price, comparison.quality
    shown = [n for n in comparison.by_price if math.isfinite(comparison.figures[n][y].value)]
    best = [name for name in comparison.frontier if name in shown]
    at = {name: (comparison.figures[name][x].value, comparison.figures[name][y].value) for name in shown}
    ax.plot([at[n][0] for n in best], [at[n][1] for n in best], color=SLATE, linewidth=1.2, zorder=2)
    for name in shown:
        _mark(ax, comparison.figures[name][x], comparison.figures[name][y], name in best)
    _axes(ax, comparison, len(shown) > 0)
    prices, qualities = ([comparison.figures[name][m] for name in shown] for m in (x, y))
    slo = comparison.scenario.slo
    _limits(ax, prices, qualities, slo.quantile if slo and y == "slo_attainment" else None)
    bars = [box for p, q in zip(prices, qualities, strict=True) for box in _bars(p, q)]
    _label(ax, at, best, bars)
    return ax


def _mark(ax: Axes, price: Estimate, quality: Estimate, best: bool) -> None:
    color = PALETTE[0] if best else OTHERWISE
    ax.errorbar(
        [price.value],
        [quality.value],
        xerr=_reach(price),
        yerr=_reach(quality),
        fmt="o",
        markersize=MARK_POINTS,
        color=color,
        ecolor=color,
        elinewidth=1.2,
        capsize=2.5,
        zorder=3,
    )


def _reach(e: Estimate) -> list[list[float]] | None:
    """How far below and above the interval reaches; None where it is unknown or has no end."""
    if not (math.isfinite(e.low) and math.isfinite(e.high)):
        return None
    return [[max(e.value - e.low, 0.0)], [max(e.high - e.value, 0.0)]]


def _axes(ax: Axes, comparison: Comparison, drawn: bool) -> None:
    slo = comparison.scenario.slo
    price = "cost of a run (USD)" if comparison.price == "cost_usd" else "replica-hours of a run"
    bars = "; bars are 95 % intervals" if comparison.interval != "none" else ""
    ax.set_xlabel(f"{price}{bars}; the line joins what no other beats")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]))
    if comparison.quality == "slo_attainment":
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        ax.set_ylabel(f"answered within {seconds(slo.response_s)}" if slo else "answered in time")
        title = "Price and SLO attainment: left is cheaper, up is better"
    else:
        ax.set_ylabel(f"{MEASURES[comparison.quality].title} response time (s)")
        title = "Price and response time: left is cheaper, down is better"
    ax.set_title(title)
    ax.grid(visible=True, axis="x")
    if slo and drawn and comparison.quality == "slo_attainment":
        words = f"SLO: {percent(slo.quantile)}"
        ax.axhline(slo.quantile, color=ALARM, linestyle="--", linewidth=1.3, zorder=1)
        ax.annotate(
            words,
            (1, slo.quantile),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            color=ALARM,
        )


def _limits(ax: Axes, prices: Sequence[Estimate], qualities: Sequence[Estimate], asked: float | None) -> None:
    """Room for marks, intervals and labels, what is asked in view; shares up to a little above 100 %."""
    ax.set_xlim(*_span(prices))
    low, high = _span(qualities, [] if asked is None else [asked])
    ax.set_ylim(low, high if asked is None else min(high, 1 + 0.06 * (1 - low)))


def _span(found: Sequence[Estimate], others: Sequence[float] = ()) -> tuple[float, float]:
    ends = [v for e in found for v in (e.low, e.value, e.high) if math.isfinite(v)] or [1.0]
    low, high = min([*ends, *others]), max([*ends, *others])
    room = 0.14 * (high - low) or 0.1 * abs(high) or 1.0
    return max(low - room, 0.0), high + room


def _bars(price: Estimate, quality: Estimate) -> Iterator[Bbox]:
    """Where the intervals of a mark are drawn, in the units of the axes."""
    if _reach(price):
        yield Bbox.from_extents(price.low, quality.value, price.high, quality.value)
    if _reach(quality):
        yield Bbox.from_extents(price.value, quality.low, price.value, quality.high)


def _label(ax: Axes, at: dict[str, tuple[float, float]], best: Sequence[str], bars: Sequence[Bbox]) -> None:
    """Each label where it covers no mark, no other label and no edge; those that stand crowded have a thin line."""
    figure = whole(ax)
    figure.draw_without_rendering()  # what is where is known only after the layout
    taken = [_around(ax, point) for point in at.values()]
    taken += [bar.transformed(ax.transData).padded(1.5) for bar in bars]
    frame = ax.get_window_extent()
    for name, point in at.items():
        label = ax.annotate(
            name,
            point,
            textcoords="offset points",
            xytext=PLACES[0],
            color=INK if name in best else FAINT,
            fontweight="bold" if name in best else "normal",
            zorder=4,
        )
        box, place = _placed(label, taken, frame)
        taken.append(box)
        if place not in NEAR:
            line = {"arrowstyle": "-", "color": FAINT, "linewidth": 0.6}
            ax.annotate("", point, textcoords="offset points", xytext=place, arrowprops=line)


def _placed(label: Annotation, taken: Sequence[Bbox], frame: Bbox) -> tuple[Bbox, tuple[float, float]]:
    """Move a label to the first place that is free, else to that which covers least; where it stands then."""
    found = [(_covered(box, taken, frame), i, box) for i, box in enumerate(_boxes(label))]
    _, i, box = min(found, key=lambda one: (one[0], one[1]))
    _move(label, PLACES[i])
    return box, PLACES[i]


def _boxes(label: Annotation) -> Iterator[Bbox]:
    for place in PLACES:
        _move(label, place)
        yield label.get_window_extent().padded(1.0)


def _move(label: Annotation, place: tuple[float, float]) -> None:
    x, y = place
    label.set_position(place)
    label.set_horizontalalignment("left" if x > 0 else "right" if x < 0 else "center")
    label.set_verticalalignment("bottom" if y > 0 else "top" if y < 0 else "center")


def _covered(box: Bbox, taken: Sequence[Bbox], frame: Bbox) -> float:
    """The area that a label would cover, or that is outside the frame."""
    inside = Bbox.intersection(box, frame)
    outside = box.width * box.height - (inside.width * inside.height if inside else 0.0)
    shared = (Bbox.intersection(box, other) for other in taken)
    return outside + sum(part.width * part.height for part in shared if part is not None)


def _around(ax: Axes, point: tuple[float, float]) -> Bbox:
    """The pixels of a mark."""
    x, y = ax.transData.transform(point)
    half = MARK_POINTS * whole(ax).dpi / 72 / 2 + 1
    return Bbox.from_extents(x - half, y - half, x + half, y + half)
