"""Pools that theory sized for mcq and gq, in simulation: targets are met, and with one replica fewer they are not."""

import pytest

from policies.class_sizing import Claim, slots_by_priority
from policies.gq_rule import Line, plan
from policies.queues import NonPreemptive, PriorityClass
from policies.sizing import Target
from sim.arrivals import Poisson
from sim.result import Result
from sim.run import simulate
from sim.scenario import Model, Replicas, RequestClass, Scenario, Version, Weighted
from sim.service import Exponential

GOLD, BATCH = (
    Claim(name="gold", load=PriorityClass(3.0, 2.0), wait_s=0.5, quantile=0.95, priority=0),
    Claim(name="batch", load=PriorityClass(2.5, 2.0), wait_s=4.0, quantile=0.9, priority=1),
)


def simulated(versions: dict[str, tuple[float, int]], rates_per_s: dict[str, float], queue: str) -> Result:
    """Versions (name -> mean service, replicas) of one model, under Poisson traffic of these classes by priority."""
    return simulate(
        Scenario(
            name="sized",
            horizon_s=40_000,
            seed=3,
            models=(
                Model(
                    name="m",
                    queue=queue,  # type: ignore[arg-type]
                    routing=Weighted(weights=dict.fromkeys(versions, 1.0)) if len(versions) > 1 else None,
                    versions=tuple(
                        Version(name=name, service=Exponential(mean_s=mean_s), replicas=Replicas(initial=n))
                        for name, (mean_s, n) in versions.items()
                    ),
                ),
            ),
            traffic=tuple(
                RequestClass(name=name, model="m", priority=k, arrivals=Poisson(rate_per_s=rate))
                for k, (name, rate) in enumerate(rates_per_s.items())
            ),
        ),
        keep_requests=True,
    )


def share_in_time(result: Result, within_s: float, request_class: str | None = None) -> float:
    requests = result.requests
    assert requests is not None
    own = requests if request_class is None else requests[requests["request_class"] == request_class]
    return float((own["wait_s"] <= within_s).mean())


@pytest.mark.parametrize("fewer", [0, 1])
def test_classes_get_their_due_from_as_many_replicas_as_theory_says_and_not_from_fewer(fewer: int) -> None:
    slots = slots_by_priority([GOLD, BATCH], 1) - fewer
    result = simulated({"v1": (2.0, slots)}, {"gold": 3.0, "batch": 2.5}, "mcq")
    queue = NonPreemptive((GOLD.load, BATCH.load), slots)
    shares = [share_in_time(result, c.wait_s or 0.0, c.name) for c in (GOLD, BATCH)]
    for position, (claim, share) in enumerate(zip((GOLD, BATCH), shares, strict=True)):
        assert share == pytest.approx(1.0 - queue.wait_tail(position, claim.wait_s or 0.0), abs=0.015)
    assert all(share > claim.quantile - 0.01 for claim, share in zip((GOLD, BATCH), shares, strict=True)) == (not fewer)


def test_the_cheapest_mix_behind_one_queue_meets_the_target_with_little_to_spare() -> None:
    fast = Line(
        name="fast", slots=1, service_s=1.0, service_scv=1.0, at_least=0, at_most=40, cost_per_hour=3.0, share=0.4
    )
    slow = Line(name="slow", slots=1, service_s=3.0, service_scv=1.0, at_least=0, at_most=40, cost_per_hour=1.2)
    found = plan([fast, slow], Target(wait_s=1.0, quantile=0.9), 8.0)
    assert found is not None
    served = {x.name: (x.service_s, found.replicas[x.name]) for x in (fast, slow)}
    share = share_in_time(simulated(served, {"all": 8.0}, "gq"), 1.0)
    assert 0.9 <= share < 0.96
