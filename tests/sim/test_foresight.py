"""The clairvoyant: its word is what a run measures, nobody is cheaper, and nobody is under its bound."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from policies import specfile
from policies.catalog import PolicySpec
from policies.clairvoyant import ClairvoyantSpec
from policies.fcfs import FcfsSpec
from policies.fixed import FixedSpec
from policies.stabilized import StabilizedSpec
from policies.target import TargetSpec
from policies.testing import seen, traits
from sim.check import checked
from sim.drafts import Draft
from sim.fluid import bound
from sim.foresight import Problem, best_schedule, searched
from sim.future import Demand
from sim.scenario import Scenario
from sim.summary import Group
from sim.world import World

WAVES = """
name: waves
horizon_s: 1800
warmup_s: 0
slo: { response_s: 6, quantile: 0.95 }
control: { tick_s: 15, scrape_s: 15 }
models:
  - name: m
    routing: { kind: weighted, weights: { v1: 3, v2: 1 }, shifts: [{ at_s: 900, weights: { v1: 1, v2: 1 } }] }
    versions:
      - { name: v1, service: { kind: exponential, mean_s: 2 }, startup: 40, cost_per_hour: 2, replicas: { initial: 6 } }
      - name: v2
        service: { kind: gamma, mean_s: 2.5, scv: 0.5 }
        slots: 2
        startup: { kind: uniform, low_s: 10, high_s: 70 }
        cost_per_hour: 3
        replicas: { initial: 2, at_least: 1, at_most: 30 }
traffic:
  - name: a
    model: m
    arrivals: { kind: diurnal, mean_rate_per_s: 1.5, peak_rate_per_s: 3, peak_at_s: 450, period_s: 900 }
  - { name: b, model: m, patience_s: 5, deadline_s: 8, arrivals: { kind: poisson, rate_per_s: 0.5 } }
