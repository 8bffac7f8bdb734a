"""Warm-up, samples and their doubts; and how often the intervals of known systems cover the truth."""

import math
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import lfilter
from scipy.special import ndtri

from sim.loghistogram import BUCKETS, LogHistogram, bucket, lowest_s
from sim.measures import Sample, batches, mser, tail_index, tail_warnings

QUANTILES = (0.5, 0.95, 0.99)
HOUR = 3600.0
NOISE = np.tile([1.0, 1.2, 1.0, 1.1, 0.9, 1.2, 1.0, 0.8], 16)
BACKLOG = np.linspace(50, 2, 20)


# Warm-up


def marginal_error(values, cut):
    return np.var(values[cut:]) / len(values[cut:])


@given(arrays(np.int64, st.integers(10, 130), elements=st.integers(0, 9)))
def test_the_first_cut_in_the_first_half_of_hardly_more_than_the_least_marginal_error_is_found(means):
    errors = [marginal_error(means, cut) for cut in range(len(means) // 2 + 1)]
    assert errors[mser(means)] <= 1.2 * min(errors) + 1e-12
    assert all(error > 1.2 * min(errors) - 1e-12 for error in errors[: mser(means)])


def test_a_backlog_that_melts_is_deleted():
    means = np.concatenate([BACKLOG, NOISE])
    assert mser(means) == 20
    assert mser(means + 1e9) == 20


def test_nothing_is_deleted_from_a_steady_run_or_a_handful():
    assert mser(NOISE) == 0
    assert mser([9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]) == 0
    assert mser([]) == 0


def test_windows_without_requests_are_passed_over():
    assert mser([math.nan] * 7 + [*BACKLOG, *NOISE]) == 27
    assert mser(np.full(100, math.nan)) == 0


def test_32_batches_are_nearly_equal():
    assert [len(batch) for batch in batches(128)] == [4] * 32
    assert {len(batch) for batch in batches(118)} == {3, 4}
    assert [i for batch in batches(118) for i in batch] == list(range(118))
    assert [len(batch) for batch in batches(13)] == [1] * 13


# Samples


def in_each_batch(sample):
    return np.bincount(sample.batch, sample.counts).tolist()


def test_a_sample_holds_the_requests_of_its_window():
    sample = Sample.of([([0.0, 1.0, 2.0, 3.0, 4.0], [9.0, 1.0, 2.0, 3.0, 9.0])], from_s=1, to_s=4)
    assert sample.mean().value == 2.0
    assert sample.quantile(0.5).value == 2.0


def test_one_run_is_cut_by_time_and_replications_are_not_cut():
    arrival_s = np.concatenate([np.linspace(0, HOUR, 3200, endpoint=False), np.linspace(HOUR, 2 * HOUR, 6400)])
    run = (arrival_s, np.ones(len(arrival_s)))
    assert in_each_batch(Sample.of([run], 0, 2 * HOUR)) == pytest.approx([200] * 16 + [400] * 16, abs=1)
    assert in_each_batch(Sample.of([run, run], 0, HOUR)) == [3200, 3200]


def test_replications_have_no_order():
    fast, slow = (np.arange(100.0), np.full(100, 1.0)), (np.arange(100.0), np.full(100, 3.0))
    sorted_out = Sample.of([fast, fast, slow, slow], 0, 100).mean()
    assert sorted_out == Sample.of([fast, slow, fast, slow], 0, 100).mean()
    assert (sorted_out.value, sorted_out.batches) == (2.0, 4)


def test_requests_never_served_are_in_percentiles_and_named_by_the_mean():
    arrival_s = np.arange(1000.0)
    sample = Sample.of([(arrival_s, np.where(arrival_s % 10 == 9, math.inf, 2.0))], 0, 1000)
    assert (sample.quantile(0.5).value, sample.quantile(0.95).value) == (2.0, math.inf)
    mean = sample.mean()
    assert (mean.value, sample.served) == (2.0, 900)
    assert "the mean leaves out 100 of 1000 requests that were never served" in mean.warnings


@pytest.mark.parametrize(
    ("run", "window", "message"),
    [
        (([2.0, 1.0], [0.0, 0.0]), (0, 9), r"runs\[0\]: times are not ascending"),
        (([1.0, 2.0], [0.0]), (0, 9), r"runs\[0\]: 2 times and 1 values"),
        (([1.0, 2.0], [0.0, math.nan]), (0, 9), r"runs\[0\]: value 1 is nan; use inf"),
        (([1.0], [0.0]), (9, 9), r"window from 9 s to 9 s: give finite times"),
        (([1.0], [0.0]), (0, math.inf), r"window from 0 s to inf s: give finite times"),
    ],
)
def test_arrays_that_are_no_run_are_refused(run, window, message):
    with pytest.raises(ValueError, match=message):
        Sample.of([run], *window)


def test_a_run_without_requests_has_no_figures():
    summary = Sample.of([([], [])], 0, HOUR).summary()
    assert list(summary) == ["mean", "p50", "p95", "p99"]
    assert all(math.isnan(estimate.value) and not estimate.warnings for estimate in summary.values())


times = arrays(np.float64, st.integers(1, 60), elements=st.sampled_from([0.0, 0.5, 1.0, 3.0, 7.0, math.inf]))


@given(times, st.sampled_from([0.05, 0.5, 0.95, 0.99]))
def test_a_quantile_is_the_smallest_time_that_a_share_of_all_does_not_exceed(values, p):
    value = Sample.of([(np.arange(len(values)), values)], 0, 60).quantile(p).value
    assert np.mean(values <= value) >= p > np.mean(values < value)


@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(1e-3, 1e5)))
def test_quantiles_are_off_by_less_than_a_bucket_and_means_are_exact(values):
    sample = Sample.of([(np.arange(len(values)), values)], 0, 60)
    exact = np.quantile(values, 0.5, method="inverted_cdf")
    assert sample.quantile(0.5).value == pytest.approx(exact, rel=1 / 128, abs=1e-6)
    assert sample.mean().value == pytest.approx(values.mean(), rel=1e-6, abs=1e-6)


