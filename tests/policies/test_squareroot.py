"""Square-root staffing and its limits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.queues import erlang, squareroot
from policies.queues.erlang import ErlangA


@given(st.floats(0.001, 0.999))
def test_beta_undoes_the_probability(fraction):
    assert squareroot.wait_probability(squareroot.beta_for(fraction)) == pytest.approx(fraction, rel=1e-10)


# Halfin & Whitt (1981).
@pytest.mark.parametrize(("beta", "waits"), [(0.5, 0.504538640998), (2.0, 0.0268813624294)])
def test_many_servers_wait_as_halfin_and_whitt_say(beta, waits):
    assert squareroot.wait_probability(beta) == pytest.approx(waits, rel=1e-11)
    offered = 2500.0
    assert erlang.c(offered, squareroot.servers(offered, beta)) == pytest.approx(waits, rel=0.05)
    offered = 1e6
    assert erlang.c(offered, squareroot.servers(offered, beta)) == pytest.approx(waits, rel=0.003)


def test_one_in_ten_and_one_in_two():
    # The betas of Jennings, Mandelbaum, Massey & Whitt (1996).
    assert squareroot.beta_for(0.1) == pytest.approx(1.4201868881, rel=1e-10)
    assert squareroot.beta_for(0.5) == pytest.approx(0.506054468989, rel=1e-10)


def test_without_slack_all_wait():
    assert squareroot.wait_probability(0.0) == squareroot.wait_probability(-1.0) == 1.0
    assert squareroot.wait_probability(100.0) == 0.0


def test_a_hundred_erlangs_and_two_roots_are_a_hundred_and_twenty():
    assert squareroot.servers(100.0, 2.0) == 120
    assert squareroot.servers(100.5, 2.0) == 121
    assert squareroot.servers(4.0, -3.0) == 0


# Garnett, Mandelbaum & Reiman (2002).
def test_the_impatient_wait_less():
    assert squareroot.patient_wait_probability(0.0, 1.0) == pytest.approx(0.5)
    assert squareroot.patient_abandonment(0.0, 1.0) == pytest.approx(0.398942280401, rel=1e-11)
    assert squareroot.patient_wait_probability(0.5, 1.0) == pytest.approx(0.308537538726, rel=1e-11)
    assert squareroot.patient_abandonment(0.5, 1.0) == pytest.approx(0.197796557401, rel=1e-11)


@given(st.floats(-2.0, 2.0), st.floats(0.1, 10.0))
def test_erlang_a_of_many_servers_is_garnetts(beta, service_over_patience):
    servers = 10_000
    root = (-beta + math.sqrt(beta * beta + 4.0 * servers)) / 2.0
    exact = ErlangA(root * root, 1.0, servers, 1.0 / service_over_patience)
    waits = squareroot.patient_wait_probability(beta, service_over_patience)
    assert exact.wait_probability == pytest.approx(waits, rel=0.05)
    assert root * exact.abandon_probability == pytest.approx(
        squareroot.patient_abandonment(beta, service_over_patience), rel=0.1
    )


@given(st.floats(0.01, 3.0))
def test_endless_patience_is_halfin_and_whitts(beta):
    assert squareroot.patient_wait_probability(beta, 1e-9) == pytest.approx(squareroot.wait_probability(beta), rel=1e-3)


@given(st.floats(20.0, 30.0))
def test_the_hazard_of_far_deviations(x):
    # Mills' ratio lies between x/(x^2+1) and 1/x (Gordon 1941).
    assert x < squareroot.hazard(x) < x + 1.0 / x


def test_the_hazard_goes_over_into_its_expansion():
    assert squareroot.hazard(25.0 + 1e-9) == pytest.approx(squareroot.hazard(25.0), rel=1e-9)
