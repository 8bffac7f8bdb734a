"""Forecasting methods, and what is kept of their errors."""

from collections.abc import Iterator
from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from policies.forecasts import (
    METHODS,
    Autoregression,
    Bin,
    Forecaster,
    HoltWinters,
    RateSeries,
    SeasonalNaive,
    Smoothing,
    found_season,
)
from policies.forecasts.holt_winters import GRIDS

AIRLINE = (
    "112 118 132 129 121 135 148 148 136 119 104 118 115 126 141 135 125 149 170 170 158 133 114 140 "
    "145 150 178 163 172 178 199 199 184 162 146 166 171 180 193 181 183 218 230 242 209 191 172 194 "
    "196 196 236 235 229 243 264 272 237 211 180 201 204 188 235 227 234 264 302 293 259 229 203 229"
)
"""Airline passengers a month, in thousands, 1949-1954: Box and Jenkins 1970, series G."""


def airline() -> NDArray[np.float64]:
    return np.array([float(x) for x in AIRLINE.split()])


def days(count: int, season: int = 96, seed: int = 1, mean: float = 200.0) -> NDArray[np.float64]:
    """Poisson counts a bin around a daily course that grows sharper once a day."""
    n = np.arange(count * season)
    course = mean * (1 + 0.6 * np.sin(2 * np.pi * n / season) + 0.2 * np.sin(4 * np.pi * n / season))
    return np.random.default_rng(seed).poisson(course).astype(float)


# Bins out of a counter.


def read(series: RateSeries, readings: list[tuple[float, float]]) -> list[Bin]:
    return [a_bin for taken_s, total in readings for a_bin in series.see(taken_s, total)]


def test_a_bin_holds_the_rate_of_its_time() -> None:
    readings = [(0.0, 0.0), (30.0, 15.0), (60.0, 60.0), (120.0, 60.0)]
    assert read(RateSeries(60.0), readings) == [Bin(0, 1.0), Bin(1, 0.0)]


def test_lost_readings_cost_no_arrivals() -> None:
    every = [(t, 2.0 * t) for t in np.arange(0.0, 601.0, 15.0)]
    some = [reading for i, reading in enumerate(every) if i % 7 == 0 or i == len(every) - 1]
    assert read(RateSeries(60.0), some) == read(RateSeries(60.0), every) == [Bin(n, 2.0) for n in range(10)]


def test_a_restarted_counter_leaves_its_bin_unknown() -> None:
    readings = [(0.0, 500.0), (60.0, 560.0), (120.0, 20.0), (180.0, 80.0)]
    first, restarted, last = read(RateSeries(60.0), readings)
    assert (first, last) == (Bin(0, 1.0), Bin(2, 1.0))
    assert isnan(restarted.rate_per_s)


def test_a_short_restart_costs_less_than_half_a_bin_and_the_rest_is_believed() -> None:
    readings = [(0.0, 100.0), (30.0, 130.0), (45.0, 145.0), (60.0, 3.0), (120.0, 63.0)]
    assert read(RateSeries(60.0), readings) == [Bin(0, 1.0), Bin(1, 1.0)]


def test_after_a_long_silence_the_bins_between_are_left_out() -> None:
    readings = [(0.0, 0.0), (60.0, 60.0), (6000.0, 6000.0), (6060.0, 6060.0)]
    found = read(RateSeries(60.0), readings)
    assert [(b.number, isnan(b.rate_per_s)) for b in found] == [(0, False), (1, True), (100, False)]


def test_bins_lie_where_they_do_whenever_collecting_began() -> None:
    readings = [(t, t**1.5) for t in np.arange(0.0, 1000.0, 17.0)]
    whole, late = read(RateSeries(60.0, 13.0), readings), read(RateSeries(60.0, 13.0), readings[20:])
    assert late[1:] == whole[-len(late) + 1 :]


def test_now_is_the_rate_of_the_last_bins_length() -> None:
    series = RateSeries(60.0)
    assert series.recent() is None
    read(series, [(t, 2.0 * t if t <= 60 else 120 + 3 * (t - 60)) for t in np.arange(0.0, 121.0, 15.0)])
    assert series.recent() == (180.0, 60.0)


def test_after_a_jump_now_is_the_rate_since_the_last_reading() -> None:
    series = RateSeries(60.0)
    read(series, [(0.0, 0.0), (15.0, 30.0), (30.0, 60.0), (45.0, 90.0), (60.0, 180.0)])
    assert series.recent() == (90.0, 15.0)
    read(series, [(75.0, 270.0), (90.0, 360.0), (105.0, 450.0)])
    assert series.recent() == (360.0, 60.0)
    read(series, [(120.0, 451.0)])
    assert series.recent() == (1.0, 15.0)


