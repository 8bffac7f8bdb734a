"""Knative's autoscaler: its windows, its scaler, and the policy that sees a pool through readings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policies import specfile
from policies.decision import Limit, Reason
from policies.kpa import KpaSpec
from policies.kpa_scaler import Scaler, ScalerSettings
from policies.kpa_windows import Buckets, RecentMaximum
from policies.kpa_zero import LastReplicas
from policies.observation import Flow, Observation, PoolReading
from policies.policy import Policy
from policies.testing import seen, traits

TARGET_10 = ScalerSettings(target=10.0, capacity=10.0, max_scale_up_rate=10.0, max_scale_down_rate=10.0)
loads = st.lists(st.integers(0, 60), min_size=1, max_size=60)
means = st.floats(0, 1000)


def shown(time_s: float, wanted: int, ready: int, age_s: float | None = 0.0, **flow: Any) -> Observation:
    reading = PoolReading(wanted=wanted, ready=ready, starting=wanted - ready, age_s=age_s, total=Flow(**flow))
    return Observation(time_s, {"m/v1": reading})


def targets(policy: Policy, concurrencies: list[int], tick_s: float = 2.0, start: int = 1) -> list[int]:
    """The targets in a world that starts replicas at once and serves with none of them, only queues."""
    wanted, found = start, []
    for k, queued in enumerate(concurrencies):
        observation = shown(k * tick_s, wanted, wanted, queued=queued, in_service=0)
        wanted = policy.decide(observation).targets.get("m/v1", wanted)
        found.append(wanted)
    return found


# Windows


def test_a_window_that_is_not_full_averages_what_there_is() -> None:
    window = Buckets(10.0)
    window.record(1, 22.89)
    window.record(2, 4.36)
    assert window.mean(2) == 13.625


def test_a_second_without_a_value_between_two_with_one_counts_as_zero() -> None:
    window = Buckets(5.0)
    window.record(10, 4.0)
    window.record(13, 8.0)
    assert window.mean(13) == 3.0


def test_a_window_of_silence_begins_anew() -> None:
    window = Buckets(5.0)
    window.record(10, 4.0)
    assert (window.mean(14), window.mean(15), window.is_empty(15), window.is_empty(16)) == (4.0, 0.0, False, True)
    window.record(15, 8.0)
    assert window.mean(15) == 8.0


def test_the_newest_weigh_most_in_a_weighted_mean() -> None:
    """Knative serving, `WeightedFloat64Buckets`: five seconds have the coefficient 1 - 0.0001 ** (1 / 5) = 0.8415."""
    rising, falling = Buckets(5.0), Buckets(5.0)
    for k in range(5):
        rising.record(k, float(k))
        falling.record(k, float(4 - k))
    assert (round(rising.weighted_mean(4), 4), round(falling.weighted_mean(4), 4)) == (3.8118, 0.1878)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=40), st.integers(1, 12), st.integers(0, 20))
def test_filling_is_recording_one_by_one(values: list[int], window_s: int, gap: int) -> None:
    filled, recorded = Buckets(float(window_s)), Buckets(float(window_s))
    for window in (filled, recorded):
        window.record(0, 7.0)
    filled.fill(1 + gap, [float(v) for v in values])
    for k, value in enumerate(values):
        recorded.record(1 + gap + k, float(value))
    last = gap + len(values)
    for now in range(last, last + window_s + 2):
        assert filled.mean(now) == recorded.mean(now)
        assert filled.weighted_mean(now) == recorded.weighted_mean(now)


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=30), st.integers(1, 12))
def test_a_mean_lies_among_its_values(values: list[float], window_s: int) -> None:
    window = Buckets(float(window_s))
    window.fill(0, values)
    recent = values[-window_s:]
    assert min(recent) - 1e-6 <= window.mean(len(values) - 1) <= max(recent) + 1e-6


@given(st.lists(st.integers(0, 100), min_size=1, max_size=40), st.integers(1, 10))
def test_the_recent_maximum_is_the_greatest_of_so_many_buckets(values: list[int], buckets: int) -> None:
    recent = RecentMaximum(2.0 * buckets, 2.0)
    found = [recent.record(2.0 * k, value) for k, value in enumerate(values)]
    assert found == [max(values[max(0, k + 1 - buckets) : k + 1]) for k in range(len(values))]


# The scaler


@pytest.mark.parametrize(
    ("ready", "stable", "panic", "desired", "excess"),
    [
        (1, 50.0, 50.0, 5, -137),  # TestAutoscalerMetrics
        (1, 0.0, 0.0, 0, -87),  # TestAutoscalerScale, no data at zero
    ],
)
def test_rows_of_knatives_own_tests(ready: int, stable: float, panic: float, desired: int, excess: int) -> None:
    """Knative serving, `pkg/autoscaler/scaling/autoscaler_test.go`."""
    settings = replace(TARGET_10, capacity=40 / 3, target_burst_capacity=100.0)
    verdict = Scaler(settings, ready, 0.0).scale(0.0, ready, stable, panic)
    assert (verdict.desired, verdict.excess_burst_capacity) == (desired, excess)


def test_a_small_rate_still_grows_by_one() -> None:
    """`AutoscalerStableModeIncreaseWithSmallScaleUpRate`."""
    settings = ScalerSettings(target=1.0, capacity=4 / 3, max_scale_up_rate=1.1, max_scale_down_rate=10.0)
    assert Scaler(settings, 1, 0.0).scale(0.0, 2, 3.0, 3.1).desired == 3


def test_shrinking_waits_for_the_scale_down_delay() -> None:
    """`TestAutoscalerScaleDownDelay`: the wish for four is forgotten after 300 seconds."""
    scaler = Scaler(replace(TARGET_10, scale_down_delay_s=300.0, panic_threshold=100.0), 0, 0.0)
    wishes = [(0.0, 40.0, 4), (298.0, 0.0, 4), (300.0, 0.0, 0)]
    assert [scaler.scale(now_s, 0, mean, mean).desired for now_s, mean, _ in wishes] == [n for *_, n in wishes]


def test_a_panic_ends_when_a_stable_window_has_passed_since_the_last_rise() -> None:
    scaler = Scaler(TARGET_10, 1, 0.0)
    assert scaler.scale(0.0, 1, 20.0, 60.0).desired == 6
    assert [scaler.scale(t, 6, 20.0, 20.0).desired for t in (2.0, 60.0, 62.0)] == [6, 6, 2]


def test_replicas_that_get_no_requests_go_at_once() -> None:
    """`TestAutoscalerScaleDownDelayNotReachable`."""
    scaler = Scaler(replace(TARGET_10, scale_down_delay_s=300.0, panic_threshold=100.0), 0, 0.0)
    assert scaler.scale(0.0, 40, 400.0, 400.0).desired == 40
    scaler.settings = replace(scaler.settings, reachable=False)
    assert scaler.scale(2.0, 40, 0.0, 0.0).desired == 0


def test_a_wish_tells_all_that_changed_it() -> None:
    settings = replace(TARGET_10, max_scale_up_rate=2.0, activation_scale=8)
    reason = Scaler(settings, 2, 0.0).scale(0.0, 2, 30.0, 95.0).reason
    assert (reason.wish, reason.because) == (3, "30 stable and 95 panic / 10")
    assert reason.limits == (Limit("activation", 3, 8, "at least 8, or none"),)
    assert str(Scaler(TARGET_10, 1, 0.0).scale(0.0, 1, 9.0, 90.0).reason) == (
        "wish 1: 9 stable and 90 panic / 10; panic: 1 -> 9 (wish of the panic window)"
    )


@given(st.lists(st.tuples(st.integers(0, 50), means, means), min_size=1, max_size=60))
def test_no_panic_ever_asks_for_less_than_before(steps: list[tuple[int, float, float]]) -> None:
    scaler = Scaler(TARGET_10, 2, 0.0)
    before = 0
    for k, (ready, stable, panic) in enumerate(steps):
        desired = scaler.scale(2.0 * k, ready, stable, panic).desired
        if scaler.panic_since_s is not None:
            assert desired >= before
        before = desired if scaler.panic_since_s is not None else 0


@given(st.integers(0, 100), means, means, st.floats(1.01, 100), st.floats(1.01, 100))
def test_a_calm_decision_stays_within_the_rates(
    ready: int, stable: float, panic: float, up: float, down: float
) -> None:
    settings = ScalerSettings(target=3.0, capacity=3.0, max_scale_up_rate=up, max_scale_down_rate=down)
    scaler = Scaler(settings, 0, 0.0)
    desired = scaler.scale(0.0, ready, stable, panic).desired
    assert int(max(1, ready) / down) <= desired <= max(1, ready) * up + 1


@given(st.integers(0, 60), st.integers(0, 60), means, means, st.floats(0, 100), st.integers(1, 9))
def test_more_load_never_means_fewer_replicas(
    start: int, ready: int, stable: float, panic: float, more: float, activation: int
) -> None:
    settings = replace(TARGET_10, activation_scale=activation)
    less = Scaler(settings, start, 0.0).scale(0.0, ready, stable, panic)
    assert Scaler(settings, start, 0.0).scale(0.0, ready, stable + more, panic + more).desired >= less.desired


# The policy


def test_the_example_is_one_of_the_files_that_may_be_written() -> None:
    path = Path(__file__).parents[2] / "scenarios" / "policies" / "kpa.yaml"
    assert specfile.read(KpaSpec, path) == KpaSpec(scale_down_delay_s=60.0)


def test_concurrency_is_what_is_in_service_and_queued() -> None:
    policy = KpaSpec().build({"m/v1": traits(slots=10)})
    decision = policy.decide(seen(0.0, wanted=1, in_service=10, queued=25))
    assert str(decision.reasons["m/v1"]) == (
        "wish 5: concurrency 35 stable and 35 panic / 7, excess burst capacity -236"
    )


def test_between_two_readings_busy_time_tells_more_than_the_gauge() -> None:
    policy = KpaSpec().build({"m/v1": traits(slots=10)})
    policy.decide(seen(0.0, wanted=1, in_service=0, queued=0, busy_s_total=0.0))
    decision = policy.decide(seen(60.0, wanted=1, in_service=0, queued=0, busy_s_total=1260.0))
    assert decision.targets == {"m/v1": 3}


def test_a_counter_that_went_back_was_restarted_from_zero() -> None:
    policy = KpaSpec(metric="rps", target=10.0).build({"m/v1": traits()})
    policy.decide(seen(0.0, arrived_total=1e6))
    assert policy.decide(seen(10.0, arrived_total=140.0)).targets == {"m/v1": 2}


def test_without_busy_time_what_is_in_service_changes_halfway() -> None:
    policy = KpaSpec().build({"m/v1": traits(slots=10)})
    policy.decide(seen(0.0, wanted=1, in_service=10, queued=0))
    because = policy.decide(seen(60.0, wanted=1, in_service=30, queued=0)).reasons["m/v1"].because
    assert because.startswith("concurrency 20 stable and 20 panic")


def test_a_reading_each_15_seconds_panics_as_one_each_second_does() -> None:
    coarse, fine = (KpaSpec().build({"m/v1": traits()}) for _ in range(2))
    for t in range(31):
        told = shown(float(t), 1, 1, queued=max(0, t - 15) * 2, in_service=0)
        fine_reason = fine.decide(told).reasons["m/v1"]
        coarse_reason = coarse.decide(told).reasons["m/v1"] if t % 15 == 0 else None
    assert coarse_reason is not None
    assert coarse_reason.final == fine_reason.final == 36


def test_a_window_ends_at_the_last_reading_however_late_that_comes() -> None:
    late, prompt = (KpaSpec().build({"m/v1": traits()}) for _ in range(2))
    for t in range(0, 60, 2):
        expected = prompt.decide(shown(float(t), 1, 1, queued=t, in_service=0)).targets
        assert late.decide(shown(float(t + 20), 1, 1, age_s=20.0, queued=t, in_service=0)).targets == expected


def test_an_idle_pool_at_zero_does_not_dilute_the_first_requests() -> None:
    policy = KpaSpec().build({"m/v1": traits()})
    for t in range(100):
        policy.decide(shown(float(t), 0, 0, queued=0, in_service=0))
    assert policy.decide(shown(100.0, 0, 0, queued=7, in_service=0)).targets == {"m/v1": 10}


def test_arrivals_may_be_the_metric() -> None:
    policy = KpaSpec(metric="rps", target=50.0).build({"m/v1": traits()})
    assert policy.decide(seen(0.0, arrived_total=0.0)).kept == {"m/v1": "no metric in the stable window"}
    assert policy.decide(seen(10.0, arrived_total=1000.0)).targets == {"m/v1": 3}


def test_the_last_replica_goes_after_the_stable_window_and_a_grace() -> None:
    policy = KpaSpec().build({"m/v1": traits(slots=10)})
    found = targets(policy, [1] + [0] * 100)
    # The request is seen until the reading at 2 s, the window forgets it 60 s later; then come 30 s of grace.
    assert 2.0 * found.index(0) == 2.0 + 60.0 + 30.0
    assert set(found[: found.index(0)]) == {1}


def test_a_pool_that_was_active_only_shortly_keeps_one() -> None:
    last = LastReplicas(active_s=60.0, grace_s=30.0, now_s=0.0, wanted=1, is_ready=True)
    none = Reason(0, "nothing to do")
    held = [last.limited(none, t, 4, is_ready=True).limits for t in (50.0, 60.0, 80.0, 90.0)]
    shortly = Limit("scale to zero", 0, 1, "active for less than 60 s")
    grace = Limit("scale to zero", 0, 4, "30 s of grace")
    assert held == [(shortly,), (grace,), (grace,), ()]


def test_the_last_replica_stays_where_it_is_told_to() -> None:
    for spec in (KpaSpec(scale_to_zero=False), KpaSpec(scale_to_zero_pod_retention_s=900.0)):
        assert targets(spec.build({"m/v1": traits()}), [1] + [0] * 100)[-1] == 1
    assert targets(KpaSpec().build({"m/v1": traits(at_least=2)}), [1] + [0] * 100)[-1] == 2


def test_a_pool_that_still_starts_is_not_given_up() -> None:
    policy = KpaSpec().build({"m/v1": traits(slots=10)})
    policy.decide(shown(0.0, 1, 0, queued=1, in_service=0))
    for t in range(2, 400, 2):
        decision = policy.decide(shown(float(t), 1, 0, queued=0.0, in_service=0))
        assert decision.targets.get("m/v1", 1) == 1


def test_a_new_pool_comes_up_with_its_initial_scale_and_then_forgets_it() -> None:
    policy = KpaSpec(initial_scale=5).build({"m/v1": traits()})
    starting = policy.decide(shown(0.0, 1, 0, age_s=None)).reasons["m/v1"]
    assert starting.limits == (Limit("initial scale", 1, 5, "until so many were ready"),)
    assert policy.decide(shown(2.0, 5, 4, queued=1, in_service=0)).targets == {"m/v1": 5}
    settled = [policy.decide(shown(t, 5, 5, queued=1, in_service=0)).targets["m/v1"] for t in (4.0, 64.0, 66.0)]
    assert settled[-1] == 2


def test_after_a_restart_nothing_is_taken_away_for_a_stable_window() -> None:
    policy = KpaSpec().build({"m/v1": traits()})
    found = targets(policy, [1] * 40, start=8)
    assert found[:31] == [8] * 31
    assert found[31:34] == [4, 2, 2]


@given(loads, st.integers(1, 30), st.sampled_from(["linear", "weighted_exponential"]))
def test_without_a_new_reading_nothing_shrinks(concurrencies: list[int], silence: int, aggregation: str) -> None:
    policy = KpaSpec(aggregation=aggregation, stable_window_s=6.0).build({"m/v1": traits()})  # type: ignore[arg-type]
    wanted = targets(policy, concurrencies)[-1]
    last_s = 2.0 * (len(concurrencies) - 1)
    for k in range(1, silence):
        decision = policy.decide(
            shown(last_s + 2.0 * k, wanted, wanted, age_s=2.0 * k, queued=concurrencies[-1], in_service=0)
        )
        after = decision.targets.get("m/v1", wanted)
        assert after >= wanted
        wanted = after


@given(loads)
def test_readings_without_the_metric_shrink_nothing(concurrencies: list[int]) -> None:
    policy = KpaSpec().build({"m/v1": traits()})
    wanted = targets(policy, concurrencies)[-1]
    for k in range(1, 40):
        decision = policy.decide(shown(2.0 * (len(concurrencies) - 1 + k), wanted, wanted, queued=3))
        assert decision.targets.get("m/v1", wanted) >= wanted


def test_a_pool_beyond_its_bounds_comes_back_without_any_reading_that_is_new() -> None:
    policy = KpaSpec().build({"m/v1": traits(at_most=5)})
    policy.decide(shown(0.0, 9, 9, queued=50, in_service=0))
    assert policy.decide(shown(2.0, 9, 9, age_s=2.0, queued=50, in_service=0)).targets == {"m/v1": 5}


@given(loads, st.integers(0, 5), st.integers(0, 20), st.integers(1, 8))
def test_no_target_leaves_the_bounds(concurrencies: list[int], at_least: int, more: int, initial: int) -> None:
    bounds = traits(at_least=at_least, at_most=at_least + more)
    policy = KpaSpec(initial_scale=initial, activation_scale=4).build({"m/v1": bounds})
    assert all(at_least <= t <= at_least + more for t in targets(policy, concurrencies, start=at_least))


@given(loads, st.sampled_from(["linear", "weighted_exponential"]))
def test_the_same_readings_give_the_same_decisions(concurrencies: list[int], aggregation: str) -> None:
    spec = KpaSpec(aggregation=aggregation, scale_down_delay_s=20.0)  # type: ignore[arg-type]
    first, second = (targets(spec.build({"m/v1": traits()}), concurrencies) for _ in range(2))
    assert first == second


@given(st.lists(st.integers(0, 12), min_size=120, max_size=160))
def test_fed_its_memory_it_goes_on_as_one_that_never_stopped(concurrencies: list[int]) -> None:
    """With a threshold that is never reached, since a restart takes the peak of a panic from the ready replicas."""
    spec = KpaSpec(
        stable_window_s=10.0, panic_threshold_percentage=1000.0, scale_to_zero_grace_s=6.0, scale_down_delay_s=10.0
    )
    whole, wanted, history = spec.build({"m/v1": traits()}), 2, []
    found = []
    for k, queued in enumerate(concurrencies):
        history.append(shown(2.0 * k, wanted, wanted, queued=queued, in_service=0))
        wanted = whole.decide(history[-1]).targets.get("m/v1", wanted)
        found.append(wanted)
    cut = 80
    restarted = spec.build({"m/v1": traits()})
    for observation, target in zip(history, found, strict=True):
        if observation.time_s >= history[cut].time_s - whole.memory_s:
            wanted = observation.pools["m/v1"].wanted or 0
            again = restarted.decide(observation).targets.get("m/v1", wanted)
            assert observation.time_s < history[cut].time_s or again == target


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"target_burst_capacity": -0.5}, "must be -1, 0 or more"),
        ({"stable_window_s": 60.5}, "must be whole seconds"),
        ({"max_scale_up_rate": 1.0}, "greater than 1"),
    ],
)
def test_settings_that_knative_refuses_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        KpaSpec(**given)  # type: ignore[arg-type]


def test_the_panic_window_is_whole_seconds_and_at_least_one() -> None:
    windows = [KpaSpec(stable_window_s=s, panic_window_percentage=p).panic_window_s for s, p in ((60, 10), (25, 10))]
    assert [*windows, KpaSpec(stable_window_s=6.0, panic_window_percentage=1.0).panic_window_s] == [6.0, 3.0, 1.0]
