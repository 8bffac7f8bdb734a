"""Laws of the reference engine, on random small worlds full of ties, and faults planted to see each law catch one."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.schedule import ScheduleSpec, Step
from sim import ledger, replicas, stations
from sim.arrivals import Times
from sim.balancers import BALANCERS
from sim.cluster import Counter, Outcome, Requests
from sim.history import PoolRow
from sim.scenario import Control, Failures, Mcq, Model, Replicas, RequestClass, Scenario, Version, Weighted
from sim.service import Constant, Exponential
from sim.world import World

HORIZON_S = 40.0

whole_s = st.integers(0, 30).map(float)
moments = st.lists(whole_s | st.floats(0, 30), min_size=1, max_size=25).map(sorted)


QUEUES = ["fcfs", "lcfs", "sjf", "edf", "priority", "ps", "mcq", Mcq(weights={"a": 3.0}), "gq"]


@st.composite
def versions(draw: st.DrawFn, name: str, with_room: bool) -> Version:
    constant = st.sampled_from([0.0, 1.0, 2.0, 5.0]).map(lambda s: Constant(value_s=s))
    failures = st.builds(
        Failures,
        every=st.sampled_from([3.0, 7.0]).map(lambda s: Constant(value_s=s)) | st.just(Exponential(mean_s=5.0)),
        repair=constant,
        on_crash=st.sampled_from(["lose", "retry", "resume"]),
    )
    return Version(
        name=name,
        service=draw(constant | st.just(Exponential(mean_s=2.0))),
        slots=draw(st.integers(1, 3)),
        startup=draw(constant),
        replicas=Replicas(initial=draw(st.integers(1, 3)), at_least=1, at_most=3),
        room=draw(st.none() | st.integers(0, 4)) if with_room else None,
        failures=draw(st.none() | failures),
    )


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Two versions: class a comes to both, class b to the second alone."""
    queue = draw(st.sampled_from(QUEUES))
    alone = queue == "gq"
    return Model(
        name="m",
        queue=queue,
        balancer="central" if alone else draw(st.sampled_from(["central", *BALANCERS])),
        room=draw(st.none() | st.integers(0, 4)) if alone else None,
        routing=Weighted(weights={"v1": 2, "v2": 1}, by_class={"b": {"v2": 1}}),
        versions=(draw(versions("v1", not alone)), draw(versions("v2", not alone))),
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    patience = st.none() | st.sampled_from([0.0, 1.0, 3.0]).map(lambda s: Constant(value_s=s))
    classes = [
        RequestClass(
            name=name,
            model="m",
            arrivals=Times(at_s=tuple(draw(moments))),
            patience_s=draw(patience),
            priority=rank,
            deadline_s=draw(st.sampled_from([1.0, 4.0])),
        )
        for name, rank in (("a", 1), ("b", 0))
    ]
    steps = {
        at_s: Step(at_s=at_s, replicas={"v1": draw(st.integers(0, 4)), "v2": draw(st.integers(0, 4))})
        for at_s in sorted(draw(st.sets(whole_s, min_size=1, max_size=5)))
    }
    return Scenario(
        name="small",
        horizon_s=HORIZON_S,
        seed=draw(st.integers(0, 99)),
        control=Control(tick_s=1.0),
        models=(draw(models()),),
        traffic=tuple(classes),
        policy=ScheduleSpec(steps=tuple(steps.values())),
    )


def run(scenario: Scenario) -> World:
    world = World(scenario, engine="reference")
    world.run_through(scenario.horizon_s)
    return world


def check_conservation(world: World) -> None:
    """At every tick, and for each class at the end: what arrived is somewhere; in its pool, or model if that has gq."""
    pools = list(world.history.rows.values())
    together = world.scenario.models[0].queue == "gq"
    for group in zip(*pools, strict=True) if together else [(row,) for rows in pools for row in rows]:
        assert sum(row.requests_arrived_total for row in group) == sum(_settled(row) for row in group)
    requests = world.requests()
    looks = np.array([world.cluster.look(pool) for pool in range(2)])
    for k in range(2):
        for pool in [(0, 1)] if together else [(0,), (1,)]:
            counted = looks[list(pool), k].sum(axis=0)
            here = requests.outcome[np.isin(requests.pool, pool) & (requests.request_class == k)]
            assert counted[Counter.ARRIVED] == len(here)
            assert counted[Counter.QUEUED] + counted[Counter.IN_SERVICE] == np.sum(here == Outcome.PRESENT)
            for counter in (Counter.COMPLETED, Counter.ABANDONED, Counter.REJECTED, Counter.FAILED):
                assert counted[counter] == np.sum(here == Outcome[counter.name])


def _settled(row: PoolRow) -> int:
    gone = row.requests_completed_total + row.requests_failed_total
    turned_away = row.requests_rejected_total + row.requests_abandoned_total
    return gone + turned_away + row.requests_queued + row.requests_in_service


def check_causality(requests: Requests, crashes: bool, alone: bool = True) -> None:
    """Nothing starts before it came or ends before it started; a service `alone` in its slot lasts as its work."""
    assert np.all(np.diff(requests.arrival_s) >= 0)
    started = ~np.isnan(requests.start_s)
    assert np.all(requests.start_s[started] >= requests.arrival_s[started])
    done = requests.outcome == Outcome.COMPLETED
    assert np.all(requests.leave_s[done] >= requests.start_s[done])
    served_s, work_s = requests.leave_s - requests.start_s, requests.work_s
    if not alone:
        assert np.all(served_s[done] >= work_s[done] - 1e-9)
    elif not crashes:
        assert np.array_equal(requests.leave_s[done], requests.start_s[done] + requests.work_s[done])


def check_work_conservation(requests: Requests, capacity: int) -> None:
    """With a fixed number of slots: while anybody waits, all slots are busy."""
    start_s = np.where(np.isnan(requests.start_s), np.inf, requests.start_s)
    left_s = np.where(np.isnan(requests.leave_s), np.inf, requests.leave_s)
    moments = np.unique(np.concatenate([requests.arrival_s, start_s, left_s]))
    for before, after in pairwise(moments[np.isfinite(moments)]):
        now = (before + after) / 2
        waiting = np.sum((requests.arrival_s < now) & (now < np.minimum(start_s, left_s)))
        serving = np.sum((start_s < now) & (now < left_s))
        assert serving <= capacity
        assert waiting == 0 or serving == capacity


def one_pool(
    arrivals: list[float], servers: int, patience: float | None, room: int | None, queue: str | Mcq = "fcfs"
) -> Scenario:
    version = Version(
        name="v1",
        service=Exponential(mean_s=2.0),
        replicas=Replicas(initial=servers),
        room=None if queue == "gq" else room,
    )
    patience_s = None if patience is None else Constant(value_s=patience)
    return Scenario(
        name="one",
        horizon_s=HORIZON_S,
        models=(Model(name="m", queue=queue, room=room if queue == "gq" else None, versions=(version,)),),  # type: ignore[arg-type]
        traffic=(RequestClass(name="a", model="m", arrivals=Times(at_s=tuple(arrivals)), patience_s=patience_s),),
    )


@settings(deadline=None, max_examples=300)
@given(scenarios())
def test_every_request_is_somewhere_and_in_order(scenario: Scenario) -> None:
    world = run(scenario)
    check_conservation(world)
    (model,) = scenario.models
    check_causality(world.requests(), any(v.failures for v in model.versions), alone=model.queue != "ps")


@settings(deadline=None, max_examples=150)
@given(
    moments,
    st.integers(1, 4),
    st.none() | st.sampled_from([0.5, 2.0]),
    st.none() | st.integers(0, 5),
    st.sampled_from(QUEUES).map(lambda queue: "fcfs" if isinstance(queue, Mcq) else queue),
)
def test_no_slot_idles_while_somebody_waits(
    arrivals: list[float], servers: int, patience: float | None, room: int | None, queue: str
) -> None:
    requests = run(one_pool(arrivals, servers, patience, room, queue)).requests()
    check_work_conservation(requests, servers)


@settings(deadline=None, max_examples=40)
@given(scenarios())
def test_the_same_seed_gives_the_same_bytes(scenario: Scenario) -> None:
    once, again = run(scenario), run(scenario)
    assert once.history.rows == again.history.rows
    for name in Requests.__slots__:
        a, b = getattr(once.requests(), name), getattr(again.requests(), name)
        assert a.tobytes() == b.tobytes()


@settings(deadline=None, max_examples=60)
@given(scenarios())
def test_replicas_are_paid_for_from_start_until_gone(scenario: Scenario) -> None:
    for row, later in pairwise(run(scenario).history.rows["m/v1"]):
        most = max(r.replicas_wanted + r.replicas_draining for r in (row, later))
        paid_s = later.replica_s_total - row.replica_s_total
        assert -1e-9 <= paid_s <= (later.time_s - row.time_s) * most + 1e-6
        assert later.serving_s_total <= later.replica_s_total + 1e-9


@settings(deadline=None, max_examples=40)
@given(scenarios())
def test_no_pool_leaves_its_bounds(scenario: Scenario) -> None:
    for rows in run(scenario).history.rows.values():
        assert all(1 <= row.replicas_wanted <= 3 for row in rows)


BUSY = one_pool([float(t) / 4 for t in range(60)], 2, 3.0, 6)


def test_a_forgotten_abandonment_breaks_conservation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger.Ledger, "abandon", lambda _ledger, _request: None)
    with pytest.raises(AssertionError):
        check_conservation(run(BUSY))


