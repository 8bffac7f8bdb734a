"""What can be said of a scenario before it runs: that it is whole, what its policy reads, how loaded its pools are."""

from collections.abc import Iterator
from pathlib import Path

from sim.requests import recording
from sim.scenario import Scenario, load


def checked(path: Path) -> Iterator[str]:
    """A few lines on a scenario file that is right.

    Raises `policies.specfile.SpecError` with all its faults, `ValueError` for a trace that does not fit it.
    """
    scenario = load(path)
    for c in scenario.traffic:
        recording(c, scenario.model(c.model))
    yield f"{path}: ok: {len(scenario.pools)} pools, {len(scenario.traffic)} request classes, {scenario.horizon_s:,g} s"
    yield from (f"  {line}" for line in (*_policy_lines(scenario), *_load_lines(scenario), *_idle_lines(scenario)))


def _policy_lines(scenario: Scenario) -> Iterator[str]:
    readings = scenario.policy.build(scenario.pools).readings
    needs = ", ".join(sorted(readings.needed)) or "nothing"
    yield f"policy {scenario.policy.kind} reads {needs}"
    for reading, instead in readings.assumed.items():
        if reading in scenario.control.unseen:
            yield f"without {reading}, which is not seen here, it assumes {instead}"


def _load_lines(scenario: Scenario) -> Iterator[str]:
    """The load that each pool is offered in the long run, where arrivals have a rate known beforehand."""
    for model in scenario.models:
        offered = dict.fromkeys((v.name for v in model.versions), 0.0)
        for c in scenario.traffic:
            rate_per_s = getattr(c.arrivals, "mean_rate_per_s", None)
            weights = model.weights(c.name) if c.model == model.name else {}
            if rate_per_s is not None:
                for name, weight in weights.items():
                    offered[name] += rate_per_s * weight / sum(weights.values())
        for version in model.versions:
            erlangs = offered[version.name] * version.service.mean_s
            slots = version.replicas.initial * version.slots
            if erlangs > 0:
                yield f"{model.name}/{version.name}: work for {erlangs:.3g} slots on average, {slots} at the start"


def _idle_lines(scenario: Scenario) -> Iterator[str]:
    """What is written in the file and has no effect."""
    if any(c.priority for c in scenario.traffic):
        yield "priority has no effect: every queue of this scenario is first come, first served"
