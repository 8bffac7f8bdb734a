"""Runs that go on, repeat themselves or are broken off: what they say of themselves."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sim
from policies import specfile
from sim.arrivals import Diurnal, Poisson
from sim.cli import main
from sim.run import Interrupted
from sim.scenario import Model, Replicas, RequestClass, Scenario, Slo, Version
from sim.service import Constant, Exponential

SCENARIO = Scenario(
    name="brief",
    horizon_s=1280.0,
    slo=Slo(response_s=3.0),
    models=(
        Model(name="m", versions=(Version(name="v1", service=Exponential(mean_s=1.0), replicas=Replicas(initial=2)),)),
    ),
    traffic=(RequestClass(name="a", model="m", arrivals=Poisson(rate_per_s=1.0)),),
)


class Impatient:
    """Presses Ctrl-C when so much is done, and may be asked what was told."""

    def __init__(self, at: float) -> None:
        self._at = at
        self.told: list[tuple[float, float, str]] = []

    def __call__(self, share: float, simulated_s: float, words: str) -> None:
        self.told.append((share, simulated_s, words))
        if share >= self._at:
            self._at = float("inf")
            signal.raise_signal(signal.SIGINT)


def broken_off(scenario: Scenario, at: float, **how: Any) -> sim.Result:
    with pytest.raises(KeyboardInterrupt) as broken:
        sim.simulate(scenario, progress=Impatient(at), **how)
    assert isinstance(broken.value, Interrupted)
    return broken.value.result


def test_ctrl_c_ends_a_run_with_what_there_is() -> None:
    result = broken_off(SCENARIO, 0.5)
    assert (result.partial, result.end_s, result.simulated_s) == (True, 640.0, 640.0)
    assert "broken off: this is a part of it, 640 of 1,280 s" in result.figures.notes[0]
    whole = sim.simulate(replace(SCENARIO, horizon_s=640.0))
    assert result.figures.overall.requests.arrived == pytest.approx(whole.figures.overall.requests.arrived)
    assert result.pools["time_s"].max() == 640.0
    counts = result.figures.overall.requests
    assert counts.arrived == counts.completed + counts.waiting
    assert result.to_json()["partial"] is True


def test_a_run_may_be_broken_off_within_a_window() -> None:
    result = broken_off(SCENARIO, 0.3)
    assert result.end_s == 385.0
    assert result.course["requests_arrived"].sum() == 2 * result.figures.overall.requests.arrived


def test_of_replications_those_that_ended_are_left() -> None:
    result = broken_off(SCENARIO, 0.6, replications=4, keep_requests=True)
    assert (result.partial, result.replications, result.end_s) == (True, 2, 1280.0)
    assert "2 of 4 replications" in result.figures.notes[0]
    assert set(result.requests["replication"]) == {0, 1}
    alone = broken_off(SCENARIO, 0.1, replications=4)
    assert (alone.replications, alone.end_s) == (1, 512.5)


def test_a_warm_up_longer_than_what_was_simulated_is_not_cut() -> None:
    assert broken_off(replace(SCENARIO, warmup_s=600.0), 0.25).warmup_s == 0.0
    assert broken_off(replace(SCENARIO, warmup_s=600.0), 0.75).warmup_s == 600.0


def test_a_second_ctrl_c_breaks_off_at_once() -> None:
    def angry(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as broken:
        sim.simulate(SCENARIO, progress=angry)
    assert not isinstance(broken.value, Interrupted)


def test_a_run_that_is_not_yet_precise_says_so() -> None:
    result = broken_off(SCENARIO, 1.0, precision=0.001)
    assert (result.partial, result.end_s) == (True, 1280.0)
    assert "not yet as precise as asked" in result.figures.notes[0]


def test_a_lengthened_run_ends_at_a_boundary_and_has_at_most_256_windows() -> None:
    result = sim.simulate(SCENARIO, precision=0.03)
    estimate = result.figures.overall.response_s["mean"]
    assert estimate.relative <= 0.03
    assert result.end_s > SCENARIO.horizon_s
    assert result.end_s % 10.0 == 0.0
    assert 128 <= len(result.course) / 2 <= 256
    assert result.course["length_s"].sum() == pytest.approx(2 * result.end_s)


def test_a_run_without_precision_is_not_partial() -> None:
    found = sim.simulate(SCENARIO).to_json()
    assert (found["partial"], found["simulated_s"], found["requests_share"]) == (False, 1280.0, None)


def test_progress_is_that_of_all_replications_together() -> None:
    for jobs in (1, 2):
        watching = Impatient(at=9.0)
        sim.simulate(SCENARIO, replications=3, jobs=jobs, progress=watching)
        shares = [share for share, *_ in watching.told]
        assert shares == sorted(shares)
        assert watching.told[-1] == (1.0, 3 * 1280.0, "3 of 3 replications")


def test_a_run_repeated_until_it_is_precise_is_the_same_in_processes() -> None:
    daily = Diurnal(mean_rate_per_s=1.0, peak_rate_per_s=1.5, peak_at_s=0.0, period_s=1280.0)
    scenario = replace(SCENARIO, traffic=(replace(SCENARIO.traffic[0], arrivals=daily),))
    alone, together = (sim.simulate(scenario, precision=0.05, jobs=jobs) for jobs in (1, 2))
    assert alone.replications > 5
    assert alone.to_json() == together.to_json()


def test_an_error_in_a_process_is_told_as_if_it_were_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.csv").write_text("time_s,service_s\n0,1\n50,1\n")
    path = tmp_path / "traced.yaml"
    arrivals = "{kind: trace, file: log.csv, repeat_s: 20}"
    path.write_text(
        "name: t\nhorizon_s: 100\nmodels: [{name: m, versions: [{name: v, service: {kind: constant, value_s: 1}, "
        f"replicas: {{initial: 1}}}}]}}]\ntraffic: [{{name: a, model: m, arrivals: {arrivals}}}]\n"
    )
    assert main(["run", str(path), "--replications", "2", "--jobs", "2"]) == 2
    assert "repeat_s 20 cuts" in capsys.readouterr().err


def test_constants_are_exact_and_who_is_there_too_long_has_missed_the_objective() -> None:
    version = Version(name="v1", service=Constant(value_s=4.0), replicas=Replicas(initial=1))
    late = replace(
        SCENARIO,
        horizon_s=100.0,
        warmup_s=0.0,
        slo=Slo(response_s=5.0),
        models=(Model(name="m", versions=(version,)),),
        traffic=(replace(SCENARIO.traffic[0], arrivals=Poisson(rate_per_s=0.05)),),
    )
    figures = sim.simulate(late, seed=3).figures.overall
    assert figures.response_s["p50"].value == 4.0
    stuck = replace(late, models=(Model(name="m", versions=(replace(version, replicas=Replicas(initial=0)),)),))
    waiting = sim.simulate(stuck, seed=3).figures.overall
    assert waiting.requests.waiting == waiting.requests.arrived > 0
    assert waiting.slo_attainment is not None
    assert waiting.slo_attainment.value == 0.0
    assert 5.0 < waiting.response_s["p99"].value < 100.0


@pytest.mark.parametrize("how", [[], ["--replications", "3", "--jobs", "2"]], ids=["one", "processes"])
def test_ctrl_c_at_the_terminal_prints_and_saves_a_part(tmp_path: Path, how: list[str]) -> None:
    path, out = tmp_path / "long.yaml", tmp_path / "out"
    path.write_text(specfile.write(replace(SCENARIO, horizon_s=4e6)))
    command = [sys.executable, "-m", "sim.cli", "run", str(path), "--json", "--requests", "--out", str(out), *how]
    # A terminal sends Ctrl-C to all processes that it runs.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        while not list(tmp_path.glob(".out-*/0.parquet")):
            assert running.poll() is None
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        printed, told = running.communicate(timeout=100)
    assert running.returncode == 130, told
    found = json.loads(printed)
    assert found["partial"] is True
    assert 0 < found["simulated_s"] < 4e6
    assert "Traceback" not in told
    assert sorted(p.name for p in tmp_path.iterdir()) == ["long.yaml", "out"]
    saved = sim.read(out)
    assert saved.partial
    assert len(saved.requests) == found["overall"]["requests"]["arrived"]


@pytest.mark.parametrize(
    ("asked", "fault"),
    [({"engine": "fast"}, "engine 'fast' is unknown; engines are plane, reference"), ({"jobs": 0}, "jobs 0 is no")],
)
def test_engines_and_jobs_that_there_are_not_are_refused(asked: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        sim.simulate(SCENARIO, **asked)
