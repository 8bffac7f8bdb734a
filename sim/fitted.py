"""Laws fitted to cumulative histograms: the mean exact, the variability by the likelihood of the buckets."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from policies.histogram import Histogram
from sim.service import Constant, Exponential, Gamma, Law, Lognormal

Floats = NDArray[np.float64]
Cdf = Callable[[Floats, float], Floats]
"""P(value <= bounds) of a law of mean 1 and this SCV."""

STEADY_SCV = 0.003
"""Below, a law is as good as constant."""
MOST_SCV = 50.0
EXPONENTIAL_WORTH = 2.0
"""Log-likelihood that a law with one parameter more must win over the exponential, as Akaike's criterion has it, twice:
buckets are never quite what the law says."""
LEAST = 1e-12


def fitted(histogram: Histogram) -> Law | None:
    """The likeliest of exponential, gamma and lognormal with the histogram's mean; constant where they hardly vary.

    Likelihoods are of grouped data (Kulldorff 1961): a bucket's share under the law, to the power of its count. None
    where there are no values. Where all lie in one bucket nothing tells their variability, and the law is constant.
    """
    mean_s = histogram.mean()
    if mean_s is None or mean_s <= 0:
        return None
    counts = np.diff(np.array(histogram.counts), prepend=0.0)
    if np.count_nonzero(counts > 0) < 2:
        return Constant(value_s=rounded(mean_s))
    bounds = np.array(histogram.bounds) / mean_s
    exponential = _log_likelihood(counts, _gamma_cdf(bounds, 1.0))
    best, gamma_scv = _likeliest(counts, bounds, _gamma_cdf)
    lognormal, lognormal_scv = _likeliest(counts, bounds, _lognormal_cdf)
    if exponential >= max(best, lognormal) - EXPONENTIAL_WORTH:
        return Exponential(mean_s=rounded(mean_s))
    if lognormal > best:
        return _law(mean_s, lognormal_scv, Lognormal)
    return _law(mean_s, gamma_scv, Gamma)


def of_moments(mean_s: float, scv: float | None) -> Law:
    """A law with this mean and SCV, where more is not known: exponential where even the SCV is not."""
    if scv is None or abs(scv - 1.0) < 1e-6:
        return Exponential(mean_s=rounded(mean_s))
    return _law(mean_s, scv, Gamma if scv < 1 else Lognormal)


def rounded(value: float) -> float:
    """Four digits are enough for what is measured."""
    return float(f"{value:.4g}")


def _law(mean_s: float, scv: float, kind: type[Gamma] | type[Lognormal]) -> Law:
    if scv <= STEADY_SCV:
        return Constant(value_s=rounded(mean_s))
    return kind(mean_s=rounded(mean_s), scv=rounded(scv))


def _likeliest(counts: Floats, bounds: Floats, cdf: Cdf) -> tuple[float, float]:
    """The greatest log-likelihood, and the SCV that has it."""
    from scipy.optimize import minimize_scalar

    def loss(log_scv: float) -> float:
        return -_log_likelihood(counts, cdf(bounds, float(np.exp(log_scv))))

    # The likelihood may have a flat end where all lies in two buckets; a coarse look first finds the right valley.
    grid = np.linspace(np.log(STEADY_SCV), np.log(MOST_SCV), 25)
    at = int(np.argmin([loss(x) for x in grid]))
    ends = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-4})
    return -float(found.fun), float(np.exp(found.x))


def _log_likelihood(counts: Floats, below: Floats) -> float:
    shares = np.diff(np.concatenate([[0.0], below, [1.0]]))
    return float(counts @ np.log(np.maximum(shares, LEAST)))


def _gamma_cdf(bounds: Floats, scv: float) -> Floats:
    from scipy.special import gammainc

    below: Floats = gammainc(1 / scv, bounds / scv)
    return below


def _lognormal_cdf(bounds: Floats, scv: float) -> Floats:
    from scipy.special import ndtr

    deviation = np.sqrt(np.log1p(scv))
    with np.errstate(divide="ignore"):
        below: Floats = ndtr((np.log(bounds) + deviation**2 / 2) / deviation)
    return below
