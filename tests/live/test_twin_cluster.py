"""The cluster twin: pods come and go as a cluster's do, requests obey the laws of queues, and a seed says it all."""

import json
from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live.replicas import count, pod_of
from live.twin.clock import VirtualClock
from live.twin.cluster import Twin
from live.twin.exporter import exposition
from live.twin.kinds import SCALED_OBJECTS, Kind
from live.twin.load import RequestClass, Workload
from live.twin.store import Key
from policies.queues.erlang import MMC

SERVINGS = Kind("example.org", "v1", "servings", "Serving", True, True, True, True, "status.selector")
MERGE = "application/merge-patch+json"


class World:
    """A twin with one workload, and what a test asks of it."""

    def __init__(self, seed: int = 1, nodes: float = inf, **workload: Any) -> None:
        self.clock = VirtualClock(epoch_s=0.0)
        self.twin = Twin(self.clock, np.random.default_rng(seed), nodes=nodes, custom=(SERVINGS, SCALED_OBJECTS))
        self.key = self.twin.add(Workload(name="web", startup_scv=0.0, **workload))
        self.path = f"/apis/{self.key.resource.replace('/', '/v1/namespaces/models/')}/web"

    def scale(self, replicas: int) -> None:
        body = {"spec": {"replicas": replicas}}
        assert self.twin.transport().send("PATCH", f"{self.path}/scale", body=body, content_type=MERGE).ok

    def pods(self) -> list[Any]:
        listed = self.twin.transport().send("GET", "/api/v1/namespaces/models/pods").body
        return list(listed["items"])

    def counts(self) -> tuple[int, int, int]:
        """Starting, ready, draining."""
        found = count([pod for body in self.pods() if (pod := pod_of(body)) is not None])
        return found.starting, found.ready, found.draining

    def status(self) -> Any:
        return self.twin.transport().send("GET", self.path).body["status"]

    def stuck(self) -> set[str | None]:
        return {pod.why for body in self.pods() if (pod := pod_of(body)) is not None}


def steady(rate_per_s: float) -> dict[str, Any]:
    return {"rate_per_s": lambda _: rate_per_s, "rate_at_most_per_s": rate_per_s}


@pytest.mark.parametrize("kind", ["Deployment", "Serving"])
def test_a_new_pod_is_ready_after_its_start_up(kind: str) -> None:
    world = World(kind=kind, replicas=2, startup_s=60.0)
    assert world.counts() == (0, 2, 0)
    world.clock.wait(10.0)
    world.scale(4)
    world.clock.wait(1.0)
    assert world.counts() == (2, 2, 0)
    world.clock.wait(58.0)
    assert world.counts() == (2, 2, 0)
    world.clock.wait(1.1)
    assert world.counts() == (0, 4, 0)
    assert world.status()["readyReplicas"] == 4


def test_the_start_is_written_into_the_pod_step_by_step() -> None:
    world = World(replicas=0, startup_s=100.0)
    world.scale(1)
    steps = []
    for _ in range(100):
        world.clock.wait(1.1)
        (pod,) = world.pods()
        state = next(iter(pod["status"].get("containerStatuses", [{"state": {"unscheduled": {}}}])[0]["state"]))
        steps.append((pod["status"]["phase"], state))
    assert list(dict.fromkeys(steps)) == [("Pending", "waiting"), ("Running", "running")]


def test_those_that_are_not_ready_go_first() -> None:
    world = World(replicas=3, startup_s=60.0)
    old = {pod["metadata"]["name"] for pod in world.pods()}
    world.scale(5)
    world.clock.wait(10.0)
    world.scale(3)
    world.clock.wait(1.0)
    assert {pod["metadata"]["name"] for pod in world.pods()} == old


def test_a_busy_pod_ends_what_it_serves_and_a_stuck_one_is_killed_after_its_grace() -> None:
    world = World(replicas=1, service_s=20.0, service_scv=0.0, grace_s=30.0, **steady(5.0))
    world.twin.scrape_s = 1e9
    world.clock.wait(3.0)
    world.scale(0)
    world.clock.wait(5.0)
    assert world.counts() == (0, 0, 1)
    world.clock.wait(20.0)
    assert world.counts() == (0, 0, 0)

    slow = World(replicas=1, service_s=500.0, service_scv=0.0, grace_s=30.0, **steady(5.0))
    slow.clock.wait(3.0)
    slow.scale(0)
    slow.clock.wait(29.9)
    assert slow.counts() == (0, 0, 1)
    slow.clock.wait(0.3)
    assert slow.counts() == (0, 0, 0)


