"""Confidence intervals for means, proportions and quantiles from the sums and counts of batches.

A batch is a window of time of one run, or a whole replication; batches hold unequal numbers of requests, so every
estimate is a ratio of two sums. Nothing here needs the single values but `quantile`: sums, counts and histograms of
each batch do, however they were gathered.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEWEST_BATCHES = 8
FEWEST_IN_BATCH = 10
FEWEST_BEYOND = 20
FEWEST_INDEPENDENT = 10
# Correlation is an open question after 32 windows and a nuisance after 8, so halving starts at a weak suspicion.
SUSPECTED = 0.8416  # one-sided 20 % point of the normal distribution
PROVEN = 1.6449  # one-sided 5 % point
STRONGEST_CORRELATION = 0.8
MOST_STEPS = 100

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and the ends of its confidence interval, in the unit of the values.

    Without data all three are nan; from a single batch the ends are nan; an end that the data cannot bound is inf.
    `batches` is the number that the interval rests on. `warnings` say in words why it may not be trusted.
    """

    value: float
    low: float
    high: float
    batches: int
    warnings: tuple[str, ...] = ()

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    @property
    def relative(self) -> float:
        """The half width as a share of the value; nan where the value is zero or there is no interval."""
        return self.half_width / abs(self.value) if self.value else math.nan


class Margin(NamedTuple):
    """The standard error of an estimate, and how far its interval reaches below and above it."""

    error: float
    down: float
    up: float
    batches: int
    warnings: tuple[str, ...]


def ratio(sums: ArrayLike, counts: ArrayLike, level: float = 0.95, *, serial: bool = False) -> Estimate:
    """The mean of all requests, from each batch's sum of values and number of requests; without ends where it is inf.

    `serial` says that the batches are consecutive windows of one run. Then neighbours are merged while they are
    correlated, and the variance is raised by (1 + r) / (1 - r) for the correlation r that is left, as in a first-order
    autoregression. The variance is that of a ratio estimator (Cochran 1977, Sampling Techniques, 6.4); the interval is
    the union of Student's and of the one adjusted for skewness (Willink 2005; Tafazzoli and Wilson 2011, Skart).
    """
    sums, counts = np.asarray(sums, dtype=float), np.asarray(counts, dtype=float)
    margin = _margin(sums, counts, level, serial)
    value = _share(sums, counts)
    return Estimate(value, value - margin.down, value + margin.up, margin.batches, margin.warnings)


def proportion(hits: ArrayLike, counts: ArrayLike, level: float = 0.95, *, serial: bool = False) -> Estimate:
    """The share of requests that are hits, as `ratio`, its ends kept within 0 and 1.

    Where all requests are hits, or none is, batches tell nothing of the error: the ends are those of Clopper and
    Pearson (1934) for independent requests.
    """
    hits, counts = np.asarray(hits, dtype=float), np.asarray(counts, dtype=float)
    margin, share, total = _margin(hits, counts, level, serial), _share(hits, counts), float(counts.sum())
    least = ((1 - level) / 2) ** (1 / total) if total else math.nan
    low = least if margin.error == 0 and share == 1 else max(share - margin.down, 0.0)
    high = 1 - least if margin.error == 0 and share == 0 else min(share + margin.up, 1.0)
    warnings = margin.warnings + _rare(share, total, margin.error, "on the rarer side")
    return Estimate(share, low, high, margin.batches, warnings)


def quantile(
    values: ArrayLike, batch_index: ArrayLike, batches: int, p: float, level: float = 0.95, *, serial: bool = False
) -> Estimate:
    """The smallest value that at least the share `p` of all values do not exceed; +inf is a value like any other.

    `batch_index[i]`, from 0 to `batches` - 1, is the batch of `values[i]`. The interval is that of `woodruff`.
    """
    values, batch_index = np.asarray(values, dtype=float), np.asarray(batch_index, dtype=int)
    counts = np.bincount(batch_index, minlength=batches)
    at = quantile_function(np.sort(values))
    hits = np.bincount(batch_index[at_most(values, at(p))], minlength=batches)
    return woodruff(at, hits, counts, p, level, serial=serial)


