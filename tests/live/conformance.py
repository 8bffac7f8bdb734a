"""What poolwright takes for granted of a Kubernetes API, as checks that any server can be put through.

Each check takes a `Ground` and leaves nothing that the next one minds. Where versions differ, the check says so:
`minor` is the server's. Proved on Kubernetes 1.20; the ways of later versions are from their documentation.
"""

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
_names = count()

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
        name = f"web-{next(_names)}"
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


# ---- reading and scaling


def check_a_scale_shows_what_is_wanted_and_whose(ground: Ground) -> None:
    path = ground.deployment(replicas=3)
    web = ground.admin.send("GET", path).body
    scale = ground.admin.send("GET", f"{path}/scale").body
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 3})
    assert scale["metadata"]["uid"] == web["metadata"]["uid"]
    assert scale["status"]["selector"] == f"app={web['metadata']['name']}"


def check_a_scale_is_patched_in_each_way(ground: Ground) -> None:
    path = ground.deployment()
    for kind, patch in PATCHES.items():
        answer = patched(ground.admin, f"{path}/scale", patch, kind)
        assert answer.status == 200, answer
    assert ground.admin.send("GET", path).body["spec"]["replicas"] == 7


def check_a_scale_is_put(ground: Ground) -> None:
    path = ground.deployment()
    scale = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": path.rpartition("/")[2]}}
    scale["metadata"] |= {"namespace": ground.namespace}
    assert ground.admin.send("PUT", f"{path}/scale", body={**scale, "spec": {"replicas": 2}}).body["spec"] == {
        "replicas": 2
    }
    stale = {**scale, "metadata": {**scale["metadata"], "resourceVersion": "1"}, "spec": {"replicas": 9}}
    assert_failure(ground.admin.send("PUT", f"{path}/scale", body=stale), 409, "Conflict")
    other = {**scale, "metadata": {"name": "other", "namespace": ground.namespace}, "spec": {"replicas": 9}}
    assert_failure(ground.admin.send("PUT", f"{path}/scale", body=other), 400, "BadRequest", "does not match the name")


def check_a_stateful_set_is_scaled_alike(ground: Ground) -> None:
    name = f"set-{next(_names)}"
    body = deployment(name) | {"kind": "StatefulSet"}
    body["spec"] = {**body["spec"], "serviceName": name}
    assert ground.admin.send("POST", ground.path(APPS, "statefulsets"), body=body).status == 201
    path = ground.path(APPS, "statefulsets", name, "scale")
    assert patched(ground.admin, path, PATCHES[MERGE]).body["spec"] == {"replicas": 5}


def check_a_custom_resource_is_scaled_alike(ground: Ground) -> None:
    path = _serving(ground, {"replicas": 1})
    assert patched(ground.admin, f"{path}/scale", PATCHES[MERGE]).body["spec"] == {"replicas": 5}
    assert ground.admin.send("GET", path).body["spec"] == {"replicas": 5}
    stale = {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 9}}
    assert_failure(patched(ground.admin, f"{path}/scale", stale), 409, "Conflict")
    assert "selector" not in ground.admin.send("GET", f"{path}/scale").body["status"]
    status = {"status": {"replicas": 5, "selector": "app=x"}}
    assert patched(ground.admin, f"{path}/status", status).status == 200
    assert ground.admin.send("GET", f"{path}/scale").body["status"] == {"replicas": 5, "selector": "app=x"}


def check_a_custom_resource_without_replicas_has_no_scale(ground: Ground) -> None:
    path = _serving(ground, {"model": "m"})
    assert_failure(ground.admin.send("GET", f"{path}/scale"), 500, "InternalError", "does not exist")


def check_a_custom_resource_knows_no_strategic_patch(ground: Ground) -> None:
    path = _serving(ground, {"replicas": 1})
    assert_failure(patched(ground.admin, path, PATCHES[STRATEGIC], STRATEGIC), 415, "UnsupportedMediaType")


def _serving(ground: Ground, spec: Mapping[str, Any]) -> str:
    name = f"serving-{next(_names)}"
    body = {"apiVersion": "example.org/v1", "kind": "Serving", "metadata": {"name": name}, "spec": spec}
    answer = ground.admin.send("POST", ground.path(CUSTOM, "servings"), body=body)
    assert answer.status == 201, answer
    return ground.path(CUSTOM, "servings", name)


