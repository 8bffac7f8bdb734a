"""The other disciplines, each on the compiled plane against the same on the reference engine."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from cases import DENSE, Case, two_classes
from findings import Figure
from measuring import Bench, compared
from ours import ENGINES, counters_under_ticks, of_scenario, quiet_s, scenario_of
from timing import Contender, race

from sim.world import Engine

CASE = Case(servers=10)
SAME = 20_000
"""Requests that both engines serve to show that they do the same."""


@dataclass(frozen=True, slots=True)
class Discipline:
    """Ten servers, two request classes, and a model that says how it serves them."""

    of_model: tuple[tuple[str, Any], ...]

    def __call__(self, bench: Bench) -> Figure:
        runs = race({engine: self._on(engine) for engine in ENGINES}, bench.cpu_s, bench.repetitions)
        return compared(runs["plane"], runs["reference"], self._difference())

    def _on(self, engine: Engine) -> Contender:
        return lambda requests: of_scenario(self._described(requests), CASE.tick_s(DENSE), engine)

    def _difference(self) -> str:
        scenario = scenario_of(self._described(SAME))
        plane, reference = (counters_under_ticks(scenario, CASE.tick_s(DENSE), e) for e in ENGINES)
        differing = np.count_nonzero(plane != reference)
        return f"{differing} of {plane.size} counters differ from the reference engine's" if differing else ""

    def _described(self, requests: int) -> dict[str, Any]:
        horizon_s = CASE.horizon_s(requests)
        return two_classes(CASE.scenario(horizon_s, quiet_s(horizon_s), **dict(self.of_model)))
