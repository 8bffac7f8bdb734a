"""The description of a trace as a figure."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from sim.text import duration
from sim.traces.description import Description, Group, successful_service_s, tells_interarrivals
from sim.traces.form import Counts, Trace
from sim.traces.formats import clock_step_s
from sim.traces.tables import rate

# Okabe and Ito's colours, told apart by every kind of colour vision.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
MOST_BINS = 400
BINS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800)
TIME_UNITS_S = (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
MOST_BARS = 10
LEAST_VALUES = 20
MOST_POINTS = 3000
LEAST_INDEX = 0.01
Panel = Callable[[Axes], None]


def figure(trace: Trace | Counts, description: Description) -> Figure:
    """Rate over time, dispersion over scales, and as far as the trace knows them: interarrival times, service times
    or tokens, shares of versions, rate by hour of day.

    Two panels a row; where they are odd in number, rate over time takes the first row alone.
    """
    panels = _panels(trace, description)
    rows = (len(panels) + 1) // 2
    drawn = Figure(figsize=(11, 3.4 * rows), layout="constrained")
    grid = drawn.add_gridspec(rows, 2)
    wide = len(panels) % 2
    for i, panel in enumerate(panels):
        place = grid[0, :] if wide and i == 0 else grid[(i + wide) // 2, (i + wide) % 2]
        axes = drawn.add_subplot(place)
        axes.spines[["top", "right"]].set_visible(False)
        panel(axes)
    drawn.suptitle(f"{description.name}: {description.requests:,} requests in {duration(description.span_s)}")
    return drawn


def _panels(trace: Trace | Counts, description: Description) -> list[Panel]:
    panels: list[Panel] = [lambda axes: _rate(axes, trace, description)]
    if description.dispersion:
        panels.append(lambda axes: _dispersion(axes, description))
    if isinstance(trace, Counts):
        panels += [lambda axes: _counts(axes, trace)] * bool(description.requests)
    else:
        panels += _request_panels(trace, description)
    hours = description.rate_by_hour_of_day_per_s
    if hours is not None:
        panels.append(lambda axes: _hours(axes, np.array(hours)))
    return panels


def _request_panels(trace: Trace, description: Description) -> list[Panel]:
    panels: list[Panel] = []
    if tells_interarrivals(trace.time_s, description.clock_step_s) and len(trace.time_s) >= LEAST_VALUES:
        panels.append(lambda axes: _interarrivals(axes, np.diff(trace.time_s)))
    service_s = successful_service_s(trace)
    if description.service is not None and description.service.maximum > 0 and service_s is not None:
        panels.append(lambda axes: _service(axes, service_s))
    if description.context_tokens is not None or description.generated_tokens is not None:
        panels.append(lambda axes: _tokens(axes, trace, description))
    for title, groups in (("versions", description.versions), ("request classes", description.classes)):
        if len(groups) > 1:
            panels.append(lambda axes, title=title, groups=groups: _shares(axes, title, groups))  # type: ignore[misc]
            break
    return panels


def _rate(axes: Axes, trace: Trace | Counts, description: Description) -> None:
    unit, unit_s = next((unit, s) for unit, s in TIME_UNITS_S if description.span_s >= 2 * s or s == 1)
    edges, per_s, bin_s = _rates(trace)
    word, scale = _rate_unit(description.rate_per_s or 1.0)
    axes.stairs(per_s * scale, edges / unit_s, fill=True, color=BLUE, alpha=0.85)
    title = f"rate in bins of {duration(bin_s)}"
    if description.rate_per_s is not None:
        axes.axhline(description.rate_per_s * scale, color=ORANGE, linestyle="--", linewidth=1.2)
        title += f" (dashed: mean {rate(description.rate_per_s)})"
    axes.set(title=title, ylabel=f"requests per {word}", ylim=(0, None))
    axes.set_xlabel(f"{unit} since {description.start or 'the first row'}")


def _rates(trace: Trace | Counts) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Edges in seconds, rate per second in each bin, length of a bin; unknown counts leave a hole."""
    bin_s = _bin_s(trace)
    bins = max(int(np.ceil(trace.span_s / bin_s)), 1)
    edges = np.arange(bins + 1, dtype=np.float64) * bin_s
    place = np.minimum(trace.time_s // bin_s, bins - 1).astype(int)
    if not isinstance(trace, Counts):
        return edges, np.bincount(place, minlength=bins) / bin_s, bin_s
    rows = np.bincount(place, minlength=bins)
    total = np.bincount(place, trace.count, minlength=bins)
    covered_s = np.where(rows > 0, rows * trace.interval_s, np.nan)
    return edges, total / covered_s, bin_s


def _bin_s(trace: Trace | Counts) -> float:
    """The shortest round length that gives at most 400 bins and is no less than ten steps of a coarse clock; of
    counts, one that is a whole number of intervals."""
    shortest_s = trace.span_s / MOST_BINS
    if isinstance(trace, Counts):
        shortest_s = float(np.ceil(max(shortest_s / trace.interval_s, 1.0))) * trace.interval_s
        round_s = next((s for s in BINS_S if s >= shortest_s and s % trace.interval_s == 0), np.inf)
        return round_s if round_s < 4 * shortest_s else shortest_s
    shortest_s = max(shortest_s, 10 * (clock_step_s(trace.time_s) or 0.0))
    return float(next((s for s in BINS_S if s >= shortest_s), shortest_s))


def _rate_unit(per_s: float) -> tuple[str, float]:
    return ("second", 1.0) if per_s >= 1 else ("minute", 60.0) if per_s * 60 >= 1 else ("hour", 3600.0)


def _dispersion(axes: Axes, description: Description) -> None:
    scales = [entry.scale_s for entry in description.dispersion]
    # The axis has no 0: a regular stream is drawn at the bottom.
    index = [max(entry.index, LEAST_INDEX) for entry in description.dispersion]
    axes.loglog(scales, index, "o-", color=BLUE, label="trace")
    axes.axhline(1.0, color=ORANGE, linestyle="--", linewidth=1.2, label="Poisson")
    axes.set(title="index of dispersion of counts", xlabel="window", ylabel="variance / mean")
    axes.set_ylim(0.7 * min(1.0, *index), 1.5 * max(10.0, *index))
    axes.set_xticks(scales[::-2][::-1], [duration(s) for s in scales[::-2][::-1]])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.legend(frameon=False, loc="upper left")


def _plain(value: float, _: object) -> str:
    return f"{value:,g}"


def _tail(axes: Axes, values: NDArray[np.float64], color: str, label: str) -> None:
    """The share of values greater than x, on logarithmic axes; the smallest thousandth may be cut off."""
    known = np.sort(values[~np.isnan(values)])
    n = len(known)
    # Ranks evenly spaced on the axis: a million steps would be drawn for seconds.
    rank = np.unique((n - np.geomspace(1, n, MOST_POINTS)).astype(int))
    value, above = known[rank], 1 - (rank + 1) / n
    shown = (value > 0) & (above > 0) & (above < 0.999)
    axes.loglog(value[shown], above[shown], color=color, drawstyle="steps-post", label=label)


def _exponential(axes: Axes, mean: float, lowest: float) -> None:
    x = np.geomspace(lowest, mean * 12, 200)
    axes.loglog(x, np.exp(-x / mean), color=ORANGE, linestyle="--", linewidth=1.2, label="exponential, same mean")


def _tail_axes(axes: Axes, title: str, xlabel: str, rows: int) -> None:
    axes.set(title=title, xlabel=xlabel, ylabel="share above", ylim=(0.5 / max(rows, 2), 1.3))
    axes.legend(frameon=False, loc="lower left")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(_plain))
        axis.set_minor_formatter(NullFormatter())


