"""How long a tick of the daemon takes by itself with very many targets, and what it asks of the cluster.

    python tests/benchmarks/live_tick.py [TARGETS]

Servers are in memory; their time is measured apart and taken off. Processor time, so that others who work on the same
machine do not count; of several ticks the least.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from live.assembly import Assembly, assemble
from live.config import Bounds, Cluster, Config, JournalSpec, Prometheus, Slo, Target
from live.transport import Answer, Transport
from live.twin.clock import VirtualClock
from live.twin.cluster import Twin
from live.twin.load import Workload
from policies.catalog import PolicySpec
from policies.fcfs import FcfsSpec
from policies.hpa import HpaSpec
from policies.target import TargetSpec

TICK_S = 15.0
TICKS = 5


@dataclass
class Timed:
    """A transport whose time is not the daemon's."""

    inner: Transport
    spent_s: float = 0.0
    asked: Counter[str] = field(default_factory=Counter)

    def send(self, method: str, *rest: Any, **more: Any) -> Answer:
        began_s = time.process_time()
        try:
            return self.inner.send(method, *rest, **more)
        finally:
            self.asked[method] += 1
            self.spent_s += time.process_time() - began_s

    def stream(self, path: str, query: Any = None, timeout_s: float = 60.0) -> Iterator[Any]:
        return self.inner.stream(path, query, timeout_s)


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


def ticks(assembly: Assembly, clock: VirtualClock, wires: tuple[Timed, Timed]) -> list[tuple[float, Counter[str]]]:
    """Own time of each tick, and what was asked of Kubernetes in it."""
    kubernetes, prometheus = wires
    found = []
    for _ in range(TICKS):
        assembly.step()
        kubernetes.asked.clear()
        kubernetes.spent_s = prometheus.spent_s = 0.0
        began_s = time.process_time()
        assembly.daemon.turn()
        own_s = time.process_time() - began_s - kubernetes.spent_s - prometheus.spent_s
        found.append((own_s, Counter(kubernetes.asked)))
        clock.wait(TICK_S)
    return found


def measured(targets: int, policy: PolicySpec, world: tuple[VirtualClock, Twin]) -> str:
    clock, twin = world
    with TemporaryDirectory() as folder:
        wires = Timed(twin.transport()), Timed(twin.prometheus_transport())
        assembly = assemble(config(Path(folder) / "journal.jsonl", targets, policy), *wires, clock)
        found = ticks(assembly, clock, wires)
        assembly.close()
    quiet = [own_s for own_s, asked in found if not asked["PATCH"]]
    calls = "; ".join(f"{asked['PATCH']} writes {sum(asked.values())} calls" for _, asked in found[:2])
    least = f"{1000 * min(quiet):7.1f} ms" if quiet else "   none is quiet"
    return f"{policy.kind:<8} {targets:>6} targets   own time of a quiet tick {least}   first ticks: {calls}"


def main() -> None:
    targets = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    world = crowd(targets)
    for policy in (HpaSpec(), TargetSpec(), FcfsSpec(wait_s=1.0)):
        print(measured(targets, policy, world), flush=True)


if __name__ == "__main__":
    main()
