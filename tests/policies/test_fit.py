"""Laws fitted to two moments, and the root finding and the series they rest on."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from policies.queues import palm
from policies.queues.erlang import Delay
from policies.queues.fit import Fit
from policies.queues.roots import quantile, root

scvs = st.one_of(st.floats(0.01, 1.0), st.floats(1.0, 50.0))


@settings(deadline=None)
@given(scvs)
def test_mean_and_variability_are_as_asked(scv):
    fit = Fit(scv)
    ends = [0.0, 1e-3, 0.1, 1.0, 3.0, 10.0, 40.0 * (1.0 + scv)]
    pairs = list(pairwise(ends))
    mean = sum(quad(fit.tail, low, high)[0] for low, high in pairs)
    square = sum(quad(lambda t: 2.0 * t * fit.tail(t), low, high)[0] for low, high in pairs)
    assert mean == pytest.approx(1.0, rel=1e-6)
    assert square == pytest.approx(1.0 + scv, rel=1e-5)


@given(st.one_of(st.just(0.0), scvs), st.floats(-1e-4, 1e-4))
def test_the_transform_begins_with_mean_and_variance(scv, x):
    assert Fit(scv).log_transform(x) == pytest.approx(-x + 0.5 * scv * x * x, abs=1e-8 * (1.0 + scv) ** 2)


@settings(deadline=None)
@given(scvs, st.floats(0.0, 1.0), st.floats(0.01, 20.0), st.floats(0.01, 30.0))
def test_a_delay_and_a_service_together(scv, probability, mean, t):
    fit, delay = Fit(scv), Delay(probability, mean)
    # P(delay + X > t) by cases of the delay, which is 0, or more than t, or between.
    between = quad(lambda s: math.exp(-s / mean) / mean * fit.tail(t - s), 0.0, t, limit=200)[0]
    parts = (1.0 - probability) * fit.tail(t) + probability * (math.exp(-t / mean) + between)
    assert fit.tail_after(delay, t) == pytest.approx(parts, rel=1e-5, abs=1e-9)


def test_a_long_delay_before_a_nearly_constant_service():
    # The wait decays by e in 10^9 services; the service itself, of gamma shape 1000, shifts it by one.
    tail = Fit(1e-3).tail_after(Delay(0.9, 1e9), 2e9)
    assert tail == pytest.approx(0.9 * math.exp(-2.0 + 1e-9), rel=1e-11)


def test_a_constant_service_only_shifts():
    assert Fit(0.0).tail(0.999) == 1.0
    assert Fit(0.0).tail(1.0) == 0.0
    assert Fit(0.0).tail_after(Delay(0.5, 2.0), 3.0) == pytest.approx(0.5 * math.exp(-1.0))


def series(n, x):
    """Palm's series and the mean power, term by term."""
    total, weighted, term, k = 1.0, 0.0, 1.0, 0
    while term > 1e-18 * total or x > n + k:
        k += 1
        term *= x / (n + k)
        total += term
        weighted += k * term
    return math.log(total), weighted / total


@settings(deadline=None)
@given(st.floats(0.01, 2e5), st.floats(-6.0, 6.0))
def test_palms_series_is_summed(n, deviations):
    x = max(1e-3, n + deviations * math.sqrt(n))
    logarithm, mean = series(n, x)
    assert palm.log_series(n, x) == pytest.approx(logarithm, rel=1e-9, abs=1e-9)
    assert palm.mean_power(n, x) == pytest.approx(mean, rel=1e-8)


def test_palms_series_where_no_sum_goes():
    # x = n: sqrt(pi n / 2) to first order.
    assert palm.log_series(1e9, 1e9) == pytest.approx(0.5 * math.log(math.pi * 1e9 / 2.0), abs=1e-4)
    # x = n/2: 1/(1 - x/n) and the mean x/n / (1 - x/n).
    assert palm.log_series(1e10, 5e9) == pytest.approx(math.log(2.0), rel=1e-9)
    assert palm.mean_power(1e10, 5e9) == pytest.approx(1.0, rel=1e-9)
    # x = 2n: all is overflow, and the mean is x - n.
    assert palm.mean_power(1e8, 2e8) == pytest.approx(1e8)


@given(st.floats(0.1, 50.0), st.floats(0.0, 200.0))
def test_palms_series_of_a_negative_argument(n, x):
    exact = quad(lambda u: n * math.exp(-x * u) * (1.0 - u) ** (n - 1.0), 0.0, 1.0, points=[0.5 / (1.0 + x)])[0]
    assert palm.log_series(n, -x) == pytest.approx(math.log(exact), abs=1e-5)


@pytest.mark.parametrize("n", [1.0, 31.9, 32.1, 500.0])
def test_a_poisson_probability(n):
    assert palm.log_poisson(40.0, n) == pytest.approx(n * math.log(40.0) - 40.0 - math.lgamma(n + 1.0), rel=1e-12)


@given(st.floats(-5.0, 5.0), st.floats(0.1, 8.0), st.floats(0.1, 8.0))
def test_a_root_is_where_the_sign_changes(zero, below, above):
    assert root(lambda x: math.expm1(x - zero), zero - below, zero + above) == pytest.approx(zero, rel=1e-12, abs=1e-12)
    assert root(lambda x: 1.0 if x < zero else -2.0, zero - below, zero + above) == pytest.approx(
        zero, rel=1e-12, abs=1e-12
    )


@given(st.floats(0.001, 0.999), st.floats(1e-6, 1e6))
def test_the_quantile_of_an_exponential(fraction, guess):
    assert quantile(lambda t: math.exp(-t), fraction, guess) == pytest.approx(-math.log1p(-fraction), rel=1e-9)
