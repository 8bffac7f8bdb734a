"""G/G/c and its inverses: laws, exact cases, and solved or simulated queues that the approximation must come near."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policies.queues import (
    GGC,
    domain,
    rate_for_mean_response,
    rate_for_response,
    rate_for_wait,
    servers_for_mean_response,
    servers_for_response,
    servers_for_wait,
    squareroot,
)
from policies.queues.constant import MDC
from policies.queues.erlang import MMC
from policies.queues.oneserver import MG1

utilizations = st.floats(0.05, 0.99)
pools = st.integers(1, 100)
scvs = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0, 1.3, 4.0, 20.0])


@given(utilizations, pools, st.floats(0.01, 100.0), st.floats(0.0, 5.0))
def test_without_excess_variability_it_is_erlang_c(utilization, servers, service_s, services):
    load = (utilization * servers / service_s, service_s, servers)
    queue, exact = GGC(*load), MMC(*load)
    assert queue.wait_probability == exact.wait_probability
    assert queue.wait_s == pytest.approx(exact.wait_s)
    assert queue.wait_tail(services * service_s) == pytest.approx(exact.wait_tail(services * service_s), rel=1e-6)
    assert queue.response_tail(services * service_s) == pytest.approx(
        exact.response_tail(services * service_s), rel=1e-6
    )
    assert queue.allen_cunneen_wait_s == queue.kraemer_langenbach_belz_wait_s == pytest.approx(exact.wait_s)


@given(utilizations, st.floats(0.0, 30.0))
def test_one_server_and_poisson_arrivals_are_pollaczek_and_khinchine(utilization, scv):
    assert GGC(utilization, 1.0, 1, 1.0, scv).wait_s == pytest.approx(MG1(utilization, 1.0, scv).wait_s)
    assert GGC(utilization, 1.0, 1, 1.0, scv).wait_probability == pytest.approx(utilization)


@settings(deadline=None)
@given(utilizations, pools, scvs, scvs)
def test_another_server_never_harms(utilization, servers, arrival_scv, service_scv):
    before = GGC(utilization * servers, 1.0, servers, arrival_scv, service_scv)
    after = GGC(utilization * servers, 1.0, servers + 1, arrival_scv, service_scv)
    assert after.wait_probability <= before.wait_probability
    assert after.wait_s <= before.wait_s
    for t_s in (0.01, 0.3, 1.0, 3.0):
        assert after.wait_tail(t_s) <= before.wait_tail(t_s)
        assert after.response_tail(t_s) <= before.response_tail(t_s) * (1 + 1e-9)


@settings(deadline=None)
@given(utilizations, pools, scvs, scvs, st.floats(1e-3, 1e3))
def test_the_unit_of_time_does_not_matter(utilization, servers, arrival_scv, service_scv, unit):
    one = GGC(utilization * servers, 1.0, servers, arrival_scv, service_scv)
    other = GGC(utilization * servers / unit, unit, servers, arrival_scv, service_scv)
    assert other.wait_s == pytest.approx(unit * one.wait_s)
    assert other.response_tail(2.0 * unit) == pytest.approx(one.response_tail(2.0), rel=1e-6)


@settings(deadline=None)
@given(utilizations, pools, scvs, scvs, st.floats(0.05, 0.999))
def test_quantiles_undo_tails(utilization, servers, arrival_scv, service_scv, fraction):
    queue = GGC(utilization * servers, 1.0, servers, arrival_scv, service_scv)
    assert queue.wait_tail(queue.wait_quantile(fraction)) <= (1.0 - fraction) * (1 + 1e-9)
    t_s = queue.response_quantile(fraction)
    assert queue.response_tail(t_s * (1 + 1e-9)) <= (1.0 - fraction) * (1 + 1e-6)
    assert queue.response_tail(t_s * (1 - 1e-9)) >= (1.0 - fraction) * (1 - 1e-6)


@given(utilizations, pools)
def test_clockwork_never_waits(utilization, servers):
    queue = GGC(utilization * servers, 1.0, servers, 0.0, 0.0)
    assert (queue.wait_probability, queue.wait_s, queue.wait_tail(0.0)) == (0.0, 0.0, 0.0)
    assert queue.response_quantile(0.99) == pytest.approx(1.0)


def test_no_arrivals_no_waits():
    queue = GGC(0.0, 5.0, 3, 4.0, 4.0)
    assert (queue.wait_probability, queue.wait_s, queue.response_s, queue.in_system) == (0.0, 0.0, 5.0, 0.0)


# Mean wait and P(wait) of solved Markov chains; the models are those tabulated by Hillier & Yu (1981) and by Seelen,
# Tijms & van Hoorn (1985): Erlang for SCVs below 1, balanced hyperexponential above.
SOLVED = [
    # rate, servers, SCV of arrivals and services, mean wait, P(wait), Allen-Cunneen, Kraemer-Langenbach-Belz
    (4.5, 5, 0.5, 0.5, 0.719317316983, 0.697140008514, 0.762493220733, 0.748502915579),
    (4.0, 5, 1.0, 4.0, 1.25415140466, 0.56955461742, 1.38528138528, 1.38528138528),
    (4.0, 5, 4.0, 1.0, 1.61255417079, 0.745228504923, 1.38528138528, 1.28518578193),
    (9.0, 10, 4.0, 2.0, 2.20899014688, 0.803216497412, 2.00619457232, 1.95666145184),
    (4.5, 5, 4.0, 0.5, 3.71731899938, 0.886427280654, 3.4312194933, 3.26387694395),
]


@pytest.mark.parametrize(("rate", "servers", "ca", "cs", "wait_s", "waits", "allen_cunneen_s", "klb_s"), SOLVED)
def test_near_what_was_solved(*, rate, servers, ca, cs, wait_s, waits, allen_cunneen_s, klb_s):
    queue = GGC(rate, 1.0, servers, ca, cs)
    assert queue.wait_s == pytest.approx(wait_s, rel=0.05)
    assert queue.wait_probability == pytest.approx(waits, rel=0.03)
    assert queue.allen_cunneen_wait_s == pytest.approx(allen_cunneen_s, rel=1e-10)
    assert queue.kraemer_langenbach_belz_wait_s == pytest.approx(klb_s, rel=1e-10)


@pytest.mark.parametrize(("utilization", "servers"), [(0.6, 5), (0.65, 10), (0.8, 40), (0.9, 100), (0.99, 3)])
def test_near_constant_services(utilization, servers):
    exact = MDC(utilization * servers, 1.0, servers)
    assert GGC(utilization * servers, 1.0, servers, 1.0, 0.0).wait_s == pytest.approx(exact.wait_s, rel=0.04)


# Simulated, 4 to 8 million requests each: P(wait), mean wait, and the wait that 99 % do not exceed.
@pytest.mark.parametrize(
    ("utilization", "servers", "ca", "cs", "waits", "wait_s", "late_s"),
    [
        (0.90, 40, 4.0, 1.0, 0.607, 0.3527, 2.37),
        (0.90, 100, 4.0, 0.0, 0.481, 0.1028, 0.750),
        (0.83, 10, 0.25, 1.0, 0.358, 0.1378, 1.38),
        (0.80, 5, 1.0, 4.0, 0.571, 1.268, 10.6),
        (0.95, 100, 1.0, 4.0, 0.526, 0.2216, 2.01),
    ],
)
def test_near_what_was_simulated(*, utilization, servers, ca, cs, waits, wait_s, late_s):
    queue = GGC(utilization * servers, 1.0, servers, ca, cs)
    assert queue.wait_probability == pytest.approx(waits, rel=0.15)
    assert queue.wait_s == pytest.approx(wait_s, rel=0.15)
    assert queue.wait_quantile(0.99) == pytest.approx(late_s, rel=0.2)


@settings(deadline=None)
@given(utilizations, pools, scvs, scvs)
def test_the_tail_promises_no_less_than_the_mean(utilization, servers, arrival_scv, service_scv):
    queue = GGC(utilization * servers, 1.0, servers, arrival_scv, service_scv)
    assert queue.delay.probability * queue.delay.mean_s >= queue.wait_s * (1 - 1e-9)


def test_a_heavy_tail_is_not_hidden_behind_the_mean():
    # M/H2/5 at 0.8 and M/H2/100 at 0.9, services of SCV 4, simulated: one wait in a hundred is longer than these.
    assert GGC(4.0, 1.0, 5, 1.0, 4.0).wait_tail(10.6) > 0.009
    assert GGC(90.0, 1.0, 100, 1.0, 4.0).wait_tail(0.704) > 0.009


def test_endless_servers_leave_nothing_to_wait_for():
    assert GGC(100.0, 1.0, 20_000, 4.0, 1.0).wait_probability == 0.0
    assert GGC(100.0, 1.0, 20_000, 0.5, 1.0).wait_probability == 0.0


def test_great_bursts_make_even_great_pools_wait():
    # Ten deviations of the busy servers of Poisson arrivals are one of arrivals whose peakedness is 100.
    queue = GGC(10_000.0, 1.0, 11_000, 199.0, 1.0)
    assert queue.markovian.wait_probability < 1e-20
    assert queue.wait_probability == pytest.approx(squareroot.wait_probability(1.0), rel=0.01)


def test_allen_cunneen_is_not_for_many_servers():
    # H2/D/40 at a utilization of 0.8: 0.0944 s simulated.
    queue = GGC(32.0, 1.0, 40, 4.0, 0.0)
    assert queue.allen_cunneen_wait_s < 0.5 * 0.0944
    assert queue.wait_s == pytest.approx(0.0944, rel=0.1)


@given(utilizations, pools)
def test_exponential_services_make_waits_exponential(utilization, servers):
    # GI/M/c (Takacs 1962): the mean wait of those who wait is 1/(c (1 - sigma)), sigma = E exp(-c (1 - sigma) A);
    # for gamma arrivals of SCV 1/2, sigma = (1 + (1 - sigma)/(2 utilization))^-2.
    queue = GGC(utilization * servers, 1.0, servers, 0.5, 1.0)
    assume(queue.wait_probability > 0.0)
    sigma = 1.0 - 1.0 / (servers * queue.wait_s / queue.wait_probability)
    assert sigma == pytest.approx((1.0 + (1.0 - sigma) / (2.0 * utilization)) ** -2, rel=1e-9)


def test_kingmans_bound():
    queue = GGC(0.8, 1.0, 1, 2.0, 0.25)
    assert queue.kingman_bound_s == pytest.approx(6.75)
    assert queue.allen_cunneen_wait_s == pytest.approx(4.5)
    # H2/E4/1, solved.
    assert queue.wait_s == pytest.approx(4.34271772783, rel=0.01)
    with pytest.raises(ValueError, match="servers is 2, the bound holds for 1 only"):
        _ = GGC(0.8, 1.0, 2).kingman_bound_s


@given(utilizations, scvs, scvs)
def test_the_mean_wait_keeps_below_the_bound(utilization, arrival_scv, service_scv):
    assume(arrival_scv + service_scv > 0)
    queue = GGC(utilization, 1.0, 1, arrival_scv, service_scv)
    assert queue.wait_s <= queue.kingman_bound_s * (1 + 1e-9)


def test_the_worked_case_wants_a_twelfth_server():
    # 100 requests a minute of 5 s: P(wait <= 3 s) is 0.80 with 10 servers, 0.92 with 11, 0.97 with 12.
    assert servers_for_wait(100 / 60, 5.0, 3.0, 0.95) == 12
    assert servers_for_mean_response(100 / 60, 5.0, 6.0) == 11
    assert servers_for_response(100 / 60, 5.0, 16.0, 0.95) == 11


targets = st.tuples(
    st.floats(0.01, 200.0),
    st.floats(1e-3, 1e3),
    st.sampled_from([(1.0, 1.0), (1.0, 0.0), (0.25, 0.5), (4.0, 1.0), (2.0, 3.0), (0.0, 1.0)]),
    st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.9999]),
    st.sampled_from([0.0, 0.01, 0.3, 1.0, 5.0]),
)


def fewest_by_counting(meets, offered):
    servers = domain.least(offered)
    while not meets(servers):
        servers += 1
    return servers


@settings(deadline=None)
@given(targets)
def test_not_one_server_too_many_for_a_wait(target):
    offered, service_s, scv, fraction, services = target
    rate, wait_s = offered / service_s, services * service_s
    counted = fewest_by_counting(
        lambda n: GGC(rate, service_s, n, *scv).wait_tail(wait_s) <= 1.0 - fraction, rate * service_s
    )
    assert servers_for_wait(rate, service_s, wait_s, fraction, *scv) == counted


@settings(deadline=None)
@given(targets)
def test_not_one_server_too_many_for_a_mean_response(target):
    offered, service_s, scv, _, services = target
    rate, response_s = offered / service_s, (1.001 + services) * service_s
    counted = fewest_by_counting(lambda n: GGC(rate, service_s, n, *scv).response_s <= response_s, rate * service_s)
    assert servers_for_mean_response(rate, service_s, response_s, *scv) == counted


@settings(deadline=None)
@given(targets)
def test_not_one_server_too_many_for_a_response(target):
    offered, service_s, scv, fraction, services = target
    rate = offered / service_s
    response_s = GGC(0.0, service_s, 1, *scv).response_quantile(fraction) * (1.01 + services)
    counted = fewest_by_counting(
        lambda n: GGC(rate, service_s, n, *scv).response_tail(response_s) <= 1.0 - fraction, rate * service_s
    )
    assert servers_for_response(rate, service_s, response_s, fraction, *scv) == counted


@settings(deadline=None)
@given(st.floats(0.5, 100.0), pools, st.sampled_from([(1.0, 1.0), (0.5, 2.0)]))
def test_the_most_load_is_what_still_meets(service_s, servers, scv):
    wait = (0.2 * service_s, 0.9)
    rate = rate_for_wait(service_s, servers, *wait, *scv)
    assert servers_for_wait(rate, service_s, *wait, *scv) <= servers
    assert servers_for_wait(1.001 * rate, service_s, *wait, *scv) > servers
    mean_s = 1.1 * service_s
    rate = rate_for_mean_response(service_s, servers, mean_s, *scv)
    assert GGC(rate, service_s, servers, *scv).response_s == pytest.approx(mean_s, rel=1e-6)
    late = (8.0 * service_s, 0.95)
    rate = rate_for_response(service_s, servers, *late, *scv)
    assert GGC(rate, service_s, servers, *scv).response_tail(late[0]) == pytest.approx(0.05, rel=1e-4)


def test_great_pools_need_a_root_more_than_their_load():
    # Halfin & Whitt (1981): beta = 1.42 makes one in ten wait.
    assert servers_for_wait(15_000.0, 1.0, 0.0, 0.9) == pytest.approx(15_000 + 1.42 * math.sqrt(15_000), abs=2)
    assert servers_for_wait(19_000.0, 1.0, 0.0, 0.9, 4.0, 1.0) > servers_for_wait(19_000.0, 1.0, 0.0, 0.9)


def test_nothing_arrives_nothing_is_needed():
    assert servers_for_wait(0.0, 1.0, 0.0, 0.9) == 0
    assert servers_for_mean_response(0.0, 1.0, 1.1) == 0
    assert servers_for_response(0.0, 1.0, 9.0, 0.9) == 0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: servers_for_wait(1.0, 1.0, -0.1, 0.9), "wait_s is -0.1"),
        (lambda: servers_for_wait(1.0, 1.0, 0.1, 1.0), "fraction is 1.0"),
        (lambda: servers_for_wait(1.0, 1.0, 0.1, 0.9, -1.0), "arrival_scv is -1.0"),
        (lambda: servers_for_wait(-1.0, 1.0, 0.1, 0.9), "rate_per_s is -1.0"),
        (lambda: servers_for_mean_response(1.0, 5.0, 5.0), "response_s is 5.0, must be above the mean service of 5.0"),
        (lambda: servers_for_response(1.0, 5.0, 10.0, 0.95), "takes up to 14.9787 s; must be above that"),
        (lambda: servers_for_response(1.0, 5.0, 4.9, 0.95, 1.0, 0.0), "takes up to 5 s; must be above that"),
        (lambda: servers_for_response(0.0, 5.0, math.nan, 0.95), "response_s is nan"),
        (lambda: rate_for_mean_response(5.0, 3, 4.0), "must be above the mean service"),
        (lambda: rate_for_wait(5.0, 0, 4.0, 0.9), "servers is 0"),
        (lambda: GGC(2.0, 1.0, 2), "servers is 2, too few for 2 erlangs; must be at least 3"),
    ],
)
def test_the_impossible_is_refused_with_the_way_out(call, says):
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize(
    ("arrival_scv", "service_scv"), [(5e-324, 20.0), (0.0, 5e-324), (5e-324, 5e-324), (1e-200, 1.0)]
)
def test_hardly_any_variability_is_none(arrival_scv: float, service_scv: float) -> None:
    rounded = (0.0 if arrival_scv < 1e-9 else arrival_scv, 0.0 if service_scv < 1e-9 else service_scv)
    found = servers_for_wait(50.0, 1.0, 5.0, 0.95, arrival_scv, service_scv)
    assert found == servers_for_wait(50.0, 1.0, 5.0, 0.95, *rounded)
    assert servers_for_response(5.0, 1.0, 9.0, 0.9, 1.0, service_scv) == servers_for_response(
        5.0, 1.0, 9.0, 0.9, 1.0, rounded[1]
    )
