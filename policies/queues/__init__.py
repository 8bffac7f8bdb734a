"""Queueing theory: what a queue's waits, losses and response times are, and how many servers a target needs.

Each formula says where it comes from and, where it is an approximation, how far it is known to be off. `erlang` (B, C
and A), `squareroot` and `domain` are modules of functions; the rest is public here.
"""

from policies.queues.constant import MD1, MDC
from policies.queues.dispersion import effective_arrival_scv, index_of_dispersion
from policies.queues.erlang import MMC, Delay, ErlangA
from policies.queues.ggc import GGC
from policies.queues.inverses import (
    fewest,
    rate_for_mean_response,
    rate_for_response,
    rate_for_wait,
    servers_for_mean_response,
    servers_for_response,
    servers_for_wait,
)
from policies.queues.losses import MMCD, MMCK
from policies.queues.oneserver import MG1, BatchMM1, setup_wait_s
from policies.queues.priorities import (
    NonPreemptive,
    PriorityClass,
    preemptive_mmc_response_s,
    preemptive_response_s,
    servers_for_priorities,
    servers_for_priority_means,
)
from policies.queues.sharing import ProcessorSharing

__all__ = [
    "GGC",
    "MD1",
    "MDC",
    "MG1",
    "MMC",
    "MMCD",
    "MMCK",
    "BatchMM1",
    "Delay",
    "ErlangA",
    "NonPreemptive",
    "PriorityClass",
    "ProcessorSharing",
    "effective_arrival_scv",
    "fewest",
    "index_of_dispersion",
    "preemptive_mmc_response_s",
    "preemptive_response_s",
    "rate_for_mean_response",
    "rate_for_response",
    "rate_for_wait",
    "servers_for_mean_response",
    "servers_for_priorities",
    "servers_for_priority_means",
    "servers_for_response",
    "servers_for_wait",
    "setup_wait_s",
]