def test_a_lazy_dispatch_breaks_work_conservation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stations.Station, "ask", lambda _station: None)
    with pytest.raises(AssertionError):
        check_work_conservation(run(BUSY).requests(), 2)


def test_a_service_cut_short_breaks_causality(monkeypatch: pytest.MonkeyPatch) -> None:
    leave = ledger.Log.leave
    monkeypatch.setattr(ledger.Log, "leave", lambda log, n, t, outcome: leave(log, n, t - 0.5, outcome))
    with pytest.raises(AssertionError):
        check_causality(run(BUSY).requests(), crashes=False)


def test_a_generator_that_is_not_from_the_seed_breaks_determinism(monkeypatch: pytest.MonkeyPatch) -> None:
    from sim import streams

    monkeypatch.setattr(streams.Stream, "generator", lambda _stream: np.random.default_rng())
    once, again = run(BUSY), run(BUSY)
    assert once.requests().work_s.tobytes() != again.requests().work_s.tobytes()


def test_a_drain_that_forgets_the_bill_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario(
        name="drain",
        horizon_s=20.0,
        control=Control(tick_s=1.0),
        models=(
            Model(
                name="m", versions=(Version(name="v1", service=Constant(value_s=6.0), replicas=Replicas(initial=1)),)
            ),
        ),
        traffic=(RequestClass(name="a", model="m", arrivals=Times(at_s=(1.0,))),),
        policy=ScheduleSpec(steps=(Step(at_s=2.0, replicas={"v1": 0}),)),
    )
    assert run(scenario).pools["m/v1"].paid_s == 7.0
    monkeypatch.setattr(replicas.Replicas, "busy", lambda _replicas, _replica: 0)
    assert run(scenario).pools["m/v1"].paid_s == 2.0
