"""What is kept of a method's errors: quantiles that cover, trust lost and won, and a memory that comes back."""

from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from policies.forecasts import METHODS, Bin, Outlook, Rates, Track

SEASON = 48
BIN_S = 60.0


def course(count: int, mean_per_s: float) -> NDArray[np.float64]:
    n = np.arange(count)
    return mean_per_s * (1 + 0.7 * np.sin(2 * np.pi * n / SEASON))


def poisson(rates: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).poisson(rates * BIN_S) / BIN_S


def outlook(methods: tuple[str, ...] = tuple(METHODS), steps: int = 3, season: int | None = SEASON) -> Outlook:
    return Outlook({name: METHODS[name] for name in methods}, steps, season, history=3 * SEASON)


def covered(view: Outlook, rates: NDArray[np.float64], share: float, steps: int = 3) -> float:
    """The share of bins in which the rate did not exceed the quantile forecast for them."""
    told: list[float | None] = []
    for n, rate in enumerate(rates.tolist()):
        view.see(Bin(n, rate))
        told.append(view.quantile(view.track, share))
    after = 5 * SEASON
    pairs = [(told[n - steps], rates[n]) for n in range(after, len(rates))]
    return float(np.mean([rate <= limit for limit, rate in pairs if limit is not None]))


@pytest.mark.parametrize("method", [*METHODS, "auto"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_quantile_covers_what_it_says(method: str, share: float) -> None:
    names = tuple(METHODS) if method == "auto" else (method,)
    rates = poisson(course(30 * SEASON, 2.0), seed=5)
    assert covered(outlook(names), rates, share) == pytest.approx(share, abs=0.04)


def test_a_quantile_covers_by_night_as_by_day() -> None:
    rates = poisson(course(60 * SEASON, 2.0), seed=6)
    view, hits = outlook(("holt_winters",)), []
    told: list[float | None] = []
    for n, rate in enumerate(rates.tolist()):
        view.see(Bin(n, rate))
        told.append(view.quantile(view.track, 0.9))
        if n > 5 * SEASON and n % SEASON in range(30, 43):
            hits.append(rate <= (told[n - 3] or 0.0))
    assert np.mean(hits) == pytest.approx(0.9, abs=0.04)


class Told:
    """A forecaster that says what it was told to."""

    def __init__(self, says: float) -> None:
        self.says = says

    def see(self, rate: float, /) -> None: ...

    def ahead(self, _steps: int, /) -> float | None:
        return self.says


def told(says: float, steps: int = 1) -> Track:
    track = Track("told", lambda _past, _season, _steps: Told(says), steps)
    track.refit(np.zeros(1), None)
    return track


def test_nothing_is_forecast_before_a_fit_and_no_quantile_before_forty_errors() -> None:
    track = Track("none", lambda _past, _season, _steps: None, 1)
    track.see(1.0)
    assert (track.point, track.errors, track.trusted) == (None, None, False)
    track = told(4.0)
    found = []
    for _ in range(42):
        track.see(4.0)
        found.append(track.quantile(0.9))
    assert found[:40] == [None] * 40  # the first bin is not forecast
    assert found[40:] == [4.0, 4.0]


def test_a_quantile_is_that_of_the_errors_made() -> None:
    track = told(4.0)
    for n in range(100):
        track.see((9.0, 4.0, 4.0, 4.0, 1.0)[n % 5])
    assert [track.quantile(q) for q in (0.1, 0.5, 0.7, 0.9)] == [1.0, 4.0, 4.0, 9.0]


def test_an_unknown_bin_is_no_error() -> None:
    track = told(4.0)
    for n in range(60):
        track.see(nan if n % 5 == 0 else 5.0)
    assert track.errors is not None
    assert track.errors.forecast == pytest.approx(0.2)
    assert track.residuals == 36  # three of five: one is unknown, one follows an unknown bin


def test_errors_are_told_beside_those_of_as_now() -> None:
    track = told(4.0)
    for n in range(50):
        track.see(3.0 if n % 2 else 5.0)
    assert track.errors is not None
    assert (track.errors.forecast, track.errors.as_now) == pytest.approx((0.25, 0.5))
    assert track.trusted


def test_a_forecast_that_errs_more_than_as_now_loses_trust_and_wins_it_back_after_a_while() -> None:
    track = told(4.0)
    for n in range(60):
        track.see(3.0 if n % 2 else 5.0)
    trusted, better = [], []
    for n in range(200):
        # Ten bins at 12 that "as now" follows and the forecast does not.
        track.see(12.0 if n < 10 else 3.0 if n % 2 else 5.0)
        trusted.append(track.trusted)
        better.append(track.errors is not None and track.errors.relative <= 1)
    lost = trusted.index(False)
    back = trusted.index(True, lost)
    assert lost < 10
    assert all(trusted[back:])
    assert not better[back - 12]
    assert all(better[back - 11 : back + 1])
    assert not any(trusted[lost:back])


def test_auto_hears_the_method_that_erred_least() -> None:
    view = Outlook(
        {"low": lambda _past, _season, _steps: Told(1.0), "right": lambda _past, _season, _steps: Told(4.0)},
        steps=1,
        season=None,
        history=100,
    )
    for n in range(150):
        view.see(Bin(n, 3.0 if n % 2 else 5.0))
    assert view.track.name == "right"


def test_the_season_is_used_once_two_were_seen() -> None:
    view, used = outlook(), []
    for n, rate in enumerate(poisson(course(4 * SEASON, 5.0), 1).tolist()):
        view.see(Bin(n, rate))
        used.append(view.season)
    assert used.index(SEASON) in range(2 * SEASON - 1, 2 * SEASON + 24)
    assert set(used[: 2 * SEASON - 1]) == {None}


def test_no_forecast_is_more_than_twice_of_what_was_seen() -> None:
    method = Told(4.0)
    view = Outlook({"wild": lambda _past, _season, _steps: method}, steps=1, season=None, history=100)
    for n in range(200):
        method.says = 4.0 if n < 199 else 1e9
        view.see(Bin(n, 3.0 if n % 2 else 5.0))
    assert view.quantile(view.track, 0.9) == 10.0


def test_a_past_without_anything_known_is_no_fault() -> None:
    view = outlook()
    for n in range(3 * SEASON):
        view.see(Bin(n, nan))
    assert view.quantile(view.track, 0.9) is None


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 400), st.sampled_from([SEASON, None]))
def test_fed_its_memory_it_forecasts_as_one_that_has_always_been_there(
    seed: int, more: int, season: int | None
) -> None:
    whole = outlook(season=season)
    rates = poisson(course(whole.memory + 900, 2.0), seed)
    rates[np.random.default_rng(seed).random(len(rates)) < 0.02] = nan
    cut = 480 + more
    late = outlook(season=season)
    for n, rate in enumerate(rates.tolist()):
        whole.see(Bin(n, rate))
        if n >= cut:
            late.see(Bin(n, rate))
        if n >= cut + late.memory:
            assert _state(late) == _state(whole)


def _state(view: Outlook) -> list[object]:
    return [view.season, view.track.name, *((t.point, t.quantile(0.9), t.trusted, t.errors) for t in view.tracks)]


def test_bins_left_out_are_unknown() -> None:
    left_out, told_so = outlook(), outlook()
    for n, rate in enumerate(poisson(course(6 * SEASON, 2.0), 3).tolist()):
        gone = n in range(200, 220)
        told_so.see(Bin(n, nan if gone else rate))
        if not gone:
            left_out.see(Bin(n, rate))
    assert _state(left_out) == _state(told_so)


def test_a_fit_is_given_the_past_that_there_is() -> None:
    pasts: list[int] = []

    def fit(past: Rates, _season: int | None, _steps: int) -> Told:
        pasts.append(len(past))
        return Told(1.0)

    view = Outlook({"told": fit}, steps=1, season=None, history=100)
    for n in range(1000):
        view.see(Bin(n, 1.0))
    assert pasts[:3] == [49, 73, 97]
    assert set(pasts[3:]) == {100}
