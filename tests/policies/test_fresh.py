"""No shrinking on data that is missing or old."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policies.bounded import Bounded
from policies.catalog import PolicySpec
from policies.fixed import FixedSpec
from policies.fresh import Fresh, FreshSpec
from policies.observation import Flow, Observation, PoolReading
from policies.stabilized import Stabilized
from policies.target import TargetSpec
from policies.testing import Script, seen, traits

counts = st.none() | st.integers(0, 20)
readings = st.builds(
    PoolReading,
    wanted=counts,
    ready=counts,
    age_s=st.none() | st.floats(0, 200),
    total=st.builds(Flow, queued=st.none() | st.floats(0, 50)),
)
steps = st.lists(st.tuples(counts, readings), min_size=1, max_size=20)


def shrunk(needed: tuple[str, ...] = (), **reading: Any) -> str:
    """What a policy says that would shrink a pool from 5 to 3, on such a reading."""
    policy = Fresh(Script([3]), 60.0, needed)
    return str(policy.decide(seen(1000.0, **{"wanted": 5, **reading})).reasons["m/v1"])


def test_a_fresh_reading_may_shrink_a_pool() -> None:
    assert shrunk(age_s=60.0) == "wish 3: as told"


def test_an_old_one_may_not() -> None:
    assert shrunk(age_s=61.0) == "wish 3: as told; fresh: 3 -> 5 (the reading is 61 s old)"


def test_where_nothing_was_read_nothing_shrinks() -> None:
    assert shrunk(age_s=None) == "wish 3: as told; fresh: 3 -> 5 (nothing was read yet)"


def test_where_something_needed_is_missing_nothing_shrinks() -> None:
    assert shrunk(("queued", "ready", "wait_s"), queued=0.0) == "wish 3: as told; fresh: 3 -> 5 (wait_s not read)"
    assert shrunk(("queued", "ready"), queued=0.0) == "wish 3: as told"


def test_growth_passes() -> None:
    policy = Fresh(Script([9]), 60.0, ("queued",))
    assert policy.decide(seen(0.0, wanted=5, age_s=None)).targets == {"m/v1": 9}


def test_an_unknown_number_is_left_alone() -> None:
    decision = Fresh(Script([9]), 60.0).decide(seen(0.0, wanted=None))
    assert decision.kept == {"m/v1": "how many replicas are wanted is not known; wish 9: as told"}
    assert decision.targets == {}


@given(steps)
def test_what_shrinks_rests_on_a_fresh_and_whole_reading(told: list[tuple[int | None, PoolReading]]) -> None:
    policy = Fresh(Script([wish for wish, _ in told]), 60.0, ("queued",))
    for k, (wish, reading) in enumerate(told):
        target = policy.decide(Observation(k * 10.0, {"m/v1": reading})).targets.get("m/v1")
        if wish is None or reading.wanted is None:
            assert target is None
        elif reading.age_s is None or reading.age_s > 60.0 or reading.total.queued is None:
            assert target == max(wish, reading.wanted)
        else:
            assert target == wish


@given(steps)
def test_fresh_twice_is_fresh(told: list[tuple[int | None, PoolReading]]) -> None:
    wishes = [wish for wish, _ in told]
    once = Fresh(Script(wishes), 60.0, ("queued",))
    inner = Fresh(Script(wishes), 60.0, ("queued",))
    twice = Fresh(inner, 60.0, tuple(sorted(inner.readings.needed)))
    for k, (_, reading) in enumerate(told):
        seen_now = Observation(k * 10.0, {"m/v1": reading})
        assert once.decide(seen_now) == twice.decide(seen_now)
    assert once.readings == twice.readings


@given(steps)
def test_it_goes_with_bounds_and_stabilization(told: list[tuple[int | None, PoolReading]]) -> None:
    inner = Fresh(Stabilized(Script([wish for wish, _ in told]), 30.0, 0.0), 60.0)
    policy = Bounded(inner, {"m/v1": traits(at_least=0, at_most=25)})
    for k, (_, reading) in enumerate(told):
        target = policy.decide(Observation(k * 10.0, {"m/v1": reading})).targets.get("m/v1")
        if target is not None and (reading.age_s is None or reading.age_s > 60.0):
            assert reading.wanted is not None
            assert target >= reading.wanted


def test_it_needs_what_the_inner_policy_cannot_do_without() -> None:
    inner: PolicySpec = TargetSpec()
    policy = FreshSpec(policy=inner).build({"m/v1": traits()})
    assert policy.needed == ("busy_s_total",)
    assert policy.readings.needed == {"busy_s_total", "wanted"}
    assert policy.readings.assumed == {"ready": "as many replicas ready as are wanted"}
    assert policy.memory_s == 120.0
    assert FreshSpec(policy=inner, needed=()).build({"m/v1": traits()}).needed == ()


def test_pools_are_looked_at_each_on_its_own() -> None:
    inner: PolicySpec = FixedSpec(replicas={"v1": 1, "v2": 1})
    policy = FreshSpec(policy=inner).build({"m/v1": traits("m/v1"), "m/v2": traits("m/v2")})
    old = seen(0.0, "m/v1", 4, 500.0).pools["m/v1"]
    assert policy.decide(Observation(0.0, {"m/v1": old, "m/v2": replace(old, age_s=1.0)})).targets == {
        "m/v1": 4,
        "m/v2": 1,
    }


def test_what_is_no_reading_is_refused() -> None:
    with pytest.raises(
        ValidationError, match="'queue' is no reading; readings are draining, ready, replicas, starting"
    ):
        FreshSpec(policy=FixedSpec(), needed=("queue",))
