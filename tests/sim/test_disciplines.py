"""Who is served next and where: a story for each rule, every moment of which can be checked by head."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from policies.schedule import ScheduleSpec, Step
from sim.arrivals import Times, Trace
from sim.balancers import least_outstanding, random, two_choices
from sim.cluster import Counter, Outcome, Requests
from sim.ledger import Request
from sim.scenario import Control, Failures, Mcq, Model, Replicas, RequestClass, Scenario, Shift, Slo, Version, Weighted
from sim.service import Constant
from sim.world import World


def run(
    arrivals: Mapping[str, Sequence[float]] | Sequence[float],
    queue: str | Mcq = "fcfs",
    balancer: str = "central",
    *,
    service_s: float = 1.0,
    replicas: int = 1,
    slots: int = 1,
    room: int | None = None,
    patience_s: float | None = None,
    failures: Failures | None = None,
    steps: Mapping[float, int] | None = None,
    startup_s: float = 0.0,
    until_s: float = 100.0,
    classes: Mapping[str, Mapping[str, Any]] | None = None,
    slo_s: float | None = None,
) -> World:
    """One pool; `classes` has more fields of some request classes, `steps` the replicas wanted from a time on."""
    version = Version(
        name="v1",
        service=Constant(value_s=service_s),
        slots=slots,
        startup=Constant(value_s=startup_s),
        replicas=Replicas(initial=replicas),
        room=room,
        failures=failures,
    )
    named = arrivals if isinstance(arrivals, Mapping) else {"c": arrivals}
    patience = None if patience_s is None else Constant(value_s=patience_s)
    world = World(
        Scenario(
            name="story",
            horizon_s=until_s,
            control=Control(tick_s=1.0),
            slo=None if slo_s is None else Slo(response_s=slo_s),
            models=(Model(name="m", queue=queue, balancer=balancer, versions=(version,)),),  # type: ignore[arg-type]
            traffic=tuple(
                RequestClass(
                    name=name,
                    model="m",
                    arrivals=Times(at_s=tuple(at_s)),
                    patience_s=patience,
                    **(classes or {}).get(name, {}),
                )
                for name, at_s in named.items()
            ),
            policy=ScheduleSpec(
                steps=tuple(Step(at_s=t, replicas={"v1": n}) for t, n in (steps or {0.0: replicas}).items())
            ),
        ),
        engine="reference",
    )
    world.run_through(until_s)
    return world


def of_works(folder: Any, works_s: Sequence[float], queue: str, until_s: float = 100.0) -> Requests:
    """One server; requests that come at 0, 0.1, 0.2, ... with these works."""
    path = folder / "trace.csv"
    path.write_text("time_s,service_s\n" + "".join(f"{i / 10},{s}\n" for i, s in enumerate(works_s)))
    version = Version(name="v1", service=Constant(value_s=1.0), replicas=Replicas(initial=1))
    world = World(
        Scenario(
            name="works",
            horizon_s=until_s,
            models=(Model(name="m", queue=queue, versions=(version,)),),  # type: ignore[arg-type]
            traffic=(RequestClass(name="c", model="m", arrivals=Trace(file=str(path))),),
        ),
        engine="reference",
    )
    world.run_through(until_s)
    return world.requests()


def starts(world: World) -> list[float]:
    return world.requests().start_s.tolist()


def ends(world: World) -> list[float]:
    return world.requests().leave_s.tolist()


def slots_of(world: World) -> list[int]:
    return world.requests().slot.tolist()


def outcomes(world: World) -> list[str]:
    return [Outcome(o).name.lower() for o in world.requests().outcome]


# Disciplines.


def test_the_last_that_came_goes_first() -> None:
    assert starts(run([0.0, 0.1, 0.2, 0.3], "lcfs")) == [0.0, 3.0, 2.0, 1.0]


def test_the_least_work_goes_first_and_is_not_interrupted(tmp_path: Any) -> None:
    assert of_works(tmp_path, [4.0, 3.0, 1.0, 2.0], "sjf").start_s.tolist() == [0.0, 7.0, 4.0, 5.0]


def test_the_earliest_deadline_goes_first_and_who_has_none_goes_last() -> None:
    crowd = {"lax": [0.0, 0.1], "strict": [0.3], "free": [0.2]}
    deadlines = {"lax": {"deadline_s": 9.0}, "strict": {"deadline_s": 2.0}}
    # In order of arrival: lax, lax, free, strict.
    assert starts(run(crowd, "edf", classes=deadlines)) == [0.0, 2.0, 3.0, 1.0]
    # With an objective of 1 s for all that have no deadline of their own, free goes first: by 1.2 s.
    assert starts(run(crowd, "edf", classes=deadlines, slo_s=1.0)) == [0.0, 3.0, 1.0, 2.0]


@pytest.mark.parametrize("queue", ["priority", "mcq"])
def test_the_lowest_number_goes_first_and_among_equals_who_came_first(queue: str) -> None:
    crowd = {"low": [0.0, 0.1, 0.2], "high": [0.3, 0.4]}
    world = run(crowd, queue, classes={"low": {"priority": 5}, "high": {"priority": -1}})
    assert starts(world) == [0.0, 3.0, 4.0, 1.0, 2.0]


def test_weights_give_one_class_three_services_for_each_of_the_other() -> None:
    world = run({"a": [0.0] * 7, "b": [0.0] * 3}, Mcq(weights={"a": 3.0}))
    requests = world.requests()
    order = "".join("ab"[requests.request_class[i]] for i in requests.start_s.argsort(kind="stable"))
    # Keys of a: 1/3, 2/3, 1, ...; of b: 4/3 (the clock shows 1/3 as it comes), 7/3, 10/3; of equals a came first.
    assert order == "aaaabaaabb"


def test_a_class_saves_nothing_up_while_it_is_away() -> None:
    world = run({"a": [0.0] * 5, "b": [3.5, 3.5]}, Mcq(weights={"a": 1.0}))
    # At 3.5 the clock shows 4, the key of a's fourth; b's keys are 5 and 6, and a's fifth, 5, came first.
    assert starts(world) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_a_request_that_comes_back_has_what_is_left_as_its_work() -> None:
    failures = Failures(every=Constant(value_s=4.0), repair=Constant(value_s=1.0), on_crash="resume")
    # Both bring 5 s. The first has 1 s left when the crash sends it back at 4.
    world = run([0.0, 0.5], "lcfs", service_s=5.0, failures=failures, until_s=8.0)
    assert starts(world)[1] == 5.0
    world = run([0.0, 0.5], "sjf", service_s=5.0, failures=failures, until_s=8.0)
    assert starts(world)[0] == 5.0
    assert ends(world)[0] == 6.0


# Balancers.


def test_round_robin_takes_turns_whoever_is_free() -> None:
    world = run([0.0, 0.1, 0.2, 2.5, 2.6], "fcfs", "round_robin", service_s=2.0, replicas=2)
    assert slots_of(world) == [0, 1, 0, 1, 0]
    assert starts(world) == [0.0, 0.1, 2.0, 2.5, 4.0]


def test_a_replica_that_goes_is_left_out_of_the_turn() -> None:
    world = run(
        [0.0, 0.1, 0.2, 1.5, 1.6, 1.7, 1.8],
        "fcfs",
        "round_robin",
        service_s=0.01,
        replicas=3,
        steps={0.0: 3, 1.0: 2, 1.75: 3},
    )
    # Place 2, the youngest, goes at 1 and is there again at the tick at 2.
    assert slots_of(world) == [0, 1, 2, 0, 1, 0, 1]


def test_the_shortest_queue_counts_those_in_service() -> None:
    world = run([0.0, 0.1, 0.2, 0.3, 1.2], "fcfs", "join_shortest_queue", service_s=1.0, replicas=2)
    # At 1.2 both have one in service and none waiting: the first is chosen.
    assert slots_of(world) == [0, 1, 0, 1, 0]


def test_the_least_used_of_equals_is_the_one_chosen_longest_ago() -> None:
    at_s = [0.0, 1.0, 2.0, 3.0]
    shortest = run(at_s, "fcfs", "join_shortest_queue", service_s=0.5, replicas=3)
    assert slots_of(shortest) == [0, 0, 0, 0]
    outstanding = run(at_s, "fcfs", "least_outstanding", service_s=0.5, replicas=3)
    assert slots_of(outstanding) == [0, 1, 2, 0]


class Waiting:
    """A replica's place and how many it has."""

    def __init__(self, place: int, outstanding: int, chosen: int = -1) -> None:
        self.place, self.outstanding, self.chosen = place, outstanding, chosen


