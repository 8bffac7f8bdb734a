"""How bursty arrivals are over each time scale, and the one SCV by which a queue of a given load feels it."""

import math
from collections.abc import Mapping, Sequence

from policies.queues import domain

GRID = 200
"""Times at which the largest likely backlog is looked for; it is flat there, so three digits are right."""


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
    import numpy as np

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

    # The largest likely backlog builds up over that time, of all, at which spread outruns drift the most.
    memory_s = 0.5 * busy * unit_s * (max(indices) + service_scv) / drift**2
    shortest_s = min(math.exp(known[0]), 1e-4 * memory_s)
    logs = np.linspace(math.log(shortest_s), math.log(10.0 * max(memory_s, windows[-1])), GRID)
    times = np.exp(logs)
    index = np.interp(logs, known, indices) + service_scv
    backlog_s = np.max(np.sqrt(2.0 * busy * unit_s * times * index) - drift * times)
    return max(0.0, float(2.0 * backlog_s * drift / (busy * unit_s)) - service_scv)
