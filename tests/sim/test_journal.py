"""What a journal tells is what happened: as figures, tables and pictures, as far as scrapes can show it."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim
from policies.decision import Decision
from policies.faults import InputError
from policies.fixed import FixedSpec
from policies.histogram import Histogram
from policies.journal import Header, Record, older, to_line
from policies.loop import Action, Turn
from policies.observation import Flow, Observation, PoolReading
from policies.spec import plain
from policies.testing import traits
from sim import cli
from sim.observed import observe
from sim.spread import spread
from sim.startups import Startups

JOURNAL = Path(__file__).parent / "journals" / "assistant.jsonl"
SCENARIO = """\
name: two-classes
horizon_s: 7200
slo: { response_s: 5 }
models:
  - name: m
    routing: { kind: weighted, weights: { v1: 3, v2: 1 }, by_class: { batch: { v2: 1 } } }
    versions:
      - name: v1
        service: { kind: exponential, mean_s: 1 }
        cost_per_hour: 2
        startup: 40
        replicas: { initial: 3, at_least: 1, at_most: 30 }
      - name: v2
        parents: [v1]
        service: { kind: gamma, mean_s: 2, scv: 0.3 }
        cost_per_hour: 1
        startup: 40
        replicas: { initial: 5, at_least: 1, at_most: 30 }
traffic:
  - { name: chat, model: m, arrivals: { kind: poisson, rate_per_s: 2 }, patience_s: 20 }
  - { name: batch, model: m, arrivals: { kind: poisson, rate_per_s: 1 } }
