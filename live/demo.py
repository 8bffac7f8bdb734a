"""The demo: the real daemon over real HTTP against a small cluster in this process, on a clock that runs fast."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from typing import TextIO

import numpy as np

from live.assembly import Assembly, assemble
from live.config import Bounds, Config, JournalSpec, LeaseSpec, Slo, Target, Telemetry
from live.config import Cluster as ClusterSpec
from live.config import Prometheus as PrometheusSpec
from live.connect import HttpTransport, KubeTransport
from live.daemon import background, stopped_by_signals
from live.status import duration
from live.twin.clock import FastClock, VirtualClock
from live.twin.cluster import Twin
from live.twin.load import Workload
from live.twin.server import served
from policies.fcfs import FcfsSpec
from policies.loop import Turn
from policies.observation import PoolReading
from policies.stabilized import StabilizedSpec

SPEED = 30.0
"""Seconds of the demo's world in one of the machine's."""
SHARES = {"v1": 0.8, "v2": 0.2}
QUIET_PER_S, BUSY_PER_S = 1.5, 9.0
RUSH_S = (150.0, 990.0)
"""When more requests begin to come, and when they have ceased."""
CYCLE_S = 1800.0
"""The next rush begins as long after that in a recording."""
RAMP_S = 240.0
"""How long they take to become most."""
SERVICE_S, SLOTS, STARTUP_S = 2.0, 2, 40.0
SAY_EVERY = 4
"""Turns between two lines that say how things are."""
GREETING = """\
poolwright-live runs for {seconds:g} s against a cluster in this process. Its clock goes {speed:g} times as fast, which
makes {minutes:.0f} minutes; there is a rush hour from the 3rd to the 17th. Nothing of yours is touched.

    status page   http://127.0.0.1:{port}/
    metrics       http://127.0.0.1:{port}/metrics

"""


def config(journal: Path, prometheus_url: str, port: int) -> Config:
    """What a user would write for this cluster."""
    return Config(
        cluster=ClusterSpec(namespace="models"),
        prometheus=PrometheusSpec(url=prometheus_url),
        tick_s=15.0,
        slo=Slo(response_s=8.0),
        mode="active",
        lease=LeaseSpec(duration_s=90.0, renew_s=60.0, retry_s=15.0),
        journal=JournalSpec(path=str(journal)),
        telemetry=Telemetry(address="127.0.0.1", port=port),
        targets=tuple(_target(version) for version in SHARES),
        policy=StabilizedSpec(shrink_s=120.0, policy=FcfsSpec(wait_s=2.0)),
    )


def rate_per_s(share: float) -> Callable[[float], float]:
    """Arrivals by time: a quiet start, a rush hour, and quiet again."""
    begin_s, end_s = RUSH_S

    def rate(elapsed_s: float) -> float:
        up = min(max((elapsed_s - begin_s) / RAMP_S, 0.0), 1.0)
        down = min(max((end_s - elapsed_s) / RAMP_S, 0.0), 1.0)
        return share * (QUIET_PER_S + (BUSY_PER_S - QUIET_PER_S) * min(up, down))

    return rate


def run(seconds: float, journal: Path | None, port: int, out: TextIO = sys.stdout) -> None:
    """Run for so many of the machine's seconds, or until a signal. Raises `InputError`."""
    clock = FastClock(speed=SPEED)
    with TemporaryDirectory() as folder, _cluster(clock) as (kubernetes, prometheus):
        chosen = config(journal or Path(folder) / "journal.jsonl", prometheus.address, port)
        assembly = assemble(chosen, kubernetes, prometheus, clock)
        try:
            _operate(assembly, clock, seconds, out)
        finally:
            assembly.close()
        _part(assembly, journal, out)


def record(journal: Path, ticks: int, seed: int = 0) -> None:
    """Journal so many ticks of the same daemon on the same cluster, as fast as the machine can; the rush hour comes
    again each half hour. Raises `InputError`."""
    clock = VirtualClock()
    twin = Twin(clock, np.random.default_rng(seed), scrape_s=5.0)
    for version, share in SHARES.items():
        workload = _workload(version, share)
        twin.add(replace(workload, rate_per_s=_repeated(workload.rate_per_s)))
    chosen = config(journal, "http://twin", 0)
    assembly = assemble(chosen, twin.transport(), twin.prometheus_transport(), clock)
    try:
        for _ in range(ticks):
            assembly.step()
            assembly.daemon.turn()
            clock.wait(chosen.tick_s)
    finally:
        assembly.close()


