"""The scenario that a journal makes, simulated, is like the world that the journal saw."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sim
from policies.catalog import PolicySpec
from policies.decision import Decision
from policies.faults import InputError
from policies.fixed import FixedSpec
from policies.histogram import Histogram
from policies.journal import Header, to_line
from policies.loop import Turn
from policies.observation import Flow, Observation, PoolReading
from policies.spec import plain
from policies.testing import traits
from sim import cli
from sim.arrivals import Piecewise
from sim.fitted import fitted, of_moments
from sim.from_journal import Made
from sim.measures import Estimate
from sim.service import Constant, Exponential, Gamma, Law, Lognormal

JOURNAL = Path(__file__).parent / "journals" / "assistant.jsonl"
BOUNDS = tuple(m * 10.0**e for e in range(-3, 4) for m in (1, 2, 5))
SCENARIO = """\
name: one-day
horizon_s: 14400
slo: { response_s: 8 }
control: { tick_s: 30, scrape_s: 30 }
models:
  - name: m
    routing: { kind: weighted, weights: { v1: 4, v2: 1 } }
    versions:
      - name: v1
        service: { kind: lognormal, mean_s: 2, scv: 2.5 }
        startup: { kind: uniform, low_s: 60, high_s: 100 }
        cost_per_hour: 1
        quality: 0.9
        replicas: { initial: 8, at_least: 2, at_most: 40 }
      - name: v2
        parents: [v1]
        service: { kind: gamma, mean_s: 3, scv: 0.3 }
        slots: 2
        startup: 60
        replicas: { initial: 2, at_least: 1, at_most: 20 }
traffic:
  - name: chat
    model: m
    arrivals: { kind: piecewise, rates: [ { from_s: 0, rate_per_s: 2 }, { from_s: 7200, rate_per_s: 5 } ] }
