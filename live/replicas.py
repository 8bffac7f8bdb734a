"""How many replicas of a pool are starting, ready and draining, by what the cluster says of its pods, and why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Phase = Literal["starting", "ready", "draining"]

_STUCK = {
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}


@dataclass(frozen=True, slots=True)
class Pod:
    """One replica. `why` says what holds up one that is not ready."""

    name: str
    phase: Phase
    started_s: float | None = None
    """When it began to run on a machine; Unix time."""
    ready_since_s: float | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    starting: int
    ready: int
    draining: int
    stuck: Mapping[str, int]
    """What holds up starting replicas -> how many."""


def pod_of(body: Mapping[str, Any]) -> Pod | None:
    """A pod of the API; None where it has ended and only its record is left."""
    meta, status = body["metadata"], body.get("status") or {}
    phase = status.get("phase")
    if phase in ("Succeeded", "Failed"):
        return None
    started_s = unix_s(status.get("startTime"))
    if meta.get("deletionTimestamp"):
        return Pod(meta["name"], "draining", started_s)
    conditions = {c.get("type"): c for c in status.get("conditions") or ()}
    ready = conditions.get("Ready") or {}
    if ready.get("status") == "True":
        return Pod(meta["name"], "ready", started_s, unix_s(ready.get("lastTransitionTime")))
    return Pod(meta["name"], "starting", started_s, why=_why(status, conditions))


def count(pods: Iterable[Pod]) -> Counts:
    phases = {"starting": 0, "ready": 0, "draining": 0}
    stuck: dict[str, int] = {}
    for pod in pods:
        phases[pod.phase] += 1
        if pod.why is not None:
            stuck[pod.why] = stuck.get(pod.why, 0) + 1
    return Counts(phases["starting"], phases["ready"], phases["draining"], stuck)


def _why(status: Mapping[str, Any], conditions: Mapping[Any, Mapping[str, Any]]) -> str | None:
    """What holds the pod up, in the cluster's own word; None while it only takes its time."""
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return str(scheduled.get("reason") or "Unschedulable")
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    waiting = [(((c.get("state") or {}).get("waiting")) or {}).get("reason") for c in containers]
    return next((reason for reason in waiting if reason in _STUCK), None)


def unix_s(timestamp: str | None) -> float | None:
    """RFC 3339 as the API writes it; None where there is none or it is not understood."""
    if not timestamp:
        return None
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return None
