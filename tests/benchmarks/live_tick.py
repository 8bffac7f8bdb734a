"""How long a tick of the daemon takes by itself with very many targets, and what it asks of the cluster.

    python tests/benchmarks/live_tick.py [TARGETS]

Servers are in memory; their time is measured apart and taken off, except for reading their answers, and so is the
policy's, which the table tells apart. Processor time, so that others who work on the same machine count little; of
several ticks the least.
"""

import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydantic_core import from_json

from live.assembly import Assembly, assemble
from live.config import Bounds, Cluster, Config, JournalSpec, Prometheus, Slo, Target
from live.repeated import Repeated
from live.transport import Answer, Transport
from live.twin.clock import VirtualClock
from live.twin.cluster import Twin
from live.twin.load import Workload
from policies.catalog import PolicySpec
from policies.decision import Decision
from policies.fcfs import FcfsSpec
from policies.hpa import HpaSpec
from policies.mpc import MpcSpec
from policies.observation import Observation
from policies.policy import Policy, Readings
from policies.target import TargetSpec

TICK_S = 15.0
TICKS = 6
POLICIES: tuple[PolicySpec, ...] = (TargetSpec(), HpaSpec(), MpcSpec(response_s=5.0), FcfsSpec(wait_s=1.0))


@dataclass
class Timed:
    """A transport whose time is not the daemon's, except for reading what came."""

    inner: Transport
    read: Callable[[str, bytes], Any] | None = None
    spent_s: float = 0.0
    asked: Counter[str] = field(default_factory=Counter)

    def send(self, method: str, *rest: Any, **more: Any) -> Answer:
        began_s = time.process_time()
        try:
            answer = self.inner.send(method, *rest, **more)
            came = b"" if self.read is None else json.dumps(answer.body, separators=(",", ":")).encode()
        finally:
            self.asked[method] += 1
            self.spent_s += time.process_time() - began_s
        return answer if self.read is None else replace(answer, body=self.read(repr(rest), came))

    def stream(self, path: str, query: Any = None, timeout_s: float = 60.0) -> Iterator[Any]:
        return self.inner.stream(path, query, timeout_s)


@dataclass
class TimedPolicy:
    """A policy whose time is told apart."""

    inner: Policy
    spent_s: float = 0.0

    @property
    def readings(self) -> Readings:
        return self.inner.readings

    @property
    def memory_s(self) -> float:
        return self.inner.memory_s

    def decide(self, observation: Observation, /) -> Decision:
        began_s = time.process_time()
        try:
            return self.inner.decide(observation)
        finally:
            self.spent_s += time.process_time() - began_s


@dataclass(frozen=True, slots=True)
class Tick:
    own_s: float
    """Without the servers and the policy."""
    decide_s: float
    asked: Counter[str]
    """Calls of Kubernetes, by verb."""


def config(journal: Path, targets: int, policy: PolicySpec) -> Config:
    return Config(
        cluster=Cluster(namespace="models"),
        prometheus=Prometheus(url="http://prometheus:9090"),
        tick_s=TICK_S,
        mode="active",
        slo=Slo(response_s=5.0),
        journal=JournalSpec(path=str(journal)),
        targets=tuple(
            Target(
                model=f"m{i}",
                version="v1",
                name=f"web-{i}",
                replicas=Bounds(at_most=9),
                startup_s=30.0,
                service_s=1.0,
            )
            for i in range(targets)
        ),
        policy=policy,
    )


def crowd(targets: int) -> tuple[VirtualClock, Twin]:
    """So many Deployments of two replicas, with little to do."""
    clock = VirtualClock()
    twin = Twin(clock, np.random.default_rng(1))
    for i in range(targets):
        twin.add(
            Workload(name=f"web-{i}", replicas=2, rate_per_s=lambda _: 0.2, rate_at_most_per_s=0.2, startup_s=30.0)
        )
    clock.wait(60.0)
    return clock, twin


def ticks(assembly: Assembly, clock: VirtualClock, wires: tuple[Timed, Timed]) -> list[Tick]:
    kubernetes, prometheus = wires
    policy = TimedPolicy(assembly.daemon.loop.policy)
    assembly.daemon.loop = replace(assembly.daemon.loop, policy=policy)
    assembly.step()
    # As the daemon does once it has read the cluster.
    gc.freeze()
    found = []
    for _ in range(TICKS):
        assembly.step()
        kubernetes.asked.clear()
        kubernetes.spent_s = prometheus.spent_s = policy.spent_s = 0.0
        began_s = time.process_time()
        assembly.daemon.turn()
        own_s = time.process_time() - began_s - kubernetes.spent_s - prometheus.spent_s - policy.spent_s
        found.append(Tick(own_s, policy.spent_s, Counter(kubernetes.asked)))
        clock.wait(TICK_S)
    return found


def measured(targets: int, policy: PolicySpec, world: tuple[VirtualClock, Twin]) -> str:
    clock, twin = world
    with TemporaryDirectory() as folder:
        wires = Timed(twin.transport()), Timed(twin.prometheus_transport(), Repeated(from_json))
        assembly = assemble(config(Path(folder) / "journal.jsonl", targets, policy), *wires, clock)
        found = ticks(assembly, clock, wires)
        assembly.close()
    # The first fills windows, and learns which series there are.
    quiet = [tick for tick in found[1:] if not tick.asked["PATCH"]]
    calls = "; ".join(f"{tick.asked['PATCH']} writes {sum(tick.asked.values())} calls" for tick in found[:2])
    if not quiet:
        return f"{policy.kind:<8} {targets:>6} targets   no tick was quiet   first ticks: {calls}"
    own_s, decide_s = min(tick.own_s for tick in quiet), min(tick.decide_s for tick in quiet)
    whole_s = min(tick.own_s + tick.decide_s for tick in quiet)
    told = f"own {1000 * own_s:6.1f} ms   decide {1000 * decide_s:6.1f} ms   both {1000 * whole_s:6.1f} ms"
    return f"{policy.kind:<8} {targets:>6} targets   {told}   first ticks: {calls}"


def main() -> None:
    targets = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    world = crowd(targets)
    for policy in POLICIES:
        print(measured(targets, policy, world), flush=True)


if __name__ == "__main__":
    main()
