"""Two daemons as processes of their own, over HTTP: one is killed without a word, and the other takes over in time."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from real_cluster import missing, real_cluster

from live.config import Cluster
from live.connect import to_kubernetes
from live.kube import KubeApi, Ref, Resource
from live.twin.clock import FastClock
from live.twin.cluster import Twin
from live.twin.load import Workload
from live.twin.server import served
from policies.journal import files, read
from policies.loop import Turn

DURATION_S, RETRY_S = 3.0, 0.2
SLOW_S = 3.0
"""What a busy machine may need on top, to do what costs nothing."""
CONFIG = """\
cluster: {{ namespace: default, kubeconfig: {kubeconfig} }}
prometheus: {{ url: "http://127.0.0.1:1" }}
tick_s: 0.5
mode: active
lease: {{ duration_s: {duration_s}, renew_s: 2, retry_s: {retry_s} }}
journal: {{ path: {journal} }}
telemetry: {{ port: 0, address: 127.0.0.1 }}
targets:
  - {{ model: assistant, version: v1, name: web, replicas: {{ at_most: 9 }} }}
policy: {{ kind: fixed, replicas: {{ v1: {replicas} }} }}
"""
WEB = Ref(Resource("apps/v1", "deployments", "default"), "Deployment", "web")


@pytest.fixture(scope="module", params=["the fake one", "the real one"])
def kubeconfig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cluster with one Deployment."""
    folder = tmp_path_factory.mktemp("cluster")
    if request.param == "the fake one":
        twin = Twin(FastClock())
        twin.add(Workload(name="web", namespace="default"))
        with served(twin.kubernetes) as api:
            path = folder / "kubeconfig"
            cluster = {"name": "c", "cluster": {"server": api.url}}
            context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
            parts = {"clusters": [cluster], "users": [{"name": "u", "user": {}}], "contexts": [context]}
            path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "c", **parts}))
            yield path
        return
    if why := missing():
        pytest.skip(why)
    with real_cluster(folder) as real:
        labels = {"app": "web"}
        pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod}
        with asked(real.kubeconfig()) as kube:
            kube.create(WEB.resource, {"metadata": {"name": "web"}, "spec": spec})
        yield real.kubeconfig()


@contextmanager
def asked(kubeconfig: Path) -> Iterator[KubeApi]:
    transport = to_kubernetes(Cluster(kubeconfig=str(kubeconfig)))
    yield KubeApi(transport)
    transport.client.rest_client.pool_manager.clear()


class Daemon:
    """One of its own process; its log in a file."""

    def __init__(self, folder: Path, name: str, kubeconfig: Path, replicas: int) -> None:
        self.journal, self.log = folder / f"{name}.jsonl", folder / f"{name}.log"
        times = {"duration_s": DURATION_S, "retry_s": RETRY_S}
        path = folder / f"{name}.yaml"
        path.write_text(CONFIG.format(kubeconfig=kubeconfig, journal=self.journal, replicas=replicas, **times))
        with self.log.open("wb") as log:
            words = [sys.executable, "-m", "live.cli", "run", str(path), "--log", "json"]
            self.process = subprocess.Popen(words, stderr=log, stdout=log)

    def wait_for(self, message: str, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while not any(json.loads(line)["message"] == message for line in self.log.read_text().splitlines()):
            assert time.monotonic() < until_s, f"never said {message!r}:\n{self.log.read_text()[-2000:]}"
            time.sleep(0.02)

    @property
    def turns(self) -> list[Turn]:
        return [record for record in read(*files(self.journal)) if isinstance(record, Turn)]


def test_after_kill_minus_nine_the_other_writes_within_the_time_of_the_lease(kubeconfig: Path, tmp_path: Path) -> None:
    first = Daemon(tmp_path, "first", kubeconfig, replicas=4)
    second = None
    try:
        first.wait_for("scaled", 40.0)
        second = Daemon(tmp_path, "second", kubeconfig, replicas=2)
        _until_it_turns(second)
        first.process.send_signal(signal.SIGKILL)
        began_s = time.monotonic()
        second.wait_for("leads now", DURATION_S + RETRY_S + SLOW_S)
        took_s = time.monotonic() - began_s
        second.wait_for("scaled", SLOW_S)
    finally:
        for daemon in (first, second):
            if daemon is not None:
                daemon.process.kill()
                daemon.process.wait()
    # The last renewal was at most a retry, and an answer, before.
    assert took_s > DURATION_S - RETRY_S - 1.0
    with asked(kubeconfig) as kube:
        assert kube.scale(WEB).wanted == 2
    written = [action for turn in first.turns for action in turn.actions.values() if action.error is None]
    assert [(action.before, action.after) for action in written] == [(1, 4)]
    assert {action.error for turn in second.turns for action in turn.actions.values()} == {
        "the lease is not held",
        None,
    }


def _until_it_turns(daemon: Daemon) -> None:
    until_s = time.monotonic() + 40.0
    while not daemon.journal.exists() or not daemon.turns:
        assert time.monotonic() < until_s, daemon.log.read_text()[-2000:]
        time.sleep(0.05)
