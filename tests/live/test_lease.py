"""Of several daemons one writes, whatever becomes of clocks, answers and processes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from live.config import LeaseSpec
from live.kube import KubeApi
from live.lease import KubeLease, new_identity
from live.twin import faults
from live.twin.api import FakeApi
from live.twin.clock import Skewed, VirtualClock
from live.twin.faults import Rule, Weather
from live.twin.front import DirectTransport, Front
from live.twin.kinds import NAMESPACES
from live.twin.objects import Writer


class Ground:
    """An API and any number of daemons before it, each with its own weather."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.api = FakeApi(self.clock.now_s)
        self.api.objects.create(NAMESPACES, "", {"metadata": {"name": "models"}}, Writer())

    def lease(self, name: str, rules: Sequence[Rule] = (), skew_s: float = 0.0, seed: int = 0) -> KubeLease:
        weather = Weather(rules, np.random.default_rng(seed))
        kube = KubeApi(DirectTransport(Front(self.api, self.clock, weather)))
        return KubeLease(kube, LeaseSpec(), "models", name, Skewed(self.clock, skew_s))

    def spec(self) -> Any:
        path = "/apis/coordination.k8s.io/v1/namespaces/models/leases/poolwright"
        return KubeApi(DirectTransport(Front(self.api, self.clock))).get(path)["spec"]


def test_the_first_takes_it_and_the_second_waits() -> None:
    ground = Ground()
    one, two = ground.lease("one"), ground.lease("two")
    assert (one.step(), two.step()) == (True, False)
    assert two.holder == "one"
    assert ground.spec()["holderIdentity"] == "one"


def test_who_is_killed_is_followed_within_the_time_of_the_lease() -> None:
    ground = Ground()
    one, two = ground.lease("one"), ground.lease("two")
    one.step()
    two.step()
    waited_s = 0.0
    while not two.step():
        ground.clock.wait(2.0)
        waited_s += 2.0
    assert 15.0 <= waited_s <= 17.0
    assert not one.held()
    assert ground.spec()["leaseTransitions"] == 1


def test_who_leaves_is_followed_at_once_and_never_holds_again() -> None:
    ground = Ground()
    one, two = ground.lease("one"), ground.lease("two")
    one.step()
    two.step()
    one.release()
    assert not one.held()
    assert two.step()
    assert not one.step()


def test_a_holder_that_cannot_renew_stops_before_another_may_begin() -> None:
    ground = Ground()
    rules: list[Rule] = []
    one, two = ground.lease("one", rules), ground.lease("two")
    one.step()
    rules.append(Rule(faults.Lost()))
    two.step()
    stopped_s = began_s = None
    for second in range(30):
        if stopped_s is None and not one.step():
            stopped_s = second
        if began_s is None and two.step():
            began_s = second
        ground.clock.wait(1.0)
    assert stopped_s == 10
    assert began_s == 15


@pytest.mark.parametrize("lost", [faults.Lost(done=True), faults.Lost(done=False)])
def test_a_renewal_whose_answer_was_lost_is_not_a_loss(lost: faults.Lost) -> None:
    ground = Ground()
    rules = [Rule(lost, verbs=("update",), times=1)]
    one = ground.lease("one", rules)
    for _ in range(10):
        assert one.step()
        ground.clock.wait(2.0)
    assert one.error is None


def test_renewals_that_all_take_effect_unheard_keep_the_lease() -> None:
    ground, rules = Ground(), list[Rule]()
    one = ground.lease("one", rules)
    one.step()
    rules.append(Rule(faults.Lost(done=True), verbs=("update",)))
    for _ in range(20):
        ground.clock.wait(2.0)
        assert one.step()


def test_a_conflict_on_ones_own_renewal_is_read_before_it_is_believed() -> None:
    ground = Ground()
    one = ground.lease("one", [Rule(faults.Refused(409), verbs=("update",), times=3)])
    held = []
    for _ in range(6):
        held.append(one.step())
        ground.clock.wait(2.0)
    assert held == [True] * 6


def test_a_process_that_starts_anew_under_the_same_name_is_another() -> None:
    assert new_identity() != new_identity()


def test_a_lease_that_was_deleted_is_made_anew() -> None:
    ground = Ground()
    one = ground.lease("one")
    one.step()
    transport = DirectTransport(Front(ground.api, ground.clock))
    transport.send("DELETE", "/apis/coordination.k8s.io/v1/namespaces/models/leases/poolwright")
    assert one.step()


@pytest.mark.parametrize("seed", range(60))
def test_no_two_hold_it_at_a_time_in_any_weather(seed: int) -> None:
    """Three daemons whose clocks on the wall differ by hours; each stops, starts anew and loses answers."""
    ground, draws = Ground(), np.random.default_rng(seed)
    effects = (
        faults.Lost(done=True),
        faults.Lost(done=False),
        faults.Refused(409),
        faults.Refused(500),
        faults.Slow(7.0),
    )
    rules = [
        [
            Rule(e, from_s=float(draws.uniform(0, 200)), until_s=300.0, chance=float(draws.uniform(0, 0.5)))
            for e in effects
        ]
        for _ in range(3)
    ]
    skews = draws.uniform(-7200, 7200, 3)

    def begun(k: int, birth: int) -> KubeLease:
        return ground.lease(f"{k}-{birth}", rules[k], float(skews[k]), seed + k)

    daemons, led = [begun(k, 0) for k in range(3)], 0
    for tick in range(500):
        for k in draws.permutation(3):
            if draws.random() < 0.8:
                daemons[k].step()
            holders = [d.identity for d in daemons if d.held()]
            assert len(holders) <= 1
            led += len(holders)
        if draws.random() < 0.02:
            k = int(draws.integers(3))
            if draws.random() < 0.5:
                daemons[k].release()
            daemons[k] = begun(k, tick + 1)
        ground.clock.wait(float(draws.uniform(0.1, 3.0)))
    assert led > 500
    # After the weather somebody leads.
    ground.clock.wait(30.0)
    assert any(daemon.step() for daemon in daemons for _ in range(3))
