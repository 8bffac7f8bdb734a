"""Storms between daemons and a real API server: the laws that hold on virtual time before the twin hold there, too.

One storm again: `STORM=3 python -m pytest tests/live/test_real_storms.py`.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from real_cluster import missing, real_cluster
from real_storm_world import (
    AT_MOST,
    CALM_SLOTS,
    DEPLOYMENTS,
    LEASE,
    NAMESPACE,
    WEB,
    Process,
    RealStormWorld,
    config,
    storm_world,
    until,
)

from live.config import Cluster
from live.connect import KubeTransport, to_kubernetes
from live.kube import KubeApi, Resource
from live.twin import faults
from live.twin.faults import CONFLICT, TOO_MANY, Cut, Gone, Lost, Refused, Rule, Slow
from policies.afresh import Afresh
from policies.journal import files, read
from policies.loop import Turn

SEEDS = [int(os.environ["STORM"])] if "STORM" in os.environ else range(5)
STORM_S = 90.0
"""By the daemons' clocks; a tenth of it by ours."""
SETTLED_S = 45.0
"""So many of the machine's seconds all may take to be well again."""
STEPS, DROUGHT = 18, 9
"""Of a storm; for so many of them, one after another, nothing is scraped."""
TROUBLES = ("lost", "nan", "empty", "stale", "stale", "", "")
MISHAPS = ("scaled", "deleted", "stopped", "", "", "", "")


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeTransport]:
    if why := missing():
        pytest.skip(why)
    with real_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        transport = to_kubernetes(Cluster(kubeconfig=str(cluster.kubeconfig())))
        kube = KubeApi(transport)
        kube.create(Resource("v1", "namespaces", None), {"metadata": {"name": NAMESPACE}})
        assert until(lambda: bool(kube.list(Resource("v1", "serviceaccounts", NAMESPACE))[0]), 30.0)
        yield transport
        transport.client.rest_client.pool_manager.clear()


def weather(draw: np.random.Generator) -> list[Rule]:
    """Spells of everything that can happen on the way, and some time without any answer."""
    effects = (
        (CONFLICT, ("update", "patch")),
        (TOO_MANY, ()),
        (Refused(500, "etcdserver: request timed out"), ()),
        (Refused(503), ()),
        (Lost(done=False), ()),
        (Lost(done=True), faults.WRITES),
        (Slow(3.0), ()),
        (Cut(1), ("watch",)),
        (Gone(), ("watch",)),
    )
    rules = []
    for _ in range(int(draw.integers(4, 10))):
        effect, verbs = effects[draw.integers(len(effects))]
        begin_s, length_s = float(draw.uniform(0.0, STORM_S)), float(draw.uniform(5.0, 30.0))
        rules.append(Rule(effect, begin_s, begin_s + length_s, verbs, chance=float(draw.choice([0.2, 0.6, 1.0]))))
    begin_s = float(draw.uniform(0.0, STORM_S))
    return [*rules, Rule(Lost(), begin_s, begin_s + 10.0)]


def stormed(world: RealStormWorld, draw: np.random.Generator) -> None:
    """What people and Prometheus do meanwhile."""
    world.start("a")
    world.start("b")
    drought = int(draw.integers(2, STEPS - DROUGHT))
    for k in range(STEPS):
        world.metrics.slots = float(draw.uniform(0.2, 7.0))
        if draw.random() < 0.3:
            world.metrics.trouble = str(draw.choice(TROUBLES))
        if drought <= k < drought + DROUGHT:
            world.metrics.trouble = "stale"
        if k == drought + DROUGHT - 3:
            # More than the policy would want, while nobody knows what is wanted.
            world.meddle(AT_MOST)
        what = str(draw.choice(MISHAPS))
        if what == "scaled":
            world.meddle(int(draw.integers(1, 10)))
        if what == "deleted":
            world.admin.send("DELETE", WEB.path)
        if what == "stopped":
            process = world.processes.pop(int(draw.integers(len(world.processes))))
            process.stop()
            judged(world, process)
            world.start(process.name)
        world.clock.wait(STORM_S / STEPS)
        world.deploy()
    world.metrics.trouble, world.metrics.slots = "", CALM_SLOTS
    world.weather.rules = ()
    # So that something is left to do in any case.
    world.meddle(AT_MOST)


def judged(world: RealStormWorld, process: Process) -> None:
    """Its journal holds its every turn, and the same policy decides the same upon it."""
    path = world.folder / f"{process.name}.jsonl"
    kept = [record for record in read(*files(path)) if isinstance(record, Turn)]
    if kept[len(kept) - len(process.turns) :] != process.turns:
        world.broken.append(f"{process.name}: {len(process.turns)} turns were made, of which the journal lacks some")
    policy = Afresh.of(config(path).policy, config(path).pools)
    other = [i for i, turn in enumerate(kept) if policy.decide(turn.observation) != turn.decision]
    if other:
        world.broken.append(f"{process.name}: turns {other} replay otherwise")
    if faulty := [fault for fault in process.assembly.daemon.board.faults() if fault.where in FAILURES]:
        world.broken.append(f"{process.name}: {faulty}")


FAILURES = ("turn", "policy", "actuator", "background")
"""Parts that no weather is to bring down."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_storm_before_a_real_server_breaks_no_law_and_passes(admin: KubeTransport, tmp_path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    with storm_world(tmp_path, admin, weather(draw), seed) as world:
        stormed(world, draw)
        settled = until(lambda: world.unsettled() == "", SETTLED_S)
        why = "" if settled else world.unsettled()
        for process in world.processes:
            process.stop()
            judged(world, process)
    admin.send("DELETE", WEB.path)
    admin.send("DELETE", f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{LEASE.name}")
    assert until(lambda: not KubeApi(admin).list(DEPLOYMENTS)[0], 20.0)
    assert (world.broken, why) == ([], "")
    assert world.writes > 0
