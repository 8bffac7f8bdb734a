"""Model predictive control: what a late request costs, and how the planning of many pools is spread over ticks."""

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
