"""From none at once, to none only after a time without anybody."""

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policies.bounded import Bounded
from policies.catalog import PolicySpec
from policies.cold_start import ColdStart, ColdStartSpec
from policies.decision import Decision
from policies.fixed import FixedSpec
from policies.observation import Flow, Observation, PoolReading
from policies.policy import Policy
from policies.stabilized import Stabilized
from policies.testing import Script, seen, traits

POOLS = {"m/v1": traits()}

counts = st.none() | st.integers(0, 6)
turns = st.lists(
    st.tuples(
        st.none() | st.integers(0, 4),
        st.sampled_from([0, 0, 1]),
        st.sampled_from([0, 0, 0, 1, 3]),
    ),
    min_size=1,
    max_size=40,
)
"""Wish, requests that arrive before the turn, and those waiting at it."""


def wrapped(*wishes: int | None, replicas: int = 2, idle_s: float = 30.0) -> ColdStart:
    return ColdStart(Script(wishes), POOLS, replicas, idle_s)


def lived(policy: Policy, told: list[tuple[int | None, int, int]], start: int = 0) -> list[int]:
    """The replicas wanted after each turn of 10 s in a world that does as it is told, at once."""
    arrived = accumulate(n for _, n, _ in told)
    wanted, found = start, []
    for k, (total, (_, _, queued)) in enumerate(zip(arrived, told, strict=True)):
        shown = seen(k * 10.0, wanted=wanted, arrived_total=total, queued=queued, in_service=0)
        wanted = policy.decide(shown).targets.get("m/v1", wanted)
        found.append(wanted)
    return found


def test_who_waits_before_nobody_wakes_the_pool() -> None:
    decision = wrapped(0).decide(seen(0.0, wanted=0, arrived_total=0, queued=3))
    assert str(decision.reasons["m/v1"]) == ("wish 0: as told; cold start: 0 -> 2 (3 waiting before no replica)")


def test_who_arrived_and_went_again_wakes_it_as_well() -> None:
    policy = wrapped(0, 0)
    assert policy.decide(seen(0.0, wanted=0, arrived_total=7, queued=0)).targets == {"m/v1": 0}
    decision = policy.decide(seen(10.0, wanted=0, arrived_total=8, queued=0))
    assert str(decision.reasons["m/v1"]).endswith("cold start: 0 -> 2 (1 arrived at no replica)")


def test_it_wakes_a_pool_that_the_inner_policy_leaves_alone() -> None:
    decision = wrapped(None).decide(seen(0.0, wanted=0, arrived_total=0, queued=1))
    assert str(decision.reasons["m/v1"]) == "wish 2: 1 waiting before no replica"


def test_a_greater_wish_stands() -> None:
    assert wrapped(5).decide(seen(0.0, wanted=0, arrived_total=0, queued=1)).targets == {"m/v1": 5}


def test_while_none_is_ready_those_that_start_are_not_given_up() -> None:
    reading = PoolReading(wanted=2, starting=2, ready=0, age_s=0.0, total=Flow(arrived_total=1, queued=1))
    assert wrapped(0).decide(Observation(0.0, {"m/v1": reading})).targets == {"m/v1": 2}
    assert wrapped(None).decide(Observation(0.0, {"m/v1": reading})) == Decision()


def test_the_last_replica_stays_for_a_while() -> None:
    told: list[tuple[int | None, int, int]] = [(0, 0, 0), (0, 1, 0), *[(0, 0, 0)] * 5]
    assert lived(wrapped(*(wish for wish, _, _ in told)), told, start=3) == [1, 1, 1, 1, 0, 0, 0]


def test_it_says_for_how_long_nobody_came() -> None:
    policy = wrapped(0, 0)
    policy.decide(seen(0.0, wanted=3, arrived_total=5, queued=0, in_service=0))
    decision = policy.decide(seen(20.0, wanted=3, arrived_total=5, queued=0, in_service=0))
    assert str(decision.reasons["m/v1"]) == "wish 0: as told; cold start: 0 -> 1 (idle for 20 s, less than 30 s)"


def test_who_is_served_still_counts() -> None:
    policy = wrapped(*[0] * 10)
    for k in range(9):
        policy.decide(seen(k * 10.0, wanted=1, arrived_total=5, queued=0, in_service=1))
    assert policy.decide(seen(90.0, wanted=1, arrived_total=5, queued=0, in_service=0)).targets == {"m/v1": 1}


