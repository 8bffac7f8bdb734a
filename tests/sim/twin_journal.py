"""Makes journals/assistant.jsonl: a rush as the real daemon saw it, on virtual time, with a restart in between.

Run it from the repository's root: python tests/sim/twin_journal.py tests/sim/journals/assistant.jsonl
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from live.assembly import Assembly, assemble
from live.config import Bounds, Config, JournalSpec, LeaseSpec, Prometheus, Slo, Target
from live.twin.clock import VirtualClock
from live.twin.cluster import Twin
from live.twin.load import Workload
from policies.fcfs import FcfsSpec
from policies.stabilized import StabilizedSpec

SHARES = {"v1": 0.85, "v2": 0.15}
SERVICE_S = {"v1": 2.0, "v2": 3.0}
TICK_S, STARTUP_S = 45.0, 75.0
QUIET_PER_S, BUSY_PER_S = 1.0, 7.0
RUSH_S = (1500.0, 5400.0)
RAMP_S = 900.0
TURNS, RESTART = 160, 100


class Recorded:
    """A cluster of two versions, and daemons one after another that write one journal."""

    def __init__(self, journal: Path, rate_per_s: Callable[[float], float], tick_s: float = TICK_S) -> None:
        self.clock, self.tick_s = VirtualClock(), tick_s
        self._twin = Twin(self.clock, np.random.default_rng(11))
        self._config = _config(journal, tick_s)
        for version, share in SHARES.items():
            self._twin.add(_workload(version, share, rate_per_s))

    def daemon(self, turns: int) -> None:
        """Start one, and end it after so many turns."""
        assembly = self.start()
        self.turn(assembly, turns)
        assembly.close()

    def start(self) -> Assembly:
        kubernetes, prometheus = self._twin.transport(), self._twin.prometheus_transport()
        return assemble(self._config, kubernetes, prometheus, self.clock)

    def turn(self, assembly: Assembly, turns: int) -> None:
        for _ in range(turns):
            assembly.step()
            assembly.daemon.turn()
            self.clock.wait(self.tick_s)


def rush_per_s(elapsed_s: float) -> float:
    up, down = ((x / RAMP_S) for x in (elapsed_s - RUSH_S[0], RUSH_S[1] - elapsed_s))
    return QUIET_PER_S + (BUSY_PER_S - QUIET_PER_S) * min(max(min(up, down), 0.0), 1.0)


def _config(journal: Path, tick_s: float) -> Config:
    return Config(
        prometheus=Prometheus(url="http://prometheus:9090"),
        tick_s=tick_s,
        mode="active",
        slo=Slo(response_s=10.0),
        journal=JournalSpec(path=str(journal)),
        lease=LeaseSpec(duration_s=90.0, renew_s=80.0, retry_s=5.0),
        targets=tuple(_target(version) for version in SHARES),
        policy=StabilizedSpec(shrink_s=300.0, policy=FcfsSpec(wait_s=2.0)),
    )


def _target(version: str) -> Target:
    return Target(
        model="assistant",
        version=version,
        name=f"assistant-{version}",
        namespace="models",
        replicas=Bounds(at_least=1, at_most=30),
        startup_s=STARTUP_S,
        service_s=SERVICE_S[version],
        cost_per_hour=2.5,
    )


def _workload(version: str, share: float, rate_per_s: Callable[[float], float]) -> Workload:
    return Workload(
        name=f"assistant-{version}",
        replicas=4 if version == "v1" else 2,
        startup_s=STARTUP_S,
        service_s=SERVICE_S[version],
        service_scv=0.4,
        rate_per_s=lambda elapsed_s: share * rate_per_s(elapsed_s),
        rate_at_most_per_s=share * BUSY_PER_S,
    )


if __name__ == "__main__":
    world = Recorded(Path(sys.argv[1]), rush_per_s)
    world.daemon(RESTART)
    world.daemon(TURNS - RESTART)
