"""Pods, leases, events, and finding out what is served."""

from typing import Any

from conformance_ground import (
    APPS,
    CUSTOM,
    LEASES,
    NAMES,
    Ground,
    assert_failure,
    eventually,
    patched,
    scaled_event,
)


def check_pods_are_owned_through_a_replica_set(ground: Ground) -> None:
    path = ground.deployment(replicas=2)
    web = ground.admin.send("GET", path).body
    name = web["metadata"]["name"]
    pods, selector = ground.path("/api/v1", "pods"), {"labelSelector": f"app={name}"}
    eventually(lambda: len(ground.admin.send("GET", pods, selector).body["items"]) == 2)
    for pod in ground.admin.send("GET", pods, selector).body["items"]:
        (owner,) = pod["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["controller"]) == ("ReplicaSet", True)
        (above,) = ground.admin.send("GET", ground.path(APPS, "replicasets", owner["name"])).body["metadata"][
            "ownerReferences"
        ]
        assert (above["kind"], above["uid"]) == ("Deployment", web["metadata"]["uid"])
        assert pod["status"]["phase"] == "Pending"


def check_pods_follow_the_scale(ground: Ground) -> None:
    path = ground.deployment(replicas=1)
    pods, selector = ground.path("/api/v1", "pods"), {"labelSelector": f"app={path.rpartition('/')[2]}"}
    for wanted in (4, 0):
        assert patched(ground.admin, f"{path}/scale", {"spec": {"replicas": wanted}}).ok
        eventually(lambda wanted=wanted: len(ground.admin.send("GET", pods, selector).body["items"]) == wanted)
    eventually(lambda: ground.admin.send("GET", path).body["status"].get("replicas", 0) == 0)


def _lease(name: str, **spec: Any) -> dict[str, Any]:
    times = {"acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:00.000000Z"}
    whole = {"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 0, **times, **spec}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": whole}


def check_a_lease_is_made_once_and_taken_by_version(ground: Ground) -> None:
    name = f"lease-{next(NAMES)}"
    path = ground.path(LEASES, "leases")
    made = ground.admin.send("POST", path, body=_lease(name))
    assert made.status == 201
    assert_failure(ground.admin.send("POST", path, body=_lease(name)), 409, "AlreadyExists")
    taken = {**made.body, "spec": {**made.body["spec"], "holderIdentity": "b"}}
    assert ground.admin.send("PUT", f"{path}/{name}", body=taken).body["spec"]["holderIdentity"] == "b"
    assert_failure(ground.admin.send("PUT", f"{path}/{name}", body=taken), 409, "Conflict")
    blind = ground.admin.send("PUT", f"{path}/{name}", body=_lease(name))
    assert_failure(blind, 422, "Invalid", "must be specified for an update")
    assert ground.admin.send("DELETE", f"{path}/{name}").status == 200


def check_a_lease_is_made_by_put(ground: Ground) -> None:
    name = f"lease-{next(NAMES)}"
    answer = ground.admin.send("PUT", ground.path(LEASES, "leases", name), body=_lease(name))
    assert answer.status == 201, answer


def check_the_times_of_a_lease_have_microseconds(ground: Ground) -> None:
    path = ground.path(LEASES, "leases")
    answer = ground.admin.send("POST", path, body=_lease("times", renewTime="2026-01-01T00:00:00Z"))
    assert_failure(answer, 400, "BadRequest", "parsing time")
    short = ground.admin.send("POST", path, body=_lease("times", leaseDurationSeconds=0))
    assert_failure(short, 422, "Invalid", "must be greater than 0")


def check_events_are_told_about_what_is_in_their_namespace(ground: Ground) -> None:
    path = ground.path("/api/v1", "events")
    made = ground.admin.send("POST", path, body=scaled_event(ground))
    assert made.status == 201, made
    assert made.body["metadata"]["name"].startswith("web.")
    elsewhere = ground.admin.send(
        "POST", path, body=scaled_event(ground, involvedObject={"kind": "Deployment", "name": "web"})
    )
    assert_failure(elsewhere, 422, "Invalid", "does not match event.namespace")
    nameless = ground.admin.send("POST", path, body=scaled_event(ground, metadata={}))
    assert_failure(nameless, 422, "Invalid", "name or generateName is required")


def check_new_events_need_all_their_fields(ground: Ground) -> None:
    path = ground.path("/apis/events.k8s.io/v1", "events")
    regarding = {"kind": "Deployment", "namespace": ground.namespace, "name": "web"}
    short = {"metadata": {"generateName": "web-"}, "regarding": regarding, "reason": "Scaled", "type": "Normal"}
    assert_failure(ground.admin.send("POST", path, body=short), 422, "Invalid")
    whole = {**short, "note": "3 -> 5", "action": "Scale", "eventTime": "2026-01-01T00:00:00.000000Z"}
    whole |= {"reportingController": "poolwright", "reportingInstance": "poolwright-0"}
    assert ground.admin.send("POST", path, body=whole).status == 201


def check_what_is_served_can_be_found_out(ground: Ground) -> None:
    groups = {group["name"] for group in ground.admin.send("GET", "/apis").body["groups"]}
    assert {"apps", "autoscaling", "coordination.k8s.io", "authorization.k8s.io", "example.org"} <= groups
    listed = {entry["name"]: entry for entry in ground.admin.send("GET", APPS).body["resources"]}
    assert listed["deployments"]["kind"] == "Deployment"
    assert (listed["deployments/scale"]["group"], listed["deployments/scale"]["kind"]) == ("autoscaling", "Scale")
    custom = {entry["kind"]: entry["name"] for entry in ground.admin.send("GET", CUSTOM).body["resources"]}
    assert custom["Scale"] == "servings/scale"
    assert "pods" in {entry["name"] for entry in ground.admin.send("GET", "/api/v1").body["resources"]}
    assert ground.admin.send("GET", "/version").body["minor"].rstrip("+") == str(ground.minor)


def check_autoscalers_are_listed_in_the_versions_of_their_time(ground: Ground) -> None:
    # autoscaling/v2 came with 1.23; v2beta2 went with 1.26.
    served = {"v2": ground.minor >= 23, "v2beta2": ground.minor <= 25}
    for version, there in served.items():
        answer = ground.admin.send("GET", ground.path(f"/apis/autoscaling/{version}", "horizontalpodautoscalers"))
        assert answer.status == (200 if there else 404)


def check_what_nobody_installed_is_not_found(ground: Ground) -> None:
    answer = ground.admin.send("GET", ground.path("/apis/absent.example.org/v1alpha1", "scaledobjects"))
    assert answer.status == 404
