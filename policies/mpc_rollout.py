"""What a number of replicas would cost, and whom it would serve too late, on each of an ensemble of load paths.

The queue is a fluid: x requests in the system before c slots leave at min(x, c) / service time. Around it the number in
the system scatters like a Poisson count, which the share of requests that wait too long takes in. After one start-up
time the replicas are those that were chosen or, where the load of a path wants more, those that reacting to it would
have brought by then: what is decided now matters only until it can be decided again.
"""

from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

Singles = NDArray[np.float32]

SHARES = np.array((1 / 6, 1 / 2, 5 / 6))
"""Service times are taken at these quantiles of a gamma law."""
MARGIN = 0.3
"""Square-root staffing of what a path wants later: load + margin * sqrt(load) slots."""
FOLLOWING = 0.25
"""By how much, in a step, the level that reacting goes by moves towards the load."""
LOGISTIC = 1.7
"""The logistic law of this scale is within 0.01 of the normal law (Johnson, Kotz and Balakrishnan 1995)."""


@dataclass(frozen=True)
class Situation:
    """A pool at one moment, and what may come."""

    offered: Singles
    """(paths, steps): load in slots."""
    weights: Singles
    """(paths,)"""
    level: float
    """Load in slots now."""
    in_system: float
    """Requests queued and in service."""
    queued: float
    waited_s: float
    """How long those who are queued have waited, in the mean."""
    ready: Singles
    """(steps,): replicas that are ready in each step if none are started or stopped from now on."""
    lead: int
    """Steps until a replica that is started now is ready."""
    step_s: float
    slots: int
    service_s: float
    service_scv: float

    def costs(self, replicas: NDArray[np.int_], price: "Price") -> NDArray[np.float64]:
        """Expected cost, in replica-seconds, of each of these numbers of replicas."""
        chosen = replicas[:, None].astype(np.float32)
        wanted = [np.broadcast_to(chosen, (len(replicas), len(self.weights)))]
        wanted += [np.maximum(chosen, later) for later in self.reactions[1:]]
        capacity = np.stack([self._capacity(wanted, step) for step in range(len(wanted))])
        queue = self._queue(capacity)
        paid = np.sum(wanted, axis=0) * np.float32(self.step_s)
        return np.asarray((paid + price.of(self, capacity, queue)) @ self.weights, np.float64)

    def greatest(self) -> int:
        """More replicas than this are of no use on any path."""
        most = float(self.offered.max(initial=self.level))
        return int(max(most + 3 * sqrt(most), 1.2 * self.in_system) / self.slots) + 2

    @cached_property
    def reactions(self) -> list[Singles]:
        """(paths,) for each step: replicas that the load up to then wants."""
        level = np.full(len(self.weights), self.level, np.float32)
        found = []
        for offered in self.offered.T:
            found.append(level)
            level = level + np.float32(FOLLOWING) * (offered - level)
        levels = np.stack(found)
        replicas = np.ceil((levels + MARGIN * np.sqrt(levels)) / self.slots - 1e-6)
        return list(np.where(levels < 0.02, np.float32(0), replicas).astype(np.float32))

    def _capacity(self, wanted: list[Singles], step: int) -> Singles:
        """Slots in a step: what was wanted a start-up time ago, unless it is no longer wanted."""
        if step < self.lead:
            return np.minimum(wanted[0], self.ready[step]) * np.float32(self.slots)
        return np.minimum(wanted[step - self.lead], wanted[step]) * np.float32(self.slots)

    def _queue(self, capacity: Singles) -> tuple[Singles, Singles]:
        """Mean and variance of the number in the system, (steps + 1, choices, paths) each.

        The number is taken as normal, so that the mean of min(number, slots) and the pull on its variance are known
        (Gaussian closure: Massey and Pender 2013); over a step both are followed as linear.
        """
        mean = np.empty((len(capacity) + 1, *capacity.shape[1:]), np.float32)
        variance = np.empty_like(mean)
        mean[0], variance[0] = self.in_system, 0
        turnover = np.float32(self.step_s / self.service_s)
        staying = np.exp(-turnover)
        # The paths show how arrivals scatter from step to step; what scatters within a step comes on top.
        within = turnover / (1 + turnover)
        for step, (offered, slots) in enumerate(zip(self.offered.T, capacity, strict=True)):
            x, v = mean[step], variance[step]
            z, deviation = _standard(slots - x, v)
            free = 1 / (1 + np.exp(-LOGISTIC * z))
            waiting = deviation * np.maximum(np.exp(-z * z / 2) * np.float32(0.39894) - z * (1 - free), 0)
            served = np.clip(x - waiting, 0, np.minimum(x, slots))
            pull = np.maximum(free, np.float32(0.01)) * turnover
            followed = x + (offered - served) * turnover * (1 - np.exp(-pull)) / pull
            busy = x + (offered - slots) * turnover
            idle = offered + (x - offered) * staying
            np.maximum(np.maximum(busy, idle), followed, out=mean[step + 1])
            np.maximum(mean[step + 1], 0, out=mean[step + 1])
            kept = np.exp(-2 * pull)
            scatter = (offered * within + served * np.float32(self.service_scv)) * turnover
            variance[step + 1] = v * kept + scatter * (1 - kept) / (2 * pull)
        return mean, variance


