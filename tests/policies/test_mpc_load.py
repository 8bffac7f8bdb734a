"""The load of a pool as model predictive control sees it: bins, the present level, and paths of what may follow."""

from collections.abc import Iterable, Iterator
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from policies import mpc_load
from policies.mpc_load import Bins, LoadHistory, settle

BIN_S = 10.0
SERVICE_S = 5.0
STEPS = 12


def history(counts: Iterable[float]) -> LoadHistory:
    """A load of which so many requests came in each bin; one reading at the end of each."""
    found = LoadHistory(BIN_S, lead=5)
    for k, total in enumerate(accumulate(counts, initial=0.0)):
        found.see(k * BIN_S, total, SERVICE_S)
    return found


def poisson(slots: float, bins: int, seed: int) -> NDArray[np.float64]:
    """Counts of a Poisson load of so many slots."""
    return np.random.default_rng(seed).poisson(slots * BIN_S / SERVICE_S, bins).astype(float)


# Bins.


def test_bins_keep_the_last_in_order_however_many_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpc_load, "LIBRARY", 20)
    bins = Bins()
    for k in range(1000):
        bins.append(float(k))
    assert bins.last(20).tolist() == list(range(980, 1000))
    assert Bins().last(5).tolist() == []


def test_a_steady_stream_is_a_steady_load_of_rate_times_service() -> None:
    # 8 requests in 10 s, of 5 s each, keep 4 slots busy.
    found = history([8.0] * 10)
    assert found.offered.last(9).tolist() == pytest.approx([4.0] * 9)
    assert [found.level, found.mean] == pytest.approx([4.0, 4.0])


gaps_s = st.floats(0.01, 60.0)


@given(st.lists(st.tuples(gaps_s, st.integers(0, 50)), min_size=2, max_size=60), st.floats(0.0, 1000.0))
def test_no_arrival_is_lost_or_counted_twice_whenever_it_is_read(
    readings: list[tuple[float, int]], begin_s: float
) -> None:
    times = list(accumulate((gap_s for gap_s, _ in readings), initial=begin_s))
    totals = list(accumulate((number for _, number in readings), initial=100))
    found = LoadHistory(BIN_S, lead=5)
    for taken_s, total in zip(times, totals, strict=True):
        found.see(taken_s, float(total), SERVICE_S)
    edges = BIN_S * (begin_s // BIN_S + np.arange(len(found.offered) + 1))
    arrived = np.diff(np.interp(edges, times, totals))
    assert found.offered.last(1000) == pytest.approx(arrived * SERVICE_S / BIN_S, abs=1e-6)


def test_a_gap_in_the_readings_is_filled_evenly() -> None:
    found = history([8.0] * 5)
    found.see(100.0, 40.0 + 20.0, SERVICE_S)
    assert len(found.offered) == 10
    assert found.offered.last(5).tolist() == pytest.approx([2.0] * 5)


def test_a_counter_that_went_back_was_restarted_from_zero() -> None:
    found = history([8.0] * 5)
    found.see(60.0, 6.0, SERVICE_S)
    assert found.offered.last(2).tolist() == pytest.approx([4.0, 3.0])


# The level.


def errors(slots: float, bins: int) -> float:
    """Root mean square error of the level of a Poisson load after so many bins, over 60 histories."""
    found = [history(poisson(slots, bins + 1, seed)).level for seed in range(60)]
    return float(np.sqrt(np.mean((np.array(found) - slots) ** 2)))


def test_a_load_that_stays_is_known_ever_better() -> None:
    error = [errors(8.0, bins) for bins in (2, 12, 128)]
    assert error[0] > 1.5 * error[1] > 3 * error[2]
    # The mean of 128 bins of 16 requests errs by 1/sqrt(128 * 16) = 2.2 %; to test many windows costs some of it.
    assert error[2] < 2 * 8.0 / np.sqrt(128 * 16)


def followed(before: float, after: float, bins: int) -> float:
    """How much of a jump the level has made after so many bins, in the mean over 20 histories."""
    found = [history([*poisson(before, 200, seed), *poisson(after, bins, seed + 99)]).level for seed in range(20)]
    return (float(np.mean(found)) - before) / (after - before)


@pytest.mark.parametrize(("before", "after", "few"), [(4.0, 16.0, 6), (16.0, 4.0, 3), (0.0, 4.0, 10)])
def test_half_of_a_jump_is_followed_within_a_few_bins_and_all_of_it_later(
    before: float, after: float, few: int
) -> None:
    assert followed(before, after, few) > 0.5
    assert followed(before, after, 80) == pytest.approx(1.0, abs=0.2)


def test_a_level_is_never_outside_of_what_was_seen() -> None:
    for seed in range(20):
        counts = np.random.default_rng(seed).negative_binomial(0.5, 0.05, 100).astype(float)
        found = history(counts)
        offered = found.offered.last(100)
        assert offered.min() - 1e-9 <= found.level <= offered.max() + 1e-9


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 40), min_size=2, max_size=150), min_size=2, max_size=5), st.integers(1, 9))
def test_levels_found_of_many_pools_at_once_are_those_of_each_alone(counts: list[list[int]], bins: int) -> None:
    """Read once in so many bins; those of the shorter lists start later."""
    alone, together = [[LoadHistory(BIN_S, lead=5) for _ in counts] for _ in range(2)]
    for k in range(-150, 1, bins):
        for number, one in enumerate(counts):
            if -k <= len(one):
                for found in (alone, together):
                    found[number].see(1500.0 + k * BIN_S, float(sum(one[: len(one) + k])), SERVICE_S)
        settle(together)
    assert [load.levels.last(150).tolist() for load in together] == [load.levels.last(150).tolist() for load in alone]


