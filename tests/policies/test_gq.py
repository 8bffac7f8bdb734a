"""One queue over the versions of a model: what is wished for of each, and when nothing is."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.decision import Decision
from policies.gq import Gq, GqSpec
from policies.observation import Flow, Observation, PoolReading
from policies.queues import servers_for_wait
from policies.testing import traits

TICK_S = 15.0
FAST = traits("m/fast", service_s=1.0, startup_p95_s=60.0, cost_per_hour=3.0, quality=0.9)
SLOW = traits("m/slow", service_s=2.0, startup_p95_s=60.0, cost_per_hour=1.0, quality=0.8)
POOLS = {"m/fast": FAST, "m/slow": SLOW}
SPEC = GqSpec(wait_s=2.0)


def reading(k: int, count: float, wanted: int = 30, **flow: Any) -> PoolReading:
    """The k-th reading of a pool of so many arrivals a tick."""
    total = Flow(**{"arrived_total": k * count, **flow})
    return PoolReading(wanted=wanted, starting=0, ready=wanted, age_s=0.0, total=total)


def story(fast: float, slow: float, ticks: int = 41, **seen: Any) -> list[Observation]:
    """So many arrivals a tick, by the version that they were meant for; the queue is one."""
    shown = ((k, {"m/fast": reading(k, fast, **seen), "m/slow": reading(k, slow, **seen)}) for k in range(ticks))
    return [Observation(k * TICK_S, pools) for k, pools in shown]


def last(observations: list[Observation], spec: GqSpec = SPEC) -> Decision:
    policy = spec.build(POOLS)
    return [policy.decide(observation) for observation in observations][-1]


def test_all_arrivals_are_one_load_whoever_they_were_meant_for() -> None:
    needed = servers_for_wait(10.0, 2.0, 2.0, 0.95, arrival_scv=0.0)
    for fast in (0, 75, 150):
        decision = last(story(fast, 150 - fast))
        assert decision.targets["m/fast"] == 0
        assert needed <= decision.targets["m/slow"] <= needed + 1
    assert "10 arrivals/s" in str(decision.reasons["m/slow"])
    assert "the cheapest mix" in str(decision.reasons["m/slow"])


def test_shares_and_quality_are_kept() -> None:
    half = last(story(75, 75), replace(SPEC, shares={"fast": 0.5})).targets
    assert 2 * half["m/fast"] >= half["m/slow"]
    good = last(story(75, 75), replace(SPEC, quality=0.85)).targets
    assert 2 * good["m/fast"] >= good["m/slow"]


def test_a_short_budget_buys_the_mix_that_bears_most_and_says_so() -> None:
    decision = last(story(75, 75), replace(SPEC, replicas=8))
    assert decision.targets == {"m/fast": 8, "m/slow": 0}
    assert "limits are too narrow, the target is missed" in str(decision.reasons["m/fast"])


def test_limits_that_leave_no_mix_keep_what_there_is() -> None:
    policy = replace(SPEC, replicas=5).build({"m/fast": replace(FAST, at_least=6), "m/slow": SLOW})
    decisions = [policy.decide(observation) for observation in story(75, 75)]
    assert not decisions[-1].targets
    assert "no mix of versions" in decisions[-1].kept["m/fast"]


def test_a_backlog_asks_for_more() -> None:
    backlog = last(story(75, 75, wanted=6, queued=500.0)).targets
    assert sum(backlog.values()) > sum(last(story(75, 75, wanted=6)).targets.values()) + 5


def test_nothing_arrives_so_nothing_is_needed() -> None:
    assert last(story(0, 0)).targets == {"m/fast": 0, "m/slow": 0}


def test_a_pool_that_is_not_read_any_more_keeps_them_all() -> None:
    policy = SPEC.build(POOLS)
    for observation in story(75, 75):
        policy.decide(observation)
    for k in range(41, 60):
        old = replace(reading(40, 75.0), age_s=(k - 40) * TICK_S)
        decision = policy.decide(Observation(k * TICK_S, {"m/fast": reading(k, 75.0), "m/slow": old}))
    assert set(decision.kept) == {"m/fast", "m/slow"}
    assert set(policy.decide(Observation(900.0, {"m/fast": reading(60, 75.0)})).kept) == {"m/fast"}


def test_a_lost_reading_of_one_pool_is_no_dip_and_no_burst() -> None:
    policy = SPEC.build(POOLS)
    for k, observation in enumerate(story(75, 75)):
        lost = k % 7 == 6
        slow = replace(reading(k - lost, 75.0), age_s=lost * TICK_S)
        decision = policy.decide(Observation(observation.time_s, {**observation.pools, "m/slow": slow}))
    assert decision.targets == last(story(75, 75)).targets


def test_little_evidence_does_not_shrink() -> None:
    assert last(story(15, 15, ticks=3)).targets == {"m/fast": 30, "m/slow": 30}


def test_what_cannot_be_kept_is_refused() -> None:
    with pytest.raises(ValueError, match="exactly one of"):
        GqSpec()
    with pytest.raises(ValueError, match=r"shares of m sum up to 1\.2"):
        replace(SPEC, shares={"fast": 0.6, "slow": 0.6}).build(POOLS)
    with pytest.raises(ValueError, match="that of m/slow is not known"):
        replace(SPEC, quality=0.5).build({"m/fast": FAST, "m/slow": replace(SLOW, quality=None)})


def told(policy: Gq, history: list[Observation], from_s: float = 0.0) -> list[Decision]:
    return [policy.decide(observation) for observation in history if observation.time_s >= from_s]


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10**6), st.integers(0, 20))
def test_fed_what_it_remembers_it_decides_as_if_it_had_never_stopped(seed: int, tail: int) -> None:
    rng = np.random.default_rng(seed)
    spec = replace(SPEC, window_s=300.0, rate_window_s=30.0)
    totals = dict.fromkeys(POOLS, (0.0, 0.0))
    history = []
    for k in range(70):
        for name, (total, _) in totals.items():
            # Some readings are lost, some counters restart.
            after = float(rng.poisson(60.0)) + (total if rng.random() < 0.98 else 0.0)
            totals[name] = (after, k * TICK_S if rng.random() < 0.9 else totals[name][1])
        pools = {n: replace(reading(1, t), age_s=k * TICK_S - at) for n, (t, at) in totals.items()}
        history.append(Observation(k * TICK_S, pools))
    always = told(spec.build(POOLS), history)
    restarted = told(spec.build(POOLS), history, history[-1 - tail].time_s - 600.0)
    assert restarted[-1 - tail :] == always[-1 - tail :]
