"""KEDA's ScaledObject: what wakes a pool, what lets it rest, and what holds when readings fail."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from policies import specfile
from policies.decision import Decision
from policies.hpa_behavior import Behavior, ShrinkRules
from policies.hpa_metrics import UtilizationMetric
from policies.keda import Fallback, Keda, KedaSpec, TotalTrigger
from policies.observation import Observation
from policies.testing import seen, traits

POOLS = {"m/v1": traits("m/v1", at_most=50)}
QUEUE = TotalTrigger(reading="queued", average=5.0)
AT_ONCE = Behavior(scale_down=ShrinkRules(stabilization_s=0.0))
EXAMPLES = Path(__file__).parents[2] / "scenarios" / "policies"


def keda(*triggers: Any, **given_: Any) -> Keda:
    return KedaSpec(triggers=triggers or (QUEUE,), **given_).build(POOLS)


def look(time_s: float, wanted: int, queued: float | None = 0.0) -> Observation:
    """All wanted replicas ready, and so many requests waiting."""
    return seen(time_s, wanted=wanted, queued=queued)


def run(policy: Keda, queued: Iterable[float | None], wanted: int = 0, every_s: float = 15.0) -> list[int]:
    """Replicas after each look, where the world does as it is told."""
    counts = []
    for k, waiting in enumerate(queued):
        wanted = policy.decide(look(k * every_s, wanted, waiting)).targets.get("m/v1", wanted)
        counts.append(wanted)
    return counts


def test_work_wakes_a_pool_and_the_autoscaler_takes_over() -> None:
    policy = keda()
    woken = policy.decide(look(0.0, 0, 23.0))
    assert str(woken.reasons["m/v1"]) == "wish 1: queued 23 is above its activation 0"
    assert str(policy.decide(look(15.0, 1, 23.0)).reasons["m/v1"]).startswith(
        "wish 5: queued 23 / 5 a replica; rate: 5 -> 4"
    )
    assert policy.decide(look(30.0, 4, 23.0)).targets == {"m/v1": 5}


def test_a_pool_wakes_only_above_its_activation() -> None:
    policy = keda(replace(QUEUE, activation=3.0))
    assert run(policy, [3.0, 3.0, 3.0]) == [0, 0, 0]
    assert policy.decide(look(60.0, 0, 3.5)).targets == {"m/v1": 1}


def test_between_two_polls_nothing_wakes() -> None:
    assert run(keda(polling_s=30.0), [0.0, 9.0, 9.0], every_s=10.0) == [0, 0, 0]
    assert run(keda(polling_s=30.0), [0.0, 9.0, 9.0, 9.0], every_s=10.0) == [0, 0, 0, 1]
    assert keda().decide(look(0.0, 0)).kept == {"m/v1": "no trigger was active when last looked at"}


def test_it_wakes_to_its_least() -> None:
    assert run(keda(min_replicas=3), [0.0]) == [3]
    assert run(keda(min_replicas=3, idle_replicas=0), [0.0, 0.0, 1.0]) == [0, 0, 3]


def test_a_pool_rests_when_the_cooldown_is_over() -> None:
    """Last active at the poll of 30 s: at 90 s the cooldown of 60 s is not yet over, at 120 s it is."""
    policy = keda(cooldown_s=60.0, behavior=AT_ONCE)
    assert run(policy, [9.0, 9.0, 9.0, 0, 0, 0, 0, 0, 0], wanted=2) == [2, 2, 2, 1, 1, 1, 1, 1, 0]
    assert str(policy.decide(look(150.0, 1)).reasons["m/v1"]) == "wish 0: no trigger active for 60 s"


def test_while_a_trigger_is_active_it_does_not_rest() -> None:
    assert run(keda(cooldown_s=30.0), [1.0] * 40, wanted=1) == [1] * 40


def test_a_pool_that_never_was_active_rests_after_the_initial_cooldown() -> None:
    assert run(keda(), [0.0] * 3, wanted=2) == [2, 2, 0]
    assert run(keda(initial_cooldown_s=60.0), [0.0] * 8, wanted=2) == [2, 2, 2, 2, 2, 2, 0, 0]


def test_with_a_least_it_never_rests() -> None:
    assert run(keda(min_replicas=2, cooldown_s=0.0, behavior=AT_ONCE), [40.0] + [0.0] * 10, wanted=8)[-1] == 2
    assert run(keda(min_replicas=2, cooldown_s=0.0), [40.0] + [0.0] * 10, wanted=8)[-1] == 8


def test_idle_is_less_than_the_least() -> None:
    policy = keda(min_replicas=3, idle_replicas=0, cooldown_s=60.0)
    assert run(policy, [1.0] + [0.0] * 7, wanted=3) == [3, 3, 3, 3, 3, 3, 0, 0]
    with pytest.raises(ValidationError, match="idle_replicas needs a min_replicas above it"):
        KedaSpec(triggers=(QUEUE,), idle_replicas=0)
    with pytest.raises(ValueError, match="m/v1: idle_replicas 0 is less than at_least 1"):
        KedaSpec(triggers=(QUEUE,), idle_replicas=0, min_replicas=2).build({"m/v1": traits(at_least=1)})


def test_the_greatest_number_holds_for_the_autoscaler() -> None:
    assert run(keda(max_replicas=3), [99.0] * 4) == [1, 3, 3, 3]
    with pytest.raises(ValueError, match="m/v1: min_replicas 4 is more than max_replicas 3"):
        KedaSpec(triggers=(QUEUE,), min_replicas=4, max_replicas=3).build(POOLS)


def test_utilization_wakes_nobody() -> None:
    with pytest.raises(ValueError, match="m/v1: utilization wakes no pool; give a total trigger, or min_replicas 1"):
        KedaSpec(triggers=(UtilizationMetric(),)).build(POOLS)
    always = KedaSpec(triggers=(UtilizationMetric(),), cooldown_s=0.0, min_replicas=1).build(POOLS)
    assert [always.decide(seen(t, wanted=2, busy_s_total=t)).targets for t in (0.0, 30.0, 60.0)] == [
        {},
        {"m/v1": 2},
        {"m/v1": 2},
    ]


def test_one_of_several_triggers_is_enough() -> None:
    policy = keda(QUEUE, TotalTrigger(reading="in_service", average=1.0))
    assert policy.decide(seen(0.0, wanted=0, queued=0.0, in_service=2.0)).targets == {"m/v1": 1}


# Readings that fail.


def test_while_a_reading_fails_a_pool_neither_rests_nor_shrinks() -> None:
    assert run(keda(cooldown_s=30.0, behavior=AT_ONCE), [20.0] + [None] * 20, wanted=4) == [4] * 21


def test_a_trigger_that_fails_lets_the_cooldown_run() -> None:
    """Another is active, but what was last active is not written down: KEDA's order of cases."""
    policy = keda(QUEUE, TotalTrigger(reading="in_service", average=9.0), cooldown_s=60.0)
    for time_s, in_service in ((0.0, 1.0), (30.0, None), (60.0, None), (90.0, 0.0)):
        decision = policy.decide(seen(time_s, wanted=1, queued=0.0 if time_s == 90.0 else 1.0, in_service=in_service))
    assert decision.targets == {"m/v1": 0}