def drawn(balance: float) -> Request:
    request = Request(0, 0, 0, 0, 0.0, 1.0)
    request.balance = balance
    return request


@pytest.mark.parametrize(
    ("balance", "one", "of_two"),
    # v = 3 u: the first is its whole part a, the second the whole part of 2 (v - a), of those that are not a.
    [(0.0, 0, 1), (0.2, 0, 2), (0.4, 1, 1), (0.6, 1, 2), (0.7, 2, 2), (0.99, 2, 2)],
)
def test_a_draw_names_one_replica_or_two_different_ones(balance: float, one: int, of_two: int) -> None:
    three: list[Any] = [Waiting(0, 2), Waiting(1, 1), Waiting(2, 0)]
    assert random(three, drawn(balance), -1).place == one
    assert two_choices(three, drawn(balance), -1).place == of_two
    assert two_choices(three[:1], drawn(balance), -1).place == 0
    alike: list[Any] = [Waiting(place, 1) for place in range(3)]
    assert two_choices(alike, drawn(balance), -1).place == one


def test_a_replica_never_chosen_goes_before_all_chosen_ones() -> None:
    replicas: list[Any] = [Waiting(0, 1, 4), Waiting(1, 1, 3), Waiting(2, 1), Waiting(3, 2)]
    assert least_outstanding(replicas, drawn(0.0), 0).place == 2


