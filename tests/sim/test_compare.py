"""Policies on the same requests: what differs, how sure that is, and what is said of it."""

import json
import math
import signal
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim
from policies.catalog import PolicySpec
from policies.faults import InputError
from policies.fixed import FixedSpec
from policies.schedule import ScheduleSpec, Step
from policies.target import TargetSpec
from sim import cli
from sim.arrivals import Diurnal, Poisson, Times
from sim.chance import chances
from sim.comparing import Interrupted, compare
from sim.comparison import Comparison
from sim.comparison_tables import grids
from sim.comparison_words import plus_minus
from sim.intervals import Estimate
from sim.loghistogram import LogHistogram
from sim.mmpp import Mmpp, RateState
from sim.paired import difference, figures, holm, replications_needed, surprise
from sim.pieces import MEASURES, Piece, Sum, together
from sim.scenario import Control, Model, Replicas, RequestClass, Scenario, Slo, Version
from sim.service import Constant, Exponential

SCENARIO = Scenario(
    name="counter",
    horizon_s=1000.0,
    warmup_s=0.0,
    replications=6,
    slo=Slo(response_s=3.0, quantile=0.8),
    control=Control(tick_s=20.0, scrape_s=20.0),
    models=(
        Model(
            name="m",
            versions=(
                Version(
                    name="v1",
                    service=Exponential(mean_s=1.0),
                    cost_per_hour=1.0,
                    replicas=Replicas(initial=3, at_least=1, at_most=9),
                ),
            ),
        ),
    ),
    traffic=(RequestClass(name="a", model="m", arrivals=Poisson(rate_per_s=1.8)),),
)


def fixed(replicas: int) -> FixedSpec:
    return FixedSpec(replicas={"v1": replicas})


SIZES: dict[str, PolicySpec] = {"two": fixed(2), "three": fixed(3), "five": fixed(5)}


@pytest.fixture(scope="module")
def sizes() -> Comparison:
    return compare(SCENARIO, SIZES)


def half(e: Estimate) -> float:
    return e.half_width


def test_a_policy_against_itself_differs_by_exactly_nothing() -> None:
    twice = compare(SCENARIO, {"one": TargetSpec(), "other": TargetSpec()})
    for measure, d in twice.paired["one", "other"].items():
        assert (d.absolute.value, d.absolute.low, d.absolute.high) == (0.0, 0.0, 0.0), measure
    assert twice.priced["one", "other"].apart is False
    assert twice.verdicts[1].endswith("costs the same as one")


def test_differences_turn_around(sizes: Comparison) -> None:
    for a, b in combinations(SIZES, 2):
        for measure in MEASURES:
            there, back = sizes.paired[a, b][measure].absolute, sizes.paired[b, a][measure].absolute
            assert (back.value, back.low, back.high) == (-there.value, -there.high, -there.low)
        up, down = sizes.paired[a, b]["cost_usd"].relative.value, sizes.paired[b, a]["cost_usd"].relative.value
        assert (1 + up) * (1 + down) == pytest.approx(1)


def test_jobs_change_no_byte() -> None:
    alone, shared = (compare(SCENARIO, SIZES, jobs=jobs, replications=2).to_json() for jobs in (1, 2))
    assert json.dumps(alone) == json.dumps(shared)


def test_figures_are_those_of_a_run_of_its_own(sizes: Comparison) -> None:
    for name, spec in SIZES.items():
        alone = sim.simulate(replace(SCENARIO, policy=spec)).figures.overall
        found = sizes.figures[name]
        assert found["slo_attainment"] == alone.slo_attainment
        for p in ("p50", "p95", "p99"):
            assert found[f"response_{p}_s"].value == alone.response_s[p].value
        assert found["cost_usd"].value == pytest.approx(alone.cost)
        assert found["replica_hours"].value == pytest.approx(alone.replica_hours)


def test_figures_of_a_stationary_run_leave_the_warm_up_out() -> None:
    scenario = replace(SCENARIO, warmup_s="auto", replications=1, horizon_s=4000.0)
    found = compare(scenario, SIZES)
    assert found.interval == "one run cut into stretches of equal time, paired"
    latest = max(sim.simulate(replace(scenario, policy=spec)).warmup_s for spec in SIZES.values())
    assert found.warmup_s == latest
    assert math.isfinite(half(found.paired["two", "three"]["slo_attainment"].absolute))


