"""Slots for a load: laws that hold whatever is measured."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.sizing import Load, Target, one_target

TARGETS = [Target(wait_s=0.0), Target(wait_s=2.0), Target(wait_s=1.0, quantile=0.5), Target(mean_response_s=1.5)]
scvs = st.just(0.0) | st.floats(0.001, 1.0) | st.floats(1.0, 50.0)
loads = st.builds(Load, rate_per_s=st.floats(0.1, 200.0), service_s=st.just(1.0), service_scv=scvs, arrival_scv=scvs)


@settings(deadline=None, max_examples=150)
@given(loads, st.sampled_from(TARGETS), scvs)
def test_services_that_vary_more_never_want_fewer_slots(load: Load, target: Target, other: float) -> None:
    steady, wild = sorted((load.service_scv, other))
    one, two = (
        Load(rate_per_s=load.rate_per_s, service_s=1.0, service_scv=scv, arrival_scv=load.arrival_scv)
        for scv in (steady, wild)
    )
    assert target.slots(one) <= target.slots(two)


@settings(deadline=None, max_examples=150)
@given(loads, st.sampled_from([*TARGETS, Target(response_s=6.0)]), scvs)
def test_arrivals_that_vary_more_never_want_fewer_slots(load: Load, target: Target, other: float) -> None:
    steady, wild = sorted((load.arrival_scv, other))
    one, two = (
        Load(rate_per_s=load.rate_per_s, service_s=1.0, service_scv=load.service_scv, arrival_scv=scv)
        for scv in (steady, wild)
    )
    assert target.slots(one) <= target.slots(two)


@settings(deadline=None, max_examples=150)
@given(loads, st.sampled_from([*TARGETS, Target(response_s=20.0)]))
def test_a_load_rounded_up_is_hardly_more_and_never_wants_fewer_slots(load: Load, target: Target) -> None:
    rounded = load.rounded_up()
    assert load.offered * (1 - 1e-9) <= rounded.offered <= load.offered + min(load.offered, load.offered**0.5) / 30
    assert rounded.rounded_up().offered == pytest.approx(rounded.offered)
    assert target.slots(load) <= target.slots(rounded)
    assert target.slots_alike(load) == target.slots(load)


@settings(deadline=None, max_examples=60)
@given(loads, st.sampled_from([*TARGETS, Target(response_s=6.0)]))
def test_slots_and_the_rate_that_they_bear_are_inverse(load: Load, target: Target) -> None:
    slots = target.slots(load)
    assert target.met_by(load, slots)
    assert not target.met_by(load, slots - 1)
    borne = target.rate_per_s(slots, load.service_s, load.service_scv, load.arrival_scv)
    fewer = target.rate_per_s(slots - 1, load.service_s, load.service_scv, load.arrival_scv)
    assert fewer * (1 - 1e-5) <= load.rate_per_s <= borne * (1 + 1e-5)


def test_bursts_of_constant_services_keep_together() -> None:
    # At 100 erlangs the bursts of constant services need more than those of exponential ones; so both get that.
    constant, exponential = (
        Load(rate_per_s=100.0, service_s=1.0, service_scv=scv, arrival_scv=20.0) for scv in (0.0, 1.0)
    )
    assert Target(wait_s=0.5).slots(constant) == Target(wait_s=0.5).slots(exponential)


def test_one_target_is_needed() -> None:
    with pytest.raises(ValueError, match="found wait_s and response_s"):
        one_target(Target(wait_s=1.0, response_s=2.0))
