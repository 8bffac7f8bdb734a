"""What the fake API does with an object: defaults, checks, versions, and who wrote what."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from live.twin.kinds import Kind
from live.twin.owned import recorded
from live.twin.refusals import bad_request, conflict, exists, invalid, not_found, refused
from live.twin.store import Key, Object, Store

_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
NEGATIVE = "must be greater than or equal to 0"


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, and whether it shall be kept."""

    name: str = "unknown"
    dry: bool = False


@dataclass(slots=True)
class Objects:
    """The rules of writing, on a store. `now_s` gives Unix time."""

    store: Store
    now_s: Callable[[], float]
    _made: int = field(default=0)

    def read(self, kind: Kind, namespace: str, name: str, subresource: str = "") -> Object:
        found = self.store.get(Key(kind.resource, namespace, name))
        if found is None:
            raise not_found(kind, name, subresource)
        return found

    def create(self, kind: Kind, namespace: str, given: Object, writer: Writer) -> Object:
        """The object as it is now known; raises `RefusedError` 404 without its namespace, 409 where it exists, 422."""
        value = self._fresh(kind, namespace, given)
        key = Key(kind.resource, namespace, value["metadata"]["name"])
        if kind.namespaced and not self.store.get(Key("/namespaces", "", namespace)):
            details = {"name": namespace, "kind": "namespaces"}
            raise refused(404, "NotFound", f'namespaces "{namespace}" not found', details)
        if self.store.get(key):
            raise exists(kind, key.name)
        value = recorded(None, _checked(kind, value), writer.name, "", self.stamp())
        return value if writer.dry else self.store.put(key, value)

    def replace(self, kind: Kind, before: Object, given: Object, writer: Writer, subresource: str = "") -> Object:
        """The new state of an object; raises `RefusedError` 409 where `given` is of another version or object, 422."""
        after = self._next(kind, before, given, subresource)
        if after == before:
            return before
        after = recorded(before, _checked(kind, after), writer.name, subresource, self.stamp())
        return after if writer.dry else self.store.put(key_of(kind, before), after)

    def set_scale(self, kind: Kind, before: Object, replicas: int, writer: Writer, tracked: bool) -> Object:
        """Another spec.replicas; `tracked` where the server notes who wrote it."""
        after = {**before, "spec": {**before.get("spec", {}), "replicas": replicas}}
        if after == before:
            return before
        after["metadata"] = _counted(kind, before, after)
        if tracked:
            after = recorded(before, after, writer.name, "scale", self.stamp())
        return after if writer.dry else self.store.put(key_of(kind, before), after)

    def delete(self, kind: Kind, before: Object, writer: Writer, grace_s: float | None = None) -> Object:
        """The object as it went. A pod on a node stays until its kubelet has ended it."""
        if kind.plural == "pods" and before["spec"].get("nodeName") and grace_s != 0:
            return before if writer.dry else self.end_pod(kind, before, grace_s)
        return before if writer.dry else self.store.delete(key_of(kind, before))

    def end_pod(self, kind: Kind, pod: Object, grace_s: float | None = None) -> Object:
        """A pod that shall end: it has its grace period to do so."""
        if "deletionTimestamp" in pod["metadata"]:
            return pod
        grace_s = pod["spec"].get("terminationGracePeriodSeconds", 30) if grace_s is None else grace_s
        marks = {"deletionTimestamp": self.stamp(grace_s), "deletionGracePeriodSeconds": int(grace_s)}
        return self.store.put(key_of(kind, pod), {**pod, "metadata": {**pod["metadata"], **marks}})

    def stamp(self, later_s: float = 0.0) -> str:
        """Kubernetes' time: whole seconds, UTC."""
        return datetime.fromtimestamp(self.now_s() + later_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def suffix(self) -> str:
        """Five letters and digits that no other object has."""
        self._made += 1
        number, letters = self._made * 7_368_787 % 27**5, "bcdfghjklmnpqrstvwxz2456789"
        return "".join(letters[number // 27**i % 27] for i in range(5))

    def _fresh(self, kind: Kind, namespace: str, given: Object) -> Object:
        if (
            given.get("kind", kind.name) != kind.name
            or given.get("apiVersion", kind.group_version) != kind.group_version
        ):
            raise bad_request(f"{given.get('apiVersion')}, Kind={given.get('kind')} cannot be handled as a {kind.name}")
        metadata = dict(given.get("metadata") or {})
        if metadata.get("namespace", namespace) != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + self.suffix()
        if not metadata.get("name"):
            faults = [("metadata.name", "Required value: name or generateName is required")]
            raise invalid(kind.name, kind.group, "", faults)
        self._made += 1
        uid = UUID(int=self._made * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128, version=4)
        metadata |= {"uid": str(uid), "creationTimestamp": self.stamp()}
        metadata |= {"namespace": namespace} if kind.namespaced else {}
        metadata |= {"generation": 1} if kind.generation else {}
        metadata.pop("resourceVersion", None)
        return {
            "kind": kind.name,
            "apiVersion": kind.group_version,
            **_without_status(kind, given),
            "metadata": metadata,
        }

    def _next(self, kind: Kind, before: Object, given: Object, subresource: str) -> Object:
        metadata, known = dict(given.get("metadata") or {}), before["metadata"]
        check_same(kind, known, metadata)
        if not metadata.get("resourceVersion") and not kind.unconditional:
            wrong = "Invalid value: 0x0: must be specified for an update"
            raise invalid(kind.plural, kind.group, known["name"], [("metadata.resourceVersion", wrong)])
        kept = (
            "uid",
            "creationTimestamp",
            "resourceVersion",
            "generation",
            "namespace",
            "managedFields",
            "deletionTimestamp",
        )
        metadata |= {key: known[key] for key in kept if key in known}
        if subresource == "status":
            after = {**before, "status": given.get("status", {}), "metadata": metadata}
        else:
            after = {**given, "kind": before["kind"], "apiVersion": before["apiVersion"], "metadata": metadata}
            if kind.status:
                after = {**after, "status": before["status"]} if "status" in before else _without_status(kind, after)
        return {**after, "metadata": {**metadata, **_counted(kind, before, after)}}


def key_of(kind: Kind, value: Object) -> Key:
    metadata = value["metadata"]
    return Key(kind.resource, metadata.get("namespace", ""), metadata["name"])


def check_same(kind: Kind, known: Object, given: Object, subresource: str = "") -> None:
    """That `given` metadata mean this object in this version. Raises `RefusedError` 400 or 409."""
    name = known["name"]
    if given.get("name", name) != name:
        raise bad_request(f"the name of the object ({given['name']}) does not match the name on the URL ({name})")
    if given.get("uid", known["uid"]) != known["uid"]:
        why = f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta: {known['uid']}"
        raise conflict(kind, name, why, subresource)
    if given.get("resourceVersion") and str(given["resourceVersion"]) != known["resourceVersion"]:
        raise conflict(kind, name)


def _without_status(kind: Kind, given: Object) -> Object:
    return {key: item for key, item in given.items() if not (key == "status" and kind.status and kind.name != "Pod")}


def _counted(kind: Kind, before: Object, after: Object) -> Object:
    metadata: Object = dict(before["metadata"] if "metadata" not in after else after["metadata"])
    if kind.generation and after.get("spec") != before.get("spec"):
        metadata["generation"] = before["metadata"].get("generation", 0) + 1
    return metadata


def _checked(kind: Kind, value: Object) -> Object:
    """With defaults. Raises `RefusedError` 400 or 422."""
    spec, name = value.get("spec") or {}, value["metadata"]["name"]
    if kind.name in ("Deployment", "StatefulSet", "ReplicaSet"):
        value = {**value, "spec": {"replicas": 1, **spec}}
        if faults := _workload_faults(value["spec"]):
            raise invalid(kind.name, kind.group, name, faults)
    if kind.name == "Lease":
        _check_lease(spec, name)
    if kind.name == "Event" and (faults := _event_faults(kind, value)):
        raise invalid("Event", "", name, faults)
    return value


def _workload_faults(spec: dict[str, Any]) -> list[tuple[str, str]]:
    faults = []
    if spec["replicas"] < 0:
        faults.append(("spec.replicas", f"Invalid value: {spec['replicas']}: {NEGATIVE}"))
    if not spec.get("selector"):
        faults.append(("spec.selector", "Required value"))
    template = spec.get("template") or {}
    labels, wanted = (
        (template.get("metadata") or {}).get("labels") or {},
        (spec.get("selector") or {}).get("matchLabels") or {},
    )
    if any(labels.get(key) != item for key, item in wanted.items()) or not wanted:
        wrong = f"Invalid value: {labels}: `selector` does not match template `labels`"
        faults.append(("spec.template.metadata.labels", wrong))
    if not (template.get("spec") or {}).get("containers"):
        faults.append(("spec.template.spec.containers", "Required value"))
    return faults


def _check_lease(spec: dict[str, Any], name: str) -> None:
    for field_name in ("acquireTime", "renewTime"):
        text = spec.get(field_name)
        if text is not None and not _MICRO_TIME.fullmatch(text):
            raise bad_request(
                f'Lease in version "v1" cannot be handled as a Lease: {field_name}: parsing time "{text}" as '
                '"2006-01-02T15:04:05.000000Z07:00"'
            )
    if (spec.get("leaseDurationSeconds") or 1) < 1 or spec.get("leaseDurationSeconds") == 0:
        wrong = f"Invalid value: {spec['leaseDurationSeconds']}: must be greater than 0"
        raise invalid("Lease", "coordination.k8s.io", name, [("spec.leaseDurationSeconds", wrong)])


def _event_faults(kind: Kind, value: Object) -> list[tuple[str, str]]:
    if not kind.group:
        about = (value.get("involvedObject") or {}).get("namespace", "")
        wrong = f'Invalid value: "{about}": does not match event.namespace'
        return [("involvedObject.namespace", wrong)] if about != value["metadata"]["namespace"] else []
    needed = ("eventTime", "reportingController", "reportingInstance", "action", "reason")
    faults = [(name, "Required value") for name in needed if not value.get(name)]
    if value.get("type") not in ("Normal", "Warning"):
        faults.append(("type", f'Invalid value: "{value.get("type", "")}": has invalid value: '))
    return faults
