"""Step scaling: the rule, and the policy that looks at alarms when a period ends."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policies import specfile
from policies.decision import Limit
from policies.observation import Observation
from policies.policy import Policy
from policies.step import StepSpec
from policies.step_rule import StepAdjustment, StepAlarm, aggregate
from policies.testing import seen, traits

EXAMPLE = Path(__file__).parents[2] / "scenarios" / "policies" / "step.yaml"

# The example of the user guide of EC2 Auto Scaling: thresholds of 50 %, ten instances.
OUT = StepAlarm(
    threshold=50,
    adjustment_type="percent_change_in_capacity",
    steps=(
        StepAdjustment(lower_bound=0, upper_bound=10, adjustment=0),
        StepAdjustment(lower_bound=10, upper_bound=20, adjustment=10),
        StepAdjustment(lower_bound=20, adjustment=30),
    ),
)
IN = StepAlarm(
    threshold=50,
    adjustment_type="percent_change_in_capacity",
    steps=(
        StepAdjustment(upper_bound=-20, adjustment=-30),
        StepAdjustment(lower_bound=-20, upper_bound=-10, adjustment=-10),
        StepAdjustment(lower_bound=-10, upper_bound=0, adjustment=0),
    ),
)
ADD_2 = StepAlarm(threshold=5, steps=(StepAdjustment(lower_bound=0, adjustment=2),))
ADD_2_OR_3 = StepAlarm(
    threshold=5,
    steps=(
        StepAdjustment(lower_bound=0, upper_bound=10, adjustment=2),
        StepAdjustment(lower_bound=10, adjustment=3),
    ),
)
REMOVE_1 = StepAlarm(threshold=1, steps=(StepAdjustment(upper_bound=0, adjustment=-1),))
queues = st.lists(st.integers(0, 20), min_size=1, max_size=40)


def spec(**given: object) -> StepSpec:
    return StepSpec(**{"metric": "queued", "cooldown_s": 0.0, "scale_out": ADD_2, "scale_in": REMOVE_1, **given})  # type: ignore[arg-type]


def shown(time_s: float, wanted: int, queued: float | None, ready: int | None = None, draining: int = 0) -> Observation:
    reading = seen(time_s, wanted=wanted, queued=queued, in_service=0).pools["m/v1"]
    ready = wanted if ready is None else ready
    return Observation(
        time_s, {"m/v1": replace(reading, ready=ready, starting=max(0, wanted - ready), draining=draining)}
    )


def run(policy: Policy, queued: list[int], start: int = 5) -> tuple[list[Observation], list[int]]:
    """What was shown and decided, a reading a minute, in a world that starts replicas at once."""
    wanted, history, found = start, [], []
    for k, requests in enumerate(queued):
        history.append(shown(60.0 * k, wanted, requests))
        wanted = policy.decide(history[-1]).targets.get("m/v1", wanted)
        found.append(wanted)
    return history, found


# The rule


def adjusted(alarm: StepAlarm, metric: float, current: int, above: bool) -> int:
    step = alarm.step(metric, above)
    assert step is not None
    return alarm.adjusted(current, step)


def test_the_example_of_the_user_guide() -> None:
    """10 instances at 60 % become 11, these at 70 % 14, at 40 % 13, at 30 % 10."""
    found = [10]
    for metric, alarm in ((60.0, OUT), (70.0, OUT), (40.0, IN), (30.0, IN)):
        found.append(adjusted(alarm, metric, found[-1], above=alarm is OUT))
    assert found == [10, 11, 14, 13, 10]


@pytest.mark.parametrize(("metric", "percent"), [(50, 0), (59.9, 0), (60, 10), (69.9, 10), (70, 30), (1e9, 30)])
def test_above_the_threshold_a_step_has_its_lower_bound(metric: float, percent: float) -> None:
    step = OUT.step(metric, above=True)
    assert step is not None
    assert step.adjustment == percent


@pytest.mark.parametrize(("metric", "percent"), [(50, 0), (40.1, 0), (40, -10), (30.1, -10), (30, -30), (-1e9, -30)])
def test_below_the_threshold_a_step_has_its_upper_bound(metric: float, percent: float) -> None:
    step = IN.step(metric, above=False)
    assert step is not None
    assert step.adjustment == percent


def test_a_breach_without_limit_takes_the_last_step_and_the_other_side_none() -> None:
    assert adjusted(OUT, float("inf"), 10, above=True) == 13
    assert (OUT.step(49.9, above=True), IN.step(50.1, above=False)) == (None, None)


@pytest.mark.parametrize(("percent", "change"), [(127, 12), (6.7, 1), (-5.8, -1), (-66.7, -6), (0, 0)])
def test_percent_are_cut_off_to_whole_replicas_but_never_to_none(percent: float, change: int) -> None:
    """The user guide's rounding: 12.7 is 12, 0.67 is 1, -0.58 is -1, -6.67 is -6."""
    alarm = replace(OUT, steps=(StepAdjustment(adjustment=percent),))
    assert alarm.adjusted(10, alarm.steps[0]) - 10 == change


