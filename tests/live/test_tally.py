"""Cost and objective, as seen and as the policy's replicas would have had them; a range where nobody can know."""

import pytest

from live.tally import Imagined, Tally
from policies.decision import Decision, Reason
from policies.histogram import Histogram
from policies.loop import Turn
from policies.observation import Flow, Observation, PoolReading
from policies.testing import traits

HOUR_S = 3600.0


def turn(
    time_s: float, ready: int = 2, target: int | None = None, good: float = 0.0, late: float = 0.0, busy_s: float = 0.0
) -> Turn:
    """Two replicas wanted, of one slot; `good` requests met an objective of 5 s so far, `late` ones did not."""
    responses = Histogram((5.0, 60.0), (good, good + late, good + late), 0.0)
    reading = PoolReading(wanted=2, ready=ready, age_s=0.0, total=Flow(response_s=responses, busy_s_total=busy_s))
    decision = Decision() if target is None else Decision({"m/v1": Reason(target, "as told")})
    return Turn(Observation(time_s, {"m/v1": reading}), decision, {})


def tally(startup_s: float = 0.0) -> Tally:
    return Tally({"m/v1": traits(cost_per_hour=3.0, startup_s=startup_s)}, 5.0, HOUR_S)


def counted(*turns: Turn, startup_s: float = 0.0) -> Tally:
    found = tally(startup_s)
    for each in turns:
        found.count(each)
    return found


def test_an_hour_of_two_replicas_costs_twice_the_price() -> None:
    found = counted(turn(0.0), turn(HOUR_S / 2), turn(HOUR_S))
    assert (found.seen.cost_usd, found.shadow.cost_usd) == (6.0, 6.0)


def test_a_policy_that_wants_five_costs_five_from_its_wish_on() -> None:
    found = counted(turn(0.0, target=5), turn(HOUR_S, target=5))
    assert (found.seen.cost_usd, found.shadow.cost_usd) == (6.0, 15.0)


def test_a_pool_that_a_decision_does_not_name_keeps_its_imagined_replicas() -> None:
    found = counted(turn(0.0, target=5), turn(HOUR_S), turn(2 * HOUR_S))
    assert found.shadow.cost_usd == 30.0


def test_a_gap_and_a_clock_that_goes_back_are_left_out() -> None:
    assert counted(turn(0.0), turn(2 * HOUR_S)).seen.cost_usd == 0.0
    assert counted(turn(HOUR_S), turn(0.0)).seen.cost_usd == 0.0


def test_with_as_many_replicas_requests_fare_as_seen() -> None:
    found = counted(turn(0.0, target=2), turn(60.0, good=90.0, late=10.0, busy_s=100.0))
    assert (found.seen.share, found.shadow.share, found.shadow.share_at_most) == (0.9, 0.9, 0.9)


def test_with_more_they_fare_no_worse() -> None:
    found = counted(turn(0.0, target=3), turn(60.0, good=90.0, late=10.0, busy_s=100.0))
    assert (found.shadow.share, found.shadow.share_at_most) == (0.9, 1.0)


def test_with_fewer_that_can_bear_the_work_nothing_is_claimed() -> None:
    found = counted(turn(0.0, target=1), turn(60.0, good=90.0, late=10.0, busy_s=50.0))
    assert (found.shadow.share, found.shadow.share_at_most) == (0.0, 1.0)


def test_with_too_few_none_is_in_time_and_what_is_left_over_is_worked_off_first() -> None:
    # One slot takes 60 of 100 slot-seconds: 40 are left, which it needs 40 s for.
    late = [turn(0.0, target=1), turn(60.0, good=100.0, busy_s=100.0, target=4)]
    found = counted(*late)
    assert (found.shadow.share, found.shadow.share_at_most) == (0.0, 0.0)
    # Four slots take 240 in the next minute: the 40, behind which some may be late, and what comes.
    worked_off = [*late, turn(120.0, good=200.0, busy_s=200.0, target=2)]
    found = counted(*worked_off)
    assert (found.shadow.met, found.shadow.met_at_most, found.shadow.requests) == (0.0, 100.0, 200.0)
    found = counted(*worked_off, turn(180.0, good=250.0, busy_s=300.0))
    assert (found.shadow.met, found.shadow.met_at_most, found.shadow.requests) == (50.0, 150.0, 250.0)


def test_new_replicas_are_ready_after_their_start_up() -> None:
    busy = [turn(0.0, target=4), turn(60.0, ready=4, target=4), turn(120.0, ready=4, good=10.0, target=4)]
    found = counted(*busy, startup_s=90.0)
    # Four were ready in reality, two of the policy's: nothing can be claimed.
    assert (found.shadow.met, found.shadow.met_at_most) == (0.0, 10.0)
    found = counted(*busy, turn(180.0, ready=4, good=30.0, target=4), startup_s=90.0)
    assert (found.shadow.met, found.shadow.met_at_most) == (20.0, 30.0)


def test_a_shrink_takes_those_that_start_first_and_the_last_of_them_before() -> None:
    pool = Imagined(traits(startup_s=60.0), ready=2)
    pool.scale(4, 0.0)
    pool.scale(5, 30.0)
    pool.scale(3, 40.0)
    assert (pool.ready, pool.starting) == (2, [60.0])
    pool.scale(1, 50.0)
    assert (pool.ready, pool.starting) == (1, [])


def test_without_an_objective_there_is_only_cost() -> None:
    found = Tally({"m/v1": traits(cost_per_hour=3.0)}, None, HOUR_S)
    found.count(turn(0.0))
    found.count(turn(HOUR_S, good=5.0))
    assert (found.seen.cost_usd, found.seen.share) == (6.0, None)


@pytest.mark.parametrize("restarted", [0.0, 3.0])
def test_a_counter_that_went_back_began_anew(restarted: float) -> None:
    found = counted(turn(0.0, good=90.0), turn(60.0, good=restarted))
    assert found.seen.requests == restarted