policy: { kind: clairvoyant }
"""


def waves(policy: PolicySpec = ClairvoyantSpec(), **changed: Any) -> Scenario:  # noqa: B008
    return replace(specfile.parse(Scenario, WAVES), policy=policy, **changed)


def ran(scenario: Scenario) -> Group:
    return sim.simulate(scenario, replications=1).figures.overall


def attained(group: Group) -> float:
    assert group.slo_attainment is not None
    return group.slo_attainment.value


@pytest.mark.parametrize("seed", [1, 2])
def test_what_it_says_of_its_plan_is_what_a_run_measures(seed: int) -> None:
    scenario = waves(seed=seed)
    best, run = best_schedule(scenario), ran(scenario)
    assert best.cost == pytest.approx(run.cost, rel=1e-6)
    assert best.attainment == pytest.approx(attained(run), abs=1e-12)
    assert best.attainment >= 0.95
    assert best.bound <= best.cost <= 1.7 * best.bound


counts = st.lists(st.integers(0, 9), min_size=1, max_size=20)


@settings(max_examples=15, deadline=None)
@given(counts, counts, st.integers(1, 1000))
def test_a_replay_of_any_counts_is_what_a_run_measures(v1: list[int], v2: list[int], seed: int) -> None:
    scenario = waves(seed=seed, horizon_s=400.0)
    problem = Problem.of(scenario, 0, 0.95)
    drafts = [Draft(demand, problem.tick_s, problem.horizon_s) for demand in problem.demands]
    for draft, told in zip(drafts, (v1, v2), strict=True):
        draft.set(np.resize(np.array(told), len(draft.counts)))
    exact = [draft.drawn() for draft in drafts]
    world = World(replace(scenario, policy=told_so(exact, scenario)))
    world.run_through(scenario.horizon_s)
    for draft in exact:
        row = world.rows()[draft.demand.pool.name][-1]
        assert draft.paid_s == pytest.approx(row.replica_s_total, abs=1e-3)
    requests = world.requests()
    targets_s = np.array([6.0, 8.0])[requests.request_class]
    met = (requests.outcome == 1) & (requests.leave_s - requests.arrival_s <= targets_s)
    there = requests.outcome == 0
    undecided = there & (scenario.horizon_s - requests.arrival_s <= targets_s)
    assert sum(draft.undecided for draft in exact) == undecided.sum()
    assert sum(draft.missed for draft in exact) == (~met & ~undecided).sum()


def told_so(drafts: list[Draft], scenario: Scenario) -> PolicySpec:
    """A schedule of these counts."""
    steps = [
        {
            "at_s": k * scenario.control.tick_s,
            "replicas": {draft.demand.pool.name: int(draft.every_tick()[k]) for draft in drafts},
        }
        for k in range(len(drafts[0].every_tick()))
    ]
    return replace(
        specfile.parse(Scenario, WAVES.replace("{ kind: clairvoyant }", f"{{ kind: schedule, steps: {steps} }}"))
    ).policy


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_policy_that_attains_as_much_is_cheaper(seed: int) -> None:
    best = ran(waves(seed=seed))
    others: list[PolicySpec] = [
        *(FixedSpec(replicas={"v1": a, "v2": b}) for a, b in product((2, 4, 6, 8, 12), (1, 2, 4))),
        FcfsSpec(wait_s=2.0, quantile=0.95),
        FcfsSpec(wait_s=0.5, quantile=0.95),
        TargetSpec(),
        StabilizedSpec(policy=TargetSpec()),
    ]
    rivals = [run for run in (ran(waves(policy, seed=seed)) for policy in others) if attained(run) >= 0.95]
    assert rivals
    assert all(best.cost < rival.cost for rival in rivals)


def demand(arrivals_s: list[float], work_s: list[float], startup_s: float, initial: int, **known: Any) -> Demand:
    n = len(arrivals_s)
    order = np.argsort(arrivals_s, kind="stable")
    return Demand(
        pool=traits(at_most=3, **known),
        initial=initial,
        arrival_s=np.array(arrivals_s, dtype=float)[order],
        work_s=np.array(work_s, dtype=float)[order],
        target_s=np.full(n, 4.0),
        patience_s=np.full(n, np.inf),
        startup_s=np.concatenate([np.zeros(initial), np.full(200, startup_s)]),
        least_startup_s=startup_s,
        safe_startup_s=startup_s,
    )


TICK_S, TICKS = 5.0, 5
END_S = TICK_S * TICKS

small = st.tuples(
    st.lists(st.tuples(st.floats(0, END_S), st.floats(0.1, 4.0)), min_size=1, max_size=9),
    st.sampled_from([0.0, 3.0, 5.0, 7.0]),
    st.integers(0, 2),
    st.sampled_from([0.5, 0.7, 0.9]),
)


def least_cost(problem: Problem) -> float:
    """Replica-hours of the cheapest of all schedules; infinite where none attains the objective."""
    draft = Draft(problem.demands[0], TICK_S, END_S)
    best = np.inf
    for every in product(range(4), repeat=len(draft.counts)):
        draft.set(np.array(every))
        if draft.paid_s / 3600 < best and problem.excess([draft]) <= 0:
            best = draft.paid_s / 3600
    return best


@settings(max_examples=20, deadline=None)
@given(small)
def test_of_all_schedules_none_is_under_the_bound(case: tuple[list[tuple[float, float]], float, int, float]) -> None:
    requests, startup_s, initial, asked = case
    known = demand([a for a, _ in requests], [w for _, w in requests], startup_s, initial)
    problem = Problem([known], [1 / 3600], "replica-hours", TICK_S, END_S, asked)
    assert bound([known], [1 / 3600], TICK_S, END_S, problem.most_missed) <= least_cost(problem) + 1e-9


def test_the_search_comes_close_to_the_cheapest_of_all_schedules() -> None:
    dearer = []
    for seed in range(6):
        draws = np.random.default_rng(seed)
        known = demand(draws.uniform(0, END_S, 8).tolist(), draws.uniform(0.1, 4, 8).tolist(), 3.0, initial=1)
        problem = Problem([known], [1 / 3600], "replica-hours", TICK_S, END_S, 0.7)
        dearer.append(problem.cost(searched(problem)) / least_cost(problem) - 1)
    assert min(dearer) >= -1e-9
    assert np.mean(dearer) < 0.05


def test_one_request_is_served_by_one_replica_for_one_tick() -> None:
    known = demand([11.0], [3.0], startup_s=5.0, initial=0)
    problem = Problem([known], [1 / 3600], "replica-hours", TICK_S, END_S, 0.99)
    # Started at 5 s, ready at 10 s, done at 14 s, gone with the next tick, at 15 s.
    assert 3600 * least_cost(problem) == pytest.approx(10.0)


def test_it_is_the_same_every_time() -> None:
    first, second = (best_schedule(waves()) for _ in range(2))
    assert str(first) == str(second)
    assert all(np.array_equal(first.counts[pool], second.counts[pool]) for pool in first.counts)


def test_replications_have_plans_of_their_own() -> None:
    first, second = (best_schedule(waves(), replication) for replication in range(2))
    assert first.cost != second.cost


def test_more_is_asked_more_is_paid() -> None:
    costs = [best_schedule(waves(), attainment=share).cost for share in (0.8, 0.9, 0.95)]
    assert costs == sorted(costs)


def test_reasons_tell_the_interval_of_the_least_cost() -> None:
    run = sim.simulate(waves(), replications=1)
    because = str(run.decisions["because"].iloc[0])
    assert because.startswith("planned with foresight: 95.")
    assert "no plan attains as much as asked for less than" in because


def test_a_world_without_a_future_is_refused() -> None:
    policy = ClairvoyantSpec().build({"m/v1": traits()})
    assert policy.readings.needed == {"future"}
    with pytest.raises(ValueError, match="which only a simulation knows; name another policy"):
        policy.decide(seen(0.0))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "{ kind: clairvoyant }",
            "{ kind: stabilized, policy: { kind: clairvoyant } }",
            "without stabilized around it",
        ),
        ("slo: { response_s: 6, quantile: 0.95 }", "", "give the scenario an slo, or the policy an attainment"),
        ("- name: m\n", "- name: m\n    queue: lcfs\n", "foresees queue fcfs only, got lcfs"),
        ("- name: m\n", "- name: m\n    balancer: random\n", "foresees balancer central only, got random"),
        ("slots: 2", "slots: 2\n        room: 4", "version 'v2': policy clairvoyant foresees no room; leave it out"),
    ],
)
def test_what_cannot_be_foreseen_is_told_before_a_run(tmp_path: Path, old: str, new: str, fault: str) -> None:
    path = tmp_path / "waves.yaml"
    path.write_text(WAVES.replace(old, new))
    with pytest.raises(ValueError, match=fault):
        list(checked(path))
    with pytest.raises(ValueError, match=fault):
        World(sim.load(path))


def test_what_nobody_can_attain_is_told() -> None:
    with pytest.raises(
        ValueError, match="124 take longer than their objective in service alone; give a lower attainment"
    ):
        best_schedule(waves(), attainment=0.99)


def test_beyond_its_plan_it_refuses() -> None:
    world = World(waves(horizon_s=300.0))
    world.run_through(300.0)
    with pytest.raises(ValueError, match="has planned until 300 s, it is 315 s; give a longer horizon_s"):
        world.run_through(400.0)
