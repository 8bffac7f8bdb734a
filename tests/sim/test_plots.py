"""Figures show what the tables say, with units, alike each time they are drawn."""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from policies.schedule import ScheduleSpec, Step
from sim import plots
from sim.arrivals import Poisson, Times
from sim.plotstyle import colors, shown_pools, svg
from sim.report.captions import alternative, caption
from sim.result import Result
from sim.run import simulate
from sim.scenario import Model, Replicas, RequestClass, Scenario, Slo, Version, Weighted
from sim.service import Constant, Exponential

UNITS = r"\((s|min|h|days)\)|requests/s|replicas|requests waiting|share|USD"


def version(name: str, replicas: int, cost_per_hour: float = 1.0) -> Version:
    return Version(
        name=name,
        service=Exponential(mean_s=4.0),
        startup=Constant(value_s=120.0),
        cost_per_hour=cost_per_hour,
        replicas=Replicas(initial=replicas, at_most=20),
    )


def busy_scenario() -> Scenario:
    """Four hours of two versions; the second grows after an hour and shrinks after two."""
    return Scenario(
        name="busy",
        horizon_s=4 * 3600.0,
        slo=Slo(response_s=10.0),
        models=(
            Model(
                name="m", routing=Weighted(weights={"v1": 3, "v2": 1}), versions=(version("v1", 4), version("v2", 1))
            ),
        ),
        traffic=(RequestClass(name="a", model="m", arrivals=Poisson(rate_per_s=0.8)),),
        policy=ScheduleSpec(steps=(Step(at_s=3600.0, replicas={"v2": 3}), Step(at_s=7200.0, replicas={"v2": 1}))),
    )


def lone_scenario(at_s: tuple[float, ...], replicas: int) -> Scenario:
    return Scenario(
        name="lone",
        horizon_s=60.0,
        slo=Slo(response_s=10.0),
        models=(Model(name="m", versions=(version("v1", replicas, 0.0),)),),
        traffic=(RequestClass(name="a", model="m", arrivals=Times(at_s=at_s)),),
    )


@pytest.fixture(scope="module")
def busy() -> Result:
    return simulate(busy_scenario())


@pytest.fixture(scope="module")
def nothing_arrived() -> Result:
    return simulate(lone_scenario((100.0,), 1))


@pytest.fixture(scope="module")
def nothing_served() -> Result:
    return simulate(lone_scenario((1.0, 2.0), 0))


def visible(figure: Figure) -> Iterator[Axes]:
    return (ax for ax in figure.axes if ax.axison)


def patches(ax: Any) -> list[Any]:
    return list(ax.patches)


def heights(steps: Any) -> Any:
    return steps.get_data().values


def points(line: Any) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(*line.get_data(), strict=True)]


def legend_colors(ax: Any) -> dict[str, str]:
    handles, names = ax.get_legend_handles_labels()
    found = dict(zip(names, handles, strict=True))
    return {n: to_hex(h.get_facecolor() if hasattr(h, "get_facecolor") else h.get_color()) for n, h in found.items()}


def test_every_axis_names_what_it_shows_and_its_unit(busy: Result) -> None:
    for figure in plots.figures(busy).values():
        for ax in visible(figure):
            assert re.search(UNITS, ax.get_ylabel())
            assert ax.get_title(loc="left")
        assert re.search(UNITS, list(visible(figure))[-1].get_xlabel())


def test_time_has_the_unit_of_the_run(busy: Result, nothing_arrived: Result) -> None:
    assert plots.rates(busy).get_xlabel() == "time (h)"
    assert plots.rates(busy).get_xlim() == (0, 4)
    assert plots.rates(nothing_arrived).get_xlabel() == "time (s)"


def test_a_version_has_one_color_in_every_figure(busy: Result) -> None:
    expected = {pool: color.lower() for pool, color in colors(busy).items()}
    for draw in (plots.rates, plots.queues, plots.response_tails, plots.cost):
        found = legend_colors(draw(busy))
        assert {pool: found[pool] for pool in expected} == expected