def _repeated(rate: Callable[[float], float]) -> Callable[[float], float]:
    return lambda elapsed_s: rate(elapsed_s % CYCLE_S)


def _operate(assembly: Assembly, clock: FastClock, seconds: float, out: TextIO) -> None:
    daemon = assembly.daemon
    daemon.board.refresh_s, daemon.board.speed = 2.0, SPEED
    stop = Timer(seconds, clock.stop)
    stop.daemon = True
    with assembly.served() as port, stopped_by_signals(clock.stop):
        out.write(GREETING.format(seconds=seconds, minutes=seconds * SPEED / 60, speed=SPEED, port=port))
        daemon.watchers = (*daemon.watchers, Teller(clock.now_s(), out).tell)
        stop.start()
        try:
            background(assembly.works, clock, daemon.board)
            daemon.run()
        finally:
            stop.cancel()
            clock.stop()


class Teller:
    """What a turn did, as lines for people."""

    def __init__(self, began_s: float, out: TextIO) -> None:
        self._began_s, self._out, self._turns = began_s, out, 0

    def tell(self, turn: Turn, _took_s: float) -> None:
        at = duration(max(turn.observation.time_s - self._began_s, 0.0))
        if self._turns % SAY_EVERY == 0:
            self._say(f"{at:>13}  " + "   ".join(_words(pool, r) for pool, r in turn.observation.pools.items()))
        for pool, action in turn.actions.items():
            change = f"{action.before} -> {action.after}" if action.error is None else action.error
            self._say(f"{at:>13}  {pool}: {change}    {turn.decision.reasons[pool]}")
        self._turns += 1

    def _say(self, line: str) -> None:
        self._out.write(f"{line}\n")
        self._out.flush()


def _words(pool: str, reading: PoolReading) -> str:
    waiting, ready, wanted = (
        "?" if value is None else f"{value:g}" for value in (reading.total.queued, reading.ready, reading.wanted)
    )
    return f"{pool}: {ready} of {wanted} replicas ready, {waiting} waiting"


def _target(version: str) -> Target:
    return Target(
        model="assistant",
        version=version,
        name=f"assistant-{version}",
        replicas=Bounds(at_least=1, at_most=20),
        slots=SLOTS,
        startup_s=STARTUP_S,
        cost_per_hour=2.5,
        service_s=SERVICE_S,
    )


def _workload(version: str, share: float) -> Workload:
    return Workload(
        name=f"assistant-{version}",
        replicas=3 if version == "v1" else 1,
        slots=SLOTS,
        startup_s=STARTUP_S,
        service_s=SERVICE_S,
        service_scv=0.5,
        rate_per_s=rate_per_s(share),
        rate_at_most_per_s=share * BUSY_PER_S,
    )


@contextmanager
def _cluster(clock: FastClock) -> Iterator[tuple[KubeTransport, HttpTransport]]:
    """Transports over HTTP to the two servers of a twin."""
    from kubernetes import client

    twin = Twin(clock, scrape_s=5.0)
    for version, share in SHARES.items():
        twin.add(_workload(version, share))
    with served(twin.kubernetes) as api, served(twin.metrics) as metrics:
        kubernetes = KubeTransport(client.ApiClient(client.Configuration(host=api.url)))
        yield kubernetes, HttpTransport(metrics.url)


def _part(assembly: Assembly, journal: Path | None, out: TextIO) -> None:
    board = assembly.daemon.board
    seen, most = board.tally.seen, sum(pool.at_most * pool.cost_per_hour for pool in board.tally.pools.values())
    hours = board.turns_total * board.config.tick_s / 3600
    writes = sum(times for (_, outcome), times in board.writes_total.items() if outcome == "done")
    told = f"{writes} writes in {board.turns_total} turns; the replicas cost ${seen.cost_usd:.2f}"
    told += f", at their most throughout they had cost ${most * hours:.2f}"
    if board.config.slo is not None and seen.share is not None:
        told += f"; {seen.share:.1%} of {seen.requests:,.0f} requests within {board.config.slo.response_s:g} s"
    out.write(f"\n{told}\n")
    if journal is not None:
        out.write(f"journal: {journal}\n")
