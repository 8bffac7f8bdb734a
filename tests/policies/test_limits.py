"""Policies around a policy: bounds and stabilisation."""

from hypothesis import given
from hypothesis import strategies as st

from policies.bounded import Bounded
from policies.decision import Limit
from policies.policy import Policy
from policies.stabilized import Stabilized
from policies.testing import Script, seen, traits

wishes = st.lists(st.integers(0, 20), min_size=1, max_size=40)


def targets(policy: Policy, turns: int, tick_s: float = 10.0, start: int = 5) -> list[int]:
    """The targets of as many turns in a world that does as it is told."""
    wanted = start
    found = []
    for k in range(turns):
        wanted = policy.decide(seen(k * tick_s, wanted=wanted)).targets.get("m/v1", wanted)
        found.append(wanted)
    return found


def test_bounds_say_what_they_changed() -> None:
    policy = Bounded(Script([1, 9]), {"m/v1": traits(at_least=2, at_most=5)})
    low, high = (policy.decide(seen(0.0)).reasons["m/v1"] for _ in range(2))
    assert low.limits == (Limit("bounds", 1, 2, "at least 2"),)
    assert high.limits == (Limit("bounds", 9, 5, "at most 5"),)
    assert str(high) == "wish 9: as told; bounds: 9 -> 5 (at most 5)"


@given(wishes, st.integers(0, 10), st.integers(0, 10))
def test_no_target_ever_leaves_its_bounds(wanted: list[int], at_least: int, more: int) -> None:
    policy = Bounded(Script(wanted), {"m/v1": traits(at_least=at_least, at_most=at_least + more)})
    assert all(at_least <= t <= at_least + more for t in targets(policy, len(wanted), start=at_least))


def test_shrinking_waits_for_the_window_growing_does_not() -> None:
    policy = Stabilized(Script([5, 9, 3, 3, 3, 3, 3]), shrink_s=30.0, grow_s=0.0)
    assert targets(policy, 7) == [5, 9, 9, 9, 9, 3, 3]


def test_growing_waits_too_where_it_is_told_to() -> None:
    policy = Stabilized(Script([5, 9, 9, 9, 9]), shrink_s=0.0, grow_s=20.0)
    assert targets(policy, 5) == [5, 5, 5, 9, 9]


def test_a_held_wish_says_who_held_it() -> None:
    policy = Stabilized(Script([9, 3]), shrink_s=30.0, grow_s=0.0)
    policy.decide(seen(0.0, wanted=9))
    assert str(policy.decide(seen(10.0, wanted=9)).reasons["m/v1"]) == (
        "wish 3: as told; stabilization: 3 -> 9 (held by the wishes of the last 30 s)"
    )


def test_an_unknown_number_of_replicas_is_not_shrunk() -> None:
    policy = Stabilized(Script([9, 3]), shrink_s=30.0, grow_s=0.0)
    policy.decide(seen(0.0, wanted=None))
    assert policy.decide(seen(10.0, wanted=None)).targets == {"m/v1": 9}


@given(wishes)
def test_a_stabilized_pool_never_shrinks_below_a_recent_wish(wanted: list[int]) -> None:
    got = targets(Stabilized(Script(wanted), shrink_s=50.0, grow_s=0.0), len(wanted), start=wanted[0])
    for k in range(1, len(wanted)):
        if got[k] < got[k - 1]:
            assert got[k] >= max(wanted[max(0, k - 5) : k + 1])


@given(wishes)
def test_after_a_restart_it_decides_as_one_that_never_stopped(wanted: list[int]) -> None:
    whole = targets(Stabilized(Script(wanted), 50.0, 0.0), len(wanted))
    half = len(wanted) // 2
    restarted = Stabilized(Script(wanted[max(0, half - 6) :]), 50.0, 0.0)
    for k in range(max(0, half - 6), half):
        restarted.decide(seen(k * 10.0, wanted=whole[k - 1] if k else 5))
    wanted_now = whole[half - 1] if half else 5
    for k in range(half, len(wanted)):
        wanted_now = restarted.decide(seen(k * 10.0, wanted=wanted_now)).targets["m/v1"]
        assert wanted_now == whole[k]