def test_the_areas_under_the_rates_are_the_requests(busy: Result) -> None:
    *areas, arrived = patches(plots.rates(busy))
    part_s = busy.end_s / 128
    counts = busy.figures.overall.requests
    assert np.sum(heights(areas[-1])) * part_s == pytest.approx(counts.completed)
    assert np.sum(heights(arrived)) * part_s == pytest.approx(counts.arrived)
    first = busy.figures.by_version["m/v1"].requests.completed
    assert np.sum(heights(areas[0])) * part_s == pytest.approx(first)


def test_the_area_under_the_cost_is_the_cost(busy: Result) -> None:
    top = heights(patches(plots.cost(busy))[-1])
    assert np.sum(top) * busy.end_s / 128 / 3600 == pytest.approx(busy.figures.overall.cost)


def test_replicas_wanted_step_when_the_schedule_says_so(busy: Result) -> None:
    _, second = visible(plots.replicas(busy))
    steps = points(second.lines[0])
    assert [later for before, later in pairwise(steps) if before[1] != later[1]] == [(1, 3), (2, 1)]


def test_replicas_that_start_are_pale_until_they_are_ready(busy: Result) -> None:
    _, second = visible(plots.replicas(busy))
    ready, starting, *_ = second.collections
    assert starting.get_alpha() == 0.3
    assert ready.get_alpha() == 0.8
    spans = [path.get_extents() for path in starting.get_paths()]
    startup_h = 120 / 3600
    assert [(s.x0, s.y0, s.x1, s.y1) for s in spans] == [pytest.approx((1, 1, 1 + startup_h, 3))]


def test_a_longest_queue_is_not_lost_in_a_long_run(busy: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "MOST_QUEUES", 10_000)
    assert "the shade its peak" not in caption("queues", busy)
    monkeypatch.setattr(plots, "MOST_QUEUES", 10)
    assert "the shade its peak" in caption("queues", busy)
    queued = busy.pools.loc[busy.pools["pool"] == "m/v1", "requests_queued"]
    ax = plots.queues(busy)
    shade = ax.collections[0].get_paths()[0].get_extents()
    assert shade.y1 == queued.max() > 0
    line = points(ax.lines[0])
    assert len(line) == 10
    assert np.mean([y for _, y in line]) == pytest.approx(queued.mean(), rel=0.01)


def test_the_objective_is_where_it_is_said_to_be(busy: Result) -> None:
    assert [points(line)[0][1] for line in plots.response_quantiles(busy).lines[3:]] == [10.0]
    marks = [points(line)[0][0] for line in plots.response_distribution(busy).lines]
    assert marks == [*(busy.figures.overall.response_s[p].value for p in ("p50", "p95", "p99")), 10.0]


def test_the_bars_of_the_distribution_are_all_completed_requests(busy: Result) -> None:
    counts = busy.figures.overall.requests
    shares = [bar.get_height() for bar in patches(plots.response_distribution(busy))]
    assert sum(shares) == pytest.approx(counts.completed / counts.arrived)


def test_a_warmup_is_shaded_and_told(busy: Result) -> None:
    warm = simulate(replace(busy_scenario(), horizon_s=3600.0, warmup_s=900.0))
    shaded = [patch for patch in patches(plots.rates(warm)) if patch.get_hatch()]
    assert [patch.get_width() for patch in shaded] == [15]
    assert "Hatched: the warm-up of 15 min" in caption("rates", warm)
    assert not [patch for patch in patches(plots.rates(busy)) if patch.get_hatch()]