def test_room_is_that_of_the_pool_and_a_turn_is_spent_on_who_is_rejected() -> None:
    world = run([0.0, 0.1, 0.2, 0.3, 1.05], "fcfs", "round_robin", replicas=2, room=1)
    # The third waits at place 0; the fourth finds one waiting, and with it place 1 has had its turn.
    assert outcomes(world) == ["completed"] * 3 + ["rejected", "completed"]
    assert slots_of(world) == [0, 1, 0, -1, 0]


def test_who_comes_before_any_replica_is_ready_waits_in_the_hall() -> None:
    steps = {0.0: 0, 1.0: 2}
    world = run([0.1, 0.2, 0.3, 5.0], "lcfs", "round_robin", replicas=0, steps=steps, startup_s=2.0)
    # Both are ready at 3; the hall is left in order of arrival, and the third waits behind the first.
    assert starts(world) == [3.0, 3.0, 4.0, 5.0]
    assert slots_of(world) == [0, 1, 0, 1]


def test_patience_ends_in_the_hall_too_and_room_counts_it() -> None:
    world = run([0.0, 1.0, 2.0, 3.0], "fcfs", "random", replicas=0, patience_s=2.5, room=2, until_s=10.0)
    assert outcomes(world) == ["abandoned", "abandoned", "rejected", "abandoned"]
    assert ends(world) == [2.5, 3.5, 2.0, 5.5]


def test_a_closed_replica_serves_its_own_line_to_the_end() -> None:
    world = run([0.0] * 6, "fcfs", "round_robin", service_s=4.0, replicas=2, steps={0.0: 2, 1.0: 1})
    # The younger, place 1, is closed at 1 and has its third done at 12; it is paid for till then.
    assert ends(world) == [4.0, 4.0, 8.0, 8.0, 12.0, 12.0]
    assert world.pools["m/v1"].paid_s == 100.0 + 12.0


def test_a_crash_sends_those_who_wait_to_another_replica_as_patient_as_they_were() -> None:
    failures = Failures(every=Constant(value_s=5.0), repair=Constant(value_s=50.0), on_crash="retry")
    # The second replica is there from 3 to 8; the first crashes at 5 with one in service and one waiting.
    world = run(
        [0.0, 4.0, 4.5, 4.6],
        "fcfs",
        "join_shortest_queue",
        service_s=9.0,
        failures=failures,
        steps={0.0: 1, 3.0: 2},
        patience_s=2.5,
        until_s=30.0,
    )
    # Of those who wait, the third came back from the first replica; the fourth was at the second all the time.
    assert outcomes(world) == ["present", "present", "abandoned", "abandoned"]
    assert ends(world)[2:] == [7.0, 7.1]


def test_a_crash_that_loses_takes_those_who_wait_there_too() -> None:
    failures = Failures(every=Constant(value_s=5.0), repair=Constant(value_s=1.0), on_crash="lose")
    world = run([0.0, 1.0], "fcfs", "random", service_s=9.0, failures=failures, until_s=30.0)
    assert outcomes(world) == ["failed", "failed"]
    counted = world.cluster.look(0)[0]
    assert (counted[Counter.FAILED], counted[Counter.QUEUED], counted[Counter.IN_SERVICE]) == (2, 0, 0)


# Processor sharing.


def test_two_share_a_server_and_the_second_leaves_last() -> None:
    # Alone until 1, both at half speed until 3, then the second alone.
    world = run([0.0, 1.0], "ps", service_s=2.0, slots=5)
    assert ends(world) == [3.0, 4.0]
    assert world.cluster.look(0)[0, Counter.BUSY] == (3 + 3) << 20


