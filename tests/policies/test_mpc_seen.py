"""What model predictive control remembers of a pool."""

from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.histogram import Histogram
from policies.mpc_load import LoadHistory
from policies.mpc_seen import Counted, Seen
from policies.observation import Flow, PoolReading
from policies.testing import traits

BIN_S = 10.0
SERVICE_S = 5.0


def memory(response_s: float | None = 20.0, **known: Any) -> Seen:
    stated = {"service_s": SERVICE_S, "startup_s": 60.0, "startup_p95_s": 60.0} | known
    return Seen(traits(**stated), LoadHistory(BIN_S, lead=5), response_s)


def read(seen: Seen, now_s: float, age_s: float | None = 0.0, starting: int = 0, **flow: Any) -> None:
    seen.see(now_s, PoolReading(age_s=age_s, starting=starting, total=Flow(**flow)))


# Counters.


@given(st.lists(st.tuples(st.floats(0.1, 30.0), st.integers(0, 9)), min_size=1, max_size=80), st.integers(1, 60))
def test_growth_is_since_the_last_reading_that_is_far_enough_back(steps: list[tuple[float, int]], enough: int) -> None:
    counted = Counted(every_s=0.01, kept_s=1e9)
    points = list(accumulate(steps, lambda a, b: (a[0] + b[0], a[1] + b[1]), initial=(0.0, 0)))
    for taken_s, number in points:
        counted.see(taken_s, float(number), 2.0 * number)
    before = [number for _, number in points if number <= points[-1][1] - enough] or [0]
    assert counted.grown(enough) == (points[-1][1] - before[-1], 2.0 * (points[-1][1] - before[-1]))
    assert counted.grown() == (points[-1][1], 2.0 * points[-1][1])


def test_what_is_longer_ago_than_is_kept_no_longer_counts() -> None:
    counted = Counted(every_s=10.0, kept_s=100.0)
    for k in range(1000):
        counted.see(10.0 * k, float(k), 3.0 * k)
        assert counted.grown() == (min(k, 10), 3.0 * min(k, 10))


def test_nothing_has_grown_before_two_readings_or_across_a_restart() -> None:
    counted = Counted(every_s=10.0, kept_s=100.0)
    assert counted.grown() == (0.0, 0.0)
    counted.see(0.0, 50.0, 50.0)
    assert counted.grown() == (0.0, 0.0)
    counted.see(10.0, 60.0, 55.0)
    counted.see(20.0, 3.0, 2.0)
    assert counted.grown() == (0.0, 0.0)
    counted.see(30.0, 7.0, 4.0)
    assert counted.grown() == (4.0, 2.0)


def test_of_each_interval_only_the_last_reading_is_kept() -> None:
    counted = Counted(every_s=10.0, kept_s=100.0)
    for k in range(36):
        counted.see(float(k), float(k), 0.0)
    assert counted.grown(enough=1.0) == (35.0 - 29.0, 0.0)


# Services.


def test_the_service_time_stated_gives_way_to_what_is_seen() -> None:
    seen = memory()
    assert seen.service_s == SERVICE_S
    for k in range(11):
        read(seen, 10.0 * k, arrived_total=30.0 * k, started_total=30.0 * k, completed_total=30.0 * k, busy_s_total=0.0)
    # 30 services as stated and 300 of no time.
    assert seen.service_s == pytest.approx(SERVICE_S * 30 / 330)


def test_services_that_run_count_half() -> None:
    seen = memory(service_s=None)
    read(seen, 0.0, arrived_total=0.0, started_total=0.0, completed_total=0.0, busy_s_total=0.0)
    read(seen, 10.0, arrived_total=9.0, started_total=6.0, completed_total=2.0, busy_s_total=20.0)
    assert seen.service_s == pytest.approx(20.0 / 4)


def test_a_service_time_that_was_never_seen_nor_stated_is_unknown() -> None:
    seen = memory(service_s=None)
    read(seen, 0.0, arrived_total=0.0)
    read(seen, 10.0, arrived_total=9.0)
    assert seen.service_s is None
    assert len(seen.load.offered) == 0


# Late requests.


def responses(total: float, late: float) -> Histogram:
    return Histogram((10.0, 20.0), (0.0, total - late, total), 15.0 * total)


def test_who_left_without_an_answer_is_late() -> None:
    seen = memory()
    read(seen, 0.0, arrived_total=0.0, response_s=responses(0.0, 0.0))
    read(seen, 10.0, arrived_total=100.0, response_s=responses(90.0, 7.0), abandoned_total=3.0, rejected_total=2.0)
    assert seen.ended == pytest.approx((95.0, 12.0))


def test_readings_without_responses_leave_what_is_known() -> None:
    seen = memory()
    read(seen, 0.0, arrived_total=0.0, response_s=responses(0.0, 0.0))
    read(seen, 10.0, arrived_total=100.0, response_s=responses(90.0, 7.0))
    read(seen, 20.0, arrived_total=120.0)
    assert seen.ended == pytest.approx((90.0, 7.0))