# ---- refusals


def check_a_stale_version_conflicts(ground: Ground) -> None:
    path = ground.deployment(replicas=3)
    stale = {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 9}}
    assert_failure(patched(ground.admin, f"{path}/scale", stale), 409, "Conflict", "the object has been modified")
    assert ground.admin.send("GET", path).body["spec"]["replicas"] == 3


def check_the_present_version_does_not(ground: Ground) -> None:
    path = ground.deployment()

    def written() -> bool:
        # The controllers write the status meanwhile, and so make our version old.
        version = ground.admin.send("GET", f"{path}/scale").body["metadata"]["resourceVersion"]
        given = {"metadata": {"resourceVersion": version}, "spec": {"replicas": 4}}
        return patched(ground.admin, f"{path}/scale", given).ok

    eventually(written)
    assert ground.admin.send("GET", path).body["spec"]["replicas"] == 4


def check_another_uid_conflicts(ground: Ground) -> None:
    path = ground.deployment(replicas=3)
    patch = {"metadata": {"uid": "11111111-2222-3333-4444-555555555555"}, "spec": {"replicas": 9}}
    assert_failure(patched(ground.admin, f"{path}/scale", patch), 409, "Conflict", "Precondition failed: UID")


def check_fewer_than_none_is_invalid(ground: Ground) -> None:
    path = ground.deployment()
    for where, kind in ((f"{path}/scale", "Scale"), (path, "Deployment")):
        answer = patched(ground.admin, where, {"spec": {"replicas": -1}})
        assert_failure(answer, 422, "Invalid", "must be greater than or equal to 0")
        assert answer.body["details"]["kind"] == kind
        assert answer.body["details"]["causes"][0]["field"] == "spec.replicas"


def check_a_number_is_a_number(ground: Ground) -> None:
    path = ground.deployment()
    answer = patched(ground.admin, f"{path}/scale", {"spec": {"replicas": "many"}})
    assert_failure(answer, 422, "Invalid")


def check_what_is_not_there_is_not_found(ground: Ground) -> None:
    path = ground.path(APPS, "deployments", "nobody")
    assert_failure(ground.admin.send("GET", path), 404, "NotFound", 'deployments.apps "nobody" not found')
    assert_failure(patched(ground.admin, f"{path}/scale", PATCHES[MERGE]), 404, "NotFound", '"nobody" not found')
    assert_failure(ground.admin.send("GET", f"{path}/scale"), 404, "NotFound", '"nobody" not found')
    assert_failure(ground.admin.send("GET", ground.path(APPS, "gadgets", "x")), 404, "NotFound", "requested resource")
    # A group that nobody serves is not told in a Status.
    assert ground.admin.send("GET", "/apis/nobody.example.org/v1").status == 404


def check_nothing_lives_outside_a_namespace(ground: Ground) -> None:
    answer = ground.admin.send("POST", f"{APPS}/namespaces/nowhere/deployments", body=deployment("web"))
    assert_failure(answer, 404, "NotFound", 'namespaces "nowhere" not found')


def check_the_same_name_twice_exists_already(ground: Ground) -> None:
    name = ground.deployment().rpartition("/")[2]
    answer = ground.admin.send("POST", ground.path(APPS, "deployments"), body=deployment(name))
    assert_failure(answer, 409, "AlreadyExists", "already exists")


def check_a_plain_body_is_no_patch(ground: Ground) -> None:
    path = ground.deployment()
    assert_failure(patched(ground.admin, f"{path}/scale", PATCHES[MERGE], JSON), 415, "UnsupportedMediaType")


def check_a_failed_test_of_a_patch_changes_nothing(ground: Ground) -> None:
    path = ground.deployment(replicas=3)
    patch = [{"op": "test", "path": "/spec/replicas", "value": 99}, *PATCHES[OPERATIONS]]
    assert_failure(patched(ground.admin, f"{path}/scale", patch, OPERATIONS), 422, "Invalid")
    assert ground.admin.send("GET", path).body["spec"]["replicas"] == 3


def check_a_stranger_is_unauthorized(ground: Ground) -> None:
    if ground.stranger is not None:
        answer = ground.stranger.send("GET", ground.path(APPS, "deployments"))
        assert_failure(answer, 401, "Unauthorized")


