"""The daemon's eyes and hands before a real API server: what the fake was believed to do, the real one does."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from real_cluster import missing, real_cluster

from live.actuator import World, actuator
from live.check import check, rights
from live.clock import WallClock
from live.config import Bounds, Cluster, Config, JournalSpec, LeaseSpec, Prometheus, Target
from live.connect import to_kubernetes
from live.informer import Informer
from live.kube import ApiError, KubeApi, Resource, refs
from live.lease import KubeLease
from live.owners import Owners, managers
from live.transport import Answer
from policies.decision import Decision, Reason
from policies.fixed import FixedSpec
from policies.loop import Action
from policies.observation import Observation, PoolReading

CONFIG = Config(
    cluster=Cluster(namespace="eyes"),
    prometheus=Prometheus(url="http://127.0.0.1:1"),
    journal=JournalSpec(path="j"),
    mode="active",
    targets=(Target(model="m", version="v1", name="web", replicas=Bounds(at_least=0, at_most=9)),),
    policy=FixedSpec(replicas={"v1": 3}),
)


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KubeApi, KubeApi]]:
    """Who may do all, and who may do nothing."""
    if why := missing():
        pytest.skip(why)
    with real_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        tokens = ("admin-token", "limited-token")
        transports = [to_kubernetes(Cluster(kubeconfig=str(cluster.kubeconfig(token)))) for token in tokens]
        admin, limited = (KubeApi(transport) for transport in transports)
        admin.create(Resource("v1", "namespaces", None), {"metadata": {"name": "eyes"}})
        labels = {"app": "web"}
        pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod}
        ready(lambda: bool(admin.list(Resource("v1", "serviceaccounts", "eyes"))[0]))
        admin.create(Resource("apps/v1", "deployments", "eyes"), {"metadata": {"name": "web"}, "spec": spec})
        yield admin, limited
        for transport in transports:
            transport.client.rest_client.pool_manager.clear()


def ready(done: Callable[[], bool], seconds: float = 20.0) -> None:
    until_s = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until_s, "the server never came so far"
        time.sleep(0.1)


def informed(kube: KubeApi) -> Informer:
    informer = Informer(kube, refs(CONFIG, kube), WallClock(), 4.0)
    informer.step()
    return informer


def test_targets_and_pods_are_followed_by_watch(users: Any) -> None:
    admin, _ = users
    informer = informed(admin)
    ready(lambda: len(informed(admin).pods("m/v1") or ()) == 2)
    ref = refs(CONFIG, admin)["m/v1"]
    admin.set_replicas(ref, 3, admin.scale(ref).resource_version)
    for _ in range(3):
        informer.step()
    counts = informer.counts("m/v1")
    assert counts is not None
    assert (informer.wanted("m/v1"), counts.starting, counts.ready, informer.problems) == (3, 3, 0, {})


def test_replicas_are_written_once_and_told(users: Any) -> None:
    admin, _ = users
    targets = refs(CONFIG, admin)
    before = admin.scale(targets["m/v1"]).wanted
    shown = Observation(0.0, {"m/v1": PoolReading(wanted=before, age_s=1.0)})
    hand = actuator(CONFIG, admin, targets, World(lambda: shown, lambda: True, lambda _: None), WallClock())
    decision = Decision({"m/v1": Reason(before + 1, "as told")})
    assert hand.apply(decision) == {"m/v1": Action(before, before + 1)}
    assert hand.problems == {}
    events = admin.list(Resource("v1", "events", "eyes"))[0]
    assert any(event["message"] == f"{before} -> {before + 1} replicas: wish {before + 1}: as told" for event in events)
    assert hand.apply(decision) == {}


def test_a_dry_run_is_checked_by_the_server_and_kept_by_nobody(users: Any) -> None:
    admin, _ = users
    targets = refs(CONFIG, admin)
    before = admin.scale(targets["m/v1"]).wanted
    shown = Observation(0.0, {"m/v1": PoolReading(wanted=before, age_s=1.0)})
    hand = actuator(
        CONFIG, admin, targets, World(lambda: shown, lambda: True, lambda _: None), WallClock(), dry_run=True
    )
    assert hand.apply(Decision({"m/v1": Reason(7, "as told")})) == {"m/v1": Action(before, before, "dry run")}
    assert admin.scale(targets["m/v1"]).wanted == before


def test_a_version_that_is_not_the_objects_is_a_conflict(users: Any) -> None:
    admin, _ = users
    with pytest.raises(ApiError) as error:
        admin.set_replicas(refs(CONFIG, admin)["m/v1"], 1, "1")
    assert error.value.status == 409


def test_the_lease_goes_from_hand_to_hand(users: Any) -> None:
    admin, _ = users
    spec = LeaseSpec(duration_s=2.0, renew_s=1.0, retry_s=0.2)
    one, two = (KubeLease(admin, spec, "eyes", name, WallClock()) for name in ("one", "two"))
    assert (one.step(), two.step(), one.step()) == (True, False, True)
    one.release()
    assert two.step()
    three = KubeLease(admin, spec, "eyes", "three", WallClock())
    began_s = time.monotonic()
    ready(three.step)
    assert not two.held()
    assert 1.8 < time.monotonic() - began_s < 4.0


def test_owners_are_found(users: Any) -> None:
    admin, _ = users
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    hpas = Resource("autoscaling/v1", "horizontalpodautoscalers", "eyes")
    admin.create(hpas, {"metadata": {"name": "other"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}})
    owners = Owners(admin, refs(CONFIG, admin), WallClock())
    owners.step()
    assert owners.foreign == {"m/v1": "HorizontalPodAutoscaler eyes/other"}
    assert managers({"metadata": {}}) == []
    admin.transport.send("DELETE", f"{hpas.path}/other")


class Silent:
    """A Prometheus without a single series."""

    def send(self, *_: Any, **__: Any) -> Answer:
        return Answer(200, {"status": "success", "data": {"resultType": "vector", "result": []}})

    def stream(self, *_: Any, **__: Any) -> Iterator[Any]:
        return iter(())


def test_the_check_of_one_who_may_do_nothing_names_every_right(users: Any) -> None:
    admin, limited = users
    targets = refs(CONFIG, admin)
    mine = check(CONFIG, admin.transport, Silent(), WallClock())
    assert [f.words for f in mine if f.level == "fault"] == []
    theirs = check(CONFIG, limited.transport, Silent(), WallClock())
    denied = {f.what for f in theirs if f.about == "access" and f.level != "ok"}
    assert denied == {str(right) for right in rights(CONFIG, targets)}
