"""The chart before a real API server: its objects are taken, and its account may do what the daemon does, no more."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

sys.path.insert(0, str(Path(__file__).parent))

from real_cluster import RealCluster, missing, real_cluster

from live.check import rights
from live.clock import WallClock
from live.config import Cluster, Config
from live.connect import KubeTransport, to_kubernetes
from live.informer import Informer
from live.kube import ApiError, KubeApi, Ref, Resource, refs
from live.lease import KubeLease
from live.manifests import written_out
from live.owners import Owners
from policies.spec import plain
from policies.specfile import parse

FILE = """
cluster: { namespace: models }
prometheus: { url: "http://127.0.0.1:1" }
journal: { path: /var/lib/poolwright/journal.jsonl }
mode: active
targets:
  - { model: chat, version: v1, name: chat-v1, replicas: { at_most: 9 } }
  - { model: draw, version: v1, kind: StatefulSet, namespace: art, name: draw, replicas: { at_most: 9 } }
policy: { kind: fixed, replicas: { chat/v1: 3, draw/v1: 3 } }
"""
MODES = {
    "shadow": FILE.replace("active", "shadow"),
    "annotation": FILE.replace("active", "recommend\nrecommend: annotation"),
    "active": FILE,
}
PLURALS = {
    "ConfigMap": "configmaps",
    "Deployment": "deployments",
    "NetworkPolicy": "networkpolicies",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "StatefulSet": "statefulsets",
}
ANYBODYS = {
    ("create", "authorization.k8s.io", "selfsubjectaccessreviews", ""),
    ("create", "authorization.k8s.io", "selfsubjectrulesreviews", ""),
}
"""What every user of a cluster may do: ask what it may."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    if why := missing():
        pytest.skip(why)
    with real_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def admin(cluster: RealCluster) -> Iterator[KubeApi]:
    """Of a cluster with two targets, and two more objects like them that are none."""
    kube = KubeApi(to_kubernetes(Cluster(kubeconfig=str(cluster.kubeconfig()))))
    for namespace in ("models", "art", "mine"):
        kube.create(Resource("v1", "namespaces", None), {"metadata": {"name": namespace}})
    for plural, namespace, name in (
        ("deployments", "models", "chat-v1"),
        ("deployments", "models", "other"),
        ("statefulsets", "art", "draw"),
        ("statefulsets", "art", "other"),
    ):
        kube.create(Resource("apps/v1", plural, namespace), workload(name))
    yield kube
    assert isinstance(kube.transport, KubeTransport)
    kube.transport.client.rest_client.pool_manager.clear()


def workload(name: str) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 2, "serviceName": name, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def objects(file: str, values: Mapping[str, Any]) -> list[Any]:
    yaml = YAML(typ="safe", pure=True)
    texts = written_out(plain(parse(Config, file)), values, "scaler", "mine")
    return [body for text in texts.values() for body in yaml.load_all(text) if body]


def resource_of(body: Mapping[str, Any]) -> Resource:
    return Resource(body["apiVersion"], PLURALS[body["kind"]], body["metadata"]["namespace"])


@pytest.mark.parametrize("storage", ["", "fast"], ids=["deployment", "statefulset"])
@pytest.mark.parametrize("mode", MODES)
def test_the_server_takes_each_object(admin: KubeApi, mode: str, storage: str) -> None:
    taken, unknown = set(), set()
    for body in objects(MODES[mode], {"journal": {"storageClass": storage}}):
        query = {"dryRun": "All", "fieldValidation": "Strict"}
        answer = admin.transport.send("POST", resource_of(body).path, query, body)
        (unknown if answer.status == 404 else taken).add(body["kind"])
        assert answer.status in (201, 404), (body["kind"], answer.body)
        if answer.status == 201:
            assert_kept(body, answer.body)
    # Older servers have budgets in a beta version only.
    assert unknown <= {"PodDisruptionBudget"}
    assert len(taken) >= 7


def assert_kept(sent: Any, got: Any, where: str = "") -> None:
    """A server leaves out what it does not know; all that was sent must be in its answer."""
    if isinstance(sent, dict):
        for key, value in sent.items():
            if value not in ({}, None):
                assert key in got, f"{where}.{key} was dropped"
                assert_kept(value, got[key], f"{where}.{key}")
    elif isinstance(sent, list):
        for i, value in enumerate(sent):
            assert_kept(value, got[i], f"{where}[{i}]")


