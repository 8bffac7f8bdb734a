"""The law of the wait in G/G/c as functions of the load in erlangs and both SCVs: what `GGC` answers is found here.

Times are in mean services. Nothing is checked: the load must be below the servers, and SCVs 0 or at least `LEAST_SCV`.
"""

import math

from policies.queues import erlang, squareroot
from policies.queues.decay import decay
from policies.queues.erlang import Delay
from policies.queues.fit import POISSON, fit

NEVER = Delay(0.0, 0.0)


def delay(offered: float, servers: int, arrival_scv: float, service_scv: float) -> Delay:
    """The law of the wait, taken to be exponential where it is not 0; see `GGC.delay`."""
    if not _wait(offered, arrival_scv, service_scv):
        return NEVER
    waits = probability(offered, servers, arrival_scv, service_scv)
    return Delay(waits, scale(offered, servers, arrival_scv, service_scv))


def mean(offered: float, servers: int, arrival_scv: float, service_scv: float) -> float:
    """Mean wait."""
    if not _wait(offered, arrival_scv, service_scv):
        return 0.0
    waits = probability(offered, servers, arrival_scv, service_scv)
    wait = waits * mean_if_waiting(offered, servers, arrival_scv, service_scv)
    return min(wait, kingman_bound(offered, arrival_scv, service_scv)) if servers == 1 else wait


def probability(offered: float, servers: int, arrival_scv: float, service_scv: float) -> float:
    """P(an arrival waits); see `GGC.wait_probability`."""
    if not _wait(offered, arrival_scv, service_scv):
        return 0.0
    erlang_c = erlang.waiting(offered, servers)
    if arrival_scv == 1.0:
        return erlang_c
    beta = (servers - offered) / math.sqrt(offered)
    # Variance over mean of the busy servers where there is one for everybody, by two moments (Whitt 1993).
    peakedness = (arrival_scv + service_scv) / (1.0 + service_scv)
    many = squareroot.wait_probability(beta / math.sqrt(peakedness))
    if arrival_scv < 1.0:
        poisson = squareroot.wait_probability(beta)
        return min(1.0, erlang_c * many / poisson) if poisson > 0.0 else many
    return max(many, _more_than_poisson(erlang_c, offered / servers, servers, arrival_scv, peakedness))


def _more_than_poisson(erlang_c: float, busy: float, servers: int, arrival_scv: float, peakedness: float) -> float:
    idle, square = 1.0 - busy, busy**2
    away = idle * math.sqrt(servers)
    if away > 37.0:
        return erlang_c
    above = squareroot.normal_above(away)
    heavy = min(1.0, erlang_c / above * squareroot.normal_above(away / peakedness))
    light = min(1.0, erlang_c / above * squareroot.normal_above(2.0 * away / (1.0 + arrival_scv)))
    return square * heavy + (1.0 - square) * light


def scale(offered: float, servers: int, arrival_scv: float, service_scv: float) -> float:
    """The mean of the exponential that stands for waits above 0: the greater of their mean and their decay."""
    wait = poisson_mean_if_waiting(offered, servers, service_scv)
    late = decay_after(offered, servers, arrival_scv, service_scv)
    if arrival_scv == 1.0:
        return max(wait, late)
    return late * max(1.0, wait / decay_after(offered, servers, 1.0, service_scv))


def mean_if_waiting(offered: float, servers: int, arrival_scv: float, service_scv: float) -> float:
    """That of M/G/c, stretched as much as the decay of the tail is when arrivals are not Poisson."""
    wait = poisson_mean_if_waiting(offered, servers, service_scv)
    if arrival_scv == 1.0:
        return wait
    late = decay_after(offered, servers, arrival_scv, service_scv)
    return wait * late / decay_after(offered, servers, 1.0, service_scv)


def decay_after(offered: float, servers: int, arrival_scv: float, service_scv: float) -> float:
    """Minus 1 over the slope of log P(wait > t) at great t: of GI/G/c, exact for the fitted laws."""
    arrivals = POISSON if arrival_scv == 1.0 else fit(arrival_scv)
    return decay(arrivals, fit(service_scv), offered / servers) / servers


def poisson_mean_if_waiting(offered: float, servers: int, service_scv: float) -> float:
    """That of M/M/c, by (1 + SCV)/2 and a correction (Whitt 1993; Cosmetatos 1975)."""
    markovian = 1.0 / (servers - offered)
    if servers == 1 or service_scv == 1.0:
        return markovian * 0.5 * (1.0 + service_scv)
    busy = offered / servers
    gamma = min(0.24, (1.0 - busy) * (servers - 1) * (math.sqrt(4.0 + 5.0 * servers) - 2.0) / (16.0 * offered))
    regular = (1.0 - 4.0 * gamma) * math.exp(-2.0 * (1.0 - busy) / (3.0 * busy))
    if service_scv >= 1.0:
        return markovian * 0.25 * ((service_scv - 1.0) * regular + service_scv + 3.0)
    middle: float = min(1.0, 0.5 * (1.0 + gamma + regular)) ** (1.0 - service_scv)
    correction = (4.0 * (1.0 - service_scv) * (1.0 + gamma) + service_scv * middle) / (4.0 - 3.0 * service_scv)
    return markovian * 0.5 * (1.0 + service_scv) * correction


def kingman_bound(offered: float, arrival_scv: float, service_scv: float) -> float:
    """What the mean wait before one server never exceeds (Kingman 1962); infinite where nothing arrives."""
    variances = arrival_scv + service_scv * offered**2
    return variances / (2.0 * offered * (1.0 - offered)) if offered > 0.0 else math.inf


def _wait(offered: float, arrival_scv: float, service_scv: float) -> bool:
    return offered > 0.0 and arrival_scv + service_scv > 0.0
