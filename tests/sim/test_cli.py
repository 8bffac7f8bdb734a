"""The commands as a user types them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim import cli
from sim.result import read

SCENARIO = """\
name: little
horizon_s: 2000
slo: { response_s: 5, quantile: 0.9 }
control: { tick_s: 50, scrape_s: 50 }
models:
  - name: m
    routing: { kind: weighted, weights: { v1: 3, v2: 1 } }
    versions:
      - name: v1
        service: { kind: exponential, mean_s: 1 }
        cost_per_hour: 2
        replicas: { initial: 3 }
      - name: v2
        parents: [v1]
        service: { kind: exponential, mean_s: 1 }
        replicas: { initial: 2 }
        room: 1
traffic:
  - { name: chat, model: m, arrivals: { kind: poisson, rate_per_s: 2 } }
  - { name: batch, model: m, arrivals: { kind: poisson, rate_per_s: 1 }, patience_s: 1.5 }
"""

TEN_FAULTS = """\
name: faulty
horizon_s: -5
seed: 1
seed: 2
horizn: 3
models:
  - name: m
    versions:
      - name: v1
        service: { kind: exponental, mean_s: 5 }
        slots: 0
        start_up: 5
        replicas: { initial: 10, at_most: 5 }
traffic:
  - name: chat
    model: m
    arrivals: { kind: poisson, rate: 2 }
    patience_s: -3
policy: { kind: fcfs, wait_s: 1, quantile: 1.5 }
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "little.yaml"
    path.write_text(SCENARIO)
    return path


def test_ten_faults_in_one_file_give_ten_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "faulty.yaml"
    path.write_text(TEN_FAULTS)
    assert cli.main(["run", str(path)]) == 2
    told = capsys.readouterr()
    lines = told.err.strip().splitlines()
    assert told.out == ""
    assert len(lines) == 10
    assert lines[0] == f"{path}:2:12: horizon_s: must be greater than 0, got -5"
    assert all(line.startswith(f"{path}:") for line in lines)


