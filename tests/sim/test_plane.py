"""The compiled plane is the reference engine, request by request and count by count."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.schedule import ScheduleSpec, Step
from sim import arena, kernel, layout, world
from sim.arrivals import Poisson, Times
from sim.cluster import Harvest, Requests
from sim.layout import UncompiledError
from sim.requests import Workload
from sim.scenario import (
    Control,
    Failures,
    Mcq,
    Model,
    Replicas,
    RequestClass,
    Scenario,
    Shift,
    Slo,
    Sticky,
    Version,
    Weighted,
)
from sim.service import Constant, Exponential
from sim.world import World

HORIZON_S = 40.0

whole_s = st.integers(0, 30).map(float)
moments = st.lists(whole_s | st.floats(0, 30), min_size=1, max_size=40).map(sorted)
constant = st.sampled_from([0.0, 1.0, 2.0, 5.0]).map(lambda s: Constant(value_s=s))
exponential = st.sampled_from([0.5, 2.0]).map(lambda s: Exponential(mean_s=s))


@st.composite
def versions(draw: st.DrawFn, name: str, may_fail: bool, limited: bool) -> Version:
    failures = st.builds(
        Failures,
        every=st.sampled_from([3.0, 7.0]).map(lambda s: Constant(value_s=s)) | st.just(Exponential(mean_s=5.0)),
        repair=constant,
        on_crash=st.sampled_from(["lose", "retry", "resume"]),
    )
    return Version(
        name=name,
        service=draw(constant | exponential),
        slots=draw(st.integers(1, 3)),
        startup=draw(constant | exponential),
        replicas=Replicas(initial=draw(st.integers(0, 3)), at_most=4),
        room=draw(st.none() | st.integers(0, 4)) if limited else None,
        failures=draw(st.none() | failures) if may_fail else None,
    )


QUEUES = ("fcfs", "lcfs", "sjf", "edf", "priority", "mcq", Mcq(weights={"a": 3.0, "b": 0.5}), "gq")
BALANCERS = ("round_robin", "random", "two_choices", "join_shortest_queue", "least_outstanding")
COMPILED = [*((queue, "central") for queue in (*QUEUES, "ps")), *((q, b) for q in ("fcfs", "ps") for b in BALANCERS)]


@st.composite
def models(draw: st.DrawFn) -> Model:
    queue, balancer = draw(st.sampled_from(COMPILED))
    may_fail = queue not in ("gq", "ps") and balancer == "central"
    names = draw(st.sampled_from([("v1",), ("v1", "v2"), ("v1", "v2", "v3")]))
    weights = dict(zip(names, draw(st.permutations([1.0, 2.0, 0.5])), strict=False))
    turned = {name: 3.5 - weight for name, weight in weights.items()}
    kind = draw(st.sampled_from([Weighted, lambda **given: Sticky(users=7, **given)]))
    routing = kind(weights=weights, by_class={"b": turned}, shifts=(Shift(at_s=12.0, weights=turned),))
    return Model(
        name="m",
        queue=queue,
        balancer=balancer,
        room=draw(st.none() | st.integers(0, 4)) if queue == "gq" else None,
        routing=routing if len(names) > 1 else None,
        versions=tuple(draw(versions(name, may_fail, queue != "gq")) for name in names),
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    model = draw(models())
    patience = st.none() | st.sampled_from([0.0, 1.0, 3.0]).map(lambda s: Constant(value_s=s)) | exponential
    arrivals = moments.map(lambda at_s: Times(at_s=tuple(at_s))) | st.just(Poisson(rate_per_s=2.0))
    classes = [
        RequestClass(
            name=name,
            model="m",
            arrivals=draw(arrivals),
            patience_s=draw(patience),
            priority=draw(st.integers(0, 1)),
            deadline_s=draw(st.none() | st.just(4.0)),
        )
        for name in draw(st.sampled_from([("a",), ("a", "b")]))
    ]
    known = tuple(c.name for c in classes)
    if isinstance(model.queue, Mcq):
        model = _with_weights(model, known)
    if known == ("a",) and model.routing is not None:
        model = _without_class(model)
    names = [version.name for version in model.versions]
    steps = {
        at_s: Step(at_s=at_s, replicas={name: draw(st.integers(0, 4)) for name in names})
        for at_s in sorted(draw(st.sets(whole_s, min_size=1, max_size=5)))
    }
    return Scenario(
        name="small",
        horizon_s=HORIZON_S,
        seed=draw(st.integers(0, 99)),
        slo=draw(st.none() | st.just(Slo(response_s=3.0))),
        control=Control(tick_s=draw(st.sampled_from([1.0, 7.0]))),
        models=(model,),
        traffic=tuple(classes),
        policy=ScheduleSpec(steps=tuple(steps.values())),
    )


def _with_weights(model: Model, classes: tuple[str, ...]) -> Model:
    assert isinstance(model.queue, Mcq)
    return replace(model, queue=Mcq(weights={k: w for k, w in model.queue.weights.items() if k in classes}))


def _without_class(model: Model) -> Model:
    assert isinstance(model.routing, (Weighted, Sticky))
    return replace(model, routing=replace(model.routing, by_class={}))


def assert_same(scenario: Scenario) -> None:
    plane, reference = World(scenario, engine="plane"), World(scenario, engine="reference")
    for end_s in (scenario.horizon_s / 3, scenario.horizon_s):
        plane.run_through(end_s)
        reference.run_through(end_s)
        for pool in range(len(scenario.pools)):
            assert plane.cluster.look(pool).tolist() == reference.cluster.look(pool).tolist()
        assert_same_harvest(plane.cluster.harvest(), reference.cluster.harvest())
    assert plane.history.rows == reference.history.rows
    assert plane.history.decisions == reference.history.decisions
    a, b = plane.requests(), reference.requests()
    for name in Requests.__slots__:
        assert np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name.endswith("_s")), name


def assert_same_harvest(a: Harvest, b: Harvest) -> None:
    assert a.counts.tolist() == b.counts.tolist()
    for kind in ("wait", "service", "response"):
        for row_a, row_b in zip(getattr(a, kind), getattr(b, kind), strict=True):
            for x, y in zip(row_a, row_b, strict=True):
                assert (x.buckets.tolist(), x.counts.tolist()) == (y.buckets.tolist(), y.counts.tolist())
                assert x.sums.tolist() == y.sums.tolist()


def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that grows or is read by parts does so all the time."""
    monkeypatch.setattr(arena, "RING", 2)
    monkeypatch.setattr(arena, "REPLICAS", 1)
    monkeypatch.setattr(layout, "RECORDS", 4)
    monkeypatch.setattr(world, "Workload", partial(Workload, chunk=3))


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(scenarios())
def test_the_plane_is_the_reference(scenario: Scenario) -> None:
    assert_same(scenario)


