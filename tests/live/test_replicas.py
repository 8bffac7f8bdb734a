"""Pods by what the cluster says of them."""

from typing import Any

import pytest

from live.replicas import count, pod_of, unix_s


def body(name: str = "p", ready: bool | None = None, deleted: bool = False, **status: Any) -> dict[str, Any]:
    conditions = list(status.pop("conditions", ()))
    if ready is not None:
        stamp = "2026-11-22T10:00:30Z"
        conditions.append({"type": "Ready", "status": str(ready), "lastTransitionTime": stamp})
    meta = {"name": name} | ({"deletionTimestamp": "2026-11-22T11:00:00Z"} if deleted else {})
    status = {"phase": "Running", "startTime": "2026-11-22T10:00:00Z", "conditions": conditions, **status}
    return {"metadata": meta, "status": status}


def waiting(reason: str) -> list[dict[str, Any]]:
    return [{"state": {"waiting": {"reason": reason}}}]


def test_a_ready_pod_says_since_when() -> None:
    pod = pod_of(body(ready=True))
    assert pod is not None
    assert (pod.phase, pod.ready_since_s, pod.started_s) == ("ready", 1795341630.0, 1795341600.0)


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({}, None),
        ({"containerStatuses": waiting("ContainerCreating")}, None),
        ({"containerStatuses": waiting("ImagePullBackOff")}, "ImagePullBackOff"),
        ({"initContainerStatuses": waiting("CrashLoopBackOff")}, "CrashLoopBackOff"),
        ({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}, "Unschedulable"),
    ],
)
def test_a_pod_that_is_not_ready_is_starting_and_says_what_holds_it_up(status: dict[str, Any], why: str | None) -> None:
    pod = pod_of(body(ready=False, **status))
    assert pod is not None
    assert (pod.phase, pod.why) == ("starting", why)


def test_a_deleted_pod_drains_though_it_is_ready_still() -> None:
    pod = pod_of(body(ready=True, deleted=True))
    assert pod is not None
    assert pod.phase == "draining"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_is_none(phase: str) -> None:
    assert pod_of(body(phase=phase)) is None


def test_each_pod_is_counted_once() -> None:
    bodies = [body(ready=True), body(ready=True), body(ready=False), body(deleted=True), body(phase="Failed")]
    bodies.append(body(ready=False, containerStatuses=waiting("ErrImagePull")))
    counts = count(pod for each in bodies if (pod := pod_of(each)) is not None)
    assert (counts.starting, counts.ready, counts.draining) == (2, 2, 1)
    assert counts.stuck == {"ErrImagePull": 1}


@pytest.mark.parametrize(("stamp", "seconds"), [("1970-01-01T00:01:00.5Z", 60.5), (None, None), ("yesterday", None)])
def test_a_moment_that_is_not_understood_is_unknown(stamp: str | None, seconds: float | None) -> None:
    assert unix_s(stamp) == seconds
