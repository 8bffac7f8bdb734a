"""What a finished run says: its tables agree with one another and with its figures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sim
from policies.stabilized import StabilizedSpec
from policies.target import TargetSpec
from sim.arrivals import Diurnal, Poisson, Times
from sim.result import Result, ResultError, replacing
from sim.scenario import Control, Model, Replicas, RequestClass, Scenario, Slo, Version
from sim.service import Constant, Exponential

HOUR_S = 3600.0
SCENARIO = Scenario(
    name="day",
    horizon_s=2 * HOUR_S,
    slo=Slo(response_s=6.0),
    control=Control(tick_s=30.0, scrape_s=30.0),
    models=(
        Model(
            name="m",
            versions=(
                Version(
                    name="v1",
                    service=Exponential(mean_s=2.0),
                    startup=Constant(value_s=60.0),
                    cost_per_hour=1.5,
                    replicas=Replicas(initial=4, at_least=2, at_most=12),
                ),
            ),
        ),
    ),
    traffic=(
        RequestClass(
            name="chat",
            model="m",
            arrivals=Diurnal(mean_rate_per_s=1.0, peak_rate_per_s=2.0, peak_at_s=HOUR_S, period_s=2 * HOUR_S),
            patience_s=Constant(value_s=20.0),
        ),
        RequestClass(name="frames", model="m", arrivals=Poisson(rate_per_s=0.5), deadline_s=1.0),
    ),
    policy=StabilizedSpec(shrink_s=120.0, policy=TargetSpec(utilization=0.6)),
)


@pytest.fixture(scope="module")
def result() -> Result:
    return sim.simulate(SCENARIO, replications=3, keep_requests=True)


def test_the_tables_have_a_row_for_each_tick_pool_and_replication(result: Result) -> None:
    ticks = int(SCENARIO.horizon_s / 30) + 1
    assert len(result.pools) == 3 * ticks
    assert set(result.pools["replication"]) == {0, 1, 2}
    assert result.pools.groupby("replication")["time_s"].max().tolist() == [SCENARIO.horizon_s] * 3


def test_counts_of_tables_and_figures_agree(result: Result) -> None:
    counts = result.figures.overall.requests
    assert len(result.requests) == pytest.approx(3 * counts.arrived)
    last = result.pools[result.pools["time_s"] == SCENARIO.horizon_s]
    assert last["requests_completed_total"].mean() == pytest.approx(counts.completed)
    assert last["cost_usd_total"].mean() == pytest.approx(result.figures.overall.cost)
    course = result.course[result.course["scope"] == "all"]
    assert course["requests_arrived"].sum() == pytest.approx(counts.arrived)
    whole = result.distribution[result.distribution["scope"] == "all"]
    assert whole["requests"].sum() == pytest.approx(3 * counts.completed)


def test_figures_can_be_had_from_the_requests(result: Result) -> None:
    requests = result.requests
    done = requests[requests["outcome"] == "completed"]
    assert done["response_s"].mean() == pytest.approx(result.figures.overall.response_s["mean"].value)
    frames = requests[requests["request_class"] == "frames"]
    attained = (frames["response_s"] <= 1.0).sum() / frames["outcome"].ne("present").sum()
    found = result.figures.by_class["frames"].slo_attainment
    assert found is not None
    assert attained == pytest.approx(found.value, abs=0.002)


def test_a_class_has_its_own_deadline(result: Result) -> None:
    chat, frames = (result.figures.by_class[name].slo_attainment for name in ("chat", "frames"))
    assert chat is not None
    assert frames is not None
    assert frames.value < 0.5 < chat.value


def test_decisions_say_why(result: Result) -> None:
    decided = result.decisions.dropna(subset="wish")
    assert decided["because"].str.contains("slots busy over 60 s").all()
    held = decided[decided["limits"].str.startswith("stabilization")]
    assert len(held) > 0
    assert (held["target"] >= held["wish"]).all()
    assert decided["target"].between(2, 12).all()


def test_more_replications_narrow_the_interval() -> None:
    few, many = (sim.simulate(SCENARIO, replications=n).figures.overall.response_s["mean"] for n in (3, 12))
    assert many.half_width < few.half_width


def test_classes_share_the_bill(result: Result) -> None:
    parts = result.figures.by_class.values()
    assert sum(group.cost for group in parts) == pytest.approx(result.figures.overall.cost)
    assert sum(group.utilization for group in parts) == pytest.approx(result.figures.overall.utilization, rel=1e-3)


def test_requests_are_kept_only_where_asked() -> None:
    with pytest.raises(ResultError, match="this result has no table 'requests'"):
        _ = sim.simulate(replace(SCENARIO, horizon_s=100.0)).requests


def test_who_never_gets_an_answer_counts_as_infinitely_late() -> None:
    version = replace(SCENARIO.models[0].versions[0], service=Constant(value_s=50.0), replicas=Replicas(initial=1))
    arrivals = RequestClass(
        name="c", model="m", arrivals=Times(at_s=(0.0, 1.0, 2.0, 3.0)), patience_s=Constant(value_s=1)
    )
    scenario = Scenario(
        name="late", horizon_s=100.0, models=(replace(SCENARIO.models[0], versions=(version,)),), traffic=(arrivals,)
    )
    figures = sim.simulate(scenario).figures.overall
    assert figures.response_s["mean"].value == 50.0
    assert figures.response_s["p50"].value == np.inf
    assert figures.wait_s["mean"].value == 0.75


def test_a_policy_that_says_nothing_is_told() -> None:
    deaf = replace(SCENARIO, control=replace(SCENARIO.control, loss=1.0))
    notes = " ".join(sim.simulate(deaf).figures.notes)
    assert "the policy kept what there was at most ticks, mostly because busy_s_total was not read twice yet" in notes


def write_half(folder: Path) -> None:
    with replacing(folder) as new:
        (new / "result.json").write_text("half")
        raise OSError("the disk is full")


def test_saving_is_whole_or_not_at_all(tmp_path: Path, result: Result) -> None:
    folder = tmp_path / "result"
    result.save(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(OSError, match="the disk is full"):
        write_half(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_the_same_run_is_saved_as_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        sim.simulate(replace(SCENARIO, horizon_s=600.0)).save(tmp_path / name)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
