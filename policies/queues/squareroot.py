"""Square-root staffing: servers = load + beta sqrt(load), and how many servers behave at a given beta.

Limits for many servers: Halfin & Whitt (1981) without abandonment, Garnett, Mandelbaum & Reiman (2002) with it.
"""

import math

from policies.queues import domain
from policies.queues.roots import root

_SQRT_2PI = math.sqrt(2.0 * math.pi)


def servers(offered: float, beta: float) -> int:
    """The load in erlangs plus `beta` times its root, rounded up; at least 0."""
    domain.not_negative(offered=offered)
    return max(0, math.ceil(offered + beta * math.sqrt(offered)))


def wait_probability(beta: float) -> float:
    """P(wait) of many servers at this beta; 1 at beta <= 0, where the queue never settles."""
    if beta <= 0.0:
        return 1.0
    return 1.0 / (1.0 + beta * normal_below(beta) / normal_density(beta)) if beta < 38.0 else 0.0


def beta_for(fraction: float) -> float:
    """The beta at which many servers make this fraction of requests wait: the inverse of `wait_probability`."""
    domain.inner_fraction(fraction=fraction)
    return root(lambda beta: math.log(max(wait_probability(beta), 1e-300) / fraction), 0.0, 37.0)


def patient_wait_probability(beta: float, service_over_patience: float) -> float:
    """P(wait) of many servers at this beta, of any sign, before which requests abandon.

    `service_over_patience` is the mean service over the mean (exponential) patience.
    """
    domain.positive(service_over_patience=service_over_patience)
    root_ratio = math.sqrt(service_over_patience)
    return 1.0 / (1.0 + root_ratio * hazard(beta / root_ratio) / hazard(-beta))


def patient_abandonment(beta: float, service_over_patience: float) -> float:
    """The limit of sqrt(load) x P(abandon) for many servers at this beta; see `patient_wait_probability`."""
    waits = patient_wait_probability(beta, service_over_patience)
    root_ratio = math.sqrt(service_over_patience)
    return waits * (root_ratio * hazard(beta / root_ratio) - beta)


def hazard(x: float) -> float:
    """The standard normal density over its tail."""
    if x > 25.0:
        return x + (1.0 - (2.0 - 10.0 / (x * x)) / (x * x)) / x
    return normal_density(x) / normal_above(x)


def normal_density(x: float) -> float:
    return math.exp(-0.5 * x * x) / _SQRT_2PI


def normal_above(x: float) -> float:
    return 0.5 * math.erfc(x / math.sqrt(2.0))


def normal_below(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))
