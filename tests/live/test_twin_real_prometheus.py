"""The same exporter, seen through a real Prometheus and through the fake one: every query finds the same."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from live.config import Bounds, Cluster, Config, JournalSpec, Prometheus, Target
from live.connect import HttpTransport
from live.informer import Informer
from live.kube import KubeApi, refs
from live.presets import PRESETS
from live.prometheus import PrometheusApi, Subject, batches
from live.sensor import PrometheusSensor
from live.transport import LostError, Transport
from live.twin.clock import VirtualClock
from live.twin.cluster import Twin
from live.twin.exporter import Exporter, scrape
from live.twin.front import Front
from live.twin.load import Workload
from live.twin.server import served
from policies.fcfs import FcfsSpec
from policies.observation import PoolReading

CONFIG = """
scrape_configs:
  - job_name: twin
    scrape_interval: 1s
    honor_labels: true
    static_configs: [{{targets: ['{target}']}}]
"""


def still_twin() -> Twin:
    """Ten minutes in the life of two workloads; its time has stopped."""
    clock = VirtualClock()
    twin = Twin(clock, np.random.default_rng(4), styles=("generic", "vllm"))
    for name, rate in (("one", 2.5), ("two", 1.5)):
        workload = Workload(name=name, replicas=3, rate_per_s=lambda _, rate=rate: rate, rate_at_most_per_s=rate)
        twin.add(workload)
    clock.wait(600.0)
    twin.advance(clock.true_s())
    return twin


@dataclass(frozen=True)
class Both:
    twin: Twin
    fake: Transport
    real: Transport


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed")
    twin, folder = still_twin(), tmp_path_factory.mktemp("prometheus")
    with served(Front(Exporter(twin.exposition), twin.clock)) as exporter:
        (folder / "prometheus.yml").write_text(CONFIG.format(target=exporter.url.removeprefix("http://")))
        address = f"127.0.0.1:{_free_port()}"
        flags = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        with (folder / "log").open("wb") as log:
            words = [program, *flags, f"--web.listen-address={address}"]
            process = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder)
        try:
            real = HttpTransport(f"http://{address}")
            _wait_for_samples(real, folder / "log")
            for queue in twin.loads.values():
                scrape(twin.prometheus.series, queue, twin.styles, twin.clock.true_s())
            yield Both(twin, twin.prometheus_transport(), real)
            real.pool.clear()
        finally:
            process.terminate()
            process.wait(20.0)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait_for_samples(server: Transport, log: Path, seconds: float = 60.0) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        try:
            if asked(server, "requests_queued"):
                return
        except LostError:
            pass
        time.sleep(0.2)
    raise TimeoutError(log.read_text(errors="replace")[-1000:])


def asked(server: Transport, query: str) -> list[tuple[dict[str, str], float]]:
    """Labels and value, in order; what only a real scrape adds is left out."""
    answer = server.send("GET", "/api/v1/query", {"query": query})
    if not answer.ok:
        return []
    found = [(one["metric"], float(one["value"][1])) for one in answer.body["data"]["result"]]
    bare = [({k: v for k, v in labels.items() if k not in ("instance", "job")}, value) for labels, value in found]
    return sorted(bare, key=lambda one: sorted(one[0].items()))


def expressions() -> list[str]:
    """What our own sensor asks, and more of what the fake claims to understand. Ages differ, for time does."""
    found = []
    for system in ("generic", "vllm"):
        (batch,) = batches([Subject("m/v1", None, PRESETS[system])])
        found += [text.replace("{namespace}", "models") for name, text in batch.expressions() if name != "age"]
    return [
        *found,
        'requests_queued{pod=~"one-.*"}',
        'requests_queued{pod!~"one-.*",namespace="models"}',
        "sum(requests_arrived_total) without (pod, instance, job)",
        "max by (pod) (requests_in_service) - min by (pod) (requests_in_service)",
        "count(requests_queued >= 0) * 1e-3 + 2",
        "sum by (namespace) (nothing) or sum by (namespace) (requests_queued)",
        'absent(requests_queued{pod="nobody"})',
        'label_replace(sum by (pod) (requests_queued), "name", "$1", "pod", "(one|two)-.*")',
        "clamp_max(sum(requests_arrived_total), 10)",
        "avg(requests_in_service) by (namespace)",
        "sum(requests_queued) / 0",
        "vector(1)",
    ]


@pytest.mark.parametrize("query", expressions())
def test_a_query_finds_the_same_in_both(both: Both, query: str) -> None:
    fake, real = (asked(server, query) for server in (both.fake, both.real))
    assert real
    assert [labels for labels, _ in fake] == [labels for labels, _ in real]
    assert [value for _, value in fake] == pytest.approx([value for _, value in real], nan_ok=True)


@pytest.mark.parametrize("query", ["sum(", "queued{", "nonsense(queued)", "requests_queued[5m] + 1", "{}x"])
def test_what_cannot_be_read_is_refused_alike(both: Both, query: str) -> None:
    answers: list[Any] = [server.send("GET", "/api/v1/query", {"query": query}) for server in (both.fake, both.real)]
    assert [answer.status for answer in answers] == [400, 400]
    assert {(answer.body["status"], answer.body["errorType"]) for answer in answers} == {("error", "bad_data")}


def observed(both: Both, prometheus: Transport) -> Mapping[str, PoolReading]:
    targets = (
        Target(model="m", version=name, name=name, replicas=Bounds(at_most=9), service_s=1.0) for name in ("one", "two")
    )
    config = Config(
        cluster=Cluster(namespace="models"),
        prometheus=Prometheus(url="http://p"),
        journal=JournalSpec(path="j"),
        targets=tuple(targets),
        policy=FcfsSpec(wait_s=1.0),
    )
    kube, clock = KubeApi(both.twin.transport()), VirtualClock()
    informer = Informer(kube, refs(config, kube), clock, 60.0)
    informer.step()
    return PrometheusSensor(config, PrometheusApi(prometheus), informer, clock).read().pools


def test_the_sensor_sees_the_same_requests_in_both(both: Both) -> None:
    fake, real = (observed(both, server) for server in (both.fake, both.real))
    assert [pool.ready for pool in real.values()] == [3, 3]
    assert {name: pool.total for name, pool in real.items()} == {name: pool.total for name, pool in fake.items()}
    assert all(pool.total.in_service is not None and pool.total.response_s is not None for pool in real.values())
    assert all(pool.age_s is not None and pool.age_s < 10.0 for pool in real.values())