def test_paired_intervals_are_narrower_than_those_of_two_runs_apart() -> None:
    """Bursts cost whoever follows them; how many there were is the same luck for both."""
    bursts = Mmpp(
        states=(RateState(rate_per_s=0.5, mean_sojourn_s=200.0), RateState(rate_per_s=4.0, mean_sojourn_s=200.0))
    )
    bursty = replace(SCENARIO, traffic=(RequestClass(name="a", model="m", arrivals=bursts),))
    found = compare(bursty, {"tight": TargetSpec(utilization=0.7), "wide": TargetSpec(utilization=0.6)})
    paired = half(found.paired["tight", "wide"]["cost_usd"].absolute)
    apart = math.hypot(*(half(found.figures[name]["cost_usd"]) for name in ("tight", "wide")))
    assert paired < 0.4 * apart


@pytest.mark.slow
def test_paired_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Comparisons of six replications each; the truth is taken from all of them together."""
    studies, each = 120, 6
    scenario = replace(SCENARIO, horizon_s=400.0, replications=studies * each)
    whole = compare(scenario, {"three": fixed(3), "target": TargetSpec()}, jobs=2)
    hits = dict.fromkeys(("slo_attainment", "response_p95_s", "cost_usd"), 0)
    for study in range(studies):
        one, other = (
            figures(whole.batches[name][study * each : (study + 1) * each], serial=False) for name in whole.policies
        )
        for measure in hits:
            e = difference(one[measure], other[measure], serial=False).absolute
            hits[measure] += e.low <= whole.paired["three", "target"][measure].absolute.value <= e.high
    for measure, found in hits.items():
        assert found / studies >= 0.89, (measure, found / studies)


pieces = st.builds(
    lambda times, sums: Piece(
        0.0, np.array([*sums, *range(len(Sum) - 3)], dtype=float), LogHistogram.of_times(np.array(times, dtype=float))
    ),
    st.lists(st.floats(0.01, 100.0), min_size=0, max_size=20),
    st.lists(st.integers(0, 9), min_size=3, max_size=3),
)


@given(st.lists(pieces, min_size=2, max_size=5))
def test_a_whole_without_a_part_is_the_rest(parts: list[Piece]) -> None:
    left, rest = together(parts).without(parts[0]), together(parts[1:])
    assert left.sums.tolist() == rest.sums.tolist()
    assert left.response.buckets.tolist() == rest.response.buckets.tolist()
    assert left.response.counts.tolist() == rest.response.counts.tolist()
    assert left.response.total_s == rest.response.total_s


def test_changes_and_reversals_are_counted_pool_by_pool() -> None:
    """Up at 100 s, up at 200 s, down at 300 s, up at 400 s: four changes, two of them the other way."""
    steps = ((0, 2), (100, 4), (200, 6), (300, 2), (400, 3))
    there_and_back = ScheduleSpec(steps=tuple(Step(at_s=float(s), replicas={"v1": n}) for s, n in steps))
    found = compare(replace(SCENARIO, horizon_s=3600.0), {"steady": fixed(2), "swinging": there_and_back})
    assert found.figures["steady"]["scale_events_per_pool_hour"].value == 0
    assert found.figures["swinging"]["scale_events_per_pool_hour"].value == pytest.approx(4)
    assert found.figures["swinging"]["reversals_per_pool_hour"].value == pytest.approx(2)


def test_what_must_be_right_together_is_asked_for_more() -> None:
    """The example of four p-values: 0.005 passes 0.05 / 4 and 0.01 passes 0.05 / 3, 0.03 fails 0.05 / 2."""
    holds, left = holm([0.01, 0.04, math.nan, 0.03, 0.005])
    assert holds == [True, False, False, False, True]
    assert left == pytest.approx(0.025)


def test_a_value_two_standard_errors_off_surprises_as_student_says() -> None:
    # Student's t with 9 degrees of freedom: 2.262157 standard errors are the 95 % interval.
    e = Estimate(1.0, 1.0 - 2.262157 * 0.5, 1.0 + 2.262157 * 0.5, 10)
    assert surprise(e) == pytest.approx(0.0766, abs=1e-4)
    assert surprise(replace(e, value=0.0, low=-1.0, high=1.0)) == 1.0
    assert math.isnan(surprise(Estimate(1.0, math.nan, math.nan, 1)))


def test_replications_that_would_tell_are_just_enough() -> None:
    e = Estimate(1.0, 1.0 - 2.262157 * 0.5, 1.0 + 2.262157 * 0.5, 10)
    needed = replications_needed(e, 0.0, 0.05)
    assert needed == 13  # 0.5 * sqrt(10 / 13) * t(12) = 0.955; with 12 it would be 1.005
    assert replications_needed(replace(e, value=1e-6, low=-1.0, high=1.0), 0.0, 0.05) is None


def test_sentences_say_who_meets_the_objective_and_who_is_cheaper(sizes: Comparison) -> None:
    assert [sizes.objective(name) for name in SIZES] == ["missed", "met", "met"]
    assert sizes.reference == "three"
    assert sizes.frontier == ["two", "three", "five"]
    first, *others = sizes.verdicts
    assert first.startswith("three meets the SLO (")
    assert first.endswith("at the lowest price of those that do: 0.8333 USD")
    assert others[0].startswith("two misses the SLO (")
    assert "% within 3 s, 80 % asked) and is 33.3 % cheaper than three" in others[0]
    assert others[1].endswith("and costs 66.7 % more than three")


def test_what_cannot_be_told_apart_is_said_with_what_would() -> None:
    """Half a tenth of a target's difference is lost in two replications."""
    near: dict[str, PolicySpec] = {"a": TargetSpec(utilization=0.60), "b": TargetSpec(utilization=0.605)}
    found = compare(replace(SCENARIO, replications=2), near)
    assert found.priced["a", "b"].apart is False
    assert any("not distinguishable from" in words and "would tell" in words for words in found.verdicts)
    assert found.notes[0] == "2 replications make wide intervals; with --replications 5 or more they narrow"