@pytest.mark.parametrize("reading", [{"age_s": None}, {"age_s": 31.0}, {"arrived_total": None}])
def test_what_is_not_known_to_be_idle_never_rests(reading: dict[str, Any]) -> None:
    policy = wrapped(*[0] * 100)
    shown = {"wanted": 1, "arrived_total": 5, "queued": 0, "in_service": 0, **reading}
    assert all(policy.decide(seen(k * 10.0, **shown)).targets == {"m/v1": 1} for k in range(100))


def test_a_counter_that_went_back_tells_of_arrivals() -> None:
    policy = wrapped(0, 0)
    policy.decide(seen(0.0, wanted=0, arrived_total=70, queued=0))
    assert policy.decide(seen(10.0, wanted=0, arrived_total=2, queued=0)).targets == {"m/v1": 2}


def test_an_unknown_number_is_left_alone() -> None:
    decision = wrapped(0).decide(seen(0.0, wanted=None, queued=3))
    assert decision.targets == {}
    assert decision.kept == {"m/v1": "how many replicas are wanted is not known; wish 0: as told"}


@given(turns, st.integers(0, 4))
def test_nobody_waits_before_none_and_none_comes_only_after_a_rest(
    told: list[tuple[int | None, int, int]], start: int
) -> None:
    found = lived(wrapped(*(wish for wish, _, _ in told)), told, start)
    before = [start, *found]
    busy = [k == 0 or arrived > 0 or queued > 0 for k, (_, arrived, queued) in enumerate(told)]
    for k, (wish, _, queued) in enumerate(told):
        if queued and before[k] == 0:
            assert found[k] >= 2
        if found[k] == 0 and before[k] > 0:
            assert wish == 0
            assert not any(busy[max(0, k - 2) : k + 1])


@given(st.lists(st.tuples(counts, counts, counts, counts, st.none() | st.floats(0, 90)), min_size=1, max_size=30))
def test_whatever_is_seen_no_target_is_below_the_wish(
    told: list[tuple[int | None, int | None, int | None, int | None, float | None]],
) -> None:
    policy = wrapped(*(wish for wish, *_ in told))
    for k, (wish, wanted, ready, queued, age_s) in enumerate(told):
        flow = Flow(queued=queued, arrived_total=k)
        reading = PoolReading(wanted=wanted, ready=ready, age_s=age_s, total=flow)
        target = policy.decide(Observation(k * 10.0, {"m/v1": reading})).targets.get("m/v1")
        if wanted is None:
            assert target is None
        elif wish is not None:
            assert target in {wish, max(wish, 2), min(wanted, 1)}
            assert target >= wish


@given(turns)
def test_after_a_restart_it_decides_as_one_that_never_stopped(told: list[tuple[int | None, int, int]]) -> None:
    whole, half = lived(wrapped(*(wish for wish, _, _ in told)), told), len(told) // 2
    before = [0, *whole]
    arrived = list(accumulate(n for _, n, _ in told))
    first = max(0, half - int(wrapped().memory_s / 10.0))
    restarted = wrapped(*(wish for wish, _, _ in told[first:]))
    for k in range(first, len(told)):
        shown = seen(k * 10.0, wanted=before[k], arrived_total=arrived[k], queued=told[k][2], in_service=0)
        decision = restarted.decide(shown)
        if k >= half:
            assert decision.targets.get("m/v1", before[k]) == whole[k]


@given(turns)
def test_twice_is_once(told: list[tuple[int | None, int, int]]) -> None:
    wishes = [wish for wish, _, _ in told]
    assert lived(wrapped(*wishes), told) == lived(ColdStart(wrapped(*wishes), POOLS, 2, 30.0), told)


@given(turns)
def test_it_goes_with_bounds_and_stabilization(told: list[tuple[int | None, int, int]]) -> None:
    inner = ColdStart(Stabilized(Script([wish for wish, _, _ in told]), 30.0, 0.0), POOLS, 2, 30.0)
    found = lived(Bounded(inner, {"m/v1": traits(at_least=0, at_most=3)}), told)
    assert all(0 <= n <= 3 for n in found)
    assert all(
        n >= 2 for n, before, (_, _, queued) in zip(found, [0, *found], told, strict=False) if queued and not before
    )


def test_a_pool_that_is_not_seen_is_not_named() -> None:
    assert wrapped(None).decide(Observation(0.0, {})) == Decision()


def test_a_file_says_how_many_and_how_long() -> None:
    inner: PolicySpec = FixedSpec(replicas={"v1": 0})
    policy = ColdStartSpec(policy=inner).build(POOLS)
    assert (policy.replicas, policy.idle_s, policy.memory_s) == (1, 300.0, 600.0)
    assert policy.readings.needed == {"wanted", "arrived_total"}


def test_to_wake_nobody_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        ColdStartSpec(replicas=0, policy=FixedSpec())
