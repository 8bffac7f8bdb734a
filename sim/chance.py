"""What is left to chance in a scenario: what another seed would change."""

from collections.abc import Iterator

from sim.arrivals import Batch, Times, Trace
from sim.requests import recording
from sim.scenario import Model, Recorded, RequestClass, Scenario, Sticky, Version, Weighted
from sim.service import Constant

CHOOSING = ("random", "two_choices")
"""Balancers that draw lots."""


def chances(scenario: Scenario) -> list[str]:
    """A few words for each, each once; none where every run of the scenario is the same."""
    return list(dict.fromkeys(_chances(scenario)))


def arrivals_replayed(scenario: Scenario) -> bool:
    """Whether the same requests come at the same times with every seed."""
    return not any(_random_arrivals(c) for c in scenario.traffic)


def _chances(scenario: Scenario) -> Iterator[str]:
    for c in scenario.traffic:
        yield from _of_class(c, scenario.model(c.model))
    for model in scenario.models:
        for version in model.versions:
            yield from _of_version(version)
        if model.balancer in CHOOSING:
            yield "the balancer"
    if scenario.control.loss:
        yield "lost scrapes"


def _of_class(c: RequestClass, model: Model) -> Iterator[str]:
    recorded = recording(c, model)
    if _random_arrivals(c):
        yield "arrivals"
    if (recorded is None or recorded.service_s is None) and any(
        not isinstance(v.service, Constant) for v in model.versions
    ):
        yield "service times"
    if (recorded is None or recorded.patience_s is None) and not isinstance(c.patience_s, Constant | None):
        yield "patience"
    if _routed_by_lot(model, c.name):
        yield "routing"


def _random_arrivals(c: RequestClass) -> bool:
    arrivals = c.arrivals
    if isinstance(arrivals, Batch):
        return not (isinstance(arrivals.batches, Times) and isinstance(arrivals.size, int))
    return not isinstance(arrivals, Times | Trace)


def _routed_by_lot(model: Model, request_class: str) -> bool:
    match model.routing:
        case None | Recorded():
            return False
        case Weighted() | Sticky() as routing:
            shifted = [shift.weights for shift in routing.shifts if shift.request_class in (None, request_class)]
            return any(sum(w > 0 for w in weights.values()) > 1 for weights in (model.weights(request_class), *shifted))


def _of_version(version: Version) -> Iterator[str]:
    if not isinstance(version.startup, Constant):
        yield "start-up times"
    if version.failures is not None:
        yield "crashes"
