"""What theory says of a scenario: where it speaks, where it holds its tongue, and whether runs agree."""

from typing import Any

import pytest

from policies.queues import MMC, NonPreemptive, PriorityClass
from sim.arrivals import Poisson, Renewal
from sim.run import simulate
from sim.scenario import Mcq, Model, Replicas, RequestClass, Scenario, Version
from sim.service import BalancedHyperexponential, Constant, Duration, Exponential, Law
from sim.theory import Prediction, predictions

ONE_S = Exponential(mean_s=1.0)


def scenario(
    queue: str | Mcq = "fcfs",
    balancer: str = "central",
    *,
    rates_per_s: tuple[float, ...] = (0.8,),
    service: Law = ONE_S,
    replicas: int = 1,
    slots: int = 1,
    room: int | None = None,
    patience: Duration | None = None,
    horizon_s: float = 1000.0,
) -> Scenario:
    """One pool under Poisson traffic; the first class goes first where that counts."""
    version = Version(name="v1", service=service, slots=slots, replicas=Replicas(initial=replicas), room=room)
    return Scenario(
        name="theory",
        horizon_s=horizon_s,
        seed=2,
        models=(Model(name="m", queue=queue, balancer=balancer, versions=(version,)),),  # type: ignore[arg-type]
        traffic=tuple(
            RequestClass(name=f"c{i}", model="m", priority=i, arrivals=Poisson(rate_per_s=rate), patience_s=patience)
            for i, rate in enumerate(rates_per_s)
        ),
    )


def said(*args: Any, **more: Any) -> list[Prediction]:
    return predictions(scenario(*args, **more))


@pytest.mark.parametrize("queue", ["fcfs", "lcfs", "edf", "priority", "mcq", Mcq(weights={"c0": 2.0}), "gq"])
def test_the_mean_wait_of_all_is_the_same_in_any_order_that_does_not_look_at_the_work(queue: str | Mcq) -> None:
    (found,) = said(queue)
    assert (found.queue, found.exact, found.wait_s) == ("M/M/1", True, pytest.approx(4.0))


def test_priorities_are_told_class_by_class() -> None:
    # Cobham: 0.8 s of work is found in service, over 1 - 0.3, and over (1 - 0.3) (1 - 0.8).
    whole, first, second = said("priority", rates_per_s=(0.3, 0.5))
    assert whole.wait_s == pytest.approx(4.0)
    assert (first.request_class, first.wait_s) == ("c0", pytest.approx(0.8 / 0.7))
    assert (second.request_class, second.wait_s) == ("c1", pytest.approx(0.8 / (0.7 * 0.2)))
    assert first.note == "Cobham"


def test_priorities_at_several_servers_are_exact_for_exponential_services_only() -> None:
    classes = (PriorityClass(2.0, 1.0), PriorityClass(1.0, 1.0))
    _, first, second = said("mcq", rates_per_s=(2.0, 1.0), replicas=4)
    assert (first.wait_s, second.wait_s) == pytest.approx(NonPreemptive(classes, 4).wait_s)
    assert first.exact
    assert not said("mcq", rates_per_s=(2.0, 1.0), replicas=4, service=Constant(value_s=1.0))[1].exact


def test_weights_have_no_formula_class_by_class() -> None:
    assert [p.request_class for p in said(Mcq(weights={"c0": 2.0}), rates_per_s=(0.3, 0.5))] == [None]


def test_shortest_job_first_has_no_formula() -> None:
    assert said("sjf") == []


def test_a_shared_server_answers_as_quickly_as_a_queue_of_exponential_services() -> None:
    (found,) = said("ps", slots=4)
    assert (found.queue, found.exact, found.response_s) == ("M/M/1-PS", True, pytest.approx(5.0))
    (many,) = said("ps", slots=200, service=BalancedHyperexponential(mean_s=1.0, scv=4.0))
    assert (many.exact, many.response_s) == (True, pytest.approx(5.0))
    (few,) = said("ps", slots=4, service=BalancedHyperexponential(mean_s=1.0, scv=4.0))
    assert (few.exact, few.note) == (False, "as if more than 4 could share a replica")


def test_a_shared_server_with_a_limit_loses_as_many_whatever_the_service() -> None:
    # At most five there: truncated geometric (Kelly 1979).
    (found,) = said("ps", slots=5, room=0, rates_per_s=(0.9,), service=Constant(value_s=1.0))
    assert (found.queue, found.response_s) == ("M/D/1/5-PS", pytest.approx(2.7902859515))
    assert said("ps", slots=3, room=2, rates_per_s=(0.9,), service=Constant(value_s=1.0)) == []
    assert said("ps", slots=3, room=2, rates_per_s=(0.9,))[0].response_s == pytest.approx(2.7902859515)