FALLBACK = Fallback(failure_threshold=2, replicas=6)


@pytest.mark.parametrize(
    ("behavior", "wanted", "then"),
    [
        ("static", 3, 6),
        ("static", 9, 6),
        ("current_replicas", 3, 3),
        ("current_replicas_if_higher", 3, 6),
        ("current_replicas_if_higher", 9, 9),
        ("current_replicas_if_lower", 3, 3),
        ("current_replicas_if_lower", 9, 6),
    ],
)
def test_after_more_failures_than_the_threshold_the_fallback_holds(behavior: Any, wanted: int, then: int) -> None:
    fallback = replace(FALLBACK, behavior=behavior)
    policy = keda(fallback=fallback, behavior=AT_ONCE)
    assert run(policy, [None] * 4, wanted=wanted) == [wanted, wanted, then, then]


def test_one_reading_ends_the_failures() -> None:
    policy = keda(fallback=FALLBACK, behavior=AT_ONCE)
    assert run(policy, [None, None, 15.0, None, None, None], wanted=3) == [3, 3, 3, 3, 3, 6]


def test_at_zero_nobody_asks_and_nothing_fails() -> None:
    policy = keda(fallback=FALLBACK, behavior=AT_ONCE)
    assert run(policy, [None] * 4, wanted=0) == [0] * 4
    assert policy.decide(look(60.0, 2, None)).targets == {}


