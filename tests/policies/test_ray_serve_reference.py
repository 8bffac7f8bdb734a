"""Decisions that Ray Serve 2.60 itself gave, where a file of them lies beside the checkout. All rows apply."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from policies.observation import Observation
from policies.ray_serve import RayServeSpec
from policies.ray_serve_rule import Pending, decide
from policies.testing import seen, traits

BESIDE = Path(__file__).parents[3] / "shared" / "references" / "ray_serve_policy_differential.json"


def sequences() -> list[Any]:
    found: list[Any] = json.loads(BESIDE.read_text())["sequences"] if BESIDE.exists() else []
    missing = pytest.mark.skip(reason=f"no {BESIDE.name} beside the checkout")
    return found or [pytest.param(None, marks=missing)]


@pytest.mark.parametrize("sequence", sequences())
def test_the_rule_decides_as_ray_serve_did(sequence: dict[str, Any]) -> None:
    config = dict(sequence["config"])
    least, most = config.pop("min_replicas"), config.pop("max_replicas")
    rule = RayServeSpec(**config).rule
    pending: Pending | None = None
    for now_s, running, target, ongoing, output, decision in sequence["steps"]:
        reason, pending = decide(rule, pending, now_s, running, target, ongoing)
        assert reason.final == output
        assert max(least, min(reason.final, most)) == decision


@pytest.mark.parametrize("sequence", sequences())
def test_the_policy_decides_as_ray_serve_did(sequence: dict[str, Any]) -> None:
    """The same through readings; what is looked back at is the newest of them, as the rows give no others."""
    config = dict(sequence["config"])
    pools = {"m/v1": traits(at_least=config.pop("min_replicas"), at_most=config.pop("max_replicas"))}
    policy = RayServeSpec(look_back_period_s=0.001, aggregation_function="max", **config).build(pools)
    for now_s, running, target, ongoing, _, decision in sequence["steps"]:
        reading = seen(now_s, wanted=target, in_service=ongoing, queued=0.0).pools["m/v1"]
        observation = Observation(now_s, {"m/v1": replace(reading, ready=running)})
        assert policy.decide(observation).targets == {"m/v1": decision}
