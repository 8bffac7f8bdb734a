"""A cluster in which much goes wrong at random, daemons that live and die in it, and an onlooker who knows the truth.

Everything runs on one virtual clock. What threads do is done in appointments; one that falls into the wait of another
runs inside of it, as a thread would, and so a lease may be lost while a write is on its way.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from live.assembly import Assembly, assemble
from live.config import Bounds, Cluster, Config, JournalSpec, LeaseSpec, Prometheus, Target
from live.informer import Reflector
from live.transport import Answer, Transport
from live.twin.clock import VirtualClock
from live.twin.cluster import Twin
from live.twin.load import Workload
from live.twin.store import Key
from policies.fcfs import FcfsSpec
from policies.loop import Turn
from policies.stabilized import StabilizedSpec

TICK_S, MAX_AGE_S = 15.0, 60.0
STORM_S, SETTLING_S, CALM_S = 480.0, 180.0, 90.0
"""How long things go wrong, how long one then waits, and how long all must have gone well."""
POLL_S = 5.0
"""How often a watch is looked at."""
STARTUP_S, SERVICE_S, RATE_PER_S = 30.0, 2.0, 0.8
SLACK_S, GRACE_S = 1.0, 30.0
AT_LEAST, AT_MOST = 1, 6
LEASE = LeaseSpec(duration_s=30.0, renew_s=20.0, retry_s=4.0)
KINDS = {"web": "Deployment", "api": "StatefulSet"}
LEASE_PATH = "/apis/coordination.k8s.io/v1/namespaces/default/leases/poolwright"
SCALERS = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"


class KilledError(BaseException):
    """The process is no more: nothing in it may catch this."""


def config(journal: Path, mode: str = "active") -> Config:
    targets = tuple(
        Target(
            model="m",
            version=name,
            kind=KINDS[name],
            name=name,
            replicas=Bounds(at_least=AT_LEAST, at_most=AT_MOST),
            startup_s=STARTUP_S,
            service_s=SERVICE_S,
            cost_per_hour=1.0,
        )
        for name in KINDS
    )
    return Config(
        cluster=Cluster(namespace="default", timeout_s=10.0),
        prometheus=Prometheus(url="http://prometheus:9090", timeout_s=5.0),
        tick_s=TICK_S,
        max_age_s=MAX_AGE_S,
        mode="shadow" if mode == "shadow" else "active",
        read="policy",
        journal=JournalSpec(path=str(journal)),
        lease=LEASE,
        targets=targets,
        policy=StabilizedSpec(shrink_s=60.0, policy=FcfsSpec(wait_s=2.0)),
    )


@dataclass(frozen=True)
class ProcessClock:
    """A process's own clock on the wall; its waits end with it."""

    process: "Process"
    clock: VirtualClock
    skew_s: float

    def now_s(self) -> float:
        return self.clock.now_s() + self.skew_s

    def monotonic_s(self) -> float:
        return self.clock.monotonic_s()

    def wait(self, seconds: float) -> bool:
        goes_on = self.clock.wait(seconds)
        self.process.check_alive()
        return goes_on


@dataclass
class Wire:
    """A process's way out, on which the onlooker listens."""

    process: "Process"
    inner: Transport

    def send(self, method: str, path: str, query: Any = None, body: Any = None, *rest: Any, **more: Any) -> Answer:
        self.process.check_alive()
        self.process.world.asked(self.process, method, path, query or {}, body)
        try:
            answer = self.inner.send(method, path, query, body, *rest, **more)
        finally:
            # What a process hears after its end, it does not hear.
            self.process.check_alive()
        self.process.heard(path, query or {}, answer)
        return answer

    def stream(self, path: str, query: Any = None, timeout_s: float = 60.0) -> Iterator[Any]:
        self.process.check_alive()
        for event in self.inner.stream(path, query, timeout_s):
            self.process.check_alive()
            yield event
        self.process.check_alive()