def certain(horizon_s: float = 200.0) -> Scenario:
    """A request each second, a second of work each, nothing lost: no dice are thrown."""
    version = Version(name="v1", service=Constant(value_s=1.0), cost_per_hour=1.0, replicas=Replicas(initial=2))
    return replace(
        SCENARIO,
        horizon_s=horizon_s,
        replications=1,
        control=Control(tick_s=20.0, loss=0.0),
        models=(Model(name="m", versions=(version,)),),
        traffic=(RequestClass(name="a", model="m", arrivals=Times(at_s=tuple(map(float, range(200))))),),
    )


def test_where_nothing_is_random_differences_are_exact() -> None:
    assert chances(certain()) == []
    found = compare(certain(), {"one": fixed(1), "two": fixed(2)})
    d = found.paired["two", "one"]["cost_usd"]
    assert d.absolute.value == pytest.approx(200 / 3600)
    assert math.isnan(d.absolute.low)
    assert (found.interval, found.statements) == ("none", 0)
    assert found.notes == [
        "nothing is left to chance in this scenario: figures and differences are exact, and have no intervals"
    ]
    assert found.verdicts[1].endswith("costs 100 % more than one")


def test_one_course_of_a_changing_load_has_no_intervals_and_says_so() -> None:
    lossy = replace(certain(), control=Control(tick_s=20.0))
    words = compare(lossy, {"one": fixed(1), "two": fixed(2)}).notes[0]
    assert "one run of replayed arrivals; chance is left in lost scrapes" in words
    rhythm = Diurnal(mean_rate_per_s=1.0, peak_rate_per_s=2.0, peak_at_s=100.0, period_s=200.0)
    swelling = replace(lossy, traffic=(RequestClass(name="a", model="m", arrivals=rhythm),))
    words = compare(swelling, {"one": fixed(1), "two": fixed(2)}).notes[0]
    assert "one course of a load that changes with time" in words


