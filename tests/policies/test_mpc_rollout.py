"""Numbers of replicas followed on load paths: against queueing theory, against a simulation, and laws of cost."""

import json
from dataclasses import replace
from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import sim
from policies import specfile
from policies.mpc_load import PATHS
from policies.mpc_rollout import SHARES, HoldingPrice, LatePrice, Price, Situation, costs
from policies.queues import MMC
from sim.scenario import Scenario

SERVICE_S = 5.0
RESPONSE_S = 15.0
LEAD = 5


def situation(offered: NDArray[np.float64], ready: int, lead: int = LEAD, **known: object) -> Situation:
    """Equally likely paths, (paths, steps); an empty system of replicas with one slot, at the load of the paths."""
    paths, steps = offered.shape
    usual: dict[str, object] = {
        "offered": offered.astype(np.float32),
        "weights": np.full(paths, 1 / paths, np.float32),
        "level": float(offered.mean()),
        "in_system": 0.0,
        "queued": 0.0,
        "waited_s": 0.0,
        "ready": np.full(steps, ready, np.float32),
        "lead": lead,
        "readied": None,
        "step_s": SERVICE_S,
        "slots": 1,
        "service_s": SERVICE_S,
        "service_scv": 1.0,
    }
    return Situation(**(usual | known))  # type: ignore[arg-type]


def poisson(offered: NDArray[np.float64], paths: int, seed: int = 1) -> NDArray[np.float64]:
    """Paths of Poisson counts at this load, (steps,), over steps as long as a service."""
    return np.random.default_rng(seed).poisson(offered, (paths, len(offered))).astype(float)


def costs_of(at: Situation, replicas: NDArray[np.int_], price: Price) -> NDArray[np.float64]:
    return np.asarray(costs([at], replicas[None], [price])[0])


def late(at: Situation, replicas: int) -> float:
    """Expected number of late requests: what a price of one more replica-second for each adds to the cost."""
    return added(at, replicas, LatePrice(RESPONSE_S, 1.0), LatePrice(RESPONSE_S, 2.0))


def added(at: Situation, replicas: int, low: Price, high: Price) -> float:
    one, two = (float(costs_of(at, np.array([replicas]), price)[0]) for price in (low, high))
    return two - one


# Against theory: Poisson arrivals at one rate until the queue has settled.

QUEUES = [(0.5, 1), (0.5, 2), (3.0, 4), (8.0, 10), (8.0, 12), (25 / 3, 10), (40.0, 45)]


def settled(offered: float, servers: int) -> tuple[Situation, MMC]:
    queue = MMC(offered / SERVICE_S, SERVICE_S, servers)
    steps = 200
    paths = poisson(np.full(steps, offered), 200)
    return situation(paths, servers, lead=steps, in_system=queue.in_system), queue


@pytest.mark.parametrize(("offered", "servers"), QUEUES)
def test_the_mean_in_system_is_that_of_mmc_within_8_percent(offered: float, servers: int) -> None:
    at, queue = settled(offered, servers)
    seconds = added(at, servers, HoldingPrice(1.0), HoldingPrice(2.0))
    assert seconds / (200 * SERVICE_S) == pytest.approx(queue.in_system, rel=0.08)


def shares(offered: float, servers: int) -> tuple[float, float]:
    """Of those late for their wait: by the rollout, and exactly, with services at the shares that it goes by."""
    at, queue = settled(offered, servers)
    arrivals = float(at.offered.sum(axis=1).mean())
    exact = np.mean([queue.wait_tail(RESPONSE_S + SERVICE_S * np.log(1 - share)) for share in SHARES])
    return late(at, servers) / arrivals, float(exact)


@pytest.mark.parametrize(("offered", "servers"), QUEUES[2:])
def test_the_share_late_for_their_wait_is_that_of_mmc_within_a_third_and_half_a_percent(
    offered: float, servers: int
) -> None:
    found, exact = shares(offered, servers)
    assert found == pytest.approx(exact, rel=1 / 3, abs=0.005)


@pytest.mark.parametrize(("offered", "servers"), QUEUES[:2])
def test_of_one_or_two_servers_too_many_are_taken_to_be_late_and_not_too_few(offered: float, servers: int) -> None:
    found, exact = shares(offered, servers)
    assert exact < found < exact + 0.1


# Against a simulation: a burst of which a pool that is busy anyway needs minutes to recover.


