"""Roots of monotone functions, and the quantiles of a law that is known by its tail."""

import math
from collections.abc import Callable

from policies.queues import domain

_MOST_STEPS = 2200
"""As many bisections as there are halvings between the greatest and the least float."""


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where `function`, of opposite signs at `low` and `high`, changes sign, to 14 digits.

    Inverse quadratic interpolation where it is safe, else bisection (Chandrupatla 1997): a smooth function takes some
    ten evaluations, one with a jump some fifty.
    """
    a, at_a, b, at_b = low, function(low), high, function(high)
    share = 0.5
    for _ in range(_MOST_STEPS):
        x = a + share * (b - a)
        at_x = function(x)
        if (at_x > 0.0) == (at_a > 0.0):
            c, at_c = a, at_a
        else:
            c, at_c, b, at_b = b, at_b, a, at_a
        a, at_a = x, at_x
        best, at_best = (a, at_a) if abs(at_a) < abs(at_b) else (b, at_b)
        least_share = max(1e-14 * abs(best), 1e-300) / abs(b - a)
        if at_best == 0.0 or least_share > 0.5:
            break
        wanted = _interpolated((a, at_a), (b, at_b), (c, at_c))
        share = min(1.0 - least_share, max(least_share, wanted))
    return best


def _interpolated(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """How far from a to b the next guess lies, as a share: by the inverse parabola through all three, or half way."""
    (xa, ya), (xb, yb), (xc, yc) = a, b, c
    xi, phi = (xa - xb) / (xc - xb), (ya - yb) / (yc - yb)
    if not (phi * phi < xi and (1.0 - phi) ** 2 < 1.0 - xi):
        return 0.5
    return ya / (yb - ya) * yc / (yb - yc) + (xc - xa) / (xb - xa) * ya / (yc - ya) * yb / (yc - yb)


def quantile(tail: Callable[[float], float], fraction: float, scale: float) -> float:
    """The least t >= 0 with tail(t) <= 1 - fraction, for a tail that falls to 0; `scale` is a first guess, above 0."""
    domain.inner_fraction(fraction=fraction)
    beyond = 1.0 - fraction
    if tail(0.0) <= beyond:
        return 0.0
    high = scale
    while tail(high) > beyond:
        high *= 2.0
    return root(lambda t: math.log(max(tail(t), 1e-300) / beyond), 0.0, high)