def woodruff(
    at: Callable[[float], float],
    hits: ArrayLike,
    counts: ArrayLike,
    p: float,
    level: float = 0.95,
    *,
    serial: bool = False,
) -> Estimate:
    """The quantile `at(p)` and its interval [at(p - down), at(p + up)] (Woodruff 1952, JASA 47:635).

    `at` is the quantile function of all values, sorted or in a histogram; `hits` is each batch's number of values of
    at most `at(p)`; down and up are the margins of that share, those of `ratio`. With fewer than 20 values beyond the
    quantile they are no less than for independent requests. An upper end beyond the data is inf, a lower end `at(0)`.
    """
    if not 0 < p < 1:
        raise ValueError(f"p is {p}: a quantile needs a fraction between 0 and 1, such as 0.99")
    hits, counts = np.asarray(hits, dtype=float), np.asarray(counts, dtype=float)
    total = counts.sum()
    if not total:
        return Estimate(math.nan, math.nan, math.nan, 0)
    margin = _margin(hits, counts, level, serial)
    few = total * min(p, 1 - p) < FEWEST_BEYOND
    least = _normal(level) * math.sqrt(p * (1 - p) / total) if few else 0.0
    low, high = _ends(at, p - max(margin.down, least), p + max(margin.up, least))
    warnings = margin.warnings + _rare(p, total, margin.error, f"beyond p{100 * p:g}")
    return Estimate(at(p), low, high, margin.batches, warnings)


def _ends(at: Callable[[float], float], low: float, high: float) -> tuple[float, float]:
    if math.isnan(low + high):
        return math.nan, math.nan
    return at(max(low, 0.0)), at(high) if high < 1 else math.inf


def quantile_function(ordered: Floats) -> Callable[[float], float]:
    """The smallest of the ascending values that at least a given share of them do not exceed; nan without values."""

    def at(p: float) -> float:
        if not len(ordered):
            return math.nan
        # 0.07 * 100 is a little more than 7, and the eighth value is not the 7 % quantile of a hundred.
        rank = math.ceil(len(ordered) * p * (1 - 1e-12))
        return float(ordered[min(max(rank, 1), len(ordered)) - 1])

    return at


def at_most(values: Floats, value: float) -> NDArray[np.bool_]:
    """Which values are at most `value`; which are finite, where it is inf: that share has an error, 1 has none."""
    return values <= value if math.isfinite(value) else np.isfinite(values)


def _margin(sums: Floats, counts: Floats, level: float, serial: bool) -> Margin:
    """The margins of sum(sums) / sum(counts) as `ratio` describes them; nan from fewer than two batches with data."""
    if not (counts.any() and np.isfinite(sums).all()):
        return Margin(math.nan, math.nan, math.nan, int(np.count_nonzero(counts)), ())
    residuals = _residuals(sums, counts)
    if serial:
        residuals, counts = _merged(residuals, counts)
    batches, warnings = int(np.count_nonzero(counts)), _warnings(residuals, counts, serial)
    if batches < 2:
        return Margin(math.nan, math.nan, math.nan, batches, warnings)
    error = _standard_error(residuals, counts, serial)
    down, up = _reach(_student(level, batches - 1), _skewness(residuals), len(residuals))
    return Margin(error, down * error, up * error, batches, warnings)


def _share(sums: Floats, counts: Floats) -> float:
    total = counts.sum()
    return float(sums.sum() / total) if total else math.nan


def _residuals(sums: Floats, counts: Floats) -> Floats:
    """What each batch holds above its due; the rounding of sums of equal values is no residual."""
    residuals = sums - _share(sums, counts) * counts
    return np.where(np.abs(residuals) > 1e-12 * np.abs(sums).max(), residuals, 0.0)


