"""What a kubelet and a scheduler write into a pod on its way from pending to ready."""

from collections.abc import Mapping
from typing import Any, Literal

from live.twin.store import Object

Trouble = Literal["Unschedulable", "ErrImagePull", "ImagePullBackOff", "CrashLoopBackOff"]


def fresh(name: str, owner: Object, labels: Mapping[str, str], template: Object) -> Object:
    """A new pod of an owner."""
    meta, spec = owner["metadata"], template.get("spec") or {}
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    reference |= {"controller": True, "blockOwnerDeletion": True}
    metadata = {"name": name, "labels": dict(labels), "ownerReferences": [reference]}
    spec = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "containers": [], **spec}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Pending", "qosClass": "BestEffort"}}


def unschedulable(pod: Object, time: str) -> Object:
    found = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": time}
    found["message"] = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    return {**pod, "status": {**pod["status"], "conditions": [found]}}


def scheduled(pod: Object, node: str, time: str) -> Object:
    """On a node, its containers being made."""
    status = {"phase": "Pending", "startTime": time, "conditions": _conditions(False, time)}
    status["containerStatuses"] = _containers(pod, {"waiting": {"reason": "ContainerCreating"}})
    return {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": {**pod["status"], **status}}


def waiting(pod: Object, reason: Trouble, restarts: int = 0) -> Object:
    state = {"waiting": {"reason": reason, "message": f"{reason}: back-off"}}
    return {**pod, "status": {**pod["status"], "containerStatuses": _containers(pod, state, restarts=restarts)}}


def running(pod: Object, time: str) -> Object:
    """Its process runs; it cannot serve yet."""
    status = {"phase": "Running", "containerStatuses": _containers(pod, {"running": {"startedAt": time}})}
    return {**pod, "status": {**pod["status"], **status}}


def ready(pod: Object, time: str) -> Object:
    states = pod["status"]["containerStatuses"]
    status = {"conditions": _conditions(True, time), "containerStatuses": [{**one, "ready": True} for one in states]}
    return {**pod, "status": {**pod["status"], **status}}


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any((c["type"], c["status"]) == ("Ready", "True") for c in conditions)


def ending(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _conditions(is_up: bool, time: str) -> list[dict[str, str]]:
    up = "True" if is_up else "False"
    states = {"PodScheduled": "True", "Initialized": "True", "ContainersReady": up, "Ready": up}
    return [{"type": kind, "status": state, "lastTransitionTime": time} for kind, state in states.items()]


def _containers(pod: Object, state: dict[str, Any], restarts: int = 0) -> list[dict[str, Any]]:
    common = {"ready": False, "restartCount": restarts, "state": state}
    return [{"name": c["name"], "image": c.get("image", ""), **common} for c in pod["spec"]["containers"]]