@given(st.lists(st.tuples(st.floats(0.5, 200.0), st.integers(0, 50)), min_size=2, max_size=60))
def test_no_arrival_is_lost_or_counted_twice(steps: list[tuple[float, int]]) -> None:
    series, t, total, found = RateSeries(60.0), 0.0, 0, []
    for length_s, count in steps:
        found += series.see(t, float(total))
        t, total = t + length_s, total + count
    closed_s = 60.0 * len(found)
    known = sum(b.rate_per_s * 60 for b in found)
    before = np.interp(closed_s, *zip((0.0, 0), *_so_far(steps), strict=True)) if found else 0.0
    assert known == pytest.approx(before, abs=1e-6)


def _so_far(steps: list[tuple[float, int]]) -> Iterator[tuple[float, int]]:
    t, total = 0.0, 0
    for length_s, count in steps:
        t, total = t + length_s, total + count
        yield t, total


# The methods.


def test_seasonal_naive_is_last_season() -> None:
    method = SeasonalNaive(np.arange(8.0), season=4)
    assert [method.ahead(k) for k in range(1, 7)] == [4.0, 5.0, 6.0, 7.0, 4.0, 5.0]
    method.see(8.0)
    assert [method.ahead(k) for k in range(1, 5)] == [5.0, 6.0, 7.0, 8.0]


def test_seasonal_naive_goes_back_a_second_season_where_the_first_is_unknown() -> None:
    method = SeasonalNaive(np.array([0.0, 1.0, 2.0, 3.0, nan, 5.0, 6.0, 7.0]), season=4)
    assert (method.ahead(1), method.ahead(2)) == (0.0, 5.0)
    assert SeasonalNaive(np.full(8, nan), season=4).ahead(1) is None
    assert SeasonalNaive.fitted(np.arange(8.0), None) is None


def test_holt_winters_smooths_by_the_textbook() -> None:
    method = HoltWinters(Smoothing(0.5, 0.5, 0.5, 0.8), level=10.0, trend=1.0, season=[2.0, -2.0])
    assert method.ahead(1) == pytest.approx(10 + 0.8 + 2)
    method.see(14.8)  # an error of 2: the level follows by 1, the trend by 0.5, the season by 1
    assert (method.level, method.trend) == pytest.approx((11.8, 1.3))
    assert method.ahead(1) == pytest.approx(11.8 + 0.8 * 1.3 - 2)
    assert method.ahead(2) == pytest.approx(11.8 + (0.8 + 0.64) * 1.3 + 3)


def test_a_fit_ends_where_feeding_one_bin_after_the_other_does() -> None:
    past = airline()
    whole = HoltWinters.fitted(past, 12, 3)
    assert whole is not None
    fed = HoltWinters(whole.smoothing, *_start_of(past, 12))
    for rate in past:
        fed.see(rate)
    assert [fed.ahead(k) for k in range(1, 30)] == pytest.approx([whole.ahead(k) for k in range(1, 30)])


def test_a_fit_takes_the_parameters_that_err_least_so_many_steps_ahead() -> None:
    past, steps = airline(), 5
    fitted = HoltWinters.fitted(past, 12, steps)
    assert fitted is not None

    def error(smoothing: Smoothing) -> float:
        method, off = HoltWinters(smoothing, *_start_of(past, 12)), []
        for now, later in zip(past[:-steps], past[steps:], strict=True):
            method.see(now)
            off.append(abs((method.ahead(steps) or 0.0) - later))
        return float(np.mean(off))

    tried = [Smoothing(*column) for column in GRIDS[True].T.tolist()]
    assert fitted.smoothing == min(tried, key=error)


def _start_of(past: NDArray[np.float64], season: int) -> tuple[float, float, list[float]]:
    first, second = past[:season], past[season : 2 * season]
    seasons = (first - first.mean() + second - second.mean()) / 2
    return float(first.mean()), float(second.mean() - first.mean()) / season, seasons.tolist()


@pytest.mark.parametrize("phi", [0.9, 0.98])
def test_holt_winters_agrees_with_statsmodels(phi: float) -> None:
    ets = pytest.importorskip("statsmodels.tsa.exponential_smoothing.ets")
    past = airline()
    level, trend, seasons = _start_of(past, 12)
    model = ets.ETSModel(
        past,
        trend="add",
        damped_trend=True,
        seasonal="add",
        seasonal_periods=12,
        initialization_method="known",
        initial_level=level,
        initial_trend=trend,
        initial_seasonal=seasons,
    )
    # There beta is the product of ours with alpha, and the season before the start is told backwards.
    theirs = model.smooth([0.4, 0.4 * 0.2, 0.3, phi, level, trend, *reversed(seasons)])
    ours = HoltWinters(Smoothing(0.4, 0.2, 0.3, phi), level, trend, seasons)
    for rate in past:
        ours.see(rate)
    assert [ours.ahead(k) for k in range(1, 25)] == pytest.approx(theirs.forecast(24).tolist(), rel=1e-9)


