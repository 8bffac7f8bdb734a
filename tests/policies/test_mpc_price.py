"""Model predictive control: what a late request costs, and the planning of many pools."""

import numpy as np
import pytest

from policies import mpc
from policies.histogram import Histogram
from policies.mpc import Mpc, MpcSpec
from policies.observation import Flow, Observation, PoolReading
from policies.testing import traits

TICK_S = 15.0
SERVICE_S = 5.0
SPEC = MpcSpec(response_s=20.0)


def policy(*names: str) -> Mpc:
    return SPEC.build({name: traits(name, service_s=SERVICE_S, startup_s=60.0, startup_p95_s=75.0) for name in names})


def priced(late_share: float) -> float:
    """Replica-seconds that a late request costs where such a share was late, of a thousand."""
    decide = policy("m/v1")
    for k in range(101):
        ended, late = 10.0 * k, 10.0 * k * late_share
        flow = Flow(
            queued=0.0,
            in_service=4.0,
            arrived_total=10.0 * k,
            response_s=Histogram((20.0,), (ended - late, ended), SERVICE_S * ended),
        )
        reading = PoolReading(wanted=6, ready=6, starting=0, age_s=0.0, total=flow)
        decision = decide.decide(Observation(k * TICK_S, {"m/v1": reading}))
    return float(str(decision.reasons["m/v1"].because).split(" at ")[-1].split()[0])


def test_the_price_rises_the_more_were_late() -> None:
    prices = [priced(share) for share in (0.0, 0.02, 0.05, 0.1, 0.3, 1.0)]
    assert prices == sorted(prices)
    assert prices[1] < 0.75 * prices[3] < prices[4]


def test_the_price_has_bounds() -> None:
    assert priced(1.0) == priced(0.9)
    assert priced(1.0) / priced(0.0) <= mpc.GREATEST_FACTOR / mpc.LEAST_FACTOR + 1


def test_of_many_pools_a_part_is_planned_at_a_tick_and_each_within_a_few() -> None:
    names = [f"m{k}/v1" for k in range(100)]
    many = policy(*names)
    for k in range(30):
        reading = PoolReading(
            wanted=30, ready=30, age_s=0.0, total=Flow(queued=0.0, in_service=4.0, arrived_total=12.0 * k)
        )
        decision = many.decide(Observation(k * TICK_S, dict.fromkeys(names, reading)))
    # Like pools differ by no more than the load did between two turns.
    assert max(decision.targets.values()) - min(decision.targets.values()) <= 2
    assert max(decision.targets.values()) < 10
    assert len(decision.targets) == 100


def fleet_seen(ticks: int) -> list[Observation]:
    """A dozen pools with loads, start-up times and pasts of their own."""
    random, totals, seen = np.random.default_rng(3), np.zeros(len(FLEET)), []
    for k in range(ticks):
        slots = 4.0 * np.arange(len(FLEET)) * (1 + np.sin(k / 9.0 + np.arange(len(FLEET))))
        totals += random.poisson(slots * TICK_S / SERVICE_S)
        shown = {
            pool.name: reading(float(total), float(random.poisson(load)))
            for number, (pool, total, load) in enumerate(zip(FLEET, totals, slots, strict=True))
            if k >= 5 * number
        }
        seen.append(Observation(k * TICK_S, shown))
    return seen


FLEET = [
    traits(f"m{k}/v1", service_s=SERVICE_S, startup_s=20.0 * (k + 1), startup_p95_s=(25.0, 60.0)[k % 2] * (k + 1))
    for k in range(12)
]


def reading(total: float, here: float) -> PoolReading:
    flow = Flow(
        queued=max(here - 10.0, 0.0),
        in_service=min(here, 10.0),
        arrived_total=total,
        started_total=total,
        completed_total=total,
        busy_s_total=SERVICE_S * total,
        response_s=Histogram((20.0,), (0.9 * total, total), SERVICE_S * total),
    )
    return PoolReading(wanted=10, ready=10, starting=0, age_s=2.0, total=flow)


@pytest.mark.parametrize("spec", [SPEC, MpcSpec(holding_cost=1.0)])
def test_each_of_many_pools_is_decided_as_if_it_were_alone(spec: MpcSpec) -> None:
    together, alone = spec.build({pool.name: pool for pool in FLEET}), [spec.build({p.name: p}) for p in FLEET]
    for observation in fleet_seen(ticks=100):
        found = together.decide(observation)
        each = [one.decide(observation) for one in alone]
        assert found.reasons == {name: reason for one in each for name, reason in one.reasons.items()}
        assert found.kept == {name: words for one in each for name, words in one.kept.items()}
    assert len(found.reasons) == len(FLEET)