def check_without_rights_all_is_forbidden(ground: Ground) -> None:
    if ground.limited is None:
        return
    path = ground.deployment()
    refused = patched(ground.limited, f"{path}/scale", PATCHES[MERGE])
    assert_failure(
        refused, 403, "Forbidden", 'User "limited" cannot patch resource "deployments/scale" in API group "apps"'
    )
    assert refused.body["details"]["kind"] == "deployments"
    assert_failure(ground.limited.send("GET", ground.path("/api/v1", "pods")), 403, "Forbidden", "cannot list")
    watched = list(ground.limited.stream(ground.path("/api/v1", "pods"), {"watch": "true", "timeoutSeconds": "1"}))
    assert [event["object"]["code"] for event in watched] == [403]


def check_rights_can_be_asked_for(ground: Ground) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    asked = {"namespace": ground.namespace, "verb": "patch", "group": "apps", "resource": "deployments"}
    review = {"spec": {"resourceAttributes": {**asked, "subresource": "scale", "name": "web"}}}
    for server, allowed in ((ground.admin, True), (ground.limited, False)):
        if server is not None:
            answer = server.send("POST", path, body=review)
            assert (answer.status, answer.body["status"]["allowed"]) == (201, allowed)
    assert_failure(ground.admin.send("POST", path, body={"spec": {}}), 422, "Invalid")


# ---- versions, owners, dry runs


def check_a_dry_run_shows_and_keeps_nothing(ground: Ground) -> None:
    path = ground.deployment(replicas=3)
    shown = patched(ground.admin, f"{path}/scale", {"spec": {"replicas": 9}}, dryRun="All")
    assert shown.body["spec"] == {"replicas": 9}
    assert ground.admin.send("GET", path).body["spec"]["replicas"] == 3
    refused = patched(ground.admin, f"{path}/scale", {"spec": {"replicas": -1}}, dryRun="All")
    assert_failure(refused, 422, "Invalid")
    strange = patched(ground.admin, f"{path}/scale", PATCHES[MERGE], dryRun="Some")
    assert_failure(strange, 422, "Invalid", 'supported values: "All"')


def check_a_dry_run_of_anything_keeps_nothing(ground: Ground) -> None:
    path = _serving(ground, {"replicas": 1})
    assert patched(ground.admin, path, {"spec": {"replicas": 9}}, dryRun="All").body["spec"] == {"replicas": 9}
    assert ground.admin.send("DELETE", path, {"dryRun": "All"}).ok
    assert ground.admin.send("GET", path).body["spec"] == {"replicas": 1}
    made = ground.admin.send("POST", ground.path(APPS, "deployments"), {"dryRun": "All"}, deployment("dry"))
    assert made.status == 201
    assert ground.admin.send("GET", ground.path(APPS, "deployments", "dry")).status == 404


def check_a_generation_counts_changes_of_the_spec_alone(ground: Ground) -> None:
    path = _serving(ground, {"replicas": 1})
    before = ground.admin.send("GET", path).body["metadata"]
    labelled = patched(ground.admin, path, {"metadata": {"labels": {"a": "b"}}}).body["metadata"]
    scaled = patched(ground.admin, path, {"spec": {"replicas": 2}}).body["metadata"]
    assert [before["generation"], labelled["generation"], scaled["generation"]] == [1, 1, 2]
    assert len({m["resourceVersion"] for m in (before, labelled, scaled)}) == 3


def check_a_patch_that_changes_nothing_makes_no_version(ground: Ground) -> None:
    path = _serving(ground, {"replicas": 2})
    before = ground.admin.send("GET", path).body["metadata"]["resourceVersion"]
    assert patched(ground.admin, f"{path}/scale", {"spec": {"replicas": 2}}).ok
    assert ground.admin.send("GET", path).body["metadata"]["resourceVersion"] == before


def check_one_made_again_is_another(ground: Ground) -> None:
    path = ground.deployment()
    first = ground.admin.send("GET", path).body["metadata"]["uid"]
    gone = ground.admin.send("DELETE", path)
    assert (gone.status, gone.body["status"], gone.body["details"]["uid"]) == (200, "Success", first)
    name = path.rpartition("/")[2]
    eventually(lambda: ground.admin.send("POST", ground.path(APPS, "deployments"), body=deployment(name)).status == 201)
    assert ground.admin.send("GET", path).body["metadata"]["uid"] != first


