"""Fixed, schedule and target, and the loop that turns them."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from policies.bounded import Bounded
from policies.decision import Decision
from policies.fixed import FixedSpec
from policies.loop import Action, ControlLoop
from policies.observation import Observation
from policies.schedule import ScheduleSpec, Step
from policies.target import TargetSpec
from policies.testing import Recording, Script, seen, traits

POOLS = {"m/v1": traits("m/v1", slots=2), "m/v2": traits("m/v2")}


def test_fixed_is_fixed_and_versions_may_be_named_alone() -> None:
    policy = FixedSpec(replicas={"v1": 3}).build(POOLS)
    assert policy.decide(seen(0.0)).targets == {"m/v1": 3}


def test_fixed_says_the_very_same_while_it_sees_the_same_pools() -> None:
    policy = FixedSpec(replicas={"v1": 3, "v2": 1}).build(POOLS)
    both = Observation(0.0, {**seen(0.0, "m/v1").pools, **seen(0.0, "m/v2").pools})
    assert policy.decide(both) is policy.decide(both)
    assert policy.decide(both).targets == {"m/v1": 3, "m/v2": 1}
    assert policy.decide(seen(0.0)).targets == {"m/v1": 3}
    assert policy.decide(Observation(0.0, {})) == Decision()


def test_bounds_hold_for_what_is_said_again_and_for_what_is_new() -> None:
    policy = Bounded(Script([5, 5, 0, 2]), {"m/v1": traits("m/v1", at_least=1, at_most=3)})
    assert [policy.decide(seen(0.0)).targets for _ in range(5)] == [{"m/v1": n} for n in (3, 3, 1, 2)] + [{}]
    same = Bounded(FixedSpec(replicas={"v1": 9}).build(POOLS), {"m/v1": traits("m/v1", at_most=3)})
    assert same.decide(seen(0.0)) is same.decide(seen(1.0))
    assert str(same.decide(seen(2.0)).reasons["m/v1"]) == "wish 9: fixed; bounds: 9 -> 3 (at most 3)"


def test_a_name_that_could_mean_two_pools_is_refused() -> None:
    pools = {"a/v1": traits("a/v1"), "b/v1": traits("b/v1")}
    with pytest.raises(ValueError, match="'v1' is not the name of one pool; it could be a/v1 or b/v1"):
        FixedSpec(replicas={"v1": 3}).build(pools)


def test_a_schedule_holds_from_step_to_step() -> None:
    plan = (Step(at_s=10.0, replicas={"v1": 2}), Step(at_s=20.0, replicas={"v1": 5}))
    policy = ScheduleSpec(steps=plan).build(POOLS)
    assert [policy.decide(seen(t)).targets for t in (0.0, 10.0, 19.9, 20.0, 1e6)] == [
        {},
        {"m/v1": 2},
        {"m/v1": 2},
        {"m/v1": 5},
        {"m/v1": 5},
    ]


def test_a_schedule_that_repeats_keeps_the_evening_until_the_morning() -> None:
    plan = (Step(at_s=10.0, replicas={"v1": 2}), Step(at_s=20.0, replicas={"v1": 5}))
    policy = ScheduleSpec(steps=plan, repeat_s=24.0).build(POOLS)
    assert [policy.decide(seen(t)).targets.get("m/v1") for t in (5.0, 23.0, 25.0, 34.0, 44.0)] == [None, 5, 5, 2, 5]


def test_steps_out_of_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="steps must come in order of at_s"):
        ScheduleSpec(steps=(Step(at_s=2.0, replicas={"v1": 1}), Step(at_s=1.0, replicas={"v1": 1})))


def test_target_sizes_in_proportion_to_busy_slots() -> None:
    policy = TargetSpec(utilization=0.5, window_s=60.0).build(POOLS)
    assert policy.decide(seen(0.0, wanted=4, busy_s_total=0.0)).kept == {"m/v1": "busy_s_total was not read twice yet"}
    decision = policy.decide(seen(10.0, wanted=4, busy_s_total=60.0))
    assert decision.targets == {"m/v1": 6}
    assert "6.00 slots busy" in decision.reasons["m/v1"].because


def test_target_lets_small_differences_be() -> None:
    policy = TargetSpec(utilization=0.5, window_s=60.0, tolerance=0.1).build(POOLS)
    policy.decide(seen(0.0, wanted=4, busy_s_total=0.0))
    assert policy.decide(seen(10.0, wanted=4, busy_s_total=43.0)).targets == {"m/v1": 4}


def test_target_never_shrinks_while_replicas_start() -> None:
    policy = TargetSpec().build(POOLS)
    for time_s in (0.0, 10.0):
        shown = seen(time_s, wanted=3, busy_s_total=0.0)
        reading = replace(shown.pools["m/v1"], ready=0, starting=3)
        decision = policy.decide(Observation(time_s, {"m/v1": reading}))
    assert str(decision.reasons["m/v1"]).endswith("start-up: 0 -> 3 (3 replicas are still starting)")


def test_target_starts_one_where_requests_wait_before_none() -> None:
    policy = TargetSpec().build(POOLS)
    policy.decide(seen(0.0, wanted=0, busy_s_total=0.0, queued=0))
    assert policy.decide(seen(10.0, wanted=0, busy_s_total=0.0, queued=2)).targets == {"m/v1": 1}


def test_target_keeps_what_there_is_without_readings() -> None:
    policy = TargetSpec().build(POOLS)
    assert policy.decide(seen(0.0, age_s=None)).targets == {}


def test_the_loop_sees_decides_acts_and_writes_down() -> None:
    ports = Recording([seen(0.0), seen(1.0), seen(2.0)])
    loop = ControlLoop(Script([3, None, 3]), ports, ports, ports)
    for _ in range(3):
        loop.tick()
    assert [turn.actions for turn in ports.turns] == [{"m/v1": Action(None, 3)}, {}, {}]
    assert ports.turns[1].decision == Decision()
