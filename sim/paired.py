"""Figures of policies that met the same requests, and their differences, each with a confidence interval.

Batches are replications, or stretches of one run; batch b of every policy holds the same arrivals. Every figure is a
function of sums over the batches, so its pseudo-values (Tukey 1958, the jackknife over batches; Efron and Tibshirani
1993, An Introduction to the Bootstrap, 11.5) tell what each batch adds; those of a difference are the differences of
pseudo-values, batch by batch, and what the batches have in common cancels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.intervals import Estimate, proportion, ratio
from sim.measures import Sample
from sim.pieces import MEASURES, QUANTILES, Piece, Sum, together

Floats = NDArray[np.float64]

LEVEL = 0.95
WEIGHT = 1000.0
"""Of each batch of pseudo-values: all alike, and large, as they are whole batches and no single requests."""
MOST_REPLICATIONS = 10_000


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure of one policy: what it is, and its pseudo-value in each batch."""

    estimate: Estimate
    pseudo: Floats


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of one policy less that of another, in the figure's unit, and as a share of the other's.

    `relative` is nan where the other's figure is zero. Intervals are pointwise, 95 % each.
    """

    absolute: Estimate
    relative: Estimate

    def reversed(self, relative: Estimate) -> "Difference":
        """The other's less the first's; that share is of another figure and must be given."""
        e = self.absolute
        return Difference(Estimate(-e.value, -e.high, -e.low, e.batches, e.warnings), relative)


def figures(batches: Sequence[Piece], *, serial: bool) -> dict[str, Figure]:
    """All measures of one policy. `serial` says that the batches are stretches of one run, in a row."""
    whole = together(batches)
    rest = [whole.without(batch) for batch in batches] if len(batches) > 1 else []
    return {name: _figure(name, batches, whole, rest, serial) for name in MEASURES}


def _figure(name: str, batches: Sequence[Piece], whole: Piece, rest: Sequence[Piece], serial: bool) -> Figure:
    of, n = MEASURES[name].of, len(batches)
    value = of(whole)
    pseudo = np.array([n * value - (n - 1) * of(piece) for piece in rest] if math.isfinite(value) else [])
    return Figure(_estimate(name, value, batches, pseudo, serial), pseudo)


def _estimate(name: str, value: float, batches: Sequence[Piece], pseudo: Floats, serial: bool) -> Estimate:
    """As the summary of a run has it where there is one; else from the pseudo-values."""
    sums = np.array([batch.sums for batch in batches])
    if name == "slo_attainment":
        return proportion(sums[:, Sum.MET], sums[:, Sum.LEFT], LEVEL, serial=serial)
    if name in QUANTILES:
        parts = [[batch.response] for batch in batches]
        return Sample.of_histograms(parts, sums[:, Sum.NEVER], serial=serial).quantile(QUANTILES[name], LEVEL)
    found = _around(value, pseudo, serial)
    # None of these is ever below zero; an interval by Student's law may be.
    return Estimate(found.value, float(np.maximum(found.low, 0.0)), found.high, found.batches)


def difference(first: Figure, other: Figure, *, serial: bool) -> Difference:
    """The first less the other, paired batch by batch."""
    a, b = first.estimate.value, other.estimate.value
    known = len(first.pseudo) == len(other.pseudo)
    pseudo = first.pseudo - other.pseudo if known else np.array([])
    absolute = _around(a - b if math.isfinite(a) or math.isfinite(b) else math.nan, pseudo, serial)
    if not (b and math.isfinite(a) and math.isfinite(b)):
        return Difference(absolute, Estimate(math.nan, math.nan, math.nan, 0))
    # A ratio moves, to first order, by (a's move - ratio * b's move) / b.
    moves = (first.pseudo - a / b * other.pseudo) / b if known else np.array([])
    return Difference(absolute, _around(a / b - 1, moves, serial))


def _around(value: float, pseudo: Floats, serial: bool) -> Estimate:
    """A value with an interval as wide as pseudo-values tell; they may have another mean, the jackknife's."""
    if not len(pseudo) or not math.isfinite(value):
        return Estimate(value, math.nan, math.nan, len(pseudo))
    spread = ratio(WEIGHT * pseudo, np.full(len(pseudo), WEIGHT), LEVEL, serial=serial)
    low, high = value - (spread.value - spread.low), value + (spread.high - spread.value)
    return Estimate(value, low, high, spread.batches, spread.warnings)


def surprise(e: Estimate, supposed: float = 0.0) -> float:
    """How likely a value this far from the supposed one is, were that the true one (two-sided); nan where unknown."""
    from scipy.special import stdtr

    if math.isnan(e.value) or math.isnan(e.low):
        return math.nan
    away, error = abs(e.value - supposed), _error(e, supposed)
    if error == 0 or away == 0:
        return 0.0 if away else 1.0
    return float(2 * stdtr(e.batches - 1, -away / error))


def replications_needed(e: Estimate, supposed: float, error_rate: float) -> int | None:
    """How many batches would tell this value from the supposed one, if it and its spread are as they seem.

    None where so many that nobody would wait for them.
    """
    away, one = abs(e.value - supposed), _error(e, supposed) * math.sqrt(e.batches)
    if not away > 0 or math.isnan(one):
        return None
    low, high = 2, MOST_REPLICATIONS
    if not _tells(high, away, one, error_rate):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _tells(middle, away, one, error_rate) else (middle + 1, high)
    return low


def _tells(batches: int, away: float, one: float, error_rate: float) -> bool:
    from scipy.special import stdtrit

    return bool(stdtrit(batches - 1, 1 - error_rate / 2) * one / math.sqrt(batches) <= away)


def _error(e: Estimate, supposed: float) -> float:
    """The standard error on the side of the supposed value."""
    from scipy.special import stdtrit

    reach = e.value - e.low if e.value > supposed else e.high - e.value
    return float(reach / stdtrit(e.batches - 1, (1 + LEVEL) / 2)) if e.batches > 1 else math.nan


def holm(surprises: Sequence[float], error_rate: float = 1 - LEVEL) -> tuple[list[bool], float]:
    """Which of several statements hold if all that are made shall be right together with 95 % (Holm 1979).

    Also the error rate that the first of the others would have had to keep. Unknown ones, nan, are not counted.
    """
    known = sorted((p, i) for i, p in enumerate(surprises) if not math.isnan(p))
    holds = [False] * len(surprises)
    for rank, (p, i) in enumerate(known):
        left = error_rate / (len(known) - rank)
        if p > left:
            return holds, left
        holds[i] = True
    return holds, error_rate
