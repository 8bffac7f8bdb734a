"""Additive Holt-Winters smoothing with a damped trend: a level, a trend that wears off, a season.

In Holt and Winters' form (Winters 1960; damping: Gardner and McKenzie 1985), written by its one-step error e:

    e     = y - (level + phi trend + season)        level  = level + phi trend + alpha e
    trend = phi trend + alpha beta e                season = season + gamma e

Own code rather than a library's: a series is updated once a bin and refitted rarely, for a thousand pools within a
tick, and bins that are unknown are passed over.
"""

from itertools import product
from math import isnan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from policies.forecasts.method import Rates

Floats = NDArray[np.float64]

ALPHAS, BETAS, GAMMAS, PHIS = (0.05, 0.15, 0.4, 0.8), (0.0, 0.05, 0.2), (0.05, 0.2, 0.5), (0.9, 0.98)


class Smoothing(NamedTuple):
    """Shares, each in 0..1, by which level, trend and season follow an error, and by which the trend wears off."""

    alpha: float
    beta: float
    gamma: float
    phi: float


GRIDS = {
    seasonal: np.array(list(product(ALPHAS, BETAS, GAMMAS if seasonal else (0.0,), PHIS))).T
    for seasonal in (False, True)
}
"""What a fit tries, one set of parameters a column."""


class HoltWinters:
    def __init__(self, smoothing: Smoothing, level: float, trend: float, season: list[float]) -> None:
        """`season[0]` is the addition to the bin that comes next; one of 0.0 where there is no season."""
        self.smoothing = smoothing
        self.level = level
        self.trend = trend
        self._season = season
        self._next = 0

    @classmethod
    def fitted(cls, past: Rates, season: int | None, steps: int = 1) -> "HoltWinters | None":
        """Of the parameters tried, those with the least mean absolute error so many steps ahead.

        None where hardly anything is known of the past, or of the first season.
        """
        start = _start(past, season)
        if start is None or np.isfinite(past[steps:]).sum() < 8:
            return None
        grid = GRIDS[season is not None]
        errors, level, trend, seasons = _smoothed(past, grid, *start, steps)
        best = int(np.argmin(errors))
        smoothing = Smoothing(*grid[:, best].tolist())
        return cls(smoothing, float(level[best]), float(trend[best]), seasons[:, best].tolist())

    def see(self, rate: float, /) -> None:
        alpha, beta, gamma, phi = self.smoothing
        damped, place = phi * self.trend, self._next % len(self._season)
        error = 0.0 if isnan(rate) else rate - self.level - damped - self._season[place]
        self.level += damped + alpha * error
        self.trend = damped + alpha * beta * error
        self._season[place] += gamma * error
        self._next = place + 1

    def ahead(self, steps: int, /) -> float | None:
        damped = _damping(self.smoothing.phi, steps) * self.trend
        return self.level + damped + self._season[(self._next + steps - 1) % len(self._season)]


def _damping(phi: float, steps: int) -> float:
    """phi + phi^2 + ... + phi^steps."""
    return steps * phi if phi == 1 else phi * (1 - phi**steps) / (1 - phi)


def _start(past: Rates, season: int | None) -> tuple[float, float, Floats] | None:
    """Level, trend and season before the first bin, from the first two seasons or the first few bins.

    Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 2018: the level is the mean of the first season,
    the trend the step to the mean of the second, the season what is left in the mean of both.
    """
    known = past[~np.isnan(past)]
    if season is None:
        return (float(known[:8].mean()), 0.0, np.zeros(1)) if len(known) >= 16 else None
    both = past[: 2 * season].reshape(2, season)
    if np.isnan(both).mean() > 0.5 or np.isnan(both).all(axis=1).any():
        return None
    first, second = np.nanmean(both, axis=1)
    left = both - np.array([[first], [second]])
    weights = (~np.isnan(left)).sum(axis=0)
    seasons = np.where(weights > 0, np.nansum(left, axis=0) / np.maximum(weights, 1), 0.0)
    return float(first), float(second - first) / season, seasons


def _smoothed(
    past: Rates, grid: Floats, level: float, trend: float, season: Floats, steps: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """All parameters of the grid at once: mean absolute error, last level, last trend, and season, which begins
    with the bin that comes next, (season, grid)."""
    alpha, beta, gamma, phi = grid
    bins, length = len(past), len(season)
    follow = np.stack([alpha, alpha * beta, gamma])
    # After each bin level, trend, and the addition to the bin one season later. As few calls as can be: they are dear.
    states = np.empty((bins, 3, len(alpha)))
    seasons = np.concatenate([np.repeat(season[:, None], len(alpha), axis=1), states[:, 2]])
    last = np.repeat([[level], [trend]], len(alpha), axis=1)
    for i, rate in enumerate(past.tolist()):
        state = states[i]
        np.multiply(last[1], phi, out=state[1])
        np.add(last[0], state[1], out=state[0])
        state[2] = seasons[i]
        if not isnan(rate):
            state += follow * (rate - state[0] - state[2])
        seasons[length + i] = state[2]
        last = state
    ahead = 1 + (steps - 1) % length
    forecasts = states[:, 0] + phi * (1 - phi**steps) / (1 - phi) * states[:, 1] + seasons[ahead : ahead + bins]
    off = np.abs(forecasts[:-steps] - past[steps:, None])
    return np.nanmean(off, axis=0), last[0], last[1], seasons[bins:]