def test_a_change_in_percent_has_a_least_magnitude() -> None:
    alarm = replace(OUT, steps=(StepAdjustment(adjustment=25),), min_adjustment_magnitude=2)
    assert [alarm.adjusted(n, alarm.steps[0]) for n in (0, 4, 12)] == [2, 6, 15]


def test_an_exact_capacity_is_that() -> None:
    alarm = StepAlarm(threshold=1, adjustment_type="exact_capacity", steps=(StepAdjustment(adjustment=5),))
    assert alarm.adjusted(3, alarm.steps[0]) == 5


def test_periods_are_aggregated_to_choose_a_step() -> None:
    values = (1.0, 2.0, 6.0)
    assert [aggregate(values, how) for how in ("average", "minimum", "maximum")] == [3.0, 1.0, 6.0]


@given(st.integers(0, 1000), st.floats(50, 200), st.floats(0, 200))
def test_a_greater_breach_never_adds_less(current: int, metric: float, more: float) -> None:
    assert adjusted(OUT, metric + more, current, above=True) >= adjusted(OUT, metric, current, above=True) >= current


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([(0, 5, 1), (6, None, 2)], "steps must join: one ends at 5, the next begins at 6"),
        ([(5, 5, 1)], "upper_bound 5 must be greater than lower_bound 5"),
        ([(0, 5, 1)], "scale_out: the last step must have no upper_bound, it is 5"),
        ([(3, None, 1)], "scale_out: steps must begin at the threshold, 0, and not at 3"),
        ([(0, None, -1)], "scale_out: adjustments must be 0 or more"),
        ([(0, None, 0.5)], "adjustments must be whole replicas"),
    ],
)
def test_steps_that_leave_a_breach_out_are_refused(
    steps: list[tuple[float | None, float | None, float]], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(
            scale_out=StepAlarm(
                threshold=1,
                steps=tuple(StepAdjustment(lower_bound=a, upper_bound=b, adjustment=n) for a, b, n in steps),
            )
        )


def test_without_any_alarm_there_is_no_policy() -> None:
    with pytest.raises(ValidationError, match="needs scale_out, scale_in or both"):
        StepSpec()


# The policy


def test_the_example_is_one_of_the_files_that_may_be_written() -> None:
    policy = specfile.read(StepSpec, EXAMPLE)
    assert policy.scale_out is not None
    assert adjusted(policy.scale_out, 0.95, 10, above=True) == 15


def test_a_change_comes_once_when_a_period_has_ended() -> None:
    policy = spec().build({"m/v1": traits()})
    found = [policy.decide(shown(10.0 * k, 5, 9)).targets for k in range(14)]
    assert [k for k, target in enumerate(found) if target] == [6, 12]
    assert found[6] == found[12] == {"m/v1": 7}


def test_a_decision_tells_what_it_came_from() -> None:
    policy = spec(scale_out=OUT).build({"m/v1": traits(at_most=12)})
    policy.decide(shown(0.0, 10, 0))
    assert str(policy.decide(shown(60.0, 10, 72)).reasons["m/v1"]) == (
        "wish 13: queued 72, above 50 for 1 periods; bounds: 13 -> 12 (at most 12)"
    )
    assert policy.decide(shown(90.0, 10, 72)).kept == {"m/v1": "no period has ended"}


def test_a_breach_must_last_for_its_periods() -> None:
    policy = spec(scale_out=replace(ADD_2, evaluation_periods=3)).build({"m/v1": traits()})
    assert run(policy, [0, 9, 9, 2, 9, 9, 9, 2])[1] == [5, 5, 5, 5, 5, 5, 7, 7]


def test_periods_are_means_of_their_readings() -> None:
    policy = spec().build({"m/v1": traits()})
    for k, queued in enumerate((0, 3, 4, 8)):
        decision = policy.decide(shown(20.0 * k, 5, queued))
    assert decision.reasons["m/v1"].because == "queued 5, above 5 for 1 periods"


@pytest.mark.parametrize(
    ("metric", "flow", "expected"),
    [
        ("utilization", {"busy_s_total": 30.0}, 0.1),
        ("ongoing_per_replica", {"busy_s_total": 30.0, "queued": 7}, 2.0),
        ("queued_per_replica", {"queued": 7}, 1.4),
        ("arrivals_per_s_per_replica", {"arrived_total": 60.0}, 0.2),
        ("queued", {"queued": 7}, 7.0),
    ],
)
def test_metrics_are_of_five_replicas_with_one_slot_over_a_minute(
    metric: str, flow: dict[str, Any], expected: float
) -> None:
    alarm = replace(REMOVE_1, threshold=100.0)
    policy = spec(metric=metric, scale_out=None, scale_in=alarm).build({"m/v1": traits()})
    nothing: dict[str, Any] = dict.fromkeys(flow, 0.0)
    policy.decide(seen(0.0, wanted=5, **nothing))
    reason = policy.decide(seen(60.0, wanted=5, **flow)).reasons["m/v1"]
    because = f"{metric} {expected if metric != 'ongoing_per_replica' else 1.5:.3g}, below 100"
    assert reason.because.startswith(because)


def test_replicas_that_start_are_not_counted_but_not_asked_for_again() -> None:
    """The user guide's example: 1 for 60 %, none for 62 % while it starts, and 2 more for 70 %."""
    policy = spec(scale_out=OUT, scale_in=None).build({"m/v1": traits()})
    policy.decide(shown(0.0, 10, 0))
    wanted, found = 10, []
    for k, metric in enumerate((60, 62, 70)):
        wanted = policy.decide(shown(60.0 * (k + 1), wanted, metric, ready=10)).targets["m/v1"]
        found.append(wanted)
    assert found == [11, 11, 13]


def test_a_replica_counts_when_it_was_ready_for_the_warm_up() -> None:
    policy = spec(warmup_s=120.0).build({"m/v1": traits()})
    policy.decide(shown(0.0, 5, 9))
    found = []
    for k, (wanted, ready) in enumerate(((5, 5), (7, 7), (7, 7), (7, 7))):
        found.append(policy.decide(shown(60.0 * (k + 1), wanted, 9, ready=ready)).targets["m/v1"])
    assert found == [7, 7, 7, 9]


def test_nothing_is_taken_away_while_replicas_start() -> None:
    policy = spec().build({"m/v1": traits()})
    policy.decide(shown(0.0, 7, 0))
    reason = policy.decide(shown(60.0, 7, 0, ready=5)).reasons["m/v1"]
    assert reason.limits == (Limit("warm-up", 6, 7, "replicas start or warm up"),)


def test_replicas_that_drain_still_count_when_others_are_to_go() -> None:
    """Wanted 30 with 32 there: one fewer than 32 changes nothing."""
    policy = spec().build({"m/v1": traits()})
    policy.decide(shown(0.0, 30, 0, draining=2))
    assert policy.decide(shown(60.0, 30, 0, draining=2)).targets == {"m/v1": 30}
    assert policy.decide(shown(120.0, 30, 0)).targets == {"m/v1": 29}


def test_in_a_cooldown_a_greater_breach_adds_only_what_is_missing() -> None:
    """Application Auto Scaling: 2 were added; a step of 3 in the cooldown adds 1 more."""
    policy = spec(scale_out=ADD_2_OR_3, cooldown_s=300.0).build({"m/v1": traits()})
    assert run(policy, [0, 9, 9, 19, 19])[1] == [5, 7, 7, 8, 8]


def test_a_cooldown_keeps_from_shrinking_but_not_from_growing() -> None:
    policy = spec(cooldown_s=180.0).build({"m/v1": traits()})
    assert run(policy, [0, 0, 0, 0, 0, 9, 0, 0, 0])[1] == [5, 4, 4, 4, 3, 5, 5, 5, 4]


def test_a_pool_at_none_gets_one_when_requests_wait() -> None:
    policy = spec(metric="utilization").build({"m/v1": traits()})
    assert policy.decide(shown(0.0, 0, 3)).targets == {"m/v1": 1}


def test_growing_overlooks_a_period_that_is_missing_shrinking_does_not() -> None:
    def after(queued: int) -> dict[str, int]:
        alarms = {name: replace(a, evaluation_periods=3) for name, a in (("scale_out", ADD_2), ("scale_in", REMOVE_1))}
        policy = spec(**alarms).build({"m/v1": traits()})
        for t, value in ((0.0, queued), (60.0, queued), (120.0, None), (180.0, queued)):
            policy.decide(shown(t, 5, value))
        return policy.decide(shown(240.0, 5, queued)).targets

    assert (after(9), after(0)) == ({"m/v1": 7}, {})


@given(queues, st.integers(1, 30))
def test_without_a_new_reading_nothing_changes(queued: list[int], silence: int) -> None:
    policy = spec().build({"m/v1": traits()})
    history, found = run(policy, queued)
    for k in range(1, silence):
        reading = replace(shown(0.0, found[-1], queued[-1]).pools["m/v1"], age_s=30.0 * k)
        target = policy.decide(Observation(history[-1].time_s + 30.0 * k, {"m/v1": reading})).targets
        assert target == {} or found[-1] == 0


@given(queues, st.integers(0, 5), st.integers(0, 10))
def test_no_target_leaves_the_bounds(queued: list[int], at_least: int, more: int) -> None:
    policy = spec().build({"m/v1": traits(at_least=at_least, at_most=at_least + more)})
    assert all(at_least <= t <= at_least + more for t in run(policy, queued, start=at_least)[1])


@given(st.lists(st.integers(0, 12), min_size=40, max_size=60))
def test_fed_its_memory_it_goes_on_as_one_that_never_stopped(queued: list[int]) -> None:
    chosen = spec(scale_out=replace(ADD_2, evaluation_periods=2), warmup_s=120.0, cooldown_s=180.0)
    whole = chosen.build({"m/v1": traits()})
    history, found = run(whole, queued)
    restarted = chosen.build({"m/v1": traits()})
    for observation, target in zip(history, found, strict=True):
        if observation.time_s >= history[30].time_s - whole.memory_s:
            again = restarted.decide(observation).targets.get("m/v1", observation.pools["m/v1"].wanted)
            assert observation.time_s < history[30].time_s or again == target