def _interarrivals(axes: Axes, gaps_s: NDArray[np.float64]) -> None:
    _tail(axes, gaps_s, BLUE, f"trace, mean {duration(float(gaps_s.mean()))}")
    _exponential(axes, float(gaps_s.mean()), float(np.quantile(gaps_s[gaps_s > 0], 0.001)))
    _tail_axes(axes, "interarrival times", "seconds", len(gaps_s))


def _service(axes: Axes, service_s: NDArray[np.float64]) -> None:
    known = service_s[~np.isnan(service_s)]
    mean = float(known.mean())
    _tail(axes, known, BLUE, f"trace, mean {mean:.3g} s")
    _exponential(axes, mean, float(known[known > 0].min()))
    _tail_axes(axes, "service times", "seconds", len(known))


def _tokens(axes: Axes, trace: Trace, description: Description) -> None:
    columns = (
        ("context", trace.context_tokens, description.context_tokens, BLUE),
        ("generated", trace.generated_tokens, description.generated_tokens, GREEN),
    )
    for name, tokens, found, color in columns:
        if tokens is not None and found is not None:
            _tail(axes, tokens, color, f"{name}, mean {found.mean:,.0f}")
    _tail_axes(axes, "tokens of a request", "tokens", len(trace.time_s))


def _counts(axes: Axes, counts: Counts) -> None:
    values = counts.count.astype(np.float64)
    _tail(axes, values, BLUE, f"trace, mean {values.mean():.3g}")
    title = f"requests in an interval of {duration(counts.interval_s)}"
    _tail_axes(axes, title, "requests", len(values))


def _shares(axes: Axes, title: str, groups: tuple[Group, ...]) -> None:
    shown, rest = groups[:MOST_BARS], groups[MOST_BARS:]
    names = [group.name or "(unknown)" for group in shown] + ([f"{len(rest)} others"] if rest else [])
    shares = [group.share for group in shown] + ([sum(group.share for group in rest)] if rest else [])
    bars = axes.barh(names, shares, color=[BLUE] * len(shown) + [GREY] * bool(rest))
    means = ["" if group.service is None else f"{group.service.mean:.3g} s" for group in shown]
    axes.bar_label(bars, [*means, *[""] * bool(rest)], padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(title=f"{title}, with mean service time" if any(means) else title, xlabel="share of requests")


def _hours(axes: Axes, per_s: NDArray[np.float64]) -> None:
    word, scale = _rate_unit(float(per_s.mean()))
    axes.bar(np.arange(24) + 0.5, per_s * scale, width=0.9, color=BLUE)
    axes.set(title="rate by hour of day", xlabel="hour of day", ylabel=f"requests per {word}", xlim=(0, 24))
    axes.set_xticks(range(0, 25, 3))