@pytest.mark.parametrize("trouble", ["ImagePullBackOff", "CrashLoopBackOff", "Unschedulable"])
def test_trouble_holds_pods_up_until_it_is_over(trouble: Any) -> None:
    world = World(replicas=1, startup_s=20.0)
    world.twin.afflict(world.key, trouble)
    world.scale(3)
    world.clock.wait(60.0)
    assert world.counts() == (2, 1, 0)
    assert world.stuck() == {None, trouble}
    world.twin.afflict(world.key, None)
    world.clock.wait(30.0)
    assert world.counts() == (0, 3, 0)
    assert world.stuck() == {None}


def test_a_full_cluster_takes_no_more_until_there_is_room() -> None:
    world = World(nodes=3, replicas=2, startup_s=10.0)
    world.scale(5)
    world.clock.wait(30.0)
    assert (world.counts(), world.stuck()) == ((2, 3, 0), {None, "Unschedulable"})
    world.twin.nodes = 5
    world.clock.wait(30.0)
    assert world.counts() == (0, 5, 0)


def test_a_stateful_set_starts_one_after_the_other_and_ends_the_last_first() -> None:
    world = World(kind="StatefulSet", replicas=0, startup_s=10.0)
    world.scale(3)
    world.clock.wait(25.0)
    assert [pod["metadata"]["name"] for pod in world.pods()] == ["web-0", "web-1", "web-2"]
    assert world.counts() == (1, 2, 0)
    world.clock.wait(10.0)
    world.scale(1)
    world.clock.wait(5.0)
    assert [pod["metadata"]["name"] for pod in world.pods()] == ["web-0"]


def test_a_target_made_again_begins_with_new_pods() -> None:
    world = World(replicas=2, startup_s=20.0)
    old = {pod["metadata"]["uid"] for pod in world.pods()}
    world.twin.transport().send("DELETE", world.path)
    world.clock.wait(5.0)
    assert world.pods() == []
    world.twin.deploy(Workload(name="web", replicas=2))
    world.clock.wait(5.0)
    assert world.counts() == (2, 0, 0)
    world.clock.wait(20.0)
    assert world.counts() == (0, 2, 0)
    assert old.isdisjoint(pod["metadata"]["uid"] for pod in world.pods())


def test_a_deleted_pod_is_replaced() -> None:
    world = World(replicas=2, startup_s=20.0)
    name = world.pods()[0]["metadata"]["name"]
    assert world.twin.transport().send("DELETE", f"/api/v1/namespaces/models/pods/{name}").ok
    world.clock.wait(60.0)
    assert world.counts() == (0, 2, 0)
    assert name not in {pod["metadata"]["name"] for pod in world.pods()}


def totals(world: World, *names: str) -> dict[str, float]:
    """Sums over the pods that are there."""
    servers = world.twin.loads[world.key].servers.values()
    counters = [one for server in servers for one in server.counters]
    return {name: sum(getattr(one, name) for one in counters) for name in names}


@given(
    st.integers(0, 10_000),
    st.floats(0.5, 8.0),
    st.integers(1, 3),
    st.sampled_from([inf, 2.0]),
    st.sampled_from([inf, 3]),
)
@settings(max_examples=25, deadline=None)
def test_no_request_is_lost_or_invented(seed: int, rate: float, replicas: int, patience_s: float, room: float) -> None:
    world = World(seed, replicas=replicas, slots=2, patience_s=patience_s, queue_at_most=room, **steady(rate))
    world.clock.wait(120.0)
    world.twin.advance(world.clock.true_s())
    queue = world.twin.loads[world.key]
    found = totals(world, "arrived", "started", "completed", "rejected", "abandoned")
    busy = sum(server.busy for server in queue.servers.values())
    assert found["started"] == found["completed"] + busy
    assert found["arrived"] == found["started"] + found["rejected"] + found["abandoned"] + len(queue.waiting)


def test_the_queue_waits_as_erlang_says() -> None:
    world = World(seed=3, replicas=4, service_s=1.0, **steady(3.0))
    world.clock.wait(100_000.0)
    world.twin.advance(world.clock.true_s())
    queue = world.twin.loads[world.key]
    queue.advance(world.clock.true_s())
    waited_s = sum(one.wait.sum_s for server in queue.servers.values() for one in server.counters)
    started = totals(world, "started")["started"]
    assert waited_s / started == pytest.approx(MMC(3.0, 1.0, 4).wait_s, rel=0.05)


