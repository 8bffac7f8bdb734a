"""Versions sized together: what is wished for, what is given up, and when nothing is."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from policies.decision import Decision
from policies.fcfs import FcfsSpec
from policies.mix import MixPolicy, MixSpec, PoolGroup, Share
from policies.observation import Flow, Observation, PoolReading
from policies.testing import traits

TICK_S = 15.0
POOLS = {
    name: traits(name, service_s=1.0, startup_p95_s=60.0, cost_per_hour=cost, quality=quality)
    for name, cost, quality in (("m/v1", 1.0, 0.8), ("m/v2", 3.0, 0.9), ("n/v3", 2.0, 0.9))
}
SPEC = MixSpec(wait_s=2.0)


def reading(k: int, count: float, wanted: int = 30, **flow: Any) -> PoolReading:
    """The k-th reading of a pool of so many arrivals a tick."""
    total = Flow(**{"arrived_total": k * count, **flow})
    return PoolReading(wanted=wanted, starting=0, ready=wanted, age_s=0.0, total=total)


def story(*counts: float, ticks: int = 41, **seen: Any) -> list[Observation]:
    """So many arrivals a tick at each pool."""
    pools = dict(zip(POOLS, counts, strict=False))
    shown = ((k, {name: reading(k, count, **seen) for name, count in pools.items()}) for k in range(ticks))
    return [Observation(k * TICK_S, readings) for k, readings in shown]


def told(policy: MixPolicy, history: list[Observation]) -> list[Decision]:
    return [policy.decide(observation) for observation in history]


def last(observations: list[Observation], spec: MixSpec = SPEC) -> Decision:
    return told(spec.build(POOLS), observations)[-1]


def test_versions_whose_traffic_is_what_it_is_get_what_their_queues_need() -> None:
    alone = FcfsSpec(wait_s=2.0).build(POOLS)
    needed = [alone.decide(observation) for observation in story(150, 60, 30)][-1].targets
    for name, count in last(story(150, 60, 30)).targets.items():
        assert needed[name] <= count <= needed[name] + 1


def test_traffic_that_may_move_goes_where_it_is_cheap_and_the_reason_says_how_much() -> None:
    either = replace(SPEC, shares={"v1": Share(), "v2": Share(at_least=0.2)})
    decision = last(story(75, 75, 30), either)
    assert decision.targets["m/v1"] > decision.targets["m/v2"] > 0
    assert "for 2.0" in str(decision.reasons["m/v2"])


def test_a_quality_floor_moves_traffic_to_the_better_version() -> None:
    either = replace(SPEC, shares={"v1": Share(), "v2": Share()}, quality=0.88)
    decision = last(story(75, 75, 30), either)
    assert decision.targets["m/v2"] > 2 * decision.targets["m/v1"] > 0


def test_a_site_is_never_overfilled_and_the_reason_says_what_it_costs() -> None:
    site = {"cloud": PoolGroup(pools=("v2", "v3"), replicas=6)}
    decision = last(story(75, 75, 75), replace(SPEC, groups=site))
    assert decision.targets["m/v2"] + decision.targets["n/v3"] == 6
    assert decision.targets["m/v1"] == last(story(75, 75, 75)).targets["m/v1"]
    assert "within cloud; the target is missed" in str(decision.reasons["n/v3"])


def test_pools_that_keep_what_they_have_count_for_their_site() -> None:
    site = {"cloud": PoolGroup(pools=("v2", "v3"), replicas=6)}
    policy = replace(SPEC, groups=site).build(POOLS)
    for k, observation in enumerate(story(75, 75, 75)):
        blind = replace(reading(k, 75.0, wanted=4), age_s=None)
        decision = policy.decide(Observation(observation.time_s, {**observation.pools, "m/v2": blind}))
    assert decision.kept["m/v2"] == "nothing was read yet"
    assert decision.targets["n/v3"] == 2


def test_traffic_is_not_divided_without_a_version_that_is_not_seen() -> None:
    policy = replace(SPEC, shares={"v1": Share(), "v2": Share()}).build(POOLS)
    for k, observation in enumerate(story(75, 75, 75)):
        blind = replace(reading(k, 75.0), age_s=None)
        decision = policy.decide(Observation(observation.time_s, {**observation.pools, "m/v2": blind}))
    assert decision.kept["m/v1"] == "the load of another version of m is not known"
    assert set(decision.targets) == {"n/v3"}


def test_nothing_arrives_so_nothing_is_needed() -> None:
    assert last(story(0, 0, 0)).targets == {"m/v1": 0, "m/v2": 0, "n/v3": 0}


def test_a_backlog_asks_for_more() -> None:
    few = last(story(75, 75, 75, wanted=6)).targets["m/v1"]
    assert last(story(75, 75, 75, wanted=6, queued=500.0)).targets["m/v1"] > few + 5


def test_little_evidence_does_not_shrink() -> None:
    assert set(last(story(15, 15, 15, ticks=3)).targets.values()) == {30}


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValidationError, match="exactly one of"):
        MixSpec()
    with pytest.raises(ValidationError, match=r"at_least is 0\.5, must not be above at_most, 0\.2"):
        Share(at_least=0.5, at_most=0.2)
    with pytest.raises(ValueError, match="that of m/v1 is not known"):
        replace(SPEC, quality=0.5).build({"m/v1": replace(POOLS["m/v1"], quality=None)})
    with pytest.raises(ValueError, match="'v9' is not the name of one pool"):
        replace(SPEC, groups={"cloud": PoolGroup(pools=("v9",))}).build(POOLS)


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10**6), st.integers(0, 20))
def test_fed_what_it_remembers_it_decides_as_if_it_had_never_stopped(seed: int, tail: int) -> None:
    rng = np.random.default_rng(seed)
    spec = replace(SPEC, window_s=300.0, rate_window_s=30.0, shares={"v1": Share(), "v2": Share(at_least=0.3)})
    totals = dict.fromkeys(POOLS, (0.0, 0.0))
    history = []
    for k in range(70):
        for name, (total, _) in totals.items():
            after = float(rng.poisson(60.0)) + (total if rng.random() < 0.98 else 0.0)
            totals[name] = (after, k * TICK_S if rng.random() < 0.9 else totals[name][1])
        pools = {n: replace(reading(1, t), age_s=k * TICK_S - at) for n, (t, at) in totals.items()}
        history.append(Observation(k * TICK_S, pools))
    always = told(spec.build(POOLS), history)
    from_s = history[-1 - tail].time_s - 600.0
    restarted = told(spec.build(POOLS), [o for o in history if o.time_s >= from_s])
    assert restarted[-1 - tail :] == always[-1 - tail :]