def test_quantiles_of_very_many_spread_times_are_close_and_constants_exact():
    rng = np.random.default_rng(7)
    values = rng.exponential(1, 1_000_000)
    sample = Sample.of([(np.arange(len(values)), values)], 0, 1e6)
    for p in (0.5, 0.9, 0.99):
        assert sample.quantile(p).value == pytest.approx(np.quantile(values, p), rel=2e-4)
        assert sample.quantile(p).low < sample.quantile(p).value < sample.quantile(p).high
    jobs = np.where(rng.random(10_000) < 0.5, 4.01, 7.0)
    assert Sample.of([(np.arange(10_000), jobs)], 0, 1e4).quantile(0.3).value == pytest.approx(4.01, abs=1e-6)
    few = Sample.of([(np.arange(5), np.array([1.0, 1.003, 1.008, 1.012, 1.016]))], 0, 5)
    assert few.quantile(0.9).value == pytest.approx(1.016, abs=1e-6)


def test_a_bucket_begins_where_the_one_before_it_ends():
    assert [bucket(lowest_s(b)) for b in range(1, BUCKETS)] == list(range(1, BUCKETS))
    assert all(bucket(math.nextafter(lowest_s(b), 0)) == b - 1 for b in range(1, BUCKETS))


def test_a_start_that_was_taken_back_later_is_no_quantile():
    early, late = LogHistogram.of({0: (4, 0), 900: (1, 99)}), LogHistogram.of({0: (5, 0), 900: (-1, -99)})
    sample = Sample.of_histograms([[early], [late]], [0, 0], serial=True)
    assert (sample.quantile(0.99).value, sample.mean().value) == (0.0, 0.0)
    assert Sample.of_histograms([[late], [late]], [0, 0], serial=True).quantile(0.01).value == 0.0


# Doubts


def hill(values):
    largest = np.sort(values)[-math.isqrt(len(values)) - 1 :]
    return 1 / np.log(largest[1:] / largest[0]).mean()


