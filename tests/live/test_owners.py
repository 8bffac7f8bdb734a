"""Who else scales a target."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from scripted import Hand, Scripted

from live.kube import KubeApi, Ref, Resource
from live.owners import Owners, managers
from live.transport import Answer, LostError

TARGETS = {
    "m/v1": Ref(Resource("apps/v1", "deployments", "models"), "Deployment", "web"),
    "m/v2": Ref(Resource("apps/v1", "statefulsets", "models"), "StatefulSet", "web"),
}


def scaler(scaler_name: str, **target: str) -> dict[str, Any]:
    return {"metadata": {"name": scaler_name}, "spec": {"scaleTargetRef": target}}


class Server:
    """Lists by the version and name of their kind; what it does not have is not found."""

    def __init__(self, **lists: Any) -> None:
        self.lists = lists
        self.owners = Owners(KubeApi(Scripted(self.reply)), TARGETS, Hand())

    def reply(self, _method: str, path: str, *_: Any) -> Answer | LostError:
        found = self.lists.get(path.rpartition("/")[2] + "_" + path.split("/")[3])
        if isinstance(found, (Answer, LostError)):
            return found
        if found is None:
            return Answer(404, {"reason": "NotFound", "message": "the server could not find the requested resource"})
        return Answer(200, {"items": found, "metadata": {"resourceVersion": "1"}})


def test_nobody_where_there_are_no_autoscalers() -> None:
    server = Server()
    server.owners.step()
    assert (server.owners.foreign, server.owners.problems) == ({}, {})


@pytest.mark.parametrize("version", ["v2", "v2beta2", "v1"])
def test_an_autoscaler_is_found_in_the_version_that_the_server_has(version: str) -> None:
    hpas = [scaler("one", kind="Deployment", name="web"), scaler("two", kind="Deployment", name="other")]
    server = Server(**{f"horizontalpodautoscalers_{version}": hpas})
    server.owners.step()
    assert server.owners.foreign == {"m/v1": "HorizontalPodAutoscaler models/one"}


def test_keda_takes_a_deployment_where_no_kind_is_said() -> None:
    objects = [scaler("one", name="web"), scaler("two", kind="StatefulSet", name="web")]
    server = Server(scaledobjects_v1alpha1=objects)
    server.owners.step()
    assert server.owners.foreign == {"m/v1": "ScaledObject models/one", "m/v2": "ScaledObject models/two"}


@pytest.mark.parametrize("lost", [LostError("down"), Answer(403, {"reason": "Forbidden"})])
def test_a_list_that_cannot_be_read_says_so_and_an_owner_stays(lost: Any) -> None:
    server = Server(horizontalpodautoscalers_v2=[scaler("one", kind="Deployment", name="web")])
    server.owners.step()
    server.lists["horizontalpodautoscalers_v2"] = lost
    server.owners.step()
    assert server.owners.foreign == {"m/v1": "HorizontalPodAutoscaler models/one"}
    assert set(server.owners.problems) == {"horizontalpodautoscalers in models"}


FORBIDDEN = Answer(403, {"reason": "Forbidden", "message": "no"})


@pytest.mark.parametrize("lost", [LostError("down"), FORBIDDEN])
def test_what_was_never_listed_is_not_known_to_be_absent(lost: Any) -> None:
    server = Server(scaledobjects_v1alpha1=lost)
    server.owners.step()
    why = "it is unknown whether another scales it: scaledobjects in models could not be listed"
    assert server.owners.foreign == {}
    assert server.owners.keeps_off("m/v1") == server.owners.keeps_off("m/v2") == why
    server.lists.clear()
    server.owners.step()
    assert server.owners.keeps_off("m/v1") is None


def test_before_the_first_look_nothing_is_known() -> None:
    server = Server()
    assert not server.owners.listed
    assert server.owners.keeps_off("m/v1") is not None
    server.owners.step()
    assert server.owners.listed


def test_what_was_listed_long_ago_is_not_known_any_more() -> None:
    server, clock = Server(), Hand()
    server.owners.clock = clock
    server.owners.step()
    server.lists["horizontalpodautoscalers_v2"] = FORBIDDEN
    clock.wait(600.0)
    server.owners.step()
    assert server.owners.keeps_off("m/v1") is None
    clock.wait(1.0)
    assert server.owners.keeps_off("m/v1") is not None


def test_a_cluster_that_forbids_the_list_on_purpose_is_written_to_where_the_file_says_so() -> None:
    server = Server(scaledobjects_v1alpha1=FORBIDDEN)
    server.owners.forbidden_is_none = True
    server.owners.step()
    assert (server.owners.keeps_off("m/v1"), server.owners.problems) == (None, {})
    server.lists["horizontalpodautoscalers_v2"] = LostError("down")
    server.owners.step()
    assert set(server.owners.problems) == {"horizontalpodautoscalers in models"}


def test_an_owner_that_goes_is_gone() -> None:
    server = Server(horizontalpodautoscalers_v2=[scaler("one", kind="Deployment", name="web")])
    server.owners.step()
    server.lists["horizontalpodautoscalers_v2"] = []
    server.owners.step()
    assert server.owners.foreign == {}


def managed(manager: str, operation: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": fields}}


def test_who_else_set_the_replicas_is_read_from_the_managed_fields() -> None:
    entries = [
        managed("poolwright", "Update", {"f:replicas": {}}),
        managed("argocd-controller", "Apply", {"f:replicas": {}, "f:template": {}}),
        managed("kube-controller-manager", "Update", {"f:template": {}}),
    ]
    assert managers({"metadata": {"managedFields": entries}}) == ["argocd-controller (Apply)"]
