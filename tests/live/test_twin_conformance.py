"""The fake Kubernetes API and the real one are put through the same checks."""

import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from conformance import CHECKS, CUSTOM_RESOURCE, Ground
from real_cluster import RealCluster, missing, real_cluster

from live.config import Cluster
from live.connect import KubeTransport, to_kubernetes
from live.twin.clock import FastClock
from live.twin.cluster import Twin
from live.twin.front import DirectTransport
from live.twin.kinds import NAMESPACES, Kind
from live.twin.objects import Writer
from live.twin.rights import Users
from live.twin.server import served

SERVINGS = Kind(
    "example.org", "v1", "servings", "Serving", True, True, generation=True, custom=True, selector="status.selector"
)
USERS = Users({"admin-token": "admin", "limited-token": "limited"})


def fake(minor: int) -> Twin:
    twin = Twin(FastClock(), minor=minor, custom=(SERVINGS,), users=USERS)
    twin.api.objects.create(NAMESPACES, "", {"metadata": {"name": "proof"}}, Writer())
    return twin


@pytest.fixture(scope="module", params=[20, 30])
def direct(request: pytest.FixtureRequest) -> Ground:
    twin = fake(request.param)
    limited, stranger = (DirectTransport(twin.kubernetes, token) for token in ("limited-token", "nobody's"))
    return Ground(twin.transport(), "proof", request.param, limited, stranger, twin.compact)


@pytest.fixture(scope="module")
def over_http() -> Iterator[Ground]:
    twin = fake(30)
    with served(twin.kubernetes) as server:
        admin, limited, stranger = (client(server.url, token) for token in ("admin-token", "limited-token", "nobody's"))
        yield Ground(admin, "proof", 30, limited, stranger, twin.compact)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    if why := missing():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("cluster")
    with real_cluster(folder) as cluster, prepared(cluster) as ground:
        yield ground


@contextmanager
def prepared(cluster: RealCluster) -> Iterator[Ground]:
    """A real cluster with a namespace and the custom resource."""
    admin = to_kubernetes(Cluster(kubeconfig=str(cluster.kubeconfig())))
    limited = to_kubernetes(Cluster(kubeconfig=str(cluster.kubeconfig("limited-token"))))
    stranger = to_kubernetes(Cluster(kubeconfig=str(cluster.kubeconfig("nobodys-token"))))
    admin.send("POST", "/api/v1/namespaces", body={"metadata": {"name": "proof"}})
    admin.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body=CUSTOM_RESOURCE)
    account = "/api/v1/namespaces/proof/serviceaccounts/default"
    wait(lambda: admin.send("GET", "/apis/example.org/v1/namespaces/proof/servings").ok)
    wait(lambda: bool((admin.send("GET", account).body or {}).get("secrets")))
    minor = int(admin.send("GET", "/version").body["minor"].rstrip("+"))
    ground = Ground(admin, "proof", minor, limited, stranger, lambda: compact(cluster, admin))
    try:
        yield ground
    finally:
        for transport in (admin, limited, stranger):
            transport.client.rest_client.pool_manager.clear()


def wait(done: Callable[[], bool], seconds: float = 20.0) -> None:
    until_s = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until_s, "the server never came so far"
        time.sleep(0.1)


def compact(cluster: RealCluster, admin: KubeTransport) -> None:
    """Tell etcd to forget what was before now."""
    version = admin.send("GET", "/api/v1/namespaces").body["metadata"]["resourceVersion"]
    body = f'{{"revision": {version}, "physical": true}}'.encode()
    with urllib.request.urlopen(f"{cluster.etcd_url}/v3/kv/compaction", body, timeout=5.0) as answer:
        assert answer.status == 200


def client(url: str, token: str) -> KubeTransport:
    from kubernetes import client as official

    configuration = official.Configuration()
    configuration.host = url
    configuration.api_key = {"authorization": f"Bearer {token}"}
    return KubeTransport(official.ApiClient(configuration))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_fake_in_this_process(direct: Ground, check: Callable[[Ground], None]) -> None:
    check(direct)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_fake_over_http_with_the_official_client(over_http: Ground, check: Callable[[Ground], None]) -> None:
    check(over_http)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_real_one(real: Ground, check: Callable[[Ground], None]) -> None:
    check(real)
