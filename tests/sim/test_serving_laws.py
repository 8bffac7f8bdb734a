"""Laws of disciplines and balancers, on random small worlds, and faults planted to see each law catch one."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import balancers, disciplines, pools, servers
from sim.arrivals import Times
from sim.cluster import Outcome, Requests
from sim.requests import Workload
from sim.scenario import Mcq, Model, Replicas, RequestClass, Scenario, Version, Weighted
from sim.service import Constant, Exponential
from sim.streams import Stream
from sim.world import World

# Long after everybody was served.
HORIZON_S = 1000.0

moments = st.lists(st.integers(0, 20).map(float) | st.floats(0, 20), min_size=1, max_size=20).map(sorted)
laws = st.sampled_from([Exponential(mean_s=2.0), Constant(value_s=3.0), Exponential(mean_s=0.5)])
sizes = st.tuples(st.integers(1, 3), st.integers(1, 3))

RANKS = {"a": 1, "b": 0}
DEADLINES_S = {"a": 1.0, "b": 6.0}


def world_of(
    arrivals: dict[str, list[float]],
    queue: str | Mcq,
    balancer: str = "central",
    service: Exponential | Constant = Exponential(mean_s=2.0),  # noqa: B008
    size: tuple[int, int] = (1, 1),
) -> World:
    """One pool of `size` (replicas, slots) that never changes; everybody waits as long as it takes."""
    replicas, slots = size
    version = Version(name="v1", service=service, slots=slots, replicas=Replicas(initial=replicas))
    scenario = Scenario(
        name="pool",
        horizon_s=HORIZON_S,
        models=(Model(name="m", queue=queue, balancer=balancer, versions=(version,)),),  # type: ignore[arg-type]
        traffic=tuple(
            RequestClass(
                name=name,
                model="m",
                arrivals=Times(at_s=tuple(at_s)),
                priority=RANKS[name],
                deadline_s=DEADLINES_S[name],
            )
            for name, at_s in arrivals.items()
        ),
    )
    world = World(scenario, engine="reference")
    world.run_through(HORIZON_S)
    return world


def keys(requests: Requests, queue: str) -> np.ndarray:
    place = np.arange(len(requests.arrival_s), dtype=float)
    names = np.array(["a", "b"])[requests.request_class]
    match queue:
        case "lcfs":
            return -place
        case "sjf":
            return requests.work_s
        case "edf":
            return requests.arrival_s + np.array([DEADLINES_S[name] for name in names])
        case "priority" | "mcq":
            return np.array([float(RANKS[name]) for name in names])
        case _:
            return np.zeros(len(place))


def check_order(requests: Requests, key: np.ndarray, line: np.ndarray) -> None:
    """Whoever starts after a wait had the least key of those who waited in the same line, and of equals came first."""
    assert np.all(requests.outcome == Outcome.COMPLETED)
    rank = np.lexsort((np.arange(len(key)), key)).argsort()
    for i in np.flatnonzero(requests.start_s > requests.arrival_s):
        now = requests.start_s[i]
        waiting = (requests.arrival_s < now) & (requests.start_s > now) & (line == line[i])
        assert np.all(rank[waiting] > rank[i])


def check_no_replica_idles(requests: Requests, slots: int) -> None:
    """While one waits that a replica serves in the end, all slots of this replica are busy."""
    replica = requests.slot // slots
    edges = np.unique(np.concatenate([requests.arrival_s, requests.start_s, requests.leave_s]))
    for now in (edges[1:] + edges[:-1]) / 2:
        waiting = (requests.arrival_s < now) & (now < requests.start_s)
        serving = (requests.start_s < now) & (now < requests.leave_s)
        for place in np.unique(replica[waiting]):
            assert np.sum(serving & (replica == place)) == slots


def check_shares(requests: Requests, slots: int) -> None:
    """Each request is served at 1/n of full speed while n are in service at its replica, until its work is done."""
    replica = requests.slot // slots
    done_s = np.zeros(len(replica))
    edges = np.unique(np.concatenate([requests.start_s, requests.leave_s]))
    for before, after in pairwise(edges):
        serving = (requests.start_s <= before) & (requests.leave_s >= after)
        for place in np.unique(replica[serving]):
            here = serving & (replica == place)
            assert np.sum(here) <= slots
            done_s[here] += (after - before) / np.sum(here)
    assert np.allclose(done_s, requests.work_s, rtol=0, atol=1e-9)


def outstanding(requests: Requests, i: int, replicas: int, slots: int) -> np.ndarray:
    """Requests that each replica has when request `i` arrives."""
    there = (np.arange(len(requests.arrival_s)) < i) & (requests.leave_s > requests.arrival_s[i])
    return np.bincount(requests.slot[there] // slots, minlength=replicas)


def _two(draw: float, n: int) -> tuple[int, int]:
    pairs = [(a, b) for a in range(n) for b in range(n) if a != b]
    return pairs[int(draw * n * (n - 1))] if n > 1 else (0, 0)


def _least_used(choice: int, counts: np.ndarray, before: list[int]) -> bool:
    last = {place: max((i for i, p in enumerate(before) if p == place), default=-1) for place in range(len(counts))}
    return choice == min(range(len(counts)), key=lambda place: (counts[place], last[place], place))


def right_choice(balancer: str, choice: int, counts: np.ndarray, before: list[int], draw: float | None) -> bool:
    """Given how many requests each replica has, the choices before, and the request's draw."""
    n = len(counts)
    match balancer:
        case "round_robin":
            return choice == len(before) % n
        case "random":
            return draw is not None and choice == int(draw * n)
        case "two_choices":
            a, b = _two(draw or 0.0, n)
            return choice == (b if counts[b] < counts[a] else a)
        case "join_shortest_queue":
            return choice == int(np.argmin(counts))
        case _:
            return _least_used(choice, counts, before)