def test_a_tail_without_variance_is_told_from_one_with():
    rng = np.random.default_rng(3)
    heavy, light = rng.pareto(1.5, 40_000) + 1, rng.exponential(1, 40_000)
    assert tail_index(LogHistogram.of_times(heavy)) == pytest.approx(hill(heavy), rel=0.01)
    assert tail_index(LogHistogram.of_times(heavy)) == pytest.approx(1.5, abs=0.3)
    assert tail_index(LogHistogram.of_times(light)) > 3
    assert math.isnan(tail_index(LogHistogram.of_times(np.ones(999))))
    assert math.isnan(tail_index(LogHistogram.of_times(np.zeros(2000))))
    assert tail_index(LogHistogram.of_times(np.ones(1000))) == math.inf
    arrival_s = np.arange(40_000.0)
    assert "variance may be infinite" in " ".join(Sample.of([(arrival_s, heavy)], 0, 40_000).mean().warnings)
    assert Sample.of([(arrival_s, light)], 0, 40_000).mean().warnings == ()


def test_service_with_a_pareto_tail_of_2_5_makes_waits_without_variance():
    rng = np.random.default_rng(4)
    assert "may be infinite" in tail_warnings(LogHistogram.of_times(rng.pareto(2.5, 40_000) + 1))[0]
    assert tail_warnings(LogHistogram.of_times(rng.exponential(1, 40_000))) == ()


def test_a_short_run_of_a_slow_queue_says_so():
    rng = np.random.default_rng(5)
    arrival_s, _, response_s = mm1(rng, 5000, rho=0.95)
    p99 = Sample.of([(arrival_s, response_s)], 0, 5000).quantile(0.99)
    assert "requests beyond p99 tell no more than" in " ".join(p99.warnings)


def test_a_run_that_drifts_says_so():
    drift = Sample.of([(np.arange(5000.0), np.arange(5000.0))], 0, 5000).mean()
    assert any("still correlated" in word for word in drift.warnings)


# Coverage: systems with known truths, each a function of a generator


def windows(stream, until_s):
    """A run as a simulation has it: the histogram of the values in each 128th of the time."""
    times_s, values = stream
    edges = np.searchsorted(times_s, np.linspace(0, until_s, 129))
    return [LogHistogram.of_times(values[start:end]) for start, end in pairwise(edges)]


def measured(streams, until_s, warm_up=False):
    """What a simulation measures of one run or of replications."""
    runs = [windows(stream, until_s) for stream in streams]
    together = [LogHistogram.merged(same) for same in zip(*runs, strict=True)]
    cut = mser([w.total_s / w.count if w.count else math.nan for w in together]) if warm_up else 0
    kept = [run[cut:] for run in runs]
    parts = kept if len(runs) > 1 else [[kept[0][i] for i in batch] for batch in batches(len(kept[0]))]
    return Sample.of_histograms(parts, np.zeros(len(parts)), serial=len(runs) == 1)


def mm1(rng, n, rho, steady=True):
    """Times of start, waits and responses of M/M/1 with service rate 1 (Lindley's recursion, summed up)."""
    arrival_s, service_s = np.cumsum(rng.exponential(1 / rho, n)), rng.exponential(1, n)
    first = rng.exponential(1 / (1 - rho)) if steady and rng.random() < rho else 0.0
    walk = np.concatenate([[first], first + np.cumsum(service_s[:-1] - np.diff(arrival_s))])
    wait_s = walk - np.minimum(0, np.minimum.accumulate(walk))
    return arrival_s + wait_s, wait_s, wait_s + service_s


def mm1_wait(rho):
    return [rho / (1 - rho), *(math.log(rho / (1 - p)) / (1 - rho) for p in QUANTILES)]


def mm1_response(rho):
    return [1 / (1 - rho), *(-math.log(1 - p) / (1 - rho) for p in QUANTILES)]


def queue(n, rho, of=1, runs=1, steady=True):
    """Some n requests from M/M/1, in steady state or with its warm-up cut; `of` 0 its waits, 1 its responses.

    They enter when their wait, or response, ends.
    """

    def draw(rng):
        drawn = [mm1(rng, int(1.1 * n), rho, steady) for _ in range(runs)]
        streams = [
            (start_s if of == 0 else start_s - wait_s + response_s, (wait_s, response_s)[of])
            for start_s, wait_s, response_s in drawn
        ]
        return measured(streams, n / rho, warm_up=not steady)

    return draw, (mm1_wait, mm1_response)[of](rho)