def test_a_burst_makes_as_many_late_and_queue_as_long_as_when_it_is_simulated() -> None:
    loads = np.concatenate((np.full(24, 8.0), np.full(12, 16.0), np.full(36, 6.0)))
    described = {
        "name": "burst",
        "horizon_s": len(loads) * SERVICE_S,
        "warmup_s": 0.0,
        "replications": 60,
        "slo": {"response_s": RESPONSE_S},
        "models": [{"name": "m", "versions": [version(servers=10)]}],
        "traffic": [{"name": "c", "model": "m", "arrivals": piecewise(loads)}],
        "policy": {"kind": "fixed"},
    }
    figures = sim.simulate(specfile.parse(Scenario, json.dumps(described), "burst")).figures.overall
    at = situation(poisson(loads, 400), ready=10, lead=len(loads))
    arrivals = float(at.offered.sum(axis=1).mean())
    # By Little's law; and a service is by itself longer than the objective in exp(-3) of the cases.
    response_s = added(at, 10, HoldingPrice(1.0), HoldingPrice(2.0)) / arrivals
    missed = exp(-RESPONSE_S / SERVICE_S) + (1 - exp(-RESPONSE_S / SERVICE_S)) * late(at, 10) / arrivals
    assert response_s == pytest.approx(figures.response_s["mean"].value, rel=0.1)
    assert figures.slo_attainment is not None
    assert 1 - missed == pytest.approx(figures.slo_attainment.value, abs=0.05)


def version(servers: int) -> dict[str, object]:
    service = {"kind": "exponential", "mean_s": SERVICE_S}
    return {"name": "v1", "service": service, "replicas": {"initial": servers, "at_most": servers}}


def piecewise(loads: NDArray[np.float64]) -> dict[str, object]:
    changes = [k for k in range(len(loads)) if k == 0 or loads[k] != loads[k - 1]]
    return {
        "kind": "piecewise",
        "rates": [{"from_s": k * SERVICE_S, "rate_per_s": loads[k] / SERVICE_S} for k in changes],
    }


# Laws of cost.

paths = st.lists(st.lists(st.floats(0.0, 50.0), min_size=12, max_size=12), min_size=1, max_size=6).map(np.array)
slots = st.integers(1, 8)


@settings(deadline=None)
@given(paths, st.integers(0, 30), st.floats(0.0, 100.0), slots, st.sampled_from([0.0, 0.3, 1.0, 4.0]))
def test_more_replicas_never_make_more_late_and_never_hold_anybody_longer_before_one_can_react(
    offered: NDArray[np.float64], ready: int, in_system: float, slots: int, scv: float
) -> None:
    queued = max(0.0, in_system - ready * slots)
    at = situation(offered, ready, 12, in_system=in_system, queued=queued, waited_s=9.0, slots=slots, service_scv=scv)
    once, twice = (costs_of(at, np.arange(60), LatePrice(RESPONSE_S, replica_s)) for replica_s in (1.0, 2.0))
    number = twice - once
    assert np.all(np.isfinite([once, twice]))
    assert np.all(number >= -1e-2)
    assert np.all(number <= (offered.sum(axis=1).max() + queued) * 1.001 + 1e-2)
    assert np.all(np.diff(number) <= 1e-2 + 1e-3 * number[:-1])
    held = costs_of(at, np.arange(60), HoldingPrice(2.0)) - costs_of(at, np.arange(60), HoldingPrice(1.0))
    assert np.all(np.diff(held) <= 1e-2 + 2e-3 * held[:-1])


@settings(deadline=None)
@given(paths, st.integers(0, 20))
def test_cost_is_the_mean_over_the_paths_by_their_weights(offered: NDArray[np.float64], ready: int) -> None:
    price = LatePrice(RESPONSE_S, 7.0)
    weights = np.linspace(1, 2, len(offered))
    weights /= weights.sum()
    choices = np.array([0, 1, 5, 20])
    at = situation(offered, ready, level=4.0, in_system=3.0, weights=weights.astype(np.float32))
    together = costs_of(at, choices, price)
    one = np.ones(1, np.float32)
    paths = [replace(at, offered=path[None, :].astype(np.float32), weights=one) for path in offered]
    alone = [costs_of(path, choices, price) for path in paths]
    assert together == pytest.approx(weights @ np.stack(alone), rel=1e-4, abs=1e-2)


def test_the_cost_of_one_number_does_not_depend_on_the_others_asked_for() -> None:
    at = situation(poisson(np.full(12, 6.0), 20), ready=7, in_system=9.0, queued=2.0, waited_s=3.0)
    price = LatePrice(RESPONSE_S, 30.0)
    assert costs_of(at, np.array([8]), price) == pytest.approx(costs_of(at, np.array([4, 8, 12]), price)[1:2], rel=1e-5)


def any_situation(random: np.random.Generator) -> Situation:
    """Full or empty, with constant or scattered services and start-ups."""
    here = float(random.choice([0.0, 0.3, 4.0, 90.0]))
    return situation(
        random.choice([0.0, 1.0, 30.0]) * random.random((PATHS, 12)),
        ready=int(random.integers(0, 40)),
        level=float(random.choice([0.0, 0.01, 7.0])),
        in_system=here,
        queued=float(random.choice([0.0, here])),
        waited_s=float(random.choice([0.0, 3.0, 100.0])),
        readied=(None, 0.2)[random.integers(2)],
        step_s=float(random.uniform(1.0, 20.0)),
        slots=int(random.integers(1, 5)),
        service_s=float(random.uniform(0.5, 20.0)),
        service_scv=float(random.choice([0.0, 0.3, 1.0, 4.0])),
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(2, 40), st.integers(1, 9))
def test_what_is_found_of_a_pool_does_not_depend_on_the_others_to_the_last_bit(
    seed: int, pools: int, choices: int
) -> None:
    random = np.random.default_rng(seed)
    asked = [any_situation(random) for _ in range(pools)]
    replicas = random.integers(0, 60, (pools, choices))
    late: list[Price] = [LatePrice(RESPONSE_S, replica_s) for replica_s in random.uniform(1.0, 300.0, pools)]
    held: list[Price] = [HoldingPrice(replica_s) for replica_s in random.uniform(0.1, 30.0, pools)]
    for prices in (late, held):
        found = costs(asked, replicas, prices)
        assert np.all(np.isfinite(found))
        for at, numbers, price, together in zip(asked, replicas, prices, found, strict=True):
            assert costs_of(at, numbers, price).tolist() == together.tolist()
            # Nor on what else is asked of the same pool.
            assert costs_of(at, numbers[:1], price)[0] == together[0]