@pytest.fixture
def account(cluster: RealCluster, admin: KubeApi, request: pytest.FixtureRequest) -> Iterator[KubeApi]:
    """The account of the mode that the test asks for, with the roles of that mode only."""
    found = objects(MODES[request.param], {})
    made = [body for body in found if body["kind"] in ("ServiceAccount", "Role", "RoleBinding")]
    for body in made:
        admin.create(resource_of(body), body)
    accounts = Resource("v1", "serviceaccounts", "mine")
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = admin.transport.send("POST", f"{accounts.path}/scaler/token", body=asked).body["status"]["token"]
    kubeconfig = json.loads(cluster.kubeconfig().read_text())
    kubeconfig["users"][0]["user"]["token"] = token
    path = cluster.folder / f"{request.param}.kubeconfig"
    path.write_text(json.dumps(kubeconfig))
    transport = to_kubernetes(Cluster(kubeconfig=str(path)))
    yield KubeApi(transport)
    transport.client.rest_client.pool_manager.clear()
    for body in made:
        admin.transport.send("DELETE", f"{resource_of(body).path}/{body['metadata']['name']}")


def may(kube: KubeApi, namespace: str) -> set[tuple[str, str, str, str]]:
    """Verb, group, resource, name: everything that a user may do in a namespace, as the server says it."""
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    answer = kube.transport.send("POST", path, body={"spec": {"namespace": namespace}})
    assert answer.ok
    return {
        (verb, group, resource, name)
        for rule in answer.body["status"]["resourceRules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames") or [""]
    }


@pytest.mark.parametrize(("account", "mode"), [(mode, mode) for mode in MODES], indirect=["account"])
def test_the_account_may_do_what_its_mode_needs_and_not_a_thing_more(account: KubeApi, mode: str) -> None:
    config = parse(Config, MODES[mode])
    needed = rights(config, refs(config, account))
    eventually(lambda: all(account.allowed(right) for right in needed))
    for namespace in ("models", "art", "mine", "default"):
        wanted = {
            (r.verb, r.resource.group, "/".join(filter(None, (r.resource.plural, r.subresource))), r.name)
            for r in needed
            if r.resource.namespace == namespace
        }
        assert may(account, namespace) == wanted | ANYBODYS


def eventually(done: Any, seconds: float = 15.0) -> None:
    """A new role is in force a moment after it was made."""
    until_s = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until_s, "it never came true"
        time.sleep(0.1)


@pytest.mark.parametrize("account", ["active"], indirect=True)
def test_the_account_does_all_that_an_active_daemon_does(account: KubeApi, admin: KubeApi) -> None:
    config, clock = parse(Config, FILE), WallClock()
    targets = refs(config, account)
    eventually(lambda: all(account.allowed(right) for right in rights(config, targets)))
    informer = Informer(account, targets, clock, 2.0)
    # The first step lists, the second watches.
    informer.step()
    before = {pool: informer.wanted(pool) for pool in targets}
    informer.step()
    owners = Owners(account, targets, clock)
    owners.step()
    lease = KubeLease(account, config.lease, "models", "me", clock)
    assert (lease.step(), lease.step(), lease.problems) == (True, True, {})
    assert (informer.problems, owners.problems) == ({}, {})
    assert before == {"chat/v1": 2, "draw/v1": 2}
    for pool, ref in targets.items():
        scale = account.scale(ref)
        assert account.set_replicas(ref, 3, scale.resource_version).wanted == 3
        assert admin.scale(ref).wanted == 3
        event = {"metadata": {"generateName": "x."}, "involvedObject": {"namespace": ref.resource.namespace}}
        account.create(Resource("v1", "events", ref.resource.namespace), {**event, "reason": pool})
    lease.release()
    assert admin.get(f"{Resource('coordination.k8s.io/v1', 'leases', 'models').path}/poolwright")


@pytest.mark.parametrize("account", ["active"], indirect=True)
def test_the_account_cannot_reach_its_neighbours(account: KubeApi, admin: KubeApi) -> None:
    config = parse(Config, FILE)
    eventually(lambda: all(account.allowed(right) for right in rights(config, refs(config, account))))
    other = Ref(Resource("apps/v1", "deployments", "models"), "Deployment", "other")
    version = admin.scale(other).resource_version
    for refused in (
        lambda: account.scale(other),
        lambda: account.set_replicas(other, 0, version),
        lambda: account.annotate(refs(config, account)["chat/v1"], {"a": "b"}),
        lambda: account.list(Resource("v1", "secrets", "models")),
        lambda: account.list(Resource("v1", "pods", "mine")),
        lambda: account.list(Resource("v1", "pods", None)),
    ):
        with pytest.raises(ApiError) as error:
            refused()
        assert error.value.status == 403
    assert admin.scale(other).wanted == 2
