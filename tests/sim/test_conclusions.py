"""What a run comes to, in words that follow from its numbers."""

from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.arrivals import Poisson
from sim.intervals import Estimate
from sim.report.conclusions import conclusion, objective_state, policy_words
from sim.result import Result
from sim.run import simulate
from sim.scenario import Claim, Model, Replicas, RequestClass, Scenario, Slo, Version, Weighted
from sim.service import Constant, Exponential


def scenario(**changes: Any) -> Scenario:
    """Ten minutes on two replicas that are busy half of the time."""
    version = Version(name="v1", service=Exponential(mean_s=1.0), cost_per_hour=3.0, replicas=Replicas(initial=2))
    given = Scenario(
        name="brief",
        horizon_s=600.0,
        warmup_s=0.0,
        slo=Slo(response_s=5.0),
        models=(Model(name="m", versions=(version,)),),
        traffic=(RequestClass(name="a", model="m", arrivals=Poisson(rate_per_s=1.0)),),
    )
    return replace(given, **changes)


@pytest.fixture(scope="module")
def brief() -> Result:
    return simulate(scenario())


def judged(result: Result, low: float, value: float, high: float) -> Result:
    """The same result with this attainment of the objective."""
    attained = Estimate(value, low, high, 30)
    overall = replace(result.figures.overall, slo_attainment=attained)
    return replace(result, figures=replace(result.figures, overall=overall))


def words(result: Result) -> str:
    return " ".join(conclusion(result).sentences)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_an_objective_is_open_just_where_the_interval_spans_it(brief: Result, a: float, b: float, c: float) -> None:
    low, value, high = sorted((a, b, c))
    state = objective_state(judged(brief, low, value, high))
    assert state == ("met" if low >= 0.95 else "missed" if high < 0.95 else "open")


def test_the_objective_is_met_missed_or_open_in_so_many_words(brief: Result) -> None:
    met = "The objective is met: 97.0 % [96.0, 98.0] of the requests were answered within 5 s, and 95 % are asked for."
    assert met in words(judged(brief, 0.96, 0.97, 0.98))
    assert "The objective is missed: 91.0 % [90.0, 92.0]" in words(judged(brief, 0.90, 0.91, 0.92))
    assert "It is open whether the objective is met" in words(judged(brief, 0.90, 0.95, 0.97))


def test_a_slow_version_does_not_hide_behind_a_fast_one() -> None:
    fast = scenario().models[0].versions[0]
    slow = replace(fast, name="v2", service=Exponential(mean_s=4.0))
    model = Model(name="m", routing=Weighted(weights={"v1": 50, "v2": 1}), versions=(fast, slow))
    result = simulate(scenario(models=(model,), horizon_s=20000.0))
    assert conclusion(result).state == "met"
    assert "Taken alone, this does not hold for m/v2 (" in words(result)


def test_without_an_interval_the_value_decides(brief: Result) -> None:
    assert objective_state(judged(brief, nan, 0.96, nan)) == "met"
    assert objective_state(judged(brief, nan, nan, nan)) == "none"


def test_a_scenario_without_an_objective_says_so() -> None:
    result = simulate(scenario(slo=None, horizon_s=60.0))
    assert conclusion(result).state == "none"
    assert "The scenario sets no objective." in words(result)


def test_a_class_with_a_deadline_is_held_to_it() -> None:
    chat = scenario().traffic[0]
    late = replace(chat, name="late", deadline_s=60.0)
    assert "within 5 s (late: 60 s)" in words(simulate(scenario(traffic=(chat, late))))
    alone = words(simulate(scenario(traffic=(late,), slo=None)))
    assert "Of the requests that have a deadline (late: 60 s), 100 %" in alone


def test_what_is_lost_adds_up() -> None:
    impatient = replace(scenario().traffic[0], arrivals=Poisson(rate_per_s=5.0), patience_s=Constant(value_s=1.0))
    small = replace(scenario().models[0].versions[0], room=3)
    result = simulate(scenario(traffic=(impatient,), models=(Model(name="m", versions=(small,)),)))
    counts = result.figures.overall.requests
    lost = counts.rejected + counts.abandoned
    assert f"Of {counts.arrived:,} requests {lost:,} (" in words(result)
    assert f"{counts.rejected:,} rejected for want of room and {counts.abandoned:,} gave up waiting" in words(result)


def test_a_backlog_is_not_called_nothing_lost() -> None:
    heavy = replace(scenario().traffic[0], arrivals=Poisson(rate_per_s=4.0))
    result = simulate(scenario(traffic=(heavy,)))
    told = words(result)
    assert f"{result.figures.overall.requests.waiting:,} were still there at the end: the run ends in a backlog" in told
    assert "they are saturated" in told
    assert "times the limit" in told


def test_a_percentile_of_those_never_served_is_never_reached(brief: Result) -> None:
    never = Estimate(inf, inf, inf, 30)
    overall = replace(brief.figures.overall, response_s={**brief.figures.overall.response_s, "p95": never})
    unserved = replace(brief, figures=replace(brief.figures, overall=overall))
    assert "p95 of the response time is never reached: more than 5 % were never served." in words(unserved)


def test_cost_is_also_told_by_hour_and_request(brief: Result) -> None:
    counts = brief.figures.overall.requests
    assert f"0.333 replica-hours cost $1.00: $6.00 an hour, ${1000 / counts.completed:.2f} for 1,000" in words(brief)


def test_claims_and_theory_are_held_against_the_simulation() -> None:
    claimed = scenario(claims=(Claim(source="a friend", response_s=60.0),), horizon_s=6000.0)
    told = words(simulate(claimed))
    assert "A friend says 60 s for the mean response: outside the simulated interval." in told
    assert "Theory, M/M/2 says 1.333 s for the mean response: inside the simulated interval." in told


def test_a_policy_around_a_policy_is_named_with_it(brief: Result) -> None:
    assert policy_words(brief) == "fixed"