class Impatient:
    """Presses Ctrl-C when so much is done."""

    def __init__(self, at: float) -> None:
        self._at = at

    def __call__(self, share: float, _simulated_s: float, _words: str) -> None:
        if share >= self._at:
            self._at = math.inf
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_leaves_the_replications_that_all_policies_finished() -> None:
    with pytest.raises(Interrupted) as broken:
        compare(SCENARIO, SIZES, progress=Impatient(0.6))
    found = broken.value.comparison
    assert (found.replications, found.partial) == (3, "3 of 6 replications")
    first = compare(SCENARIO, SIZES, replications=3)
    assert found.figures == first.figures
    with pytest.raises(KeyboardInterrupt) as nothing:
        compare(SCENARIO, SIZES, progress=Impatient(0.01))
    assert not isinstance(nothing.value, Interrupted)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="give two or more"):
        compare(SCENARIO, {"one": fixed(1)})
    with pytest.raises(InputError, match="reference 'four' is none of the policies; they are two, three, five"):
        compare(SCENARIO, SIZES, reference="four")
    with pytest.raises(InputError, match="policy lost: 'v7' is not the name of one pool"):
        compare(SCENARIO, {**SIZES, "lost": FixedSpec(replicas={"v7": 1})})
    with pytest.raises(ValueError, match="jobs 0 is no number of processes"):
        compare(SCENARIO, SIZES, jobs=0)


def test_prices_that_nobody_gave_are_replica_hours() -> None:
    version = replace(SCENARIO.models[0].versions[0], cost_per_hour=0.0)
    free = replace(SCENARIO, slo=None, models=(Model(name="m", versions=(version,)),))
    found = compare(free, SIZES)
    assert (found.price, found.quality, found.reference) == ("replica_hours", "response_p95_s", "two")
    assert found.verdicts[1].endswith("takes 50 % more replica-hours than two")
    assert "no replica has a price" in found.notes[0]
    assert found.plot_frontier().get_ylabel() == "p95 response time (s)"


def test_the_frontier_is_drawn_with_labels_apart(sizes: Comparison) -> None:
    ax = sizes.plot_frontier()
    figure = ax.get_figure()
    assert figure is not None
    figure.draw_without_rendering()  # type: ignore[union-attr]
    labels = {t.get_text(): t.get_window_extent() for t in ax.texts if t.get_text() in SIZES}
    assert set(labels) == set(SIZES)
    assert not any(a.overlaps(b) for a, b in combinations(labels.values(), 2))
    assert all(ax.get_window_extent().containsx(box.x0) for box in labels.values())
    assert sizes.plot_frontier(ax) is ax


