"""The greatest wish of several policies."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policies.bounded import Bounded
from policies.catalog import PolicySpec
from policies.decision import Decision, Reason
from policies.fixed import FixedSpec
from policies.maximum import Maximum, MaximumSpec
from policies.observation import Observation
from policies.policy import Readings
from policies.stabilized import Stabilized
from policies.target import TargetSpec
from policies.testing import Script, seen, traits


@dataclass(frozen=True)
class Says:
    """A policy that says the same each time; a word is why it keeps the pool, None that it does not know it."""

    what: int | str | None
    readings: Readings = Readings()
    memory_s: float = 0.0

    def decide(self, _: Observation, /) -> Decision:
        if self.what is None:
            return Decision()
        return Decision.of({"m/v1": Reason(self.what, "as told") if isinstance(self.what, int) else self.what})


def decided(*said: int | str | None, wanted: int | None = 5) -> Decision:
    return Maximum(tuple(Says(what) for what in said)).decide(seen(0.0, wanted=wanted))


said = st.lists(st.none() | st.integers(0, 20) | st.sampled_from(["no data", "too old"]), min_size=1, max_size=5)


def test_the_most_demanding_one_has_its_way() -> None:
    decision = decided(3, 9, 7)
    assert decision.targets == {"m/v1": 9}
    assert decision.reasons["m/v1"].because == "greatest of 3, 9, 7: as told"


def test_while_one_is_silent_the_others_may_grow_a_pool() -> None:
    assert decided(9, "no data").targets == {"m/v1": 9}


def test_while_one_is_silent_nobody_shrinks_a_pool() -> None:
    decision = decided(3, "no data")
    assert str(decision.reasons["m/v1"]) == "wish 3: as told; silence: 3 -> 5 (no data)"


def test_who_does_not_know_a_pool_has_no_say_in_it() -> None:
    assert decided(3, None).targets == {"m/v1": 3}


def test_where_all_are_silent_a_pool_keeps_what_it_has() -> None:
    assert decided("no data", "too old").kept == {"m/v1": "no data; too old"}
    assert decided(None, None) == Decision()


def test_an_unknown_number_is_left_alone_while_one_is_silent() -> None:
    decision = decided(9, "no data", wanted=None)
    assert decision.targets == {}
    assert decision.kept == {"m/v1": "no data; how many replicas are wanted is not known; wish 9: as told"}
    assert decided(9, 3, wanted=None).targets == {"m/v1": 9}


@given(said, st.none() | st.integers(0, 20))
def test_no_target_is_less_than_any_wish_and_silence_never_shrinks(
    told: list[int | str | None], wanted: int | None
) -> None:
    targets = decided(*told, wanted=wanted).targets
    counts = [what for what in told if isinstance(what, int)]
    silent = any(isinstance(what, str) for what in told)
    if not counts or (silent and wanted is None):
        assert targets == {}
    else:
        assert targets == {"m/v1": max(*counts, wanted or 0, 0) if silent else max(counts)}


@given(said, st.integers(0, 20), st.randoms(use_true_random=False))
def test_the_order_does_not_matter(told: list[int | str | None], wanted: int, random: Any) -> None:
    shuffled = random.sample(told, len(told))
    assert decided(*told, wanted=wanted).targets == decided(*shuffled, wanted=wanted).targets


@given(st.integers(0, 20), st.integers(0, 20))
def test_of_one_policy_twice_it_is_that_policy(count: int, wanted: int) -> None:
    assert decided(count, count, wanted=wanted).targets == decided(count, wanted=wanted).targets


@given(st.lists(st.integers(0, 20), min_size=1, max_size=20), st.lists(st.integers(0, 20), min_size=1, max_size=20))
def test_it_goes_with_bounds_and_stabilization(one: list[int], other: list[int]) -> None:
    inner = Maximum((Stabilized(Script(one), 30.0, 0.0), Script(other)))
    policy, wanted = Bounded(inner, {"m/v1": traits(at_least=3, at_most=9)}), 5
    for k in range(20):
        wanted = policy.decide(seen(k * 10.0, wanted=wanted)).targets.get("m/v1", wanted)
        assert 3 <= wanted <= 9


def test_each_is_shown_everything_all_the_time() -> None:
    policy = Maximum((Script([1, 2, 3]), Script([3, 1, 1])))
    assert [policy.decide(seen(0.0)).targets["m/v1"] for _ in range(3)] == [3, 2, 3]


def test_it_reads_what_each_reads_and_looks_back_as_far_as_any() -> None:
    one = Says(1, Readings(frozenset({"queued"}), {"wait_s": "no wait", "ready": "all"}), 30.0)
    other = Says(2, Readings(frozenset({"wait_s"}), {"queued": "nobody", "ready": "none"}), 90.0)
    policy = Maximum((one, other))
    assert policy.readings == Readings(frozenset({"queued", "wait_s"}), {"ready": "all"})
    assert policy.memory_s == 90.0


def test_a_floor_by_the_clock_under_a_rule() -> None:
    inner: tuple[PolicySpec, ...] = (FixedSpec(replicas={"v1": 4}), TargetSpec())
    policy = MaximumSpec(policies=inner).build({"m/v1": traits()})
    assert policy.decide(seen(0.0, wanted=2)).targets == {"m/v1": 4}
    assert policy.decide(seen(10.0, wanted=9)).targets == {"m/v1": 9}


def test_of_one_policy_alone_there_is_no_maximum() -> None:
    with pytest.raises(ValidationError, match="at least 2 items"):
        MaximumSpec(policies=(FixedSpec(),))