def test_only_the_first_of_replications_is_drawn_by_tick_and_the_caption_says_so() -> None:
    result = simulate(replace(busy_scenario(), horizon_s=600.0), replications=2)
    first, _ = visible(plots.replicas(result))
    assert {wanted for _, wanted in points(first.lines[0])} == {4}
    assert "From the first of 2 replications." in caption("replicas", result)
    assert "From all 2 replications." in caption("rates", result)
    top = heights(patches(plots.rates(result))[1])
    assert np.sum(top) * 600 / 128 == pytest.approx(result.figures.overall.requests.completed)


def test_of_many_pools_the_eight_largest_are_shown() -> None:
    versions = tuple(version(f"v{i}", i) for i in range(1, 11))
    model = Model(name="m", routing=Weighted(weights={f"v{i}": 1 for i in range(1, 11)}), versions=versions)
    result = simulate(
        replace(
            busy_scenario(),
            horizon_s=60.0,
            models=(model,),
            policy=ScheduleSpec(steps=(Step(at_s=9e9, replicas={"v1": 1}),)),
        )
    )
    assert shown_pools(result) == [f"m/v{i}" for i in range(3, 11)]
    assert len(list(visible(plots.replicas(result)))) == 8
    assert "8 of 10 pools" in caption("replicas", result)
    assert "2 others" in legend_colors(plots.rates(result))


def test_a_run_without_requests_can_be_drawn(nothing_arrived: Result, nothing_served: Result) -> None:
    for result in (nothing_arrived, nothing_served):
        found = plots.figures(result)
        assert set(found) == {"rates", "replicas", "queues", "response_quantiles", "response_distribution"}
        words = [text.get_text() for ax in found["response_distribution"].axes for text in ax.texts]
        assert "no request was completed" in words
        assert all(svg(figure) for figure in found.values())


def test_figures_go_into_axes_that_are_given(busy: Result) -> None:
    top, bottom = Figure().subplots(2)
    assert plots.rates(busy, top) is top
    assert plots.replicas(busy, [top, bottom]) is top.figure


def test_a_notebook_shows_figures_and_axes(busy: Result) -> None:
    shown: list[Any] = [plots.rates(busy), plots.replicas(busy)]
    assert all(drawn._repr_png_().startswith(b"\x89PNG") for drawn in shown)


def test_no_global_state_is_touched(busy: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    monkeypatch.setitem(mpl.rcParams, "font.size", 17)
    svg(plots.rates(busy))
    assert mpl.rcParams["font.size"] == 17
    assert "matplotlib.pyplot" not in sys.modules


def test_a_users_own_style_changes_nothing(busy: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = svg(plots.rates(busy))
    monkeypatch.setitem(mpl.rcParams, "lines.linewidth", 7)
    monkeypatch.setitem(mpl.rcParams, "axes.facecolor", "black")
    assert svg(plots.rates(busy)) == ours


def test_files_are_whole_well_formed_and_the_same_each_time(busy: Result, tmp_path: Path) -> None:
    paths = plots.save_figures(busy, tmp_path / "once")
    again = plots.save_figures(busy, tmp_path / "again")
    assert sorted(p.name for p in (tmp_path / "once").iterdir()) == [p.name for p in paths]
    assert {p.stem for p in paths} == set(plots.FIGURES)
    for path, other in zip(paths, again, strict=True):
        assert path.read_bytes() == other.read_bytes()
        if path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_a_figure_that_fails_leaves_nothing_behind(
    busy: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Result) -> Axes:
        raise ZeroDivisionError

    monkeypatch.setitem(plots.FIGURES, "cost", broken)
    with pytest.raises(ZeroDivisionError):
        plots.save_figures(busy, tmp_path)
    assert not list(tmp_path.iterdir())


def test_those_who_cannot_see_are_told_the_numbers(busy: Result) -> None:
    told = {name: alternative(name, busy) for name in plots.FIGURES}
    assert "m/v2 from 1 to 3 wanted" in told["replicas"]
    assert "the objective is 95 % within 10 s" in told["response_quantiles"]
    assert all(len(words) > 40 for words in told.values())
