"""What a configuration comes to against real servers, told without acting."""

from dataclasses import replace
from typing import Any

import numpy as np

from live.check import Finding, check, rights
from live.config import Bounds, Config, Target
from live.kube import KubeApi, Ref, Resource, refs
from live.twin import faults
from live.twin.clock import VirtualClock
from live.twin.cluster import Twin
from live.twin.faults import Rule
from live.twin.load import Workload
from live.twin.rights import Users
from policies.specfile import parse

FILE = """
cluster: { namespace: models }
prometheus: { url: "http://prometheus" }
journal: { path: j }
mode: active
targets: [{ model: m, version: v1, name: web, replicas: { at_least: 1, at_most: 9 } }]
policy: { kind: fixed, replicas: { v1: 4 } }
"""


class World:
    def __init__(self, **twin: Any) -> None:
        self.clock = VirtualClock()
        self.twin = Twin(self.clock, np.random.default_rng(1), **twin)
        load = {"rate_per_s": lambda _: 1.0, "rate_at_most_per_s": 1.0}
        self.twin.add(Workload(name="web", replicas=3, **load))
        self.clock.wait(40.0)

    def check(self, text: str = FILE, token: str | None = None) -> list[Finding]:
        config = parse(Config, text)
        return check(config, self.twin.transport(token), self.twin.prometheus_transport(), self.clock)


def told(findings: list[Finding], level: str) -> list[str]:
    return [f"{f.about}: {f.what}: {f.words}" for f in findings if f.level == level]


def test_all_is_well_and_the_first_wish_is_told() -> None:
    world = World()
    before = world.twin.api.store.version
    found = world.check()
    assert told(found, "fault") == told(found, "warning") == []
    assert world.twin.api.store.version == before
    words = told(found, "ok")
    assert "targets: m/v1 (Deployment models/web): 3 wanted, 3 ready, 0 starting, 0 draining" in words
    assert words[-1] == "policy: m/v1: 3 -> 4: wish 4: fixed"


def test_a_target_at_zero_whose_pods_alone_would_tell_of_it_is_no_fault() -> None:
    world = World()
    path = "/apis/apps/v1/namespaces/models/deployments/web/scale"
    world.twin.transport().send("PATCH", path, None, {"spec": {"replicas": 0}}, "application/merge-patch+json")
    world.clock.wait(120.0)
    text = FILE.replace("kind: fixed, replicas: { v1: 4 }", "kind: fcfs, wait_s: 1").replace(
        "at_least: 1", "at_least: 0"
    )
    found = world.check(text)
    assert told(found, "fault") == []
    words = "metrics: m/v1: no pods, so nothing tells of its requests; it stays at zero until somebody scales it up"
    assert words in told(found, "warning")


def test_a_query_without_series_is_a_warning_where_the_policy_uses_it() -> None:
    world = World()
    other = FILE.replace(
        "mode: active", "mode: active\nqueries: { override: { queued: nothing, failed_total: nothing } }"
    )
    found = world.check(other.replace("kind: fixed, replicas: { v1: 4 }", "kind: fcfs, wait_s: 1"))
    levels = {f.what: f.level for f in found if f.about == "queries"}
    assert (levels["queued"], levels["failed_total"]) == ("warning", "ok")


def test_every_query_shows_a_sample() -> None:
    (queued,) = [f for f in World().check() if f.what == "queued"]
    assert queued.words.startswith('3 series, such as 0 {namespace="models", pod="web-')
    assert queued.words.endswith('asked: sum by (namespace, pod) (requests_queued{namespace="models",pod!=""})')


def test_a_target_that_is_not_there_and_a_count_out_of_its_bounds() -> None:
    world = World()
    faulty = told(world.check(FILE.replace("name: web", "name: wab")), "fault")
    assert "targets: m/v1 (Deployment models/wab): not found, or its replicas are unknown" in faulty
    (outside,) = told(world.check(FILE.replace("at_most: 9", "at_most: 2").replace("v1: 4", "v1: 2")), "warning")
    assert outside.endswith("3 wanted, 3 ready, 0 starting, 0 draining; outside 1..2")