def check_balance(world: World, balancer: str, size: tuple[int, int]) -> None:
    requests, (replicas, slots) = world.requests(), size
    (block,), _ = Workload(world.scenario, Stream(world.scenario.seed, ("replication 0",))).until(HORIZON_S)
    chosen = (requests.slot // slots).tolist()
    for i, choice in enumerate(chosen):
        draw = None if block.balance is None else float(block.balance[i])
        assert right_choice(balancer, choice, outstanding(requests, i, replicas, slots), chosen[:i], draw)


ORDERED = ["fcfs", "lcfs", "sjf", "edf", "priority", "mcq", "gq"]


@settings(deadline=None, max_examples=80)
@given(moments, moments, st.sampled_from(ORDERED), laws, sizes)
def test_whoever_starts_is_who_the_discipline_says(a, b, queue, service, size):
    requests = world_of({"a": a, "b": b}, queue, "central", service, size).requests()
    check_order(requests, keys(requests, queue), np.zeros(len(requests.slot)))


@settings(deadline=None, max_examples=80)
@given(moments, moments, st.sampled_from(ORDERED[:-1]), st.sampled_from([*balancers.BALANCERS]), laws, sizes)
def test_each_replica_keeps_order_and_never_idles_beside_its_line(a, b, queue, balancer, service, size):
    requests = world_of({"a": a, "b": b}, queue, balancer, service, size).requests()
    check_order(requests, keys(requests, queue), requests.slot // size[1])
    check_no_replica_idles(requests, size[1])


@settings(deadline=None, max_examples=80)
@given(moments, st.sampled_from(["central", *balancers.BALANCERS]), laws, sizes)
def test_a_shared_replica_serves_no_faster_than_one_and_all_that_is_brought(arrivals, balancer, service, size):
    requests = world_of({"a": arrivals}, "ps", balancer, service, size).requests()
    check_shares(requests, size[1])
    check_order(requests, keys(requests, "fcfs"), requests.slot // size[1] * (balancer != "central"))


@settings(deadline=None, max_examples=80)
@given(moments, st.sampled_from(["fcfs", "ps"]), st.sampled_from([*balancers.BALANCERS]), laws, sizes)
def test_a_balancer_chooses_as_it_says(arrivals, queue, balancer, service, size):
    check_balance(world_of({"a": arrivals}, queue, balancer, service, size), balancer, size)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.5, 1.0, 2.0, 5.0]), st.sampled_from([0.5, 1.0, 3.0]))
def test_weights_share_the_server_while_both_classes_wait(a, b, weight_a, weight_b):
    # Golestani (1994), theorem 1: what two backlogged classes got, over their weights, differs by less than one each.
    queue = Mcq(weights={"a": weight_a, "b": weight_b})
    requests = world_of({"a": [0.0] * a, "b": [0.0] * b}, queue, service=Constant(value_s=1.0)).requests()
    check_fairness(requests, weight_a, weight_b)


def check_fairness(requests: Requests, weight_a: float, weight_b: float) -> None:
    served = requests.request_class[np.argsort(requests.start_s)]
    got_a, got_b = np.cumsum(served == 0), np.cumsum(served == 1)
    both = (got_a < got_a[-1]) & (got_b < got_b[-1])
    unfair = np.abs(got_a / weight_a - got_b / weight_b)[both]
    # The first to come starts at once, whoever it is.
    assert np.all(unfair <= 1 / weight_a + 1 / weight_b + 1e-9)


@st.composite
def two_versions(draw: st.DrawFn) -> Scenario:
    """One queue: class a may be served by both versions, class b by the second alone."""
    versions = tuple(
        Version(name=name, service=draw(laws), slots=draw(st.integers(1, 2)), replicas=Replicas(initial=1))
        for name in ("v1", "v2")
    )
    routing = Weighted(weights={"v1": 1, "v2": 1}, by_class={"b": {"v2": 1}})
    return Scenario(
        name="global",
        horizon_s=HORIZON_S,
        models=(Model(name="m", queue="gq", routing=routing, versions=versions),),
        traffic=tuple(RequestClass(name=n, model="m", arrivals=Times(at_s=tuple(draw(moments)))) for n in "ab"),
    )


