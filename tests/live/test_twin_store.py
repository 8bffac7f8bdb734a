"""What a cluster remembers: the past as it was, each change once, and nothing after a compaction."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from live.transport import Transport
from live.twin.cluster import Twin
from live.twin.kinds import DEPLOYMENTS
from live.twin.load import Workload
from live.twin.rights import Right, Users
from live.twin.store import Key, Store

acts = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "delete"])), max_size=30)


def played(history: list[tuple[str, str]]) -> tuple[Store, dict[int, list[Any]]]:
    """A store after some acts, and what its list was at each version."""
    store = Store()
    lists = {store.version: store.all("things")}
    for name, act in history:
        key = Key("things", "n", name)
        if act == "put":
            store.put(key, {"metadata": {"name": name}})
        elif store.get(key) is not None:
            store.delete(key)
        lists[store.version] = store.all("things")
    return store, lists


@given(acts)
def test_the_past_is_listed_as_it_was(history: list[tuple[str, str]]) -> None:
    store, lists = played(history)
    assert {version: store.as_of(version, "things") for version in lists} == lists


@given(acts)
def test_a_list_and_the_changes_after_it_make_the_next_list(history: list[tuple[str, str]]) -> None:
    store, lists = played(history)
    for version, listed in lists.items():
        found = {value["metadata"]["name"]: value for value in listed}
        for change in store.since(version):
            if change.act == "delete":
                del found[change.key.name]
            else:
                found[change.key.name] = change.after
        assert [found[name] for name in sorted(found)] == store.all("things")


def test_so_many_changes_are_kept_and_no_more() -> None:
    store = Store(version=0, keep=3, compacted=0)
    for _ in range(5):
        store.put(Key("things", "n", "a"), {"metadata": {}})
    assert (store.compacted, [change.version for change in store.since(2)]) == (2, [3, 4, 5])
    store.compact()
    assert (store.compacted, list(store.since(5))) == (5, [])


def scaler() -> Transport:
    """A user that may scale one Deployment, and list pods in one namespace."""
    rights = (
        Right(("get", "patch"), "apps", ("deployments/scale",), names=("web",), namespace="models"),
        Right(("list", "watch"), "", ("pods",), namespace="models"),
    )
    twin = Twin(users=Users({"t": "scaler"}, {"scaler": rights}))
    for name in ("web", "other"):
        twin.add(Workload(name=name))
    return twin.transport("t")


def test_a_right_is_for_what_it_names_and_nothing_else() -> None:
    server, path = scaler(), f"/apis/{DEPLOYMENTS.group_version}/namespaces/models/deployments"
    merge = "application/merge-patch+json"
    body = {"spec": {"replicas": 2}}
    found = {
        "scale": server.send("PATCH", f"{path}/web/scale", body=body, content_type=merge),
        "object": server.send("PATCH", f"{path}/web", body=body, content_type=merge),
        "another": server.send("PATCH", f"{path}/other/scale", body=body, content_type=merge),
        "put": server.send("PUT", f"{path}/web/scale", body=body),
        "pods": server.send("GET", "/api/v1/namespaces/models/pods"),
        "one pod": server.send("GET", "/api/v1/namespaces/models/pods/x"),
        "elsewhere": server.send("GET", "/api/v1/namespaces/default/pods"),
        "leases": server.send("GET", "/apis/coordination.k8s.io/v1/namespaces/models/leases"),
    }
    assert {name for name, answer in found.items() if answer.status != 403} == {"scale", "pods"}
    assert all(answer.ok for name, answer in found.items() if name in ("scale", "pods"))