def filling_queue(n, rho, runs=1):
    """The waits of M/M/1 that starts empty."""
    return queue(n, rho, of=0, runs=runs, steady=False)


def lognormal(n, runs=1):
    def draw(rng):
        streams = [(np.cumsum(rng.exponential(1, n)), rng.lognormal(0, 1, n)) for _ in range(runs)]
        return measured(streams, 0.97 * n)

    return draw, [math.exp(0.5), *(math.exp(ndtri(p)) for p in QUANTILES)]


def autoregression(n, phi):
    def draw(rng):
        noise = rng.standard_normal(n) * np.where(np.arange(n), math.sqrt(1 - phi**2), 1)
        return measured([(np.cumsum(rng.exponential(1, n)), 9 + lfilter([1], [1, -phi], noise))], 0.97 * n)

    return draw, [9.0, *(9 + ndtri(p) for p in QUANTILES)]


def coverage(system, seeds):
    """The share of seeds whose interval holds the truth, for mean, p50, p95 and p99."""
    draw, truths = system
    covered = np.zeros(4)
    for seed in range(seeds):
        estimates = draw(np.random.default_rng([2024, seed])).summary().values()
        covered += [e.low <= truth <= e.high for e, truth in zip(estimates, truths, strict=True)]
    return covered / seeds


def in_range(shares, seeds):
    """Each share within 92 to 98 % but for chance (two standard deviations at 95 %), and their mean without excuse."""
    chance = 2 * math.sqrt(0.95 * 0.05 / seeds)
    return 0.92 - chance <= shares.min() and shares.max() <= 0.98 + chance and 0.92 <= shares.mean() <= 0.98


@pytest.mark.parametrize(
    "system",
    [
        pytest.param(lognormal(4000), id="independent"),
        pytest.param(autoregression(10_000, 0.9), id="autoregression"),
        pytest.param(queue(40_000, 0.8), id="queue"),
        pytest.param(filling_queue(40_000, 0.8), id="queue after its warm-up"),
        pytest.param(queue(4000, 0.8, runs=10), id="ten replications"),
    ],
)
def test_95_percent_intervals_cover_the_truth_in_92_to_98_of_a_hundred_runs(system):
    shares = coverage(system, seeds=200)
    assert in_range(shares, 200), shares


@pytest.mark.slow
@pytest.mark.parametrize(
    "system",
    [
        pytest.param(lognormal(1000), id="few"),
        pytest.param(lognormal(40_000), id="independent"),
        pytest.param(lognormal(4000, runs=10), id="independent, ten replications"),
        pytest.param(autoregression(40_000, 0.9), id="autoregression of 0.9"),
        pytest.param(autoregression(40_000, 0.99), id="autoregression of 0.99"),
        pytest.param(queue(40_000, 0.8, of=0), id="wait at 0.8"),
        pytest.param(queue(40_000, 0.8, of=1), id="response at 0.8"),
        pytest.param(queue(200_000, 0.8, of=0), id="wait at 0.8, longer"),
        pytest.param(queue(200_000, 0.9, of=1), id="response at 0.9"),
        pytest.param(filling_queue(40_000, 0.8), id="wait at 0.8 after warm-up"),
        pytest.param(filling_queue(200_000, 0.9), id="wait at 0.9 after warm-up"),
        pytest.param(queue(20_000, 0.8, of=0, runs=10), id="wait at 0.8, ten replications"),
        pytest.param(queue(20_000, 0.9, of=1, runs=10), id="response at 0.9, ten replications"),
        pytest.param(filling_queue(20_000, 0.8, runs=10), id="ten replications after warm-up"),
    ],
)
def test_intervals_cover_the_truth_in_many_systems(system):
    shares = coverage(system, seeds=400)
    assert in_range(shares, 400), shares


@pytest.mark.slow
def test_a_million_requests_are_summed_up_in_half_a_second():
    run = mm1(np.random.default_rng(6), 1_000_000, 0.8)[:2]
    laps = []
    for _ in range(3):
        start = time.perf_counter()
        Sample.of([run], 0, 1e6).summary()
        laps.append(time.perf_counter() - start)
    assert min(laps) < 0.5
