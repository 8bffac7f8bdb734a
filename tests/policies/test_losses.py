"""Queues that lose requests, against their own birth-and-death chains and against the literature."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.queues import erlang
from policies.queues.erlang import MMC, ErlangA
from policies.queues.losses import MMCD, MMCK


@given(st.floats(0.01, 50.0), st.integers(1, 20), st.integers(0, 100))
def test_a_bounded_queue_is_its_birth_and_death_chain(offered, servers, room):
    weights = [1.0]
    for n in range(1, servers + room + 1):
        weights.append(weights[-1] * offered / min(n, servers))
    total = sum(weights)
    queue = MMCK(offered, 1.0, servers, servers + room)
    waiting = sum(max(0, n - servers) * w for n, w in enumerate(weights)) / total
    assert queue.blocking_probability == pytest.approx(weights[-1] / total, rel=1e-9)
    assert queue.queue_length == pytest.approx(waiting, rel=1e-8)
    assert queue.in_system == pytest.approx(sum(n * w for n, w in enumerate(weights)) / total, rel=1e-8)


@given(st.floats(0.01, 500.0), st.integers(1, 300))
def test_without_a_place_to_wait_it_is_erlang_b(offered, servers):
    queue = MMCK(offered, 1.0, servers, servers)
    assert queue.blocking_probability == pytest.approx(erlang.b(offered, servers), rel=1e-9)
    assert queue.wait_s == 0.0


@given(st.floats(0.05, 0.98), st.integers(1, 50))
def test_with_endless_room_it_is_erlang_c(utilization, servers):
    bounded = MMCK(utilization * servers, 1.0, servers, servers + 20_000)
    assert bounded.wait_s == pytest.approx(MMC(utilization * servers, 1.0, servers).wait_s, rel=1e-9)


@pytest.mark.parametrize("exponent", [0.3, 0.4999, 0.5001])
def test_the_mean_queue_keeps_its_digits_where_two_formulas_meet(exponent):
    # One server, 101 states whose weights fall by e^-exponent in all.
    weights = [math.exp(-exponent * n / 101.0) for n in range(101)]
    in_system = math.fsum(n * w for n, w in enumerate(weights)) / math.fsum(weights)
    assert MMCK(math.exp(-exponent / 101.0), 1.0, 1, 100).in_system == pytest.approx(in_system, rel=1e-12)


@pytest.mark.parametrize("ratio", [1.0 - 1e-12, 1.0 - 1e-6, 1.0, 1.0 + 1e-9, 1.0 + 1e-4])
def test_a_load_near_one_keeps_its_digits(ratio):
    # One server, K places, load 1: all K + 1 states are alike.
    queue = MMCK(ratio, 1.0, 1, 99)
    assert queue.blocking_probability == pytest.approx(0.01, rel=50.0 * abs(ratio - 1.0) + 1e-9)
    assert queue.in_system == pytest.approx(49.5, rel=50.0 * abs(ratio - 1.0) + 1e-9)


def test_the_greatest_loads_and_rooms_do_not_overflow():
    flooded = MMCK(1e9, 1.0, 20_000, 1_000_000)
    assert flooded.throughput_per_s == pytest.approx(20_000.0)
    assert flooded.queue_length == pytest.approx(980_000.0, rel=1e-4)
    assert MMCK(1e-9, 1.0, 20_000, 1_000_000).blocking_probability == 0.0


# Gross, Shortle, Thompson & Harris.
def test_ten_erlangs_on_eight_servers_and_twenty_places():
    queue = MMCK(10.0, 1.0, 8, 20)
    assert queue.blocking_probability == pytest.approx(0.205781500574, rel=1e-11)
    assert queue.in_system == pytest.approx(16.456268958, rel=1e-10)
    assert queue.queue_length == pytest.approx(8.51408396379, rel=1e-11)
    assert queue.response_s == pytest.approx(2.07200776234, rel=1e-11)
    assert queue.throughput_per_s == pytest.approx(7.94218499426, rel=1e-11)
    assert queue.utilization == pytest.approx(0.992773124283, rel=1e-11)


def test_fewer_places_than_servers_are_refused():
    with pytest.raises(ValueError, match="places is 3, must be a whole number of at least 4"):
        MMCK(1.0, 1.0, 4, 3)


def test_nothing_lost_where_nothing_comes():
    queue = MMCK(0.0, 2.0, 1, 5)
    assert (queue.blocking_probability, queue.wait_s, queue.response_s) == (0.0, 0.0, 2.0)


# Baccelli & Hebuterne (1981); Zeltyn & Mandelbaum (2005).
@pytest.mark.parametrize(
    ("rate", "servers", "patience", "waits", "abandons", "wait_s", "served_wait_s"),
    [
        (9.0, 10, 1.0, 0.574526980656, 0.0315972459089, 0.258554521566, 0.234362484719),
        (11.0, 10, 0.5, 0.740417490798, 0.150043261121, 0.234863706487, 0.188059072438),
        (1.2, 1, 2.0, 0.825818499603, 0.311817916998, 1.17181209095, 0.796557002122),
    ],
)
def test_a_time_limit_known(*, rate, servers, patience, waits, abandons, wait_s, served_wait_s):
    queue = MMCD(rate, 1.0, servers, patience)
    assert queue.wait_probability == pytest.approx(waits, rel=1e-11)
    assert queue.abandon_probability == pytest.approx(abandons, rel=1e-11)
    assert queue.wait_s == pytest.approx(wait_s, rel=1e-11)
    assert queue.served_wait_s == pytest.approx(served_wait_s, rel=1e-11)


@given(st.floats(0.01, 400.0), st.integers(1, 300), st.floats(1e-3, 1e3))
def test_servers_serve_what_is_not_abandoned(offered, servers, patience):
    # The mean number of busy servers from the states themselves: those below c as in Erlang B, then c of them.
    queue = MMCD(offered, 1.0, servers, patience)
    below = erlang.carried(offered, servers - 1)
    busy = (1.0 - queue.wait_probability) * below + queue.wait_probability * servers
    assert queue.utilization * servers == pytest.approx(busy, rel=1e-8)


@given(st.floats(0.01, 0.97), st.integers(1, 50))
def test_an_endless_time_limit_is_erlang_c(utilization, servers):
    patient = MMCD(utilization * servers, 1.0, servers, 5e3)
    assert patient.wait_s == pytest.approx(MMC(utilization * servers, 1.0, servers).wait_s, rel=1e-9)


@pytest.mark.parametrize("excess", [-1e-3, -1e-9, 0.0, 1e-9, 1e-3])
def test_a_load_of_all_servers_keeps_its_digits(excess):
    # Offered waits are uniform up to the limit where load = servers: mean wait of the served is half the limit.
    queue = MMCD(5.0 * (1.0 + excess), 1.0, 5, 2.0)
    waited = queue.wait_probability - queue.abandon_probability
    mean_s = (queue.wait_s - 2.0 * queue.abandon_probability) / waited
    assert mean_s == pytest.approx(1.0, rel=5.0 * abs(excess) + 1e-12)


@pytest.mark.parametrize("offered", [4.0, 5.2, 9.0])
def test_abandonment_by_hand(offered):
    # Midpoint sums of the density of the offered wait, which falls by (5 - offered) a second up to the limit of 2 s.
    density = [math.exp(-(5.0 - offered) * 0.001 * (i + 0.5)) for i in range(2000)]
    idle = 1.0 / (offered * erlang.b(offered, 4))
    served, late = 0.001 * sum(density), math.exp(-(5.0 - offered) * 2.0) / 5.0
    queue = MMCD(offered, 1.0, 5, 2.0)
    assert queue.abandon_probability == pytest.approx(late / (idle + served + late), rel=1e-5)
    assert queue.wait_probability == pytest.approx((served + late) / (idle + served + late), rel=1e-5)


def test_a_flood_loses_all_but_what_the_servers_bear():
    queue = MMCD(1e6, 1.0, 20_000, 100.0)
    assert queue.abandon_probability == pytest.approx(0.98)
    assert queue.served_wait_s == pytest.approx(100.0, rel=1e-4)


def test_fixed_patience_loses_fewer_than_random_patience_at_light_load():
    assert MMCD(8.0, 1.0, 10, 1.0).abandon_probability < ErlangA(8.0, 1.0, 10, 1.0).abandon_probability