def test_a_fallback_for_a_value_is_told_by_ready_replicas() -> None:
    policy = keda(TotalTrigger(reading="queued", value=20.0), fallback=FALLBACK, behavior=AT_ONCE)
    assert run(policy, [None] * 3, wanted=3) == [3, 3, 6]


def test_a_fallback_within_the_tolerance_changes_nothing() -> None:
    policy = keda(fallback=Fallback(failure_threshold=0, replicas=21), behavior=AT_ONCE)
    assert run(policy, [None] * 2, wanted=20) == [20, 20]


def test_a_fallback_of_none_lets_the_pool_rest() -> None:
    policy = keda(fallback=Fallback(failure_threshold=0, replicas=0), cooldown_s=30.0, behavior=AT_ONCE)
    assert run(policy, [9.0] + [None] * 4, wanted=2) == [2, 1, 1, 1, 0]


def test_the_example_is_whole() -> None:
    spec = specfile.read(KedaSpec, EXAMPLES / "keda.yaml")
    assert (spec.min_replicas, spec.idle_replicas, len(spec.triggers)) == (2, 0, 2)
    assert spec.build(POOLS).readings.needed == {"wanted", "queued", "in_service"}
    assert specfile.parse(KedaSpec, specfile.write(spec)) == spec


# Laws.

specs = st.builds(
    KedaSpec,
    triggers=st.sampled_from([(QUEUE,), (replace(QUEUE, activation=4.0),)]),
    cooldown_s=st.sampled_from([0.0, 45.0, 120.0]),
    initial_cooldown_s=st.sampled_from([0.0, 60.0]),
    min_replicas=st.none() | st.integers(0, 3),
    max_replicas=st.none() | st.integers(3, 9),
    fallback=st.none() | st.just(FALLBACK),
    behavior=st.just(AT_ONCE),
)
queues = st.lists(st.none() | st.integers(0, 60), min_size=1, max_size=30)


@settings(max_examples=60)
@given(specs, queues, st.integers(0, 9))
def test_zero_or_inside_the_bounds(spec: KedaSpec, queued: list[int | None], wanted: int) -> None:
    least, most = spec.min_replicas or 0, spec.max_replicas or 50
    start = min(max(wanted, least), most)
    assert all(least <= count <= most for count in run(spec.build(POOLS), queued, wanted=start))


@settings(max_examples=60)
@given(specs, queues, st.integers(1, 9))
def test_zero_only_when_known_to_be_idle(spec: KedaSpec, queued: list[int | None], wanted: int) -> None:
    counts = [wanted, *run(spec.build(POOLS), queued, wanted=wanted)]
    for k, waiting in enumerate(queued):
        if counts[k] > 0 and counts[k + 1] == 0:
            assert waiting is not None
            assert waiting <= spec.triggers[0].activation  # type: ignore[union-attr]


@settings(max_examples=60)
@example(KedaSpec(triggers=(QUEUE,), cooldown_s=120.0, behavior=AT_ONCE), [(9, 1), *[(0, 1)] * 6])
@given(specs, st.lists(st.tuples(st.none() | st.integers(0, 60), st.integers(0, 9)), min_size=5, max_size=40))
def test_one_that_is_fed_its_memory_decides_as_one_that_never_stopped(
    spec: KedaSpec, history: list[tuple[int | None, int]]
) -> None:
    spec = replace(spec, triggers=tuple(replace(trigger, window_s=20.0) for trigger in spec.triggers))
    observations = [look(15.0 * k, wanted, queued) for k, (queued, wanted) in enumerate(history)]
    old, new = spec.build(POOLS), spec.build(POOLS)
    decisions = [old.decide(observation) for observation in observations]
    again: list[Decision] = [new.decide(o) for o in observations if o.time_s >= observations[-1].time_s - new.memory_s]
    assert again[-1] == decisions[-1]
