"""The scenario files: whole, told of in their README, and true to what they claim."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import sim
from policies import specfile
from policies.fixed import FixedSpec
from policies.queues import servers_for_wait
from policies.schedule import ScheduleSpec, Step
from sim.arrivals import Diurnal, Poisson
from sim.check import checked
from sim.scenario import Scenario

FOLDER = Path(__file__).parents[2] / "scenarios"
FILES = sorted(FOLDER.glob("*.yaml"))


def named(name: str) -> Scenario:
    return sim.load(FOLDER / f"{name}.yaml")


def attained(scenario: Scenario, version: str | None = None) -> float:
    figures = sim.simulate(scenario, replications=1).figures
    share = (figures.by_version[version] if version else figures.overall).slo_attainment
    assert share is not None
    return share.value


def lost(scenario: Scenario) -> float:
    counts = sim.simulate(scenario, replications=1).figures.overall.requests
    return (counts.rejected + counts.abandoned + counts.failed) / counts.arrived


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_is_whole_and_reads_back_equal(path: Path) -> None:
    scenario = sim.load(path)
    assert scenario.name == path.stem
    assert specfile.parse(Scenario, specfile.write(scenario)) == scenario
    assert next(checked(path)).startswith(f"{path}: ok: ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_has_a_story(path: Path) -> None:
    readme = (FOLDER / "README.md").read_text()
    assert f"**{path.stem}**" in readme
    assert f"poolwright run scenarios/{path.name}" in readme
    assert path.read_text().startswith("# ")
    assert sim.load(path).description


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_runs_and_loses_track_of_nobody(path: Path) -> None:
    scenario = sim.load(path)
    figures = sim.simulate(replace(scenario, horizon_s=min(scenario.horizon_s, 1200.0)), replications=1).figures
    for _, _, group in figures.groups():
        r = group.requests
        assert r.arrived == r.completed + r.rejected + r.abandoned + r.failed + r.waiting


def test_the_schema_is_the_one_that_the_command_prints() -> None:
    assert json.loads((FOLDER / "schema.json").read_text()) == specfile.schema(Scenario, "poolwright scenario")


def test_bursts_miss_what_poisson_orders_of_the_same_rate_meet() -> None:
    bursts = replace(named("risk-control"), horizon_s=4000.0)
    payment, order = bursts.traffic
    steady = replace(bursts, traffic=(payment, replace(order, arrivals=Poisson(rate_per_s=15.0))))
    assert order.arrivals.mean_rate_per_s == pytest.approx(15.0)  # type: ignore[union-attr]
    assert attained(bursts, "scorer/v2") < 0.8
    assert attained(steady, "scorer/v2") > 0.95


def test_a_planned_promotion_loses_nobody_a_rule_comes_late() -> None:
    rule = replace(named("recommendation"), horizon_s=1200.0)
    steps = (Step(at_s=480.0, replicas={"v1": 4, "v2": 6}),)
    assert lost(rule) > 0.01
    assert lost(replace(rule, policy=ScheduleSpec(steps=steps))) == 0.0


def test_a_model_started_before_the_rain_is_in_time() -> None:
    early = replace(named("driving-perception"), horizon_s=1000.0)
    late = ScheduleSpec(steps=(Step(at_s=900.0, replicas={"rain": 7}),))
    assert lost(early) < 0.001
    assert lost(replace(early, policy=late)) > 0.01


def test_machines_planned_for_the_rush_itself_are_late() -> None:
    planned = replace(named("video-security"), horizon_s=29400.0)
    late = (Step(at_s=1800.0, replicas={"v2": 1}), Step(at_s=27900.0, replicas={"v2": 4}))
    assert lost(planned) == 0.0
    assert lost(replace(planned, policy=ScheduleSpec(steps=late))) > 0.01


def test_queueing_theory_costs_less_than_fixed_pools_for_the_peak() -> None:
    sized = named("customer-service")
    figures, peak = (sim.simulate(s, replications=1).figures for s in (sized, replace(sized, policy=FixedSpec())))
    assert figures.overall.slo_attainment is not None
    assert figures.overall.slo_attainment.value > 0.97
    assert figures.overall.cost < 0.62 * peak.overall.cost
    canary = figures.by_version["assistant/v2"].slo_attainment
    assert canary is not None
    assert canary.value < 0.945


def test_pools_fixed_for_the_peak_are_as_many_as_theory_needs_there() -> None:
    sized = named("customer-service")
    rates = {c.name: c.arrivals.peak_rate_per_s for c in sized.traffic if isinstance(c.arrivals, Diurnal)}
    peaks = {"v1": 0.9 * rates["chat"], "v2": 0.1 * rates["chat"], "v3": rates["order"]}
    needed = {
        v.name: servers_for_wait(peaks[v.name], v.service.mean_s, wait_s=5.0, fraction=0.95)
        for v in sized.models[0].versions
    }
    assert needed == {v.name: v.replicas.initial for v in sized.models[0].versions} == {"v1": 12, "v2": 4, "v3": 2}
