"""Scales: how they are read and written, and how that is refused."""

from conformance_ground import (
    APPS,
    JSON,
    MERGE,
    NAMES,
    OPERATIONS,
    PATCHES,
    STRATEGIC,
    Ground,
    assert_failure,
    deployment,
    eventually,
    patched,
    serving,
)


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
    name = f"set-{next(NAMES)}"
    body = deployment(name) | {"kind": "StatefulSet"}
    body["spec"] = {**body["spec"], "serviceName": name}
    assert ground.admin.send("POST", ground.path(APPS, "statefulsets"), body=body).status == 201
    path = ground.path(APPS, "statefulsets", name, "scale")
    assert patched(ground.admin, path, PATCHES[MERGE]).body["spec"] == {"replicas": 5}


def check_a_custom_resource_is_scaled_alike(ground: Ground) -> None:
    path = serving(ground, {"replicas": 1})
    assert patched(ground.admin, f"{path}/scale", PATCHES[MERGE]).body["spec"] == {"replicas": 5}
    assert ground.admin.send("GET", path).body["spec"] == {"replicas": 5}
    stale = {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 9}}
    assert_failure(patched(ground.admin, f"{path}/scale", stale), 409, "Conflict")
    assert "selector" not in ground.admin.send("GET", f"{path}/scale").body["status"]
    status = {"status": {"replicas": 5, "selector": "app=x"}}
    assert patched(ground.admin, f"{path}/status", status).status == 200
    assert ground.admin.send("GET", f"{path}/scale").body["status"] == {"replicas": 5, "selector": "app=x"}


def check_a_custom_resource_without_replicas_has_no_scale(ground: Ground) -> None:
    path = serving(ground, {"model": "m"})
    assert_failure(ground.admin.send("GET", f"{path}/scale"), 500, "InternalError", "does not exist")


def check_a_custom_resource_knows_no_strategic_patch(ground: Ground) -> None:
    path = serving(ground, {"replicas": 1})
    assert_failure(patched(ground.admin, path, PATCHES[STRATEGIC], STRATEGIC), 415, "UnsupportedMediaType")


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
