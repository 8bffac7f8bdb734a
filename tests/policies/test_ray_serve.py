"""Ray Serve's autoscaler: its rule, and the policy that sees a pool through readings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import specfile
from policies.decision import Limit
from policies.observation import Observation
from policies.policy import Policy
from policies.ray_serve import RayServeSpec
from policies.ray_serve_rule import Direction, Pending, RuleSettings, decide
from policies.testing import seen, traits

PROMPT = RuleSettings(upscale_delay_s=0.0, downscale_delay_s=0.0)
POOLS = {"m/v1": traits(at_least=1)}
loads = st.lists(st.integers(0, 60), min_size=1, max_size=60)


def shown(time_s: float, wanted: int, ready: int, age_s: float | None = 0.0, **flow: Any) -> Observation:
    reading = seen(time_s, wanted=wanted, age_s=age_s, **flow).pools["m/v1"]
    return Observation(time_s, {"m/v1": replace(reading, ready=ready)})


def run(policy: Policy, ongoing: list[int], tick_s: float = 5.0, start: int = 1) -> tuple[list[Observation], list[int]]:
    """What was shown and decided in a world that starts replicas at once."""
    wanted, history, found = start, [], []
    for k, requests in enumerate(ongoing):
        history.append(shown(k * tick_s, wanted, wanted, in_service=requests, queued=0))
        wanted = policy.decide(history[-1]).targets.get("m/v1", wanted)
        found.append(wanted)
    return history, found


# The rule


def test_rows_of_a_run_of_ray_serve() -> None:
    """Made with ray[serve] 2.60.0: target 10, up after 3 s, down at once by half, to none after 8 s."""
    settings = RuleSettings(
        target_ongoing_requests=10, upscale_delay_s=3, downscale_delay_s=0, downscaling_factor=0.5,
        downscale_to_zero_delay_s=8,
    )  # fmt: skip
    rows = [(0.0, 3, 3, 73.36, 3), (2.5, 3, 3, 143.652, 3), (3.5, 3, 3, 51.618, 6), (4.5, 3, 6, 0.0, 2)]
    rows += [(5.5, 2, 2, 0.0, 1), (6.5, 1, 1, 0.0, 1), (14.4, 1, 1, 0.0, 1), (14.5, 1, 1, 0.0, 0), (15.0, 0, 0, 0.0, 0)]
    pending: Pending | None = None
    for now_s, running, target, ongoing, expected in rows:
        reason, pending = decide(settings, pending, now_s, running, target, ongoing)
        assert reason.final == expected


def test_a_delay_begins_anew_when_the_direction_turns() -> None:
    settings = RuleSettings(target_ongoing_requests=1, upscale_delay_s=10, downscale_delay_s=10)
    pending: Pending | None = None
    for now_s, ongoing in ((0.0, 8.0), (6.0, 2.0), (12.0, 8.0), (18.0, 4.0)):
        reason, pending = decide(settings, pending, now_s, 4, 4, ongoing)
        assert reason.final == 4
    assert pending is None
    assert decide(settings, Pending(Direction.UP, 8.0), 18.0, 4, 4, 8.0)[0].final == 8


def test_none_is_reached_from_one_only() -> None:
    reason, _ = decide(PROMPT, None, 0.0, 5, 5, 0.0)
    assert reason.limits == (Limit("one step", 0, 1, "to none only from 1"),)
    assert decide(PROMPT, None, 0.0, 1, 1, 0.0)[0].final == 0


def test_a_small_gain_still_shrinks_by_one() -> None:
    assert decide(replace(PROMPT, downscaling_factor=0.1), None, 0.0, 5, 5, 6.0)[0].final == 4


@pytest.mark.parametrize(("target", "ongoing", "expected"), [(0, 5.0, 2), (3, 5.0, 3), (3, 0.0, 3), (0, 0.0, 0)])
def test_a_cold_start_waits_for_no_delay(target: int, ongoing: float, expected: int) -> None:
    assert decide(RuleSettings(upscaling_factor=1.5), None, 0.0, 0, target, ongoing)[0].final == expected


def test_what_is_pending_outlasts_a_cold_start_but_not_a_rest() -> None:
    pending = Pending(Direction.DOWN, 0.0)
    after = [
        decide(RuleSettings(), pending, 5.0, 0, target, ongoing)[1] for target, ongoing in ((0, 1), (3, 0), (0, 0))
    ]
    assert after == [pending, pending, None]


def test_a_wish_beyond_the_bounds_is_compared_as_it_is() -> None:
    """So its delay runs although nothing can come of it."""
    policy = RayServeSpec(upscale_delay_s=10.0).build({"m/v1": traits(at_most=3)})
    policy.decide(shown(0.0, 3, 3, in_service=20, queued=0))
    waiting = policy.decide(shown(5.0, 3, 3, in_service=20, queued=0)).reasons["m/v1"]
    over = policy.decide(shown(10.0, 3, 3, in_service=20, queued=0)).reasons["m/v1"]
    assert [limit.by for limit in waiting.limits] == ["delay"]
    assert over.limits == (Limit("bounds", 10, 3, "at most 3"),)


@given(st.integers(1, 50), st.floats(0, 500), st.floats(0, 500), st.floats(0.05, 3), st.floats(0.05, 3))
def test_more_requests_never_mean_fewer_replicas(
    running: int, ongoing: float, more: float, up: float, down: float
) -> None:
    settings = replace(PROMPT, upscaling_factor=up, downscaling_factor=down)
    less = decide(settings, None, 0.0, running, running, ongoing)[0].final
    assert decide(settings, None, 0.0, running, running, ongoing + more)[0].final >= less


# The policy


def test_the_example_is_one_of_the_files_that_may_be_written() -> None:
    path = Path(__file__).parents[2] / "scenarios" / "policies" / "ray-serve.yaml"
    assert specfile.read(RayServeSpec, path) == RayServeSpec(downscaling_factor=0.6)


@pytest.mark.parametrize(("how", "expected"), [("mean", 16.0), ("max", 30.0), ("min", 2.0)])
def test_the_mean_the_worst_or_the_best_moment_counts(how: str, expected: float) -> None:
    policy = RayServeSpec(aggregation_function=how).build(POOLS)  # type: ignore[arg-type]
    policy.decide(shown(0.0, 9, 9, in_service=2, queued=0))
    decision = policy.decide(shown(10.0, 9, 9, in_service=9, queued=21))
    assert decision.reasons["m/v1"].because.startswith(f"{expected:g} requests")


def test_what_is_older_than_the_look_back_period_is_forgotten() -> None:
    policy = RayServeSpec().build(POOLS)
    policy.decide(shown(0.0, 2, 2, in_service=100, queued=0))
    because = policy.decide(shown(31.0, 2, 2, in_service=4, queued=0)).reasons["m/v1"].because
    assert because == "4 requests / 2, from 2 running"
    assert policy.decide(shown(90.0, 2, 2, age_s=59.0, in_service=4, queued=0)).kept == {
        "m/v1": "no requests were read in the look-back period"
    }


def test_a_rise_must_last_for_30_seconds_and_a_fall_for_10_minutes() -> None:
    policy = RayServeSpec().build({"m/v1": traits()})
    _, found = run(policy, [20] * 20 + [4] * 140)
    assert (5.0 * found.index(10), found[19]) == (30.0, 10)
    assert 5.0 * (found[20:].index(2) + 20) == 100.0 + 600.0


@given(loads, st.integers(1, 30), st.integers(0, 1))
def test_without_a_new_reading_nothing_shrinks(ongoing: list[int], silence: int, known: int) -> None:
    policy = RayServeSpec(upscale_delay_s=0.0, downscale_delay_s=0.0).build({"m/v1": traits()})
    history, found = run(policy, ongoing)
    wanted, last_s = found[-1], history[-1].time_s
    for k in range(1, silence):
        flow = {"in_service": float(ongoing[-1]), "queued": 0.0} if known else {"in_service": 0.0}
        age_s = 2.0 * k if known else 0.0
        after = policy.decide(shown(last_s + 2.0 * k, wanted, wanted, age_s=age_s, **flow)).targets.get("m/v1", wanted)
        assert after >= wanted
        wanted = after


def test_a_fall_that_is_due_waits_for_the_next_reading_and_no_longer() -> None:
    policy = RayServeSpec(downscale_delay_s=10.0).build(POOLS)
    policy.decide(shown(0.0, 9, 9, in_service=2, queued=0))
    due = policy.decide(shown(10.0, 9, 9, age_s=10.0, in_service=2, queued=0))
    assert due.reasons["m/v1"].limits == (Limit("unknown", 1, 9, "no new reading"),)
    assert policy.decide(shown(12.0, 9, 9, in_service=2, queued=0)).targets == {"m/v1": 1}


def test_a_change_by_another_hand_ends_what_is_pending() -> None:
    policy = RayServeSpec(downscale_delay_s=10.0).build(POOLS)
    policy.decide(shown(0.0, 9, 9, in_service=2, queued=0))
    assert policy.decide(shown(10.0, 8, 8, in_service=2, queued=0)).targets == {"m/v1": 8}
    assert policy.decide(shown(20.0, 8, 8, in_service=2, queued=0)).targets == {"m/v1": 1}


@given(loads, st.integers(0, 5), st.integers(0, 20))
def test_no_target_leaves_the_bounds(ongoing: list[int], at_least: int, more: int) -> None:
    bounds = {"m/v1": traits(at_least=at_least, at_most=at_least + more)}
    policy = RayServeSpec(upscale_delay_s=0.0, downscale_delay_s=10.0).build(bounds)
    assert all(at_least <= t <= at_least + more for t in run(policy, ongoing, start=at_least)[1])


@given(loads)
def test_the_same_readings_give_the_same_decisions(ongoing: list[int]) -> None:
    spec = RayServeSpec(upscale_delay_s=10.0, downscale_delay_s=20.0, downscaling_factor=0.6)
    first, second = (run(spec.build({"m/v1": traits()}), ongoing)[1] for _ in range(2))
    assert first == second


@given(st.lists(st.integers(0, 20), min_size=60, max_size=90))
def test_fed_its_memory_it_goes_on_as_one_that_never_stopped(ongoing: list[int]) -> None:
    """With one reading in the look-back period: more of them are averaged anew, and may begin a delay elsewhere."""
    spec = RayServeSpec(
        look_back_period_s=4.0, upscale_delay_s=10.0, downscale_delay_s=40.0, downscale_to_zero_delay_s=60.0
    )
    whole = spec.build({"m/v1": traits()})
    history, found = run(whole, ongoing)
    restarted = spec.build({"m/v1": traits()})
    for observation, target in zip(history, found, strict=True):
        if observation.time_s >= history[50].time_s - whole.memory_s:
            again = restarted.decide(observation).targets.get("m/v1", observation.pools["m/v1"].wanted)
            assert observation.time_s < history[50].time_s or again == target