def _merged(residuals: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Neighbouring batches merged two by two while they are correlated or hold fewer than ten requests each."""
    while len(counts) % 2 == 0 and len(counts) >= 2 * FEWEST_BATCHES:
        if not _correlated(residuals, SUSPECTED) and counts.mean() >= FEWEST_IN_BATCH:
            break
        residuals, counts = residuals.reshape(-1, 2).sum(1), counts.reshape(-1, 2).sum(1)
    return residuals, counts


def _correlation(residuals: Floats) -> float:
    """Between neighbours; 1 / batches makes good for what taking residuals from their own mean costs."""
    squares = residuals @ residuals
    return float(residuals[1:] @ residuals[:-1] / squares + 1 / len(residuals)) if squares > 0 else 0.0


def _correlated(residuals: Floats, point: float) -> bool:
    return _correlation(residuals) * math.sqrt(len(residuals)) > point


def _standard_error(residuals: Floats, counts: Floats, serial: bool) -> float:
    batches = len(residuals)
    variance = batches / (batches - 1) * (residuals @ residuals) / counts.sum() ** 2
    r = min(max(_correlation(residuals), 0.0), STRONGEST_CORRELATION) if serial else 0.0
    return math.sqrt(variance * (1 + r) / (1 - r))


def _skewness(residuals: Floats) -> float:
    """The unbiased third moment over the variance to 3/2; 0 where it cannot be told."""
    n, squares = len(residuals), residuals @ residuals
    if n < 3 or not squares > 0:
        return 0.0
    return float((residuals**3).mean() / (squares / n) ** 1.5 * math.sqrt(n * (n - 1)) / (n - 2))


def _reach(t: float, skewness: float, batches: int) -> tuple[float, float]:
    """How many standard errors below and above: Student's t, or Willink's adjusted one where it reaches farther."""
    beta = skewness / (6 * math.sqrt(batches))
    if abs(beta) < 1e-6:
        return t, t

    def adjusted(r: float) -> float:
        return (math.cbrt(1 + 6 * beta * (r - beta)) - 1) / (2 * beta)

    return max(t, adjusted(t)), max(t, -adjusted(-t))


def _warnings(residuals: Floats, counts: Floats, serial: bool) -> tuple[str, ...]:
    words = []
    if counts.mean() < FEWEST_IN_BATCH:
        words.append(f"requests in a batch: only {counts.mean():.3g}")
    if serial and _correlated(residuals, PROVEN):
        words.append(f"batches are still correlated ({_correlation(residuals):.2f}): the run is too short or drifts")
    return tuple(words)


def _rare(share: float, total: float, error: float, where: str) -> tuple[str, ...]:
    """A word where a share rests on few requests on its rarer side, or on what few independent ones would tell."""
    rarer = min(share, 1 - share)
    if not total * rarer >= FEWEST_BEYOND:
        return (f"requests {where}: only {total * rarer:.3g}",) if total else ()
    independent = share * (1 - share) * rarer / error**2 if error > 0 else math.inf
    if not independent < FEWEST_INDEPENDENT:
        return ()
    return (f"requests {where} tell no more than {independent:.2g} independent ones would: the run is too short",)


def _student(level: float, degrees: int) -> float:
    """By Newton's method from the normal quantile, which is below: the tangents of a concave curve never overshoot.

    SciPy has this too, but it takes as long to import as a small run takes in all.
    """
    p, t = (1 + level) / 2, _normal(level)
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(degrees * math.pi)
    for _ in range(MOST_STEPS):
        density = scale * (1 + t * t / degrees) ** (-(degrees + 1) / 2)
        step = (p - _student_below(t, degrees)) / density
        t += step
        if step <= 1e-14 * t:
            break
    return t


def _student_below(t: float, degrees: int) -> float:
    """The probability of less than t, for whole degrees of freedom (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(degrees))
    odd, square = degrees % 2, math.cos(angle) ** 2
    term = math.cos(angle) if odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(2 + odd, degrees - 1, 2):
        term *= square * (k - 1) / k
        total += term
    between = total * math.sin(angle)
    return (1 + (2 / math.pi * (angle + between) if odd else between)) / 2


def _normal(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)
