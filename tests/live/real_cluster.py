"""A real etcd, kube-apiserver and kube-controller-manager on loopback, for as long as a test session lasts.

`KUBEBUILDER_ASSETS` names the folder of the three programs. There are no nodes: pods stay Pending.
"""

import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

ADMIN = "admin-token"
TOKENS = f"""{ADMIN},admin,1,system:masters
limited-token,limited,2
"""
CONTROLLERS = "deployment,replicaset,statefulset,serviceaccount,serviceaccount-token,namespace,garbagecollector"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")


@dataclass(frozen=True)
class RealCluster:
    url: str
    etcd_url: str
    ca_file: Path
    folder: Path

    def kubeconfig(self, token: str = ADMIN) -> Path:
        """A kubeconfig for the user of that token."""
        path = self.folder / f"{token}.kubeconfig"
        path.write_text(json.dumps(_kubeconfig(self.url, self.ca_file, token)))
        return path


def missing() -> str | None:
    """Why there can be no real cluster here, or None."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets:
        return "KUBEBUILDER_ASSETS is not set"
    absent = [name for name in PROGRAMS if not os.access(Path(assets, name), os.X_OK)]
    if absent:
        return f"KUBEBUILDER_ASSETS has no {', '.join(absent)}"
    return None if shutil.which("openssl") else "openssl is not installed"


@contextmanager
def real_cluster(folder: Path, start_up_s: float = 90.0) -> Iterator[RealCluster]:
    """Starts the three and waits until they answer; ends them. Raises TimeoutError with the end of a log."""
    etcd, peer, api, manager = _free_ports(4)
    subprocess.run(["openssl", "genrsa", "-out", folder / "sa.key", "2048"], check=True, capture_output=True)
    (folder / "tokens.csv").write_text(TOKENS)
    cluster = RealCluster(
        f"https://127.0.0.1:{api}", f"http://127.0.0.1:{etcd}", folder / "certs" / "apiserver.crt", folder
    )
    until_s = time.monotonic() + start_up_s
    with ExitStack() as running:
        running.enter_context(_program(folder, "etcd", _etcd_flags(folder, etcd, peer)))
        running.enter_context(_program(folder, "kube-apiserver", _api_flags(folder, etcd, api)))
        _wait(lambda: _ready(cluster), until_s, folder / "kube-apiserver.log")
        kubeconfig = cluster.kubeconfig()
        running.enter_context(_program(folder, "kube-controller-manager", _manager_flags(folder, kubeconfig, manager)))
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        _wait(lambda: "secrets" in _get(cluster, account), until_s, folder / "kube-controller-manager.log")
        yield cluster


def _etcd_flags(folder: Path, port: int, peer: int) -> dict[str, object]:
    url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    return {
        "name": "one",
        "data-dir": folder / "etcd",
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": peer_url,
        "initial-advertise-peer-urls": peer_url,
        "initial-cluster": f"one={peer_url}",
    }


def _api_flags(folder: Path, etcd: int, port: int) -> dict[str, object]:
    return {
        "etcd-servers": f"http://127.0.0.1:{etcd}",
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "secure-port": port,
        "cert-dir": folder / "certs",
        "token-auth-file": folder / "tokens.csv",
        "authorization-mode": "RBAC",
        "endpoint-reconciler-type": "none",
        "service-cluster-ip-range": "10.0.0.0/24",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": folder / "sa.key",
        "service-account-signing-key-file": folder / "sa.key",
        "api-audiences": "https://kubernetes.default.svc",
    }


def _manager_flags(folder: Path, kubeconfig: Path, port: int) -> dict[str, object]:
    return {
        "kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "secure-port": port,
        "port": 0,
        "cert-dir": folder / "manager-certs",
        "leader-elect": "false",
        "service-account-private-key-file": folder / "sa.key",
        "controllers": CONTROLLERS,
    }


@contextmanager
def _program(folder: Path, name: str, flags: Mapping[str, object]) -> Iterator[None]:
    program = Path(os.environ["KUBEBUILDER_ASSETS"], name)
    with (folder / f"{name}.log").open("wb") as log:
        words = [str(program), *(f"--{flag}={value}" for flag, value in flags.items())]
        process = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(done: Callable[[], bool], until_s: float, log: Path) -> None:
    while not done():
        if time.monotonic() > until_s:
            raise TimeoutError(f"{log.name}: not ready in time\n" + log.read_text(errors="replace")[-2000:])
        time.sleep(0.2)


def _ready(cluster: RealCluster) -> bool:
    return _get(cluster, "/readyz") == "ok"


def _get(cluster: RealCluster, path: str) -> str:
    """The body, or nothing while the server does not answer so."""
    request = Request(cluster.url + path, headers={"Authorization": f"Bearer {ADMIN}"})
    try:
        trusted = ssl.create_default_context(cafile=str(cluster.ca_file))
        with urlopen(request, timeout=5.0, context=trusted) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for held_socket in sockets:
            held_socket.bind(("127.0.0.1", 0))
        return [held_socket.getsockname()[1] for held_socket in sockets]


def _kubeconfig(url: str, ca_file: Path, token: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "real", "cluster": {"server": url, "certificate-authority": str(ca_file)}}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "real", "context": {"cluster": "real", "user": "user"}}],
        "current-context": "real",
    }
