"""Constant services: the exact law of the wait in M/D/1, and exact means in M/D/c."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.queues.constant import MD1, MDC
from policies.queues.erlang import MMC
from policies.queues.oneserver import MG1


def erlangs_series(utilization, services):
    """P(wait <= t) of M/D/1 (Erlang 1909); its terms alternate, so only for few services."""
    terms = ((-utilization * (services - k), k) for k in range(math.floor(services) + 1))
    return (1.0 - utilization) * math.fsum(x**k / math.factorial(k) * math.exp(-x) for x, k in terms)


@given(st.floats(0.01, 0.99), st.floats(0.0, 6.0))
def test_erlangs_series(utilization, services):
    law = MD1(utilization, 1.0)
    assert 1.0 - law.wait_tail(services) == pytest.approx(erlangs_series(utilization, services), abs=1e-9)


@given(st.floats(0.01, 0.999))
def test_the_asymptote_takes_over_without_a_step(utilization):
    law = MD1(utilization, 1.0)
    before, after = law.wait_tail(16.0 - 1e-9), law.wait_tail(16.0)
    assert after == pytest.approx(before, rel=1e-7, abs=1e-13)


@given(st.floats(0.05, 0.97), st.floats(0.01, 100.0))
def test_the_tail_integrates_to_pollaczek_and_khinchine(utilization, service_s):
    law = MD1(utilization / service_s, service_s)
    steps, step = 2000, 40.0 / (1.0 - utilization) / 2000 / 2
    area = sum(law.wait_tail((i + 0.5) * step * service_s) for i in range(steps)) * step * service_s
    assert area == pytest.approx(law.wait_s, rel=2e-3)
    assert law.wait_s == pytest.approx(MG1(utilization / service_s, service_s, 0.0).wait_s)


# Erlang's series in 80 digits (Tijms, A First Course in Stochastic Models, sec. 9.2).
@pytest.mark.parametrize(
    ("rate", "fraction", "wait_s"),
    [(0.8, 0.5, 1.27593987338), (0.8, 0.99, 10.355886792), (0.9, 0.95, 14.1286738302), (0.9, 0.99, 21.8982373495)],
)
def test_quantiles_known(rate, fraction, wait_s):
    assert MD1(rate, 1.0).wait_quantile(fraction) == pytest.approx(wait_s, rel=1e-10)
    assert MD1(rate / 2.0, 2.0).response_quantile(fraction) == pytest.approx(2.0 * (wait_s + 1.0), rel=1e-10)


def test_before_and_without_arrivals():
    assert MD1(0.5, 1.0).wait_tail(-0.1) == 1.0
    assert MD1(0.5, 1.0).response_tail(0.9) == 1.0
    assert MD1(0.5, 1.0).wait_tail(0.0) == pytest.approx(0.5)
    assert MD1(0.0, 1.0).wait_tail(0.0) == 0.0
    assert MDC(0.0, 1.0, 4).wait_s == 0.0


# Crommelin's embedded chain (1932); Franx (2001) and Tijms (sec. 9.6) tabulate these queues.
@pytest.mark.parametrize(
    ("rate", "servers", "wait_s", "waits"),
    [
        (1.6, 2, 0.903283879406, 0.701898317173),
        (4.5, 5, 0.77669515819, 0.747828546069),
        (9.5, 10, 0.83708299184, 0.811640502754),
        (45.0, 50, 0.03952588717, 0.33554264514),
    ],
)
def test_several_constant_servers(rate, servers, wait_s, waits):
    queue = MDC(rate, 1.0, servers)
    assert queue.wait_s == pytest.approx(wait_s, rel=1e-9)
    assert queue.wait_probability == pytest.approx(waits, rel=1e-11)


@settings(deadline=None)
@given(st.floats(0.01, 1.0 - 1e-6), st.floats(0.01, 100.0))
def test_one_constant_server_is_pollaczek_and_khinchine(utilization, service_s):
    queue = MDC(utilization / service_s, service_s, 1)
    assert queue.wait_s == pytest.approx(MD1(utilization / service_s, service_s).wait_s, rel=1e-8)
    assert queue.wait_probability == pytest.approx(utilization, rel=1e-9)


@pytest.mark.parametrize("idle", [1.1e-3, 9e-4, 1e-4, 1e-6, 1e-9, 1e-12])
def test_a_server_almost_always_busy_keeps_its_digits(idle):
    assert MDC(1.0 - idle, 1.0, 1).wait_s == pytest.approx(MD1(1.0 - idle, 1.0).wait_s, rel=1e-8)


@settings(deadline=None)
@given(st.floats(0.3, 0.9999), st.integers(2, 300))
def test_constant_services_wait_no_more_than_exponential_ones_and_no_less_than_half(utilization, servers):
    constant, exponential = MDC(utilization * servers, 1.0, servers), MMC(utilization * servers, 1.0, servers)
    assert constant.wait_probability <= exponential.wait_probability * (1 + 1e-9)
    assert constant.wait_s <= exponential.wait_s * (1 + 1e-9)
    assert constant.wait_s >= 0.5 * exponential.wait_s


def test_twenty_thousand_constant_servers():
    queue = MDC(19_999.0, 1.0, 20_000)
    assert queue.wait_s == pytest.approx(0.5 * MMC(19_999.0, 1.0, 20_000).wait_s, rel=0.01)
    assert queue.response_s == pytest.approx(1.0 + queue.wait_s)
    assert queue.queue_length == pytest.approx(19_999.0 * queue.wait_s)