@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(scenario=scenarios())
def test_whatever_is_read_by_parts_may_come_in_any(monkeypatch: pytest.MonkeyPatch, scenario: Scenario) -> None:
    with monkeypatch.context() as parts:
        small_chunks(parts)
        assert_same(scenario)


@pytest.mark.parametrize(
    ("queue", "balancer", "why"),
    [
        ("sjf", "random", "queue sjf with balancer random has no compiled loop"),
        ("fcfs", "random", "queue fcfs with balancer random and failures has no compiled loop"),
        ("ps", "central", "queue ps with balancer central and failures has no compiled loop"),
        ("gq", "central", "queue gq with failures has no compiled loop"),
    ],
)
def test_what_has_no_compiled_loop_names_the_engine_that_has(queue: str, balancer: str, why: str) -> None:
    failures = Failures(every=Constant(value_s=9.0), repair=Constant(value_s=1.0))
    version = replace(VERSION, failures=failures)
    scenario = story(model=Model(name="m", queue=queue, balancer=balancer, versions=(version,)))  # type: ignore[arg-type]
    with pytest.raises(UncompiledError, match=f"{why}; choose the reference engine"):
        World(scenario, engine="plane")
    World(scenario, engine="reference").run_through(HORIZON_S)


VERSION = Version(
    name="v", service=Exponential(mean_s=2.0), slots=2, startup=Constant(value_s=1.5), replicas=Replicas(initial=2)
)
CRASHES = Failures(every=Exponential(mean_s=8.0), repair=Constant(value_s=2.0), on_crash="retry")


def story(model: Model, seed: int = 5) -> Scenario:
    """Three classes, two of them at the same instants; replicas are scaled up, down to none and up again."""
    classes = [
        RequestClass(name="a", model="m", arrivals=Poisson(rate_per_s=1.6), patience_s=Constant(value_s=3.0)),
        RequestClass(name="b", model="m", arrivals=Times(at_s=(3.0, 3.0, 8.0, 8.0, 8.0, 21.0, 30.0)), priority=-1),
        RequestClass(name="c", model="m", arrivals=Times(at_s=(3.0, 8.0, 8.0, 21.0, 21.0))),
    ]
    steps = {5.0: 3, 11.0: 1, 16.0: 0, 20.0: 2, 33.0: 4}
    policy = ScheduleSpec(
        steps=tuple(Step(at_s=t, replicas={v.name: n for v in model.versions}) for t, n in steps.items())
    )
    return Scenario(
        name="story",
        horizon_s=HORIZON_S,
        seed=seed,
        slo=Slo(response_s=3.0),
        control=Control(tick_s=1.0),
        models=(model,),
        traffic=tuple(classes),
        policy=policy,
    )


