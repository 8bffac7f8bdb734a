"""The fewest servers, or the most load, that meet a target on waits or response times."""

import math
from collections.abc import Callable

from policies.queues import domain
from policies.queues.erlang import MMC
from policies.queues.fit import Fit
from policies.queues.ggc import GGC
from policies.queues.roots import quantile


def servers_for_wait(
    rate_per_s: float,
    service_s: float,
    wait_s: float,
    fraction: float,
    arrival_scv: float = 1.0,
    service_scv: float = 1.0,
) -> int:
    """The fewest servers with P(wait <= wait_s) >= fraction; 0 where nothing arrives.

    Exact for SCVs of 1, else as good as `GGC`. Raises `ValueError` for a fraction outside (0, 1) or a negative wait.
    """
    meets = _wait_target(wait_s, fraction)
    return _fewest(meets, rate_per_s, service_s, arrival_scv, service_scv)


def servers_for_mean_response(
    rate_per_s: float, service_s: float, response_s: float, arrival_scv: float = 1.0, service_scv: float = 1.0
) -> int:
    """The fewest servers with a mean response of at most `response_s`; 0 where nothing arrives.

    Exact for SCVs of 1, else as good as `GGC`. Raises `ValueError` for a response that is not above the mean service.
    """
    meets = _mean_response_target(service_s, response_s)
    return _fewest(meets, rate_per_s, service_s, arrival_scv, service_scv)


def servers_for_response(
    rate_per_s: float,
    service_s: float,
    response_s: float,
    fraction: float,
    arrival_scv: float = 1.0,
    service_scv: float = 1.0,
) -> int:
    """The fewest servers with P(response <= response_s) >= fraction; 0 where nothing arrives.

    Exact for SCVs of 1, else as good as `GGC`. Raises `ValueError` for a fraction outside (0, 1), and for a response
    that too many services exceed by themselves.
    """
    meets = _response_target(service_s, response_s, fraction, service_scv)
    return _fewest(meets, rate_per_s, service_s, arrival_scv, service_scv)


def rate_for_wait(
    service_s: float,
    servers: int,
    wait_s: float,
    fraction: float,
    arrival_scv: float = 1.0,
    service_scv: float = 1.0,
) -> float:
    """The most requests per second, to 10 digits, at which P(wait <= wait_s) >= fraction; see `servers_for_wait`."""
    meets = _wait_target(wait_s, fraction)
    return _most(meets, service_s, servers, arrival_scv, service_scv)


def rate_for_mean_response(
    service_s: float, servers: int, response_s: float, arrival_scv: float = 1.0, service_scv: float = 1.0
) -> float:
    """The most requests per second, to 10 digits, at which the mean response is at most `response_s`.

    Raises as `servers_for_mean_response` does.
    """
    meets = _mean_response_target(service_s, response_s)
    return _most(meets, service_s, servers, arrival_scv, service_scv)


def rate_for_response(
    service_s: float,
    servers: int,
    response_s: float,
    fraction: float,
    arrival_scv: float = 1.0,
    service_scv: float = 1.0,
) -> float:
    """The most requests per second, to 10 digits, at which P(response <= response_s) >= fraction.

    Raises as `servers_for_response` does.
    """
    meets = _response_target(service_s, response_s, fraction, service_scv)
    return _most(meets, service_s, servers, arrival_scv, service_scv)


def fewest(meets: Callable[[int], bool], offered: float, start: float, step: int | None = None) -> int:
    """The fewest servers above a load in erlangs at which `meets` holds, where it holds for all greater numbers too.

    Looks first near `start`, then `step` away (half the root of the load where not given), then in doubled steps, then
    halves the gap. So a start that is known to be near, with a step of 1, takes two looks where it is right.
    """
    least = domain.least(offered)
    step = max(1, int(math.sqrt(offered) / 2.0)) if step is None else step
    high = max(least, math.ceil(start))
    if meets(high):
        while high - step >= least and meets(high - step):
            high, step = high - step, 2 * step
        low = max(least - 1, high - step)
    else:
        low, high = high, high + step
        while not meets(high):
            low, high, step = high, high + 2 * step, 2 * step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if meets(middle) else (middle, high)
    return high


Target = Callable[[MMC | GGC], bool]


def _wait_target(wait_s: float, fraction: float) -> Target:
    domain.not_negative(wait_s=wait_s)
    domain.inner_fraction(fraction=fraction)
    return lambda queue: queue.wait_tail(wait_s) <= 1.0 - fraction


def _mean_response_target(service_s: float, response_s: float) -> Target:
    domain.positive(service_s=service_s)
    if not response_s > service_s:
        raise ValueError(f"response_s is {response_s}, must be above the mean service of {service_s} s")
    return lambda queue: queue.response_s <= response_s


def _response_target(service_s: float, response_s: float, fraction: float, service_scv: float) -> Target:
    domain.positive(service_s=service_s, response_s=response_s)
    domain.inner_fraction(fraction=fraction)
    domain.not_negative(service_scv=service_scv)
    tail = Fit(service_scv).tail
    if tail(response_s / service_s) >= 1.0 - fraction:
        least_s = service_s * quantile(tail, fraction, 1.0)
        raise ValueError(
            f"response_s is {response_s}, but a fraction {fraction} of the services alone takes up to {least_s:.6g} s;"
            " must be above that"
        )
    return lambda queue: queue.response_tail(response_s) <= 1.0 - fraction


def _queue(rate_per_s: float, service_s: float, servers: int, arrival_scv: float, service_scv: float) -> MMC | GGC:
    if arrival_scv == 1.0 and service_scv == 1.0:
        return MMC(rate_per_s, service_s, servers)
    return GGC(rate_per_s, service_s, servers, arrival_scv, service_scv)


def _fewest(meets: Target, rate_per_s: float, service_s: float, arrival_scv: float, service_scv: float) -> int:
    domain.not_negative(rate_per_s=rate_per_s)
    domain.positive(service_s=service_s)
    domain.not_negative(arrival_scv=arrival_scv, service_scv=service_scv)
    if rate_per_s == 0.0:
        return 0
    offered = rate_per_s * service_s
    spread = math.sqrt(offered * (arrival_scv + service_scv) / (1.0 + service_scv))
    return fewest(
        lambda servers: meets(_queue(rate_per_s, service_s, servers, arrival_scv, service_scv)),
        offered,
        offered + spread,
    )


def _most(meets: Target, service_s: float, servers: int, arrival_scv: float, service_scv: float) -> float:
    domain.positive(service_s=service_s)
    domain.whole(1, servers=servers)
    domain.not_negative(arrival_scv=arrival_scv, service_scv=service_scv)
    low, high = 0.0, servers / service_s
    while high - low > 1e-10 * high:
        middle = (low + high) / 2.0
        settles = middle * service_s < servers
        good = settles and meets(_queue(middle, service_s, servers, arrival_scv, service_scv))
        low, high = (middle, high) if good else (low, middle)
    return low