policy: { kind: stabilized, shrink_s: 300, policy: { kind: fcfs, wait_s: 2, quantile: 0.9 } }
"""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> sim.Scenario:
    path = tmp_path_factory.mktemp("scenario") / "scenario.yaml"
    path.write_text(SCENARIO)
    return sim.load(path)


@pytest.fixture(scope="module")
def made(scenario: sim.Scenario, tmp_path_factory: pytest.TempPathFactory) -> Made:
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    sim.write_journal(scenario, path)
    return sim.scenario_from_journal(path)


def overlap(a: Estimate, b: Estimate) -> bool:
    return max(a.low, b.low) <= min(a.high, b.high)


def test_what_was_configured_is_what_it_was(scenario: sim.Scenario, made: Made) -> None:
    found = made.scenario
    assert (found.policy, found.slo) == (scenario.policy, scenario.slo)
    assert found.control.tick_s == 30
    for was, seems in zip(scenario.models[0].versions, found.models[0].versions, strict=True):
        assert (seems.slots, seems.cost_per_hour, seems.quality) == (was.slots, was.cost_per_hour, was.quality)
        assert seems.replicas == was.replicas


def test_service_has_its_mean_its_variability_and_its_law(made: Made) -> None:
    v1, v2 = (version.service for version in made.scenario.models[0].versions)
    assert isinstance(v1, Lognormal)
    assert (v1.mean_s, v1.scv) == (pytest.approx(2, rel=0.03), pytest.approx(2.5, rel=0.15))
    assert isinstance(v2, Gamma)
    assert (v2.mean_s, v2.scv) == (pytest.approx(3, rel=0.03), pytest.approx(0.3, rel=0.1))


def test_rates_are_those_of_their_time_and_shares_those_of_the_versions(made: Made) -> None:
    (chat,) = made.scenario.traffic
    assert isinstance(chat.arrivals, Piecewise)
    early, late = (chat.arrivals.rate_at(np.arange(*ends, 60.0)) for ends in ((0, 7100), (7300, 14300)))
    assert (early.mean(), late.mean()) == (pytest.approx(2, rel=0.03), pytest.approx(5, rel=0.03))
    assert late.std() < 0.06 * 5
    assert made.scenario.models[0].weights("m") == pytest.approx({"v1": 0.8, "v2": 0.2}, rel=0.05)


def test_start_up_that_is_as_configured_stays_so_and_another_is_seen(scenario: sim.Scenario, tmp_path: Path) -> None:
    sim.write_journal(scenario, tmp_path / "j.jsonl")
    text = (tmp_path / "j.jsonl").read_text()
    (tmp_path / "wrong.jsonl").write_text(text.replace('"startup_s":80.0', '"startup_s":300.0'))
    right, wrong = (
        sim.scenario_from_journal(tmp_path / name).scenario.models[0].versions[0].startup
        for name in ("j.jsonl", "wrong.jsonl")
    )
    assert right.mean_s == 80.0
    assert wrong.mean_s == pytest.approx(80, abs=10)


def test_simulated_again_it_is_like_what_it_came_from(scenario: sim.Scenario, made: Made) -> None:
    was, seems = (sim.simulate(s, replications=6).figures.overall for s in (scenario, made.scenario))
    assert seems.requests.arrived == pytest.approx(was.requests.arrived, rel=0.02)
    assert seems.utilization == pytest.approx(was.utilization, rel=0.05)
    assert seems.cost == pytest.approx(was.cost, rel=0.05)
    for name in ("mean", "p50", "p95"):
        assert overlap(was.response_s[name], seems.response_s[name])
    assert overlap(was.wait_s["mean"], seems.wait_s["mean"])


def test_the_live_daemon_s_journal_makes_a_scenario_that_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["scenario-from-journal", str(JOURNAL), "-o", str(tmp_path / "what-if.yaml")]) == 0
    told = capsys.readouterr().out
    assert "service is gamma with SCV 0.4" in told
    assert "which agrees with the 75 s that are configured" in told
    written = (tmp_path / "what-if.yaml").read_text()
    assert written.startswith("# What assistant.jsonl saw in 119 min from 2023-11-14 22:13:")
    assert "# - assistant: requests are taken to wait in one queue" in written
    again = sim.simulate(sim.load(tmp_path / "what-if.yaml"), replications=6).figures.overall
    seen = sim.read_journal(JOURNAL).figures.overall
    assert again.requests.completed == pytest.approx(seen.requests.completed, rel=0.03)
    assert overlap(again.response_s["mean"], seen.response_s["mean"])
    assert overlap(again.wait_s["mean"], seen.wait_s["mean"])
    assert again.cost == pytest.approx(seen.cost, rel=0.07)


def journal(path: Path, turns: list[Turn], policy: PolicySpec | None = None, **known: Any) -> Path:
    head = Header(
        time_s=0.0, version="1", policy=plain(policy or FixedSpec()), pools={"m/v1": traits(**known)}, config={}
    )
    path.write_bytes(to_line(head) + b"".join(map(to_line, turns)))
    return path


def watched(flow: Callable[[int], Flow]) -> list[Turn]:
    return [
        Turn(Observation(60.0 * k, {"m/v1": PoolReading(wanted=2, ready=2, age_s=0.0, total=flow(k))}), Decision(), {})
        for k in range(61)
    ]


def test_without_service_times_little_s_law_tells_their_mean(tmp_path: Path) -> None:
    turns = watched(lambda k: Flow(arrived_total=120.0 * k, completed_total=120.0 * k, in_service=3.0))
    made = sim.scenario_from_journal(journal(tmp_path / "j.jsonl", turns))
    # Two come in a second, and three are there.
    assert made.scenario.models[0].versions[0].service == Exponential(mean_s=1.5)
    assert any("its mean is requests in service over completions" in note for note in made.notes)


def test_patience_is_the_time_waited_by_all_over_those_who_gave_up(tmp_path: Path) -> None:
    turns = watched(
        lambda k: Flow(arrived_total=120.0 * k, completed_total=114.0 * k, abandoned_total=6.0 * k, queued=4.0)
    )
    made = sim.scenario_from_journal(journal(tmp_path / "j.jsonl", turns, service_s=1.0))
    # Four wait all the time, and one in ten seconds gives up.
    assert made.scenario.traffic[0].patience_s == Exponential(mean_s=40.0)


def test_where_nothing_tells_how_long_service_takes_the_way_out_is_named(tmp_path: Path) -> None:
    turns = watched(lambda k: Flow(arrived_total=120.0 * k, completed_total=120.0 * k))
    with pytest.raises(InputError, match="m/v1: nothing tells how long service takes; give `service_s`"):
        sim.scenario_from_journal(journal(tmp_path / "j.jsonl", turns))
    made = sim.scenario_from_journal(journal(tmp_path / "k.jsonl", turns, service_s=2.0, service_scv=0.5))
    assert made.scenario.models[0].versions[0].service == Gamma(mean_s=2.0, scv=0.5)
    with pytest.raises(InputError, match="no request was counted; a scenario needs some"):
        sim.scenario_from_journal(journal(tmp_path / "none.jsonl", watched(lambda _: Flow()), service_s=2.0))


def entered(law: Law, n: float = 20_000.0) -> Histogram:
    from scipy import special

    bounds = np.array(BOUNDS)
    match law:
        case Exponential(mean_s=mean):
            below = -np.expm1(-bounds / mean)
        case Gamma(mean_s=mean, scv=scv):
            below = special.gammainc(1 / scv, bounds / mean / scv)
        case Lognormal(mean_s=mean, scv=scv):
            deviation = np.sqrt(np.log1p(scv))
            below = special.ndtr((np.log(bounds / mean) + deviation**2 / 2) / deviation)
        case _:
            below = (bounds >= law.mean_s).astype(float)
    return Histogram(BOUNDS, (*np.round(n * below).tolist(), n), law.mean_s * n)


@pytest.mark.parametrize(
    "law",
    [
        Exponential(mean_s=1.3),
        Gamma(mean_s=0.7, scv=0.2),
        Gamma(mean_s=4.0, scv=0.6),
        Gamma(mean_s=4.0, scv=3.0),
        Lognormal(mean_s=0.02, scv=0.4),
        Lognormal(mean_s=30.0, scv=1.0),
        Lognormal(mean_s=2.0, scv=4.0),
        Constant(value_s=3.0),
    ],
    ids=lambda law: f"{law.kind}-{law.scv:g}",
)
def test_a_law_is_known_again_by_buckets_as_wide_as_1_2_5(law: Law) -> None:
    found = fitted(entered(law))
    assert type(found) is type(law)
    assert found is not None
    assert (found.mean_s, found.scv) == (pytest.approx(law.mean_s), pytest.approx(law.scv, rel=0.02, abs=1e-6))


def test_few_values_make_the_simplest_law_and_none_make_none() -> None:
    assert isinstance(fitted(entered(Gamma(mean_s=1.0, scv=0.9), n=50.0)), Exponential)
    assert fitted(Histogram((1.0,), (0.0, 0.0), 0.0)) is None
    assert of_moments(2.0, None) == Exponential(mean_s=2.0)
    assert of_moments(2.0, 0.0) == Constant(value_s=2.0)
    assert of_moments(2.0, 3.0) == Lognormal(mean_s=2.0, scv=3.0)


def test_models_of_which_nothing_came_are_left_out(tmp_path: Path) -> None:
    turns = watched(lambda k: Flow(arrived_total=60.0 * k, completed_total=60.0 * k))
    both = [
        t._replace(observation=replace(t.observation, pools={**t.observation.pools, "idle/v1": PoolReading(wanted=1)}))
        for t in turns
    ]
    path = tmp_path / "j.jsonl"
    pools = {name: traits(name, service_s=1.0) for name in ("m/v1", "idle/v1")}
    head = Header(time_s=0.0, version="1", policy=plain(FixedSpec()), pools=pools, config={})
    path.write_bytes(to_line(head) + b"".join(map(to_line, both)))
    made = sim.scenario_from_journal(path)
    assert [model.name for model in made.scenario.models] == ["m"]
    assert "of idle no request was counted: it is left out" in made.notes
