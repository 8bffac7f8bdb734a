"""Decisions and window means that Knative serving itself gave, where a file of them lies beside the checkout.

All rows apply. What Knative keeps besides (the pod counter, the activator's own capacity, the name of the metric) does
not enter its arithmetic. Its three tests without rows are told here by hand.
"""

import json
from math import inf
from pathlib import Path
from typing import Any

import pytest

from policies.kpa import KpaSpec
from policies.kpa_scaler import Scaler, ScalerSettings
from policies.kpa_windows import Buckets
from policies.testing import seen, traits

BESIDE = Path(__file__).parents[3] / "shared" / "references"


def sequences(name: str) -> list[Any]:
    path = BESIDE / f"{name}.json"
    found: list[Any] = json.loads(path.read_text())["sequences"] if path.exists() else []
    missing = pytest.mark.skip(reason=f"no {path.name} beside the checkout")
    return found or [pytest.param(None, marks=missing)]


def settings(spec: dict[str, Any]) -> ScalerSettings:
    return ScalerSettings(
        target=spec["targetValue"],
        capacity=spec["totalValue"],
        stable_window_s=spec["stableWindowSeconds"],
        panic_threshold=spec["panicThreshold"],
        max_scale_up_rate=spec["maxScaleUpRate"],
        max_scale_down_rate=spec["maxScaleDownRate"],
        activation_scale=spec["activationScale"],
        scale_down_delay_s=spec["scaleDownDelaySeconds"] if spec["hasDelayWindow"] else 0.0,
        target_burst_capacity=spec["targetBurstCapacity"],
        reachable=spec["reachable"],
    )


@pytest.mark.parametrize("sequence", sequences("knative_kpa_differential"))
def test_the_scaler_decides_as_knative_did(sequence: dict[str, Any]) -> None:
    # The moment at which it was made was long after the moments of the sequence: a first panic has no end.
    scaler = Scaler(settings(sequence["spec"]), sequence["initial"]["maxPanicPods"], inf)
    for now_s, ready, stable, panic, *expected in sequence["steps"]:
        verdict = scaler.scale(now_s, ready, stable, panic)
        state = [scaler.panic_since_s is not None, scaler.panic_peak]
        assert [verdict.desired, verdict.excess_burst_capacity, *state] == expected


@pytest.mark.parametrize("sequence", sequences("knative_kpa_upstream_tests"))
def test_the_scaler_passes_knatives_own_tests(sequence: dict[str, Any]) -> None:
    scaler = Scaler(settings(sequence["spec"]), 0, 0.0)
    for step in sequence["steps"]:
        scaler.settings = settings(step.get("specChange", sequence["spec"]))
        now_s, before, after = step["tSeconds"], step["pre"], step["post"]
        since_s = before["panicSinceSeconds"]
        scaler.panic_since_s = None if since_s is None else now_s - since_s
        scaler.panic_peak = before["maxPanicPods"]
        verdict = scaler.scale(now_s, step["readyPods"], step["stable"], step["panic"])
        assert verdict.desired == step["expected"]["desired"]
        assert verdict.excess_burst_capacity == step["actualExcessBurstCapacity"]
        assert (scaler.panic_since_s is not None, scaler.panic_peak) == (after["inPanic"], after["maxPanicPods"])


@pytest.mark.parametrize("sequence", sequences("knative_window_buckets_differential"))
def test_the_windows_have_the_means_that_knatives_had_to_the_last_bit(sequence: dict[str, Any]) -> None:
    buckets = Buckets(sequence["windowSeconds"], sequence["granularitySeconds"])
    for what, time_s, *values in sequence["ops"]:
        at = buckets.at(time_s)
        if what == "record":
            buckets.record(at, *values)
        else:
            assert [buckets.mean(at), buckets.weighted_mean(at), buckets.is_empty(at)] == values


@pytest.mark.parametrize(("ready", "in_panic"), [(0, False), (1, False), (2, True)])
def test_more_than_one_replica_at_the_start_is_a_panic(ready: int, in_panic: bool) -> None:
    scaler = Scaler(ScalerSettings(target=1.0, capacity=1.0), ready, 0.0)
    assert (scaler.panic_since_s is not None, scaler.panic_peak) == (in_panic, ready)


def test_replicas_that_cannot_be_counted_are_left_alone() -> None:
    policy = KpaSpec().build({"m/v1": traits()})
    decision = policy.decide(seen(0.0, wanted=None, queued=100, in_service=10))
    assert (decision.targets, decision.kept) == ({}, {"m/v1": "neither ready nor wanted replicas are known"})
