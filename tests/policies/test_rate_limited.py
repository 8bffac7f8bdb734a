"""Limits on how fast a pool grows and shrinks."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policies.bounded import Bounded
from policies.catalog import PolicySpec
from policies.fixed import FixedSpec
from policies.observation import Observation, PoolReading
from policies.policy import Policy
from policies.rate_limited import Rate, RateLimited, RateLimitedSpec
from policies.stabilized import Stabilized
from policies.testing import Script, seen, traits

wishes = st.lists(st.none() | st.integers(0, 40), min_size=1, max_size=40)
rates = st.builds(
    Rate,
    replicas=st.integers(0, 8),
    percent=st.none() | st.floats(1, 200),
    period_s=st.sampled_from([10.0, 35.0, 60.0]),
)


def lived(policy: Policy, times_s: list[float], start: int = 5) -> list[int]:
    """The replicas wanted after each turn in a world that does as it is told."""
    wanted, found = start, []
    for time_s in times_s:
        wanted = policy.decide(seen(time_s, wanted=wanted)).targets.get("m/v1", wanted)
        found.append(wanted)
    return found


def every(tick_s: float, turns: int) -> list[float]:
    return [k * tick_s for k in range(turns)]


def test_so_many_replicas_at_a_time() -> None:
    policy = RateLimited(Script([20] * 9), Rate(replicas=3, period_s=30), None)
    assert lived(policy, every(10.0, 9)) == [8, 8, 8, 11, 11, 11, 14, 14, 14]


def test_growth_spread_over_a_period_counts_together() -> None:
    policy = RateLimited(Script([6, 7, 20, 20, 20]), Rate(replicas=3, period_s=30), None)
    assert lived(policy, every(10.0, 5)) == [6, 7, 8, 9, 10]


def test_per_cent_of_what_there_was_and_one_at_least() -> None:
    policy = RateLimited(Script([9] * 5), Rate(percent=50, period_s=10), None)
    assert lived(policy, every(10.0, 5), start=0) == [1, 2, 3, 5, 8]


def test_ten_per_cent_of_a_hundred_are_ten() -> None:
    assert Rate(percent=10).allowance(100) == 10
    assert Rate(percent=10).allowance(101) == 11


def test_of_replicas_and_per_cent_the_more_is_allowed() -> None:
    rate = Rate(replicas=4, percent=100)
    assert [rate.allowance(n) for n in (0, 1, 4, 9)] == [4, 4, 4, 9]


def test_shrinking_has_its_own_rate() -> None:
    policy = RateLimited(Script([0, 0, 9, 0]), None, Rate(replicas=2, period_s=20))
    assert lived(policy, every(10.0, 4)) == [3, 3, 9, 7]


def test_what_was_taken_away_does_not_come_back_faster() -> None:
    policy = RateLimited(Script([9, 1, 9, 9]), Rate(replicas=4, period_s=60), None)
    assert lived(policy, every(10.0, 4)) == [9, 1, 5, 5]


def test_none_at_all() -> None:
    policy = RateLimited(Script([9, 1, 9]), Rate(replicas=0), None)
    assert lived(policy, every(10.0, 3)) == [5, 1, 1]


def test_a_jump_from_outside_is_not_undone() -> None:
    policy = RateLimited(Script([20, 20]), Rate(replicas=1), Rate(replicas=1))
    policy.decide(seen(0.0, wanted=5))
    assert policy.decide(seen(10.0, wanted=15)).targets == {"m/v1": 15}


def test_it_says_what_it_changed() -> None:
    policy = RateLimited(Script([20, 0]), Rate(replicas=3, percent=10), Rate(percent=20, period_s=300))
    assert str(policy.decide(seen(0.0, wanted=5)).reasons["m/v1"]) == (
        "wish 20: as told; rate: 20 -> 8 (at most 3 or 10 % more in 60 s, from 5)"
    )
    assert str(policy.decide(seen(0.0, wanted=5)).reasons["m/v1"]) == (
        "wish 0: as told; rate: 0 -> 4 (at most 20 % fewer in 300 s, from 5)"
    )


def test_an_unknown_number_is_left_alone() -> None:
    decision = RateLimited(Script([3]), Rate(replicas=3), None).decide(seen(0.0, wanted=None))
    assert decision.targets == {}
    assert decision.kept == {"m/v1": "how many replicas are wanted is not known; wish 3: as told"}


@given(wishes, rates, rates, st.lists(st.sampled_from([5.0, 10.0, 15.0]), min_size=40, max_size=40))
def test_in_no_period_does_a_pool_change_by_more(
    told: list[int | None], grow: Rate, shrink: Rate, gaps_s: list[float]
) -> None:
    times_s = [sum(gaps_s[:k]) for k in range(len(told))]
    found = lived(RateLimited(Script(told), grow, shrink), times_s)
    # found[i] is in force from times_s[i] to times_s[i + 1], where the next one is decided.
    for j, now in enumerate(found):
        for i in range(j):
            if times_s[i + 1] > times_s[j] - grow.period_s:
                assert now <= found[i] + grow.allowance(found[i]) or now <= found[j - 1]
            if times_s[i + 1] > times_s[j] - shrink.period_s:
                assert now >= found[i] - shrink.allowance(found[i]) or now >= found[j - 1]


@given(wishes, rates, rates)
def test_a_target_lies_between_what_there_is_and_the_wish(told: list[int | None], grow: Rate, shrink: Rate) -> None:
    policy, wanted = RateLimited(Script(told), grow, shrink), 5
    for k, wish in enumerate(told):
        after = policy.decide(seen(k * 10.0, wanted=wanted)).targets.get("m/v1", wanted)
        assert min(wanted, wanted if wish is None else wish) <= after <= max(wanted, wanted if wish is None else wish)
        wanted = after


@given(wishes, rates, rates)
def test_after_a_restart_it_decides_as_one_that_never_stopped(told: list[int | None], grow: Rate, shrink: Rate) -> None:
    times_s, half = every(10.0, len(told)), len(told) // 2
    whole = lived(RateLimited(Script(told), grow, shrink), times_s)
    before = [5, *whole]
    memory_s = RateLimited(Script([]), grow, shrink).memory_s
    first = max(0, half - int(memory_s / 10.0))
    restarted = RateLimited(Script(told[first:]), grow, shrink)
    for k in range(first, len(told)):
        decision = restarted.decide(seen(times_s[k], wanted=before[k]))
        if k >= half:
            assert decision.targets.get("m/v1", before[k]) == whole[k]


@given(wishes, rates)
def test_it_goes_with_bounds_and_stabilization(told: list[int | None], rate: Rate) -> None:
    inner = RateLimited(Stabilized(Script(told), 30.0, 0.0), rate, rate)
    policy = Bounded(inner, {"m/v1": traits(at_least=3, at_most=12)})
    assert all(3 <= n <= 12 for n in lived(policy, every(10.0, len(told))))


@given(wishes, rates)
def test_twice_the_same_limit_is_that_limit(told: list[int | None], rate: Rate) -> None:
    once, twice = (
        RateLimited(Script(told), rate, rate),
        RateLimited(RateLimited(Script(told), rate, rate), rate, rate),
    )
    times_s = every(10.0, len(told))
    assert lived(once, times_s) == lived(twice, times_s)


def test_pools_are_limited_each_on_its_own() -> None:
    inner: PolicySpec = FixedSpec(replicas={"v1": 9, "v2": 0})
    spec = RateLimitedSpec(grow=Rate(replicas=2), shrink=Rate(replicas=1), policy=inner)
    policy = spec.build({"m/v1": traits("m/v1"), "m/v2": traits("m/v2")})
    both = Observation(0.0, {"m/v1": PoolReading(wanted=1), "m/v2": PoolReading(wanted=9)})
    assert policy.decide(both).targets == {"m/v1": 3, "m/v2": 8}
    assert policy.memory_s == 60.0
    assert policy.readings.needed == {"wanted"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Rate, "needs replicas or percent, or both"),
        (lambda: RateLimitedSpec(policy=FixedSpec()), "needs grow or shrink, or both"),
    ],
)
def test_a_limit_of_nothing_given_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make()
