"""What the cluster has, kept by list and watch through whatever the watch suffers."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from scripted import Hand, Scripted

from live.informer import Informer, Reflector, Selector
from live.kube import KubeApi, Ref, Resource
from live.transport import Answer, LostError
from live.twin import faults
from live.twin.clock import VirtualClock
from live.twin.cluster import Twin
from live.twin.faults import Rule
from live.twin.kinds import Kind
from live.twin.load import Workload

PODS = Resource("v1", "pods", "models")
SERVINGS = Kind("example.org", "v1", "servings", "Serving", True, True, True, True, "status.selector")
MERGE = "application/merge-patch+json"


def thing(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


def listed(*bodies: Any, version: int = 1) -> Answer:
    return Answer(200, {"items": list(bodies), "metadata": {"resourceVersion": str(version)}})


class Watcher:
    """A reflector before a server that does as it is told."""

    def __init__(self, *lists: Answer | LostError) -> None:
        self.lists, self.clock = list(lists), Hand()
        self.script = Scripted(lambda *_: self.lists.pop(0))
        self.reflector = Reflector(KubeApi(self.script), PODS, self.clock)

    def step(self, *events: Any) -> bool:
        self.script.watches.append(events)
        return self.reflector.step()

    @property
    def names(self) -> set[str]:
        return set(self.reflector.objects)


def event(kind: str, body: Any) -> dict[str, Any]:
    return {"type": kind, "object": body}


def test_a_list_and_then_every_change() -> None:
    world = Watcher(listed(thing("a", 1), thing("b", 1)))
    assert world.reflector.step()
    assert world.step(event("ADDED", thing("c", 2)), event("DELETED", thing("a", 3)))
    assert world.names == {"b", "c"}


def test_a_watch_goes_on_from_the_last_event_or_bookmark() -> None:
    world = Watcher(listed(version=5))
    world.reflector.step()
    world.step(event("ADDED", thing("a", 6)), event("BOOKMARK", {"metadata": {"resourceVersion": "40"}}))
    world.step()
    assert [query.get("resourceVersion") for _, _, query, _ in world.script.asked] == [None, "5", "40"]


@pytest.mark.parametrize("code", [410, 504])
def test_a_version_that_is_forgotten_is_a_new_list(code: int) -> None:
    world = Watcher(listed(thing("a", 1), thing("b", 1)), listed(thing("b", 9), version=9))
    world.reflector.step()
    assert world.step(event("ERROR", {"code": code, "reason": "Expired"}))
    assert world.names == {"a", "b"}
    world.reflector.step()
    assert world.names == {"b"}


def test_a_watch_that_is_lost_keeps_what_is_known_and_goes_on_where_it_was() -> None:
    world = Watcher(listed(version=5))
    world.reflector.step()
    assert not world.step(event("ADDED", thing("a", 6)), LostError("reset"))
    assert world.reflector.error == "reset"
    world.step(event("ADDED", thing("b", 7)))
    assert world.names == {"a", "b"}
    assert world.script.asked[-1][2]["resourceVersion"] == "6"


def test_how_long_nothing_was_heard() -> None:
    world = Watcher(listed(), LostError("down"))
    assert world.reflector.age_s() is None
    world.reflector.step()
    world.clock.time_s = 20.0
    world.step(LostError("down"))
    assert world.reflector.age_s() == 20.0
    world.step()  # ended by the server: nothing has happened
    assert world.reflector.age_s() == 0.0


def test_who_does_not_answer_is_asked_less_and_less_often() -> None:
    world = Watcher(*[LostError("down")] * 8)
    pauses = []
    for _ in range(8):
        pauses.append(world.reflector.pause_s)
        world.reflector.step()
    assert pauses == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


LABELS = {"app": "web", "tier": "gold"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("app=web", True),
        ("app==web,tier=gold", True),
        ("app!=web", False),
        ("tier in (gold,silver),app", True),
        ("tier notin (gold, silver)", False),
        ("!old", True),
        ("!app", False),
        ("app=web,old", False),
    ],
)
def test_a_selector_as_scale_subresources_write_it(text: str, matches: bool) -> None:
    assert Selector.of_text(text).matches(LABELS) is matches


def test_a_selector_of_nothing_takes_nothing() -> None:
    assert not Selector(()).matches(LABELS)


@given(
    st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy")),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy")),
)
def test_text_and_spec_of_a_selector_mean_the_same(equal: dict[str, str], labels: dict[str, str]) -> None:
    text = ",".join(f"{k}={v}" for k, v in equal.items())
    assert Selector.of_text(text).matches(labels) == Selector.of_spec({"matchLabels": equal}).matches(labels)


class World:
    """A twin with some workloads, and an informer on them."""

    def __init__(self, *names: str, kind: str = "Deployment", rules: list[Rule] | None = None) -> None:
        self.clock = VirtualClock()
        self.twin = Twin(self.clock, np.random.default_rng(1), custom=(SERVINGS,))
        self.twin.weather.rules = rules or []
        group, plural = ("apps/v1", "deployments") if kind == "Deployment" else ("example.org/v1", "servings")
        self.targets = {f"m/{n}": Ref(Resource(group, plural, "models"), kind, n) for n in names}
        for name in names:
            self.twin.add(Workload(name=name, kind=kind, replicas=2, startup_s=60.0, startup_scv=0.0))
        self.informer = Informer(KubeApi(self.twin.transport()), self.targets, self.clock, 60.0)
        self.informer.step()

    def scale(self, pool: str, replicas: int) -> None:
        path = f"{self.targets[pool].path}/scale"
        assert self.twin.transport().send("PATCH", path, None, {"spec": {"replicas": replicas}}, MERGE).ok

    def told(self, pool: str) -> tuple[int | None, ...]:
        counts = self.informer.counts(pool)
        of_pods = (None,) * 3 if counts is None else (counts.starting, counts.ready, counts.draining)
        return (self.informer.wanted(pool), *of_pods)

    def after(self, seconds: float, pool: str = "m/web") -> tuple[int | None, ...]:
        self.clock.wait(seconds)
        self.informer.step()
        return self.told(pool)


@pytest.mark.parametrize("kind", ["Deployment", "Serving"])
def test_a_pool_is_followed_through_a_start(kind: str) -> None:
    world = World("web", kind=kind)
    assert world.told("m/web") == (2, 0, 2, 0)
    world.scale("m/web", 5)
    assert world.after(5.0) == (5, 3, 2, 0)
    assert world.after(60.0) == (5, 0, 5, 0)


def test_each_pod_is_of_one_pool() -> None:
    world = World("web", "webs", "other")
    world.scale("m/webs", 3)
    assert world.after(100.0, "m/webs") == (3, 0, 3, 0)
    assert world.told("m/web") == (2, 0, 2, 0)
    assert (
        sorted(pool for (pool,) in world.informer.pools_of_pods().values())
        == ["m/other"] * 2 + ["m/web"] * 2 + ["m/webs"] * 3
    )


def test_what_was_not_heard_of_for_too_long_is_unknown() -> None:
    world = World("web", rules=[Rule(faults.Lost(), from_s=10.0, until_s=200.0)])
    seen = [world.after(15.0) for _ in range(20)]
    known = (2, 0, 2, 0)
    # Heard last at 0 s, and again at 210 s; in between it is believed for 60 s.
    assert seen == [known] * 4 + [(None,) * 4] * 9 + [known] * 7
    assert not world.informer.problems


def test_a_target_that_is_deleted_is_unknown_and_comes_back() -> None:
    world = World("web")
    world.twin.transport().send("DELETE", world.targets["m/web"].path)
    assert world.after(40.0) == (None,) * 4
    world.twin.deploy(Workload(name="web", replicas=3, startup_s=60.0, startup_scv=0.0))
    assert world.after(1.0)[0] == 3


def test_a_forgotten_version_is_listed_anew() -> None:
    world = World("web")
    world.scale("m/web", 4)
    world.twin.compact()
    world.after(10.0)  # refused: 410
    assert world.after(100.0) == (4, 0, 4, 0)


def test_a_selector_that_cannot_be_read_again_stays_as_it_was() -> None:
    serving = thing("web", 1) | {"spec": {"replicas": 1}}
    pod = {"metadata": {"name": "p", "labels": {"app": "web"}}, "status": {"phase": "Pending"}}
    scale = Answer(200, {"metadata": {"resourceVersion": "1"}, "status": {"selector": "app=web"}})
    scales = [scale, LostError("down"), LostError("down")]

    def reply(_method: str, path: str, *_: Any) -> Answer | LostError:
        return scales.pop(0) if path.endswith("/scale") else listed(pod if path.endswith("/pods") else serving)

    ref = Ref(Resource("a.b/v1", "servings", "models"), "Serving", "web")
    script = Scripted(reply, [[event("MODIFIED", serving)], []])
    informer = Informer(KubeApi(script), {"m/web": ref}, Hand(), 60.0)
    for _ in range(2):
        informer.step()
        counts = informer.counts("m/web")
        assert counts is not None
        assert counts.starting == 1
    assert len(scales) == 1


def test_pods_whose_selector_was_never_read_are_unknown_and_not_none() -> None:
    def reply(_method: str, path: str, *_: Any) -> Answer | LostError:
        return LostError("down") if path.endswith("/scale") else listed(thing("web", 1))

    ref = Ref(Resource("a.b/v1", "servings", "models"), "Serving", "web")
    script = Scripted(reply)
    informer = Informer(KubeApi(script), {"m/web": ref}, Hand(), 60.0)
    informer.step()
    assert informer.counts("m/web") is None
    assert informer.wanted("m/web") is None
    scale = Answer(200, {"metadata": {"resourceVersion": "1"}, "status": {"selector": "app=web"}})
    script.reply = lambda _method, path, *_: scale if path.endswith("/scale") else listed()
    assert informer.pods("m/web") == ()


def test_what_holds_up_a_start_is_told() -> None:
    world = World("web")
    (key,) = world.twin.loads
    world.twin.afflict(key, "ImagePullBackOff")
    world.scale("m/web", 4)
    world.after(90.0)
    counts = world.informer.counts("m/web")
    assert counts is not None
    assert counts.stuck == {"ImagePullBackOff": 2}


@pytest.mark.parametrize("seed", range(20))
def test_after_any_weather_the_informer_knows_what_is_so(seed: int) -> None:
    draws = np.random.default_rng(seed)
    effects = (faults.Lost(), faults.Cut(1), faults.Gone(), faults.Refused(500), faults.Refused(429))
    rules = [Rule(e, from_s=float(draws.uniform(0, 200)), until_s=300.0, chance=0.5) for e in effects]
    world = World("web", "other", rules=rules)
    for _ in range(20):
        pool = ["m/web", "m/other"][int(draws.integers(2))]
        if draws.random() < 0.5:
            body = {"spec": {"replicas": int(draws.integers(0, 6))}}
            path = f"{world.targets[pool].path}/scale"
            try:
                world.twin.transport().send("PATCH", path, None, body, MERGE)
            except LostError:
                continue
        world.after(15.0)
    world.clock.wait(400.0)
    world.informer.step()
    world.informer.step()
    for pool, key in zip(world.targets, world.twin.loads, strict=True):
        wanted = world.twin.wanted(key)
        assert world.told(pool) == (wanted, 0, wanted, 0)
