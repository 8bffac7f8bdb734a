"""No change for a while after a change."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from policies.bounded import Bounded
from policies.catalog import PolicySpec
from policies.cooldown import Cooldown, CooldownSpec
from policies.fixed import FixedSpec
from policies.policy import Policy
from policies.stabilized import Stabilized
from policies.testing import Script, seen, traits

wishes = st.lists(st.none() | st.integers(0, 20), min_size=1, max_size=40)
rests_s = st.sampled_from([0.0, 10.0, 25.0, 60.0])


def lived(policy: Policy, turns: int, tick_s: float = 10.0, start: int = 5) -> list[int]:
    """The replicas wanted after each turn in a world that does as it is told."""
    wanted, found = start, []
    for k in range(turns):
        wanted = policy.decide(seen(k * tick_s, wanted=wanted)).targets.get("m/v1", wanted)
        found.append(wanted)
    return found


def test_shrinking_rests_after_any_change() -> None:
    policy = Cooldown(Script([9, 3, 3, 3, 2, 2, 2]), shrink_s=30.0, grow_s=0.0)
    assert lived(policy, 7) == [9, 9, 9, 3, 3, 3, 2]


def test_growth_may_be_exempt_or_rest_as_well() -> None:
    assert lived(Cooldown(Script([6, 7, 8, 9]), 30.0, 0.0), 4) == [6, 7, 8, 9]
    assert lived(Cooldown(Script([6, 7, 8, 9]), 30.0, 20.0), 4) == [6, 6, 8, 8]


def test_a_change_by_somebody_else_counts() -> None:
    policy = Cooldown(Script([5, 3, 3, 3]), shrink_s=20.0, grow_s=0.0)
    policy.decide(seen(0.0, wanted=5))
    assert policy.decide(seen(10.0, wanted=8)).targets == {"m/v1": 8}
    assert policy.decide(seen(20.0, wanted=8)).targets == {"m/v1": 3}


def test_it_says_how_long_ago_the_change_was() -> None:
    policy = Cooldown(Script([9, 3, 3]), shrink_s=30.0, grow_s=0.0)
    policy.decide(seen(0.0, wanted=5))
    assert str(policy.decide(seen(10.0, wanted=9)).reasons["m/v1"]) == (
        "wish 3: as told; cooldown: 3 -> 9 (changed 10 s ago, less than 30 s)"
    )


def test_an_unknown_number_is_left_alone() -> None:
    decision = Cooldown(Script([3]), 30.0, 0.0).decide(seen(0.0, wanted=None))
    assert decision.targets == {}
    assert decision.kept == {"m/v1": "how many replicas are wanted is not known; wish 3: as told"}


@given(wishes, rests_s, rests_s)
def test_between_two_changes_there_is_a_rest(told: list[int | None], shrink_s: float, grow_s: float) -> None:
    found = [5, *lived(Cooldown(Script(told), shrink_s, grow_s), len(told))]
    changes = [(k * 10.0, after - before) for k, (before, after) in enumerate(pairwise(found)) if after != before]
    for (earlier_s, _), (later_s, by) in pairwise(changes):
        assert later_s - earlier_s >= (grow_s if by > 0 else shrink_s)


@given(wishes, rests_s, rests_s)
def test_after_a_restart_it_decides_as_one_that_never_stopped(
    told: list[int | None], shrink_s: float, grow_s: float
) -> None:
    whole, half = lived(Cooldown(Script(told), shrink_s, grow_s), len(told)), len(told) // 2
    before = [5, *whole]
    first = max(0, half - int(Cooldown(Script([]), shrink_s, grow_s).memory_s / 10.0))
    restarted = Cooldown(Script(told[first:]), shrink_s, grow_s)
    for k in range(first, len(told)):
        decision = restarted.decide(seen(k * 10.0, wanted=before[k]))
        if k >= half:
            assert decision.targets.get("m/v1", before[k]) == whole[k]


@given(wishes, rests_s, rests_s)
def test_twice_the_same_rest_is_that_rest(told: list[int | None], shrink_s: float, grow_s: float) -> None:
    once = Cooldown(Script(told), shrink_s, grow_s)
    twice = Cooldown(Cooldown(Script(told), shrink_s, grow_s), shrink_s, grow_s)
    assert lived(once, len(told)) == lived(twice, len(told))


@given(wishes, rests_s)
def test_it_goes_with_bounds_and_stabilization(told: list[int | None], rest_s: float) -> None:
    policy = Bounded(
        Cooldown(Stabilized(Script(told), 30.0, 0.0), rest_s, 0.0), {"m/v1": traits(at_least=3, at_most=9)}
    )
    assert all(3 <= n <= 9 for n in lived(policy, len(told)))


def test_a_file_says_how_long() -> None:
    inner: PolicySpec = FixedSpec(replicas={"v1": 3})
    policy = CooldownSpec(grow_s=400, policy=inner).build({"m/v1": traits()})
    assert (policy.shrink_s, policy.grow_s, policy.memory_s) == (300.0, 400.0, 400.0)
    assert policy.readings.needed == {"wanted"}
