"""What recent arrivals say of those to come."""

from itertools import accumulate
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.arrivals import RecentArrivals

rng = np.random.default_rng


class Interval(NamedTuple):
    length_s: float
    count: float


def counted(*counts: float, length_s: float = 10.0) -> RecentArrivals:
    return spaced(*(Interval(length_s, count) for count in counts))


def spaced(*intervals: Interval) -> RecentArrivals:
    arrivals = RecentArrivals(cell_s=1.0)
    arrivals.see(0.0, 0.0)
    for time_s, total in accumulate(
        ((i.length_s, i.count) for i in intervals), lambda a, b: (a[0] + b[0], a[1] + b[1])
    ):
        arrivals.see(time_s, total)
    return arrivals


def index(arrivals: RecentArrivals) -> float:
    """The dispersion over single intervals."""
    return next(iter(arrivals.dispersion.values()))


def test_the_rate_is_that_of_all_intervals_together() -> None:
    arrivals = counted(10, 20, 30)
    assert (arrivals.count, arrivals.length_s, arrivals.rate_per_s) == (60, 30.0, 2.0)


def test_a_rise_beyond_chance_is_told_at_once() -> None:
    arrivals = counted(100, 100, 100, 100, 400)
    assert arrivals.risen_per_s(10.0) == 40.0
    assert arrivals.risen_per_s(20.0) == 25.0
    assert arrivals.risen_per_s(5.0) is None


def test_what_chance_may_have_added_is_no_rise() -> None:
    assert counted(100, 100, 100, 100, 115).risen_per_s(10.0) is None
    assert counted(0, 0, 0, 3).risen_per_s(10.0) is None
    assert counted(100, 100, 100, 100, 10).risen_per_s(10.0) is None


@pytest.mark.parametrize("rate", [0.5, 5.0, 500.0])
def test_poisson_counts_have_dispersion_one_at_every_length(rate: float) -> None:
    arrivals = counted(*rng(1).poisson(10 * rate, 8000))
    assert list(arrivals.dispersion) == [10.0, 20.0, 40.0, 80.0]
    assert all(0.9 < found < 1.1 for found in arrivals.dispersion.values())


def test_a_rate_that_drifts_is_no_burstiness() -> None:
    drifting = 100.0 * np.exp(np.linspace(0.0, 3.0, 4000))
    assert 0.9 < index(counted(*rng(2).poisson(drifting))) < 1.1


def test_a_steep_ramp_is_no_burstiness() -> None:
    assert all(found < 2.0 for found in counted(*range(100, 500, 10)).dispersion.values())


def test_batches_of_four_have_dispersion_four() -> None:
    assert 3.6 < index(counted(*(4 * rng(3).poisson(20.0, 8000)))) < 4.4


def test_one_jump_is_a_change_of_load_and_several_are_bursts() -> None:
    calm, busy = [100.0] * 10, [300.0] * 10
    assert index(counted(*calm, *busy)) == 0.0
    assert index(counted(*calm, *busy, *calm, *busy)) > 5.0
    assert all(found == 0.0 for found in counted(*calm, *busy, *busy).dispersion.values())


def test_a_lost_reading_does_not_make_even_arrivals_bursty() -> None:
    even = [Interval(10.0, 20.0)] * 12
    even[5:7] = [Interval(20.0, 40.0)]
    assert index(spaced(*even)) == pytest.approx(0.0)


def test_what_poisson_counts_show_by_chance_counts_as_one() -> None:
    found = [index(counted(*rng(seed).poisson(30.0, 40))) for seed in range(500)]
    assert 0.93 < np.mean(np.array(found) == 1.0) < 0.98


def test_too_few_intervals_tell_no_dispersion() -> None:
    assert counted(5, 9, 4, 7).dispersion == {}


def test_a_ramp_grows_as_fast_as_it_does() -> None:
    assert counted(*range(1000, 1400, 10)).growth_per_s2 == pytest.approx(0.1)


@given(st.integers(1, 39), st.integers(50, 1000), st.integers(50, 1000))
def test_no_jump_is_a_trend(at: int, before: int, after: int) -> None:
    assert counted(*[before] * at, *[after] * (40 - at)).growth_per_s2 == 0.0


def test_chance_is_no_trend() -> None:
    grown = [counted(*rng(seed).poisson(30.0, 40)).growth_per_s2 for seed in range(500)]
    assert np.mean(np.array(grown) > 0) < 0.01


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60))
def test_nothing_found_is_negative_or_endless(counts: list[int]) -> None:
    arrivals = counted(*counts)
    found = [arrivals.growth_per_s2, arrivals.risen_per_s(60.0) or 0.0, *arrivals.dispersion.values()]
    assert all(0.0 <= value < 1e7 for value in found)
