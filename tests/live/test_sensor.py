"""What is seen of a real cluster: counters that only grow, unknown that is never zero, and when it was so."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from scripted import Hand, Scripted

from live.config import Config
from live.counters import Distributed, Total
from live.informer import Informer
from live.kube import KubeApi, refs
from live.prometheus import PrometheusApi
from live.replicas import Pod
from live.sensor import PrometheusSensor
from live.transport import Answer, LostError
from live.twin import faults
from live.twin.clock import VirtualClock
from live.twin.cluster import Twin
from live.twin.faults import Rule
from live.twin.load import Workload
from policies.histogram import Histogram
from policies.observation import Flow, PoolReading
from policies.specfile import parse

INF = float("inf")


def config(more: str = "", target: str = "") -> Config:
    return parse(
        Config,
        f"""
cluster: {{ namespace: models }}
prometheus: {{ url: "http://prometheus" }}
journal: {{ path: j }}
targets: [{{ model: m, version: v1, name: web, slots: 2, replicas: {{ at_most: 9 }}, {target} }}]
policy: {{ kind: fcfs, wait_s: 1 }}
{more}""",
    )


@dataclass
class Cluster:
    """Pods of m/v1, as the informer would tell."""

    names: Sequence[str] = ("a", "b")
    phase: Any = "ready"
    ready_since_s: float = 0.0
    known: bool = True

    def wanted(self, pool: str) -> int | None:
        assert pool == "m/v1"
        return len(self.names) if self.known else None

    def pods(self, pool: str) -> Sequence[Pod] | None:
        assert pool == "m/v1"
        return [Pod(n, self.phase, 0.0, self.ready_since_s) for n in self.names] if self.known else None

    def pools_of_pods(self) -> Mapping[str, Sequence[str]]:
        return {name: ["m/v1"] for name in self.names}


@dataclass
class World:
    """A Prometheus whose series a test sets: metric -> pod -> value, all scraped at once."""

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    scraped_s: float = 1_000_000.0
    refuse: Mapping[str, Answer | LostError] = field(default_factory=dict)
    cluster: Cluster = field(default_factory=Cluster)
    clock: Hand = field(default_factory=Hand)
    skew_s: float = 0.0
    """How far Prometheus's clock is ahead of ours."""
    late_s: float = 0.0
    """How long after our look it evaluates a query."""
    old: Mapping[str, float] = field(default_factory=dict)
    """Pod -> how much older than the others its sample is."""

    def sensor(self, **given: str) -> PrometheusSensor:
        self.transport = Scripted(lambda _m, _p, query, _b: self.answer(query["query"]))
        return PrometheusSensor(config(**given), PrometheusApi(self.transport), self.cluster, self.clock)

    def answer(self, expression: str) -> Answer | LostError:
        for part, reply in self.refuse.items():
            if part in expression:
                return reply
        now_s = self.clock.now_s() + self.skew_s + self.late_s
        inner = expression.rpartition("(")[2].partition("{")[0]
        result = []
        for pod, value in self.values.get(inner, {}).items():
            name, _, le = pod.partition("/")
            stamp = self.scraped_s + self.skew_s - self.old.get(name, 0.0)
            shown = stamp if "timestamp(" in expression else value
            labels = {"namespace": "models", "pod": name} | ({"le": le} if le else {})
            result.append({"metric": labels, "value": [now_s, repr(shown)]})
        return Answer(200, {"status": "success", "data": {"resultType": "vector", "result": result}})

    def at(self, time_s: float, **values: dict[str, float]) -> None:
        """Scraped at that time after the beginning, read at once."""
        self.clock.time_s, self.scraped_s = time_s, 1_000_000.0 + time_s
        self.values |= {f"requests_{name}": by for name, by in values.items()}
        self.values["requests_in_service"] = self.values.get("requests_in_service", {"a": 1.0, "b": 1.0})


def reading(sensor: PrometheusSensor) -> PoolReading:
    return sensor.read().pools["m/v1"]