def history(seed: int, steps_s: list[float]) -> str:
    """All that is known of a world after ten minutes in which somebody looked now and then."""
    world = World(seed, replicas=3, startup_s=40.0, **steady(4.0))
    world.twin.at(100.0, lambda: world.twin.afflict(world.key, "ImagePullBackOff"))
    for at_s, wanted in ((60.0, 6), (200.0, 8), (330.0, 2)):
        world.clock.later(at_s, lambda wanted=wanted: world.scale(wanted))
    for step_s in steps_s:
        world.clock.wait(step_s)
        world.twin.advance(world.clock.true_s())
    world.clock.wait(600.0 - world.clock.monotonic_s())
    everything = world.twin.transport().send("GET", "/api/v1/namespaces/models/pods").body
    queue = world.twin.loads[world.key]
    queue.advance(world.clock.true_s())
    return json.dumps(everything, sort_keys=True) + exposition(queue, ("generic", "vllm"))


@given(st.lists(st.floats(0.01, 60.0), max_size=9))
@settings(max_examples=15, deadline=None)
def test_a_world_is_the_same_however_often_one_looks(steps_s: list[float]) -> None:
    assert history(5, steps_s) == history(5, [])


def test_another_seed_is_another_world() -> None:
    assert history(5, []) != history(6, [])


def test_counters_begin_anew_when_the_processes_do() -> None:
    world = World(replicas=2, **steady(5.0))
    world.clock.wait(60.0)
    world.twin.advance(world.clock.true_s())
    assert totals(world, "arrived")["arrived"] > 100
    world.twin.reset_counters(world.key)
    assert totals(world, "arrived")["arrived"] == 0


def test_what_comes_while_no_pod_is_ready_is_told_by_the_first_one() -> None:
    world = World(replicas=0, startup_s=50.0, **steady(1.0))
    world.clock.wait(100.0)
    world.scale(1)
    world.clock.wait(60.0)
    world.twin.advance(world.clock.true_s())
    queue = world.twin.loads[world.key]
    queue.advance(world.clock.true_s())
    assert totals(world, "arrived")["arrived"] > 120
    assert [counters.arrived for counters in queue.unseen] == [0]


def test_classes_are_counted_apart_and_wait_in_one_queue() -> None:
    gold, rest = RequestClass({"class": "gold"}, 0.25), RequestClass({"class": "rest"}, 0.75)
    world = World(seed=2, replicas=3, classes=(gold, rest), **steady(2.5))
    world.clock.wait(4000.0)
    found = {}
    for name in ("arrived_total", "wait_seconds_sum", "wait_seconds_count"):
        query = {"query": f"sum by (class) (requests_{name})"}
        result = world.twin.prometheus_transport().send("GET", "/api/v1/query", query).body["data"]["result"]
        found[name] = {one["metric"]["class"]: float(one["value"][1]) for one in result}
    arrived = found["arrived_total"]
    assert arrived["gold"] / (arrived["gold"] + arrived["rest"]) == pytest.approx(0.25, abs=0.02)
    means_s = {name: found["wait_seconds_sum"][name] / found["wait_seconds_count"][name] for name in arrived}
    assert means_s["gold"] == pytest.approx(means_s["rest"], rel=0.1)


def test_the_exporters_of_vllm_speak_its_names() -> None:
    world = World(replicas=1, **steady(1.0))
    world.clock.wait(30.0)
    text = exposition(world.twin.loads[world.key], ("vllm",))
    (pod,) = world.pods()
    labels = f'model_name="model",namespace="models",pod="{pod["metadata"]["name"]}"'
    assert f"vllm:num_requests_running{{{labels}}} " in text
    assert f'vllm:e2e_request_latency_seconds_bucket{{{labels},le="+Inf"}} ' in text


def test_somebody_else_may_own_the_replicas() -> None:
    world = World(replicas=1)
    body = {"metadata": {"name": "web"}, "spec": {"scaleTargetRef": {"name": "web"}}}
    objects = "/apis/keda.sh/v1alpha1/namespaces/models/scaledobjects"
    assert world.twin.transport().send("POST", objects, body=body).status == 201
    (listed,) = world.twin.transport().send("GET", objects).body["items"]
    assert listed["spec"]["scaleTargetRef"]["name"] == "web"


def test_somebody_else_may_scale_and_is_known_by_name() -> None:
    world = World(replicas=1, startup_s=5.0)
    world.twin.meddle(world.key, 3, who="kubectl-scale")
    world.clock.wait(10.0)
    assert world.counts() == (0, 3, 0)
    entries = world.twin.transport().send("GET", world.path).body["metadata"]["managedFields"]
    assert [e["manager"] for e in entries if "f:replicas" in e["fieldsV1"].get("f:spec", {})] == ["kubectl-scale"]


def test_a_place_without_objects_has_no_one_to_look_after() -> None:
    assert World().twin.wanted(Key("apps/deployments", "models", "nobody")) is None
