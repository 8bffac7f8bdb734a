"""A target for each request class: what is wished for, and who loses when replicas are short."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from policies.class_sizing import Claim, slots_by_priority, slots_by_weight
from policies.decision import Decision
from policies.histogram import Histogram
from policies.mcq import ClassTarget, Mcq, McqSpec, by_priority, by_weight, stepped
from policies.observation import Flow, Observation, PoolReading
from policies.pool import PoolTraits
from policies.queues import PriorityClass, servers_for_priorities, servers_for_wait
from policies.rationing import rationed
from policies.sizing import SCV_STEP, rounded_up
from policies.testing import traits

TICK_S = 15.0
POOL = traits(service_s=5.0, service_scv=1.0, startup_s=90.0, startup_p95_s=120.0)
GOLD, BATCH = ClassTarget(wait_s=1.0), ClassTarget(wait_s=60.0, quantile=0.9, priority=1)
SPEC = McqSpec(classes={"gold": GOLD, "batch": BATCH})

Counts = Mapping[str, float]


def story(each: Counts, ticks: int = 41, wanted: int = 20, shown: bool = True, **pool: Any) -> list[Observation]:
    """A reading every 15 s, with so many arrivals of each class since the one before."""
    observations = []
    for k in range(ticks):
        classes = {name: Flow(arrived_total=k * n) for name, n in each.items()} if shown else {}
        total = Flow(arrived_total=k * sum(each.values()))
        known = {"wanted": wanted, "starting": 0, "ready": wanted, "age_s": 0.0, **pool}
        observations.append(Observation(k * TICK_S, {"m/v1": PoolReading(**known, total=total, classes=classes)}))
    return observations


def last(policy: Mcq, observations: list[Observation]) -> Decision:
    return [policy.decide(observation) for observation in observations][-1]


def target(each: Counts, spec: McqSpec = SPEC, pool: PoolTraits = POOL, **seen: Any) -> int:
    return last(spec.build({pool.name: pool}), story(each, **seen)).targets[pool.name]


# What is wished for.


def test_the_wish_is_what_theory_needs_for_all_targets() -> None:
    load = [PriorityClass(1.0, 5.0), PriorityClass(2.0, 5.0)]
    needed = servers_for_priorities(load, [1.0, 60.0], [0.95, 0.9], arrival_scv=0.0)
    assert needed <= target({"gold": 15, "batch": 30}) <= needed + 1


def test_what_gold_gets_by_priority_would_cost_more_in_one_queue() -> None:
    assert target({"gold": 15, "batch": 135}) < servers_for_wait(10.0, 5.0, 1.0, 0.95, arrival_scv=0.0)


def test_a_class_without_a_target_comes_last_and_is_served_in_the_end() -> None:
    named = target({"gold": 15})
    assert target({"gold": 15, "other": 60}) >= 5 * 5 + 1 > named


def test_where_classes_are_not_shown_all_have_the_strictest_target() -> None:
    decision = last(SPEC.build({"m/v1": POOL}), story({"gold": 15, "batch": 135}, shown=False))
    assert decision.targets["m/v1"] >= servers_for_wait(10.0, 5.0, 1.0, 0.95, arrival_scv=0.0)
    assert "all, as classes are not shown" in str(decision.reasons["m/v1"])


def test_a_class_with_services_of_its_own_is_sized_by_them() -> None:
    def slow(observation: Observation) -> Observation:
        reading = observation.pools["m/v1"]
        gold = reading.classes["gold"]
        n = gold.arrived_total or 0.0
        longer = replace(gold, service_s=Histogram((5.0, 10.0, 20.0), (0.0, n, n, n), 9.0 * n))
        changed = replace(reading, classes={**reading.classes, "gold": longer})
        return Observation(observation.time_s, {"m/v1": changed})

    each = {"gold": 15.0, "batch": 15.0}
    policy = SPEC.build({"m/v1": POOL})
    assert last(policy, [slow(o) for o in story(each)]).targets["m/v1"] >= target(each) + 3


def test_nothing_arrives_so_nothing_is_needed() -> None:
    assert target({"gold": 0, "batch": 0}) == 0


def test_nothing_is_wished_from_old_readings() -> None:
    policy = SPEC.build({"m/v1": POOL})
    last(policy, story({"gold": 15}))
    old = Observation(900.0, {"m/v1": PoolReading(wanted=20, ready=20, age_s=200.0, total=Flow(arrived_total=600.0))})
    assert policy.decide(old).kept == {"m/v1": "the last reading is 200 s old"}


def test_little_evidence_does_not_shrink() -> None:
    assert target({"gold": 15, "batch": 15}, ticks=3, wanted=40) == 40


loads = st.floats(0.1, 30.0)


@st.composite
def claims(draw: st.DrawFn) -> list[Claim]:
    return [
        Claim(
            name=f"c{k}",
            load=PriorityClass(draw(loads), draw(st.floats(0.2, 3.0)), draw(st.sampled_from([0.0, 1.0, 3.0]))),
            wait_s=draw(st.none() | st.floats(0.01, 20.0)),
            quantile=draw(st.sampled_from([0.5, 0.9, 0.99])),
            priority=draw(st.integers(0, 2)),
            weight=draw(st.sampled_from([1.0, 2.0, 5.0])),
        )
        for k in range(draw(st.integers(1, 4)))
    ]


@settings(deadline=None, max_examples=40)
@given(claims())
@example(
    [
        Claim(name="first", load=PriorityClass(1.0, 1.0, 0.0), wait_s=1.5, quantile=0.9, priority=0),
        Claim(name="then", load=PriorityClass(0.5, 1.0, 0.0), priority=1),
        Claim(name="last", load=PriorityClass(1.0, 1.0, 1.0), priority=2),
    ]
)
def test_more_classes_never_need_fewer(all_claims: list[Claim]) -> None:
    needs = [slots_by_priority(all_claims, level) for level in range(3)]
    assert needs == sorted(needs)


@settings(deadline=None, max_examples=40)
@given(claims(), st.floats(1.0, 3.0), st.sampled_from([slots_by_weight, lambda c: slots_by_priority(c, 2)]))
def test_more_load_never_needs_fewer_slots(few: list[Claim], times: float, slots: Any) -> None:
    many = [replace(c, load=replace(c.load, rate_per_s=c.load.rate_per_s * times)) for c in few]
    assert slots(few) <= slots(many)


def as_sized(some: list[Claim]) -> tuple[Claim, ...]:
    return tuple(replace(c, load=stepped(c.load.rate_per_s, c.load.service_s, c.load.service_scv)) for c in some)


@settings(deadline=None, max_examples=100)
@given(claims(), st.sampled_from([1.0, 0.5]) | st.floats(1.0, 30.0), st.booleans())
def test_loads_stepped_up_never_want_fewer_slots(some: list[Claim], arrival_scv: float, hasty: bool) -> None:
    asked = [replace(c, wait_s=0.0) for c in some] if hasty else some
    burstier = rounded_up(arrival_scv, SCV_STEP)
    assert slots_by_priority(asked, 2, arrival_scv) <= by_priority(as_sized(asked), 2, burstier)
    assert slots_by_weight(asked, arrival_scv) <= by_weight(as_sized(asked), burstier)


def test_a_burst_whose_services_vary_hardly_more_makes_no_fewer_wait_for_nothing() -> None:
    claim = Claim(name="now", load=PriorityClass(9.36615 / 3.28268, 3.28268, 1.28515), wait_s=0.0)
    assert slots_by_priority([claim], 0, 16.0705) == 25
    assert slots_by_priority(as_sized([claim]), 0, rounded_up(16.0705, SCV_STEP)) == 24
    assert by_priority(as_sized([claim]), 0, rounded_up(16.0705, SCV_STEP)) == 25


@settings(deadline=None, max_examples=40)
@given(claims(), st.integers(0, 3))
def test_the_bound_by_weights_is_never_worse_than_going_last(some: list[Claim], position: int) -> None:
    alone = some[position % len(some)]
    orders = [
        [replace(c, priority=int(c is claim), wait_s=claim.wait_s if c is claim else None) for c in some]
        for claim in some
    ]
    assert slots_by_weight([alone]) == slots_by_priority([alone], 2)
    assert slots_by_weight(some) <= max(slots_by_priority(order, 1) for order in orders)


# Who loses.


def test_a_short_budget_goes_by_priority_and_says_who_loses() -> None:
    each = {"gold": 30, "batch": 150}
    for budget, loser in ((57, "batch will wait"), (5, "gold, batch will wait")):
        spec = replace(SPEC, replicas=budget)
        decision = last(spec.build({"m/v1": POOL}), story(each, wanted=57))
        assert decision.targets["m/v1"] == budget
        assert loser in str(decision.reasons["m/v1"])


def test_a_budget_that_suffices_changes_nothing() -> None:
    each = {"gold": 30, "batch": 150}
    assert target(each, replace(SPEC, replicas=500)) == target(each)


needs = st.dictionaries(st.sampled_from("abcd"), st.tuples(*[st.integers(0, 9)] * 3).map(sorted))


@given(needs, st.integers(0, 60))
def test_a_budget_is_kept_and_spent_and_the_first_needs_come_first(asked: dict[str, list[int]], budget: int) -> None:
    given_ = rationed(asked, budget)
    assert sum(given_.values()) == min(budget, sum(steps[-1] for steps in asked.values()))
    assert all(given_[name] <= steps[-1] for name, steps in asked.items())
    for level in range(3):
        if sum(steps[level] for steps in asked.values()) <= budget:
            assert all(given_[name] >= steps[level] for name, steps in asked.items())


# Its memory comes back.


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(0, 20))
def test_fed_what_it_remembers_it_decides_as_if_it_had_never_stopped(seed: int, tail: int) -> None:
    rng = np.random.default_rng(seed)
    spec = replace(SPEC, window_s=300.0, rate_window_s=30.0, replicas=60)
    total = {"gold": 0.0, "batch": 0.0}
    history = []
    for k in range(70):
        total = {name: n + rng.poisson(30.0) for name, n in total.items()}
        flows = {name: Flow(arrived_total=n) for name, n in total.items()}
        whole = Flow(arrived_total=sum(total.values()), queued=float(rng.integers(200)))
        wanted = int(rng.integers(1, 40))
        reading = PoolReading(wanted=wanted, ready=wanted, age_s=0.0, total=whole, classes=flows)
        history.append(Observation(k * TICK_S, {"m/v1": reading}))
    always, again = spec.build({"m/v1": POOL}), spec.build({"m/v1": POOL})
    decided = [always.decide(o) for o in history]
    from_s = history[-1 - tail].time_s - again.memory_s
    restarted = [again.decide(o) for o in history if o.time_s >= from_s]
    assert restarted[-1 - tail :] == decided[-1 - tail :]


def test_a_flood_of_later_requests_is_felt_by_the_first_class_as_busy_slots() -> None:
    gold = Claim(name="gold", load=PriorityClass(10.0, 1.0), wait_s=0.1, quantile=0.9)
    flood = Claim(name="flood", load=PriorityClass(1000.0, 1.0), priority=1)
    alone, flooded = slots_by_priority([gold], 0), slots_by_priority([gold, flood], 0)
    # All slots are always busy: a wait is exponential at the rate by which ends of service outrun the 10 arrivals/s.
    assert alone < flooded == 34