def test_without_an_objective_nobody_is_late() -> None:
    seen = memory(response_s=None)
    read(seen, 0.0, arrived_total=0.0, response_s=responses(0.0, 0.0))
    read(seen, 10.0, arrived_total=100.0, response_s=responses(90.0, 7.0))
    assert seen.ended == (0.0, 0.0)


# Readings.


def test_a_scrape_that_is_shown_again_is_no_new_one() -> None:
    once, again = memory(), memory()
    for k in range(20):
        for seen in (once, again):
            read(seen, 15.0 * k, arrived_total=12.0 * k)
        read(again, 15.0 * k + 5, age_s=5.0, arrived_total=12.0 * k)
    assert again.load.offered.last(99).tolist() == once.load.offered.last(99).tolist()
    assert again.begin_s == once.begin_s == 0.0


def test_a_reading_belongs_to_when_it_was_taken() -> None:
    seen = memory()
    read(seen, 107.0, age_s=7.0, arrived_total=0.0)
    assert seen.begin_s == 100.0


def test_an_unread_pool_or_one_without_arrivals_is_no_reading() -> None:
    seen = memory()
    read(seen, 0.0, age_s=None, arrived_total=3.0)
    read(seen, 10.0, arrived_total=None)
    assert seen.begin_s is None


# Who waits.


def test_those_who_wait_came_since_as_many_had_come_as_are_no_longer_queued() -> None:
    seen = memory()
    for k in range(11):
        read(seen, 10.0 * k, arrived_total=10.0 * k)
    # The last 20 came in the last 20 s: evenly, which is a mean wait of half of it.
    assert seen.waited_s(100.0, Flow(queued=20.0, arrived_total=100.0)) == pytest.approx(10.0, rel=0.06)
    assert seen.waited_s(130.0, Flow(queued=20.0, arrived_total=100.0)) == pytest.approx(25.0, rel=0.06)
    assert seen.waited_s(100.0, Flow(queued=0.0, arrived_total=100.0)) == 0.0


def test_one_who_waits_is_known_to_have_waited_since_the_reading_before_it_came() -> None:
    seen = memory()
    for k in range(10):
        read(seen, 10.0 * k, arrived_total=0.0)
    read(seen, 100.0, arrived_total=1.0)
    assert seen.waited_s(105.0, Flow(queued=1.0, arrived_total=1.0)) == 15.0


@given(st.lists(st.integers(0, 3), min_size=2, max_size=40), st.integers(0, 10), st.floats(0.0, 50.0))
def test_nobody_has_waited_longer_than_is_seen(counts: list[int], queued: int, later_s: float) -> None:
    seen = memory()
    totals = list(accumulate(counts))
    for k, total in enumerate(totals):
        read(seen, 10.0 * k, arrived_total=float(total))
    now_s = 10.0 * (len(totals) - 1) + later_s
    waited_s = seen.waited_s(now_s, Flow(queued=float(queued), arrived_total=float(totals[-1])))
    assert 0.0 <= waited_s <= now_s


# Who starts.


def test_replicas_that_started_together_are_ready_together() -> None:
    seen = memory()
    read(seen, 0.0, starting=3, arrived_total=0.0)
    assert seen.coming(0.0, 5, steps=8).tolist() == [5] * 6 + [8] * 2
    assert seen.coming(30.0, 5, steps=8).tolist() == [5] * 3 + [8] * 5


def test_the_first_to_start_is_the_first_to_be_ready() -> None:
    seen = memory()
    read(seen, 0.0, starting=2, arrived_total=0.0)
    read(seen, 30.0, starting=3, arrived_total=0.0)
    assert seen.coming(30.0, 5, steps=8).tolist() == [5] * 3 + [7] * 3 + [8] * 2
    read(seen, 60.0, starting=1, arrived_total=0.0)
    assert seen.coming(60.0, 7, steps=8).tolist() == [7] * 3 + [8] * 5


def test_one_that_is_overdue_is_expected_soon_and_one_whose_start_scatters_as_if_just_begun() -> None:
    overdue, scattered = memory(), memory(startup_p95_s=180.0)
    for seen in (overdue, scattered):
        read(seen, 0.0, starting=1, arrived_total=0.0)
    assert overdue.coming(500.0, 0, steps=8).tolist() == [0] + [1] * 7
    assert scattered.coming(500.0, 0, steps=8).tolist() == [0] * 6 + [1] * 2


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(0, 9))
def test_all_that_are_starting_come_and_none_goes(starting: list[int], ready: int) -> None:
    seen = memory()
    for k, number in enumerate(starting):
        read(seen, 10.0 * k, starting=number, arrived_total=0.0)
    coming = seen.coming(10.0 * (len(starting) - 1), ready, steps=12)
    assert coming[0] == ready
    assert coming[-1] == ready + starting[-1]
    assert np.all(np.diff(coming) >= 0)
