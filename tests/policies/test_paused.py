"""Pools that are left alone for a time."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policies.bounded import Bounded
from policies.catalog import PolicySpec
from policies.decision import Decision
from policies.fixed import FixedSpec
from policies.observation import Observation, PoolReading
from policies.paused import Paused, PausedSpec
from policies.policy import Policy
from policies.stabilized import Stabilized
from policies.testing import Script, seen, traits

POOLS = {"m/v1": traits("m/v1"), "m/v2": traits("m/v2")}
INNER: PolicySpec = FixedSpec(replicas={"v1": 3, "v2": 5})
BOTH = {"m/v1": PoolReading(wanted=1), "m/v2": PoolReading(wanted=2)}

wishes = st.lists(st.none() | st.integers(0, 20), min_size=1, max_size=30)
moments = st.none() | st.integers(0, 300)


def paused(**fields: Any) -> Policy:
    return PausedSpec(policy=INNER, **fields).build(POOLS)


def targets(policy: Policy, time_s: float) -> dict[str, int]:
    return policy.decide(Observation(time_s, BOTH)).targets


def test_everything_rests_where_nothing_else_is_said() -> None:
    decision = paused().decide(Observation(0.0, BOTH))
    assert decision.targets == {}
    assert decision.kept == {"m/v1": "paused; wish 3: fixed", "m/v2": "paused; wish 5: fixed"}


def test_only_pools_that_are_named_rest() -> None:
    assert targets(paused(pools=("v2",)), 0.0) == {"m/v1": 3}


def test_a_pause_begins_and_ends() -> None:
    policy = paused(pools=("v1",), since=60, until=120)
    assert [targets(policy, t).get("m/v1") for t in (0.0, 59.9, 60.0, 119.9, 120.0)] == [3, 3, None, None, 3]


def test_it_says_until_when() -> None:
    assert paused(until=90).decide(Observation(0.0, BOTH)).kept["m/v1"] == "paused until 90 s; wish 3: fixed"


def test_a_pause_by_the_calendar() -> None:
    policy = paused(until="2026-11-24T06:00:00+01:00", starts="2026-11-24T00:00:00+01:00")
    assert policy.decide(Observation(0.0, BOTH)).kept["m/v1"] == "paused until 2026-11-24T06:00:00+01:00; wish 3: fixed"
    assert [len(targets(policy, hour * 3600.0)) for hour in (0, 5.9, 6)] == [0, 0, 2]


def test_what_the_inner_policy_could_not_tell_is_still_told() -> None:
    class Silent(Script):
        def decide(self, _observation: Observation, /) -> Decision:
            return Decision(kept={"m/v1": "nothing was read yet"})

    decision = Paused(Silent([]), ("m/v1",), None, None).decide(seen(0.0))
    assert decision.kept == {"m/v1": "paused; nothing was read yet"}


@given(wishes, moments, moments)
def test_while_paused_no_target_and_else_the_inner_ones(
    told: list[int | None], since: int | None, until: int | None
) -> None:
    policy, inner = Paused(Script(told), ("m/v1",), since, until), Script(told)
    for k in range(len(told)):
        outer, plain = policy.decide(seen(k * 10.0)), inner.decide(seen(k * 10.0))
        rests = (since is None or k * 10 >= since) and (until is None or k * 10 < until)
        assert outer.targets == ({} if rests else plain.targets)


@given(wishes)
def test_after_the_pause_it_is_as_if_there_had_been_none(told: list[int | None]) -> None:
    """The window of the inner policy went on."""
    half = len(told) // 2
    rested = Paused(Stabilized(Script(told), 50.0, 0.0), ("m/v1",), None, half * 10.0)
    never = Stabilized(Script(told), 50.0, 0.0)
    for k in range(len(told)):
        outer, plain = rested.decide(seen(k * 10.0, wanted=4)), never.decide(seen(k * 10.0, wanted=4))
        assert k < half or outer == plain


def test_bounds_leave_a_paused_pool_alone() -> None:
    assert targets(Bounded(paused(), {name: traits(name, at_least=2) for name in POOLS}), 0.0) == {}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"since": 60, "until": 60}, "since 60 s must come before until 60 s"),
        ({"since": "2026-11-24T00:00Z", "until": "2026-11-24T00:30+01:00"}, "must come before"),
        ({"until": "tomorrow"}, "'tomorrow' is not a date and time with its offset"),
        ({"until": "2026-11-24T06:00:00"}, "has no offset from UTC"),
        ({"pools": ()}, "at least 1 item"),
    ],
)
def test_a_pause_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PausedSpec(policy=INNER, **fields)


def test_it_reads_and_remembers_what_the_inner_policy_does() -> None:
    policy = Paused(Script([], memory_s=70.0), (), None, None)
    assert policy.memory_s == 70.0
    assert policy.readings == Script([]).readings
