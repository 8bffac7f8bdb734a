"""A journal is put through its policy again: nothing differs, whatever befell the daemon; what was changed is found."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

import sim
from policies.decision import Decision
from policies.faults import InputError
from policies.fcfs import FcfsSpec
from policies.fixed import FixedSpec
from policies.journal import Gap, Header, Record, older, to_line
from policies.loop import Turn
from policies.spec import plain
from policies.stabilized import StabilizedSpec
from policies.testing import seen, traits
from sim import cli
from sim.recording import header, turns
from sim.replaying import lines

sys.path.insert(0, str(Path(__file__).parent))

from twin_journal import Recorded, rush_per_s

JOURNAL = Path(__file__).parent / "journals" / "assistant.jsonl"
SCENARIO = """\
name: ups-and-downs
horizon_s: 7200
slo: { response_s: 10 }
models:
  - name: m
    versions:
      - name: v1
        service: { kind: exponential, mean_s: 2 }
        startup: 40
        cost_per_hour: 1
        replicas: { initial: 3, at_least: 1, at_most: 30 }
traffic:
  - name: chat
    model: m
    arrivals: { kind: diurnal, mean_rate_per_s: 3, peak_rate_per_s: 6, peak_at_s: 1800, period_s: 3600 }
policy: { kind: stabilized, shrink_s: 300, policy: { kind: fcfs, wait_s: 2, quantile: 0.95 } }
"""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> sim.Scenario:
    path = tmp_path_factory.mktemp("scenario") / "scenario.yaml"
    path.write_text(SCENARIO)
    return sim.load(path)


@pytest.fixture(scope="module")
def simulated(scenario: sim.Scenario) -> list[Turn]:
    return list(turns(scenario))


def write(path: Path, *records: Record) -> Path:
    path.write_bytes(b"".join(map(to_line, records)))
    return path


def head(policy: object = FixedSpec(), cost_per_hour: float = 0.0) -> Header:
    pools = {"m/v1": traits(cost_per_hour=cost_per_hour)}
    return Header(time_s=0.0, version="1", policy=plain(policy), pools=pools, config={})


def wanting(replicas: Iterable[int], tick_s: float = 60.0) -> list[Turn]:
    """Turns of a policy that keeps, while somebody else scales the pool."""
    return [Turn(seen(k * tick_s, wanted=n), Decision(), {}) for k, n in enumerate(replicas)]


def test_what_the_daemon_decided_is_decided_again_across_its_restart() -> None:
    found = sim.replay(JOURNAL)
    assert (found.ticks, found.starts, found.differences, found.uncertain) == (160, 2, (), ())
    assert found.recorded == found.replayed


def test_ten_thousand_ticks_replay_without_a_difference(scenario: sim.Scenario, tmp_path: Path) -> None:
    long = replace(scenario, horizon_s=9_999 * 15.0)
    assert sim.write_journal(long, tmp_path / "journal.jsonl") == 10_000
    found = sim.replay(tmp_path / "journal.jsonl")
    assert (found.ticks, found.differences, found.uncertain) == (10_000, (), ())


@pytest.mark.slow
def test_a_long_day_of_the_daemon_with_restarts_at_odd_times_replays_without_a_difference(tmp_path: Path) -> None:
    world = Recorded(tmp_path / "journal.jsonl", lambda elapsed_s: rush_per_s(elapsed_s % 7200.0), tick_s=15.0)
    for length in (700, 1, 2, 33, 400, 1364):
        world.daemon(length)
    found = sim.replay(tmp_path / "journal.jsonl")
    assert (found.ticks, found.starts, found.differences, found.uncertain) == (2500, 6, (), ())


def test_a_decision_that_was_changed_is_the_one_that_is_found(
    scenario: sim.Scenario, simulated: list[Turn], tmp_path: Path
) -> None:
    at = next(k for k, turn in enumerate(simulated) if k > 100 and turn.actions)
    reason = simulated[at].decision.reasons["m/v1"]
    changed = simulated[at]._replace(decision=Decision({"m/v1": replace(reason, because="a whim")}))
    write(tmp_path / "j.jsonl", header(scenario), *simulated[:at], changed, *simulated[at + 1 :])
    (difference,) = sim.replay(tmp_path / "j.jsonl").differences
    assert (difference.time_s, difference.pool) == (simulated[at].observation.time_s, "m/v1")
    assert difference.replayed == reason
    assert difference.recorded_wanted == difference.replayed_wanted


@pytest.mark.parametrize("cuts", [(0,), (1,), (150, 151), (17, 18, 60, 400)])
def test_wherever_the_daemon_starts_anew_its_memory_comes_back(
    scenario: sim.Scenario, simulated: list[Turn], cuts: Sequence[int], tmp_path: Path
) -> None:
    records: list[Record] = list(simulated)
    for cut in reversed(cuts):
        records.insert(cut, header(scenario))
    found = sim.replay(write(tmp_path / "j.jsonl", header(scenario), *records))
    assert (found.ticks, found.differences, found.uncertain) == (481, (), ())
    assert found.starts == len([cut for cut in cuts if cut]) + 1


def test_files_that_follow_one_another_are_one_journal(
    scenario: sim.Scenario, simulated: list[Turn], tmp_path: Path
) -> None:
    path = tmp_path / "j.jsonl"
    write(older(path, 1), header(scenario), *simulated[:200])
    write(older(path, 2), header(scenario), *simulated[200:300])
    write(path, header(scenario), *simulated[300:])
    found = sim.replay(path)
    assert (found.ticks, found.starts, found.differences, found.uncertain) == (481, 1, (), ())


def test_where_the_oldest_file_is_gone_the_policy_is_not_blamed_for_what_it_had_seen(
    scenario: sim.Scenario, simulated: list[Turn], tmp_path: Path
) -> None:
    path = tmp_path / "j.jsonl"
    write(older(path, 2), header(scenario), *simulated[200:300])
    write(path, header(scenario), *simulated[300:])
    found = sim.replay(path)
    assert found.differences == ()
    assert found.uncertain
    assert all(
        difference.time_s < 3000 + scenario.policy.build(scenario.pools).memory_s + 30 for difference in found.uncertain
    )
    # The same turns as a whole journal are another matter: that daemon had nothing to remember.
    assert sim.replay(write(tmp_path / "whole.jsonl", header(scenario), *simulated[200:])).differences


def test_turns_that_could_not_be_written_are_told_and_not_held_against_the_policy(
    scenario: sim.Scenario, simulated: list[Turn], tmp_path: Path
) -> None:
    # The file was opened anew after the fault: the daemon went on.
    after = [header(scenario), Gap(30, "no space left on device"), *simulated[230:]]
    found = sim.replay(write(tmp_path / "j.jsonl", header(scenario), *simulated[:200], *after))
    assert (found.ticks, found.starts, found.missing, found.differences) == (451, 1, 30, ())
    silent = sim.replay(write(tmp_path / "k.jsonl", header(scenario), *simulated[:200], *simulated[230:]))
    assert len(silent.differences) == len(found.uncertain) > 0


def test_after_a_restart_behind_a_gap_all_is_certain_again(
    scenario: sim.Scenario, simulated: list[Turn], tmp_path: Path
) -> None:
    gap = [header(scenario), Gap(3, "no space left on device")]
    records = [header(scenario), *simulated[:200], *gap, *simulated[203:205], header(scenario)]
    changed = simulated[205]._replace(decision=Decision())
    found = sim.replay(write(tmp_path / "j.jsonl", *records, changed))
    assert [difference.time_s for difference in found.differences] == [changed.observation.time_s]


def test_another_policy_begins_where_the_header_says_so(tmp_path: Path) -> None:
    fixed, scaled = head(), head(FixedSpec(replicas={"v1": 5}))
    decided = FixedSpec(replicas={"v1": 5}).build(scaled.pools).decide(seen(120.0))
    records = [fixed, *wanting([2, 2]), scaled, Turn(seen(120.0, wanted=2), decided, {})]
    found = sim.replay(write(tmp_path / "j.jsonl", *records))
    assert (found.starts, found.differences) == (2, ())


def test_another_policy_shows_what_it_would_have_wanted_and_what_that_costs(tmp_path: Path) -> None:
    path = write(tmp_path / "j.jsonl", head(cost_per_hour=2.0), *wanting([4] * 61))
    found = sim.replay(path, FixedSpec(replicas={"v1": 7}))
    assert (found.ticks, len(found.differences)) == (61, 61)
    assert (found.differences[0].recorded_wanted, found.differences[0].replayed_wanted) == (4, 7)
    assert (found.recorded.replica_hours, found.recorded.cost_usd) == pytest.approx((4.0, 8.0))
    assert (found.replayed.replica_hours, found.replayed.cost_usd) == pytest.approx((7.0, 14.0))


def test_another_policy_sees_the_replicas_that_it_would_have_had(
    scenario: sim.Scenario, simulated: list[Turn], tmp_path: Path
) -> None:
    assert isinstance(scenario.policy, StabilizedSpec)
    patient = replace(scenario.policy, shrink_s=900.0)
    path = write(tmp_path / "j.jsonl", header(scenario), *simulated)
    found = sim.replay(path, patient)
    own, other = (sim.simulate(replace(scenario, policy=p)).figures.overall.cost for p in (scenario.policy, patient))
    assert found.recorded.cost_usd == pytest.approx(own, rel=0.02)
    assert found.replayed.cost_usd / found.recorded.cost_usd == pytest.approx(other / own, abs=0.03)
    # The same policy, given by name, is another one only in name.
    assert sim.replay(path, scenario.policy).differences == ()


def test_a_policy_that_wants_the_same_in_other_words_does_not_differ(tmp_path: Path) -> None:
    path = write(tmp_path / "j.jsonl", head(), *wanting([4] * 3))
    assert sim.replay(path, FixedSpec(replicas={"v1": 4})).differences == ()


def test_time_in_which_nobody_looked_costs_nothing(tmp_path: Path) -> None:
    first, *rest = wanting([4] * 6)
    late = [
        turn._replace(observation=replace(turn.observation, time_s=turn.observation.time_s + 9000)) for turn in rest
    ]
    found = sim.replay(write(tmp_path / "j.jsonl", head(), first, *late))
    assert found.recorded.replica_hours == pytest.approx(4 * 4 / 60)


def test_when_the_clock_goes_back_the_policy_begins_anew_as_the_daemon_did(
    scenario: sim.Scenario, simulated: list[Turn], tmp_path: Path
) -> None:
    twice = [header(scenario), *simulated[:100], *simulated[:100]]
    assert sim.replay(write(tmp_path / "j.jsonl", *twice)).differences == ()


def test_the_command_line_exits_with_1_where_something_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["replay", str(JOURNAL)]) == 0
    assert "160 ticks, 2 starts, replayed with stabilized\nno differences\n" in capsys.readouterr().out
    policy = tmp_path / "five.yaml"
    policy.write_text("kind: fixed\nreplicas: { v1: 16, v2: 6 }\n")
    assert cli.main(["replay", str(JOURNAL), "--policy", str(policy), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["ticks"], found["policy"]) == (160, "fixed")
    assert found["differences"] == len(found["each"]) > 100
    assert found["each"][0]["replayed"] == {"wanted": 16, "target": 16, "wish": 16, "because": "fixed", "limits": []}
    assert found["replica_hours"]["replayed"] == pytest.approx(22 * 159 * 45 / 3600)


def test_a_run_writes_its_first_replication_s_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO.replace("7200", "600"))
    assert cli.main(["run", str(tmp_path / "s.yaml"), "--journal", str(tmp_path / "j.jsonl"), "--json"]) == 0
    assert "wrote 41 turns of the first replication" in capsys.readouterr().err
    assert cli.main(["replay", str(tmp_path / "j.jsonl")]) == 0


def test_people_are_told_when_in_utc_and_why() -> None:
    found = sim.replay(JOURNAL, FixedSpec(replicas={"v1": 16}))
    told = list(lines(found))
    assert told[2].startswith("  2023-11-14 22:1")
    assert told[-1].startswith("requests are as they were seen under the recorded decisions")
    assert any("and " in line and "more; --json tells all" in line for line in told)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([], "no journal begins without a header"),
        (wanting([1]), "without a header"),
        ([head(FixedSpec()), Gap(1, "full")], None),
    ],
)
def test_what_is_no_journal_is_refused(records: list[Record], words: str | None, tmp_path: Path) -> None:
    path = write(tmp_path / "j.jsonl", *records)
    if words is None:
        assert sim.replay(path).ticks == 0
    else:
        with pytest.raises(InputError, match=words):
            sim.replay(path)


def test_a_policy_from_the_future_is_refused(tmp_path: Path) -> None:
    clairvoyant = replace(head(), policy={"kind": "clairvoyant"})
    with pytest.raises(InputError, match="policy clairvoyant knows the future, which no journal has"):
        sim.replay(write(tmp_path / "j.jsonl", clairvoyant, *wanting([1, 1])))
    unknown = replace(head(), policy={"kind": "oracle"})
    with pytest.raises(InputError, match=r"policy 'oracle' of the journal cannot be read.* poolwright 1 wrote it"):
        sim.replay(write(tmp_path / "j.jsonl", unknown, *wanting([1, 1])))
    with pytest.raises(InputError, match="no journal is there to read"):
        sim.replay(tmp_path / "none.jsonl")


def test_the_journal_of_a_simulation_has_the_turns_that_the_result_has(
    scenario: sim.Scenario, simulated: list[Turn]
) -> None:
    decisions = sim.simulate(scenario).decisions
    targets = [turn.decision.reasons["m/v1"].final for turn in simulated if turn.decision.reasons]
    assert decisions["target"][decisions["wish"].notna()].tolist() == targets
    assert [turn.observation.time_s for turn in islice(simulated, 3)] == [0.0, 15.0, 30.0]
    assert len(simulated) == 481


def test_a_spec_survives_its_header(scenario: sim.Scenario) -> None:
    from sim.journal import spec_of

    spec = StabilizedSpec(shrink_s=300.0, policy=FcfsSpec(wait_s=2.0))
    assert spec_of(header(replace(scenario, policy=spec))) == spec
