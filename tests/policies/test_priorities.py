"""Priorities: conservation of work, exact cases, and no server too many."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from policies.queues import GGC, domain, servers_for_wait
from policies.queues.erlang import MMC
from policies.queues.priorities import (
    NonPreemptive,
    PriorityClass,
    mixture,
    preemptive_mmc_response_s,
    preemptive_response_s,
    servers_for_priorities,
    servers_for_priority_means,
)

shares = st.lists(st.floats(0.05, 1.0), min_size=1, max_size=4)


@st.composite
def exponential_classes(draw):
    """Classes of equal exponential services, and servers that bear them."""
    servers, utilization, parts = draw(st.integers(1, 50)), draw(st.floats(0.05, 0.98)), draw(shares)
    scale = utilization * servers / sum(parts)
    return NonPreemptive(tuple(PriorityClass(scale * part, 1.0) for part in parts), servers)


@st.composite
def any_classes(draw):
    servers, utilization, parts = draw(st.integers(1, 50)), draw(st.floats(0.05, 0.98)), draw(shares)
    means, scvs = st.floats(0.1, 10.0), st.sampled_from([0.0, 0.5, 1.0, 3.0])
    scale = utilization * servers / sum(parts)
    classes = [(scale * part, draw(means), draw(scvs)) for part in parts]
    arrival_scv = draw(st.sampled_from([0.5, 1.0, 4.0]))
    return NonPreemptive(tuple(PriorityClass(load / s, s, scv) for load, s, scv in classes), servers, arrival_scv)


@settings(deadline=None)
@given(any_classes())
def test_priorities_only_shift_work(queue):
    # Kleinrock's conservation law: sum of load times wait does not depend on who goes first.
    work = math.fsum(x.offered * wait_s for x, wait_s in zip(queue.classes, queue.wait_s, strict=True))
    assert work == pytest.approx(queue.together.offered * queue.together.wait_s)


@settings(deadline=None)
@given(any_classes(), st.floats(0.0, 10.0))
def test_who_goes_first_waits_less(queue, t_s):
    assert list(queue.wait_s) == sorted(queue.wait_s)
    tails = [queue.wait_tail(i, t_s) for i in range(len(queue.classes))]
    assert all(before <= after + 1e-8 for before, after in pairwise(tails))


@settings(deadline=None)
@given(st.floats(0.05, 0.95), st.integers(1, 30), st.sampled_from([0.0, 1.0, 4.0]), st.floats(0.0, 5.0))
def test_one_class_alone_has_no_priority(utilization, servers, scv, t_s):
    queue = NonPreemptive((PriorityClass(utilization * servers, 1.0, scv),), servers, 2.0)
    alone = GGC(utilization * servers, 1.0, servers, 2.0, scv)
    assert queue.wait_s[0] == pytest.approx(alone.wait_s)
    assert queue.wait_tail(0, t_s) == pytest.approx(alone.wait_tail(t_s))
    assert queue.response_s[0] == pytest.approx(alone.response_s)


@settings(deadline=None, max_examples=30)
@given(exponential_classes())
def test_tails_integrate_to_means(queue):
    last = len(queue.classes) - 1
    mean_s = queue.wait_s[last] / queue.wait_probability
    # The tail of late classes is far from exponential: near steps are fine, far ones coarse.
    edges = [0.0, *(mean_s * 1e-4 * 1.03**k for k in range(520))]
    middles = [(0.5 * (a + b), b - a) for a, b in pairwise(edges)]
    area = math.fsum(queue.wait_tail(last, t) * width for t, width in middles)
    assert queue.wait_tail(last, 0.0) == pytest.approx(queue.wait_probability)
    assert area == pytest.approx(queue.wait_s[last], rel=2e-3)


@given(exponential_classes(), st.floats(0.0, 10.0))
def test_the_first_class_waits_exponentially(queue, t_s):
    gap_s = 1.0 / queue.servers / (1.0 - queue.classes[0].offered / queue.servers)
    assert queue.wait_tail(0, t_s) == pytest.approx(queue.wait_probability * math.exp(-t_s / gap_s), rel=1e-6)


@settings(deadline=None, max_examples=50)
@given(exponential_classes(), st.floats(0.05, 0.99))
def test_quantiles_undo_tails(queue, fraction):
    last = len(queue.classes) - 1
    wait_s = queue.wait_quantile(last, fraction)
    assert queue.wait_tail(last, wait_s) <= 1.0 - fraction + 1e-6
    assert wait_s == 0.0 or queue.wait_tail(last, wait_s) == pytest.approx(1.0 - fraction, abs=1e-6)


def test_two_classes_before_one_server():
    # Cobham (1954).
    queue = NonPreemptive((PriorityClass(0.3, 1.0), PriorityClass(0.5, 1.0)), 1)
    assert queue.wait_s == pytest.approx((1.14285714286, 5.71428571429), rel=1e-11)
    assert queue.queue_length == pytest.approx((0.342857142857, 2.85714285714), rel=1e-11)


def test_different_services_before_one_server():
    # Cobham (1954): sum of rate E S^2 / 2 = 1.35; loads 0.2, 0.5, 0.7 as they add up.
    classes = (PriorityClass(0.4, 0.5, 0.0), PriorityClass(0.3, 1.0, 1.0), PriorityClass(0.1, 2.0, 4.0))
    assert NonPreemptive(classes, 1).wait_s == pytest.approx((1.35 / 0.8, 1.35 / 0.8 / 0.5, 1.35 / 0.5 / 0.3))


@pytest.mark.parametrize(("above", "here", "t_s"), [(0.3, 0.5, 1.0), (0.6, 0.3, 5.0), (0.1, 0.1, 0.2)])
def test_the_law_of_the_second_class(above, here, t_s):
    # Fourier's inversion of Kella & Yechiali's transform; busy periods of the first class solve a quadratic.
    def tail_transform(frequency):
        s = 1j * frequency
        roots = np.roots([above, -(1.0 + above + s), 1.0])
        busy = roots[np.argmin(abs(roots))]
        return ((1.0 - (1.0 - above - here) * (1.0 - busy) / (s - here + here * busy)) / s).real

    integral, _ = quad(tail_transform, 1e-9, np.inf, weight="cos", wvar=t_s, limlst=500)
    queue = NonPreemptive((PriorityClass(above, 1.0), PriorityClass(here, 1.0)), 1)
    assert queue.wait_tail(1, t_s) == pytest.approx((above + here) * 2.0 / math.pi * integral, abs=1e-7)


def test_two_classes_before_three_servers():
    # Simulated, 740,000 requests: P(wait > 0.5), P(wait > 3).
    queue = NonPreemptive((PriorityClass(1.2, 1.0), PriorityClass(1.4, 1.0)), 3)
    assert [queue.wait_tail(0, 0.5), queue.wait_tail(0, 3.0)] == pytest.approx([0.3077, 0.00339], rel=0.02)
    assert [queue.wait_tail(1, 0.5), queue.wait_tail(1, 3.0)] == pytest.approx([0.6458, 0.3555], rel=0.02)


def test_interruption_before_one_server():
    # Jaiswal (1968); Kleinrock vol. 2, ch. 3.
    classes = (PriorityClass(0.4, 0.5, 0.0), PriorityClass(0.3, 1.0, 1.0), PriorityClass(0.1, 2.0, 4.0))
    assert preemptive_response_s(classes) == pytest.approx((0.5625, 2.125, 13.0))


def test_interruption_before_ten_servers():
    # Buzen & Bondi (1983).
    responses = preemptive_mmc_response_s((2.0, 3.0, 4.0), 1.0, 10)
    assert responses == pytest.approx((1.00000596716, 1.01203114161, 2.49561958945), rel=1e-10)


@given(exponential_classes())
def test_interruption_is_as_good_as_a_pool_of_ones_own_to_the_first(queue):
    rates = [x.rate_per_s for x in queue.classes]
    responses = preemptive_mmc_response_s(rates, 1.0, queue.servers)
    assert responses[0] == pytest.approx(MMC(rates[0], 1.0, queue.servers).response_s)
    assert responses[0] <= queue.response_s[0] * (1 + 1e-9)
    together = math.fsum(rate * t_s for rate, t_s in zip(rates, responses, strict=True))
    assert together == pytest.approx(queue.together.in_system)


def fewest_by_counting(meets, classes):
    rate_per_s, service_s, _ = mixture(classes)
    servers = domain.least(rate_per_s * service_s)  # as the queue adds up, whose last digit may be another
    while not meets(NonPreemptive(tuple(classes), servers)):
        servers += 1
    return servers


@settings(deadline=None, max_examples=50)
@given(any_classes(), st.floats(0.01, 3.0), st.sampled_from([0.8, 0.95, 0.99]))
def test_not_one_server_too_many_for_any_class(queue, wait_s, fraction):
    waits = [wait_s * (i + 1) for i in range(len(queue.classes))]
    fractions = [fraction] * len(waits)
    counted = fewest_by_counting(
        lambda q: all(q.wait_tail(i, t) <= 1.0 - fraction for i, t in enumerate(waits)), queue.classes
    )
    assert servers_for_priorities(queue.classes, waits, fractions) == counted
    counted = fewest_by_counting(
        lambda q: all(mean_s <= t for mean_s, t in zip(q.wait_s, waits, strict=True)), queue.classes
    )
    assert servers_for_priority_means(queue.classes, waits) == counted


def test_a_class_that_asks_for_nothing_is_only_served():
    classes = (PriorityClass(1.0, 1.0), PriorityClass(6.5, 1.0))
    assert servers_for_priorities(classes, [2.0, math.inf], [0.9, 0.9]) == 8
    assert servers_for_priorities(classes, [2.0, 2.0], [0.9, 0.9]) == 9
    assert servers_for_priority_means(classes, [1.0, math.inf]) == 8


def test_one_class_needs_what_the_plain_queue_needs():
    assert servers_for_priorities((PriorityClass(50.0, 1.0),), [0.1], [0.95]) == servers_for_wait(50.0, 1.0, 0.1, 0.95)


def test_nothing_arrives_nothing_is_needed():
    silent = (PriorityClass(0.0, 1.0), PriorityClass(0.0, 2.0))
    assert servers_for_priorities(silent, [1.0, 1.0], [0.9, 0.9]) == 0
    queue = NonPreemptive(silent, 1)
    assert queue.wait_s == (0.0, 0.0)
    assert queue.wait_tail(1, 0.0) == 0.0
    assert queue.wait_quantile(1, 0.9) == 0.0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: NonPreemptive((), 1), "classes is empty"),
        (lambda: NonPreemptive((PriorityClass(2.0, 1.0),), 2), "must be at least 3"),
        (lambda: PriorityClass(1.0, 0.0), "service_s is 0.0"),
        (lambda: preemptive_response_s((PriorityClass(2.0, 1.0),)), "must be at least 3"),
        (lambda: preemptive_mmc_response_s((1.0, 0.0), 1.0, 2), "rate_per_s is 0.0"),
        (lambda: servers_for_priorities((PriorityClass(2.0, 1.0),), [], []), "0 targets for 1 classes"),
        (lambda: servers_for_priorities((PriorityClass(2.0, 1.0),), [1.0], [1.0]), "fraction is 1.0"),
        (lambda: servers_for_priorities((PriorityClass(2.0, 1.0),), [-1.0], [0.9]), "wait_s is -1.0"),
        (lambda: servers_for_priority_means((PriorityClass(2.0, 1.0),), [0.0]), "wait_s is 0.0"),
        (lambda: servers_for_priority_means((PriorityClass(2.0, 1.0),), [1.0, 1.0]), "2 targets for 1 classes"),
    ],
)
def test_the_impossible_is_refused_with_the_way_out(call, says):
    with pytest.raises(ValueError, match=says):
        call()
