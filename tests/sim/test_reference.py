"""Small worlds whose every moment can be checked by head; some of them are traces that peers document."""

from pathlib import Path

import numpy as np
import pytest

from policies.schedule import ScheduleSpec, Step
from sim.arrivals import Arrivals, Times, Trace
from sim.cluster import Outcome
from sim.run import simulate
from sim.scenario import Control, Failures, Model, Replicas, RequestClass, Scenario, Shift, Version, Weighted
from sim.service import Constant, Duration
from sim.world import World

NEVER = float("nan")


def run(
    arrivals: Arrivals | list[float],
    service_s: float = 1.0,
    *,
    until_s: float = 100.0,
    replicas: int = 1,
    slots: int = 1,
    startup_s: float = 0.0,
    room: int | None = None,
    patience: Duration | None = None,
    failures: Failures | None = None,
    queue: str = "fcfs",
    steps: dict[float, int] | None = None,
    repeat_s: float | None = None,
) -> World:
    """One pool, run to the end; `steps` are the replicas wanted from a time on."""
    version = Version(
        name="v1",
        service=Constant(value_s=service_s),
        slots=slots,
        startup=Constant(value_s=startup_s),
        replicas=Replicas(initial=replicas),
        room=room,
        failures=failures,
    )
    if isinstance(arrivals, list):
        arrivals = Times(at_s=tuple(arrivals))
    plan = tuple(Step(at_s=t, replicas={"v1": n}) for t, n in (steps or {0.0: replicas}).items())
    world = World(
        Scenario(
            name="small",
            horizon_s=until_s,
            control=Control(tick_s=1.0),
            models=(Model(name="m", queue=queue, versions=(version,)),),  # type: ignore[arg-type]
            traffic=(RequestClass(name="c", model="m", arrivals=arrivals, patience_s=patience),),
            policy=ScheduleSpec(steps=plan, repeat_s=repeat_s),
        ),
        engine="reference",
    )
    world.run_through(until_s)
    return world


def starts(world: World) -> list[float]:
    return world.requests().start_s.tolist()


def ends(world: World) -> list[float]:
    return world.requests().leave_s.tolist()


def outcomes(world: World) -> list[str]:
    return [Outcome(o).name.lower() for o in world.requests().outcome]


def trace(folder: Path, text: str) -> Trace:
    path = folder / "trace.csv"
    path.write_text(text)
    return Trace(file=str(path))


def test_batches_queue_for_one_server(tmp_path: Path) -> None:
    # Ciw 3.2.7, test_arrival_node.py::test_batching, its clock 5 s later.
    rows = "\n".join(f"{t},{s}" for t in (0, 5, 7, 8, 13) for s in (2, 3))
    world = run(trace(tmp_path, f"time_s,service_s\n{rows}\n"))
    assert np.allclose(starts(world), np.array([5, 7, 10, 12, 15, 17, 20, 22, 25, 27]) - 5.0, atol=1e-9)
    assert np.allclose(ends(world), np.array([7, 10, 12, 15, 17, 20, 22, 25, 27, 30]) - 5.0, atol=1e-9)


def test_replicas_finish_what_they_have_when_the_pool_goes_to_zero() -> None:
    # Ciw 3.2.7, docs/Guides/Services/server_schedule.rst.
    world = run([3, 6, 9, 12, 15, 18], 5.0, until_s=20.0, steps={0.0: 1, 4.0: 2, 10.0: 0})
    assert ends(world)[:3] == [8.0, 11.0, 14.0]
    assert outcomes(world)[3:] == ["present"] * 3
    paid_s = world.pools["m/v1"].paid_s
    assert paid_s == (14 - 0) + (11 - 4)


def test_a_pool_that_comes_and_goes_in_cycles() -> None:
    # Ciw 3.2.7, test_scheduling.py::test_schedules_with_offset.
    cycle = {0.0: 1, 5.0: 0, 20.0: 6, 23.0: 0}
    world = run([0.1] * 10, 10.0, until_s=100.0, steps=cycle, repeat_s=30.0)
    assert np.allclose(ends(world), [10.1, 30, 30, 30, 30, 30, 30, 40, 60, 60], atol=1e-9)


def test_two_give_up_at_the_same_instant(tmp_path: Path) -> None:
    # Ciw 3.2.7, test_node.py::test_simultaneous_reneging, its clock 3 s later.
    text = "time_s,service_s,patience_s\n0,20,100\n1,20,7\n2,20,6\n17,20,100\n"
    world = run(trace(tmp_path, text))
    assert ends(world) == [20.0, 8.0, 8.0, 40.0]
    assert outcomes(world) == ["completed", "abandoned", "abandoned", "completed"]


def test_who_waits_gives_up_where_the_pool_has_gone() -> None:
    # Ciw 3.2.7, test_node.py::test_reneging_with_schedules.
    world = run([7, 14, 21], 11.0, until_s=27.0, steps={0.0: 1, 16.0: 0}, patience=Constant(value_s=3.0))
    assert ends(world) == [18.0, 17.0, 24.0]
    assert outcomes(world) == ["completed", "abandoned", "abandoned"]


def test_the_last_in_line_goes_first() -> None:
    # Ciw 3.2.7, test_simulation.py::test_last_in_first_out.
    world = run([1, 2, 3, 4, 5, 6, 7, 8, 9], 1.6, until_s=9.7, queue="lcfs")
    r = world.requests()
    done = r.outcome == Outcome.COMPLETED
    assert r.arrival_s[done].tolist() == [1.0, 2.0, 4.0, 5.0, 7.0]
    assert np.allclose(r.leave_s[done], [2.6, 4.2, 5.8, 7.4, 9.0], atol=1e-9)


