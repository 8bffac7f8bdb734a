"""What can be said of a scenario before it runs: that it is whole, what its policy reads, how loaded its pools are."""

from collections.abc import Iterator
from pathlib import Path

from policies.clairvoyant import FUTURE
from sim.requests import recording
from sim.scenario import Model, Scenario, Version, load


def checked(path: Path) -> Iterator[str]:
    """A few lines on a scenario file that is right.

    Raises `policies.specfile.SpecError` with all its faults, `ValueError` for a trace that does not fit it
    and for a policy that needs a future which cannot be foreseen.
    """
    scenario = load(path)
    for c in scenario.traffic:
        recording(c, scenario.model(c.model))
    yield f"{path}: ok: {len(scenario.pools)} pools, {len(scenario.traffic)} request classes, {scenario.horizon_s:,g} s"
    yield from (
        f"  {line}"
        for line in (*_policy_lines(scenario), *_load_lines(scenario), *_idle_lines(scenario), *_engine_lines(scenario))
    )


def _policy_lines(scenario: Scenario) -> Iterator[str]:
    readings = scenario.policy.build(scenario.pools).readings
    needs = ", ".join(sorted(readings.needed)) or "nothing"
    yield f"policy {scenario.policy.kind} reads {needs}"
    if FUTURE in readings.needed:
        from sim.foresight import check

        check(scenario)
    for reading, instead in readings.assumed.items():
        if reading in scenario.control.unseen:
            yield f"without {reading}, which is not seen here, it assumes {instead}"


def _load_lines(scenario: Scenario) -> Iterator[str]:
    """The load that each pool is offered in the long run, where arrivals have a rate known beforehand."""
    for model in scenario.models:
        # With one queue for several versions nobody knows beforehand who serves how many.
        if model.queue == "gq" and len(model.versions) > 1:
            continue
        offered = dict.fromkeys((v.name for v in model.versions), 0.0)
        for c in scenario.traffic:
            rate_per_s = getattr(c.arrivals, "mean_rate_per_s", None)
            weights = model.weights(c.name) if c.model == model.name else {}
            if rate_per_s is not None:
                for name, weight in weights.items():
                    offered[name] += rate_per_s * weight / sum(weights.values())
        for version in model.versions:
            erlangs = offered[version.name] * version.service.mean_s
            if erlangs > 0:
                yield f"{model.name}/{version.name}: work for {erlangs:.3g} {_start(model, version)} at the start"


def _start(model: Model, version: Version) -> str:
    """What a pool begins with, each of which does a second of work in a second."""
    if model.queue == "ps":
        return f"replicas on average, {version.replicas.initial}"
    return f"slots on average, {version.replicas.initial * version.slots}"


def _idle_lines(scenario: Scenario) -> Iterator[str]:
    """What is written in the file and has no effect."""
    for model in scenario.models:
        classes = [c for c in scenario.traffic if c.model == model.name]
        ranks = {c.priority for c in classes}
        name = model.queue if isinstance(model.queue, str) else "mcq with weights"
        if name in ("priority", "mcq") and len(ranks) == 1:
            yield f"{model.name} serves first come, first: all its classes have priority {ranks.pop()}"
        elif name not in ("priority", "mcq") and ranks - {0}:
            yield f"priority has no effect in {model.name}: its queue is {name}"
        if name == "edf" and len({scenario.target_s(c) for c in classes}) == 1:
            yield f"{model.name} serves first come, first: all its classes have the same deadline, or none"


def _engine_lines(scenario: Scenario) -> Iterator[str]:
    """Which models only the reference engine can simulate."""
    from sim.layout import UncompiledError, kind

    for model in scenario.models:
        try:
            kind(model, scenario)
        except UncompiledError as fault:
            yield str(fault)
