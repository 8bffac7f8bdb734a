"""Erlang B, C and A: laws first, then numbers from the literature."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from policies.queues import erlang
from policies.queues.erlang import MMC, Delay, ErlangA

loads = st.floats(1e-3, 300.0)
pools = st.integers(1, 300)


@st.composite
def settled_queues(draw):
    servers = draw(pools)
    utilization = draw(st.floats(0.01, 0.999))
    service_s = draw(st.floats(1e-3, 1e3))
    return MMC(utilization * servers / service_s, service_s, servers)


@given(loads, pools)
def test_erlang_b_follows_from_one_server_less(offered, servers):
    before = erlang.b(offered, servers - 1)
    assert erlang.b(offered, servers) == pytest.approx(offered * before / (servers + offered * before), rel=1e-12)


@given(loads)
def test_without_servers_everything_is_lost(offered):
    assert erlang.b(offered, 0) == 1.0


def test_nothing_is_lost_where_nothing_comes():
    assert erlang.b(0.0, 3) == 0.0


# Direct sums; the values hold for any service law (Erlang 1917, Sevastyanov 1957).
@pytest.mark.parametrize(
    ("offered", "servers", "blocked", "carried"),
    [(1, 2, 0.2, 0.8), (5, 5, 0.284867821331, 3.57566089335), (10, 15, 0.0364969454724, 9.63503054528)],
)
def test_erlang_b_known(offered, servers, blocked, carried):
    assert erlang.b(offered, servers) == pytest.approx(blocked, rel=1e-11)
    assert erlang.carried(offered, servers) == pytest.approx(carried, rel=1e-11)


def test_erlang_b_of_twenty_thousand_servers():
    # The recursion in 50 decimal digits.
    assert erlang.b(19_900.0, 20_000) == pytest.approx(0.00288042175402212, rel=1e-12)
    assert erlang.b(100.0, 20_000) == 0.0
    assert erlang.b(1e6, 20_000) == pytest.approx(0.98000002040812, rel=1e-12)


@given(loads, pools)
def test_more_wait_than_would_be_lost(offered, servers):
    assert erlang.b(offered, servers) <= erlang.c(offered, servers) <= 1.0


def test_everyone_waits_where_the_queue_never_settles():
    assert erlang.c(3.0, 3) == erlang.c(3.5, 3) == erlang.c(1e6, 3) == 1.0


def test_the_worked_case():
    # 10 instances, 5 s a request, 100 requests a minute.
    queue = MMC(100 / 60, 5.0, 10)
    assert queue.wait_probability == pytest.approx(0.4876, abs=5e-5)
    assert queue.wait_s == pytest.approx(1.4628, abs=5e-5)
    assert queue.response_s == pytest.approx(6.4628, abs=5e-5)


# Gross, Shortle, Thompson & Harris.
def test_forty_five_erlangs_on_fifty_servers():
    queue = MMC(45.0, 1.0, 50)
    assert queue.wait_probability == pytest.approx(0.363864467207, rel=1e-11)
    assert queue.wait_s == pytest.approx(0.0727728934414, rel=1e-11)
    assert queue.queue_length == pytest.approx(3.27478020486, rel=1e-11)
    assert queue.in_system == pytest.approx(48.2747802049, rel=1e-11)
    assert queue.wait_quantile(0.95) == pytest.approx(0.396951690007, rel=1e-11)
    assert queue.wait_quantile(0.99) == pytest.approx(0.718839272494, rel=1e-11)
    assert queue.response_quantile(0.95) == pytest.approx(3.08279555503, rel=1e-11)
    assert queue.response_quantile(0.99) == pytest.approx(4.69223383476, rel=1e-11)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.999))
def test_the_response_of_one_server_is_exponential(utilization, fraction):
    queue = MMC(utilization, 1.0, 1)
    assert queue.response_quantile(fraction) == pytest.approx(
        -math.log(1.0 - fraction) / (1.0 - utilization), rel=1e-10
    )


@given(settled_queues())
def test_littles_law(queue):
    assert queue.in_system == pytest.approx(queue.rate_per_s * queue.response_s)
    assert queue.queue_length == pytest.approx(queue.in_system - queue.offered, rel=1e-6, abs=1e-9)


@given(settled_queues(), st.floats(0.0, 20.0))
def test_some_who_do_not_wait_for_long_respond_late(queue, services):
    t_s = services * queue.service_s
    alone = math.exp(-services)
    assert max(alone, queue.wait_tail(t_s)) <= queue.response_tail(t_s) * (1 + 1e-12)
    assert queue.response_tail(t_s) <= (alone + queue.wait_tail(0.0)) * (1 + 1e-12)


@given(settled_queues(), st.floats(0.01, 0.9999))
def test_quantiles_undo_tails(queue, fraction):
    assert queue.response_tail(queue.response_quantile(fraction)) == pytest.approx(1.0 - fraction, rel=1e-9)
    wait_s = queue.wait_quantile(fraction)
    assert queue.wait_tail(wait_s) <= (1.0 - fraction) * (1 + 1e-9)
    assert wait_s == 0.0 or queue.wait_tail(wait_s) == pytest.approx(1.0 - fraction, rel=1e-9)


@given(settled_queues())
def test_tails_integrate_to_means(queue):
    fast_s, slow_s = sorted([queue.service_s, queue.delay.mean_s])
    ends = [0.0, fast_s, 10.0 * fast_s, 10.0 * fast_s + 3.0 * slow_s, 10.0 * fast_s + 50.0 * slow_s]
    area = sum(quad(queue.response_tail, low, high, epsabs=0.0)[0] for low, high in pairwise(ends))
    assert area == pytest.approx(queue.response_s, rel=1e-9)


def test_a_wait_as_long_as_a_service_is_no_special_case():
    # Two exponentials of mean 1: P(sum > t) = (1 + t) e^-t.
    assert Delay(1.0, 1.0).response_tail(2.0, 1.0) == pytest.approx(3.0 * math.exp(-2.0))
    assert Delay(1.0, 1.0 + 1e-9).response_tail(2.0, 1.0) == pytest.approx(3.0 * math.exp(-2.0), rel=1e-8)


def test_before_time_nothing_is_over():
    queue = MMC(45.0, 1.0, 50)
    assert queue.wait_tail(-1.0) == queue.response_tail(-1.0) == 1.0
    assert ErlangA(45.0, 1.0, 50, 1.0).wait_tail(-1.0) == 1.0


def test_no_arrivals_no_waits():
    queue = MMC(0.0, 5.0, 3)
    assert (queue.wait_probability, queue.wait_s, queue.response_s, queue.in_system) == (0.0, 0.0, 5.0, 0.0)


def test_a_pool_too_small_is_told_how_large_it_must_be():
    with pytest.raises(ValueError, match=r"servers is 8, too few for 8\.33333 erlangs; must be at least 9"):
        MMC(100 / 60, 5.0, 8)


@given(pools)
def test_the_greatest_load_that_settles_has_a_finite_wait(servers):
    queue = MMC(math.nextafter(servers, 0.0), 1.0, servers)
    assert queue.utilization < 1.0
    assert 1e12 < queue.wait_s < math.inf
    with pytest.raises(ValueError, match=f"must be at least {servers + 1}"):
        MMC(float(servers), 1.0, servers)


@pytest.mark.parametrize(
    ("rate", "service", "servers", "name"),
    [
        (-1.0, 1.0, 1, "rate_per_s"),
        (math.nan, 1.0, 1, "rate_per_s"),
        (1.0, 0.0, 2, "service_s"),
        (1.0, math.inf, 2, "service_s"),
        (0.5, 1.0, 0, "servers"),
        (0.5, 1.0, 1.5, "servers"),
    ],
)
def test_what_is_no_queue_is_named(rate, service, servers, name):
    with pytest.raises(ValueError, match=f"{name} is"):
        MMC(rate, service, servers)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, math.nan])
def test_no_quantile_outside_the_open_interval(fraction):
    with pytest.raises(ValueError, match="fraction"):
        MMC(1.0, 1.0, 2).wait_quantile(fraction)


def birth_and_death(arrive, end, cap):
    """Stationary law of 0..cap for birth rates arrive(n) and death rates end(n)."""
    weights = [1.0]
    for n in range(1, cap + 1):
        weights.append(weights[-1] * arrive(n - 1) / end(n))
    total = sum(weights)
    return [w / total for w in weights]


@settings(deadline=None)
@given(st.floats(0.05, 30.0), st.integers(1, 12), st.floats(0.05, 20.0))
def test_erlang_a_is_its_birth_and_death_chain(offered, servers, patience):
    law = birth_and_death(lambda _: offered, lambda n: min(n, servers) + max(0, n - servers) / patience, 900)
    queue_length = sum(max(0, n - servers) * p for n, p in enumerate(law))
    queue = ErlangA(offered, 1.0, servers, patience)
    assert queue.wait_probability == pytest.approx(sum(law[servers:]), rel=1e-9)
    assert queue.queue_length == pytest.approx(queue_length, rel=1e-9)
    assert queue.in_system == pytest.approx(sum(n * p for n, p in enumerate(law)), rel=1e-9)


# Palm (1946); Mandelbaum & Zeltyn (2007).
def test_an_overloaded_pool_sheds_a_fifth():
    queue = ErlangA(12.0, 1.0, 10, 2.0)
    assert queue.wait_probability == pytest.approx(0.850384947915, rel=1e-11)
    assert queue.abandon_probability == pytest.approx(0.195655944011, rel=1e-11)
    assert queue.queue_length == pytest.approx(4.69574265626, rel=1e-11)
    assert queue.wait_s == pytest.approx(0.391311888021, rel=1e-11)
    assert queue.utilization == pytest.approx(0.965212867187, rel=1e-11)


@settings(deadline=None)
@given(settled_queues())
def test_endless_patience_makes_erlang_a_erlang_c(queue):
    patient = ErlangA(queue.rate_per_s, queue.service_s, queue.servers, 1e12 * queue.service_s)
    assert patient.wait_probability == pytest.approx(queue.wait_probability, rel=1e-4)
    assert patient.wait_s == pytest.approx(queue.wait_s, rel=1e-4, abs=1e-12 * queue.service_s)


@settings(deadline=None)
@given(st.floats(0.05, 400.0), st.integers(1, 300), st.floats(1e-2, 1e4))
def test_impatience_takes_what_the_servers_do_not(offered, servers, patience):
    queue = ErlangA(offered, 1.0, servers, patience)
    assert 0.0 <= queue.abandon_probability <= 1.0
    assert queue.utilization <= 1.0 + 1e-9
    assert queue.abandon_probability >= (1.0 - servers / offered) * (1 - 1e-9)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.05, 60.0), st.integers(1, 40), st.floats(0.05, 20.0))
def test_the_tail_of_impatient_waits_integrates_to_their_mean(offered, servers, patience):
    queue = ErlangA(offered, 1.0, servers, patience)
    step_s = 0.02 * queue.wait_s / queue.wait_probability
    area = sum(queue.wait_tail((i + 0.5) * step_s) for i in range(2000)) * step_s
    assert queue.wait_tail(0.0) == pytest.approx(queue.wait_probability)
    assert area == pytest.approx(queue.wait_s, rel=1e-3)


def test_erlang_a_of_twenty_thousand_servers_is_its_limit():
    # Garnett, Mandelbaum & Reiman (2002): at load = servers and patience = service, P(wait) -> 1/2.
    assert ErlangA(20_000.0, 1.0, 20_000, 1.0).wait_probability == pytest.approx(0.5, abs=1e-2)
    assert ErlangA(10_000.0, 1.0, 10_000, 1.0).abandon_probability == pytest.approx(0.0039893896, rel=1e-7)
    assert ErlangA(30_000.0, 1.0, 20_000, 1e5).abandon_probability == pytest.approx(1.0 / 3.0, rel=1e-9)


def test_nobody_waits_for_nobody():
    queue = ErlangA(0.0, 1.0, 2, 3.0)
    assert (queue.wait_probability, queue.wait_s, queue.utilization, queue.wait_tail(1.0)) == (0.0, 0.0, 0.0, 0.0)


def test_half_of_the_impatient_queue_no_longer_than_the_median():
    queue = ErlangA(12.0, 1.0, 10, 2.0)
    assert queue.wait_tail(queue.wait_quantile(0.5)) == pytest.approx(0.5)
    assert queue.wait_quantile(0.1) == 0.0
