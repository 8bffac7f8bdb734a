"""Finding the season of a series: the time after which it looks like itself again."""

import numpy as np
from numpy.typing import NDArray

from policies.forecasts.method import Rates
from policies.forecasts.regression import fourier, least_squares

LEAST_CORRELATION = 0.3
"""A series less like itself than this has no season to speak of."""

SHORTEST = 8
"""In bins; what swings faster than this is noise to a forecast."""

SHARPENED = 0.06
"""Seasons are looked for again so far, as a share, from the greatest correlation."""


def found_season(past: Rates) -> int | None:
    """The season in bins, seen at least twice; None where none is found.

    The greatest autocorrelation, after it was once below zero (a slow drift never is); of several nearly as great,
    as of a day and a week, or of one and two days, the shortest.
    """
    if len(past) < 2 * SHORTEST or np.isnan(past).mean() > 0.5:
        return None
    alike = _autocorrelation(past)[: len(past) // 2 + 1]
    if not (alike < 0).any():
        return None
    first = max(int(np.argmax(alike < 0)), SHORTEST)
    if first >= len(alike) or alike[first:].max() < LEAST_CORRELATION:
        return None
    great = np.flatnonzero(alike >= 0.9 * alike[first:].max())
    peak = great[great >= first]
    apart = np.flatnonzero(np.diff(peak) > 1)
    whole = peak[: int(apart[0]) + 1] if len(apart) else peak
    return _sharpened(past, int(whole[np.argmax(alike[whole])]))


def _sharpened(past: Rates, about: int) -> int:
    """Of the seasons about as long, the one whose first harmonics leave the least: peaks of correlation are blunt."""
    known = ~np.isnan(past)
    reach = max(1, round(SHARPENED * about))
    step = max(1, reach // 10)
    candidates = [n for n in range(about - reach, about + reach + 1, step) if 2 * n <= len(past)]
    return min(candidates, key=lambda season: _left(past, known, season), default=about)


def _left(past: Rates, known: NDArray[np.bool_], season: int) -> float:
    terms = np.column_stack([fourier(len(past), season, 2), np.arange(len(past))])[known]
    return float(((past[known] - terms @ least_squares(terms, past[known])) ** 2).sum())


def _autocorrelation(past: Rates) -> Rates:
    """By lag, 1 at lag 0, of the series without its line of trend; each lag by the mean over the pairs it has."""
    n = np.arange(len(past))
    known = ~np.isnan(past)
    slope, start = np.polyfit(n[known], past[known], 1)
    left = np.where(known, past - start - slope * n, 0.0)
    pairs = np.maximum(np.round(_correlated(known.astype(float))), 1.0)
    products = _correlated(left) / pairs
    return products / products[0] if products[0] > 1e-12 * np.nanmean(past) ** 2 else np.zeros(len(past))


def _correlated(series: Rates) -> Rates:
    """Sum over n of x(n) x(n + lag), by lag."""
    spectrum = np.fft.rfft(series, 2 * len(series))
    return np.fft.irfft(spectrum * spectrum.conj(), 2 * len(series))[: len(series)]