def test_three_share_one_server() -> None:
    # Ciw 3.2.7, test_processor_sharing.py::test_update_service_end_dates_accept, run to the end.
    world = run([0.5, 0.7, 2.0], slots=50, queue="ps")
    assert np.allclose(ends(world), [2.45, 2.85, 3.5], atol=1e-9)


def test_at_most_three_share_one_server(tmp_path: Path) -> None:
    # Ciw 3.2.7, test_processor_sharing.py::test_ps_start_waitingcustomers_service_at_release, its clock 0.5 s later.
    world = run(trace(tmp_path, "time_s,service_s\n0,1\n0,2\n0,3\n1,4\n"), slots=3, queue="ps")
    assert np.allclose(starts(world), [0, 0, 0, 3], atol=1e-9)
    assert np.allclose(ends(world), [3, 6, 8, 10], atol=1e-9)


def test_a_slot_that_frees_at_the_last_moment_of_patience_serves() -> None:
    world = run([0, 1], 3.0, patience=Constant(value_s=2.0))
    assert starts(world) == [0.0, 3.0]


def test_who_comes_when_a_slot_frees_finds_it_free_but_for_those_who_wait() -> None:
    world = run([0, 1, 2], 2.0, room=0)
    assert outcomes(world) == ["completed", "rejected", "completed"]


def test_room_counts_those_who_wait_only() -> None:
    world = run([0, 0, 0, 0], 5.0, room=2)
    assert outcomes(world) == ["completed", "completed", "completed", "rejected"]


def test_the_longest_free_slot_is_next_then_the_lowest() -> None:
    world = run([0, 0, 0, 10, 11, 12], 3.0, replicas=1, slots=3)
    assert world.requests().slot.tolist() == [0, 1, 2, 0, 1, 2]


def test_a_new_replica_serves_once_it_has_started_up() -> None:
    world = run([0, 0, 0], 10.0, startup_s=4.0, steps={0.0: 1, 1.0: 3})
    assert starts(world) == [0.0, 5.0, 5.0]
    assert world.history.rows["m/v1"][3].replicas_starting == 2


def test_shrinking_takes_the_starting_then_the_idle_then_the_busy() -> None:
    world = run([0], 8.0, until_s=20.0, replicas=2, startup_s=5.0, steps={0.0: 2, 2.0: 3, 3.0: 2, 4.0: 1, 5.0: 0})
    rows = world.history.rows["m/v1"]
    assert [(r.replicas_starting, r.replicas_ready, r.replicas_draining) for r in rows[2:7]] == [
        (1, 2, 0),
        (0, 2, 0),
        (0, 1, 0),
        (0, 0, 1),
        (0, 0, 1),
    ]
    assert rows[-1].replica_s_total == 8.0 + 4.0 + 1.0


@pytest.mark.parametrize(
    ("on_crash", "ended_s", "outcome"),
    [("lose", 5.0, "failed"), ("retry", 17.0, "completed"), ("resume", 12.0, "completed")],
)
def test_a_crash_loses_or_returns_what_was_in_service(on_crash: str, ended_s: float, outcome: str) -> None:
    failures = Failures(every=Constant(value_s=5.0), repair=Constant(value_s=2.0), on_crash=on_crash)  # type: ignore[arg-type]
    service_s = 10.0 if on_crash == "resume" else 5.0 if on_crash == "retry" else 9.0
    world = run([0] if on_crash != "retry" else [1], service_s, until_s=30.0, failures=failures)
    if on_crash == "retry":
        # Crashes at 5, 12, 19, ...: five seconds of work never fit after the first but from ready to the next crash.
        assert starts(world)[0] == 7.0
        assert ends(world) == [12.0]
        return
    assert ends(world) == [ended_s]
    assert outcomes(world) == [outcome]


def test_a_request_that_comes_back_goes_before_all_that_came_later() -> None:
    failures = Failures(every=Constant(value_s=5.0), repair=Constant(value_s=1.0), on_crash="retry")
    world = run([0, 1, 2], 3.0, until_s=40.0, failures=failures)
    assert starts(world) == [0.0, 6.0, 12.0]


def test_a_shift_moves_the_traffic_from_its_moment_on() -> None:
    versions = tuple(Version(name=n, service=Constant(value_s=0.1), replicas=Replicas(initial=1)) for n in ("v1", "v2"))
    routing = Weighted(weights={"v1": 1}, shifts=(Shift(at_s=5.0, weights={"v2": 1}),))
    scenario = Scenario(
        name="shift",
        horizon_s=10.0,
        models=(Model(name="m", routing=routing, versions=versions),),
        traffic=(RequestClass(name="c", model="m", arrivals=Times(at_s=(1.0, 4.0, 5.0, 5.5, 9.0))),),
    )
    assert simulate(scenario, keep_requests=True).requests["pool"].tolist() == ["m/v1"] * 3 + ["m/v2"] * 2


def test_sticky_users_keep_their_version() -> None:
    from sim.requests import Workload
    from sim.scenario import Sticky
    from sim.streams import Stream

    versions = tuple(Version(name=n, service=Constant(value_s=0.1), replicas=Replicas(initial=1)) for n in ("v1", "v2"))
    model = Model(name="m", routing=Sticky(weights={"v1": 3, "v2": 1}, users=50), versions=versions)
    traffic = RequestClass(name="c", model="m", arrivals=Times(at_s=tuple(float(i) for i in range(5000))))
    scenario = Scenario(name="sticky", horizon_s=5000.0, models=(model,), traffic=(traffic,))
    (block,), _ = Workload(scenario, Stream(1)).until(5000.0)
    assert block.route is not None
    assert len(np.unique(block.route)) == 50
    assert 0.6 < np.mean(block.route < 0.75) < 0.9