def test_gauges_add_up_and_counters_begin_with_the_daemon() -> None:
    world = World()
    sensor = world.sensor()
    world.at(0, queued={"a": 3, "b": 2}, arrived_total={"a": 1000, "b": 500})
    first = reading(sensor)
    world.at(15, arrived_total={"a": 1004, "b": 503})
    assert (first.total.queued, first.total.arrived_total) == (5.0, 0.0)
    assert reading(sensor).total.arrived_total == 7.0


def test_a_replica_that_goes_takes_nothing_back_and_one_that_restarts_counts_from_zero() -> None:
    world = World()
    sensor = world.sensor()
    world.at(0, arrived_total={"a": 1000, "b": 500})
    reading(sensor)
    world.at(15, arrived_total={"a": 10})  # a restarted and served 10; b is gone
    assert reading(sensor).total.arrived_total == 0.0  # once may be an answer that is late
    world.at(30, arrived_total={"a": 12})
    assert reading(sensor).total.arrived_total == 12.0


def test_servers_that_answer_by_turns_do_not_look_like_restarts() -> None:
    """One has each scrape at once and others are some behind; queries go now to this and now to that."""
    world = World()
    sensor = world.sensor()
    found = []
    for k, behind in enumerate((0, 0, 1, 0, 3, 3, 0)):
        world.at(15.0 * k, arrived_total={"a": 1000 + 10 * (k - behind)})
        found.append(reading(sensor).total.arrived_total)
    assert found == [0.0, 10.0, 10.0, 30.0, 30.0, 30.0, 60.0]


def test_a_restart_that_goes_back_only_a_little_is_believed_later_and_counted_whole() -> None:
    total = Total()
    found = [total.add({("a",): value}) for value in (10.0, 12.0, 7.0, 8.0, 9.0, 10.0, 11.0, 13.0)]
    assert found == [0.0, 2.0, 2.0, 2.0, 2.0, 2.0, 13.0, 15.0]


def test_samples_older_than_those_that_were_read_are_not_read() -> None:
    world = World()
    sensor = world.sensor()
    world.at(30, queued={"a": 1})
    reading(sensor)
    world.clock.time_s, world.scraped_s = 45.0, world.scraped_s - 5.0
    assert (reading(sensor).total, reading(sensor).age_s) == (Flow(), 15.0)
    world.scraped_s += 10.0
    assert reading(sensor).total.queued == 1.0


def test_a_prometheus_whose_clock_was_set_back_is_believed() -> None:
    world = World()
    sensor = world.sensor()
    world.at(30, queued={"a": 1})
    reading(sensor)
    world.skew_s = -3600.0
    world.at(45, queued={"a": 2})
    assert (reading(sensor).total.queued, reading(sensor).age_s) == (2.0, 0.0)


def test_a_new_replica_counts_whole() -> None:
    world = World()
    sensor = world.sensor()
    world.at(0, arrived_total={"a": 10})
    reading(sensor)
    world.cluster.names = ("a", "b", "c")
    world.at(15, arrived_total={"a": 10, "c": 4}, in_service={"a": 1, "b": 1, "c": 1})
    assert reading(sensor).total.arrived_total == 4.0


def test_a_reading_that_prometheus_does_not_have_is_unknown_not_zero() -> None:
    world = World()
    sensor = world.sensor()
    world.at(0, queued={"a": 0})
    flow = reading(sensor).total
    assert flow.queued == 0.0
    assert flow.failed_total is None
    assert flow.wait_s is None


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Answer(400, {"status": "error", "error": "parse error"}), "400: parse error"),
        (Answer(503, "upstream down"), "503: not an answer of Prometheus: 'upstream down'"),
        (Answer(200, '{"status":"succ'), "200: not an answer of Prometheus"),
        (Answer(200, {"status": "success", "warnings": ["one store is down"], "data": {}}), "partial answer"),
        (Answer(200, {"status": "success", "data": {"resultType": "matrix", "result": []}}), "not an instant vector"),
    ],
)
def test_a_query_that_fails_makes_one_reading_unknown_and_says_why(reply: Answer, told: str) -> None:
    world = World(refuse={"requests_queued": reply})
    sensor = world.sensor()
    world.at(0, queued={"a": 3}, arrived_total={"a": 3})
    flow = reading(sensor).total
    assert (flow.queued, flow.arrived_total) == (None, 0.0)
    assert told in sensor.problems["queued"]


