"""The compiled plane is the reference engine, request by request and count by count."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.schedule import ScheduleSpec, Step
from sim import kernel
from sim.arrivals import Poisson, Times
from sim.cluster import Harvest, Requests
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
from sim.world import Engine, World

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
    from dataclasses import replace

    assert isinstance(model.queue, Mcq)
    return replace(model, queue=Mcq(weights={k: w for k, w in model.queue.weights.items() if k in classes}))


def _without_class(model: Model) -> Model:
    from dataclasses import replace

    assert isinstance(model.routing, (Weighted, Sticky))
    return replace(model, routing=replace(model.routing, by_class={}))


def run(scenario: Scenario, engine: Engine) -> World:
    world = World(scenario, engine=engine)
    world.run_through(scenario.horizon_s)
    return world


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
        if name in ("start_s", "slot"):
            continue
        assert np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name.endswith("_s")), name


def assert_same_harvest(a: Harvest, b: Harvest) -> None:
    assert a.counts.tolist() == b.counts.tolist()
    for kind in ("wait", "service", "response"):
        for row_a, row_b in zip(getattr(a, kind), getattr(b, kind), strict=True):
            for x, y in zip(row_a, row_b, strict=True):
                assert (x.buckets.tolist(), x.counts.tolist()) == (y.buckets.tolist(), y.counts.tolist())
                assert x.sums.tolist() == y.sums.tolist()


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(scenarios())
def test_the_plane_is_the_reference(scenario: Scenario) -> None:
    assert_same(scenario)
