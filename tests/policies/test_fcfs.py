"""Sizing by queueing theory: what is wished for, when nothing is, and why."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from policies.decision import Decision
from policies.fcfs import Fcfs, FcfsSpec
from policies.histogram import Histogram
from policies.observation import Observation, PoolReading
from policies.pool import PoolTraits
from policies.queues import servers_for_wait
from policies.sizing import Load
from policies.testing import seen, traits

TICK_S = 15.0
POOL = traits(service_s=5.0, service_scv=1.0, startup_s=90.0, startup_p95_s=120.0)
WAIT = FcfsSpec(wait_s=5.0)


def policy(spec: FcfsSpec = WAIT, pool: PoolTraits = POOL) -> Fcfs:
    return spec.build({pool.name: pool})


def story(counts: Iterable[float], wanted: int = 10, **flow: Any) -> list[Observation]:
    """A reading every 15 s, with so many arrivals since the one before; the rest of what is seen stays as it is."""
    totals = accumulate(counts, initial=0.0)
    return [seen(k * TICK_S, wanted=wanted, arrived_total=n, **flow) for k, n in enumerate(totals)]


def told(decide: Fcfs, observations: Iterable[Observation]) -> list[Decision]:
    return [decide.decide(observation) for observation in observations]


def last(decide: Fcfs, observations: Iterable[Observation]) -> int:
    """The last target."""
    return told(decide, observations)[-1].targets["m/v1"]


def why(decide: Fcfs, observations: Iterable[Observation]) -> str:
    """The last reason, or why there is none."""
    decision = told(decide, observations)[-1]
    return str(decision.reasons["m/v1"]) if decision.reasons else decision.kept["m/v1"]


def poisson(rate_per_s: float, ticks: int, seed: int = 1) -> Sequence[float]:
    return [float(n) for n in np.random.default_rng(seed).poisson(rate_per_s * TICK_S, ticks)]


def all_of(value_s: float, times: float, bounds: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)) -> Histogram:
    """So many times the same value."""
    return Histogram(bounds, tuple(times if value_s <= b else 0.0 for b in (*bounds, np.inf)), value_s * times)


# One target, and one that can be met.


def test_a_target_is_needed_and_one_is_enough() -> None:
    with pytest.raises(ValidationError, match="exactly one of wait_s, response_s, mean_response_s; found none"):
        FcfsSpec()
    with pytest.raises(ValidationError, match="found wait_s and response_s"):
        FcfsSpec(wait_s=1.0, response_s=9.0)


def test_a_target_that_services_miss_by_themselves_is_refused_by_the_name_of_the_pool() -> None:
    with pytest.raises(ValueError, match=r"m/v1: response_s is 10\.0.* must be above that"):
        policy(FcfsSpec(response_s=10.0))
    with pytest.raises(ValueError, match=r"m/v1: response_s is 4\.0, must be above the mean service of 5\.0 s"):
        policy(FcfsSpec(mean_response_s=4.0))


# What is wished for.


def test_the_wish_is_what_theory_needs_for_the_load_that_is_seen() -> None:
    steady = story([30] * 40)
    assert last(policy(), steady) == servers_for_wait(2.0, 5.0, 5.0, 0.95, arrival_scv=0.0, service_scv=1.0) == 12


def test_poisson_arrivals_are_sized_as_such() -> None:
    wishes = [last(policy(), story(poisson(2.0, 60, seed))) for seed in range(20)]
    assert servers_for_wait(2.0, 5.0, 5.0, 0.95) == 13
    assert 12 <= min(wishes) <= 13 <= max(wishes) <= 15


def test_a_replica_with_several_slots_does_the_work_of_as_many() -> None:
    assert last(policy(pool=replace(POOL, slots=4)), story([30] * 40)) == 3


def test_service_times_that_are_seen_count_for_more_than_those_stated() -> None:
    total = [float(30 * k) for k in range(41)]
    observations = [seen(k * TICK_S, arrived_total=n, service_s=all_of(8.0, n)) for k, n in enumerate(total)]
    assert last(policy(), observations) > 16
    assert "service 8 s" in why(policy(), observations)


def test_nothing_arrives_so_nothing_is_needed() -> None:
    assert why(policy(), story([0] * 40)) == "wish 0: no arrivals in 600 s"


def test_services_that_take_no_time_need_one_replica() -> None:
    assert last(policy(pool=replace(POOL, service_s=0.0)), story([30] * 40)) == 1


def test_batches_need_more_than_single_arrivals() -> None:
    single = [last(policy(), story(poisson(2.0, 40, seed))) for seed in range(20)]
    batches = [last(policy(), story([4 * n for n in poisson(0.5, 40, seed)])) for seed in range(20)]
    assert np.mean(batches) > np.mean(single) + 1.5


@pytest.mark.parametrize("response_s", [14.0, 14.98])
def test_a_response_that_services_nearly_take_by_themselves_leaves_next_to_no_wait(response_s: float) -> None:
    load = Load(rate_per_s=2.0, service_s=5.0, service_scv=1.0)
    assert FcfsSpec(response_s=response_s).target.slots(load) == FcfsSpec(wait_s=0.5).target.slots(load)


def test_a_response_that_cannot_be_had_any_more_leaves_next_to_no_wait() -> None:
    total = [float(30 * k) for k in range(41)]
    slower = [seen(k * TICK_S, arrived_total=n, service_s=all_of(20.0, n)) for k, n in enumerate(total)]
    assert last(policy(FcfsSpec(response_s=18.0)), slower) == last(policy(FcfsSpec(wait_s=2.0)), slower)


rates = st.integers(1, 200).map(float)


@settings(deadline=None, max_examples=40)
@given(rates, rates, st.sampled_from([WAIT, FcfsSpec(response_s=20.0), FcfsSpec(mean_response_s=5.5)]))
def test_more_load_never_wants_fewer(few: float, many: float, spec: FcfsSpec) -> None:
    few, many = sorted((few, many))
    assert last(policy(spec), story([few] * 40)) <= last(policy(spec), story([many] * 40))


scvs = st.just(0.0) | st.floats(0.001, 20.0)


@settings(deadline=None, max_examples=60)
@given(st.floats(0.01, 50.0), st.floats(0.01, 20.0), scvs, scvs, st.floats(1.0, 5.0))
def test_what_is_harder_to_serve_never_wants_fewer(
    rate: float, service_s: float, service_scv: float, arrival_scv: float, times: float
) -> None:
    load = Load(rate_per_s=rate, service_s=service_s, service_scv=service_scv, arrival_scv=arrival_scv)
    harder = [replace(load, **{what: getattr(load, what) * times}) for what in ("rate_per_s", "service_s")]
    assert all(WAIT.target.slots(load) <= WAIT.target.slots(h) for h in [*harder, load.corrected(times)])


@settings(deadline=None, max_examples=30)
@given(st.floats(0.0, 20.0), st.floats(0.0, 20.0), st.floats(0.5, 0.99), st.floats(0.5, 0.99))
def test_a_harder_target_never_wants_fewer(wait_s: float, more_s: float, often: float, oftener: float) -> None:
    often, oftener = sorted((often, oftener))
    load = Load(rate_per_s=3.0, service_s=5.0, service_scv=1.5, arrival_scv=1.2)
    easy = FcfsSpec(wait_s=wait_s + more_s, quantile=often).target.slots(load)
    assert easy <= FcfsSpec(wait_s=wait_s, quantile=oftener).target.slots(load)


# Steady in a steady load, quick in a new one.


def test_chance_does_not_make_it_flap() -> None:
    decide = policy()
    wishes = [d.targets["m/v1"] for d in told(decide, story(poisson(2.0, 1000)))[41:]]
    assert np.mean([wish in (12, 13) for wish in wishes]) > 0.95
    assert np.mean([a != b for a, b in pairwise(wishes)]) < 0.05


def test_a_jump_is_followed_at_the_first_reading() -> None:
    before, after = poisson(20.0, 40), poisson(60.0, 1)
    wish = last(policy(), story([*before, *after]))
    assert 60 * 5 * 0.9 < wish < 60 * 5 * 1.15


def test_what_was_needed_is_kept_for_half_a_window_as_a_burst_may_come_back() -> None:
    busy, calm = [300.0] * 40, [30.0] * 25
    high = last(policy(), story(busy, wanted=102))
    assert last(policy(), story(busy + calm[:20], wanted=102)) == high
    assert "half a window" in why(policy(), story(busy + calm[:20], wanted=102))
    assert last(policy(), story(busy + calm, wanted=102)) < high


def test_bursts_are_not_run_after() -> None:
    # Twenty seconds in seventy bring three times as much: replicas that take two minutes to start come too late.
    rng = np.random.default_rng(4)
    counts = [float(rng.poisson((30.0 if k % 5 == 4 else 9.0) * TICK_S)) for k in range(400)]
    wishes = [d.targets["m/v1"] for d in told(policy(), story(counts))[41:]]
    assert np.mean([a != b for a, b in pairwise(wishes)]) < 0.15
    assert np.ptp(wishes) < 0.3 * np.mean(wishes)


def test_a_jump_is_not_taken_for_a_trend_or_for_bursts() -> None:
    observations = story([*[300.0] * 40, *[900.0] * 20])
    wishes = [d.targets["m/v1"] for d in told(policy(), observations)[42:]]
    assert set(wishes) == {302}


def test_a_ramp_is_followed_to_the_moment_a_replica_would_be_ready() -> None:
    ramp = story([100.0 + 10 * k for k in range(41)])
    slow, slower = (last(policy(pool=replace(POOL, startup_p95_s=s)), ramp) for s in (0.0, 300.0))
    assert slower - slow == pytest.approx(10 / TICK_S**2 * 300.0 * 5.0, abs=3)
    assert "33.3 arrivals/s, rising to 46.7 in 300 s" in why(policy(pool=replace(POOL, startup_p95_s=300.0)), ramp)


def test_how_far_ahead_may_be_said() -> None:
    ramp = story([100.0 + 10 * k for k in range(41)])
    assert last(policy(FcfsSpec(wait_s=5.0, horizon_s=0.0)), ramp) < last(policy(), ramp)


# Backlogs.


def test_a_queue_as_long_as_the_target_allows_is_no_backlog() -> None:
    steady = [30.0] * 40
    assert last(policy(), story(steady, wanted=11, queued=10.0)) == last(policy(), story(steady, wanted=11))


def test_a_backlog_is_worked_off_by_more_slots() -> None:
    reason = why(policy(), story([30.0] * 40, wanted=11, queued=200.0))
    assert "12 slots and 7 for a backlog of 200" in reason


def starting(observations: Iterable[Observation], replicas: int) -> list[Observation]:
    """The same, with so many more replicas wanted and starting."""

    def more(reading: PoolReading) -> PoolReading:
        return replace(reading, wanted=(reading.wanted or 0) + replicas, starting=replicas)

    return [Observation(o.time_s, {"m/v1": more(o.pools["m/v1"])}) for o in observations]


def test_replicas_that_start_already_are_not_asked_for_again() -> None:
    seen_now = story([30.0] * 40, wanted=11, queued=200.0)
    assert last(policy(), seen_now) == 19
    assert last(policy(), starting(seen_now, 14)) == 12


def test_a_queue_that_people_leave_does_not_grow_into_the_sky() -> None:
    gone = [
        seen(k * TICK_S, wanted=10, arrived_total=60.0 * k, queued=200.0, abandoned_total=5.0 * k) for k in range(41)
    ]
    assert last(policy(), gone) < last(policy(), story([60.0] * 40, queued=200.0)) - 5


# Its own predictions, held against what is seen.


def waiting(mean_s: float, wanted: int, ticks: int = 41) -> list[Observation]:
    """Two arrivals a second, and waits of this mean."""
    total = [30.0 * k for k in range(ticks)]
    return [
        seen(k * TICK_S, wanted=wanted, arrived_total=n, started_total=n, wait_s=all_of(mean_s, n))
        for k, n in enumerate(total)
    ]


def test_waits_longer_than_predicted_ask_for_more() -> None:
    assert last(policy(), waiting(0.0, wanted=13)) == 12
    assert last(policy(), waiting(4.0, wanted=13)) > 13
    assert "for waits longer than predicted" in why(policy(), waiting(4.0, wanted=13))


def test_waits_before_too_few_replicas_are_no_surprise() -> None:
    assert last(policy(), waiting(9.0, wanted=10)) == 12


def test_what_replicas_are_ready_now_does_not_hide_how_few_were() -> None:
    recovered = waiting(9.0, wanted=10)[:-1] + waiting(9.0, wanted=20)[-1:]
    assert last(policy(), recovered) == 12


def test_too_few_replicas_are_an_excuse_for_one_window_only() -> None:
    grown = waiting(4.0, wanted=10)[:-1] + [o for o in waiting(4.0, wanted=13, ticks=90) if o.time_s >= 600]
    assert last(policy(), grown[:60]) == 12
    assert last(policy(), grown) > 13


# When it keeps silent, and when it does not shrink.


def test_nothing_is_wished_before_two_readings() -> None:
    assert why(policy(), story([])) == "arrived_total was not read twice yet"
    assert why(policy(), [seen(0.0, age_s=None)]) == "nothing was read yet"
    assert why(policy(), [seen(0.0), seen(15.0), seen(30.0)]) == "arrived_total was not read twice yet"


def test_nothing_is_wished_without_a_service_time() -> None:
    unknown = replace(POOL, service_s=None, service_scv=None)
    assert why(policy(pool=unknown), story([30.0] * 40)).startswith("no service time is known")


def test_nothing_is_wished_from_old_readings() -> None:
    decide = policy()
    told(decide, story([30.0] * 40))
    old = seen(750.0, wanted=10, age_s=150.0, arrived_total=1200.0)
    assert decide.decide(old).kept == {"m/v1": "the last reading is 150 s old"}


def test_a_pool_that_is_not_seen_is_not_spoken_of() -> None:
    assert policy().decide(Observation(0.0, {})) == Decision()


def test_little_evidence_may_let_it_grow_but_not_shrink() -> None:
    start = story([30.0, 30.0], wanted=20)
    assert last(policy(), start) == 20
    assert why(policy(), start).endswith("; evidence: 13 -> 20 (only 30 s were seen)")
    assert last(policy(), story([30.0, 30.0], wanted=5)) == 13
    assert last(policy(), story([30.0] * 30, wanted=20)) == 12


def test_nothing_shrinks_on_little_evidence_where_the_replicas_are_unknown() -> None:
    blind = [replace(o.pools["m/v1"], wanted=None, ready=None) for o in story([30.0, 30.0])]
    observations = [Observation(k * TICK_S, {"m/v1": reading}) for k, reading in enumerate(blind)]
    assert why(policy(), observations) == "only 30 s were seen, and not how many replicas are wanted"


# Its memory comes back.


@st.composite
def histories(draw: st.DrawFn) -> list[Observation]:
    """Random counts, queues and replicas; readings that are old, lost, or restarted."""
    ticks = draw(st.integers(60, 100))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    total, observations, shown = 0.0, [], (0.0, 0.0)
    for k in range(ticks):
        total = 0.0 if rng.random() < 0.02 else total + rng.poisson(30.0 * (1 + k % 20))
        if rng.random() < 0.9:
            shown = (k * TICK_S, total)
        flow: dict[str, Any] = {
            "queued": float(rng.integers(100)),
            "wait_s": all_of(2.0, shown[1]),
            "service_s": all_of(3.0, shown[1]),
        }
        age_s = k * TICK_S - shown[0]
        wanted = int(rng.integers(1, 40))
        observations.append(seen(k * TICK_S, wanted=wanted, age_s=age_s, arrived_total=shown[1], **flow))
    return observations


@settings(deadline=None, max_examples=40)
@given(histories(), st.integers(0, 30))
def test_fed_what_it_remembers_it_decides_as_if_it_had_never_stopped(history: list[Observation], tail: int) -> None:
    spec = FcfsSpec(wait_s=5.0, window_s=300.0, rate_window_s=30.0)
    cut = len(history) - tail - 1
    always = told(policy(spec), history)
    from_s = history[cut].time_s - policy(spec).memory_s
    restarted = told(policy(spec), [o for o in history if o.time_s >= from_s])
    assert restarted[-tail - 1 :] == always[-tail - 1 :]
