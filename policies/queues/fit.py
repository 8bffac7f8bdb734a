"""A law of times fitted to its mean, 1, and its squared coefficient of variation.

Constant at 0, gamma up to 1 (exponential at 1), and above it a mixture of two exponentials with balanced means
(Whitt 1982), as is usual in the tables of multi-server queues.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

from policies.queues import palm
from policies.queues.erlang import Delay

LEAST_SCV = 1e-9
"""A smaller squared coefficient of variation counts as none."""


def counted(scv: float) -> float:
    """The SCV, or 0 where it is too small to count: the transforms of such laws are noise."""
    return scv if scv >= LEAST_SCV else 0.0


@dataclass(frozen=True)
class Fit:
    scv: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "scv", counted(self.scv))

    @cached_property
    def phases(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Probability and mean of the two exponentials; for an SCV of at least 1."""
        often = 0.5 * (1.0 + math.sqrt((self.scv - 1.0) / (self.scv + 1.0)))
        rare = 1.0 / (self.scv + 1.0) / (2.0 * often)
        return (often, 0.5 / often), (rare, 0.5 / rare)

    @cached_property
    def third_cumulant(self) -> float:
        if self.scv <= 1.0:
            return 2.0 * self.scv**2
        (_, mean), (_, other) = self.phases
        return 3.0 * (mean**2 + other**2) - 3.0 * self.scv - 1.0

    @cached_property
    def abscissa(self) -> float:
        """The x below which E exp(xX) is finite."""
        if self.scv <= 1.0:
            return 1.0 / self.scv if self.scv > 0.0 else math.inf
        return 1.0 / self.phases[1][1]

    def log_transform(self, x: float) -> float:
        """log E exp(-xX) for x > -abscissa."""
        return self.log_transform_and_slope(x)[0]

    def log_transform_and_slope(self, x: float) -> tuple[float, float]:
        """log E exp(-xX) and its derivative, for x > -abscissa."""
        if self.scv == 0.0:
            return -x, -1.0
        if self.scv <= 1.0:
            scaled = self.scv * x
            return -math.log1p(scaled) / self.scv, -1.0 / (1.0 + scaled)
        (p, mean), (q, other) = self.phases
        one, two = 1.0 / (1.0 + mean * x), 1.0 / (1.0 + other * x)
        # log1p(-sum p (1 - 1/(1 + m x))) keeps its digits near x = 0.
        less = -(p * mean * x * one + q * other * x * two)
        return math.log1p(less), -(p * mean * one * one + q * other * two * two) / (1.0 + less)

    def tail(self, t: float) -> float:
        """P(X > t)."""
        return self.tail_after(Delay(0.0, 0.0), t)

    def tail_after(self, delay: Delay, t: float) -> float:
        """P(delay + X > t) for a delay independent of X."""
        if t <= 0.0:
            return 1.0
        if self.scv == 0.0:
            return 1.0 if t < 1.0 else delay.tail(t - 1.0)
        if self.scv < 1.0:
            return self._gamma_tail_after(delay, t)
        return sum(p * delay.response_tail(t, mean) for p, mean in self.phases)

    def _gamma_tail_after(self, delay: Delay, t: float) -> float:
        from scipy.special import gammaincc

        shape = 1.0 / self.scv
        alone = float(gammaincc(shape, shape * t))
        if delay.probability <= 0.0:
            return alone
        # The integral of the gamma density times exp(-(t - s) / mean) over s in 0..t, in two ways that keep digits.
        x = (shape - 1.0 / delay.mean_s) * t
        if x > shape:
            exponent = -shape * math.log1p(-1.0 / (shape * delay.mean_s)) - t / delay.mean_s
            return alone + delay.probability * math.exp(exponent) * palm.gamma_below(shape, x)
        exponent = palm.log_poisson(shape * t, shape) + palm.log_series(shape, x)
        return alone + delay.probability * math.exp(exponent)


@lru_cache(maxsize=4096)
def fit(scv: float) -> Fit:
    """The law of this SCV; one object for all who ask, as the next question is often of the same queue."""
    return Fit(scv)


POISSON = fit(1.0)
"""Arrivals that come whenever they like."""