def test_without_requests_only_replicas_cost() -> None:
    at = situation(np.zeros((3, 12)), ready=4, level=0.0)
    found = costs_of(at, np.array([0, 1, 4]), LatePrice(RESPONSE_S, 1.0))
    # 12 steps of 5 s; nobody is late for sure, and none the likelier for a replica less beyond one.
    assert found == pytest.approx([0.0, 60.0, 240.0], abs=1e-3)


def test_replicas_that_are_coming_make_fewer_late() -> None:
    offered = np.full((1, 12), 8.0)
    six_and_four_later = np.array([6] * 3 + [10] * 9, np.float32)
    alone = situation(offered, ready=6, in_system=8.0)
    helped = replace(alone, ready=six_and_four_later)
    there = replace(alone, ready=np.full(12, 10, np.float32))
    assert late(alone, 10) > late(helped, 10) > late(there, 10)


def test_a_replica_started_now_helps_after_a_start_up_time_and_no_sooner() -> None:
    burst = np.zeros((1, 12))
    burst[0, 1:3] = 20.0
    soon = situation(burst, ready=4, level=0.1, lead=11)
    assert late(soon, 40) == pytest.approx(late(soon, 4), rel=1e-3)
    quick = replace(soon, lead=1)
    quick_few, quick_many = (late(replace(quick, ready=np.full(12, 4, np.float32)), n) for n in (4, 40))
    assert quick_many < 0.5 * quick_few


def test_where_start_ups_scatter_some_replicas_come_sooner_and_some_later() -> None:
    burst = np.zeros((1, 12))
    burst[0, 1:3] = 20.0
    none = situation(burst, ready=4, level=0.1, lead=11)
    shares = [late(replace(none, readied=share), 40) for share in (0.01, 0.1, 0.5)]
    assert late(none, 40) > shares[0] > shares[1] > shares[2]


def test_one_replica_less_is_one_less_from_now_on() -> None:
    at = situation(np.full((1, 12), 8.0), ready=10, in_system=8.0)
    assert late(at, 6) > late(at, 8) > late(at, 10)


def test_who_waits_already_counts_and_the_more_the_longer_they_have_waited() -> None:
    offered = np.full((1, 12), 4.0)
    nobody = situation(offered, ready=5, in_system=5.0)
    fresh, waiting = (situation(offered, 5, in_system=15.0, queued=10.0, waited_s=s) for s in (0.0, 5.0))
    assert late(waiting, 5) > late(fresh, 5) + 1 > late(nobody, 5) + 2


def test_who_is_late_already_is_no_reason_to_start_replicas() -> None:
    offered = np.zeros((1, 12))
    lost = situation(offered, 1, in_system=10.0, queued=9.0, waited_s=100.0)
    assert late(lost, 1) == pytest.approx(late(lost, 9), abs=1e-3)


def test_paths_that_want_more_later_get_it_whatever_is_chosen_now() -> None:
    ramp = np.linspace(2.0, 40.0, 12)[None, :]
    at = situation(ramp, ready=3, lead=1, level=2.0)
    assert late(at, 3) < 0.8 * late(replace(at, lead=12), 3)


@given(st.floats(0.0, 1000.0), st.floats(0.0, 2000.0), slots)
def test_more_than_the_greatest_is_of_no_use(load: float, in_system: float, slots: int) -> None:
    at = situation(np.full((1, 12), load), ready=1, in_system=in_system, slots=slots)
    assert at.greatest() * slots >= max(load, in_system)
    assert situation(np.full((1, 12), load + 1), ready=1, in_system=in_system, slots=slots).greatest() >= at.greatest()


def test_services_longer_than_a_time_are_those_of_the_gamma_law_of_their_scv() -> None:
    at = situation(np.ones((1, 12)), ready=1)
    assert at.longer_than(RESPONSE_S) == pytest.approx(exp(-3))
    constant = replace(at, service_scv=0.0)
    assert [constant.longer_than(s) for s in (4.9, 5.0)] == [1.0, 0.0]


def test_prices_say_what_they_are() -> None:
    assert str(LatePrice(15.0, 3.5)) == "3.5 replica-seconds a late request"
    assert str(HoldingPrice(0.25)) == "0.25 replica-seconds a request and second"
