"""Faults between a client and the twin: each does what it says, over HTTP too, and a storm ends when it should."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from live.connect import HttpTransport
from live.transport import Answer, LostError, Transport
from live.twin import faults
from live.twin.clock import FastClock, VirtualClock
from live.twin.cluster import Twin
from live.twin.faults import Rule, Weather, drought, storm
from live.twin.load import Workload
from live.twin.server import served

WEB = "/apis/apps/v1/namespaces/models/deployments/web"
MERGE = "application/merge-patch+json"


def twin(*rules: Rule, queries: tuple[Rule, ...] = (), clock: Any = None) -> Twin:
    made = Twin(clock or VirtualClock(), weather=Weather(rules), queries=Weather(queries))
    made.add(Workload(name="web", replicas=3))
    return made


def scaled(server: Transport, replicas: int, timeout_s: float = 10.0) -> Answer:
    return server.send(
        "PATCH", f"{WEB}/scale", body={"spec": {"replicas": replicas}}, content_type=MERGE, timeout_s=timeout_s
    )


def replicas(world: Twin) -> int | None:
    (key,) = world.loads
    return world.wanted(key)


def test_a_refusal_does_nothing_and_says_when_to_come_again() -> None:
    world = twin(Rule(faults.TOO_MANY, verbs=("patch",), times=1))
    answer = scaled(world.transport(), 5)
    assert (answer.status, answer.headers["retry-after"], replicas(world)) == (429, "1", 3)
    assert scaled(world.transport(), 5).ok
    assert replicas(world) == 5


@pytest.mark.parametrize(("done", "left"), [(False, 3), (True, 5)])
def test_a_lost_answer_may_have_done_its_work(done: bool, left: int) -> None:
    world = twin(Rule(faults.Lost(done), verbs=("patch",)))
    with pytest.raises(LostError):
        scaled(world.transport(), 5)
    assert replicas(world) == left


def test_what_is_slow_takes_its_time() -> None:
    clock = VirtualClock()
    world = twin(Rule(faults.Slow(3.0), verbs=("patch",)), clock=clock)
    assert scaled(world.transport(), 5).ok
    assert clock.monotonic_s() == 3.0


def test_what_is_too_slow_is_done_when_nobody_waits_for_it_any_more() -> None:
    clock = VirtualClock()
    world = twin(Rule(faults.Slow(20.0), verbs=("patch",)), clock=clock)
    with pytest.raises(LostError, match="timed out after 10 s"):
        scaled(world.transport(), 5)
    assert (clock.monotonic_s(), replicas(world)) == (10.0, 3)
    clock.wait(10.0)
    assert replicas(world) == 5


def test_a_watch_is_cut_and_a_version_gone() -> None:
    cut = faults.Cut(after=1)
    world = twin(Rule(cut, verbs=("watch",), times=1), Rule(faults.Gone(), verbs=("watch",), times=1))
    pods = world.transport().stream("/api/v1/namespaces/models/pods")
    assert next(pods)["type"] == "ADDED"
    with pytest.raises(LostError):
        list(pods)
    (event,) = world.transport().stream("/api/v1/namespaces/models/pods")
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert len(list(world.transport().stream("/api/v1/namespaces/models/pods"))) == 3


def test_a_watch_is_refused_in_a_status_whatever_the_server_said() -> None:
    world = twin(Rule(faults.TOO_MANY, verbs=("watch",)))
    (event,) = world.transport().stream("/api/v1/namespaces/models/pods")
    assert (event["type"], event["object"]["kind"], event["object"]["code"]) == ("ERROR", "Status", 429)


def test_a_stale_list_is_the_list_of_then() -> None:
    world = twin(Rule(faults.Stale(1), verbs=("list", "get"), times=2))
    scaled(world.transport(), 5)
    version = world.api.store.version
    stale = world.transport().send("GET", "/apis/apps/v1/namespaces/models/deployments").body
    assert stale["items"][0]["spec"]["replicas"] == 3
    assert stale["metadata"]["resourceVersion"] == str(version - 1)
    assert world.transport().send("GET", WEB).body["spec"]["replicas"] == 3
    assert world.transport().send("GET", WEB).body["spec"]["replicas"] == 5


def asked(effect: faults.Effect) -> Answer:
    clock = VirtualClock()
    world = twin(queries=(Rule(effect),), clock=clock)
    clock.wait(100.0)
    return world.prometheus_transport().send("GET", "/api/v1/query", {"query": "requests_queued"})


def test_queries_go_wrong_in_all_their_ways() -> None:
    assert asked(faults.Emptied()).body["data"]["result"] == []
    assert {s["value"][1] for s in asked(faults.NotNumbers()).body["data"]["result"]} == {"NaN"}
    partial = asked(faults.Partial()).body
    assert (len(partial["data"]["result"]), partial["warnings"]) == (2, ["fetching series: store was not reachable"])
    failed = asked(faults.Failed())
    assert (failed.status, failed.body["status"], failed.body["errorType"]) == (200, "error", "execution")
    assert isinstance(asked(faults.Truncated()).body, str)
    assert asked(faults.Refused(503)).status == 503


def test_old_samples_are_told_with_their_age() -> None:
    clock = VirtualClock(epoch_s=0.0)
    world = twin(queries=(Rule(faults.Old(60.0), path="timestamp", until_s=200.0),), clock=clock)
    ages_s = []
    for _ in range(2):
        clock.wait(100.0)
        answer = world.prometheus_transport().send("GET", "/api/v1/query", {"query": "min(timestamp(requests_queued))"})
        ages_s.append(clock.now_s() - float(answer.body["data"]["result"][0]["value"][1]))
    assert 60.0 <= ages_s[0] <= 75.0
    assert 0.0 <= ages_s[1] <= 15.0


def test_no_scrape_leaves_what_was_there_for_five_minutes() -> None:
    clock = VirtualClock()
    world = twin(clock=clock)
    clock.wait(20.0)
    world.advance(clock.true_s())
    world.scraping = False
    found = []
    for _ in range(2):
        clock.wait(200.0)
        answer = world.prometheus_transport().send("GET", "/api/v1/query", {"query": "count(requests_queued)"})
        found.append(len(answer.body["data"]["result"]))
    assert found == [1, 0]


def test_a_rule_strikes_where_and_when_it_says() -> None:
    weather = Weather([Rule(faults.Lost(), 10.0, 20.0, ("patch",), "scale$", times=1)])
    assert weather.strike("patch", "/x/scale", 9.9) is None
    assert weather.strike("get", "/x/scale", 10.0) is None
    assert weather.strike("patch", "/x", 10.0) is None
    assert weather.strike("patch", "/x/scale", 10.0) == faults.Lost()
    assert weather.strike("patch", "/x/scale", 11.0) is None


@pytest.mark.parametrize("make", [storm, drought])
def test_a_storm_is_made_by_its_seed_and_over_in_time(make: Any) -> None:
    rules = make(np.random.default_rng(7), 600.0)
    assert rules == make(np.random.default_rng(7), 600.0)
    assert rules != make(np.random.default_rng(8), 600.0)
    assert all(0.0 <= rule.from_s <= rule.until_s <= 600.0 for rule in rules)


@contextmanager
def over_http(*rules: Rule, speed: float = 1.0) -> Iterator[tuple[Twin, HttpTransport]]:
    world = twin(*rules, clock=FastClock(speed))
    with served(world.kubernetes) as server:
        transport = HttpTransport(server.url)
        yield world, transport
        transport.pool.clear()


def test_over_http_answers_are_refused_lost_and_cut_alike() -> None:
    rules = (
        Rule(faults.TOO_MANY, verbs=("patch",), times=1),
        Rule(faults.Lost(done=True), verbs=("patch",), times=1),
        Rule(faults.Truncated(), verbs=("get",), times=1),
        Rule(faults.Cut(1), verbs=("watch",), times=1),
    )
    with over_http(*rules) as (world, server):
        answer = scaled(server, 4)
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        with pytest.raises(LostError):
            scaled(server, 5)
        assert replicas(world) == 5
        assert isinstance(server.send("GET", WEB).body, str)
        with pytest.raises(LostError):
            list(server.stream("/api/v1/namespaces/models/pods", {"watch": "true"}))


def test_over_http_a_client_that_waits_too_short_is_served_in_vain() -> None:
    with over_http(Rule(faults.Slow(0.5), verbs=("patch",), times=1)) as (world, server):
        with pytest.raises(LostError):
            scaled(server, 5, timeout_s=0.1)
        until_s = time.monotonic() + 10.0
        while replicas(world) != 5:
            assert time.monotonic() < until_s
            time.sleep(0.02)


def test_over_http_a_watch_hears_of_changes_while_it_lasts() -> None:
    with over_http(speed=20.0) as (_, server):
        watch = server.stream("/api/v1/namespaces/models/pods", {"watch": "true", "timeoutSeconds": "600"})
        assert [next(watch)["type"] for _ in range(3)] == ["ADDED"] * 3
        assert scaled(server, 4).ok
        event = next(watch)
        assert (event["type"], event["object"]["status"]["phase"]) == ("ADDED", "Pending")
        while not any(
            c["type"] == "Ready" and c["status"] == "True" for c in event["object"]["status"].get("conditions", ())
        ):
            event = next(watch)
        watch.close()  # type: ignore[attr-defined]