STORIES = [
    story(Model(name="m", versions=(replace(VERSION, room=3),))),
    story(Model(name="m", versions=(replace(VERSION, failures=CRASHES),))),
    story(Model(name="m", versions=(replace(VERSION, slots=5, failures=CRASHES),))),
    story(Model(name="m", queue="lcfs", versions=(replace(VERSION, room=4, failures=CRASHES),))),
    story(Model(name="m", queue="priority", versions=(VERSION,))),
    story(Model(name="m", queue=Mcq(weights={"b": 0.3}), versions=(VERSION,))),
    story(
        Model(
            name="m",
            queue="gq",
            routing=Weighted(weights={"v": 1, "w": 3}),
            versions=(VERSION, replace(VERSION, name="w", service=Constant(value_s=2.0))),
        )
    ),
    story(Model(name="m", balancer="two_choices", versions=(replace(VERSION, room=5),))),
    story(Model(name="m", balancer="least_outstanding", versions=(VERSION,))),
    story(Model(name="m", queue="ps", versions=(replace(VERSION, slots=3),))),
]

FAULTS = {
    "a start before the window it is decided in": (
        "            due_s = max(free_s, from_s)\n",
        "            due_s = free_s\n",
    ),
    "ties go to the highest slot": ("mask = -np.int64(other < key + right)", "mask = -np.int64(other <= key)"),
    "patience is measured from the beginning of the window": (
        "        if due_s > deadline_s or due_s > until_s:\n",
        "        if due_s > deadline_s + from_s or due_s > until_s:\n",
    ),
    "a completion is told before it has happened": ("        if end_s <= until_s:\n", "        if True:\n"),
    "a completion at the end of the window is told twice": (
        "        if busy[i] and free[i] <= until_s:\n",
        "        if free[i] <= until_s:\n",
    ),
    "room counts who has left": (
        "<= arrival_s:\n                    leave_head",
        "< -1.0:\n                    leave_head",
    ),
    "who gives up at the moment of dispatch gives up first": (
        "q_deadline[hasty] < due_s if dispatches",
        "q_deadline[hasty] <= due_s + 1 if dispatches",
    ),
    "the last of equal keys comes first": ("I[place + a] < I[place + b])", "I[place + a] > I[place + b])"),
    "a class's requests are out of order": (
        "F[feed.arrival + feed.at] < first_s",
        "F[feed.arrival + feed.at] <= first_s",
    ),
    "tags do not advance with the queue": ("max(station.last_tag, F[tag])", "F[tag]"),
    "another version's work": (
        "work_s = F[station.q_work + (pool - station.pool) * station.ring_capacity + entry]",
        "work_s = F[station.q_work + entry]",
    ),
    "the second choice may be the first again": ("            b += b >= a\n", ""),
    "the longest ago is not told apart": ("not longest_ago or I[chosen + a] <= I[chosen + b]", "True"),
    "requests that share a replica do not slow each other": (") * n\n    set_event", ")\n    set_event"),
    "virtual time stands still while a request starts": ("    pass_time(s, S, F, I, r, now_s)\n    n = ", "    n = "),
    "running services are not busy": (
        "            C[cell * width + BUSY] += ticks(",
        "            C[cell * width + BUSY] += 0 * ticks(",
    ),
}


def interpreted(fault: tuple[str, str] = ("", "")) -> Callable[..., tuple[int, int]]:
    """`kernel.advance` run by Python itself, with one piece of its source exchanged for another."""
    source = Path(kernel.__file__).read_text()
    right, wrong = fault
    assert right in source, "the fault has lost its place in the source"
    plain = ModuleType("plain_kernel")
    compiling = "from numba import njit, types\nfrom numba.extending import intrinsic\n"
    uncompiled = "types = None\nintrinsic = lambda f: f\ndef njit(f=None, **_):\n    return f if f else lambda g: g\n"
    source = source.replace(right, wrong, -1 if right else 0).replace(compiling, uncompiled)
    exec(source.replace("while True:", "while goes_on():"), plain.__dict__)
    turns = count()

    def goes_on() -> bool:
        assert next(turns) < 100_000, "the loop does not end"
        return True

    plain.goes_on = goes_on  # type: ignore[attr-defined]
    plain.bits = lambda time_s: np.float64(time_s).view(np.int64)  # type: ignore[attr-defined]
    plain.time_of = lambda whole: np.int64(whole).view(np.float64)  # type: ignore[attr-defined]

    def advance(kind: int, until_s: float, models: Any, stations: Any, sources: Any, *arrays: Any) -> tuple[int, int]:
        records = [array.view(np.recarray) for array in (models, stations, sources)]
        with np.errstate(over="ignore"):
            said, which = plain.advance(kind, until_s, *records, *arrays)
        return int(said), int(which)

    return advance


def test_the_loops_are_right_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the faults below are faults of what they change, and of nothing else."""
    monkeypatch.setattr(kernel, "advance", interpreted())
    for scenario in STORIES:
        assert_same(scenario)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_in_the_loops_is_seen(monkeypatch: pytest.MonkeyPatch, fault: tuple[str, str]) -> None:
    monkeypatch.setattr(kernel, "advance", interpreted(fault))
    seen = []
    for scenario in STORIES:
        try:
            assert_same(scenario)
        except (AssertionError, IndexError, ZeroDivisionError):
            seen.append(scenario)
    assert seen
