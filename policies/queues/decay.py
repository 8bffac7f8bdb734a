"""How fast the chance of a long wait falls before many servers: the one number of GI/G/c that is known exactly."""

import math

from policies.queues.fit import Fit

MOST_STEPS = 200
"""Newton's steps from a good guess take some three; those beside a pole some forty."""


def decay(arrivals: Fit, services: Fit, utilization: float) -> float:
    """Minus 1 over the slope of log P(wait > t) at great t, in mean services shared by all servers.

    That is 1/x for the root x > 0 of A(x / utilization) B(-x) = 1, transforms of laws of mean 1, not both constant
    (Neuts & Takahashi 1981; Abate, Choudhury & Whitt 1995). The logarithm is convex and 0 at 0, falling there: from
    any point where it rises Newton's step goes to the right of the root, and from there never past it.
    """
    if arrivals.scv == 1.0 and services.scv >= 1.0:
        return 1.0 / _poisson_and_phases(services, utilization)
    pole = services.abscissa
    x = _guess(arrivals, services, utilization)
    beyond = False
    for _ in range(MOST_STEPS):
        come, came = arrivals.log_transform_and_slope(x / utilization)
        serve, served = services.log_transform_and_slope(-x)
        value, slope = come + serve, came / utilization - served
        if beyond and (value <= 0.0 or slope <= 0.0):
            break
        beyond = beyond or value > 0.0
        after = x - value / slope if slope > 0.0 else 2.0 * x
        # The next step would be as long as the square of this one.
        if beyond and x - after <= 1e-6 * min(x, pole - x):
            return 1.0 / min(x, after)
        x = min(after, 0.5 * (x + pole)) if after > x else max(after, 0.5 * x)
        if pole - x <= 1e-14 * x:
            return 1.0 / pole
    return 1.0 / x


def _poisson_and_phases(services: Fit, utilization: float) -> float:
    """The root for Poisson arrivals and services of two phases, of equal weight by mean: of a quadratic equation."""
    (_, mean), (_, other) = services.phases
    product, idle = mean * other, 1.0 - utilization
    half = 0.5 * (mean + other - product * utilization)
    return idle / (half + math.sqrt(max(0.0, half * half - product * idle)))


def _guess(arrivals: Fit, services: Fit, utilization: float) -> float:
    """Near the root in heavy traffic: the logarithm by its cumulants up to the third."""
    comes, serves, pole = arrivals.scv, services.scv, services.abscissa
    square = comes / utilization**2 + serves
    x = 2.0 * (1.0 / utilization - 1.0) / square
    skew = services.third_cumulant - arrivals.third_cumulant / utilization**3
    return min(x / max(0.5, 1.0 + x * skew / (3.0 * square)), 0.7 * pole)