def _standard(above: Singles, variance: Singles) -> tuple[Singles, Singles]:
    """How many standard deviations, and the deviation."""
    deviation = np.sqrt(variance + np.float32(0.05))
    return np.clip(above / deviation, -8, 8), deviation


@dataclass(frozen=True, slots=True)
class LatePrice:
    """So many replica-seconds for each request that is answered later than `response_s`."""

    response_s: float
    replica_s: float

    def __str__(self) -> str:
        return f"{self.replica_s:.3g} replica-seconds a late request"

    def of(self, at: Situation, capacity: Singles, queue: tuple[Singles, Singles]) -> Singles:
        """(choices, paths)"""
        turnover = np.float32(at.step_s / at.service_s)
        served = np.concatenate(
            (np.zeros((1, *capacity.shape[1:]), np.float32), np.cumsum(capacity * turnover, axis=0))
        )
        middles = np.arange(len(capacity)) + 0.5
        now = (served[1:] + served[:-1]) / 2
        ahead, variance = ((known[1:] + known[:-1]) / 2 for known in queue)
        late = np.zeros_like(ahead)
        late_now = np.zeros_like(ahead[0])
        for slack_s in (self.response_s - s for s in _services(at)):
            if slack_s > 0:
                then, slots = _later(served, capacity, turnover, middles + slack_s / at.step_s)
                late += _too_many(ahead - slots, then - now, variance, at.service_scv)
            if at.queued and slack_s > at.waited_s:
                left = np.array([(slack_s - at.waited_s) / at.step_s])
                (then,), (slots,) = _later(served, capacity, turnover, left)
                before = np.float32(at.in_system - (at.queued + 1) / 2)
                late_now += _too_many(before - slots, then, np.float32(0), at.service_scv)
        arrivals = at.offered.T[:, None, :] * turnover
        found = (late * arrivals).sum(axis=0) + late_now * np.float32(at.queued)
        return np.asarray(found * np.float32(self.replica_s / len(SHARES)))


@dataclass(frozen=True, slots=True)
class HoldingPrice:
    """So many replica-seconds for each second that a request is in the system."""

    replica_s: float

    def __str__(self) -> str:
        return f"{self.replica_s:.3g} replica-seconds a request and second"

    def of(self, at: Situation, capacity: Singles, queue: tuple[Singles, Singles]) -> Singles:
        """(choices, paths); what is left at the end is cleared by the slots to spare then."""
        present = queue[0][1:]
        left = np.maximum(present[-1] - capacity[-1], 0)
        spare = np.maximum(capacity[-1] - at.offered.T[-4:].mean(axis=0), np.float32(0.5))
        cleared = left * left / spare * np.float32(at.service_s / 2)
        return np.asarray((present.sum(axis=0) * np.float32(at.step_s) + cleared) * np.float32(self.replica_s))


Price = LatePrice | HoldingPrice


def _services(at: Situation) -> list[float]:
    if at.service_scv < 0.01:
        return [at.service_s] * len(SHARES)
    shape = 1 / at.service_scv
    return [float(at.service_s * q / shape) for q in gammaincinv(shape, SHARES)]


def _too_many(ahead: Singles, departed: Singles, variance: Singles | np.float32, service_scv: float) -> Singles:
    """The chance that more are ahead than slots and departures make room for: that one starts too late."""
    scatter = variance + departed * np.float32(service_scv) + np.float32(0.05)
    z = (ahead - departed + np.float32(0.5)) / np.sqrt(scatter)
    return np.asarray(1 / (1 + np.exp(np.clip(-LOGISTIC * z, -20, 20))))


def _later(
    served: Singles, capacity: Singles, turnover: np.float32, at: NDArray[np.float64]
) -> tuple[Singles, Singles]:
    """What will have been served by these times, in steps from now, and slots then; the last step goes on."""
    n = len(capacity)
    whole = np.minimum(at.astype(int), n)
    part = (np.minimum(at, n) - whole).astype(np.float32)[:, None, None]
    beyond = np.maximum(at - n, 0).astype(np.float32)[:, None, None]
    after = served[np.minimum(whole + 1, n)]
    then = served[whole] + part * (after - served[whole]) + beyond * (capacity[-1] * turnover)
    return then, capacity[np.minimum(whole, n - 1)]
