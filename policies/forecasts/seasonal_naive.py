"""Seasonal naive: as it was one season before."""

from math import isnan, nan

from policies.forecasts.method import Rates


class SeasonalNaive:
    """The rate of the same place in the last season, or, where that is unknown, in the one before."""

    def __init__(self, past: Rates, season: int) -> None:
        """Two seasons of the past are kept, each bin at its place in them."""
        kept = past[-2 * season :].tolist()
        self._season = season
        self._seen: list[float] = [nan] * (2 * season - len(kept)) + kept
        self._next = 0

    @classmethod
    def fitted(cls, past: Rates, season: int | None, _steps: int = 1) -> "SeasonalNaive | None":
        return None if season is None else cls(past, season)

    def see(self, rate: float, /) -> None:
        self._seen[self._next] = rate
        self._next = (self._next + 1) % len(self._seen)

    def ahead(self, steps: int, /) -> float | None:
        after = (steps - 1) % self._season
        for seasons in (1, 2):
            rate = self._seen[(self._next + after - seasons * self._season) % len(self._seen)]
            if not isnan(rate):
                return rate
        return None
