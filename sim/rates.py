"""Varying rates, summed up and inverted: at what time so many arrivals are expected."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim.draws import running_total
from sim.streams import Stream

Floats = NDArray[np.float64]

Source = Callable[[int], Floats]
"""The times of the next n arrivals, in seconds, never descending; fewer, and then none, where arrivals end."""

BLOCK = 256


def poisson_through(when: Callable[[Floats], Floats], stream: Stream) -> Source:
    """Poisson arrivals at a varying rate: those of rate 1, seen through `when`, the inverse of the expected number.

    `when` may leave out the last of the times that it is asked for: arrivals end there. Exact, and no draw is thrown
    away (Çinlar, Introduction to Stochastic Processes, 1975, section 4.7).
    """
    generator = stream.generator()
    expected = running_total(generator.standard_exponential)
    latest_s = 0.0

    def read(n: int) -> Floats:
        nonlocal latest_s
        at_s = when(expected(n))
        if len(at_s):
            # Rounding in an inverse must not let a request overtake the one before.
            at_s[0] = max(at_s[0], latest_s)
            np.maximum.accumulate(at_s, out=at_s)
            latest_s = float(at_s[-1])
        return at_s

    return read


@dataclass(frozen=True, slots=True)
class Steps:
    """A rate constant between edges: `rates[i]` from `edges_s[i]` to `edges_s[i + 1]`; `expected` arrivals by each."""

    edges_s: Floats
    rates: Floats
    expected: Floats

    def when(self, expected: Floats) -> Floats:
        """The times by which so many arrivals are expected; each number at least the first of ours, below the last."""
        # Of equal numbers the last is taken: no arrival falls where the rate is 0.
        i = np.searchsorted(self.expected, expected, side="right") - 1
        return np.minimum(self.edges_s[i] + (expected - self.expected[i]) / self.rates[i], self.edges_s[i + 1])

    def behind(self, expected: float) -> "Steps":
        """The same steps without those that end before so many arrivals are expected."""
        i = max(0, int(np.searchsorted(self.expected, expected, side="right")) - 1)
        return Steps(self.edges_s[i:], self.rates[i:], self.expected[i:])

    def followed_by(self, lengths_s: Floats, rates: Floats) -> "Steps":
        """These steps and more of the given lengths; an endless one must be the last."""
        more = np.where(rates > 0, lengths_s, 0.0) * rates
        return Steps(
            np.concatenate((self.edges_s[:-1], np.cumsum(np.concatenate((self.edges_s[-1:], lengths_s))))),
            np.concatenate((self.rates, rates)),
            np.concatenate((self.expected[:-1], np.cumsum(np.concatenate((self.expected[-1:], more))))),
        )


NO_STEPS = Steps(np.zeros(1), np.zeros(0), np.zeros(1))


class RandomSteps:
    """Steps drawn one after another as far as they are read, and forgotten behind the reader.

    `draw` gives lengths in seconds and rates of the next n steps.
    """

    def __init__(self, draw: Callable[[int], tuple[Floats, Floats]]) -> None:
        self._draw = draw
        self._steps = NO_STEPS

    def when(self, expected: Floats) -> Floats:
        """As `Steps.when`, for numbers that never descend, in this call and from call to call."""
        if not len(expected):
            return expected
        while self._steps.expected[-1] <= expected[-1]:
            self._steps = self._steps.followed_by(*self._draw(BLOCK + len(self._steps.rates)))
        at_s = self._steps.when(expected)
        self._steps = self._steps.behind(expected[-1])
        return at_s


@dataclass(frozen=True)
class Wave:
    """A rate of mean 1 and period 2 pi, highest at angle 0: floor + rise * ((1 + cos angle) / 2) ** sharpness."""

    peak: float
    sharpness: int

    @property
    def floor(self) -> float:
        return max(0.0, 1 - self.rise * mean_of_wave(self.sharpness))

    @property
    def rise(self) -> float:
        return (self.peak - 1) / (1 - mean_of_wave(self.sharpness))

    def rate(self, angle: Floats) -> Floats:
        rate = np.cos(angle)
        rate += 1
        rate /= 2
        rate **= self.sharpness
        rate *= self.rise
        rate += self.floor
        return rate

    def expected(self, angle: Floats) -> Floats:
        """The rate's integral from angle 0: the power of the cosine, as a sum of cosines, term by term."""
        k = self.sharpness
        total = np.zeros_like(angle)
        for j in range(1, k + 1):
            waves = np.sin(angle if j == 1 else j * angle)
            waves *= self.rise * 2 * math.comb(2 * k, k + j) / 4.0**k / j
            total += waves
        total += angle
        return total

    def angle(self, expected: Floats) -> Floats:
        """The inverse of `expected`, from 0 to 2 pi, such that expected(angle) misses by rounding only."""
        knots, values = self._table
        angle = np.interp(expected, values, knots)
        for _ in range(1 if self.sharpness == 1 else 2):
            # Where the rate is almost 0 the table alone is exact, and a division by it would not be.
            angle -= (self.expected(angle) - expected) / np.maximum(self.rate(angle), 1e-9)
        return angle

    @cached_property
    def _table(self) -> tuple[Floats, Floats]:
        # Knots crowd at the trough, where the inverse is steep; between them the line is near enough for a step of
        # Newton's method to end at rounding, or two at a sharp peak.
        knots = math.pi * (1 + np.linspace(-1, 1, (1 << 15) + 1) ** 3)
        return knots, np.maximum.accumulate(self.expected(knots))


def mean_of_wave(sharpness: int) -> float:
    """The mean of ((1 + cos angle) / 2) ** sharpness over a period."""
    return math.comb(2 * sharpness, sharpness) / 4.0**sharpness
