"""What theory and others say of a scenario's times, held against what was simulated."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

from sim.measures import Estimate
from sim.scenario import Scenario
from sim.summary import Summary, finite
from sim.theory import Prediction, predictions


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure that is claimed or computed, beside the simulated one and its interval."""

    source: str
    measure: str
    """`mean response` or `mean wait`."""
    says_s: float
    simulated: Estimate
    note: str = ""

    @property
    def inside(self) -> bool | None:
        """None where the simulation has no interval."""
        if isnan(self.simulated.low) or isnan(self.simulated.high):
            return None
        return self.simulated.low <= self.says_s <= self.simulated.high

    @property
    def words(self) -> str:
        return {
            True: "inside the simulated interval",
            False: "outside the simulated interval",
            None: "not decided: the simulation has no interval",
        }[self.inside]

    def to_json(self) -> dict[str, Any]:
        known = asdict(self)
        known["simulated"] = finite(self.simulated.value)
        ends = [finite(self.simulated.low), finite(self.simulated.high)]
        return {**known, "simulated_ci95": ends, "inside": self.inside}


def verdicts(scenario: Scenario, figures: Summary) -> list[Verdict]:
    """Claims first, then theory pool by pool."""
    return [*_of_claims(scenario, figures), *_of_theory(scenario, figures)]


def _of_claims(scenario: Scenario, figures: Summary) -> Iterator[Verdict]:
    simulated = figures.overall.response_s["mean"]
    for claim in scenario.claims:
        yield Verdict(claim.source, "mean response", claim.response_s, simulated, claim.note)


def _of_theory(scenario: Scenario, figures: Summary) -> Iterator[Verdict]:
    for p in predictions(scenario):
        group = figures.by_version[p.pool] if p.request_class is None else figures.by_class[p.request_class]
        source = _source(p, several=len(figures.by_version) > 1)
        if p.response_s is not None:
            yield Verdict(source, "mean response", p.response_s, group.response_s["mean"], p.note)
        elif p.wait_s is not None:
            yield Verdict(source, "mean wait", p.wait_s, group.wait_s["mean"], p.note)


def _source(p: Prediction, several: bool) -> str:
    where = f" for {p.request_class or p.pool}" if several or p.request_class else ""
    return f"theory{where}, {p.queue}" if p.exact else f"approximate theory{where}, {p.queue}"
