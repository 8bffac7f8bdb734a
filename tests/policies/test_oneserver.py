"""M/G/1 and its relatives, against closed forms from the literature and against each other."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.queues.erlang import MMC
from policies.queues.oneserver import MG1, BatchMM1, setup_wait_s

utilizations = st.floats(0.01, 0.99)


@given(utilizations, st.floats(0.01, 100.0))
def test_exponential_services_make_it_m_m_1(utilization, service_s):
    queue, exact = (
        MG1(utilization / service_s, service_s, 1.0, 6.0 * service_s**3),
        MMC(utilization / service_s, service_s, 1),
    )
    assert queue.wait_s == pytest.approx(exact.wait_s)
    assert queue.in_system == pytest.approx(exact.in_system)
    assert queue.queue_length == pytest.approx(exact.queue_length)
    # Waits are 0 with probability 1 - rho, else exponential of mean m: variance rho (2 - rho) m^2.
    mean_s = exact.delay.mean_s
    assert queue.wait_variance_s2 == pytest.approx(utilization * (2.0 - utilization) * mean_s**2)


# Pollaczek (1930), Khinchine (1932), Takacs (1962): services constant, uniform on 0..2, lognormal, gamma(1/2).
@pytest.mark.parametrize(
    ("rate", "scv", "third", "wait_s", "variance"),
    [
        (0.5, 0.0, 1.0, 0.5, 0.583333333333),
        (0.8, 1.0 / 3.0, 2.0, 2.66666666667, 9.77777777778),
        (0.8, 4.0, 125.0, 10.0, 266.666666667),
        (0.8, 2.0, 15.0, 6.0, 56.0),
    ],
)
def test_mean_and_variance_of_the_wait(rate, scv, third, wait_s, variance):
    queue = MG1(rate, 1.0, scv, third)
    assert queue.wait_s == pytest.approx(wait_s, rel=1e-11)
    assert queue.wait_variance_s2 == pytest.approx(variance, rel=1e-11)
    assert queue.response_s == pytest.approx(wait_s + 1.0, rel=1e-11)
    assert queue.wait_probability == rate


def test_what_is_not_known_of_the_service_is_not_known_of_the_wait():
    assert MG1(0.5, 1.0, 2.0).wait_variance_s2 is None


def test_one_server_cannot_bear_two_erlangs():
    with pytest.raises(ValueError, match="servers is 1, too few for 2 erlangs; must be at least 3"):
        MG1(2.0, 1.0)


@given(utilizations, st.floats(0.0, 100.0))
def test_an_exponential_set_up_adds_its_mean(rate, setup_s):
    # M/M/1 with set-up (Welch 1964; Gandhi, Harchol-Balter & Adan 2010).
    assert setup_wait_s(rate, setup_s) == pytest.approx(setup_s)


def test_a_model_that_loads_for_ten_services():
    # Constant service 1 and set-up 10 (Levy & Kleinrock 1986).
    assert MG1(0.8, 1.0, 0.0).wait_s + setup_wait_s(0.8, 10.0, 0.0) == pytest.approx(7.55555555556, rel=1e-11)


def test_rare_requests_wait_for_the_whole_set_up():
    assert setup_wait_s(0.0, 10.0, 0.0) == 10.0
    assert setup_wait_s(1e9, 10.0, 0.0) == pytest.approx(5.0)


@given(utilizations)
def test_batches_of_one_are_no_batches(rate):
    assert BatchMM1(rate, 1.0, 1.0).response_s == pytest.approx(MMC(rate, 1.0, 1).response_s)


def test_batches_of_five():
    # Gross, Shortle, Thompson & Harris.
    queue = BatchMM1(0.16, 1.0, 5.0)
    assert queue.in_system == pytest.approx(12.0)
    assert queue.response_s == pytest.approx(15.0)
    assert queue.wait_s == pytest.approx(14.0)


def test_geometric_batches():
    # Sizes geometric from 1 with mean m make M^[X]/M/1 slower by m than M/M/1: T = m / (mu - lambda).
    assert BatchMM1(0.2, 1.0, 4.0, 1.0 - 1.0 / 4.0).response_s == pytest.approx(4.0 / (1.0 - 0.8))


@pytest.mark.parametrize("size", [0.5, math.nan])
def test_a_batch_has_one_request_at_least(size):
    with pytest.raises(ValueError, match="batch_size is"):
        BatchMM1(0.1, 1.0, size)
