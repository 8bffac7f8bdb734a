"""How bursty arrivals are over each time scale, and the one SCV by which a queue of a given load feels it."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from policies.queues import domain


def index_of_dispersion(counts: Sequence[float]) -> float | None:
    """Variance over mean of the arrivals counted in equal windows: 1 for Poisson, 0 for clockwork.

    None for fewer than two windows, or where nothing arrived.
    """
    total = math.fsum(counts)
    if len(counts) < 2 or total <= 0.0:
        return None
    mean = total / len(counts)
    return math.fsum((count - mean) ** 2 for count in counts) / (len(counts) - 1) / mean


def effective_arrival_scv(
    dispersion: Mapping[float, float], rate_per_s: float, service_s: float, servers: int, service_scv: float = 1.0
) -> float:
    """The SCV of renewal arrivals before which this queue would hold as much work as before these arrivals.

    `dispersion` is the index of dispersion by window in seconds; between windows it is interpolated over the
    logarithm of time, below the shortest it falls to the 1 of any arrivals that come singly, and above the longest it
    stays. So windows should reach as far as the queue remembers, load x service_s x (both SCVs) / (2 (servers -
    load)^2); what happens in longer ones is not felt. Robust queueing (Whitt & You 2018), the servers taken as one
    fast server. Raises `ValueError` without windows, or where the queue never settles.
    """
    if not dispersion:
        raise ValueError("dispersion is empty, must hold one window at least")
    domain.positive(rate_per_s=rate_per_s, service_s=service_s)
    domain.whole(1, servers=servers)
    domain.settled(rate_per_s * service_s, servers)
    windows = sorted(dispersion)
    domain.positive(shortest_window_s=windows[0])
    busy = rate_per_s * service_s / servers
    drift, unit_s = 1.0 - busy, service_s / servers
    known = [math.log(min(0.01 / rate_per_s, 0.5 * windows[0])), *map(math.log, windows)]
    indices = [1.0, *(dispersion[window] for window in windows)]

    memory_s = 0.5 * busy * unit_s * (max(indices) + service_scv) / drift**2
    known = [min(known[0], math.log(1e-4 * memory_s)), *known, math.log(10.0 * max(memory_s, windows[-1]))]
    indices = [indices[0], *indices, indices[-1]]
    spread = 2.0 * busy * unit_s
    pieces = zip(pairwise(known), pairwise(index + service_scv for index in indices), strict=True)
    bounded = sorted(((_bound(spread, drift, *ends, max(both)), ends, both) for ends, both in pieces), reverse=True)
    backlog_s = 0.0
    for most_s, ends, both in bounded:
        if most_s > backlog_s:
            backlog_s = max(backlog_s, _largest_backlog(spread, drift, *ends, *both))
    return max(0.0, 2.0 * backlog_s * drift / (busy * unit_s) - service_scv)


def _bound(spread: float, drift: float, start: float, end: float, index: float) -> float:
    """The maximum of sqrt(spread t index) - drift t for log t in start..end: no less than that of lesser indices."""
    t_s = min(max(0.25 * spread * index / drift**2, math.exp(start)), math.exp(end))
    return math.sqrt(spread * t_s * index) - drift * t_s


def _largest_backlog(spread: float, drift: float, start: float, end: float, first: float, last: float) -> float:
    """The maximum of sqrt(spread t index) - drift t for log t in start..end, the index linear in log t.

    It is concave there: with index a + b log t, the second derivative has the sign of -(index^2 + b^2).
    """
    slope = (last - first) / (end - start) if end > start else 0.0

    def rises(log_t: float) -> bool:
        index = max(first + slope * (log_t - start), 1e-300)
        return index + slope > 0.0 and spread * (index + slope) ** 2 > 4.0 * drift**2 * math.exp(log_t) * index

    if not rises(start):
        end = start
    elif rises(end):
        start, first = end, last
    # It is flat at the top: so near in log t makes a difference of one in ten thousand.
    while end - start > 0.02:
        middle = 0.5 * (start + end)
        if rises(middle):
            start, first = middle, first + slope * (middle - start)
        else:
            end = middle
    t_s = math.exp(start)
    return math.sqrt(max(0.0, spread * t_s * first)) - drift * t_s