policy: { kind: fcfs, wait_s: 1, quantile: 0.9 }
"""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> sim.Scenario:
    path = tmp_path_factory.mktemp("scenario") / "scenario.yaml"
    path.write_text(SCENARIO)
    return sim.load(path)


@pytest.fixture(scope="module")
def true(scenario: sim.Scenario) -> sim.Result:
    return sim.simulate(replace(scenario, warmup_s=0.0))


@pytest.fixture(scope="module")
def told(scenario: sim.Scenario, tmp_path_factory: pytest.TempPathFactory) -> sim.Result:
    """What the journal of the same run tells."""
    path = tmp_path_factory.mktemp("journal") / "two-classes.jsonl"
    sim.write_journal(scenario, path)
    return sim.read_journal(path)


def head(**known: Any) -> Header:
    pools = {"m/v1": traits(**{"service_s": 1.0, **known})}
    return Header(time_s=0.0, version="1", policy=plain(FixedSpec()), pools=pools, config={"slo": {"response_s": 1.0}})


def write(path: Path, *records: Record) -> Path:
    path.write_bytes(b"".join(map(to_line, records)))
    return path


def turn(time_s: float, *, ready: int | None = 2, action: Action | None = None, **flow: Any) -> Turn:
    reading = PoolReading(wanted=ready, starting=0, ready=ready, draining=0, age_s=0.0, total=Flow(**flow))
    return Turn(Observation(time_s, {"m/v1": reading}), Decision(), {} if action is None else {"m/v1": action})


def counted(arrived: Sequence[float | None], **known: Any) -> list[Turn]:
    return [turn(60.0 * k, arrived_total=n, completed_total=n, **known) for k, n in enumerate(arrived)]


@pytest.mark.parametrize(
    ("kind", "name"), [("overall", ""), ("version", "m/v1"), ("version", "m/v2"), ("class", "chat")]
)
def test_requests_and_times_are_those_of_the_run(kind: str, name: str, true: sim.Result, told: sim.Result) -> None:
    was, seems = ({(k, n): g for k, n, g in r.figures.groups()}[kind, name] for r in (true, told))
    # What was scraped last was half a minute before the end.
    for what in ("arrived", "completed", "abandoned"):
        assert getattr(seems.requests, what) == pytest.approx(getattr(was.requests, what), rel=0.01, abs=2)
    assert seems.response_s["mean"].value == pytest.approx(was.response_s["mean"].value, rel=0.01)
    for quantile in ("p50", "p95", "p99"):
        # Buckets are as wide as 1-2-5.
        assert seems.response_s[quantile].value == pytest.approx(was.response_s[quantile].value, rel=0.07)
    assert seems.slo_attainment is not None
    assert was.slo_attainment is not None
    assert seems.slo_attainment.value == pytest.approx(was.slo_attainment.value, abs=0.003)


def test_replicas_and_their_cost_are_those_of_the_run(true: sim.Result, told: sim.Result) -> None:
    was, seems = true.figures.overall, told.figures.overall
    assert seems.cost == pytest.approx(was.cost, rel=0.01)
    assert seems.utilization == pytest.approx(was.utilization, rel=0.01)
    assert seems.scale_events == was.scale_events
    columns = ["pool", "replicas_starting", "replicas_ready", "replicas_draining"]
    seen = told.pools[told.pools["time_s"] > 0]
    # A reading is of before its turn's decision; the run's own row of after it.
    after = true.pools[true.pools["time_s"] > 0.0]
    assert list(seen.columns) == list(after.columns)
    assert (seen[columns].to_numpy() == after[columns].to_numpy()).all(axis=1).mean() > 0.9


def test_what_comes_in_goes_out_or_is_there(told: sim.Result) -> None:
    for _, _, group in told.figures.groups():
        r = group.requests
        assert r.arrived == r.completed + r.rejected + r.abandoned + r.failed + r.waiting


def test_decisions_are_those_of_the_policy(true: sim.Result, told: sim.Result) -> None:
    assert told.decisions["because"].tolist() == true.decisions["because"].tolist()
    assert told.decisions["time_s"].tolist() == true.decisions["time_s"].tolist()


def test_a_live_journal_has_every_figure_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", str(JOURNAL), "--json", "--figures", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["overall"]["slo_attainment"] > 0.99
    assert found["overall"]["requests"]["completed"] > 20_000
    assert "recorded, not simulated" in found["notes"][0]
    assert {path.stem for path in tmp_path.glob("*.svg")} >= {"rates", "replicas", "response_quantiles", "cost"}
    assert "recorded, not simulated" in (tmp_path / "report.html").read_text()


def test_a_result_from_a_journal_is_saved_and_read_as_any_other(tmp_path: Path) -> None:
    result = sim.read_journal(JOURNAL)
    result.save(tmp_path / "out")
    again = sim.read(tmp_path / "out")
    assert again.figures.overall.requests == result.figures.overall.requests
    assert len(again.pools) == 2 * 160


def test_what_was_not_read_is_unknown_and_never_zero(tmp_path: Path) -> None:
    turns = [turn(0.0, arrived_total=0.0, queued=2.0), turn(60.0, ready=None), turn(120.0, arrived_total=50.0)]
    result = sim.read_journal(write(tmp_path / "j.jsonl", head(), *turns))
    pools = result.pools
    assert pools["replicas_ready"].isna().tolist() == [False, True, False]
    assert pools["requests_queued"].tolist()[0] == 2
    assert pools["requests_queued"].isna().tolist() == [False, True, True]
    assert pools["requests_abandoned_total"].isna().all()
    assert result.figures.overall.slo_attainment is None
    assert any("nothing tells whether the objective was met" in note for note in result.figures.notes)


def test_a_counter_that_went_back_was_restarted(tmp_path: Path) -> None:
    path = write(tmp_path / "j.jsonl", head(), *counted([0, 100, None, 250, 30, 90]))
    assert sim.read_journal(path).figures.overall.requests.arrived == 250 + 90


def test_what_was_counted_before_the_first_file_that_is_left_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    write(older(path, 7), head(), *counted([5000, 5100]))
    write(path, head(), *counted([5000, 5100, 5200, 5300])[2:])
    result = sim.read_journal(path)
    assert result.figures.overall.requests.arrived == 300
    assert any("the oldest files of the journal are gone" in note for note in result.figures.notes)


def test_replicas_are_not_paid_for_while_nobody_looks(tmp_path: Path) -> None:
    turns = counted([0, 10, 20, 30])
    late = [t._replace(observation=replace(t.observation, time_s=t.observation.time_s + 86400)) for t in turns]
    result = sim.read_journal(write(tmp_path / "j.jsonl", head(), *turns, *late))
    assert result.figures.overall.replica_hours == pytest.approx(2 * 6 / 60)
    assert any(note.startswith("in 1 gaps there were no turns") for note in result.figures.notes)


def test_turns_after_the_clock_went_back_are_left_out_until_it_has_caught_up(tmp_path: Path) -> None:
    turns = counted([0, 10, 20, 30])
    result = sim.read_journal(write(tmp_path / "j.jsonl", head(), *turns, *turns[1:]))
    assert len(result.pools) == 4
    assert any(note.startswith("3 turns are left out") for note in result.figures.notes)


def test_classes_that_leave_out_requests_are_not_told_apart(tmp_path: Path) -> None:
    def both(k: int, gold: float) -> Turn:
        found = turn(60.0 * k, arrived_total=100.0 * k, completed_total=100.0 * k)
        pool = replace(found.observation.pools["m/v1"], classes={"gold": Flow(arrived_total=gold * k)})
        return found._replace(observation=Observation(60.0 * k, {"m/v1": pool}))

    some = observe(write(tmp_path / "some.jsonl", head(), *(both(k, 40.0) for k in range(4))))
    assert some.classes == {"m": ()}
    assert some.notes == ("the classes of m make up 40% of its requests only: it is taken as a whole",)
    assert observe(write(tmp_path / "all.jsonl", head(), *(both(k, 100.0) for k in range(4)))).classes == {
        "m": ("gold",)
    }


def test_one_turn_tells_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 turns tell nothing of what happened between them; it takes two"):
        sim.read_journal(write(tmp_path / "j.jsonl", head(), turn(0.0)))


@st.composite
def histograms(draw: st.DrawFn) -> tuple[Histogram, list[float]]:
    """Of some times, and these."""
    bounds = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
    times = draw(st.lists(st.floats(0.001, 8.0), min_size=1, max_size=60))
    counts = tuple(float(sum(t <= b for t in times)) for b in (*bounds, math.inf))
    return Histogram(bounds, counts, sum(times)), times


@given(histograms())
def test_what_is_spread_keeps_its_buckets(drawn: tuple[Histogram, list[float]]) -> None:
    histogram, times = drawn
    found = spread(histogram)
    assert found.count == len(times)
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        # The bins of what is spread are 0.8 % wide, and a bound may lie within one.
        assert (
            found.counts[found.means_s < bound * 0.992].sum()
            <= count
            <= found.counts[found.means_s < bound * 1.008].sum()
        )


def test_an_exponential_that_is_spread_is_one_again() -> None:
    bounds = np.array([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50])
    counts = tuple(np.round(1e6 * (1 - np.exp(-bounds / 3))).tolist())
    found = spread(Histogram(tuple(bounds.tolist()), (*counts, 1e6), 3e6))
    below = np.cumsum(found.counts)
    for share in (0.1, 0.5, 0.9, 0.99):
        assert found.means_s[np.searchsorted(below, share * 1e6)] == pytest.approx(-3 * math.log(1 - share), rel=0.01)
    assert found.total_s == pytest.approx(3e6, rel=1e-3)


def test_nothing_spread_is_nothing_and_times_beyond_all_bounds_lie_where_their_mean_is() -> None:
    assert spread(Histogram((1.0,), (0.0, 0.0), 0.0)).count == 0
    far = spread(Histogram((1.0,), (0.0, 4.0), 48.0))
    assert far.count == 4
    assert far.total_s == pytest.approx(48.0)
    assert spread(Histogram((), (3.0,), 6.0)).total_s == pytest.approx(6.0)


def look(ready: int, wanted: int) -> PoolReading:
    return PoolReading(wanted=wanted, ready=ready)


def test_replicas_become_ready_in_the_order_in_which_they_were_wanted() -> None:
    startups = Startups(longest_s=60.0)
    startups.see(0.0, look(ready=1, wanted=1), Action(1, 3))
    startups.see(15.0, look(ready=1, wanted=3), Action(3, 4))
    startups.see(30.0, look(ready=2, wanted=4), None)
    startups.see(45.0, look(ready=4, wanted=4), None)
    assert startups.durations_s == [22.5, 37.5, 22.5]


def test_replicas_that_are_wanted_no_more_and_those_after_a_crash_are_not_counted() -> None:
    startups = Startups(longest_s=60.0)
    startups.see(0.0, look(ready=2, wanted=2), Action(2, 4))
    startups.see(15.0, look(ready=2, wanted=4), Action(4, 3))
    startups.see(30.0, look(ready=1, wanted=3), Action(3, 9, "the lease is not held"))
    startups.see(45.0, look(ready=3, wanted=3), None)
    assert startups.durations_s == [37.5]


def test_nothing_is_known_of_those_that_were_on_their_way_while_nobody_looked() -> None:
    startups = Startups(longest_s=60.0)
    startups.see(0.0, look(ready=1, wanted=1), Action(1, 2))
    startups.see(600.0, look(ready=2, wanted=2), None)
    assert startups.durations_s == []
