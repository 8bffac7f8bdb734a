"""Policies that met the same requests, side by side: figures, paired differences, and what can be said for sure."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from policies import specfile
from policies.catalog import PolicySpec
from policies.spec import plain
from sim.intervals import Estimate
from sim.paired import LEVEL, Difference, Figure, difference, figures, holm, replications_needed, surprise
from sim.pieces import MEASURES, Piece
from sim.result import replacing, software
from sim.scenario import Scenario
from sim.summary import finite

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

RECORD = "comparison.json"
CLAIRVOYANT = "clairvoyant"
"""The kind of policy that knows the future."""
Objective = Literal["met", "missed", "open", "none"]
"""Of the SLO: met or missed for sure, as far as that can be; `open` where the interval spans it; `none` without one."""


@dataclass(frozen=True, slots=True)
class Told:
    """Whether two figures, or a figure and what is asked, can be told apart; else what it would take.

    `apart` is None where there are no intervals to tell by; `needed` are the replications, in all, that would do if
    value and spread are as they seem, None where they are too many to name.
    """

    apart: bool | None
    needed: int | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """One scenario under several policies.

    `figures[policy][measure]` are the measures of `sim.pieces.MEASURES`, `paired[a, b][measure]` the difference a - b
    of each pair in both orders. Intervals are pointwise 95 %; what is said of the SLO and of the price of each pair
    holds with 95 % for all statements together (Holm 1979).
    """

    scenario: Scenario
    policies: Mapping[str, PolicySpec]
    batches: Mapping[str, Sequence[Piece]]
    sampled: Mapping[str, Mapping[str, Figure]]
    paired: Mapping[tuple[str, str], Mapping[str, Difference]]
    attained: Mapping[str, Told]
    """Policy -> whether its SLO attainment can be told from what is asked."""
    priced: Mapping[tuple[str, str], Told]
    """Pair, in both orders -> whether their prices can be told apart."""
    warmup_s: float
    given_reference: str | None = None
    partial: str | None = None
    """How much there is, where it was broken off."""

    @cached_property
    def figures(self) -> dict[str, dict[str, Estimate]]:
        return {name: {m: f.estimate for m, f in found.items()} for name, found in self.sampled.items()}

    @property
    def replications(self) -> int:
        return len(self._any) if self.scenario.replications > 1 else 1

    @property
    def statements(self) -> int:
        """How many statements hold together."""
        pairs = [told for (a, b), told in self.priced.items() if a < b]
        return sum(told.apart is not None for told in [*self.attained.values(), *pairs])

    @property
    def price(self) -> str:
        """The measure that policies are priced by: their cost, or replica-hours where replicas have no price."""
        return price_of(self.figures)

    @property
    def clairvoyant(self) -> str | None:
        """The policy that knows the future, if it is among them."""
        return next((name for name, spec in self.policies.items() if str(spec.kind) == CLAIRVOYANT), None)

    def objective(self, policy: str) -> Objective:
        slo, share = self.scenario.slo, self.figures[policy]["slo_attainment"].value
        if slo is None or math.isnan(share):
            return "none"
        if self.attained[policy].apart is False:
            return "open"
        return "met" if share >= slo.quantile else "missed"

    def attains(self, policy: str) -> bool:
        """Whether its figure meets the SLO, for sure or not."""
        slo = self.scenario.slo
        return slo is not None and self.figures[policy]["slo_attainment"].value >= slo.quantile

    @cached_property
    def reference(self) -> str:
        """The one that others are held against: as given, else the cheapest that meets the SLO, else the first."""
        if self.given_reference is not None:
            return self.given_reference
        candidates = [name for name in self.policies if name != self.clairvoyant]
        return next((name for name in self.by_price if name in candidates and self.attains(name)), candidates[0])

    @cached_property
    def frontier(self) -> list[str]:
        """The policies to which no other is both cheaper and better, the cheapest first."""
        return [name for name in self.by_price if not any(self._beats(other, name) for other in self.policies)]

    @property
    def by_price(self) -> list[str]:
        return sorted(self.policies, key=lambda name: self.figures[name][self.price].value)

    @property
    def quality(self) -> str:
        """The measure that a price is paid for: SLO attainment, or p95 where there is no objective."""
        known = any(not math.isnan(found["slo_attainment"].value) for found in self.figures.values())
        return "slo_attainment" if known else "response_p95_s"

    @property
    def interval(self) -> str:
        """Where the intervals come from, or why there are none."""
        if self.scenario.replications > 1 and self.replications > 1:
            return f"{self.replications} replications, paired"
        if len(self._any) > 1:
            return "one run cut into stretches of equal time, paired"
        return "none"

    @property
    def verdicts(self) -> list[str]:
        """What can be said, in sentences."""
        from sim.comparison_words import verdicts

        return list(verdicts(self))

    @property
    def notes(self) -> list[str]:
        """What keeps the figures from meaning what they seem to."""
        from sim.comparison_words import notes

        return list(notes(self))

    @property
    def tables(self) -> "dict[str, pd.DataFrame]":
        """Tidy tables: `figures` by policy and measure, `differences` by pair, `replications` of each policy."""
        import pandas as pd

        return {
            "figures": pd.DataFrame(self._figure_rows()),
            "differences": pd.DataFrame(self._difference_rows()),
            "replications": pd.DataFrame(self._batch_rows()),
        }

    def plot_frontier(self, ax: "Axes | None" = None) -> "Axes":
        """Price against SLO attainment; the policies to which no other is both cheaper and better are joined."""
        from sim.comparison_plots import frontier

        return frontier(self, ax)

    def save_figures(self, folder: str | Path) -> list[Path]:
        """Write the frontier into a folder as PNG (150 dpi) and as SVG, and report.html beside it."""
        from sim.files import write_whole
        from sim.plotstyle import png, svg
        from sim.report.comparison import comparison_page

        drawn = self.plot_frontier()
        files = {"frontier.png": png(drawn), "frontier.svg": svg(drawn), "report.html": comparison_page(self).encode()}
        for name, content in files.items():
            write_whole(Path(folder) / name, content)
        return [Path(folder) / name for name in files]

    def to_json(self) -> dict[str, Any]:
        """One object for programs; infinite and unknown figures are null."""
        return {
            "scenario": plain(self.scenario),
            "seed": self.scenario.seed,
            "versions": software(),
            "warmup_s": self.warmup_s,
            "replications": self.replications,
            "partial": self.partial,
            "interval": self.interval,
            "statements": self.statements,
            "reference": self.reference,
            "price": self.price,
            "frontier": self.frontier,
            "policies": {name: self._plain_policy(name) for name in self.policies},
            "differences": [self._plain_difference(a, b) for a, b in self.paired],
            "verdicts": self.verdicts,
            "notes": self.notes,
        }

    def save(self, folder: str | Path) -> None:
        """Write tables (parquet), comparison.json, scenario.yaml, policies/*.yaml and report.html, whole or not at all.

        A comparison that was there before is replaced. Raises `ResultError` where something else stands there.
        """
        from sim.report.comparison import comparison_page

        with replacing(Path(folder), RECORD) as new:
            (new / RECORD).write_text(json.dumps(self.to_json(), indent=1) + "\n")
            (new / "scenario.yaml").write_text(specfile.write(self.scenario))
            (new / "policies").mkdir()
            for name, spec in self.policies.items():
                (new / "policies" / f"{name}.yaml").write_text(specfile.write(spec))
            for name, frame in self.tables.items():
                frame.to_parquet(new / f"{name}.parquet", index=False)
            (new / "report.html").write_text(comparison_page(self), encoding="utf-8")

    def _repr_html_(self) -> str:
        from sim.report.comparison import comparison_html

        return comparison_html(self)

    @property
    def _any(self) -> Sequence[Piece]:
        return next(iter(self.batches.values()))

    def _beats(self, other: str, name: str) -> bool:
        sign = 1 if self.quality == "slo_attainment" else -1
        a, b = ((sign * self.figures[n][self.quality].value, -self.figures[n][self.price].value) for n in (other, name))
        return a[0] >= b[0] and a[1] >= b[1] and a != b

    def _figure_rows(self) -> Iterator[dict[str, Any]]:
        for name, found in self.figures.items():
            for measure, e in found.items():
                yield {"policy": name, "measure": measure, "value": e.value, "low": e.low, "high": e.high}

    def _difference_rows(self) -> Iterator[dict[str, Any]]:
        for (a, b), found in self.paired.items():
            for measure, d in found.items():
                ends = {"difference": d.absolute, "relative": d.relative}
                figures = {f"{n}{end}": getattr(e, f) for n, e in ends.items() for end, f in ENDS.items()}
                yield {"policy": a, "against": b, "measure": measure, **figures}

    def _batch_rows(self) -> Iterator[dict[str, Any]]:
        for name, pieces in self.batches.items():
            for number, piece in enumerate(pieces):
                found = {measure: m.of(piece) for measure, m in MEASURES.items()}
                yield {"policy": name, "batch": number, "start_s": piece.start_s, **found}

    def _plain_policy(self, name: str) -> dict[str, Any]:
        found = {"policy": plain(self.policies[name]), "objective": self.objective(name)}
        for measure, e in self.figures[name].items():
            found |= _plain(measure, e)
        if self.clairvoyant is not None and name != self.clairvoyant:
            found |= _plain("gap_to_clairvoyant", self.paired[name, self.clairvoyant][self.price].relative)
        return found

    def _plain_difference(self, a: str, b: str) -> dict[str, Any]:
        told = self.priced[a, b]
        found: dict[str, Any] = {"policy": a, "against": b, "distinguishable": told.apart}
        found["replications_needed"] = told.needed
        for measure, d in self.paired[a, b].items():
            found |= _plain(measure, d.absolute) | _plain(f"{measure}_relative", d.relative)
        return found


ENDS = {"": "value", "_low": "low", "_high": "high"}


def _plain(name: str, e: Estimate) -> dict[str, Any]:
    return {name: finite(e.value), f"{name}_ci95": [finite(e.low), finite(e.high)]}


def compared(
    scenario: Scenario,
    policies: Mapping[str, PolicySpec],
    batches: Mapping[str, Sequence[Piece]],
    warmup_s: float,
    partial: str | None = None,
    reference: str | None = None,
) -> Comparison:
    """The comparison of these policies; batch b of each holds the same arrivals."""
    serial = scenario.replications == 1
    sampled = {name: figures(found, serial=serial) for name, found in batches.items()}
    paired = _paired(sampled, serial)
    attained, priced = _told_apart(scenario, sampled, paired)
    return Comparison(
        scenario=scenario,
        policies=policies,
        batches=batches,
        sampled=sampled,
        paired=paired,
        attained=attained,
        priced=priced,
        warmup_s=warmup_s,
        given_reference=reference,
        partial=partial,
    )


def price_of(found: Mapping[str, Mapping[str, Estimate]]) -> str:
    return "cost_usd" if any(f["cost_usd"].value > 0 for f in found.values()) else "replica_hours"


def _paired(sampled: Mapping[str, Mapping[str, Figure]], serial: bool) -> dict[tuple[str, str], dict[str, Difference]]:
    paired: dict[tuple[str, str], dict[str, Difference]] = {}
    for a, b in combinations(sampled, 2):
        there = {m: difference(sampled[a][m], sampled[b][m], serial=serial) for m in MEASURES}
        back = {m: difference(sampled[b][m], sampled[a][m], serial=serial) for m in MEASURES}
        # The same to the last bit but for the sign.
        paired[a, b], paired[b, a] = there, {m: there[m].reversed(back[m].relative) for m in MEASURES}
    return paired


def _told_apart(
    scenario: Scenario,
    sampled: Mapping[str, Mapping[str, Figure]],
    paired: Mapping[tuple[str, str], Mapping[str, Difference]],
) -> tuple[dict[str, Told], dict[tuple[str, str], Told]]:
    """What of SLO attainment and prices can be told, all of it together with 95 %."""
    asked = math.nan if scenario.slo is None else scenario.slo.quantile
    price = price_of({name: {m: f.estimate for m, f in found.items()} for name, found in sampled.items()})
    pairs = list(combinations(sampled, 2))
    shares = [(found["slo_attainment"].estimate, asked) for found in sampled.values()]
    differences = [(paired[pair][price].absolute, 0.0) for pair in pairs]
    told = _told([*shares, *differences])
    attained = dict(zip(sampled, told, strict=False))
    priced = dict(zip(pairs, told[len(shares) :], strict=True))
    return attained, priced | {(b, a): found for (a, b), found in priced.items()}


def _told(claims: Sequence[tuple[Estimate, float]]) -> list[Told]:
    surprises = [surprise(e, supposed) for e, supposed in claims]
    holds, left = holm(surprises, 1 - LEVEL)
    return [
        Told(None)
        if math.isnan(p)
        else Told(apart=True)
        if held
        else Told(apart=False, needed=replications_needed(e, supposed, left))
        for p, held, (e, supposed) in zip(surprises, holds, claims, strict=True)
    ]
