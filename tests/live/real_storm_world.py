"""Daemons in storms before a real API server, in real time ten times as fast, and an onlooker who asks that server.

The weather is between the daemons and the server; metrics are made up, and there are no nodes: an attendant says of
each pod that it is ready.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf, nan
from pathlib import Path
from threading import RLock, Thread
from typing import Any

import numpy as np
from relay import Relay

from live.assembly import Assembly, assemble
from live.config import Bounds, Cluster, Config, JournalSpec, LeaseSpec, Prometheus, QuerySpec, Target
from live.connect import KubeTransport
from live.daemon import background
from live.kube import ApiError, KubeApi, Ref, Resource
from live.transport import Answer, LostError, Transport
from live.twin.clock import FastClock
from live.twin.faults import Rule, Weather
from live.twin.front import Front
from live.twin.server import served
from policies.loop import Turn
from policies.target import TargetSpec

SPEED = 10.0
TICK_S, MAX_AGE_S, SLACK_S = 4.0, 20.0, 5.0
LEASE = LeaseSpec(duration_s=15.0, renew_s=10.0, retry_s=2.0)
AT_LEAST, AT_MOST = 1, 8
NAMESPACE = "storms"
DEPLOYMENTS = Resource("apps/v1", "deployments", NAMESPACE)
PODS = Resource("v1", "pods", NAMESPACE)
WEB = Ref(DEPLOYMENTS, "Deployment", "web")
CALM_SLOTS = 3.0
"""Slots busy when nothing goes wrong any more."""
READY = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
MERGE = "application/merge-patch+json"


def config(journal: Path) -> Config:
    target = Target(
        model="m", version="web", name="web", replicas=Bounds(at_least=AT_LEAST, at_most=AT_MOST), startup_s=1.0
    )
    return Config(
        cluster=Cluster(namespace=NAMESPACE, timeout_s=5.0),
        prometheus=Prometheus(url="http://prometheus:9090"),
        tick_s=TICK_S,
        max_age_s=MAX_AGE_S,
        mode="active",
        read="policy",
        lease=LEASE,
        journal=JournalSpec(path=str(journal)),
        queries=QuerySpec(labels={"deployment": "{name}", "namespace": "", "pod": ""}),
        targets=(target,),
        policy=TargetSpec(window_s=60.0),
    )


@dataclass
class Metrics:
    """What Prometheus says of one Deployment: so many slots are busy, as last scraped. `trouble` makes it bad."""

    clock: FastClock
    scraped_s: float
    slots: float = CALM_SLOTS
    trouble: str = ""
    """`lost`, `nan`, `empty`, `stale`, or nothing."""
    busy_s: float = 0.0
    lock: RLock = field(default_factory=RLock)

    def scrape(self) -> None:
        with self.lock:
            now_s = self.clock.now_s()
            if self.trouble != "stale":
                self.busy_s += self.slots * (now_s - self.scraped_s)
                self.scraped_s = now_s

    def answer(self, expression: str) -> tuple[Answer, float]:
        """And the moment of the sample, where it is one."""
        self.scrape()
        with self.lock:
            if self.trouble == "lost":
                raise LostError("prometheus is away")
            if self.trouble == "empty":
                return _vector(None, 0.0), -inf
            is_age = "timestamp(" in expression
            value = self.scraped_s if is_age else self.busy_s if "busy" in expression else self.slots
            bad = self.trouble == "nan"
            return _vector(nan if bad else value, self.clock.now_s()), self.scraped_s if is_age and not bad else -inf


def _vector(value: float | None, now_s: float) -> Answer:
    result = [] if value is None else [{"metric": {"deployment": "web"}, "value": [now_s, repr(value)]}]
    return Answer(200, {"status": "success", "data": {"resultType": "vector", "result": result}})


@dataclass
class Wire:
    """A daemon's way to the API, or to Prometheus, on which the onlooker listens."""

    process: "Process"
    inner: Transport | None

    def send(self, method: str, path: str, query: Any = None, body: Any = None, *rest: Any, **more: Any) -> Answer:
        if self.inner is None:
            answer, stamp_s = self.process.world.metrics.answer(query["query"])
            self.process.told_s = max(self.process.told_s, stamp_s)
            return answer
        if method == "PATCH":
            self.process.world.judge(self.process, path, body)
        return self.inner.send(method, path, query, body, *rest, **more)

    def stream(self, path: str, query: Any = None, timeout_s: float = 60.0) -> Iterator[Any]:
        assert self.inner is not None
        return self.inner.stream(path, query, timeout_s)


