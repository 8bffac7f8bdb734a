"""The forecasts of one method, a fixed number of bins ahead, and how they came true."""

from bisect import bisect_left, insort
from collections import deque
from math import ceil, inf, isnan, sqrt
from typing import NamedTuple

from policies.forecasts.method import Fit, Forecaster, Rates

SCORED = 24
"""Bins over which errors are compared."""

HELD = 12
"""A forecast that was worse than "as now" is not trusted until it has been better throughout so many bins."""

RESIDUALS = 288
"""Quantiles come from the residuals of so many bins."""

ENOUGH = 40
"""So many residuals must be known before their quantiles are believed."""


class Score(NamedTuple):
    """What was off in one bin: by forecast, and by taking the rate for what it was when the forecast was made."""

    forecast: float
    as_now: float
    rate: float


class Errors(NamedTuple):
    """Mean absolute errors of the last bins as shares of their mean rate: of the forecast, and of "as now"."""

    forecast: float
    as_now: float

    @property
    def relative(self) -> float:
        """Below 1 where the forecast was the better of the two."""
        if self.as_now > 0:
            return self.forecast / self.as_now
        return inf if self.forecast > 0 else 0.0


class Track:
    """A method's forecasts and their errors; fed one bin after the other, it has the forecast of the bin `steps` on.

    Residuals are differences of square roots, which for Poisson counts scatter alike at any rate (Bartlett 1936); a
    quantile of the rate is that of the residuals, undone. Nothing is remembered for longer than `memory` bins.
    """

    def __init__(self, name: str, fit: Fit, steps: int) -> None:
        self.name = name
        self.point: float | None = None
        """The rate forecast; None where there is no forecast."""
        self.errors: Errors | None = None
        """Of the last 24 bins; None while fewer than half of them could be scored."""
        self._fit = fit
        self._steps = steps
        self._forecaster: Forecaster | None = None
        self._made: deque[tuple[float, float] | None] = deque([None] * steps, maxlen=steps)
        self._scores: deque[Score | None] = deque(maxlen=SCORED)
        self._worse: deque[bool] = deque(maxlen=HELD)
        self._residuals: deque[float | None] = deque(maxlen=RESIDUALS)
        self._sorted: list[float] = []

    @property
    def memory(self) -> int:
        """Bins after which no forecast of now plays a part any more."""
        return self._steps + max(SCORED + HELD, RESIDUALS)

    @property
    def fitted(self) -> bool:
        return self._forecaster is not None

    @property
    def trusted(self) -> bool:
        """Not worse than "as now" in the last 24 bins, nor at any of the last 12 moments."""
        return self.errors is not None and not any(self._worse)

    @property
    def residuals(self) -> int:
        """How many are known."""
        return len(self._sorted)

    def refit(self, past: Rates, season: int | None) -> None:
        """Fit the method anew, to a past that ends with the bin to be seen next."""
        self._forecaster = self._fit(past, season, self._steps)

    def see(self, rate: float, refitted: bool = False) -> None:
        """Take in the next bin, nan where unknown; `refitted` where the method was just fitted to it."""
        self._score(self._made[0], rate)
        if self._forecaster is not None and not refitted:
            self._forecaster.see(rate)
        point = None if self._forecaster is None else self._forecaster.ahead(self._steps)
        self.point = None if point is None else max(point, 0.0)
        self._made.append(None if self.point is None or isnan(rate) else (self.point, rate))

    def quantile(self, share: float) -> float | None:
        """The rate that is not exceeded with this probability; None before 40 residuals are known.

        The rank is that of split conformal prediction, which covers on average if residuals are exchangeable.
        """
        if self.point is None or len(self._sorted) < ENOUGH:
            return None
        rank = min(ceil(share * (len(self._sorted) + 1)), len(self._sorted))
        return float(max(sqrt(self.point) + self._sorted[max(rank - 1, 0)], 0.0) ** 2)

    def _score(self, made: tuple[float, float] | None, rate: float) -> None:
        known = made is not None and not isnan(rate)
        point, now = made or (0.0, 0.0)
        self._scores.append(Score(abs(rate - point), abs(rate - now), rate) if known else None)
        self._remember(sqrt(rate) - sqrt(point) if known else None)
        self.errors = self._mean_errors()
        self._worse.append(self.errors is None or self.errors.relative > 1.0)

    def _remember(self, residual: float | None) -> None:
        gone = self._residuals[0] if len(self._residuals) == RESIDUALS else None
        self._residuals.append(residual)
        if gone is not None:
            del self._sorted[bisect_left(self._sorted, gone)]
        if residual is not None:
            insort(self._sorted, residual)

    def _mean_errors(self) -> Errors | None:
        known = [score for score in self._scores if score is not None]
        if 2 * len(known) < SCORED:
            return None
        forecast, as_now, rate = (sum(column) for column in zip(*known, strict=True))
        return Errors(forecast / rate, as_now / rate) if rate > 0 else Errors(float(forecast > 0), float(as_now > 0))
