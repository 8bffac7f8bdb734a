"""Least squares on Fourier terms."""

import numpy as np

from policies.forecasts.method import Rates


def fourier(length: int, season: int | None, harmonics: int) -> Rates:
    """A constant, then cosines and sines of the first harmonics of a season; (length, terms).

    No more harmonics than a season in bins can tell apart; the constant alone where there is no season.
    """
    told = 0 if season is None else min(harmonics, (season - 1) // 2)
    angles = 2 * np.pi * np.outer(np.arange(length), np.arange(1, told + 1)) / (season or 1)
    return np.column_stack([np.ones(length), np.cos(angles), np.sin(angles)])


def least_squares(table: Rates, told: Rates) -> Rates:
    """By the normal equations: small enough to stay in one thread, and the least of all solutions if there are many."""
    scale = np.sqrt((table**2).sum(axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    scaled = table / scale
    return np.asarray(np.linalg.lstsq(scaled.T @ scaled, scaled.T @ told, rcond=1e-12)[0] / scale, dtype=np.float64)
