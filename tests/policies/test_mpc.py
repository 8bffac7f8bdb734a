"""Model predictive control: what it may never do, that it forgets nothing it needs, and what it is good for."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from policies import mpc, mpc_load, mpc_seen
from policies.decision import Decision
from policies.histogram import Histogram
from policies.mpc import Mpc, MpcSpec
from policies.observation import Flow, Observation, PoolReading
from policies.pool import PoolTraits
from policies.testing import traits

TICK_S = 15.0
SERVICE_S = 5.0
SPEC = MpcSpec(response_s=20.0)
POOL = traits(service_s=SERVICE_S, service_scv=1.0, startup_s=60.0, startup_p95_s=75.0)


def policy(pool: PoolTraits = POOL, spec: MpcSpec = SPEC) -> Mpc:
    return spec.build({pool.name: pool})


def target(decision: Decision, wanted: int) -> int:
    """What becomes of a pool that wants so many."""
    return decision.targets.get("m/v1", wanted)


def why(decision: Decision) -> str:
    return str(decision.reasons.get("m/v1") or decision.kept["m/v1"])


class World:
    """Requests of 5 s that come in bins of a tick, one after the other to the replicas that are there."""

    def __init__(self, pool: PoolTraits, wanted: int, seed: int = 1) -> None:
        self.pool, self.wanted, self.time_s = pool, wanted, 0.0
        self.ready = wanted
        self._due: list[float] = []
        self._random = np.random.default_rng(seed)
        self._begun = self._done = self._busy_s = self._late = 0.0
        self._waiting: list[float] = []
        self._running: list[float] = []
        self.arrived = 0.0

    def scale(self, wanted: int) -> None:
        self.wanted = wanted
        while self.ready + len(self._due) > wanted and self._due:
            self._due.pop()
        self.ready = min(self.ready, wanted)
        self._due += [self.time_s + self.pool.startup_s] * (wanted - self.ready - len(self._due))

    def pass_tick(self, slots: float) -> None:
        """A tick with a Poisson load of so many slots."""
        number = self._random.poisson(slots * TICK_S / SERVICE_S)
        arrivals = sorted(self.time_s + TICK_S * self._random.random(number))
        for k in range(1, 16):
            now_s = self.time_s + k
            self.ready += sum(due_s <= now_s for due_s in self._due)
            self._due = [due_s for due_s in self._due if due_s > now_s]
            self._waiting += [came_s for came_s in arrivals if now_s - 1 <= came_s < now_s]
            ended = [end_s for end_s in self._running if end_s <= now_s]
            self._done += len(ended)
            self._running = [end_s for end_s in self._running if end_s > now_s]
            while self._waiting and len(self._running) < self.ready:
                service_s = self._random.exponential(SERVICE_S)
                self._late += now_s + service_s - self._waiting.pop(0) > 20.0
                self._running.append(now_s + service_s)
                self._begun += 1
            self._busy_s += len(self._running)
        self.arrived += number
        self.time_s += TICK_S

    def seen(self) -> Observation:
        done, late = self._done, min(self._late, self._done)
        flow = Flow(
            queued=float(len(self._waiting)),
            in_service=float(len(self._running)),
            arrived_total=self.arrived,
            started_total=self._begun,
            completed_total=done,
            busy_s_total=self._busy_s,
            response_s=Histogram((10.0, 20.0), ((done - late) * 0.8, done - late, done), SERVICE_S * done),
        )
        reading = PoolReading(
            wanted=self.wanted, ready=self.ready, starting=len(self._due), draining=0, age_s=0.0, total=flow
        )
        return Observation(self.time_s, {self.pool.name: reading})

    @property
    def late_share(self) -> float:
        return self._late / max(self._begun, 1)


def told(decide: Mpc, world: World, loads: Iterable[float]) -> Iterator[Observation]:
    """What is seen, tick by tick, in a world that does as it is told."""
    for slots in loads:
        world.pass_tick(slots)
        observation = world.seen()
        world.scale(target(decide.decide(observation), world.wanted))
        yield observation


def steady(slots: float, ticks: int) -> list[float]:
    return [slots] * ticks


# The objective.


def test_there_is_one_objective() -> None:
    with pytest.raises(ValidationError, match="exactly one of response_s, holding_cost; found neither"):
        MpcSpec()
    with pytest.raises(ValidationError, match="found both"):
        MpcSpec(response_s=1.0, holding_cost=1.0)


# What it may never do.

amounts = st.one_of(st.none(), st.floats(0.0, 200.0))
readings = st.builds(
    PoolReading,
    wanted=st.one_of(st.none(), st.integers(0, 12)),
    ready=st.one_of(st.none(), st.integers(0, 12)),
    starting=st.one_of(st.none(), st.integers(0, 5)),
    age_s=st.sampled_from([None, 0.0, 3.0, 14.0, 40.0, 500.0]),
    total=st.builds(
        Flow,
        queued=amounts,
        in_service=amounts,
        arrived_total=amounts,
        started_total=amounts,
        completed_total=amounts,
        abandoned_total=amounts,
        busy_s_total=amounts,
    ),
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(readings, min_size=1, max_size=12), st.integers(0, 4), st.integers(1, 6))
def test_whatever_is_read_no_wish_is_out_of_bounds(shown: list[PoolReading], at_least: int, more: int) -> None:
    pool = replace(POOL, at_least=at_least, at_most=at_least + more)
    decide = policy(pool)
    for observation in experienced(decide, at_least + 1):
        decide.decide(observation)
    for k, reading in enumerate(shown):
        found = decide.decide(Observation(6000.0 + k * TICK_S, {"m/v1": reading})).targets
        assert all(at_least <= wish <= at_least + more for wish in found.values())


def experienced(decide: Mpc, wanted: int, slots: float = 4.0, ticks: int = 100) -> list[Observation]:
    """A quiet time in which much is learned, and replicas stay as they are."""
    world = World(decide.pools["m/v1"]._traits, wanted)
    seen = []
    for _ in range(ticks):
        world.pass_tick(slots)
        seen.append(world.seen())
    return seen


@pytest.fixture(scope="module")
def ready_to_shrink() -> list[Observation]:
    """Of four slots of load and 30 replicas: the last of it says to shrink."""
    seen = experienced(policy(), wanted=30)
    decide = policy()
    assert [target(decide.decide(observation), 30) for observation in seen][-1] < 12
    return seen


def decided_last(seen: list[Observation], last: PoolReading) -> Decision:
    decide = policy()
    for observation in seen[:-1]:
        decide.decide(observation)
    return decide.decide(Observation(seen[-1].time_s, {"m/v1": last}))


@pytest.mark.parametrize("name", ["queued", "in_service", "arrived_total"])
def test_without_what_it_needs_it_keeps_and_says_what_is_missing(ready_to_shrink: list[Observation], name: str) -> None:
    last = ready_to_shrink[-1].pools["m/v1"]
    found = decided_last(ready_to_shrink, replace(last, total=replace(last.total, **{name: None})))
    assert found.targets == {}
    assert why(found) == f"{name} is not known"


@pytest.mark.parametrize("age_s", [None, 100.0, 1e6])
def test_a_reading_that_is_old_or_was_never_taken_shrinks_nothing(
    ready_to_shrink: list[Observation], age_s: float | None
) -> None:
    found = decided_last(ready_to_shrink, replace(ready_to_shrink[-1].pools["m/v1"], age_s=age_s))
    assert found.targets == {}
    assert why(found) == ("nothing was read yet" if age_s is None else f"the last reading is {age_s:.0f} s old")


def test_a_pool_that_is_not_seen_keeps_what_it_has() -> None:
    assert policy().decide(Observation(0.0, {})) == Decision()


def test_what_is_not_known_of_replicas_is_taken_as_said_and_shrinks_no_further(
    ready_to_shrink: list[Observation],
) -> None:
    last = ready_to_shrink[-1].pools["m/v1"]
    whole = target(decided_last(ready_to_shrink, last), 30)
    blind = replace(last, ready=None, starting=None, draining=None)
    assert target(decided_last(ready_to_shrink, blind), 30) >= whole


def test_services_that_are_no_longer_seen_are_as_they_were(ready_to_shrink: list[Observation]) -> None:
    last = ready_to_shrink[-1].pools["m/v1"]
    blind = replace(
        last.total, busy_s_total=None, started_total=None, completed_total=None, response_s=None, abandoned_total=None
    )
    whole = target(decided_last(ready_to_shrink, last), 30)
    assert target(decided_last(ready_to_shrink, replace(last, total=blind)), 30) == pytest.approx(whole, abs=1)


def test_in_the_beginning_nothing_is_shrunk() -> None:
    world, decide = World(POOL, wanted=30), policy()
    shrunk = [world.wanted < 30 for _ in told(decide, world, steady(4.0, 60))]
    first_s = TICK_S * shrunk.index(True)
    assert first_s >= max(mpc.EVIDENCE * SPEC.reaction_s, mpc.LEADS * POOL.startup_s)
    assert shrunk[-1]


def test_a_wish_that_is_held_for_want_of_evidence_says_so() -> None:
    decide = policy()
    *_, last = (decide.decide(observation) for observation in experienced(decide, 30, ticks=12))
    limit = last.reasons["m/v1"].limits[-1]
    assert (limit.by, limit.after) == ("evidence", 30)
    assert limit.why == "only 165 s were seen"


def test_a_pool_that_is_larger_than_it_may_be_is_not_held_above_that() -> None:
    decide = policy(replace(POOL, at_most=20))
    *_, last = (decide.decide(observation) for observation in experienced(decide, 30, ticks=12))
    assert last.targets == {"m/v1": 20}


# A restart.


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """All memories a few dozen bins long."""
    for module in (mpc, mpc_load, mpc_seen):
        monkeypatch.setattr(module, "LIBRARY", 40)
    for module in (mpc, mpc_load):
        monkeypatch.setattr(module, "WINDOWS", np.array((1, 2, 3, 4, 6, 8)))
    for module in (mpc, mpc_seen):
        monkeypatch.setattr(module, "SERVED", 10)


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("slots", [0.05, 4.0, 40.0])
@pytest.mark.parametrize("stated_s", [None, SERVICE_S])
def test_after_a_restart_it_decides_as_one_that_never_stopped(slots: float, stated_s: float | None) -> None:
    pool = replace(POOL, service_s=stated_s)
    decide, world = policy(pool), World(pool, wanted=3)
    ticks = int(2.5 * decide.memory_s / TICK_S)
    loads = slots * (1 + np.sin(np.arange(ticks) / 9.0)) * np.where(np.arange(ticks) % 50 < 5, 3.0, 1.0)
    seen = list(told(decide, world, [float(slots) for slots in loads]))
    whole, fresh = policy(pool), policy(pool)
    since_s = seen[-20].time_s - decide.memory_s
    for observation in seen:
        found = whole.decide(observation)
        if observation.time_s >= since_s:
            again = fresh.decide(observation)
        if observation.time_s >= seen[-20].time_s:
            assert again == found


# Gaps.


def test_after_hours_without_readings_it_goes_on() -> None:
    world, decide = World(POOL, wanted=8), policy()
    list(told(decide, world, steady(4.0, 60)))
    for _ in range(400):
        world.pass_tick(4.0)
    *_, last = told(decide, world, steady(4.0, 3))
    assert 5 <= target(decide.decide(last), 0) <= 12


def test_a_source_that_starts_anew_is_no_quiet_hour() -> None:
    world, decide = World(POOL, wanted=8), policy()
    list(told(decide, world, steady(4.0, 60)))
    before = world.wanted
    world.arrived = world._begun = world._done = world._busy_s = world._late = 0.0
    found = [world.wanted for _ in told(decide, world, steady(4.0, 4))]
    assert min(found) >= before - 1


# Stories.


def bursts(ticks: int, every: int, length: int, low: float, high: float) -> list[float]:
    return [high if k % every < length else low for k in range(-every // 2, ticks)]


def wanted_in(pool: PoolTraits, loads: list[float], first: int, wanted: int = 6) -> tuple[list[int], World]:
    """Replicas wanted from a tick on."""
    world, decide = World(pool, wanted), policy(pool)
    found = [world.wanted for _ in told(decide, world, loads)]
    return found[first:], world


def test_where_replicas_start_soon_a_pool_follows_its_bursts() -> None:
    quick = replace(POOL, startup_s=5.0, startup_p95_s=5.0)
    loads = bursts(500, every=100, length=40, low=2.0, high=20.0)
    found, world = wanted_in(quick, loads, first=250)
    busy = [n for n, slots in zip(found, loads[250:], strict=True) if slots > 10]
    quiet = [n for n, slots in zip(found, loads[250:], strict=True) if slots < 10]
    assert np.median(busy) > 18
    assert np.median(quiet) < 0.5 * np.median(busy)
    assert world.late_share < 0.12


def rare_bursts(ticks: int, seed: int) -> list[float]:
    """Two minutes of 12 slots of load, at any time but a quarter of an hour apart in the mean; 2 slots in between."""
    random, loads = np.random.default_rng(seed), list[float]()
    while len(loads) < ticks:
        loads += [2.0] * int(random.exponential(60.0)) + [12.0] * 8
    return loads[:ticks]


def test_where_replicas_start_slower_than_bursts_pass_a_pool_holds_still_with_room_for_them() -> None:
    slow = replace(POOL, startup_s=600.0, startup_p95_s=600.0)
    found, world = wanted_in(slow, rare_bursts(1100, seed=2), first=600, wanted=12)
    assert min(found) >= 10
    assert max(found) - min(found) <= 6
    assert world.late_share < 0.12


def test_a_steady_load_has_enough_replicas_and_few_more() -> None:
    found, world = wanted_in(POOL, steady(8.0, 400), first=200)
    # M/M/c with 8 slots of load needs 10 servers for fewer than 5 % of the waits to be long, 9 for hardly stable.
    assert 9 <= np.mean(found) <= 13
    assert world.late_share < 0.08


# From zero.

ZERO = replace(POOL, at_least=0, startup_s=10.0, startup_p95_s=10.0)


def test_the_first_request_wakes_a_pool_that_slept_and_when_nobody_comes_it_sleeps_again() -> None:
    world, decide = World(ZERO, wanted=0), policy(ZERO)
    list(told(decide, world, steady(0.0, 60)))
    assert world.wanted == 0
    list(told(decide, world, [0.7]))
    assert world.arrived > 0
    assert world.wanted >= 1
    list(told(decide, world, steady(0.0, 120)))
    assert world.wanted == 0


@pytest.mark.parametrize("stated_s", [None, SERVICE_S])
def test_the_first_request_of_all_is_served_though_nothing_is_known(stated_s: float | None) -> None:
    world, decide = World(replace(ZERO, service_s=stated_s), wanted=0), policy(replace(ZERO, service_s=stated_s))
    *_, last = told(decide, world, [2.0])
    assert world.arrived > 0
    assert world.wanted == 1
    assert why(policy(replace(ZERO, service_s=stated_s)).decide(last)).startswith("wish 1: ")


def test_who_is_here_is_served_even_if_nobody_else_comes() -> None:
    world, decide = World(ZERO, wanted=0), policy(ZERO)
    list(told(decide, world, [2.0]))
    found = [(world.wanted, bool(world._waiting or world._running)) for _ in told(decide, world, steady(0.0, 60))]
    assert all(wanted >= 1 for wanted, anybody in found if anybody)


# Words.


def test_a_wish_says_what_it_is_made_of(ready_to_shrink: list[Observation]) -> None:
    decide = policy()
    *_, last = (decide.decide(observation) for observation in ready_to_shrink)
    words = str(last.reasons["m/v1"])
    assert words.startswith(f"wish {last.targets['m/v1']}: load of ")
    assert "slots" in words
    assert words.endswith("replica-seconds a late request")


def test_seconds_in_the_system_can_be_what_is_paid_for(ready_to_shrink: list[Observation]) -> None:
    wishes = []
    for cost in (0.01, 1.0, 30.0):
        decide = policy(spec=MpcSpec(holding_cost=cost))
        *_, last = (decide.decide(observation) for observation in ready_to_shrink)
        wishes.append(last.targets["m/v1"])
        assert str(last.reasons["m/v1"]).endswith(f"{cost:.3g} replica-seconds a request and second")
    assert wishes == sorted(wishes)
    assert wishes[0] < wishes[-1]