def test_who_finds_all_slots_taken_waits_for_one_of_them() -> None:
    world = run([0.0, 0.0, 0.5], "ps", service_s=1.0, slots=2)
    assert starts(world) == [0.0, 0.0, 2.0]
    assert slots_of(world) == [0, 1, 0]
    assert ends(world) == [2.0, 2.0, 3.0]


def test_the_next_goes_to_the_replica_that_serves_fewest() -> None:
    world = run([0.0, 0.1, 0.2, 0.3, 0.4], "ps", service_s=50.0, slots=2, replicas=3, until_s=10.0)
    assert slots_of(world) == [0, 2, 4, 1, 3]


def test_a_crash_of_a_shared_replica_leaves_what_virtual_time_left() -> None:
    failures = Failures(every=Constant(value_s=3.0), repair=Constant(value_s=1.0), on_crash="resume")
    world = run([0.0, 1.0], "ps", service_s=4.0, slots=2, failures=failures, until_s=20.0)
    # At 3 the first has had 1 + 1 s, the second 1 s; from 4 to 7 they get 1.5 s each; at 8 they lack 0.5 and 1.5 s.
    assert ends(world) == [9.0, 10.0]


# One queue for all versions of a model.


def of_two_versions(
    arrivals: Mapping[str, Sequence[float]],
    *,
    works_s: tuple[float, float] = (2.0, 3.0),
    until_s: float = 50.0,
    **more: Any,
) -> World:
    """Class a may be served by v1 and v2, which routing by weight makes its home; class b by v2 alone."""
    versions = tuple(
        Version(name=name, service=Constant(value_s=s), replicas=Replicas(initial=1), failures=failures)
        for name, s, failures in zip(("v1", "v2"), works_s, more.pop("failures", (None, None)), strict=True)
    )
    weights = Weighted(weights={"v1": 1e-12, "v2": 1}, by_class={"b": {"v2": 1}}, shifts=more.pop("shifts", ()))
    world = World(
        Scenario(
            name="global",
            horizon_s=until_s,
            models=(Model(name="m", queue="gq", routing=weights, versions=versions, **more),),
            traffic=tuple(RequestClass(name=n, model="m", arrivals=Times(at_s=tuple(t))) for n, t in arrivals.items()),
        ),
        engine="reference",
    )
    world.run_through(until_s)
    return world


def test_the_version_free_longest_serves_with_its_own_work() -> None:
    world = of_two_versions({"a": [0.0, 0.0, 2.5, 3.5]})
    requests = world.requests()
    # Both free since 0: the first version first. At 2.5 it is free since 2; at 3.5 v2 since 3.
    assert requests.pool.tolist() == [0, 1, 0, 1]
    assert ends(world) == [2.0, 3.0, 4.5, 6.5]
    assert requests.work_s.tolist() == [2.0, 3.0, 2.0, 3.0]


def test_a_free_version_takes_the_first_that_it_may_serve() -> None:
    world = of_two_versions({"a": [0.0, 0.0, 1.0], "b": [0.5]})
    # At 2 v1 is free: b, who waits longer, is not for it.
    requests = world.requests()
    assert requests.start_s.tolist() == [0.0, 0.0, 3.0, 2.0]
    assert requests.pool.tolist() == [0, 1, 1, 0]


def test_who_waits_is_counted_at_home_and_who_is_served_where_that_is() -> None:
    world = of_two_versions({"a": [0.0, 0.0, 1.0, 1.5]}, room=1, until_s=1.8)
    v1, v2 = world.cluster.look(0)[0], world.cluster.look(1)[0]
    counters = [Counter.ARRIVED, Counter.IN_SERVICE, Counter.QUEUED, Counter.REJECTED]
    assert v1[counters].tolist() == [0, 1, 0, 0]
    assert v2[counters].tolist() == [4, 1, 1, 1]
    assert world.requests().pool.tolist() == [0, 1, 1, 1]


def test_a_shift_lets_other_versions_take_those_who_wait() -> None:
    shift = Shift(at_s=1.0, weights={"v1": 1.0}, request_class="b")
    world = of_two_versions({"b": [0.0, 0.1, 5.0]}, works_s=(2.0, 30.0), shifts=(shift,))
    assert world.requests().pool.tolist() == [1, 0, 0]
    assert starts(world) == [0.0, 1.0, 5.0]


def test_what_is_left_is_left_at_the_version_that_crashed() -> None:
    crash = Failures(every=Constant(value_s=1.5), repair=Constant(value_s=20.0), on_crash="resume")
    world = of_two_versions({"a": [0.0]}, failures=(crash, None))
    # Another version begins anew.
    assert world.requests().pool.tolist() == [1]
    assert (starts(world), ends(world)) == ([1.5], [4.5])
