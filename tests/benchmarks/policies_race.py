"""The race on one load: all settings on few seeds, the best of each rival and the candidate on all of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isnan

from policies_loads import Load
from policies_rivals import CANDIDATE, Specs, candidate, grid

import sim
from policies.clairvoyant import ClairvoyantSpec
from sim.comparison import CLAIRVOYANT, Comparison
from sim.intervals import Estimate
from sim.run import Progress

FEW = 2
"""Seeds on which all settings are tried."""
NEAR = 0.3
"""A setting that misses by this share of what may be late, on few seeds, may meet the objective on all."""
FINALISTS = 2
"""Of each rival."""
YARDSTICK_SEEDS = 3
"""The plan of one who knows the future takes long to find."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where a setting lies: the share in time, and the replicas that are paid for, in the mean."""

    setting: str
    attainment: float
    replicas: float

    def beats(self, other: "Point") -> bool:
        """No fewer in time, for less."""
        return self.attainment >= other.attainment and self.replicas < other.replicas


@dataclass(frozen=True, eq=False)
class Race:
    load: Load
    rivals: Mapping[str, Sequence[str]]
    """Rival -> its settings."""
    wide: Comparison
    """The candidate and all settings, on few seeds, on the first part of the horizon where the load says so."""
    final: Comparison
    """The candidate and the finalists, on all seeds; the same where those are no more."""
    yardstick: Comparison | None
    """The candidate and the clairvoyant; None on a burst, or where there is no plan to be found."""
    no_yardstick: str = ""

    @cached_property
    def best(self) -> dict[str, str]:
        """Rival -> its cheapest setting that meets the objective on all seeds; rivals that do not are left out."""
        found = {}
        for rival, settings in self.rivals.items():
            met = [p for p in points(self.final) if p.setting in settings and p.attainment >= self.load.slo.quantile]
            if met:
                found[rival] = min(met, key=lambda p: (p.replicas, -p.attainment)).setting
        return found

    @property
    def cheapest(self) -> str | None:
        """The cheapest of the best."""
        hours = {p.setting: p.replicas for p in points(self.final)}
        return min(self.best.values(), key=lambda setting: hours[setting], default=None)

    @property
    def meets(self) -> bool:
        return point(self.final, CANDIDATE).attainment >= self.load.slo.quantile

    @property
    def placed(self) -> dict[str, Point]:
        """Every setting, on all seeds where it got so far."""
        return {p.setting: p for p in (*points(self.wide), *points(self.final))}

    def beaten_by(self, rival: str) -> list[Point]:
        """The rival's settings with no fewer in time for less; on all seeds, where they got so far."""
        places = ((self.placed[setting], setting in self.final.figures) for setting in self.rivals[rival])
        ours = {True: point(self.final, CANDIDATE), False: point(self.wide, CANDIDATE)}
        return [p for p, on_all in places if p.beats(ours[on_all])]

    def against(self, setting: str) -> Estimate:
        """The candidate's replica-hours less the setting's, as a share of those."""
        return self.final.paired[CANDIDATE, setting]["replica_hours"].relative

    @property
    def over_clairvoyant(self) -> Estimate | None:
        """The candidate's replica-hours over those of the plan made with foresight."""
        if self.yardstick is None:
            return None
        more = self.yardstick.paired[CANDIDATE, CLAIRVOYANT]["replica_hours"].relative
        return Estimate(1 + more.value, 1 + more.low, 1 + more.high, more.batches)


def points(comparison: Comparison) -> list[Point]:
    return [point(comparison, name) for name in comparison.figures]


def point(comparison: Comparison, setting: str) -> Point:
    found = comparison.figures[setting]
    hours = comparison.scenario.horizon_s / 3600
    return Point(setting, found["slo_attainment"].value, found["replica_hours"].value / hours)


def frontier(of: Sequence[Point]) -> list[Point]:
    """Those to which no other is both cheaper and better, the cheapest first."""
    known = sorted((p for p in of if not isnan(p.attainment)), key=lambda p: (p.replicas, -p.attainment))
    kept: list[Point] = []
    for p in known:
        if not kept or p.attainment > kept[-1].attainment:
            kept.append(p)
    return kept


def raced(load: Load, jobs: int, progress: Progress, one_in: int, *, yardstick: bool) -> Race:
    """Run it. With `yardstick` the plan of the clairvoyant is sought too, on loads with a shape."""
    rivals = grid(load.scenario, one_in)
    ours: Specs = {CANDIDATE: candidate(load.scenario)}
    every = ours | {name: spec for specs in rivals.values() for name, spec in specs.items()}
    few = min(FEW, load.seeds)
    short = replace(load.scenario, horizon_s=load.first * load.scenario.horizon_s)
    wide = sim.compare(short, every, replications=few, jobs=jobs, progress=progress)
    names = {rival: list(specs) for rival, specs in rivals.items()}
    final = wide
    if load.seeds > few:
        chosen = ours | {name: every[name] for name in _finalists(load, names, wide)}
        final = sim.compare(load.scenario, chosen, replications=load.seeds, jobs=jobs, progress=progress)
    known, why = _yardstick(load, ours, jobs, progress) if yardstick and load.shaped else (None, "")
    return Race(load, names, wide, final, known, why)


def _finalists(load: Load, rivals: Mapping[str, Sequence[str]], wide: Comparison) -> Iterator[str]:
    """The cheapest of each rival that met the objective, or nearly, and those that beat the candidate by most."""
    asked, ours = load.slo.quantile, point(wide, CANDIDATE)
    for settings in rivals.values():
        mine = sorted((p for p in points(wide) if p.setting in settings), key=lambda p: p.replicas)
        met = [p for p in mine if p.attainment >= asked][:FINALISTS]
        near = [
            p
            for p in mine
            if asked - NEAR * (1 - asked) <= p.attainment < asked and (not met or p.replicas < met[0].replicas)
        ]
        better = [p for p in frontier(mine) if p.beats(ours)]
        # Where none comes near, the one that comes nearest is shown.
        last = [] if met or near else [max(mine, key=lambda p: p.attainment)]
        yield from dict.fromkeys(p.setting for p in (*met, *near[-FINALISTS:], *better[:FINALISTS], *last))


def _yardstick(load: Load, ours: Specs, jobs: int, progress: Progress) -> tuple[Comparison | None, str]:
    policies = ours | {CLAIRVOYANT: ClairvoyantSpec(attainment=max(0.99, load.slo.quantile))}
    seeds = min(YARDSTICK_SEEDS, load.seeds)
    try:
        return sim.compare(load.scenario, policies, replications=seeds, jobs=jobs, progress=progress), ""
    except ValueError as reason:
        return None, str(reason)