def test_metrics_that_do_not_come_are_a_fault_only_where_the_policy_needs_them() -> None:
    world = World()
    text = FILE.replace("policy: { kind: fixed, replicas: { v1: 4 } }", "policy: { kind: fcfs, wait_s: 1 }")
    other = text.replace("mode: active", "mode: active\nqueries: { preset: istio }")
    faulty = told(world.check(other), "fault")
    assert len(faulty) == 1
    assert faulty[0].startswith("metrics: m/v1: ")
    assert "the policy fcfs needs it" in faulty[0]


def test_a_prometheus_that_is_down_is_one_fault_and_the_cluster_is_looked_at_all_the_same() -> None:
    world = World()
    world.twin.queries.rules = [Rule(faults.Lost())]
    found = world.check()
    (fault,) = told(found, "fault")
    assert fault.startswith("queries: age: no answer; the 15 queries after it were not tried: ")
    assert any(f.about == "targets" and f.level == "ok" for f in found)


def test_an_api_that_is_down_is_one_fault_and_the_queries_are_tried_all_the_same() -> None:
    world = World()
    world.twin.weather.rules = [Rule(faults.Lost())]
    config = FILE.replace("name: web", "name: web, kind: Thing, api_version: a.b/v1")
    found = world.check(config)
    assert [f.what for f in found if f.level == "fault"] == ["cluster"]
    assert any(f.about == "queries" and f.level == "ok" for f in found)


def test_each_right_that_lacks_is_named() -> None:
    world = World(users=Users({"nobody": "nobody"}))
    found = world.check(token="nobody")
    denied = [f.what for f in found if f.about == "access" and f.level != "ok"]
    assert "patch deployments.apps/scale 'web' in models" in denied
    assert "update leases.coordination.k8s.io 'poolwright' in models" in denied


def test_autoscalers_that_cannot_be_listed_are_a_fault_unless_the_file_takes_them_for_absent() -> None:
    world = World()
    world.twin.weather.rules = [Rule(faults.Refused(403), verbs=("list",), path="scaledobjects")]
    (fault,) = told(world.check(), "fault")
    assert fault.startswith("owners: scaledobjects in models: unknown whether one scales a target, so nothing is")
    assert told(world.check(FILE.replace("mode: active", "mode: active\nowners: if_listed")), "fault") == []
    assert told(world.check(FILE.replace("active", "shadow")), "fault") == []


def test_an_autoscaler_on_a_target_is_a_fault_where_the_daemon_would_write() -> None:
    world = World()
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 5}
    path = "/apis/autoscaling/v2/namespaces/models/horizontalpodautoscalers"
    made = world.twin.transport().send("POST", path, body={"metadata": {"name": "other"}, "spec": spec})
    assert made.ok
    words = "owners: m/v1: scaled by HorizontalPodAutoscaler models/other; this daemon keeps off it"
    assert told(world.check(), "fault") == [words]
    assert words in told(world.check(FILE.replace("active", "shadow")), "warning")


def test_a_mode_asks_for_no_right_that_it_does_not_use() -> None:
    world = World()
    kube = KubeApi(world.twin.transport())

    def verbs(text: str) -> set[str]:
        config = parse(Config, text)
        return {f"{r.verb} {r.resource.plural}/{r.subresource}" for r in rights(config, refs(config, kube))}

    watching = {f"{verb} {what}/" for verb in ("list", "watch") for what in ("deployments", "pods")}
    watching |= {"list horizontalpodautoscalers/", "list scaledobjects/"}
    lease = {f"{verb} leases/" for verb in ("get", "create", "update")}
    assert verbs(FILE.replace("active", "shadow")) == watching
    active = watching | lease | {"get deployments/scale", "patch deployments/scale", "create events/"}
    assert verbs(FILE) == active
    # Of another kind only the scale subresource may say how many replicas are wanted.
    mine = Target(
        model="m", version="v1", name="web", kind="Serving", api_version="example.org/v1", replicas=Bounds(at_most=9)
    )
    servings = Ref(Resource("example.org/v1", "servings", "models"), "Serving", "web")
    custom = replace(parse(Config, FILE.replace("active", "shadow")), targets=(mine,))
    assert "get servings.example.org/scale 'web' in models" in map(str, rights(custom, {"m/v1": servings}))
    annotating = FILE.replace("active", "recommend\nrecommend: annotation")
    assert verbs(annotating) == watching | lease | {"patch deployments/"}
