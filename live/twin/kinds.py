"""The kinds that the fake API serves, and how it lists them to those who ask."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


@dataclass(frozen=True, slots=True)
class Kind:
    group: str
    version: str
    plural: str
    name: str
    scale: bool = False
    """Has a /scale subresource."""
    status: bool = False
    """Has a /status subresource, so that a write to the object leaves its status alone."""
    generation: bool = False
    """Counts the changes of its spec."""
    custom: bool = False
    """Comes from a CustomResourceDefinition."""
    selector: str = ""
    """Where a custom resource's scale finds its selector, as in `status.selector`; none where empty."""
    unconditional: bool = True
    """May be replaced by a PUT that names no resourceVersion."""
    upsert: bool = False
    """A PUT makes one where there is none."""
    namespaced: bool = True

    @property
    def resource(self) -> str:
        return f"{self.group}/{self.plural}"

    @property
    def group_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As errors call it: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


NAMESPACES = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
PODS = Kind("", "v1", "pods", "Pod", status=True)
EVENTS = Kind("", "v1", "events", "Event")
DEPLOYMENTS = Kind("apps", "v1", "deployments", "Deployment", scale=True, status=True, generation=True)
REPLICA_SETS = Kind("apps", "v1", "replicasets", "ReplicaSet", scale=True, status=True, generation=True)
STATEFUL_SETS = Kind("apps", "v1", "statefulsets", "StatefulSet", scale=True, status=True, generation=True)
LEASES = Kind("coordination.k8s.io", "v1", "leases", "Lease", unconditional=False, upsert=True)
SCALED_OBJECTS = Kind("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject", status=True, generation=True, custom=True)


def kinds(minor: int = 30, custom: Iterable[Kind] = ()) -> tuple[Kind, ...]:
    """What a cluster of Kubernetes 1.`minor` serves, with the custom resources installed on it."""
    hpas = [version for version, served in (("v2", minor >= 23), ("v2beta2", minor <= 25)) if served]
    return (
        *(NAMESPACES, PODS, EVENTS, Kind("events.k8s.io", "v1", "events", "Event")),
        *(DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, LEASES),
        *(
            Kind("autoscaling", version, "horizontalpodautoscalers", "HorizontalPodAutoscaler", status=True)
            for version in hpas
        ),
        *custom,
    )


def groups(served: Iterable[Kind]) -> dict[str, Any]:
    """The answer of /apis."""
    versions: dict[str, list[str]] = {"authorization.k8s.io": ["v1"]}
    for kind in served:
        if kind.group and kind.version not in versions.setdefault(kind.group, []):
            versions[kind.group].append(kind.version)
    listed = [_group(group, found) for group, found in versions.items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def _group(name: str, versions: list[str]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def resources(served: Iterable[Kind], group_version: str) -> dict[str, Any] | None:
    """The answer of /api/v1 and /apis/GROUP/VERSION; None where nothing is served there."""
    listed = [entry for kind in served if kind.group_version == group_version for entry in _entries(kind)]
    if group_version == "authorization.k8s.io/v1":
        listed = [_entry("selfsubjectaccessreviews", "SelfSubjectAccessReview", False, ["create"])]
    if not listed:
        return None
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed}


def _entries(kind: Kind) -> list[dict[str, Any]]:
    entries = [_entry(kind.plural, kind.name, kind.namespaced, VERBS)]
    some = ["get", "patch", "update"]
    if kind.scale:
        scale = {"group": "autoscaling", "version": "v1"}
        entries.append({**_entry(f"{kind.plural}/scale", "Scale", kind.namespaced, some), **scale})
    if kind.status:
        entries.append(_entry(f"{kind.plural}/status", kind.name, kind.namespaced, some))
    return entries


def _entry(name: str, kind: str, namespaced: bool, verbs: list[str]) -> dict[str, Any]:
    return {"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": verbs}
