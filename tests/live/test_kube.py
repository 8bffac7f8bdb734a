"""Typed calls of the Kubernetes API: one request each, and a refusal in the server's own words."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from scripted import Scripted

from live.config import Bounds, Config, JournalSpec, Prometheus, Target
from live.kube import ApiError, KubeApi, Ref, Resource, Right, refs
from live.transport import Answer
from policies.fixed import FixedSpec

WEB = Ref(Resource("apps/v1", "deployments", "models"), "Deployment", "web")


def told(*answers: Answer) -> tuple[KubeApi, Scripted]:
    left = list(answers)
    script = Scripted(lambda *_: left.pop(0))
    return KubeApi(script), script


def scale(**spec: int) -> Answer:
    meta = {"name": "web", "resourceVersion": "7", "uid": "u"}
    return Answer(200, {"metadata": meta, "spec": spec, "status": {"replicas": 2, "selector": "app=web"}})


def test_a_count_that_is_left_out_is_zero() -> None:
    kube, _ = told(scale())
    found = kube.scale(WEB)
    assert (found.wanted, found.existing, found.resource_version, found.selector) == (0, 2, "7", "app=web")


def test_replicas_are_written_upon_the_version_that_was_read() -> None:
    kube, script = told(scale(replicas=5), scale(replicas=5))
    kube.set_replicas(WEB, 5, "7")
    kube.set_replicas(WEB, 5, "7", dry_run=True)
    (method, path, query, body), (_, _, dry, _) = script.asked
    assert (method, path) == ("PATCH", "/apis/apps/v1/namespaces/models/deployments/web/scale")
    assert body == {"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 5}}
    assert (query, dry) == ({"fieldManager": "poolwright"}, {"fieldManager": "poolwright", "dryRun": "All"})


def test_a_list_is_read_to_its_end() -> None:
    pages = [
        Answer(200, {"items": [{"n": 1}], "metadata": {"resourceVersion": "9", "continue": "more"}}),
        Answer(200, {"items": [{"n": 2}], "metadata": {"resourceVersion": "9"}}),
    ]
    kube, script = told(*pages)
    assert kube.list(Resource("v1", "pods", "models")) == ([{"n": 1}, {"n": 2}], "9")
    assert [query.get("continue") for _, _, query, _ in script.asked] == [None, "more"]


STATUS: dict[str, Any] = {"kind": "Status", "reason": "TooManyRequests", "message": "slow down"}


@pytest.mark.parametrize(
    ("headers", "details", "after_s"),
    [({"retry-after": "3"}, {}, 3.0), ({}, {"retryAfterSeconds": 4}, 4.0), ({"retry-after": "Sun, 22 Nov"}, {}, None)],
)
def test_a_refusal_says_status_reason_and_how_long_to_wait(
    headers: dict[str, str], details: dict[str, int], after_s: float | None
) -> None:
    kube, _ = told(Answer(429, STATUS | {"details": details}, headers))
    with pytest.raises(ApiError, match="429 TooManyRequests: slow down") as error:
        kube.scale(WEB)
    assert error.value.retry_after_s == after_s


@pytest.mark.parametrize("body", [None, "<html>bad gateway</html>", ["x"]])
def test_a_refusal_by_something_else_on_the_way_is_a_refusal_too(body: Any) -> None:
    kube, _ = told(Answer(502, body))
    with pytest.raises(ApiError, match="502 Unknown"):
        kube.scale(WEB)


def test_a_success_that_is_no_json_is_none() -> None:
    kube, _ = told(Answer(200, "<html>log in</html>"))
    with pytest.raises(ApiError, match="log in"):
        kube.scale(WEB)


@pytest.mark.parametrize("status", [{"allowed": True}, {"allowed": False}, {}])
def test_a_right_is_asked_for_by_a_review(status: dict[str, bool]) -> None:
    kube, script = told(Answer(201, {"status": status}))
    right = Right("patch", WEB.resource, "scale", "web")
    assert kube.allowed(right) is status.get("allowed", False)
    assert script.asked[0][3]["spec"]["resourceAttributes"] == {
        "verb": "patch",
        "group": "apps",
        "resource": "deployments",
        "subresource": "scale",
        "namespace": "models",
        "name": "web",
    }
    assert str(right) == "patch deployments.apps/scale 'web' in models"


def test_a_kind_that_is_not_built_in_is_found_by_discovery() -> None:
    found = [{"name": "servings/scale", "kind": "Serving"}, {"name": "servings", "kind": "Serving"}]
    target = Target(
        model="m", version="v1", kind="Serving", api_version="a.b/v1", name="web", replicas=Bounds(at_most=3)
    )
    config = Config(
        prometheus=Prometheus(url="http://p"), journal=JournalSpec(path="j"), targets=(target,), policy=FixedSpec()
    )
    kube, script = told(Answer(200, {"resources": found}), Answer(200, {"resources": []}))
    assert refs(config, kube)["m/v1"].path == "/apis/a.b/v1/namespaces/default/servings/web"
    assert script.asked[0][1] == "/apis/a.b/v1"
    with pytest.raises(ValueError, match=r"the cluster has no kind 'Serving' in a\.b/v1"):
        refs(config, kube)
