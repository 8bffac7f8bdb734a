"""The ground on which a Kubernetes API is checked, and what all checks need."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from live.transport import Answer, Transport

JSON, MERGE = "application/json", "application/merge-patch+json"
STRATEGIC, OPERATIONS = "application/strategic-merge-patch+json", "application/json-patch+json"
PATCHES: Mapping[str, Any] = {
    MERGE: {"spec": {"replicas": 5}},
    STRATEGIC: {"spec": {"replicas": 6}},
    OPERATIONS: [{"op": "replace", "path": "/spec/replicas", "value": 7}],
}
APPS, CUSTOM, LEASES = "/apis/apps/v1", "/apis/example.org/v1", "/apis/coordination.k8s.io/v1"
NAMES = count()

# The custom resource that a server must have installed before it is checked.
CUSTOM_RESOURCE = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "servings.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"plural": "servings", "singular": "serving", "kind": "Serving", "listKind": "ServingList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
            }
        ],
    },
}


@dataclass(frozen=True)
class Ground:
    """A server to be checked: `admin` may do everything, in a namespace that is there."""

    admin: Transport
    namespace: str
    minor: int
    limited: Transport | None = None
    """A user `limited` without any right; None where there are no users."""
    stranger: Transport | None = None
    """Shows a token that nobody gave out."""
    compact: Callable[[], None] | None = None
    """Makes the server forget all versions before now; None where that cannot be asked."""

    def path(self, group: str, plural: str, name: str = "", sub: str = "") -> str:
        parts = [f"{group}/namespaces/{self.namespace}/{plural}", name, sub]
        return "/".join(part for part in parts if part)

    def deployment(self, replicas: int = 3) -> str:
        """The path of a new Deployment."""
        name = f"web-{next(NAMES)}"
        answer = self.admin.send("POST", self.path(APPS, "deployments"), body=deployment(name, replicas))
        assert answer.status == 201, answer
        return self.path(APPS, "deployments", name)


def deployment(name: str, replicas: int = 3) -> dict[str, Any]:
    labels = {"app": name}
    containers = [{"name": "model", "image": "registry.invalid/model:1"}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels}, "spec": spec}


def patched(server: Transport, path: str, patch: Any, kind: str = MERGE, **query: str) -> Answer:
    return server.send("PATCH", path, query, patch, kind)


def assert_failure(answer: Answer, status: int, reason: str, message: str = "") -> None:
    """A Status, as all failures are told."""
    assert answer.status == status, answer
    assert isinstance(answer.body, dict), answer
    assert answer.body["kind"] == "Status"
    assert (answer.body["status"], answer.body["reason"], answer.body["code"]) == ("Failure", reason, status)
    assert message in answer.body["message"], answer.body["message"]


def eventually(found: Callable[[], bool], seconds: float = 15.0) -> None:
    until_s = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < until_s, "it never came true"
        time.sleep(0.05)


def names_of(answer: Answer) -> list[str]:
    return [item["metadata"]["name"] for item in answer.body["items"]]


def serving(ground: Ground, spec: Mapping[str, Any]) -> str:
    """The path of a new custom resource."""
    name = f"serving-{next(NAMES)}"
    body = {"apiVersion": "example.org/v1", "kind": "Serving", "metadata": {"name": name}, "spec": spec}
    answer = ground.admin.send("POST", ground.path(CUSTOM, "servings"), body=body)
    assert answer.status == 201, answer
    return ground.path(CUSTOM, "servings", name)


def scaled_event(ground: Ground, **changed: Any) -> dict[str, Any]:
    """An event about a Deployment of the namespace."""
    about = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": ground.namespace, "name": "web"}
    return {
        "metadata": {"generateName": "web."},
        "involvedObject": about,
        "reason": "Scaled",
        "message": "3 -> 5",
        "type": "Normal",
        "source": {"component": "poolwright"},
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
        **changed,
    }