def test_nan_is_unknown() -> None:
    world = World()
    sensor = world.sensor()
    world.at(0, queued={"a": float("nan"), "b": float("nan")})
    assert reading(sensor).total.queued is None


def test_a_prometheus_that_does_not_answer_is_asked_once_a_tick_and_all_is_unknown_with_an_age() -> None:
    world = World()
    sensor = world.sensor()
    world.at(0, queued={"a": 3})
    reading(sensor)
    world.clock.time_s, world.refuse = 40.0, {"requests": LostError("connection refused")}
    world.transport.asked.clear()
    lost = reading(sensor)
    assert (lost.total, lost.age_s, lost.wanted) == (Flow(), 40.0, 2)
    assert len(world.transport.asked) == 1


def test_nothing_ever_read_has_no_age() -> None:
    world = World(refuse={"requests": LostError("no route")})
    assert reading(world.sensor()).age_s is None


def test_an_old_sample_is_shown_with_its_age_and_taken_for_unknown_beyond_the_limit() -> None:
    world = World()
    sensor = world.sensor()
    world.at(0, queued={"a": 3})
    ages = []
    for time_s in (0.0, 15.0, 60.0, 61.0):
        world.clock.time_s = time_s
        seen = reading(sensor)
        ages.append((seen.age_s, seen.total.queued))
    assert ages == [(0.0, 3.0), (15.0, 3.0), (60.0, 3.0), (61.0, None)]


def test_the_age_is_by_the_clock_of_prometheus_and_not_by_the_difference_to_ours() -> None:
    world = World(skew_s=-3600.0)
    sensor = world.sensor()
    world.at(10, queued={"a": 1})
    world.clock.time_s = 15.0
    assert reading(sensor).age_s == 5.0


def test_one_sample_keeps_its_moment_however_often_it_is_read() -> None:
    world = World()
    sensor = world.sensor()
    world.at(0, queued={"a": 1})
    taken = set()
    for time_s in (0.1, 15.3, 30.77):
        world.clock.time_s, world.late_s = time_s, world.late_s + 0.02
        seen = sensor.read()
        age_s = seen.pools["m/v1"].age_s
        assert age_s is not None
        taken.add(seen.time_s - age_s)
    assert len(taken) == 1


def test_the_oldest_sample_dates_a_reading_but_that_of_a_replica_that_leaves() -> None:
    world = World(old={"b": 40.0})
    sensor = world.sensor()
    world.at(100, queued={"a": 1})
    assert reading(sensor).age_s == 40.0
    leaving = Pod("b", "draining")
    world.cluster.pods = lambda _: [Pod("a", "ready", 0.0, 0.0), leaving]  # type: ignore[method-assign]
    assert reading(sensor).age_s == 0.0


def test_a_clock_set_back_a_little_does_not_turn_time_back_for_a_policy() -> None:
    world = World()
    sensor = world.sensor()
    times = []
    for time_s, wall_s in ((0.0, 1e6), (15.0, 1e6 - 500.0), (30.0, 1e6 - 500.0), (45.0, 1e6 + 100.0)):
        world.clock.time_s, world.clock.wall_s = time_s, wall_s
        times.append(sensor.read().time_s - 1e6)
    assert times == [0.0, 15.0, 30.0, 145.0]


def test_a_clock_set_back_far_is_believed_lest_a_schedule_is_kept_at_wrong_hours_for_ever() -> None:
    world = World()
    sensor = world.sensor()
    times = []
    for time_s, wall_s in ((0.0, 1e6), (15.0, 1e6 + 3600.0), (30.0, 1e6 + 3600.0), (45.0, 1e6)):
        world.clock.time_s, world.clock.wall_s = time_s, wall_s
        times.append(sensor.read().time_s - 1e6)
    assert times == [0.0, 3615.0, 3630.0, 45.0]


def test_a_replica_is_as_old_as_it_is_though_the_clock_was_set_back() -> None:
    world = World()
    sensor = world.sensor()
    sensor.read()
    world.clock.time_s, world.clock.wall_s = 30.0, 1e6 - 500.0
    world.cluster.ready_since_s = world.clock.now_s() - 10.0
    seen = sensor.read()
    (replica, *_) = seen.pools["m/v1"].replicas or ()
    assert replica.ready_since_s == seen.time_s - 10.0
    assert sensor.problems == {}


