"""Seasonal naive: as it was one season before."""

from collections import deque
from math import isnan

from policies.forecasts.method import Rates


class SeasonalNaive:
    """The rate of the same place in the last season, or, where that is unknown, in the one before."""

    def __init__(self, past: Rates, season: int) -> None:
        """Two seasons of the past are kept."""
        self._season = season
        self._seen: deque[float] = deque(past.tolist(), maxlen=2 * season)

    @classmethod
    def fitted(cls, past: Rates, season: int | None, _steps: int = 1) -> "SeasonalNaive | None":
        return None if season is None else cls(past, season)

    def see(self, rate: float, /) -> None:
        self._seen.append(rate)

    def ahead(self, steps: int, /) -> float | None:
        first = self._season - (steps - 1) % self._season
        for back in (first, first + self._season):
            if back <= len(self._seen) and not isnan(self._seen[-back]):
                return self._seen[-back]
        return None