def check_who_wrote_the_replicas_is_known(ground: Ground) -> None:
    path = ground.deployment(replicas=3)
    assert patched(ground.admin, path, {"spec": {"replicas": 4}}, fieldManager="somebody").ok
    assert _owners(ground, path) == {("somebody", "")}
    assert patched(ground.admin, f"{path}/scale", {"spec": {"replicas": 5}}, fieldManager="scaler").ok
    # Before 1.22 writes through /scale were noted nowhere (kubernetes/enhancements, KEP 2885 and the fix in 1.22).
    assert _owners(ground, path) == ({("scaler", "scale")} if ground.minor >= 22 else {("somebody", "")})


def _owners(ground: Ground, path: str) -> set[tuple[str, str]]:
    entries = ground.admin.send("GET", path).body["metadata"]["managedFields"]
    owning = [entry for entry in entries if "f:replicas" in entry["fieldsV1"].get("f:spec", {})]
    return {(entry["manager"], entry.get("subresource", "")) for entry in owning}


# ---- lists and watches


def check_lists_have_a_version_and_bare_items(ground: Ground) -> None:
    ground.deployment()
    answer = ground.admin.send("GET", ground.path(APPS, "deployments"))
    assert answer.body["kind"] == "DeploymentList"
    assert int(answer.body["metadata"]["resourceVersion"]) > 0
    assert all("kind" not in item for item in answer.body["items"])
    _serving(ground, {"replicas": 1})
    listed = ground.admin.send("GET", ground.path(CUSTOM, "servings"))
    assert {item["kind"] for item in listed.body["items"]} == {"Serving"}


def check_lists_come_in_pages(ground: Ground) -> None:
    made = {ground.deployment().rpartition("/")[2] for _ in range(3)}
    found: list[str] = []
    query = {"limit": "2"}
    while True:
        answer = ground.admin.send("GET", ground.path(APPS, "deployments"), query)
        assert len(answer.body["items"]) <= 2
        found += names_of(answer)
        if not answer.body["metadata"].get("continue"):
            break
        query = {"limit": "2", "continue": answer.body["metadata"]["continue"]}
    assert made <= set(found)
    assert len(found) == len(set(found))


def check_lists_are_selected(ground: Ground) -> None:
    one, other = (ground.deployment().rpartition("/")[2] for _ in range(2))
    path = ground.path(APPS, "deployments")
    for selector in (f"app={one}", f"app in ({one}),!nothing", f"app=={one},app!={other}"):
        assert names_of(ground.admin.send("GET", path, {"labelSelector": selector})) == [one]
    assert names_of(ground.admin.send("GET", path, {"fieldSelector": f"metadata.name={other}"})) == [other]
    assert_failure(ground.admin.send("GET", path, {"fieldSelector": "spec.color=red"}), 400, "BadRequest")


def check_a_watch_tells_what_comes_after_a_list(ground: Ground) -> None:
    path = ground.path(CUSTOM, "servings")
    version = ground.admin.send("GET", path).body["metadata"]["resourceVersion"]
    one = _serving(ground, {"replicas": 1})
    patched(ground.admin, one, {"spec": {"replicas": 2}})
    ground.admin.send("DELETE", one)
    query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "3", "allowWatchBookmarks": "true"}
    events = [event for event in ground.admin.stream(path, query) if event["type"] != "BOOKMARK"]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))
    assert events[1]["object"]["kind"] == "Serving"


def check_what_leaves_a_selection_is_deleted_from_it(ground: Ground) -> None:
    path = ground.path(CUSTOM, "servings")
    one = _serving(ground, {"replicas": 1})
    patched(ground.admin, one, {"metadata": {"labels": {"team": "red"}}})
    version = ground.admin.send("GET", path).body["metadata"]["resourceVersion"]
    patched(ground.admin, one, {"metadata": {"labels": {"team": "blue"}}})
    query = {"watch": "true", "resourceVersion": version, "labelSelector": "team=red", "timeoutSeconds": "2"}
    assert [event["type"] for event in ground.admin.stream(path, query)] == ["DELETED"]


