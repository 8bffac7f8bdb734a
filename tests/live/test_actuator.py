"""What is written to the cluster, and above all what is not."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from live.actuator import KubeActuator, RecommendingActuator, ShadowActuator, World, actuator, decides_by_metrics
from live.config import Bounds, Cluster, Config, JournalSpec, Prometheus, Target
from live.kube import KubeApi, Ref, Resource
from live.twin import faults
from live.twin.api import FakeApi
from live.twin.clock import VirtualClock
from live.twin.faults import Effect, Rule, Weather
from live.twin.front import DirectTransport, Front
from live.twin.kinds import NAMESPACES
from live.twin.objects import Writer
from policies.decision import Decision, Reason
from policies.fcfs import FcfsSpec
from policies.fixed import FixedSpec
from policies.loop import Action
from policies.observation import Observation, PoolReading

WEB = Ref(Resource("apps/v1", "deployments", "models"), "Deployment", "web")
CONFIG = Config(
    cluster=Cluster(namespace="models"),
    prometheus=Prometheus(url="http://p"),
    journal=JournalSpec(path="j"),
    mode="active",
    targets=(Target(model="m", version="v1", name="web", replicas=Bounds(at_least=1, at_most=9)),),
    policy=FcfsSpec(wait_s=1.0),
)


def deployment(replicas: int) -> dict[str, Any]:
    pod = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": pod}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


@dataclass
class Ground:
    """A fake API with one Deployment, and an actuator on it."""

    rules: list[Rule] = field(default_factory=list)
    shown: int | None = 3
    age_s: float | None = 5.0
    held: Callable[[], bool] = lambda: True
    foreign: dict[str, str] = field(default_factory=dict)
    turn_s: float = 0.0
    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.api = FakeApi(self.clock.now_s)
        self.api.objects.create(NAMESPACES, "", {"metadata": {"name": "models"}}, Writer())
        self.calm = KubeApi(DirectTransport(Front(self.api, self.clock)))
        self.calm.create(WEB.resource, deployment(3))
        self.kube = KubeApi(DirectTransport(Front(self.api, self.clock, Weather(self.rules))))

    def actuator(self, config: Config = CONFIG, dry_run: bool = False) -> Any:
        world = World(self.observation, self.held, self.foreign.get, self.since_s)
        return actuator(config, self.kube, {"m/v1": WEB}, world, self.clock, dry_run)

    def since_s(self) -> float:
        return self.turn_s + self.clock.monotonic_s()

    def observation(self) -> Observation:
        return Observation(0.0, {"m/v1": PoolReading(wanted=self.shown, age_s=self.age_s)})

    @property
    def wanted(self) -> int:
        return self.calm.scale(WEB).wanted

    def events(self) -> list[Any]:
        return self.calm.list(Resource("v1", "events", "models"))[0]

    def strike(self, effect: Effect, verb: str = "patch", times: float = 1) -> None:
        self.rules.append(Rule(effect, verbs=(verb,), path="/scale", times=times))


def want(replicas: int) -> Decision:
    return Decision({"m/v1": Reason(replicas, "as told")})


def test_a_target_that_differs_is_written_and_told_as_an_event() -> None:
    ground = Ground()
    assert ground.actuator().apply(want(5)) == {"m/v1": Action(3, 5)}
    assert ground.wanted == 5
    (event,) = ground.events()
    assert (event["reason"], event["message"]) == ("ScaledUp", "3 -> 5 replicas: wish 5: as told")
    assert event["involvedObject"]["name"] == "web"


def test_a_reading_that_grows_too_old_while_the_api_is_slow_shrinks_nothing() -> None:
    ground = Ground(age_s=55.0)
    ground.strike(faults.Slow(8.0), verb="get")
    refusal = "not shrunk: its metrics are unknown or too old"
    assert ground.actuator().apply(want(2)) == {"m/v1": Action(3, 3, refusal)}
    assert ground.wanted == 3


def test_what_was_written_last_and_is_not_shown_yet_is_not_shrunk_upon_old_readings_either() -> None:
    ground = Ground()
    hand = ground.actuator()
    hand.apply(want(7))
    ground.age_s = 61.0
    # Three are shown still, so five would seem to grow it.
    assert hand.apply(want(5))["m/v1"].error == "not shrunk: its metrics are unknown or too old"
    assert ground.wanted == 7


def test_a_target_that_is_so_already_costs_no_call() -> None:
    ground = Ground(rules=[Rule(faults.Lost())])
    assert ground.actuator().apply(want(3)) == {}


@pytest.mark.parametrize(
    ("given", "replicas", "why"),
    [
        ({"held": lambda: False}, 5, "the lease is not held"),
        ({"shown": None}, 5, "replicas wanted are unknown"),
        ({"age_s": None}, 2, "not shrunk: its metrics are unknown or too old"),
        ({"age_s": 50.0, "turn_s": 11.0}, 2, "not shrunk: its metrics are unknown or too old"),
        ({"age_s": 61.0}, 2, "not shrunk: its metrics are unknown or too old"),
        (
            {"foreign": {"m/v1": "scaled by HorizontalPodAutoscaler models/web"}},
            5,
            "scaled by HorizontalPodAutoscaler models/web",
        ),
        ({}, 10, "10 is outside 1..9"),
        ({}, 0, "0 is outside 1..9"),
        ({"shown": 4}, 5, "changed to 3 since 4 was read"),
    ],
)
def test_what_is_not_certain_is_not_written(given: dict[str, Any], replicas: int, why: str) -> None:
    ground = Ground(**given)
    action = ground.actuator().apply(want(replicas))["m/v1"]
    assert action.error is not None
    assert action.error.startswith(why)
    assert action.before == action.after
    assert (ground.wanted, ground.events()) == (3, [])


def test_a_pool_grows_though_its_metrics_are_old() -> None:
    ground = Ground(age_s=None)
    ground.actuator().apply(want(4))
    assert ground.wanted == 4


def test_a_policy_that_reads_no_metrics_may_shrink_without_them() -> None:
    ground = Ground(age_s=None)
    spec = FixedSpec(replicas={"v1": 2})
    assert not decides_by_metrics(spec.build(CONFIG.pools).readings)
    config = Config(**{**CONFIG.__dict__, "policy": spec})
    ground.actuator(config).apply(want(2))
    assert ground.wanted == 2


def test_the_lease_is_looked_at_again_after_the_count_was_read() -> None:
    answers = iter([True, False])
    ground = Ground(held=lambda: next(answers))
    assert ground.actuator().apply(want(5))["m/v1"].error == "the lease is not held"
    assert ground.wanted == 3


def test_a_conflict_that_does_not_concern_the_replicas_is_written_on() -> None:
    ground = Ground()
    ground.strike(faults.Refused(409), times=2)
    assert ground.actuator().apply(want(5)) == {"m/v1": Action(3, 5)}
    assert ground.wanted == 5


def test_a_storm_of_conflicts_ends_with_the_tick() -> None:
    ground = Ground()
    ground.strike(faults.Refused(409), times=99)
    error = ground.actuator().apply(want(5))["m/v1"].error
    assert error == "the object changed at each of 3 attempts; decided anew at the next tick"


def test_a_write_whose_answer_was_lost_is_read_and_not_sent_again() -> None:
    done, undone = Ground(), Ground()
    done.strike(faults.Lost(done=True), times=99)
    undone.strike(faults.Lost(done=False), times=1)
    assert done.actuator().apply(want(5)) == {"m/v1": Action(3, 5)}
    action = undone.actuator().apply(want(5))["m/v1"]
    assert action.error is not None
    assert "lost on the way" in action.error
    assert undone.wanted == 3


def test_a_server_that_asks_to_wait_is_left_alone_so_long() -> None:
    ground = Ground()
    ground.strike(faults.Refused(429, retry_after_s=20), times=1)
    hand = ground.actuator()
    assert "429" in (hand.apply(want(5))["m/v1"].error or "")
    ground.clock.wait(15.0)
    assert hand.apply(want(5))["m/v1"].error == "the API asked to wait 5 s more"
    ground.clock.wait(5.1)
    assert hand.apply(want(5)) == {"m/v1": Action(3, 5)}


@pytest.mark.parametrize("status", [403, 422, 500])
def test_a_refusal_is_told_in_the_servers_words_and_ends_nothing_else(status: int) -> None:
    ground = Ground()
    ground.strike(faults.Refused(status), times=1)
    error = ground.actuator().apply(want(5))["m/v1"].error
    assert error is not None
    assert error.startswith(str(status))


def test_after_one_lost_call_the_others_of_the_tick_are_not_tried() -> None:
    ground = Ground(rules=[Rule(faults.Lost())])
    hand = ground.actuator()
    hand.targets, hand.pools = {"m/v1": WEB, "m/v2": WEB}, {"m/v1": CONFIG.pools["m/v1"], "m/v2": CONFIG.pools["m/v1"]}
    hand.world = World(
        lambda: Observation(0.0, dict.fromkeys(("m/v1", "m/v2"), PoolReading(wanted=3, age_s=1.0))),
        lambda: True,
        lambda _: None,
    )
    actions = hand.apply(Decision(dict.fromkeys(("m/v1", "m/v2"), Reason(5, "as told"))))
    assert actions["m/v1"].after is None
    assert actions["m/v2"].error == "not tried: the API does not answer"


def test_its_own_last_write_is_no_change_by_another_though_the_watch_lags() -> None:
    ground = Ground()
    hand = ground.actuator()
    hand.apply(want(5))
    assert hand.apply(want(6)) == {"m/v1": Action(3, 6)}  # still shown 3
    assert ground.wanted == 6


def test_a_dry_run_asks_the_server_and_changes_nothing() -> None:
    ground = Ground()
    assert ground.actuator(dry_run=True).apply(want(5)) == {"m/v1": Action(3, 3, "dry run")}
    assert (ground.wanted, ground.events()) == (3, [])


def test_an_event_that_cannot_be_written_is_a_problem_and_no_fault() -> None:
    ground = Ground(rules=[Rule(faults.Refused(403), path="/events")])
    hand = ground.actuator()
    assert hand.apply(want(5)) == {"m/v1": Action(3, 5)}
    assert "events" in hand.problems


def in_mode(mode: str, **more: str) -> Config:
    return Config(**{**CONFIG.__dict__, "mode": mode, **more})


def test_shadow_and_metrics_write_nothing() -> None:
    ground = Ground(rules=[Rule(faults.Lost())])
    for config in (in_mode("shadow"), in_mode("recommend")):
        hand = ground.actuator(config)
        assert isinstance(hand, ShadowActuator)
        assert hand.apply(want(5)) == {}


def test_a_recommendation_is_an_annotation_written_when_it_changes() -> None:
    ground = Ground()
    hand = ground.actuator(in_mode("recommend", recommend="annotation"))
    assert isinstance(hand, RecommendingActuator)
    for replicas in (5, 5, 6):
        assert hand.apply(want(replicas)) == {}
    annotations = ground.calm.get(WEB.path)["metadata"]["annotations"]
    assert annotations["poolwright/recommended-replicas"] == "6"
    assert ground.wanted == 3


def test_the_actuator_of_the_active_mode_writes() -> None:
    assert isinstance(Ground().actuator(), KubeActuator)
