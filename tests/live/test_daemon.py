"""The daemon on virtual time against the twin: it scales, gives way, survives what goes wrong, and remembers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from live.assembly import Assembly, assemble
from live.board import Board
from live.clock import WallClock
from live.config import Bounds, Config, JournalSpec, LeaseSpec, Prometheus, Slo, Target
from live.daemon import Daemon, background
from live.demo import config as demo_config
from live.demo import record
from live.tally import Tally
from live.twin.clock import VirtualClock
from live.twin.cluster import Twin
from live.twin.load import Workload
from policies.afresh import Afresh
from policies.decision import Decision, Reason
from policies.faults import InputError
from policies.fcfs import FcfsSpec
from policies.fixed import FixedSpec
from policies.journal import Header, files, read
from policies.loop import Action, ControlLoop, Turn
from policies.observation import Observation
from policies.stabilized import Stabilized, StabilizedSpec
from policies.testing import Recording, Script, seen, traits

TICK_S = 15.0


def config(path: Path, **changes: Any) -> Config:
    target = Target(
        model="m",
        version="v1",
        name="web",
        replicas=Bounds(at_most=9),
        startup_s=30.0,
        service_s=1.0,
        cost_per_hour=3.6,
    )
    return replace(
        Config(
            prometheus=Prometheus(url="http://prometheus:9090"),
            tick_s=TICK_S,
            mode="active",
            slo=Slo(response_s=5.0),
            journal=JournalSpec(path=str(path)),
            lease=LeaseSpec(duration_s=45.0, renew_s=40.0, retry_s=5.0),
            targets=(target,),
            policy=StabilizedSpec(shrink_s=60.0, policy=FcfsSpec(wait_s=1.0)),
        ),
        **changes,
    )


class World:
    """A twin with one workload, whose time moves with the daemons of the test."""

    def __init__(self, folder: Path, rate_per_s: float = 3.0) -> None:
        self.folder, self.clock = folder, VirtualClock()
        self.twin = Twin(self.clock, np.random.default_rng(7))
        workload = Workload(
            name="web",
            namespace="default",
            startup_s=30.0,
            service_s=1.0,
            rate_per_s=lambda _: rate_per_s,
            rate_at_most_per_s=rate_per_s,
        )
        self.key = self.twin.add(workload)
        self.opened: list[Assembly] = []

    def daemon(self, name: str = "a", **changes: Any) -> Assembly:
        kubernetes, prometheus = self.twin.transport(), self.twin.prometheus_transport()
        chosen = config(self.folder / f"{name}.jsonl", **changes)
        self.opened.append(assemble(chosen, kubernetes, prometheus, self.clock))
        return self.opened[-1]

    def turns(self, daemons: Sequence[Assembly], number: int) -> None:
        for _ in range(number):
            for daemon in daemons:
                daemon.step()
                daemon.daemon.turn()
            self.clock.wait(TICK_S)

    @property
    def wanted(self) -> int | None:
        return self.twin.wanted(self.key)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for assembly in made.opened:
        assembly.close()


def turns(path: Path) -> list[Turn]:
    return [record for record in read(*files(path)) if isinstance(record, Turn)]


def test_it_scales_to_what_the_load_needs_and_says_why(world: World) -> None:
    daemon = world.daemon()
    world.turns([daemon], 60)
    assert world.wanted in range(4, 9)
    board = daemon.daemon.board
    (changes,) = board.changes().values()
    assert "arrivals/s" in str(changes[-1].reason)
    assert (board.turns_total, board.faults(), board.leadership.held) == (60, [], True)


def test_the_journal_replays_without_a_difference_across_a_restart(world: World, tmp_path: Path) -> None:
    daemon = world.daemon()
    world.turns([daemon], 20)
    daemon.close()
    world.turns([world.daemon()], 20)
    chosen = config(tmp_path / "a.jsonl")
    policy = Afresh.of(chosen.policy, chosen.pools)
    recorded = turns(tmp_path / "a.jsonl")
    assert len(recorded) == 40
    assert [policy.decide(turn.observation) for turn in recorded] == [turn.decision for turn in recorded]


def test_a_recording_replays_without_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "recorded.jsonl"
    record(path, 200)
    chosen = demo_config(path, "http://twin", 0)
    policy, recorded = Afresh.of(chosen.policy, chosen.pools), turns(path)
    assert len(recorded) == 200
    assert [policy.decide(turn.observation) for turn in recorded] == [turn.decision for turn in recorded]
    assert sum(bool(turn.actions) for turn in recorded) > 10


def test_each_start_says_in_the_journal_under_which_policy(world: World, tmp_path: Path) -> None:
    for replicas in (6, 2):
        daemon = world.daemon(policy=FixedSpec(replicas={"v1": replicas}))
        world.turns([daemon], 2)
        daemon.close()
    headers = [record for record in read(*files(tmp_path / "a.jsonl")) if isinstance(record, Header)]
    assert [header.policy for header in headers] == [{"kind": "fixed", "replicas": {"v1": n}} for n in (6, 2)]


def test_a_follower_decides_and_journals_and_does_not_write(world: World, tmp_path: Path) -> None:
    leader, follower = world.daemon("a"), world.daemon("b")
    world.turns([leader], 1)
    # The follower sees what is to be done before the leader does it.
    world.turns([follower, leader], 20)
    assert leader.daemon.board.leadership.held
    assert not follower.daemon.board.leadership.held
    assert follower.daemon.board.leadership.holder == leader.daemon.board.leadership.identity
    assert not follower.daemon.board.writes_total
    assert follower.daemon.board.faults() == []
    refused = {action.error for turn in turns(tmp_path / "b.jsonl") for action in turn.actions.values()}
    assert refused == {"the lease is not held"}
    assert len(turns(tmp_path / "b.jsonl")) == 20


def test_when_the_leader_ends_the_other_takes_over_at_its_next_step(world: World) -> None:
    leader, follower = world.daemon("a"), world.daemon("b")
    world.turns([leader, follower], 4)
    leader.close()
    world.turns([follower], 1)
    assert follower.daemon.board.leadership.held


def test_after_a_crash_the_other_takes_over_once_the_lease_has_run_out(world: World) -> None:
    leader, follower = world.daemon("a"), world.daemon("b")
    world.turns([leader, follower], 4)
    world.turns([follower], 2)
    assert not follower.daemon.board.leadership.held
    world.turns([follower], 2)
    assert follower.daemon.board.leadership.held


def test_a_shadow_writes_nothing_and_keeps_account_of_what_it_would_have_cost(world: World) -> None:
    daemon = world.daemon(mode="shadow")
    world.turns([daemon], 40)
    tally = daemon.daemon.board.tally
    assert world.wanted == 1
    assert daemon.lease is None
    assert tally.shadow.cost_usd > 3 * tally.seen.cost_usd
    # One replica bears a third of the load: hardly any request is quick, and the policy's five would do better.
    assert tally.seen.share is not None
    assert tally.seen.share < 0.5
    assert tally.shadow.share_at_most is not None
    assert tally.shadow.share_at_most > tally.seen.share


def test_once_told_to_stop_it_writes_no_more(world: World) -> None:
    daemon = world.daemon()
    daemon.step()
    daemon.stop(lambda: None)
    world.turns([daemon], 10)
    assert world.wanted == 1


def test_a_policy_that_does_not_fit_is_told_before_anything_is_done(world: World) -> None:
    with pytest.raises(InputError, match="policy: 'v9' is not the name of one pool"):
        world.daemon(policy=FixedSpec(replicas={"v9": 1}))


@dataclass
class Broken:
    """An actuator, or a policy, that fails in some turns."""

    fails: Callable[[], bool]
    memory_s: float = 0.0

    @property
    def readings(self) -> Any:
        return Script([]).readings

    def decide(self, _observation: Observation, /) -> Decision:
        if self.fails():
            raise ZeroDivisionError("by nothing")
        return Decision({"m/v1": Reason(3, "as told")})

    def apply(self, _decision: Decision) -> Mapping[str, Action]:
        if self.fails():
            raise RuntimeError("no hands")
        return {}


@dataclass
class Hours:
    """Parts that stand for the ports, on virtual time: each turn takes what it is told to."""

    took_s: Sequence[float]
    clock: VirtualClock = field(default_factory=VirtualClock)
    began_s: list[float] = field(default_factory=list)

    def read(self) -> Observation:
        self.began_s.append(self.clock.monotonic_s())
        k = len(self.began_s) - 1
        self.clock.wait(self.took_s[k] if k < len(self.took_s) else 0.0)
        return seen(self.clock.now_s())


def board(path: Path, clock: VirtualClock) -> Board:
    chosen = config(path)
    return Board(config=chosen, tally=Tally(chosen.pools, 5.0, 60.0), started_s=clock.now_s())


def driven(path: Path, hours: Hours, until_s: float) -> Daemon:
    records = Recording(())
    shown = board(path, hours.clock)
    loop = ControlLoop(Script([]), hours, records, records)
    daemon = Daemon(loop=loop, clock=hours.clock, board=shown)
    hours.clock.later(until_s, hours.clock.stop)
    daemon.run()
    return daemon


def test_turns_come_at_multiples_of_the_tick(tmp_path: Path) -> None:
    hours = Hours([1.0, 2.0, 0.5])
    driven(tmp_path / "j", hours, 61.0)
    assert hours.began_s == [0.0, 15.0, 30.0, 45.0, 60.0]


def test_a_turn_that_takes_too_long_leaves_ticks_out_and_none_pile_up(tmp_path: Path) -> None:
    hours = Hours([1.0, 40.0, 0.5])
    daemon = driven(tmp_path / "j", hours, 91.0)
    assert hours.began_s == [0.0, 15.0, 60.0, 75.0, 90.0]
    assert daemon.board.skipped_total == 2


def test_a_daemon_that_turns_is_alive_and_one_that_hangs_is_not(tmp_path: Path) -> None:
    hours = Hours([0.0])
    daemon = driven(tmp_path / "j", hours, 20.0)
    alive_s = daemon.board.alive_s
    assert alive_s == 15.0
    assert daemon.board.stuck(alive_s + 190.0) is None
    assert daemon.board.stuck(alive_s + 200.0) == "no turn for 200 s"


def guarded(path: Path, policy: Any, actuator: Any) -> tuple[Daemon, Recording]:
    clock = VirtualClock()
    records = Recording([seen(10.0 * k, wanted=1) for k in range(9)])
    shown = board(path, clock)
    loop = Daemon.guarding(ControlLoop(policy, records, actuator, records), clock, shown)
    return Daemon(loop=loop, clock=clock, board=shown), records


def test_a_policy_that_fails_keeps_the_replicas_and_is_journaled(tmp_path: Path) -> None:
    daemon, records = guarded(tmp_path / "j", Broken(lambda: True), Recording(()))
    daemon.turn()
    daemon.turn()
    kept = [turn.decision.kept["m/v1"] for turn in records.turns]
    assert kept == ["the policy failed: ZeroDivisionError: by nothing"] * 2
    (fault,) = daemon.board.faults()
    assert (fault.where, fault.times, daemon.board.errors_total) == ("policy", 2, {"policy": 2})


def test_an_actuator_that_fails_loses_no_turn(tmp_path: Path) -> None:
    daemon, records = guarded(tmp_path / "j", Script([3]), Broken(lambda: True))
    daemon.turn()
    assert records.turns[0].actions == {"m/v1": Action(None, None, "the actuator failed: RuntimeError: no hands")}
    assert {fault.where for fault in daemon.board.faults()} == {"actuator", "write"}


def test_a_sensor_that_fails_ends_one_turn_and_not_the_loop(tmp_path: Path) -> None:
    daemon, records = guarded(tmp_path / "j", Script([3, 4]), Recording(()))
    records.observations = ()
    assert daemon.turn() is None
    records.observations = [seen(0.0)]
    assert daemon.turn() is not None
    assert daemon.board.errors_total == {"turn": 1}


def test_a_thread_that_fails_begins_again(tmp_path: Path) -> None:
    clock, tried, ended = WallClock(), [0], Event()
    shown = board(tmp_path / "j", VirtualClock())

    def work() -> None:
        tried[0] += 1
        if tried[0] == 1:
            raise ZeroDivisionError("by nothing")
        ended.set()

    background([work], clock, shown)
    assert ended.wait(20.0)
    assert shown.errors_total == {"background": 1}


def test_a_clock_that_goes_back_makes_a_policy_begin_anew() -> None:
    def stabilized() -> Stabilized:
        return Stabilized(Script([9, 2, 2]), shrink_s=300.0, grow_s=0.0)

    policy = Afresh(stabilized)
    assert policy.decide(seen(1000.0, wanted=9)).targets == {"m/v1": 9}
    assert policy.decide(seen(1010.0, wanted=9)).targets == {"m/v1": 9}
    fresh = stabilized()
    assert policy.decide(seen(10.0, wanted=4)) == fresh.decide(seen(10.0, wanted=4))


def test_bounds_hold_for_whatever_a_file_names() -> None:
    policy = Afresh.of(FixedSpec(replicas={"v1": 50}), {"m/v1": traits(at_most=9)})
    assert policy.decide(seen(0.0)).targets == {"m/v1": 9}
