"""Means, shares and quantiles from batches: by hand, and by the laws that hold for any data."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import t as student

from sim.intervals import Estimate, _student, proportion, quantile, quantile_function, ratio, woodruff

# Means


def test_two_batches_by_hand():
    estimate = ratio([1, 3], [1, 1])
    assert (estimate.value, estimate.batches) == (2.0, 2)
    assert estimate.half_width == pytest.approx(12.7062, abs=1e-4)  # t with one degree of freedom, standard error 1
    assert estimate.relative == pytest.approx(6.3531, abs=1e-4)


def test_batches_of_unequal_size_that_agree_leave_no_doubt():
    estimate = ratio([10, 40, 5], [2, 8, 1])
    assert (estimate.low, estimate.value, estimate.high) == (5.0, 5.0, 5.0)


def test_rounding_is_no_doubt():
    estimate = ratio([sum([0.1] * n) for n in range(20, 52)], np.arange(20, 52), serial=True)
    assert (estimate.half_width, estimate.warnings) == (0.0, ())


equal_batches = arrays(np.int64, st.integers(2, 40), elements=st.integers(-1000, 1000)).map(lambda tenths: tenths / 10)


@given(equal_batches)
def test_the_interval_holds_that_of_student(means):
    estimate = ratio(10 * means, np.full(len(means), 10))
    margin = student.ppf(0.975, len(means) - 1) * means.std(ddof=1) / math.sqrt(len(means))
    assert estimate.low <= means.mean() - margin + 1e-9
    assert estimate.high >= means.mean() + margin - 1e-9


@given(st.integers(1, 3000), st.floats(0.5, 0.999))
def test_the_quantile_is_that_of_student(degrees, level):
    assert _student(level, degrees) == pytest.approx(student.ppf((1 + level) / 2, degrees), rel=1e-11)


@given(equal_batches, st.booleans())
def test_other_units_and_another_origin_move_the_interval_along(sums, serial):
    counts = np.arange(len(sums)) % 3 + 10
    before, after = ratio(sums, counts, serial=serial), ratio(1000 * sums + 7 * counts, counts, serial=serial)
    assert (after.low, after.high) == pytest.approx((1000 * before.low + 7, 1000 * before.high + 7), abs=1e-5)


@given(equal_batches, st.randoms())
def test_replications_have_no_order(sums, random):
    order = random.sample(range(len(sums)), len(sums))
    counts = np.arange(len(sums)) % 3 + 10
    assert ratio(sums[order], counts[order]).half_width == pytest.approx(ratio(sums, counts).half_width, abs=1e-9)


@given(equal_batches, st.booleans())
def test_negative_values_mirror_the_interval(sums, serial):
    counts = np.arange(len(sums)) % 3 + 10
    plain, mirrored = ratio(sums, counts, serial=serial), ratio(-sums, counts, serial=serial)
    assert (-mirrored.high, -mirrored.low) == pytest.approx((plain.low, plain.high), abs=1e-9)


def test_a_long_tail_reaches_farther_on_its_side():
    estimate = ratio([1, 1, 1, 1, 1, 1, 1, 9], np.ones(8))
    # Mean 2, standard error 1, t 2.3646, skewness sqrt(8), so Willink's beta is 1 / 6.
    assert estimate.low == pytest.approx(2 - 2.3646, abs=1e-4)
    assert estimate.high == pytest.approx(2 + 3 * (1 + (2.3646 + 1 / 6 - 1) ** (1 / 3)), abs=1e-4)


def test_neighbours_alike_widen_the_interval_of_one_run():
    sums, counts = np.array([30.0, 30.0, 10.0, 10.0]), np.full(4, 10.0)
    # Residuals 10, 10, -10, -10 correlate by 1/4, and by 1/4 more for having lost their mean: (1 + 1/2) / (1 - 1/2).
    assert ratio(sums, counts, serial=True).half_width == pytest.approx(math.sqrt(3) * ratio(sums, counts).half_width)


def test_windows_are_merged_until_neighbours_differ():
    independent = np.random.default_rng(1).normal(100, 10, 32)
    assert ratio(independent, np.full(32, 20), serial=True).batches == 32
    assert ratio(np.repeat(independent[:8], 4), np.full(32, 20), serial=True).batches == 8
    assert ratio(independent, np.full(32, 6), serial=True).batches == 16  # of twelve requests each


def test_without_data_there_is_no_interval():
    assert math.isnan(ratio([], []).value)
    assert math.isnan(ratio([0, 0], [0, 0]).value)
    assert math.isnan(ratio([3], [1]).high)
    assert math.isnan(proportion([1], [1]).low)
    assert math.isnan(quantile([], [], 4, 0.5).value)
    assert (ratio([math.inf, 1], [1, 1]).value, ratio([3], [1]).value) == (math.inf, 3.0)
    assert math.isnan(Estimate(0.0, -1.0, 1.0, 8).relative)


# Shares


def test_a_share_stays_within_none_and_all():
    estimate = proportion([10, 10, 10, 6], [10, 10, 10, 10])
    assert (estimate.value, estimate.high) == (0.9, 1.0)
    assert 0 <= estimate.low < 0.8


def test_all_hits_out_of_thirty_may_still_be_nine_in_ten():
    estimate = proportion([10, 10, 10], [10, 10, 10])
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert estimate.low == pytest.approx(0.8843, abs=1e-4)  # 0.025 ** (1 / 30)
    none = proportion([0, 0, 0], [10, 10, 10])
    assert (none.low, none.high) == (0.0, pytest.approx(1 - estimate.low))


# Quantiles

times = arrays(np.int64, st.integers(20, 200), elements=st.integers(0, 40)).map(lambda eighths: eighths / 8)
fractions = st.sampled_from([0.05, 0.5, 0.9, 0.99])


def in_four(values):
    return np.arange(len(values)) * 4 // len(values)


@given(times, fractions)
def test_a_quantile_is_the_smallest_value_that_a_share_does_not_exceed(values, p):
    estimate = quantile(values, in_four(values), 4, p)
    assert np.mean(values <= estimate.value) >= p > np.mean(values < estimate.value)
    assert values.min() <= estimate.low <= estimate.value <= estimate.high


@given(times, fractions, st.booleans())
def test_a_quantile_and_its_interval_follow_any_rising_function(values, p, serial):
    plain = quantile(values, in_four(values), 4, p, serial=serial)
    raised = quantile(np.exp(values), in_four(values), 4, p, serial=serial)
    ends = (np.exp(plain.low), np.exp(plain.value), np.exp(plain.high))
    assert (raised.low, raised.value, raised.high) == pytest.approx(ends)


@given(times, fractions)
def test_histograms_of_batches_tell_the_same_quantile_as_the_values(values, p):
    bounds, batch = np.unique(values), in_four(values)
    cumulative = np.array([[np.sum(values[batch == b] <= bound) for bound in bounds] for b in range(4)])

    def at(fraction):
        rank = math.ceil(len(values) * fraction * (1 - 1e-12))
        return float(bounds[np.searchsorted(cumulative.sum(0), max(rank, 1))])

    hits = cumulative[:, np.searchsorted(bounds, at(p))]
    assert woodruff(at, hits, cumulative[:, -1], p) == quantile(values, batch, 4, p)


def test_of_a_hundred_values_the_seventh_is_the_7_percent_quantile():
    at = quantile_function(np.arange(1.0, 101.0))
    assert [at(p) for p in (0.0, 0.07, 0.071, 0.5, 1.0)] == [1, 7, 8, 50, 100]


def test_the_upper_end_of_a_p99_of_fifty_requests_is_unknown():
    estimate = quantile(np.arange(50.0), in_four(range(50)), 4, 0.99)
    assert (estimate.value, estimate.high) == (49.0, math.inf)
    assert "requests beyond p99: only 0.5" in estimate.warnings


def test_a_p99_is_infinite_where_2_percent_were_never_served_and_its_lower_end_tells_for_how_sure():
    served, lost = np.linspace(0, 10, 9800), np.full(200, math.inf)
    values = np.random.default_rng(2).permutation([*served, *lost])
    assert quantile(values, in_four(values), 4, 0.99).value == math.inf
    assert quantile(values, in_four(values), 4, 0.95).high < 10
    nearly = np.random.default_rng(2).permutation([*np.linspace(0, 10, 9895), *lost[:105]])
    assert 9 < quantile(nearly, in_four(nearly), 4, 0.99).low < 10


def test_a_quantile_in_the_crowd_of_requests_that_do_not_wait_is_exact():
    values = np.tile([0.0, 0.0, 0.0, 1.0, 2.0], 2000)
    estimate = quantile(values, in_four(values), 4, 0.5)
    assert (estimate.low, estimate.value, estimate.high) == (0.0, 0.0, 0.0)


def test_a_quantile_is_asked_for_by_a_fraction():
    with pytest.raises(ValueError, match=r"p is 95: a quantile needs a fraction between 0 and 1, such as 0\.99"):
        quantile([1.0], [0], 1, 95)


def test_a_quantile_reaches_as_far_as_the_share_below_it():
    hits, counts = [96] * 7 + [88], [100] * 8
    share = proportion(hits, counts)
    estimate = woodruff(lambda fraction: 10 * fraction, hits, counts, 0.95)
    assert (estimate.low, estimate.value, estimate.high) == pytest.approx((10 * share.low, 9.5, 10 * share.high))
    assert share.value - share.low == pytest.approx(0.0646, abs=1e-4)  # the bad batch is below, so may be the truth
    assert share.high - share.value == pytest.approx(0.0236, abs=1e-4)


def test_misses_that_come_together_tell_little():
    counts = [1000] * 10
    assert proportion([960, 940] * 5, counts).warnings == ()
    # Variance 10 / 9 * 10 * 50**2 / 10_000**2, as of 8.55 misses in 171 independent requests.
    assert "no more than 8.6 independent ones" in " ".join(proportion([1000, 900] * 5, counts).warnings)