def check_a_watch_without_a_version_begins_with_what_is_there(ground: Ground) -> None:
    name = _serving(ground, {"replicas": 1}).rpartition("/")[2]
    query = {"watch": "true", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": "1"}
    events = list(ground.admin.stream(ground.path(CUSTOM, "servings"), query))
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [("ADDED", name)]


def check_bookmarks_carry_a_version_and_nothing_else(ground: Ground) -> None:
    # The real server sends one when it likes: about each minute, and often, not always, before it ends a watch.
    path = ground.path("/api/v1", "pods")
    version = ground.admin.send("GET", path).body["metadata"]["resourceVersion"]
    query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "4", "allowWatchBookmarks": "true"}
    for event in ground.admin.stream(path, {**query, "labelSelector": "app=nobody"}):
        assert event["type"] == "BOOKMARK"
        assert int(event["object"]["metadata"]["resourceVersion"]) >= int(version)


def check_a_forgotten_version_is_gone(ground: Ground) -> None:
    if ground.compact is None:
        return
    # Events, for they alone are watched past the server's cache, which keeps versions longer than its store does.
    path = ground.path("/api/v1", "events")
    version = ground.admin.send("GET", path).body["metadata"]["resourceVersion"]
    for _ in range(3):
        assert ground.admin.send("POST", path, body=_event(ground)).status == 201
    first = ground.admin.send("GET", path, {"limit": "1"}).body["metadata"]["continue"]
    ground.admin.send("POST", path, body=_event(ground))
    ground.compact()
    query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "3"}
    events = list(ground.admin.stream(path, query))
    assert [event["type"] for event in events] == ["ERROR"]
    assert (events[0]["object"]["code"], events[0]["object"]["reason"]) == (410, "Expired")
    assert_failure(ground.admin.send("GET", path, {"limit": "1", "continue": first}), 410, "Expired")


# ---- pods


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


# ---- leases and events


def _lease(name: str, **spec: Any) -> dict[str, Any]:
    times = {"acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:00.000000Z"}
    whole = {"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 0, **times, **spec}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": whole}


def check_a_lease_is_made_once_and_taken_by_version(ground: Ground) -> None:
    name = f"lease-{next(_names)}"
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
    name = f"lease-{next(_names)}"
    answer = ground.admin.send("PUT", ground.path(LEASES, "leases", name), body=_lease(name))
    assert answer.status == 201, answer


def check_the_times_of_a_lease_have_microseconds(ground: Ground) -> None:
    path = ground.path(LEASES, "leases")
    answer = ground.admin.send("POST", path, body=_lease("times", renewTime="2026-01-01T00:00:00Z"))
    assert_failure(answer, 400, "BadRequest", "parsing time")
    short = ground.admin.send("POST", path, body=_lease("times", leaseDurationSeconds=0))
    assert_failure(short, 422, "Invalid", "must be greater than 0")


def _event(ground: Ground, **changed: Any) -> dict[str, Any]:
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


def check_events_are_told_about_what_is_in_their_namespace(ground: Ground) -> None:
    path = ground.path("/api/v1", "events")
    made = ground.admin.send("POST", path, body=_event(ground))
    assert made.status == 201, made
    assert made.body["metadata"]["name"].startswith("web.")
    elsewhere = ground.admin.send(
        "POST", path, body=_event(ground, involvedObject={"kind": "Deployment", "name": "web"})
    )
    assert_failure(elsewhere, 422, "Invalid", "does not match event.namespace")
    nameless = ground.admin.send("POST", path, body=_event(ground, metadata={}))
    assert_failure(nameless, 422, "Invalid", "name or generateName is required")


def check_new_events_need_all_their_fields(ground: Ground) -> None:
    path = ground.path("/apis/events.k8s.io/v1", "events")
    regarding = {"kind": "Deployment", "namespace": ground.namespace, "name": "web"}
    short = {"metadata": {"generateName": "web-"}, "regarding": regarding, "reason": "Scaled", "type": "Normal"}
    assert_failure(ground.admin.send("POST", path, body=short), 422, "Invalid")
    whole = {**short, "note": "3 -> 5", "action": "Scale", "eventTime": "2026-01-01T00:00:00.000000Z"}
    whole |= {"reportingController": "poolwright", "reportingInstance": "poolwright-0"}
    assert ground.admin.send("POST", path, body=whole).status == 201


# ---- what is served


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


CHECKS: tuple[Callable[[Ground], None], ...] = tuple(
    check for name, check in list(globals().items()) if name.startswith("check_")
)

__all__ = ["CHECKS", "CUSTOM_RESOURCE", "Ground"]
