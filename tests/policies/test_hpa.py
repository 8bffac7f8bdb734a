"""The HorizontalPodAutoscaler: what it reads off observations, how its metrics and rules go together, and its laws."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from policies import specfile
from policies.bounded import Bounded
from policies.decision import Decision
from policies.histogram import Histogram
from policies.hpa import Hpa, HpaSpec
from policies.hpa_behavior import Behavior, GrowRules, RateRule, ShrinkRules
from policies.hpa_metrics import Metric, PerReplicaMetric, TotalMetric, UsageMetric, UtilizationMetric
from policies.hpa_replicas import Tolerance
from policies.observation import Observation, ReplicaReading
from policies.testing import seen, traits

POOLS = {"m/v1": traits("m/v1", at_least=1, at_most=100)}
EXAMPLES = Path(__file__).parents[2] / "scenarios" / "policies"


def busy(
    time_s: float, shares: Sequence[float | None], starting: int = 0, wanted: int | None = None, **flow: Any
) -> Observation:
    """Replicas that have long been ready and are so busy, None where that is not shown, and some not ready yet."""
    whole = seen(time_s, wanted=wanted if wanted is not None else len(shares) + starting, **flow)
    old = [
        ReplicaReading(name=f"r{i}", utilization=u, started_s=-1e4, ready_since_s=-1e4) for i, u in enumerate(shares)
    ]
    young = [ReplicaReading(name=f"s{i}", utilization=0.0, started_s=time_s) for i in range(starting)]
    reading = whole.pools["m/v1"]
    shown = replace(reading, ready=len(shares), starting=starting, replicas=(*old, *young))
    return Observation(time_s, {"m/v1": shown})


def hpa(*metrics: Metric, behavior: Behavior | None = None, stabilization_s: float = 0.0) -> Hpa:
    """A policy that shrinks at once unless told otherwise."""
    spec = HpaSpec(
        metrics=metrics or (UtilizationMetric(target=0.5),), behavior=behavior, stabilization_s=stabilization_s
    )
    return spec.build(POOLS)


def last(policy: Hpa, *observations: Observation) -> Decision:
    """The decision on the last of them; on the first one nothing is ever taken away."""
    for observation in observations:
        decision = policy.decide(observation)
    return decision


def target(policy: Hpa, *observations: Observation) -> int | None:
    return last(policy, *observations).targets.get("m/v1")


def test_replicas_grow_as_they_are_busier_than_they_should_be() -> None:
    assert target(hpa(), busy(0, [1.0, 1.0, 0.4, 0.4])) == 6


def test_on_the_first_look_nothing_is_taken_away() -> None:
    assert target(hpa(stabilization_s=300.0), busy(0, [0.1] * 4)) == 4
    assert target(hpa(stabilization_s=300.0), *(busy(t, [0.1] * 4) for t in range(0, 301, 15))) == 4
    assert target(hpa(stabilization_s=300.0), *(busy(t, [0.1] * 4) for t in range(0, 316, 15))) == 1


def test_utilization_is_the_mean_of_its_window() -> None:
    shares = {0: 1.0, 15: 0.0, 30: 1.0, 45: 0.0}
    policy = hpa(UtilizationMetric(target=0.5, window_s=60.0))
    assert last(policy, *(busy(t, [u]) for t, u in shares.items())).reasons["m/v1"].because == (
        "utilization 50 % / 50 % x 1 ready"
    )


def test_a_decision_tells_its_raw_wish_and_who_changed_it() -> None:
    rules = (RateRule(kind="replicas", value=1, period_s=60.0),)
    policy = hpa(behavior=Behavior(scale_up=GrowRules(policies=rules)))
    assert str(policy.decide(busy(0, [1.0, 1.0])).reasons["m/v1"]) == (
        "wish 4: utilization 100 % / 50 % x 2 ready; rate: 4 -> 3 (may grow to 3 now)"
    )


def test_replicas_that_are_starting_are_not_asked_for_twice() -> None:
    decision = hpa().decide(busy(0, [1.0, 1.0], starting=2))
    assert decision.targets == {"m/v1": 4}
    assert decision.reasons["m/v1"].limits == ()
    assert target(hpa(), busy(0, [1.0, 1.0], starting=4)) == 6


def test_replicas_started_after_the_scrape_are_not_asked_for_twice() -> None:
    shown = busy(0, [1.0, 1.0])
    later = replace(shown.pools["m/v1"], wanted=6, starting=4)
    assert target(hpa(), Observation(0.0, {"m/v1": later})) == 6
    ten = replace(busy(0, [0.6] * 9).pools["m/v1"], wanted=10, starting=1)
    assert target(hpa(), Observation(0.0, {"m/v1": ten})) == 10


def test_a_young_replica_counts_when_it_has_been_ready_for_a_window() -> None:
    def shown(time_s: float) -> Observation:
        young = ReplicaReading(name="new", utilization=1.0, started_s=0.0, ready_since_s=20.0)
        old = ReplicaReading(name="old", utilization=1.0, started_s=-1e4, ready_since_s=-1e4)
        reading = replace(seen(time_s, wanted=2).pools["m/v1"], replicas=(old, young))
        return Observation(time_s, {"m/v1": reading})

    assert target(hpa(), shown(79.0)) == 2
    assert target(hpa(), shown(80.0)) == 4


def test_a_replica_that_shows_nothing_may_be_full() -> None:
    assert target(hpa(), *(busy(t, [0.2, 0.2, 0.2, None]) for t in (0, 15))) == 4
    assert target(hpa(), *(busy(t, [0.2, 0.2, 0.2, 0.2]) for t in (0, 15))) == 2


def test_without_readings_of_each_replica_all_are_as_busy_as_the_pool() -> None:
    policy = HpaSpec(metrics=(UtilizationMetric(target=0.5),)).build({"m/v1": traits(slots=2, at_least=1)})
    found = last(policy, seen(0.0, wanted=2, busy_s_total=0.0), seen(10.0, wanted=2, busy_s_total=40.0))
    assert str(found.reasons["m/v1"]) == "wish 4: utilization 100 % / 50 % x 2 ready"
    assert "replicas" in policy.readings.assumed
    ready = replace(seen(20.0, wanted=10, busy_s_total=216.0).pools["m/v1"], ready=9, starting=1)
    assert target(policy, Observation(20.0, {"m/v1": ready})) == 10


def test_busy_slots_of_a_replica_may_be_the_target() -> None:
    policy = HpaSpec(metrics=(UsageMetric(average=1.0),)).build({"m/v1": traits(slots=4, at_least=1)})
    assert policy.decide(busy(0, [0.5, 0.5])).targets == {"m/v1": 4}


def test_what_each_replica_has_to_do() -> None:
    metric = PerReplicaMetric(reading="in_system", average=4.0)
    assert target(hpa(metric), busy(0, [1.0] * 2, queued=14.0, in_service=2.0)) == 4
    assert target(hpa(metric), busy(0, [1.0] * 2, starting=1, queued=14.0, in_service=2.0)) == 4
    assert target(hpa(metric), *(busy(t, [1.0] * 2, starting=2, queued=4.0, in_service=2.0) for t in (0, 15))) == 4


def test_a_total_has_a_value_for_all_or_for_each() -> None:
    shown = busy(0, [1.0] * 4, starting=1, queued=30.0)
    assert target(hpa(TotalMetric(reading="queued", value=20.0)), shown) == 6
    assert target(hpa(TotalMetric(reading="queued", average=5.0)), shown) == 6
    assert target(hpa(TotalMetric(reading="queued", average=5.7)), shown) == 5


def test_a_counter_is_told_as_its_rate() -> None:
    policy = hpa(TotalMetric(reading="arrived_total", average=0.5))
    assert target(policy, busy(0, [1.0] * 2, arrived_total=0.0), busy(10, [1.0] * 2, arrived_total=20.0)) == 4


def test_a_time_is_told_as_its_quantile() -> None:
    policy = hpa(TotalMetric(reading="wait_s", value=1.0, quantile=0.5))
    waits = [Histogram((2.0, 4.0), counts, 0.0) for counts in ((0.0, 0.0, 0.0), (0.0, 10.0, 10.0))]
    for time_s, histogram in enumerate(waits):
        shown = seen(float(time_s), wanted=2, wait_s=histogram)
        decision = policy.decide(shown)
    assert decision.reasons["m/v1"].wish == 6


def test_a_time_does_not_add_up_over_replicas() -> None:
    with pytest.raises(ValidationError, match="wait_s does not add up over replicas; give value in place of average"):
        TotalMetric(reading="wait_s", average=1.0)
    with pytest.raises(ValidationError, match="needs either value or average; found none"):
        TotalMetric(reading="queued")


def test_the_greatest_wish_counts() -> None:
    both = hpa(UtilizationMetric(target=0.5), TotalMetric(reading="queued", average=10.0))
    assert target(both, busy(0, [1.0, 1.0], queued=0.0)) == 4
    assert target(both, busy(15, [1.0, 1.0], queued=35.0)) == 4
    assert target(both, busy(30, [0.5, 0.5], queued=35.0)) == 4


def test_while_a_metric_is_unknown_a_pool_grows_and_does_not_shrink() -> None:
    both = hpa(UtilizationMetric(target=0.5), TotalMetric(reading="queued", average=10.0))
    assert target(both, busy(0, [1.0, 1.0])) == 4
    kept = last(both, busy(15, [0.1] * 4), busy(30, [0.1] * 4)).kept
    assert kept == {"m/v1": "queued is not known of the last 60 s: not shrunk to 2"}
    assert hpa().decide(seen(0.0, wanted=4)).kept == {"m/v1": "busy_s_total is not known of the last 60 s"}


def test_what_was_last_read_too_long_ago_is_unknown() -> None:
    policy = hpa(TotalMetric(reading="queued", average=1.0))
    assert policy.decide(seen(100.0, age_s=60.0, wanted=2, queued=4.0)).targets == {"m/v1": 4}
    assert policy.decide(seen(200.0, age_s=160.0, wanted=4, queued=4.0)).targets == {}


def test_a_change_that_came_to_pass_counts_for_the_next() -> None:
    up = GrowRules(policies=(RateRule(kind="replicas", value=3, period_s=60.0),))
    policy = hpa(behavior=Behavior(scale_up=up))
    assert target(policy, busy(0, [1.0] * 4)) == 7
    assert target(policy, busy(15, [1.0] * 4, starting=3)) == 7
    assert target(policy, busy(30, [1.0] * 7)) == 7
    assert target(policy, busy(60, [1.0] * 7)) == 10


def test_a_change_that_failed_does_not_count() -> None:
    up = GrowRules(policies=(RateRule(kind="replicas", value=3, period_s=60.0),))
    policy = hpa(behavior=Behavior(scale_up=up))
    assert [target(policy, busy(t, [1.0] * 4)) for t in (0, 15, 30)] == [7, 7, 7]


def test_a_pool_outside_its_bounds_is_brought_back_at_once() -> None:
    policy = HpaSpec().build({"m/v1": traits(at_least=2, at_most=4)})
    assert policy.decide(seen(0.0, wanted=9)).targets == {"m/v1": 4}
    assert policy.decide(seen(15.0, wanted=1)).targets == {"m/v1": 2}


def test_a_pool_without_replicas_is_left_alone() -> None:
    assert hpa().decide(busy(0, [], wanted=0)).kept == {"m/v1": "a pool without replicas is not scaled; start one"}


def test_a_total_can_tell_of_work_at_zero() -> None:
    from_zero = HpaSpec(metrics=(TotalMetric(reading="queued", average=2.0),)).build({"m/v1": traits()})
    assert from_zero.decide(busy(0, [], wanted=0, queued=5.0)).targets == {"m/v1": 3}
    for time_s in range(15, 331, 15):
        decision = from_zero.decide(busy(time_s, [0.0] * 3, queued=0.0))
    assert decision.targets == {"m/v1": 0}


def test_utilization_alone_keeps_one_replica() -> None:
    policy = HpaSpec().build({"m/v1": traits()})
    for time_s in range(0, 331, 15):
        decision = policy.decide(busy(time_s, [0.0] * 3))
    assert str(decision.reasons["m/v1"]) == "wish 0: utilization 0 % / 80 % x 3 ready; bounds: 0 -> 1 (at least 1)"


def test_tolerance_may_differ_by_direction() -> None:
    spec = HpaSpec(
        metrics=(UtilizationMetric(target=0.5),),
        behavior=Behavior(scale_up=GrowRules(tolerance=0.5), scale_down=ShrinkRules(stabilization_s=0.0)),
    )
    assert (spec.tolerances, spec.windows_s) == (Tolerance(down=0.1, up=0.5), (0.0, 0.0))
    assert target(spec.build(POOLS), busy(0, [0.7] * 4)) == 4


def test_the_example_is_whole() -> None:
    spec = specfile.read(HpaSpec, EXAMPLES / "hpa.yaml")
    assert [metric.kind for metric in spec.metrics] == ["utilization", "per_replica", "total"]
    assert spec.build(POOLS).readings.needed == {"wanted", "queued", "in_service", "wait_s"}
    assert specfile.parse(HpaSpec, specfile.write(spec)) == spec


# Laws.

METRICS: tuple[Metric, ...] = (
    UtilizationMetric(target=0.6, window_s=30.0),
    TotalMetric(reading="queued", average=3.0, window_s=30.0),
    TotalMetric(reading="in_system", value=20.0, window_s=30.0),
)
RULES = Behavior(
    scale_up=GrowRules(stabilization_s=20.0, policies=(RateRule(kind="percent", value=50, period_s=45.0),)),
    scale_down=ShrinkRules(stabilization_s=60.0, policies=(RateRule(kind="replicas", value=2, period_s=45.0),)),
)
specs = st.builds(
    HpaSpec,
    metrics=st.lists(st.sampled_from(METRICS), min_size=1, max_size=3, unique_by=id).map(tuple),
    behavior=st.sampled_from([None, RULES]),
    stabilization_s=st.just(60.0),
)
shares = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, None])
looks = st.tuples(st.lists(shares, min_size=1, max_size=8), st.integers(0, 2), st.none() | st.integers(0, 60))


def shown(time_s: float, look: tuple[list[float | None], int, int | None]) -> Observation:
    used, starting, queued = look
    return busy(time_s, used, starting, queued=queued, in_service=sum(u or 0.0 for u in used))


@settings(max_examples=60)
@given(specs, st.lists(looks, min_size=1, max_size=8))
def test_no_decision_leaves_the_bounds(
    spec: HpaSpec, history: list[tuple[list[float | None], int, int | None]]
) -> None:
    pools = {"m/v1": traits(at_least=2, at_most=12)}
    policy, bounded = spec.build(pools), Bounded(spec.build(pools), pools)
    for k, look in enumerate(history):
        observation = shown(15.0 * k, look)
        assert policy.decide(observation) == bounded.decide(observation)


@settings(max_examples=60)
@given(specs, st.lists(looks, min_size=1, max_size=8), st.lists(looks, min_size=1, max_size=4))
def test_nothing_unknown_shrinks_a_pool(
    spec: HpaSpec,
    history: list[tuple[list[float | None], int, int | None]],
    dark: list[tuple[list[float | None], int, int | None]],
) -> None:
    """Whatever was seen before: when nothing has been read for a while, no pool loses a replica."""
    policy = spec.build(POOLS)
    for k, look in enumerate(history):
        policy.decide(shown(15.0 * k, look))
    for k, (used, _, _) in enumerate(dark):
        decision = policy.decide(seen(15.0 * (len(history) + k) + 30.1, wanted=len(used), age_s=None))
        assert decision.targets.get("m/v1", len(used)) >= len(used)


@settings(max_examples=60)
@given(specs, st.lists(looks, min_size=1, max_size=8), st.integers(1, 8), st.data())
def test_more_load_never_asks_for_fewer_replicas(
    spec: HpaSpec, history: list[tuple[list[float | None], int, int | None]], count: int, data: st.DataObject
) -> None:
    less = data.draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))
    more = [min(1.0, u + data.draw(st.floats(0, 1))) for u in less]
    queued = data.draw(st.integers(0, 60))
    found = []
    for used, waiting in ((less, queued), (more, queued + data.draw(st.integers(0, 60)))):
        policy = spec.build(POOLS)
        for k, look in enumerate(history):
            policy.decide(shown(15.0 * k, look))
        found.append(policy.decide(shown(15.0 * len(history) + 60.0, (list(used), 0, waiting))).targets["m/v1"])
    assert found[0] <= found[1]


@settings(max_examples=60)
@given(specs, st.lists(looks, min_size=10, max_size=25))
def test_one_that_is_fed_its_memory_decides_as_one_that_never_stopped(
    spec: HpaSpec, history: list[tuple[list[float | None], int, int | None]]
) -> None:
    observations = [shown(15.0 * k, look) for k, look in enumerate(history)]
    old, new = spec.build(POOLS), spec.build(POOLS)
    for observation in observations:
        decision = old.decide(observation)
    again = [o for o in observations if o.time_s >= observations[-1].time_s - new.memory_s]
    assert last(new, *again) == decision