def test_random_balancing_makes_a_queue_of_its_own_of_each_replica() -> None:
    (found,) = said("fcfs", "random", rates_per_s=(2.4,), replicas=3)
    assert (found.queue, found.rate_per_s, found.wait_s) == ("3 x M/M/1", 2.4, pytest.approx(4.0))
    (shared,) = said("ps", "random", rates_per_s=(2.4,), replicas=3, slots=9)
    assert (shared.queue, shared.response_s) == ("3 x M/M/1-PS", pytest.approx(5.0))


def test_taking_turns_makes_arrivals_at_each_replica_more_regular() -> None:
    (found,) = said("fcfs", "round_robin", rates_per_s=(4.0,), replicas=5)
    assert (found.queue, found.exact) == ("5 x E5/M/1", False)
    # Exactly 2.1523 s (each replica is an E5/M/1 queue).
    assert found.wait_s == pytest.approx(2.1523, rel=0.1)


@pytest.mark.parametrize("balancer", ["two_choices", "join_shortest_queue", "least_outstanding"])
def test_other_balancers_have_no_formula_but_for_one_replica(balancer: str) -> None:
    assert said("fcfs", balancer, rates_per_s=(1.6,), replicas=2) == []
    assert said("fcfs", balancer)[0].wait_s == pytest.approx(4.0)


def test_room_is_shared_by_replicas_and_leaves_them_no_formula() -> None:
    assert said("fcfs", "random", rates_per_s=(1.6,), replicas=2, room=3) == []
    assert said("lcfs", room=3)[0].queue == "M/M/1/4"


def test_patience_that_all_have_alike_needs_to_know_the_order() -> None:
    assert [p.queue for p in said("fcfs", patience=Constant(value_s=2.0))] == ["M/M/1+D"]
    assert said("lcfs", patience=Constant(value_s=2.0)) == []
    assert [p.queue for p in said("lcfs", patience=Exponential(mean_s=2.0))] == ["M/M/1+M"]


def test_an_overloaded_pool_is_told_as_such() -> None:
    for queue in ("priority", "ps"):
        (found,) = said(queue, rates_per_s=(0.8, 0.5))
        assert (found.wait_s, found.note) == (None, "more load than it can bear")


def test_regular_arrivals_in_turns_stay_regular() -> None:
    base = scenario("fcfs", "round_robin", replicas=2)
    regular = RequestClass(name="c0", model="m", arrivals=Renewal(interarrival=Constant(value_s=0.6)))
    (found,) = predictions(Scenario(name="d", horizon_s=9.0, models=base.models, traffic=(regular,)))
    assert found.queue == "2 x D/M/1"


@pytest.mark.parametrize(
    "whole",
    [
        scenario("priority", rates_per_s=(0.3, 0.4), horizon_s=60_000.0),
        scenario("mcq", rates_per_s=(1.0, 1.0), replicas=3, horizon_s=30_000.0),
        scenario("lcfs", replicas=2, rates_per_s=(1.4,), horizon_s=40_000.0),
        scenario("ps", slots=3, rates_per_s=(0.7,), horizon_s=60_000.0),
        scenario(
            "ps", "random", slots=50, replicas=2, rates_per_s=(1.2,), service=Constant(value_s=1.0), horizon_s=4e4
        ),
        scenario("fcfs", "random", replicas=3, rates_per_s=(2.1,), horizon_s=20_000.0),
    ],
    ids=["priority", "mcq", "lcfs", "ps", "ps random", "random"],
)
def test_runs_agree_with_what_is_said_to_be_exact(whole: Scenario) -> None:
    verdicts = simulate(whole).verdicts
    assert len(verdicts) == len(predictions(whole))
    assert [(v.source, v.inside) for v in verdicts] == [(v.source, True) for v in verdicts]


def test_a_formula_for_another_queue_is_seen_to_be_off() -> None:
    # Two lines at random are another thing than one line before both.
    apart = simulate(scenario("fcfs", "random", replicas=2, rates_per_s=(1.6,), horizon_s=2e4))
    assert apart.figures.overall.response_s["mean"].low > MMC(1.6, 1.0, 2).response_s