def test_a_ready_replica_that_tells_nothing_makes_the_others_no_whole() -> None:
    world = World()
    sensor = world.sensor()
    world.at(100, queued={"a": 1}, in_service={"a": 1})
    world.cluster.ready_since_s = world.clock.now_s() - 10.0
    assert reading(sensor).total.queued == 1.0  # b is new, and not scraped yet
    world.cluster.ready_since_s = world.clock.now_s() - 100.0
    assert reading(sensor).total == Flow()
    assert sensor.problems["m/v1"] == "no metrics of b, which is ready"


def test_replicas_are_unknown_where_the_cluster_is() -> None:
    world = World(cluster=Cluster(known=False))
    sensor = world.sensor()
    world.at(0, queued={"a": 1})
    seen = reading(sensor)
    assert (seen.wanted, seen.ready, seen.starting, seen.replicas) == (None, None, None, None)


def test_the_utilization_of_a_replica_is_what_it_serves_by_its_slots() -> None:
    world = World()
    sensor = world.sensor()
    world.at(0, in_service={"a": 1, "b": 2})
    replicas = reading(sensor).replicas
    assert replicas is not None
    assert [r.utilization for r in replicas] == [0.5, 1.0]


def test_what_has_arrived_is_what_ended_and_what_is_there_and_does_not_fall() -> None:
    world = World(cluster=Cluster(("a",)))
    sensor = world.sensor(more="queries: { override: { arrived_total: '= completed_total + in_service + queued' } }")
    found = []
    # One of two waiting is served, then another gives up.
    for time_s, done, queued in ((0, 10, 2), (15, 11, 1), (30, 11, 0)):
        world.at(time_s, completed_total={"a": done}, queued={"a": queued}, in_service={"a": 1})
        found.append(reading(sensor).total.arrived_total)
    assert found == [3.0, 3.0, 3.0]


def test_a_histogram_is_of_all_replicas_since_the_daemon_began() -> None:
    world = World()
    sensor = world.sensor()
    for time_s, a, b in ((0, (5, 8), (1, 1)), (15, (7, 11), (1, 2))):
        buckets = {"a/1": a[0], "a/+Inf": a[1], "b/1.0": b[0], "b/+Inf": b[1]}
        world.at(time_s, wait_seconds_bucket=buckets, wait_seconds_sum={"a": float(a[1]), "b": float(b[1])})
        found = reading(sensor).total.wait_s
    assert found == Histogram((1.0,), (2.0, 4.0), 4.0)


def test_a_class_has_its_own_flow() -> None:
    world = World()
    sensor = world.sensor(target="classes: { gold: { labels: { pod: a } } }")
    world.at(0, queued={"a": 3, "b": 2})
    seen = reading(sensor)
    assert seen.total.queued == 5.0
    assert set(seen.classes) == {"gold"}


values = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 50)), max_size=12)


@given(values)
def test_a_total_never_falls(seen: list[dict[str, int]]) -> None:
    total = Total()
    found = [total.add({(name,): float(v) for name, v in each.items()}) for each in seen]
    assert found == sorted(found)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5)), max_size=30))
def test_a_total_over_sources_that_come_and_go_is_all_that_happened(steps: list[tuple[int, int]]) -> None:
    """Each step one source counts on; the third goes at every seventh and begins anew."""
    total, counts, happened = Total(), dict.fromkeys("abc", 0), 0
    total.add({(name,): 0.0 for name in counts})
    for k, (who, more) in enumerate(steps):
        if k % 7 == 6:
            counts["c"] = 0
            for _ in range(2):  # what went back so far is believed at the second look
                total.add({(name,): float(v) for name, v in counts.items()})
        counts["abc"[who]] += more
        happened += more
        found = total.add({(name,): float(v) for name, v in counts.items()})
        assert found == happened


