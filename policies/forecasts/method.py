"""What a forecasting method is: fitted to the past of a series, then fed one bin after the other."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Rates = NDArray[np.float64]
"""Rates of bins that follow one another, the oldest first; nan where unknown."""


class Forecaster(Protocol):
    """Fitted to all bins up to now. It looks at no clock: bins are counted."""

    def see(self, rate: float, /) -> None:
        """Take in the next bin; nan where it is unknown."""
        ...

    def ahead(self, steps: int, /) -> float | None:
        """The rate expected in the bin so many after the last one seen (1 is the next); None where nothing is."""
        ...


Fit = Callable[[Rates, int | None, int], Forecaster | None]
"""From the past, the season in bins (None where there is none) and the steps that it will be asked for; None where the
past does not suffice."""
