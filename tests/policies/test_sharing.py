"""Processor sharing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.queues.erlang import MMC
from policies.queues.sharing import ProcessorSharing


@given(st.floats(0.01, 0.99), st.integers(1, 100), st.floats(0.01, 100.0))
def test_means_are_those_of_a_queue(utilization, servers, service_s):
    rate = utilization * servers / service_s
    assert ProcessorSharing(rate, service_s, servers).response_s == MMC(rate, service_s, servers).response_s


# Kleinrock (1967); Coffman, Muntz & Trotter (1970).
def test_a_server_nine_tenths_busy_is_ten_times_slower():
    server = ProcessorSharing(0.9, 1.0)
    assert server.slowdown == pytest.approx(10.0)
    assert server.response_of_s(2.0) == pytest.approx(20.0)
    assert server.in_system == pytest.approx(9.0)
    assert server.exponential_response_variance_s2 == pytest.approx(263.636363636, rel=1e-11)


# Cohen (1979).
def test_two_servers_shared():
    assert ProcessorSharing(1.6, 1.0, 2).response_s == pytest.approx(2.77777777778, rel=1e-11)
    assert ProcessorSharing(1.6, 1.0, 2).utilization == pytest.approx(0.8)


def test_what_is_known_for_one_server_only():
    shared = ProcessorSharing(1.6, 1.0, 2)
    with pytest.raises(ValueError, match="servers is 2, response_of_s is known for 1 only"):
        shared.response_of_s(2.0)
    with pytest.raises(ValueError, match="servers is 2"):
        _ = shared.exponential_response_variance_s2


def test_too_much_to_share():
    with pytest.raises(ValueError, match=r"servers is 2, too few for 2\.5 erlangs; must be at least 3"):
        ProcessorSharing(2.5, 1.0, 2)