# Dispersion: variance over mean of the counts in a bin. It is asked of histories of as many bins as the level sees.


def dispersions(counts: Iterable[Iterable[float]]) -> float:
    """Mean over some histories."""
    found = np.stack([history(one).offered.last(128) for one in counts]) * (BIN_S / SERVICE_S)
    return float(mpc_load._dispersion(found, np.full((len(found), 1), 128)).mean())


@pytest.mark.parametrize("slots", [2.0, 8.0, 100.0])
def test_the_dispersion_of_poisson_counts_is_one(slots: float) -> None:
    # Taken to be 1 at least, so that chance can only raise it.
    assert 1.0 <= dispersions(poisson(slots, 129, seed) for seed in range(40)) < 1.25


def test_the_dispersion_of_batches_of_four_is_four() -> None:
    assert dispersions(4 * poisson(4.0, 129, seed) for seed in range(40)) == pytest.approx(4.0, rel=0.15)


def test_the_dispersion_of_a_short_history_is_that_of_its_bins_and_of_no_others() -> None:
    counts = 4 * poisson(8.0, 12, seed=1)
    padded = np.concatenate((counts, np.zeros(116)))
    alone, together = (mpc_load._dispersion(row[None], np.array([[len(counts)]])).item() for row in (counts, padded))
    assert together == alone > 1.0


def test_one_jump_does_not_spoil_the_dispersion() -> None:
    assert dispersions([*poisson(4.0, 64, seed), *poisson(40.0, 65, seed + 99)] for seed in range(40)) < 1.3


# Paths.

counts_of_bins = st.lists(
    st.one_of(st.just(0.0), st.floats(0.0, 30.0), st.floats(0.0, 3000.0)), min_size=5, max_size=120
)


@settings(deadline=None)
@given(counts_of_bins, st.integers(1, 20))
def test_paths_are_loads_and_their_weights_a_distribution(counts: list[float], steps: int) -> None:
    paths, weights = history(counts).paths(steps)
    assert paths.shape == (len(weights), steps)
    assert np.all(np.isfinite(paths))
    assert np.all(paths >= 0)
    assert np.all(weights >= 0)
    assert weights.sum() == pytest.approx(1.0)


@settings(deadline=None)
@given(st.floats(0.0, 100.0), st.integers(130, 400))
def test_a_load_that_has_never_changed_is_not_expected_to(slots: float, bins: int) -> None:
    paths, weights = history([slots * BIN_S / SERVICE_S] * bins).paths(STEPS)
    assert weights @ paths == pytest.approx(np.full(STEPS, slots), rel=0.02, abs=1e-9)


def two_states(sojourns: Iterable[int], low: float = 2.0, high: float = 20.0) -> Iterator[float]:
    """Counts of a load that is low and high in turn."""
    for k, bins in enumerate(sojourns):
        yield from poisson((low, high)[k % 2], bins, seed=k)


def ends(counts: Iterable[float]) -> tuple[float, float]:
    """The expected share of paths that are below, and above, the middle of both states at their end."""
    paths, weights = history(counts).paths(STEPS)
    at_end = paths[:, -3:].mean(axis=1)
    return float(weights[at_end < 8].sum()), float(weights[at_end > 14].sum())


@pytest.mark.parametrize("number", [20, 21])
def test_of_two_states_both_may_follow_and_the_present_one_is_the_likelier(number: int) -> None:
    sojourns = np.random.default_rng(3).geometric(1 / 40, number).clip(8)
    sojourns[-1] = 20
    low, high = ends(two_states(sojourns))
    assert min(low, high) > 0.04
    assert (low > high) == (number % 2 == 1)


def test_a_burst_that_has_been_may_come_again_at_once() -> None:
    quiet = [4.0] * 300
    burst = [60.0] * 20
    paths, weights = history([*quiet, *burst, *quiet]).paths(STEPS)
    assert 0 < weights[paths.mean(axis=1) > 20].sum() < 0.1
    paths, weights = history(quiet * 2).paths(STEPS)
    assert weights[paths.mean(axis=1) > 20].sum() == 0


def test_what_always_follows_is_foreseen() -> None:
    # Ten quiet bins announce ten busy ones, by a load between them for two bins.
    cycle = [2.0] * 10 + [10.0] * 2 + [40.0] * 10
    counts = [*(cycle * 12), *[2.0] * 10, 10.0, 10.0]
    paths, weights = history(counts).paths(STEPS)
    expected = weights @ paths
    assert expected[1:6].mean() > 3 * 10.0 * SERVICE_S / BIN_S / 2