@dataclass
class Process:
    """One daemon from its start to its end; what its threads would do is done by appointments."""

    world: "StormWorld"
    name: str
    skew_s: float
    mode: str = "active"
    alive: bool = True
    turns: list[Turn] = field(default_factory=list)
    stamps: dict[str, float] = field(default_factory=dict)
    """Pod -> the newest sample that it was ever told of."""
    errors_before: Counter[str] = field(default_factory=Counter)
    """What had gone wrong when all should have settled."""
    scalers: list[Any] | None = None
    """The autoscalers that it was told of last."""
    assembly: Assembly = field(init=False)
    _turning: bool = False
    _leaving: bool = False

    def __post_init__(self) -> None:
        clock = ProcessClock(self, self.world.clock, self.skew_s)
        twin, path = self.world.twin, self.world.journal(self.name)
        kubernetes, prometheus = Wire(self, twin.transport()), Wire(self, twin.prometheus_transport())
        self.assembly = assemble(config(path, self.mode), kubernetes, prometheus, clock)
        self.assembly.daemon.watchers = (lambda turn, _: self.turns.append(turn),)
        if (lease := self.assembly.lease) is not None:
            self._repeat(lease.step, lambda: LEASE.retry_s)
        self._repeat(self.assembly.owners.step, lambda: 60.0)
        for reflector in self.assembly.informer.reflectors:
            self._repeat(reflector.step, partial(_pause_s, reflector))
        self._repeat(self._turn, lambda: TICK_S - self.world.clock.monotonic_s() % TICK_S, 1.0)

    def check_alive(self) -> None:
        if not self.alive:
            raise KilledError

    @property
    def errors(self) -> Counter[str]:
        """What has gone wrong since then."""
        return self.assembly.daemon.board.errors_total - self.errors_before

    @property
    def held(self) -> bool:
        lease = self.assembly.lease
        return self.alive and lease is not None and lease.held()

    def kill(self, torn: int = 0) -> None:
        """Without a word, and perhaps in the middle of a line of its journal."""
        if not self.alive:
            return
        self.alive = False
        # Its files are closed by the system that ended it.
        self.assembly.journal.close()
        if torn:
            with self.world.journal(self.name).open("ab") as file:
                file.write(b'{"is":"turn","time_s":17'[:torn])

    def terminate(self) -> None:
        """As on SIGTERM: the turn that runs ends, and writes nothing more. Who takes too long is killed."""
        if self._leaving:
            return
        self.assembly.stopping = self._leaving = True
        self.world.clock.later(GRACE_S, self.kill)
        if not self._turning:
            self._leave()

    def heard(self, path: str, query: Mapping[str, str], answer: Answer) -> None:
        if not answer.ok or not isinstance(answer.body, dict):
            return
        if path == SCALERS:
            self.scalers = answer.body["items"]
        if "timestamp(" in query.get("query", "") and not answer.body.get("warnings"):
            for series in (answer.body.get("data") or {}).get("result", ()):
                pod, stamp_s = series["metric"].get("pod", ""), float(series["value"][1])
                self.stamps[pod] = max(self.stamps.get(pod, -inf), stamp_s)

    def _turn(self) -> None:
        self._turning = True
        self.assembly.daemon.turn()
        self._turning = False
        self.world.look()
        if self._leaving:
            self._leave()

    def _leave(self) -> None:
        with suppress(KilledError):
            self.assembly.close()
            self.alive = False

    def _repeat(self, step: Callable[[], Any], pause_s: Callable[[], float], first_s: float = 0.0) -> None:
        def again() -> None:
            if not self.alive:
                return
            try:
                step()
            except KilledError:
                return
            except Exception as error:
                self.world.broken.append(f"{self.name}: {error!r}")
            self.world.look()
            if self.alive:
                self.world.clock.later(pause_s(), again)

        self.world.clock.later(first_s, again)


class StormWorld:
    """What is asked for is judged as it is asked, by what is true and not by what a daemon believes."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.clock = folder, VirtualClock()
        self.generator = np.random.default_rng(seed)
        self.twin = Twin(self.clock, self.generator.spawn(1)[0], scrape_s=10.0)
        self.keys = {name: self.twin.add(workload(name)) for name in KINDS}
        self.processes: list[Process] = []
        self.writes = 0
        self.broken: list[str] = []
        """Laws that were; told in the end, as a daemon survives whatever is raised in it."""

    def journal(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def start(self, name: str, mode: str = "active") -> None:
        """Once more, unless it runs."""
        if not any(process.name == name for process in self.alive()):
            self.processes.append(Process(self, name, float(self.generator.uniform(-20.0, 20.0)), mode))

    def alive(self) -> list[Process]:
        return [process for process in self.processes if process.alive]

    def in_force(self, name: str) -> int | None:
        """Replicas that a target's object asks for; None where there is no such object."""
        return self.twin.wanted(self.keys[name])

    def look(self) -> None:
        """No two may write."""
        leaders = [process.name for process in self.processes if process.held]
        self._must(len(leaders) <= 1, f"{leaders} hold the lease at a time")

    def asked(self, process: Process, method: str, path: str, query: Mapping[str, str], body: Any) -> None:
        """Judge what is on its way to the cluster."""
        self.look()
        if method == "PATCH":
            self._must(path.endswith("/scale") and not query.get("dryRun"), f"{path} was patched")
            self._judge(process, path.split("/")[-2], body)

    def _judge(self, process: Process, name: str, body: Any) -> None:
        self.writes += 1
        replicas, now_s = body["spec"]["replicas"], self.clock.true_s()
        self._must(process.mode == "active", "a shadow wrote")
        self._must(not process.assembly.stopping, "it wrote after it was told to stop")
        self._must(self._holder() == process.assembly.daemon.board.leadership.identity, "it wrote without the lease")
        self._must(AT_LEAST <= replicas <= AT_MOST, f"{replicas} is out of bounds")
        self._must(process.scalers is not None, "it wrote before it knew who else scales")
        others = [scaler["spec"]["scaleTargetRef"]["name"] for scaler in process.scalers or ()]
        self._must(name not in others, "it wrote where it knew that another scales")
        found = self.twin.api.store.get(self.keys[name])
        # Upon another version the write is refused.
        if found is None or found["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            return
        if replicas < found["spec"]["replicas"]:
            newest_s = max((s for pod, s in process.stamps.items() if pod.startswith(f"{name}-")), default=-inf)
            age_s = now_s - newest_s
            self._must(age_s <= MAX_AGE_S + SLACK_S, f"it shrank {name} upon readings {age_s:.0f} s old")

    def _holder(self) -> str | None:
        lease = self.twin.api.store.get(Key("coordination.k8s.io/leases", "default", "poolwright"))
        return None if lease is None else lease["spec"].get("holderIdentity")

    def _must(self, so: bool, otherwise: str) -> None:
        if not so:
            self.broken.append(f"at {self.clock.monotonic_s():.1f} s: {otherwise}")


def _pause_s(reflector: Reflector) -> float:
    return max(reflector.pause_s, POLL_S)


def workload(name: str) -> Workload:
    return Workload(
        name=name,
        namespace="default",
        kind=KINDS[name],
        replicas=3,
        startup_s=STARTUP_S,
        service_s=SERVICE_S,
        rate_per_s=lambda _: RATE_PER_S,
        rate_at_most_per_s=RATE_PER_S,
        patience_s=60.0,
    )