@given(st.lists(st.dictionaries(st.sampled_from("ab"), st.tuples(st.integers(0, 9), st.integers(0, 9))), max_size=12))
def test_a_histogram_over_sources_stays_cumulative_and_only_grows(seen: list[dict[str, tuple[int, int]]]) -> None:
    kept = Distributed(1.0)
    before: Histogram | None = None
    for each in seen:
        buckets = {(n,): ((1.0, INF), (float(low), float(low + high))) for n, (low, high) in each.items()}
        now = kept.add(buckets, {(n,): float(low + 3 * high) for n, (low, high) in each.items()})
        if now is None:
            continue
        assert now.counts[0] <= now.counts[1]
        assert before is None or all(x <= y for x, y in zip(before.counts, now.counts, strict=True))
        before = now


def test_bounds_that_change_begin_a_histogram_anew_with_those_that_all_have() -> None:
    kept = Distributed(0.001)
    few, many = (100.0, INF), (50.0, 100.0, INF)
    kept.add({("a",): (few, (1.0, 2.0))}, {("a",): 500.0})
    kept.add({("a",): (few, (2.0, 4.0))}, {("a",): 900.0})
    mixed = {("a",): (few, (2.0, 5.0)), ("b",): (many, (1.0, 2.0, 3.0))}
    assert kept.add(mixed, {("a",): 1000.0, ("b",): 500.0}) == Histogram((0.1,), (3.0, 6.0), 1.0)
    assert kept.add({("b",): (many, (1.0, 2.0, 3.0))}, {("b",): 1.0}) == Histogram((0.05, 0.1), (0.0,) * 3, 0.0)


def twin_world(rules: Sequence[Rule] = ()) -> tuple[VirtualClock, Twin, PrometheusSensor, Informer, Any]:
    clock = VirtualClock()
    twin = Twin(clock, np.random.default_rng(5))
    twin.queries.rules = list(rules)
    load = {"rate_per_s": lambda _: 2.0, "rate_at_most_per_s": 2.0, "service_s": 1.0}
    key = twin.add(Workload(name="web", replicas=4, startup_s=20.0, **load))
    kube = KubeApi(twin.transport())
    informer = Informer(kube, refs(config(), kube), clock, 60.0)
    return (
        clock,
        twin,
        PrometheusSensor(config(), PrometheusApi(twin.prometheus_transport()), informer, clock),
        informer,
        key,
    )


def watch(clock: VirtualClock, sensor: PrometheusSensor, informer: Informer, ticks: int) -> list[PoolReading]:
    seen = []
    for _ in range(ticks):
        informer.step()
        seen.append(reading(sensor))
        clock.wait(15.0)
    return seen


def test_arrivals_seen_are_those_that_came_though_replicas_come_and_go() -> None:
    clock, twin, sensor, informer, _ = twin_world()
    path = "/apis/apps/v1/namespaces/models/deployments/web/scale"
    for k in range(8):
        body = {"spec": {"replicas": 3 + k % 4}}
        twin.at(
            60.0 * (k + 1),
            lambda body=body: twin.transport().send("PATCH", path, None, body, "application/merge-patch+json"),
        )
    seen = watch(clock, sensor, informer, 60)
    arrived = [r.total.arrived_total for r in seen if r.total.arrived_total is not None]
    assert arrived == sorted(arrived)
    # 2 a second for 15 minutes, to within four standard deviations; a plain sum would have lost thousands.
    assert abs(arrived[-1] - 2.0 * 59 * 15.0) < 4 * (2.0 * 59 * 15.0) ** 0.5


@pytest.mark.parametrize(
    "effect", [faults.Lost(), faults.Emptied(), faults.NotNumbers(), faults.Truncated(), faults.Failed(status=503)]
)
def test_in_bad_weather_what_is_known_is_right_and_what_is_not_is_none(effect: Any) -> None:
    clock, _, sensor, informer, _ = twin_world([Rule(effect, from_s=100.0, until_s=300.0)])
    seen = watch(clock, sensor, informer, 40)
    during = [r for k, r in enumerate(seen) if 100.0 <= 15.0 * k < 300.0]
    assert all(r.total == Flow() for r in during)
    assert all(r.age_s is not None and r.age_s >= 0.0 for r in during)
    arrived = [r.total.arrived_total for r in seen if r.total.arrived_total is not None]
    assert len(arrived) == len(seen) - len(during) - 1  # the first scrape comes after the first look
    assert arrived == sorted(arrived)
