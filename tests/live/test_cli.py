"""The daemon as a user has it: commands against servers over real HTTP, signals, exit codes, lines of a log."""

import json
import logging
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from live import log
from live.cli import main
from live.twin.clock import FastClock
from live.twin.cluster import Twin
from live.twin.load import Workload
from live.twin.server import served
from policies.journal import Header, files, read
from policies.loop import Turn

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: twin
clusters: [{{name: twin, cluster: {{server: "{url}"}}}}]
users: [{{name: twin, user: {{}}}}]
contexts: [{{name: twin, context: {{cluster: twin, user: twin}}}}]
"""

CONFIG = """\
cluster: {{ namespace: models, kubeconfig: {folder}/kubeconfig }}
prometheus: {{ url: "{prometheus}" }}
tick_s: 0.2
mode: active
lease: {{ duration_s: 3, renew_s: 2, retry_s: 0.2 }}
journal: {{ path: {folder}/journal.jsonl }}
telemetry: {{ port: 0, address: 127.0.0.1 }}
targets:
  - {{ model: assistant, version: v1, name: web, replicas: {{ at_most: 9 }} }}
policy: {{ kind: fixed, replicas: {{ v1: 4 }} }}
"""


@pytest.fixture
def twin() -> Twin:
    made = Twin(FastClock(), scrape_s=0.5)
    made.add(Workload(name="web", rate_per_s=lambda _: 1.0, rate_at_most_per_s=1.0))
    return made


@pytest.fixture
def config(twin: Twin, tmp_path: Path) -> Iterator[Path]:
    with served(twin.kubernetes) as api, served(twin.metrics) as metrics:
        (tmp_path / "kubeconfig").write_text(KUBECONFIG.format(url=api.url))
        path = tmp_path / "live.yaml"
        path.write_text(CONFIG.format(folder=tmp_path, prometheus=metrics.url))
        yield path


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers = before
    root.setLevel(level)


def wanted(twin: Twin) -> int | None:
    (key,) = twin.loads
    return twin.wanted(key)


def test_once_makes_one_turn_and_tells_it(config: Path, twin: Twin, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(config), "--once"]) == 0
    assert capsys.readouterr().out == "assistant/v1: 1 -> 4 [written]: wish 4: fixed\n"
    assert wanted(twin) == 4
    header, turn = read(*files(config.with_name("journal.jsonl")))
    assert isinstance(header, Header)
    assert isinstance(turn, Turn)
    lease = twin.transport().send("GET", "/apis/coordination.k8s.io/v1/namespaces/models/leases/poolwright").body
    assert lease["spec"]["holderIdentity"] == ""


def test_a_dry_run_asks_and_changes_nothing(config: Path, twin: Twin, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(config), "--once", "--dry-run"]) == 0
    assert capsys.readouterr().out == "assistant/v1: 1 -> 4 [dry run]: wish 4: fixed\n"
    assert wanted(twin) == 1


def test_once_with_nothing_to_be_read_says_so_and_ends_with_one(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = config.read_text().replace("kind: fixed, replicas: { v1: 4 }", "kind: fcfs, wait_s: 1")
    nowhere = "http://127.0.0.1:1"
    config.write_text(re.sub(r'url: "[^"]+"', f'url: "{nowhere}"', text))
    assert main(["run", str(config), "--once"]) == 1
    assert "the metrics of no target could be read" in capsys.readouterr().err.splitlines()
    kubeconfig = config.with_name("kubeconfig")
    kubeconfig.write_text(KUBECONFIG.format(url=nowhere))
    assert main(["run", str(config), "--once"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert "the replicas and the metrics of no target could be read" in lines
    assert any(
        " ERROR pods in models: GET http://127.0.0.1:1/api/v1/namespaces/models/pods: " in line for line in lines
    )


def test_check_says_what_would_be_done_and_does_nothing(
    config: Path, twin: Twin, capsys: pytest.CaptureFixture[str]
) -> None:
    time.sleep(0.6)  # Until the first scrape.
    assert main(["check", str(config)]) == 0
    out = capsys.readouterr().out
    assert "ok       assistant/v1: 1 -> 4: wish 4: fixed" in out
    assert re.search(r"\n\d+ ok, \d+ warnings?, 0 faults\n$", out)
    assert wanted(twin) == 1
    assert not config.with_name("journal.jsonl").exists()


def test_check_ends_with_one_where_something_is_at_fault(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(config.read_text().replace("name: web", "name: nobody"))
    assert main(["check", str(config), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["ok"]
    assert [f["what"] for f in told["findings"] if f["level"] == "fault" and f["about"] == "targets"] == [
        "assistant/v1 (Deployment models/nobody)"
    ]


def test_bad_configuration_is_one_line_a_fault_and_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    text = CONFIG.format(folder=tmp_path, prometheus="http://prometheus:9090")
    path.write_text(text.replace("mode: active", "mode: aktive").replace("tick_s: 0.2", "tick_s: -1"))
    for command in ("run", "check"):
        assert main([command, str(path)]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert [line.partition(str(path))[2].split(": ")[1] for line in lines] == ["tick_s", "mode"]


def test_no_cluster_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "live.yaml"
    path.write_text(CONFIG.format(folder=tmp_path, prometheus="http://prometheus:9090"))
    assert main(["run", str(path), "--once"]) == 2
    assert "no access to a cluster" in capsys.readouterr().err


def test_sigterm_ends_it_in_good_order(config: Path, twin: Twin) -> None:
    command = [sys.executable, "-m", "live.cli", "run", str(config), "--log", "json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as daemon:
        assert daemon.stderr is not None
        told = [json.loads(daemon.stderr.readline())]
        while told[-1]["message"] != "scaled":
            told.append(json.loads(daemon.stderr.readline()))
        port = next(line["message"].split()[-1] for line in told if line["message"].startswith("status page"))
        assert b"assistant/v1" in page(port)
        daemon.send_signal(signal.SIGTERM)
        rest = daemon.stderr.read().splitlines()
        assert daemon.wait(timeout=20) == 0
    assert [json.loads(line)["message"] for line in rest] == ["stops: SIGTERM", "leads no more"]
    assert (told[-1]["before"], told[-1]["after"], told[-1]["pool"]) == (1, 4, "assistant/v1")
    lease = twin.transport().send("GET", "/apis/coordination.k8s.io/v1/namespaces/models/leases/poolwright").body
    assert lease["spec"]["holderIdentity"] == ""
    assert len(list(read(config.with_name("journal.jsonl")))) >= 2


def page(port: str) -> bytes:
    with urlopen(f"http://127.0.0.1:{port}/") as answer:
        found: bytes = answer.read()
    return found


def test_the_demo_scales_within_seconds_and_ends(tmp_path: Path) -> None:
    journal = tmp_path / "demo.jsonl"
    command = [sys.executable, "-m", "live.cli", "demo", "--seconds", "12", "--journal", str(journal)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        lines = [demo.stdout.readline() for _ in range(4)]
        address = lines[-1].split()[-1]
        deadline_s = time.monotonic() + 10.0
        while not ready(address) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        assert ready(address)
        out, err = demo.communicate(timeout=60)
    assert (demo.returncode, err) == (0, "")
    assert re.search(r"assistant/v1: 3 -> [4-9]    wish", out)
    assert f"journal: {journal}" in out
    recorded = [record for record in read(journal) if isinstance(record, Turn)]
    assert max(turn.observation.pools["assistant/v1"].ready or 0 for turn in recorded) > 3


def ready(address: str) -> bool:
    try:
        with urlopen(f"{address}readyz") as answer:
            return bool(answer.status == 200)
    except URLError:
        return False


def test_a_line_of_text_has_what_was_given_and_cannot_be_forged() -> None:
    stream = StringIO()
    log.start("text", stream=stream)
    logging.getLogger("x").info("scaled\n2026 INFO all is well", extra={"pool": "m/v1", "because": "a b"})
    (line,) = stream.getvalue().splitlines()
    assert re.fullmatch(r'\S+Z INFO scaled\\n2026 INFO all is well pool=m/v1 because="a b"', line)


def test_a_line_of_json_has_all_fields_and_the_traceback() -> None:
    stream = StringIO()
    log.start("json", "warning", stream)
    logging.getLogger("x").info("not told")
    try:
        raise ZeroDivisionError("by nothing")
    except ZeroDivisionError:
        logging.getLogger("x").exception("failed", extra={"pool": "m/v1"})
    told = json.loads(stream.getvalue())
    assert (told["level"], told["logger"], told["message"], told["pool"]) == ("error", "x", "failed", "m/v1")
    assert told["traceback"].endswith("ZeroDivisionError: by nothing")