@dataclass
class Process:
    """A daemon with its threads and its own clock, which stops with it."""

    world: "RealStormWorld"
    name: str
    kubernetes: KubeTransport
    told_s: float = -inf
    """The newest sample that it was ever told of."""
    turns: list[Turn] = field(default_factory=list)
    assembly: Assembly = field(init=False)
    thread: Thread = field(init=False)
    clock: FastClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = FastClock(SPEED, self.world.clock.now_s())
        wires = Wire(self, self.kubernetes), Wire(self, None)
        self.assembly = assemble(config(self.world.folder / f"{self.name}.jsonl"), *wires, self.clock)
        self.assembly.daemon.watchers = (lambda turn, _: self.turns.append(turn),)
        background(self.assembly.works, self.clock, self.assembly.daemon.board)
        self.thread = Thread(target=self.assembly.daemon.run, daemon=True)
        self.thread.start()

    @property
    def leads(self) -> bool:
        lease = self.assembly.lease
        return lease is not None and lease.held()

    def stop(self) -> None:
        """As on SIGTERM."""
        self.assembly.stop(self.clock.stop)
        self.thread.join(30.0)
        self.assembly.close()


@dataclass
class RealStormWorld:
    """The Deployment, the metrics, the weather and the daemons; `broken` are the laws that were."""

    folder: Path
    admin: KubeTransport
    clock: FastClock
    weather: Weather
    processes: list[Process] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    writes: int = 0
    metrics: Metrics = field(init=False)
    url: str = ""

    def __post_init__(self) -> None:
        self.metrics, self.kube = Metrics(self.clock, scraped_s=self.clock.now_s()), KubeApi(self.admin)

    def start(self, name: str) -> None:
        from kubernetes import client

        transport = KubeTransport(client.ApiClient(client.Configuration(host=self.url)))
        self.processes.append(Process(self, name, transport))

    def deploy(self) -> None:
        """Unless it is there."""
        labels = {"app": "web"}
        pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": pod}
        with suppress(ApiError):
            self.kube.create(DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": spec})

    def meddle(self, replicas: int) -> None:
        """Somebody scales by hand."""
        self.admin.send("PATCH", f"{WEB.path}/scale", None, {"spec": {"replicas": replicas}}, MERGE)

    def attend(self) -> None:
        """Every pod is ready, and metrics are scraped."""
        self.metrics.scrape()
        for pod in self.kube.list(PODS)[0]:
            if (pod.get("status") or {}).get("phase") == "Pending":
                path = f"{PODS.path}/{pod['metadata']['name']}/status"
                self.admin.send("PATCH", path, None, READY, MERGE)

    def judge(self, process: Process, path: str, body: Mapping[str, Any]) -> None:
        """What is on its way to the cluster, by what the server itself says."""
        self.writes += 1
        leases = Ref(Resource("coordination.k8s.io/v1", "leases", NAMESPACE), "Lease", "poolwright")
        holder = self.kube.get(leases.path)["spec"]["holderIdentity"]
        self._must(holder == process.assembly.lease.identity, f"{process.name} wrote and {holder} held the lease")
        self._must(path.endswith("/web/scale"), f"{path} was patched")
        replicas = body["spec"]["replicas"]
        self._must(AT_LEAST <= replicas <= AT_MOST, f"{replicas} is out of bounds")
        with suppress(ApiError):
            scale = self.kube.scale(WEB)
            # Upon another version the write is refused.
            if scale.resource_version == body["metadata"]["resourceVersion"] and replicas < scale.wanted:
                age_s = self.clock.now_s() - process.told_s
                self._must(age_s <= MAX_AGE_S + SLACK_S, f"it shrank upon readings {age_s:.0f} s old")

    def unsettled(self) -> str:
        """What is not yet as it should be; empty where all is."""
        leaders = [process for process in self.processes if process.thread.is_alive() and process.leads]
        if len(leaders) != 1 or not leaders[0].turns:
            return f"{len(leaders)} lead"
        turn = leaders[0].turns[-1]
        decided, wanted = turn.decision.targets.get("m/web"), self.kube.scale(WEB).wanted
        if decided != wanted or wanted not in (4, 5):
            return f"{wanted} wanted, {decided} decided on, of {turn.observation}"
        return ""

    def _must(self, so: bool, otherwise: str) -> None:
        if not so:
            self.broken.append(f"at {self.clock.monotonic_s():.1f} s: {otherwise}")


@contextmanager
def storm_world(folder: Path, admin: KubeTransport, rules: list[Rule], seed: int) -> Iterator[RealStormWorld]:
    """A Deployment, and a server before the real one in which `rules` are in force from now."""
    clock = FastClock(SPEED)
    weather = Weather(rules, np.random.default_rng(seed))
    world = RealStormWorld(folder, admin, clock, weather)
    with ExitStack() as ends:
        world.deploy()
        world.url = ends.enter_context(served(Front(Relay(admin, SPEED), clock, weather))).url
        Thread(target=partial(_attending, world, clock), daemon=True).start()
        ends.callback(clock.stop)
        try:
            yield world
        finally:
            for process in world.processes:
                process.stop()


def _attending(world: RealStormWorld, clock: FastClock) -> None:
    while clock.wait(2.0):
        with suppress(ApiError, LostError):
            world.attend()


def until(done: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true within so many of the machine's seconds."""
    until_s = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.1)
    return True