def test_crowded_labels_stand_apart_too() -> None:
    crowd: dict[str, PolicySpec] = {f"policy-{n}": TargetSpec(utilization=0.6 + n / 1000) for n in range(8)}
    ax = compare(replace(SCENARIO, replications=2), crowd).plot_frontier()
    boxes = [t.get_window_extent() for t in ax.texts if t.get_text() in crowd]
    assert len(boxes) == 8
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_a_comparison_is_saved_whole_and_only_over_its_like(sizes: Comparison, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    sizes.save(folder)
    first = (folder / "report.html").read_bytes()
    sizes.save(folder)
    assert (folder / "report.html").read_bytes() == first
    assert json.loads((folder / "comparison.json").read_text()) == sizes.to_json()
    assert sorted(path.name for path in (folder / "policies").iterdir()) == ["five.yaml", "three.yaml", "two.yaml"]
    assert len(sizes.tables["differences"]) == 6 * len(MEASURES)
    assert len(sizes.tables["replications"]) == 3 * 6
    sim.simulate(SCENARIO).save(tmp_path / "run")
    with pytest.raises(InputError, match="something else than a result is there"):
        sizes.save(tmp_path / "run")
    assert "three meets the SLO" in sizes._repr_html_()


@pytest.mark.parametrize(
    ("e", "words"),
    [
        (Estimate(0.992, 0.989, 0.995, 5), "99.20 \N{PLUS-MINUS SIGN} 0.30 %"),
        (Estimate(1.0, 1.0, 1.0, 5), "100 %"),
        (Estimate(math.nan, math.nan, math.nan, 0), "-"),
        (Estimate(0.5, math.nan, math.nan, 1), "50 %"),
    ],
)
def test_values_are_told_as_finely_as_they_are_known(e: Estimate, words: str) -> None:
    assert plus_minus(e, "%") == words


YAML = """\
name: counter
horizon_s: 1000
replications: 6
slo: { response_s: 3, quantile: 0.8 }
models:
  - name: m
    versions:
      - name: v1
        service: { kind: exponential, mean_s: 1 }
        cost_per_hour: 1
        replicas: { initial: 3, at_most: 9 }
traffic:
  - { name: a, model: m, arrivals: { kind: poisson, rate_per_s: 1.8 } }
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "counter.yaml").write_text(YAML)
    (tmp_path / "five.yaml").write_text("kind: fixed\nreplicas: { v1: 5 }\n")
    (tmp_path / "follow.yaml").write_text("kind: target\n")
    return tmp_path


def compared(files: Path, *arguments: str) -> int:
    names = [str(files / a) if a.endswith(".yaml") else a for a in arguments]
    return cli.main(["compare", str(files / "counter.yaml"), *names])


def test_the_command_prints_verdicts_and_writes_what_it_is_asked_to(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, drawn = files / "out", files / "drawn"
    asked = ("--policies", "own", "five.yaml", "follow.yaml", "--out", str(out), "--figures", str(drawn))
    assert compared(files, *asked) == 0
    told = capsys.readouterr()
    for words in ("own m", "the SLO (", "Differences from ", "(Holm", "reversals", "6 replications, paired"):
        assert words in told.out
    assert {path.name for path in drawn.iterdir()} == {"frontier.png", "frontier.svg", "report.html"}
    assert (out / "comparison.json").exists()


def test_the_command_gives_programs_one_object(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--policies", "own", "five.yaml", "--json", "--replications", "3", "--seed", "9", "--reference", "five")
    assert compared(files, *asked) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["replications"], found["seed"], found["reference"]) == (3, 9, "five")
    assert set(found["policies"]) == {"own", "five"}
    assert found["policies"]["five"]["policy"] == {"kind": "fixed", "replicas": {"v1": 5}}
    assert {(d["policy"], d["against"]) for d in found["differences"]} == {("own", "five"), ("five", "own")}


def test_faults_of_policy_files_are_told_all_at_once(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "wrong.yaml").write_text("kind: target\nutilization: 3\n")
    (files / "lost.yaml").write_text("kind: fixed\nreplicas: { v7: 1 }\n")
    assert compared(files, "--policies", "wrong.yaml", "lost.yaml", "gone.yaml", "five.yaml", "five.yaml") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(f"{files / 'wrong.yaml'}:2:14: utilization: ")
    assert lines[1].startswith(f"{files / 'lost.yaml'}:1:1: 'v7' is not the name of one pool")
    assert lines[2].startswith(f"{files / 'gone.yaml'}:1:1: no such file")
    assert "the name five is taken" in lines[3]


def test_one_policy_alone_is_bad_input(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(files, "--policies", "five.yaml") == 2
    assert "give two or more" in capsys.readouterr().err


def test_the_gap_to_perfect_foresight_is_a_column_and_a_sentence() -> None:
    """Foresight pays for what comes; five replicas are kept whatever comes."""
    found = compare(replace(SCENARIO, horizon_s=400.0, replications=2), {"five": fixed(5)}, clairvoyant=True)
    assert found.reference == "five"
    gap = found.to_json()["policies"]["five"]["gap_to_clairvoyant"]
    five, knowing = (found.figures[name]["cost_usd"].value for name in ("five", "clairvoyant"))
    assert gap == pytest.approx(five / knowing - 1)
    assert gap > 0
    assert found.verdicts[-1].startswith("the gap of five to perfect foresight (clairvoyant) is +")
    printed = [grid.columns[-1] for grid in grids(found)]
    assert "gap to the clairvoyant" in printed


def test_what_seems_so_is_not_said_to_be_so(sizes: Comparison) -> None:
    """In two short runs hardly anything is sure, and no word says more than that."""
    found = compare(replace(SCENARIO, replications=2, horizon_s=300.0), {"lean": fixed(3), "follow": TargetSpec()})
    assert [found.objective(name) for name in found.policies] == ["open", "open"]
    assert all("seems to meet the SLO" in words for words in found.verdicts[:2])
    assert not any("seems" in words for words in sizes.verdicts)
