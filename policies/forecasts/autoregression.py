"""Autoregression with Fourier terms (dynamic harmonic regression), by least squares.

    y(n) = c + sum over j of (a_j cos + b_j sin)(2 pi j n / season) + sum over i of phi_i y(n - i)

Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 2018, give the harmonics; with the lags among the
regressors one least-squares problem has all coefficients (conditional maximum likelihood for normal errors). Own code
rather than a library's: a series is updated once a bin for a thousand pools, and unknown bins are passed over.
"""

from collections import deque
from collections.abc import Sequence
from math import isnan

import numpy as np

from policies.forecasts.method import Rates
from policies.forecasts.regression import fourier, least_squares

LAGS = 6
HARMONICS = 4


class Autoregression:
    def __init__(self, lagged: Sequence[float], regular: Sequence[float], last: Sequence[float]) -> None:
        """`lagged[0]` belongs to the bin before; `regular` is what comes without lags in each bin of the season, the
        next one first; `last` are the last bins, the newest last, as many as there are lags."""
        self.lagged = tuple(lagged)
        self._regular = list(regular)
        self._last = deque(last, maxlen=len(self.lagged))
        self._next = 0

    @classmethod
    def fitted(cls, past: Rates, season: int | None, _steps: int = 1, lags: int = LAGS) -> "Autoregression | None":
        """Fitted where at least four known bins come on each coefficient; else None."""
        if len(past) <= lags:
            return None
        terms = fourier(len(past) + (season or 1), season, HARMONICS)
        columns = [past[lags - i : len(past) - i] for i in range(1, lags + 1)]
        table = np.column_stack([*columns, terms[lags : len(past)]])
        told = past[lags:]
        whole = ~(np.isnan(table).any(axis=1) | np.isnan(told))
        if whole.sum() < 4 * table.shape[1]:
            return None
        found = least_squares(table[whole], told[whole])
        regular = terms[len(past) :] @ found[lags:]
        return cls(found[:lags].tolist(), regular.tolist(), _filled(past, lags))

    def see(self, rate: float, /) -> None:
        """An unknown bin counts as it was expected."""
        self._last.append(self._expected(self._last, 0) if isnan(rate) else rate)
        self._next = (self._next + 1) % len(self._regular)

    def ahead(self, steps: int, /) -> float | None:
        bins = self._last.copy()
        for step in range(steps):
            bins.append(self._expected(bins, step))
        return bins[-1]

    def _expected(self, bins: deque[float], step: int) -> float:
        regular = self._regular[(self._next + step) % len(self._regular)]
        return regular + sum(x * y for x, y in zip(self.lagged, reversed(bins), strict=True))


def _filled(past: Rates, lags: int) -> list[float]:
    """The last bins, an unknown one as the last known before it."""
    known = past[~np.isnan(past)]
    filled = [float(known[0])]
    for rate in past.tolist():
        filled.append(filled[-1] if isnan(rate) else rate)
    return filled[-lags:]
