"""Counts and sums of replicas are kept, not walked for: here they are walked for, and must be the same."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sim import replicas as under_test
from sim.cluster import Harvest, OnCrash, Requests
from sim.environment import Environment
from sim.replicas import Meter, Replicas

SLOTS = 2


@dataclass
class Life:
    """What became of one replica, as the slots it was given tell it."""

    started_s: float
    ready_s: float
    busy_until_s: float = -1.0
    closed_s: float | None = None
    served_s: float = 0.0
    """Before its last crash."""

    def gone_s(self) -> float:
        return float("inf") if self.closed_s is None else max(self.closed_s, self.busy_until_s)

    def serving_s(self, now_s: float) -> float:
        return self.served_s + max(0.0, min(now_s, self.gone_s()) - self.ready_s)


@dataclass
class Floor:
    """The `Cluster` port of slots that are busy as long as they are told to be, which writes down every life."""

    env: Environment
    lives: list[Life] = field(default_factory=list)
    there: dict[int, Life] = field(default_factory=dict)
    opened: list[tuple[range, float]] = field(default_factory=list)
    asked: int = 0

    def open(self, _pool: int, slots: range, from_s: float) -> None:
        self.opened.append((slots, from_s))
        for place in range(slots.start // SLOTS, slots.stop // SLOTS):
            life = self.there.get(place)
            if life is None or life.closed_s is not None:
                assert life is None or life.gone_s() <= self.env.now
                life = self.there[place] = Life(self.env.now, from_s)
                self.lives.append(life)
            life.ready_s = from_s

    def close(self, _pool: int, slots: range) -> None:
        self._at(slots).closed_s = self.env.now

    def crash(self, _pool: int, slots: range, _on_crash: OnCrash) -> None:
        life = self._at(slots)
        life.served_s = life.serving_s(self.env.now)
        life.busy_until_s = -1.0

    def busy(self, _pool: int, slots: range) -> int:
        self.asked += 1
        return int(self._at(slots).busy_until_s > self.env.now)

    def freed_s(self, _pool: int, slots: range) -> float:
        return self._at(slots).busy_until_s

    def shift(self, request_class: int, weights: Mapping[str, float]) -> None:
        raise NotImplementedError

    def look(self, pool: int) -> NDArray[np.int64]:
        raise NotImplementedError

    def harvest(self) -> Harvest:
        raise NotImplementedError

    def present(self) -> Requests:
        raise NotImplementedError

    def _at(self, slots: range) -> Life:
        assert len(slots) == SLOTS
        return self.there[slots.start // SLOTS]


def pool(*startups_s: float) -> tuple[Environment, Floor, Replicas]:
    """A pool whose replicas take these times to start up, again and again."""
    env = Environment()
    floor = Floor(env)
    draws = cycle(startups_s or (0.0,))
    return env, floor, Replicas(env, floor, 0, SLOTS, lambda n: np.array([next(draws) for _ in range(n)]))


def check_counts(env: Environment, floor: Floor, replicas: Replicas) -> None:
    now = env.now
    there = [life for life in floor.lives if life.closed_s is None]
    seen = replicas.counts()
    assert seen.wanted == replicas.wanted == len(there) == len(list(replicas))
    assert seen.starting == sum(life.ready_s > now for life in there)
    assert seen.ready == sum(life.ready_s <= now for life in there)
    assert seen.draining == sum(life.closed_s is not None and life.gone_s() > now for life in floor.lives)
    assert replicas.paid_s == sum(min(now, life.gone_s()) - life.started_s for life in floor.lives)
    assert replicas.serving_s == sum(life.serving_s(now) for life in floor.lives)
    assert [replica.birth for replica in replicas] == sorted(replica.birth for replica in replicas)


def look(replicas: Replicas) -> tuple[float, ...]:
    """Wanted, starting, ready, draining; replica-seconds paid for and serving."""
    return (*replicas.counts(), replicas.paid_s, replicas.serving_s)


Move = Callable[[Environment, Floor, Replicas], None]

eighths_s = st.integers(0, 40).map(lambda n: n / 8)


def waits(time_s: float) -> Move:
    return lambda env, _floor, _replicas: env.run_through(env.now + time_s)


def scales(target: int) -> Move:
    return lambda _env, _floor, replicas: replicas.scale(target)


def serves(which: int, time_s: float) -> Move:
    def move(env: Environment, floor: Floor, replicas: Replicas) -> None:
        for replica in [r for r in replicas if r.ready_s <= env.now][which : which + 1]:
            floor.there[replica.place].busy_until_s = env.now + time_s

    return move


def crashes(which: int, repair_s: float) -> Move:
    def move(env: Environment, _floor: Floor, replicas: Replicas) -> None:
        for replica in [r for r in replicas if r.ready_s <= env.now][which : which + 1]:
            replicas.crash(replica, "lose", repair_s)

    return move


moves = st.lists(
    st.builds(waits, eighths_s)
    | st.builds(scales, st.integers(0, 8))
    | st.builds(serves, st.integers(0, 7), eighths_s)
    | st.builds(crashes, st.integers(0, 7), eighths_s),
    max_size=40,
)


def check_moves(initial: int, startups_s: list[float], told: list[Move]) -> None:
    env, floor, replicas = pool(*startups_s)
    replicas.begin(initial)
    for move in told:
        move(env, floor, replicas)
        check_counts(env, floor, replicas)
    waits(100.0)(env, floor, replicas)
    check_counts(env, floor, replicas)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 8), st.lists(eighths_s, min_size=1, max_size=3), moves)
def test_what_is_kept_is_what_walking_over_all_lives_finds(
    initial: int, startups_s: list[float], told: list[Move]
) -> None:
    check_moves(initial, startups_s, told)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 8), st.lists(eighths_s, min_size=1, max_size=3), moves)
def test_looking_changes_nothing(initial: int, startups_s: list[float], told: list[Move]) -> None:
    looked, unseen = (pool(*startups_s) for _ in range(2))
    for env, floor, replicas in (looked, unseen):
        replicas.begin(initial)
        for move in told:
            move(env, floor, replicas)
            if replicas is looked[2]:
                look(replicas)
    assert look(looked[2]) == look(unseen[2])
    assert looked[1].opened == unseen[1].opened
    assert looked[1].lives == unseen[1].lives


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)).map(sorted)), st.randoms())
def test_no_order_of_starts_and_stops_changes_a_sum(lives: list[list[float]], random: Random) -> None:
    forth, back = Meter(), Meter()
    for start_s, stop_s in lives:
        forth.start(start_s)
        forth.stop(stop_s)
    random.shuffle(lives)
    for start_s, _ in lives:
        back.start(start_s)
    for _, stop_s in reversed(lives):
        back.stop(stop_s)
    assert forth.total_s(0.0) == back.total_s(1e9)
    assert forth.total_s(0.0) == pytest.approx(sum(stop_s - start_s for start_s, stop_s in lives), abs=1e-4)


def test_neighbours_that_are_ready_together_are_opened_together() -> None:
    env, floor, replicas = pool(3.0, 3.0, 3.0, 5.0)
    replicas.begin(10_000)
    replicas.scale(10_004)
    assert floor.opened == [(range(20_000), 0.0), (range(20_000, 20_006), 3.0), (range(20_006, 20_008), 5.0)]
    env.run_through(10.0)
    assert look(replicas) == (10_004, 0, 10_004, 0, 100_040.0, 10_000 * 10.0 + 3 * 7.0 + 5.0)


def test_a_gap_between_places_is_left_alone() -> None:
    env, floor, replicas = pool()
    replicas.begin(4)
    for place in (0, 2):
        floor.there[place].busy_until_s = 1.0
    replicas.scale(0)
    floor.opened.clear()
    replicas.scale(3)
    assert [slots for slots, _ in floor.opened] == [range(2, 4), range(6, 10)]
    assert replicas.counts() == (3, 0, 3, 2)
    env.run_through(1.0)
    assert look(replicas) == (3, 0, 3, 0, 5.0, 5.0)


def test_a_look_at_ten_thousand_ready_replicas_asks_the_cluster_nothing() -> None:
    env, floor, replicas = pool()
    replicas.begin(10_000)
    env.run_through(60.0)
    assert look(replicas) == (10_000, 0, 10_000, 0, 600_000.0, 600_000.0)
    assert floor.asked == 0


def test_a_thousand_idle_ones_go_without_a_look_at_the_others() -> None:
    _, floor, replicas = pool()
    replicas.begin(10_000)
    replicas.scale(9_000)
    assert [replica.birth for replica in replicas] == list(range(9_000))
    assert floor.asked == 2_000


def test_the_young_go_first_where_all_are_as_busy() -> None:
    env, floor, replicas = pool()
    replicas.begin(6)
    for place in (1, 2, 3, 5):
        floor.there[place].busy_until_s = 1.0
    replicas.scale(2)
    assert [replica.place for replica in replicas] == [1, 2]
    env.run_through(2.0)
    assert replicas.paid_s == 2 * 2.0 + 2 * 1.0


@pytest.mark.parametrize("forgotten", ["_settle", "_note_ready"])
def test_what_is_forgotten_is_seen(forgotten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [scales(4), waits(2.0), serves(3, 2.0), scales(0), waits(3.0)]
    check_moves(2, [1.0], told)
    monkeypatch.setattr(under_test.Replicas, forgotten, lambda _replicas: None)
    with pytest.raises(AssertionError):
        check_moves(2, [1.0], told)


def test_those_still_starting_go_before_idle_ones_the_young_first() -> None:
    env, _, replicas = pool(5.0)
    replicas.begin(2)
    replicas.scale(5)
    env.run_through(1.0)
    replicas.scale(4)
    assert [replica.birth for replica in replicas] == [0, 1, 2, 3]
    replicas.scale(1)
    assert [replica.birth for replica in replicas] == [0]
    assert look(replicas) == (1, 0, 1, 0, 5.0, 2.0)
