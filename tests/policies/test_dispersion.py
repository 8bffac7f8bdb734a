"""Burstiness: counted, and as a queue feels it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.queues import GGC
from policies.queues.dispersion import effective_arrival_scv, index_of_dispersion


def test_clockwork_and_bursts():
    assert index_of_dispersion([5, 5, 5, 5]) == 0.0
    assert index_of_dispersion([0, 10, 0, 10]) == pytest.approx(100 / 3 / 5)


def test_what_cannot_be_told():
    assert index_of_dispersion([]) is None
    assert index_of_dispersion([7]) is None
    assert index_of_dispersion([0, 0, 0]) is None


@given(st.floats(0.05, 0.99), st.integers(1, 200), st.floats(0.0, 10.0))
def test_poisson_is_felt_as_poisson(utilization, servers, service_scv):
    felt = effective_arrival_scv({1.0: 1.0, 100.0: 1.0}, utilization * servers, 1.0, servers, service_scv)
    assert felt == pytest.approx(1.0, abs=1e-3 * (1.0 + service_scv))


@given(st.floats(0.3, 0.99), st.floats(0.0, 20.0))
def test_a_burstiness_of_all_time_scales_is_felt_as_it_is(utilization, index):
    felt = effective_arrival_scv({1e-3: index, 1e6: index}, utilization, 1.0, 1)
    assert felt == pytest.approx(index, abs=0.01 * (1.0 + index))


def test_a_short_memory_does_not_feel_long_bursts():
    slow_waves = {1.0: 1.0, 10.0: 1.0, 100.0: 2.0, 1e3: 50.0, 1e4: 100.0}
    assert effective_arrival_scv(slow_waves, 30.0, 1.0, 100) == pytest.approx(1.0, abs=0.05)
    assert effective_arrival_scv(slow_waves, 99.0, 1.0, 100) > 20.0


def waves(low, high, up, down):
    """Mean rate and dispersion by window of Poisson arrivals at rate low or high, switched at rates up and down
    (Fischer & Meier-Hellstern 1993)."""
    rate = (down * low + up * high) / (up + down)
    excess = 2.0 * up * down * (high - low) ** 2 / (up + down) ** 3 / rate
    turn = up + down
    windows = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
    return rate, {t: 1.0 + excess * (1.0 - -math.expm1(-turn * t) / (turn * t)) for t in windows}


@pytest.mark.parametrize(
    ("wave", "servers", "wait_s", "waits"),
    # Solved Markov chains; Poisson arrivals of the same mean would wait 4.0 s and 0.000015 s.
    [((0.0, 2.4, 0.1, 0.2), 1, 27.91, 0.965), ((40.0, 130.0, 0.05, 0.1), 100, 2.671, 0.658)],
)
def test_waves_are_felt_by_order_of_magnitude(wave, servers, wait_s, waits):
    rate, dispersion = waves(*wave)
    queue = GGC(rate, 1.0, servers, effective_arrival_scv(dispersion, rate, 1.0, servers))
    assert 0.3 * wait_s < queue.wait_s < 1.5 * wait_s
    assert queue.wait_probability == pytest.approx(waits, rel=0.15)


@pytest.mark.parametrize(
    ("dispersion", "rate", "says"),
    [({}, 1.0, "dispersion is empty"), ({0.0: 1.0}, 1.0, "shortest_window_s"), ({1.0: 1.0}, 2.0, "must be at least 3")],
)
def test_the_impossible_is_refused(dispersion, rate, says):
    with pytest.raises(ValueError, match=says):
        effective_arrival_scv(dispersion, rate, 1.0, 2)