def test_autoregression_finds_the_coefficients_of_what_it_was_made_from() -> None:
    draws = np.random.default_rng(3).normal(0, 1, 6000)
    y = [20.0, 20.0]
    for n, draw in enumerate(draws):
        y.append(10 + 0.3 * y[-1] + 0.2 * y[-2] + 3 * np.cos(2 * np.pi * n / 24) + draw)
    method = Autoregression.fitted(np.array(y), 24, lags=2)
    assert method is not None
    assert method.lagged == pytest.approx((0.3, 0.2), abs=0.04)


@pytest.mark.parametrize("season", [None, 12])
def test_autoregression_agrees_with_statsmodels(season: int | None) -> None:
    ar_model = pytest.importorskip("statsmodels.tsa.ar_model")
    past = airline()
    n = np.arange(len(past) + 24)
    waves = [f(2 * np.pi * j * n / 12) for j in range(1, 5) for f in (np.cos, np.sin)]
    known = {} if season is None else {"exog": np.column_stack(waves)[: len(past)]}
    ahead = {} if season is None else {"exog_oos": np.column_stack(waves)[len(past) :]}
    theirs = ar_model.AutoReg(past, lags=3, trend="c", **known).fit().predict(len(past), len(past) + 23, **ahead)
    ours = Autoregression.fitted(past, season, lags=3)
    assert ours is not None
    assert [ours.ahead(k) for k in range(1, 25)] == pytest.approx(theirs.tolist(), rel=1e-6)


def test_autoregression_of_a_constant_is_that_constant() -> None:
    method = Autoregression.fitted(np.full(300, 7.0), 24)
    assert method is not None
    assert method.ahead(5) == pytest.approx(7.0)


def test_too_short_a_past_is_fitted_by_none() -> None:
    assert Autoregression.fitted(np.arange(20.0), None) is None
    assert HoltWinters.fitted(np.arange(10.0), None) is None
    assert HoltWinters.fitted(np.full(200, nan), 24) is None


@pytest.mark.parametrize("name", METHODS)
def test_unknown_bins_are_passed_over(name: str) -> None:
    """A day with holes is forecast nearly as the same day without."""
    past, tomorrow = days(4), days(5)[-96:]
    holed = past.copy()
    holed[np.random.default_rng(2).random(len(past)) < 0.2] = nan
    holed[-1] = nan
    whole, part = METHODS[name](past, 96, 4), METHODS[name](holed, 96, 4)
    assert whole is not None
    assert part is not None
    assert _error(part, tomorrow) < 1.5 * _error(whole, tomorrow) < 0.2


def _error(method: Forecaster, series: NDArray[np.float64], steps: int = 4) -> float:
    """Mean absolute error so many steps ahead, as a share of the mean."""
    off = []
    for n in range(len(series) - steps):
        off.append(abs((method.ahead(steps) or 0.0) - series[n + steps - 1]))
        method.see(series[n])
    return float(np.mean(off) / series.mean())


@pytest.mark.parametrize("name", METHODS)
def test_each_method_beats_as_now_on_a_load_with_a_daily_course(name: str) -> None:
    method = METHODS[name](days(4), 96, 8)
    assert method is not None
    tomorrow = days(5)[-96:]
    as_now = float(np.abs(tomorrow[8:] - tomorrow[:-8]).mean() / tomorrow.mean())
    assert _error(method, tomorrow, steps=8) < 0.5 * as_now


# The season.


@pytest.mark.parametrize("season", [24, 96, 250])
def test_a_season_is_found_once_two_were_seen(season: int) -> None:
    counts = days(4, season)
    assert found_season(counts[: 2 * season + 8]) == pytest.approx(season, rel=0.03)
    assert found_season(counts) == pytest.approx(season, rel=0.03)
    assert found_season(counts[: int(1.5 * season)]) is None


def test_the_shortest_of_a_days_and_a_weeks_season_is_taken() -> None:
    n = np.arange(14 * 48)
    week = 100 + 60 * np.sin(2 * np.pi * n / 48) + 20 * np.sin(2 * np.pi * n / (7 * 48))
    assert found_season(np.random.default_rng(1).poisson(week).astype(float)) == pytest.approx(48, abs=1)


@pytest.mark.parametrize("seed", range(10))
def test_no_season_is_found_in_noise_in_a_drift_or_in_a_random_walk(seed: int) -> None:
    draws = np.random.default_rng(seed)
    assert found_season(draws.poisson(50, 600).astype(float)) is None
    assert found_season(draws.poisson(50 + np.arange(600) / 3).astype(float)) is None
    assert found_season(np.full(600, 3.0)) is None
