"""The forecast of one series: several methods on trial, the one that erred least of late is heard."""

from collections import deque
from collections.abc import Mapping
from math import nan

import numpy as np

from policies.forecasts.autoregression import Autoregression
from policies.forecasts.holt_winters import HoltWinters
from policies.forecasts.method import Fit, Rates
from policies.forecasts.rate_series import Bin
from policies.forecasts.season import found_season
from policies.forecasts.seasonal_naive import SeasonalNaive
from policies.forecasts.track import Track

METHODS: Mapping[str, Fit] = {
    "seasonal_naive": SeasonalNaive.fitted,
    "holt_winters": HoltWinters.fitted,
    "autoregression": Autoregression.fitted,
}

LEAST_PAST = 48
"""Nothing is forecast from fewer bins."""

REFIT, EARLY_REFIT = 288, 24
"""Methods are fitted anew once in so many bins; more often before as much is known as there is room for."""

LARGEST_RISE = 2.0
"""Nothing is forecast to be more times as great as all that was seen."""


class Outlook:
    """Fed the bins of a series, it has the forecast of the bin `steps` after the last one.

    A season is used once two whole ones were seen, within the `history` that is kept; until then methods do without.
    Everything follows from the last `memory` bins: one that was fed those forecasts as one that has always been there.
    """

    def __init__(self, methods: Mapping[str, Fit], steps: int, season: int | None, history: int, turn: int = 0) -> None:
        """`season` and `history` in bins; the season is looked for where it is None. Series with another `turn` are
        fitted at other times, so that work is spread."""
        self.tracks = tuple(Track(name, fit, steps) for name, fit in methods.items())
        self.season: int | None = None
        """What is used; None where there is none, or where less than two were seen."""
        self._given = season
        self._turn = turn
        self._past: deque[float] = deque(maxlen=history)
        self._next: int | None = None
        self._greatest = 0.0

    @property
    def memory(self) -> int:
        """In bins."""
        return (self._past.maxlen or 0) + REFIT + max(track.memory for track in self.tracks)

    def see(self, a_bin: Bin) -> None:
        """Take in the next bin; bins left out before it are unknown."""
        first = a_bin.number if self._next is None else self._next
        for number in range(max(first, a_bin.number - self.memory), a_bin.number):
            self._take(number, nan)
        self._take(a_bin.number, a_bin.rate_per_s)
        self._next = a_bin.number + 1

    @property
    def track(self) -> Track:
        """The method that erred least of late among those that have a forecast; the first where none has errors."""
        scored = [t for t in self.tracks if t.point is not None and t.errors is not None]
        return min(scored, key=_relative_error, default=self.tracks[0])

    def quantile(self, track: Track, share: float) -> float | None:
        """The quantile that a method forecasts, but no more than twice what was ever seen at the last fit."""
        rate = track.quantile(share)
        return None if rate is None else min(rate, LARGEST_RISE * self._greatest)

    def _take(self, number: int, rate: float) -> None:
        self._past.append(rate)
        refitted = self._due(number) and self._refit()
        for track in self.tracks:
            track.see(rate, refitted)

    def _due(self, number: int) -> bool:
        period = REFIT if len(self._past) == self._past.maxlen else EARLY_REFIT
        return len(self._past) >= LEAST_PAST and (number - self._turn) % period == 0

    def _refit(self) -> bool:
        """Fit all methods anew; False where nothing is known to fit them to."""
        past = np.array(self._past)
        if np.isnan(past).all():
            return False
        self._greatest = float(np.nanmax(past))
        self.season = self._season(past)
        for track in self.tracks:
            track.refit(past, self.season)
        return True

    def _season(self, past: Rates) -> int | None:
        if self._given is None:
            return found_season(past)
        return self._given if len(past) >= 2 * self._given else None


def _relative_error(track: Track) -> float:
    return track.errors.relative if track.errors else 1.0
