import io
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sim.traces import Counts, Labels, Trace
from sim.traces.description import Description, describe, dispersion, peak_busy, peak_rate_per_s, scv, spread
from sim.traces.figure import figure
from sim.traces.tables import tables

HOUR_S = 3600.0
DAY_S = 86400.0


def trace(time_s: object, **columns: object) -> Trace:
    times = np.asarray(time_s, np.float64)
    return Trace(name="made", format="made", time_s=times - times[0], **columns)  # type: ignore[arg-type]


def poisson(rate_per_s: float, n: int, seed: int = 1) -> np.ndarray:
    times = np.cumsum(np.random.default_rng(seed).exponential(1 / rate_per_s, n))
    return np.asarray(times - times[0])


def counted(time_s: np.ndarray, interval_s: float, start: str | None = None) -> Counts:
    """The whole intervals of a trace, as a count series."""
    intervals = int(time_s[-1] // interval_s)
    count = np.bincount((time_s // interval_s).astype(int), minlength=intervals)[:intervals]
    times = np.arange(intervals) * interval_s
    return Counts(name="made", format="made", time_s=times, count=count, interval_s=interval_s, start=start)


def index(description: Description) -> dict[float, float]:
    return {entry.scale_s: entry.index for entry in description.dispersion}


def printed(description: Description) -> str:
    console = Console(file=io.StringIO(), width=200)
    for table in tables(description):
        console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


# Arrivals.


def test_a_regular_stream_has_no_dispersion_and_a_poisson_stream_has_one() -> None:
    regular = describe(trace(np.arange(10_000) + 0.0))
    assert index(regular)[10] == pytest.approx(0, abs=1e-12)
    assert regular.interarrival_scv == pytest.approx(0, abs=1e-12)
    random = describe(trace(poisson(2.0, 100_000)))
    assert all(value == pytest.approx(1, rel=0.15) for scale_s, value in index(random).items() if scale_s <= 300)
    assert random.interarrival_scv == pytest.approx(1, rel=0.02)
    assert random.rate_per_s == pytest.approx(2, rel=0.01)


@given(st.lists(st.floats(0, 30), min_size=60, max_size=200), st.sampled_from([1, 2, 5]))
def test_dispersion_is_variance_over_mean_of_counts(gaps: list[float], scale_s: int) -> None:
    time_s = np.cumsum([0.0, *gaps])
    found = dispersion(time_s, scale_s)
    windows = int(time_s[-1] // scale_s)
    if windows < 20:
        assert found is None
        return
    counts = np.bincount((time_s // scale_s).astype(int))[:windows]
    assert found is not None
    assert found.windows == windows
    assert found.index == pytest.approx(counts.var(ddof=1) / counts.mean())


def test_arrivals_in_threes_have_three_times_the_dispersion() -> None:
    alone = poisson(1.0, 5000)
    single, triple = dispersion(alone, 30), dispersion(np.repeat(alone, 3), 30)
    assert single is not None
    assert triple is not None
    assert triple.index == pytest.approx(3 * single.index)


def test_scales_need_twenty_windows() -> None:
    assert max(index(describe(trace(np.arange(0, 1201, 3.0))))) == 60


def test_a_coarse_clock_tells_nothing_of_shorter_times() -> None:
    ticks = np.floor(poisson(4.0, 20_000) / 3.0) * 3.0
    description = describe(trace(ticks))
    assert description.clock_step_s == 3
    assert description.interarrival_scv is None
    assert min(index(description)) == 30
    whole = describe(trace(np.floor(poisson(0.2, 20_000))))
    assert min(index(whole)) == 1
    assert whole.interarrival_scv == pytest.approx(1, rel=0.05)


@given(st.lists(st.integers(0, 90), min_size=1, max_size=40), st.integers(1, 120))
def test_the_peak_is_that_of_the_fullest_window(gaps: list[int], window_s: int) -> None:
    time_s = np.cumsum([0.0, *gaps])
    fullest = max(np.sum((time_s >= begin) & (time_s < begin + window_s)) for begin in time_s)
    expected = fullest / window_s if time_s[-1] >= window_s else None
    assert peak_rate_per_s(time_s, window_s) == expected


def test_a_trace_counted_says_what_the_trace_says() -> None:
    time_s = poisson(0.5, 200_000)
    whole = trace(time_s, start="2030-01-01T00:00:00")
    series = describe(counted(time_s, 60.0, start="2030-01-01T00:00:00"))
    described = describe(whole)
    assert series.requests == pytest.approx(described.requests, abs=60)
    assert series.rate_per_s == pytest.approx(described.rate_per_s, rel=1e-3)
    for scale_s, value in index(series).items():
        assert value == pytest.approx(index(described)[scale_s], rel=0.02)
    assert series.peak_hour_rate_per_s == pytest.approx(described.peak_hour_rate_per_s, rel=0.02)
    assert series.rate_by_hour_of_day_per_s is not None
    assert described.rate_by_hour_of_day_per_s is not None
    assert series.rate_by_hour_of_day_per_s == pytest.approx(described.rate_by_hour_of_day_per_s, rel=0.02)


def test_an_interval_without_a_row_is_unknown_not_empty() -> None:
    full = Counts(name="c", format="c", time_s=np.arange(100) * 60.0, count=np.full(100, 6), interval_s=60.0)
    kept = np.delete(np.arange(100), [50, 51])
    holed = replace(full, time_s=full.time_s[kept], count=full.count[kept])
    description = describe(holed)
    assert description.rate_per_s == pytest.approx(0.1)
    assert set(index(description).values()) == {0}
    assert description.peak_minute_rate_per_s == pytest.approx(0.1)
    assert description.peak_hour_rate_per_s is None
    assert describe(full).peak_hour_rate_per_s == pytest.approx(0.1)


def test_hours_of_the_day_are_those_of_the_start_and_weighed_by_the_time_spent_in_them() -> None:
    noons = np.concatenate([[day * DAY_S + s for s in range(0, 3600, 36)] for day in range(3)])
    description = describe(trace(noons, start="2030-01-01T12:00:00+02:00"))
    rates = description.rate_by_hour_of_day_per_s
    assert rates is not None
    # Three noons, the last cut off 36 s before its end.
    assert rates[12] == pytest.approx(300 / (3 * HOUR_S - 36))
    assert sum(rates) == rates[12]
    late = describe(trace(noons + 0.0, start="2030-01-01T12:30:00")).rate_by_hour_of_day_per_s
    assert late is not None
    # Half of each hour now falls before one o'clock, and the first noon lacks its first half.
    assert late[12] == pytest.approx(150 / (2.5 * HOUR_S))
    assert describe(trace(noons)).rate_by_hour_of_day_per_s is None
    assert describe(trace(noons[:150], start="2030-01-01T12:00:00")).rate_by_hour_of_day_per_s is None


# Work.


def test_spread_leaves_unknown_values_out() -> None:
    found = spread(np.array([4.0, np.nan, 2.0, 6.0]))
    assert found is not None
    assert (found.known, found.mean, found.minimum, found.p50, found.maximum) == (3, 4, 2, 4, 6)
    assert found.scv == pytest.approx(4 / 16)
    assert spread(np.array([np.nan])) is None
    assert spread(None) is None
    assert scv(np.array([7.0])) is None


def test_failed_requests_hold_replicas_but_tell_no_service_time() -> None:
    columns = {"service_s": np.array([10.0, 10.0, 40.0]), "failed": np.array([False, False, True])}
    description = describe(trace([0, 50, 100], **columns))
    assert description.service is not None
    assert description.service.mean == 10
    assert description.failed == 1
    assert description.offered_load == pytest.approx(60 / 100)
    [version] = describe(trace([0, 50, 100], version=Labels.of(["v"] * 3), **columns)).versions
    assert (version.service, version.failed) == (description.service, 1)
    assert version.offered_load == description.offered_load


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 50) | st.none()), min_size=1, max_size=30))
def test_peak_busy_is_the_most_intervals_over_one_moment(rows: list[tuple[int, int | None]]) -> None:
    time_s = np.cumsum([float(gap) for gap, _ in rows])
    service_s = np.array([np.nan if s is None else float(s) for _, s in rows])
    # Whole seconds, so the middles of seconds see every overlap.
    moments = np.arange(time_s[-1] + 51) + 0.5
    inside = (time_s[:, None] < moments) & (moments < (time_s + service_s)[:, None])
    assert peak_busy(time_s, service_s) == inside.sum(axis=0).max()


def versions() -> Trace:
    generator = np.random.default_rng(3)
    n = 4000
    names = [f"v{i}" if i else "" for i in (generator.pareto(1.0, n) * 2).astype(int) % 30]
    return trace(
        poisson(1.0, n, seed=4),
        start="2030-01-01T06:00:00",
        version=Labels.of(names),
        request_class=Labels.of(generator.choice(["chat", "batch"], n).tolist()),
        service_s=np.where(generator.random(n) < 0.1, np.nan, generator.exponential(5.0, n)),
        failed=generator.random(n) < 0.05,
    )


def test_versions_share_out_the_whole() -> None:
    whole = versions()
    full = replace(whole, service_s=np.nan_to_num(whole.service_s, nan=1.0))
    description = describe(full)
    assert sum(group.requests for group in description.versions) == 4000
    assert sum(group.share for group in description.versions) == pytest.approx(1)
    assert sum(group.failed for group in description.versions) == description.failed
    loads = [group.offered_load for group in description.versions if group.offered_load is not None]
    assert sum(loads) == pytest.approx(description.offered_load)
    assert description.peak_busy is not None
    assert max(group.peak_busy or 0 for group in description.versions) <= description.peak_busy


def test_versions_come_largest_first_and_the_unknown_last() -> None:
    labels = Labels.of(["b", "", "a", "a", "", "", "c"])
    groups = describe(trace(range(7), version=labels)).versions
    assert [(group.name, group.requests) for group in groups] == [("a", 2), ("b", 1), ("c", 1), (None, 3)]
    assert (groups[0].first_s, groups[0].last_s) == (2, 3)
    assert groups[0].service is None


# Showing.

SHOWN = {
    "one request": trace([0.0]),
    "two at once": trace([0.0, 0.0]),
    "thirty at once": trace(np.zeros(30)),
    "regular": trace(np.arange(3000.0)),
    "versions": versions(),
    "tokens": trace(poisson(3.0, 500), context_tokens=np.full(500, 9.0), generated_tokens=np.full(500, np.nan)),
    "days": trace(poisson(0.01, 6000), start="2030-01-01T06:00:00"),
    "coarse clock": trace(np.floor(poisson(9.0, 3000) / 3) * 3),
    "services of 0": trace([0.0, 1.0, 5.0], service_s=np.zeros(3)),
    "counts": counted(poisson(0.5, 90_000), 300.0, start="2030-01-01"),
    "counts of an odd interval": counted(poisson(0.5, 90_000), 7.0),
    "one count": counted(np.array([0.0, 60.0]), 60.0),
    "no requests": Counts(name="c", format="c", time_s=np.arange(40) * 60.0, count=np.zeros(40, int), interval_s=60.0),
}


@pytest.mark.parametrize("name", SHOWN)
def test_any_trace_can_be_described_printed_and_drawn(name: str) -> None:
    description = describe(SHOWN[name])
    assert json.loads(json.dumps(description.plain(), allow_nan=False))["requests"] == description.requests
    assert "requests" in printed(description)
    drawing = figure(SHOWN[name], description)
    drawing.savefig(io.BytesIO(), format="png")
    assert drawing.axes
    for axes in drawing.axes:
        assert axes.get_title()
        assert axes.get_xlabel()


def test_panels_show_what_the_trace_knows() -> None:
    titles = [axes.get_title().split(" in ")[0] for axes in figure(versions(), describe(versions())).axes]
    assert titles == [
        "rate",
        "index of dispersion of counts",
        "interarrival times",
        "service times",
        "versions, with mean service time",
    ]


def test_the_drawn_rate_adds_up_to_the_requests() -> None:
    whole = SHOWN["days"]
    [patch] = figure(whole, describe(whole)).axes[0].patches
    per_hour, days = patch.get_data().values, patch.get_data().edges  # type: ignore[attr-defined]
    assert np.sum(per_hour * np.diff(days) * 24) == pytest.approx(6000)


def test_tables_name_the_largest_versions_and_sum_up_the_rest() -> None:
    text = printed(describe(versions()))
    assert "v1 " in text
    assert "others" in text
    assert "times the mean" in text
    assert "chat" in text
