"""Versions and who wrote what; lists, watches and their ends."""

from conformance_ground import (
    APPS,
    CUSTOM,
    MERGE,
    PATCHES,
    Ground,
    assert_failure,
    deployment,
    eventually,
    names_of,
    patched,
    scaled_event,
    serving,
)


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
    path = serving(ground, {"replicas": 1})
    assert patched(ground.admin, path, {"spec": {"replicas": 9}}, dryRun="All").body["spec"] == {"replicas": 9}
    assert ground.admin.send("DELETE", path, {"dryRun": "All"}).ok
    assert ground.admin.send("GET", path).body["spec"] == {"replicas": 1}
    made = ground.admin.send("POST", ground.path(APPS, "deployments"), {"dryRun": "All"}, deployment("dry"))
    assert made.status == 201
    assert ground.admin.send("GET", ground.path(APPS, "deployments", "dry")).status == 404


def check_a_generation_counts_changes_of_the_spec_alone(ground: Ground) -> None:
    path = serving(ground, {"replicas": 1})
    before = ground.admin.send("GET", path).body["metadata"]
    labelled = patched(ground.admin, path, {"metadata": {"labels": {"a": "b"}}}).body["metadata"]
    scaled = patched(ground.admin, path, {"spec": {"replicas": 2}}).body["metadata"]
    assert [before["generation"], labelled["generation"], scaled["generation"]] == [1, 1, 2]
    assert len({m["resourceVersion"] for m in (before, labelled, scaled)}) == 3


def check_a_patch_that_changes_nothing_makes_no_version(ground: Ground) -> None:
    path = serving(ground, {"replicas": 2})
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


def check_lists_have_a_version_and_bare_items(ground: Ground) -> None:
    ground.deployment()
    answer = ground.admin.send("GET", ground.path(APPS, "deployments"))
    assert answer.body["kind"] == "DeploymentList"
    assert int(answer.body["metadata"]["resourceVersion"]) > 0
    assert all("kind" not in item for item in answer.body["items"])
    serving(ground, {"replicas": 1})
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
    one = serving(ground, {"replicas": 1})
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
    one = serving(ground, {"replicas": 1})
    patched(ground.admin, one, {"metadata": {"labels": {"team": "red"}}})
    version = ground.admin.send("GET", path).body["metadata"]["resourceVersion"]
    patched(ground.admin, one, {"metadata": {"labels": {"team": "blue"}}})
    query = {"watch": "true", "resourceVersion": version, "labelSelector": "team=red", "timeoutSeconds": "2"}
    assert [event["type"] for event in ground.admin.stream(path, query)] == ["DELETED"]


def check_a_watch_without_a_version_begins_with_what_is_there(ground: Ground) -> None:
    name = serving(ground, {"replicas": 1}).rpartition("/")[2]
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
        assert ground.admin.send("POST", path, body=scaled_event(ground)).status == 201
    first = ground.admin.send("GET", path, {"limit": "1"}).body["metadata"]["continue"]
    ground.admin.send("POST", path, body=scaled_event(ground))
    ground.compact()
    query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "3"}
    events = list(ground.admin.stream(path, query))
    assert [event["type"] for event in events] == ["ERROR"]
    assert (events[0]["object"]["code"], events[0]["object"]["reason"]) == (410, "Expired")
    assert_failure(ground.admin.send("GET", path, {"limit": "1", "continue": first}), 410, "Expired")