def check_global(requests: Requests, slots: list[int]) -> None:
    """No slot is free beside one who waits and may use it; who starts is the first of those who may."""
    assert np.all(requests.outcome == Outcome.COMPLETED)
    may = np.array([[True, True], [False, True]])[requests.request_class]
    edges = np.unique(np.concatenate([requests.arrival_s, requests.start_s, requests.leave_s]))
    for now in (edges[1:] + edges[:-1]) / 2:
        waiting = (requests.arrival_s < now) & (now < requests.start_s)
        for pool in range(2):
            serving = (requests.start_s < now) & (now < requests.leave_s) & (requests.pool == pool)
            assert np.sum(serving) == slots[pool] or not np.any(waiting & may[:, pool])
    for i in np.flatnonzero(requests.start_s > requests.arrival_s):
        now = requests.start_s[i]
        waiting = (requests.arrival_s < now) & (requests.start_s > now) & may[:, requests.pool[i]]
        assert np.all(np.flatnonzero(waiting) > i)
    assert np.all(may[np.arange(len(may)), requests.pool])


@settings(deadline=None, max_examples=80)
@given(two_versions())
def test_one_queue_serves_the_first_who_may_in_whatever_version_is_free(scenario):
    world = World(scenario, engine="reference")
    world.run_through(HORIZON_S)
    check_global(world.requests(), [v.slots for v in scenario.models[0].versions])


# Faults, each caught by its law.

CROWD = {"a": [float(t) / 4 for t in range(40)], "b": [float(t) / 3 for t in range(30)]}

GLOBAL = Scenario(
    name="global",
    horizon_s=HORIZON_S,
    models=(
        Model(
            name="m",
            queue="gq",
            routing=Weighted(weights={"v1": 1, "v2": 1}, by_class={"b": {"v2": 1}}),
            versions=tuple(
                Version(name=name, service=Constant(value_s=1.0), replicas=Replicas(initial=1)) for name in ("v1", "v2")
            ),
        ),
    ),
    traffic=tuple(RequestClass(name=n, model="m", arrivals=Times(at_s=tuple(at_s))) for n, at_s in CROWD.items()),
)


@pytest.mark.parametrize("queue", ORDERED[1:-1])
def test_a_line_that_is_served_by_arrival_is_seen(monkeypatch: pytest.MonkeyPatch, queue: str) -> None:
    monkeypatch.setattr(disciplines.Line, "first", lambda line: next(iter(line)))
    monkeypatch.setattr(disciplines.Line, "remove", lambda line, r: line._there.pop(r.place))
    requests = world_of(CROWD, queue).requests()
    with pytest.raises(AssertionError):
        check_order(requests, keys(requests, queue), np.zeros(len(requests.slot)))


def test_a_class_that_waits_by_another_weight_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = {"a": [0.0] * 20, "b": [0.0] * 20}
    monkeypatch.setattr(disciplines.FairQueueing, "key", lambda _fair, request: float(request.place))
    with pytest.raises(AssertionError):
        check_fairness(world_of(crowd, Mcq(weights={"a": 1.0, "b": 3.0})).requests(), 1.0, 3.0)


def test_virtual_time_that_forgets_the_others_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def alone(replica: servers.Shared, now_s: float) -> None:
        replica.virtual_s += now_s - replica.changed_s if replica.jobs else 0.0
        replica.changed_s = now_s

    monkeypatch.setattr(servers.Shared, "advance", alone)
    with pytest.raises(AssertionError):
        check_shares(world_of(CROWD, "ps", size=(2, 3)).requests(), 3)


@pytest.mark.parametrize("balancer", [*balancers.BALANCERS])
def test_a_balancer_that_keeps_to_the_first_is_seen(monkeypatch: pytest.MonkeyPatch, balancer: str) -> None:
    monkeypatch.setitem(balancers.BALANCERS, balancer, lambda replicas, _request, _last: replicas[0])  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        check_balance(world_of({"a": CROWD["a"]}, "fcfs", balancer, size=(3, 1)), balancer, (3, 1))


def test_a_version_that_is_never_used_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    route = pools.Global.route
    monkeypatch.setattr(pools.Global, "route", lambda queue, k, eligible: route(queue, k, eligible[-1:]))
    world = World(GLOBAL, engine="reference")
    world.run_through(HORIZON_S)
    with pytest.raises(AssertionError):
        check_global(world.requests(), [1, 1])


def test_a_replica_that_sleeps_beside_its_line_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers.Slots, "_complete", _late(servers.Slots._complete))
    requests = world_of(CROWD, "fcfs", "random", size=(2, 1)).requests()
    with pytest.raises(AssertionError):
        check_no_replica_idles(requests, 1)


def _late(complete: Callable[..., None]) -> Callable[..., None]:
    """The line learns half a second late that a slot is free."""

    def later(slots: servers.Slots, slot: servers.Slot, end: object) -> None:
        free, slots.on_free = slots.on_free, servers.nobody_waits
        complete(slots, slot, end)
        slots.on_free = free
        slots._env.call(slots._env.now + 0.5, 1, lambda _: free())  # type: ignore[arg-type]

    return later