def test_faults_between_parts_are_told_where_they_stand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "crossed.yaml"
    text = SCENARIO.replace(
        "model: m, arrivals: { kind: poisson, rate_per_s: 1 }", "model: n, arrivals: { kind: poisson, rate_per_s: 1 }"
    )
    path.write_text(text.replace("v2: 1 }", "v3: 1 }").replace("parents: [v1]", "parents: [v0]"))
    assert cli.main(["check", str(path)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.split(": ", 2)[1] for line in lines] == [
        "models[0].routing.weights.v3",
        "models[0].versions[1].parents[0]",
        "traffic[1].model",
    ]


def test_json_is_one_object_that_adds_up(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", str(scenario), "--json", "--seed", "5"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert told.err == ""
    assert found["seed"] == 5
    assert found["scenario"]["name"] == "little"
    assert set(found["by_version"]) == {"m/v1", "m/v2"}
    assert set(found["by_class"]) == {"chat", "batch"}
    for group in (found["overall"], *found["by_version"].values(), *found["by_class"].values()):
        counts = dict(group["requests"])
        assert counts.pop("arrived") == sum(counts.values())
        for times in (group["wait_s"], group["response_s"]):
            for name in ("mean", "p50", "p95", "p99"):
                low, high = times[f"{name}_ci95"]
                assert low is None or times[name] is None or low <= times[name]
                assert high is None or times[name] is None or times[name] <= high
    for what in ("cost", "replica_hours"):
        parts = found["by_class"].values()
        assert sum(group[what] for group in parts) == pytest.approx(found["overall"][what])
    assert found["overall"]["cost"] == pytest.approx(2000 / 3600 * 3 * 2)


def test_the_same_seed_prints_the_same_bytes_another_does_not(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []
    for seed in ("1", "1", "2"):
        cli.main(["run", str(scenario), "--json", "--seed", seed])
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != printed[2]


def test_a_saved_result_is_read_again(scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results" / "little"
    assert cli.main(["run", str(scenario), "--json", "--out", str(out), "--requests"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert cli.main(["show", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == first
    result = read(out)
    assert len(result.requests) == first["overall"]["requests"]["arrived"]
    assert {path.name for path in out.iterdir()} >= {"report.html", "scenario.yaml", "pools.parquet", "result.json"}
    assert list(out.parent.iterdir()) == [out]


def test_a_folder_that_holds_something_else_is_left_alone(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "letter.txt").write_text("dear")
    assert cli.main(["run", str(scenario), "--out", str(tmp_path / "precious")]) == 2
    assert "something else than a result is there" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "precious").iterdir()] == ["letter.txt"]


def test_what_was_never_saved_cannot_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", str(tmp_path)]) == 2
    assert "no result is there to read" in capsys.readouterr().err


def test_precision_runs_until_it_is_reached(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", str(scenario), "--json", "--precision", "4%"]) == 0
    found = json.loads(capsys.readouterr().out)
    low, high = found["overall"]["response_s"]["mean_ci95"]
    assert (high - low) / 2 <= 0.04 * found["overall"]["response_s"]["mean"]
    assert found["horizon_s"] > 2000


def test_replications_are_means_of_independent_runs(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", str(scenario), "--json", "--replications", "4"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["interval"] == "4 replications"
    assert found["overall"]["requests"]["arrived"] == pytest.approx(6000, rel=0.05)


def test_tables_name_every_version_and_class(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", str(scenario)]) == 0
    printed = capsys.readouterr().out
    for word in ("m/v1", "m/v2", "chat", "batch", "abandoned", "utilization", "95 % intervals"):
        assert word in printed


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["trace", "scenario", "--help"], ["--version"]])
def test_help_waits_for_no_heavy_import(command: list[str]) -> None:
    heavy = "numpy|scipy|pandas|matplotlib|pydantic|ruamel|simpy|rich|jinja2|pyarrow"
    program = (
        "import sys; from sim import cli\n"
        f"try: cli.main({command!r})\n"
        f"except SystemExit: print('heavy:', [m for m in {heavy.split('|')!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stderr
    assert "poolwright" in done.stdout


def test_a_small_run_waits_for_no_linear_algebra_and_hides_none(scenario: Path) -> None:
    program = (
        "import sys; from sim import cli\n"
        f"cli.main(['run', {str(scenario)!r}, '--json'])\n"
        "assert not {'scipy.linalg', 'scipy.special', 'sim.reference', 'pandas'} & set(sys.modules)\n"
        "from scipy.linalg import det; assert det([[2.0, 0.0], [0.0, 3.0]]) == 6.0\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)


def test_a_trace_becomes_a_scenario_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{t},{'v1' if t % 3 else 'v2'},{1 + t % 2}" for t in range(200)]
    rows[50] = "50,rare one/2,1"
    trace = tmp_path / "log.csv"
    trace.write_text("time_s,version,service_s\n" + "\n".join(rows) + "\n")
    scenario = tmp_path / "replay.yaml"
    assert cli.main(["trace", "scenario", str(trace), "-o", str(scenario)]) == 0
    told = capsys.readouterr().out
    assert "1 versions with less than 1 % of the requests each, 1 requests in all, share the pool 'others'" in told
    assert cli.main(["run", str(scenario), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["by_version"]["model/others"]["requests"]["arrived"] == 1
    assert found["overall"]["requests"]["completed"] == 200
    assert found["by_version"]["model/v1"]["utilization"] > 0


def test_a_trace_that_is_missing_is_told_where_it_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "traced.yaml"
    path.write_text(SCENARIO.replace("{ kind: poisson, rate_per_s: 2 }", "{ kind: trace, file: nowhere.csv }"))
    assert cli.main(["run", str(path)]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith(f"{path}:19:")
    assert "traffic[0].arrivals.file" in line
    assert "no such file" in line


def test_a_trace_that_would_begin_again_too_soon_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.csv").write_text("time_s,service_s\n0,1\n50,1\n")
    path = tmp_path / "traced.yaml"
    path.write_text(
        SCENARIO.replace("{ kind: poisson, rate_per_s: 2 }", "{ kind: trace, file: log.csv, repeat_s: 20 }")
    )
    assert cli.main(["run", str(path)]) == 2
    assert "repeat_s 20 cuts" in capsys.readouterr().err


def test_a_trace_that_has_changed_is_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "traced.yaml"
    path.write_text(SCENARIO.replace("{ kind: poisson, rate_per_s: 2 }", "{ kind: trace, file: log.csv }"))
    for requests in (3, 5):
        (tmp_path / "log.csv").write_text("time_s,service_s\n" + "".join(f"{t},1\n" for t in range(requests)))
        cli.main(["run", str(path), "--json"])
        assert json.loads(capsys.readouterr().out)["by_class"]["chat"]["requests"]["arrived"] == requests


def test_a_trace_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "log.csv"
    trace.write_text("time_s,service_s\n" + "".join(f"{t},{1 + t % 2}\n" for t in range(200)))
    assert cli.main(["trace", "describe", str(trace), "--figure", str(tmp_path / "log.png")]) == 0
    assert "200" in capsys.readouterr().out
    assert (tmp_path / "log.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main(["trace", "describe", str(trace), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_the_schema_describes_the_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"models", "traffic", "policy", "horizon_s"} <= set(schema["properties"])


def test_a_share_of_the_requests_is_kept_and_told(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(["run", str(scenario), "--out", str(out), "--requests", "5%"]) == 0
    assert "Of 5 % of the requests, chosen by class and number, there are records." in capsys.readouterr().out
    assert 0 < len(read(out).requests) < 0.1 * read(out).figures.overall.requests.arrived
    with pytest.raises(SystemExit):
        cli.main(["run", "--requests", str(scenario)])
    assert "the scenario's name goes before --requests" in capsys.readouterr().err


def test_jobs_change_no_byte(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for jobs in ("1", "2"):
        cli.main(["run", str(scenario), "--json", "--replications", "3", "--jobs", jobs])
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_terminal_sees_time_rate_and_what_is_left(scenario: Path) -> None:
    import os
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sim.cli", "run", str(scenario), "--json", "--replications", "3"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment) as running:
        os.close(theirs)
        seen = b"".join(_until_closed(ours))
        assert running.stdout is not None
        assert json.loads(running.stdout.read())["replications"] == 3
    for words in ("simulated", "s/s", "of 3 replications", "0:"):
        assert words in seen.decode()


def _until_closed(terminal: int) -> Iterator[bytes]:
    import os

    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:
            part = b""
        if not part:
            os.close(terminal)
            return
        yield part
