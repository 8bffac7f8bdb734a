"""How fast the chance of a long wait falls before many servers: the one number of GI/G/c that is known exactly."""

from policies.queues.fit import Fit

MOST_STEPS = 200
"""Newton's steps from the right take some five; those beside a pole some forty."""


def decay(arrivals: Fit, services: Fit, utilization: float) -> float:
    """Minus 1 over the slope of log P(wait > t) at great t, in mean services shared by all servers.

    That is 1/x for the root x > 0 of A(x / utilization) B(-x) = 1, transforms of laws of mean 1, not both constant
    (Neuts & Takahashi 1981; Abate, Choudhury & Whitt 1995). The logarithm is convex and 0 at 0, falling there: from
    any point where it rises Newton's step goes to the right of the root, and from there never past it.
    """
    pole = services.abscissa
    x = min(2.0 * (1.0 - utilization) / (arrivals.scv + services.scv), 0.5 * pole)
    beyond = False
    for _ in range(MOST_STEPS):
        value, slope = _log_product(arrivals, services, utilization, x)
        if beyond and (value <= 0.0 or slope <= 0.0):
            break
        beyond = beyond or value > 0.0
        after = x - value / slope if slope > 0.0 else 2.0 * x
        # The next step would be as long as the square of this one.
        if beyond and x - after <= 1e-7 * min(x, pole - x):
            return 1.0 / min(x, after)
        x = min(after, 0.5 * (x + pole)) if after > x else max(after, 0.5 * x)
        if pole - x <= 1e-14 * x:
            return 1.0 / pole
    return 1.0 / x


def _log_product(arrivals: Fit, services: Fit, utilization: float, x: float) -> tuple[float, float]:
    """log A(x / utilization) B(-x), and its slope."""
    come, came = arrivals.log_transform_and_slope(x / utilization)
    serve, served = services.log_transform_and_slope(-x)
    return come + serve, came / utilization - served
