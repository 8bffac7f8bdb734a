"""What a number of replicas would cost, and whom it would serve too late, on each of an ensemble of load paths.

The queue is a fluid: x requests in the system before c slots leave at min(x, c) / service time. Around it the number in
the system scatters like a Poisson count, which the share of requests that wait too long takes in. After one start-up
time the replicas are those that were chosen or, where the load of a path wants more, those that reacting to it would
have brought by then: what is decided now matters only until it can be decided again.
"""

from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]

SHARES = np.array((1 / 6, 1 / 2, 5 / 6))
"""Service times are taken at these quantiles of a gamma law."""
CONSTANT = 0.01
"""Services of a smaller SCV take the same time."""
MARGIN = 0.3
"""Square-root staffing of what a path wants later: load + margin * sqrt(load) slots."""
SOMEBODY = 0.1
"""More than this of a request is somebody to be served."""
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
    readied: float | None
    """Where start-up times scatter like an exponential law: the share of those starting that are ready a step later."""
    step_s: float
    slots: int
    service_s: float
    service_scv: float

    def costs(self, replicas: NDArray[np.int_], price: "Price") -> NDArray[np.float64]:
        """Expected cost, in replica-seconds, of each of these numbers of replicas."""
        course = self._course(replicas[:, None].astype(np.float32))
        paid = course.wanted.sum(axis=0) * np.float32(self.step_s)
        return np.asarray((paid + price.of(self, course)) @ self.weights, np.float64)

    def longer_than(self, time_s: float) -> float:
        """The share of services that take longer than this, by their gamma law."""
        if self.service_scv < CONSTANT:
            return float(self.service_s > time_s)
        from scipy.special import gammaincc

        return float(gammaincc(1 / self.service_scv, time_s / (self.service_s * self.service_scv)))

    def greatest(self) -> int:
        """More replicas than this are of no use on any path."""
        most = float(self.offered.max(initial=self.level))
        return int(max(most + 3 * sqrt(most), 1.2 * self.in_system) / self.slots) + 2

    @cached_property
    def _reactions(self) -> Singles:
        """(steps + 1, paths): slots that the load up to then wants."""
        levels = np.empty((self.offered.shape[1] + 1, len(self.weights)), np.float32)
        levels[0], levels[1:] = self.level, self.offered.T
        return np.where(levels < 0.02, np.float32(0), levels + np.float32(MARGIN) * np.sqrt(levels))

    @cached_property
    def _turnover(self) -> np.float32:
        """Services of a slot in a step."""
        return np.float32(self.step_s / self.service_s)

    @cached_property
    def _staying(self) -> np.float32:
        """The share of those in service who still are after a step."""
        return np.float32(np.exp(-self._turnover))

    def _course(self, chosen: Singles) -> "Course":
        """What becomes of each choice, (choices, 1), on each path."""
        steps, shape = self.offered.shape[1], (len(chosen), len(self.weights))
        wanted, mean, variance = np.empty((3, steps + 1, *shape), np.float32)
        ready = np.empty((steps + 1 + self.lead, *shape), np.float32)
        wanted[0], mean[0], variance[0] = chosen, self.in_system, 0
        slots = np.float32(self.slots)
        for step in range(steps):
            self._make_ready(step, wanted, ready)
            capacity = ready[step] * slots
            self._follow(self.offered.T[step], capacity, mean[step : step + 2], variance[step : step + 2])
            np.maximum(chosen, self._reacting(step + 1, mean[step + 1], capacity), out=wanted[step + 1])
        ready[steps:] = self._ready_beyond(wanted, ready[steps - 1])
        return Course(wanted[:steps], ready * slots, mean, variance)

    def _reacting(self, step: int, present: Singles, capacity: Singles) -> Singles:
        """Replicas for the load of the step before, to work off who waits while they start, and for anybody here."""
        clearing = np.float32(self.service_s / (self.lead * self.step_s))
        waiting = np.maximum(present - capacity, 0) * clearing
        bare = np.ceil((self._reactions[step] + waiting) / np.float32(self.slots) - np.float32(1e-5))
        return np.asarray(np.maximum(bare, present > SOMEBODY), np.float32)

    def _make_ready(self, step: int, wanted: Singles, ready: Singles) -> None:
        """What is ready in a step of what is wanted now and was before."""
        if step == 0:
            np.minimum(wanted[0], self.ready[0], out=ready[0])
        elif self.readied is not None:
            starting = np.maximum(wanted[step - 1] - ready[step - 1], 0)
            np.minimum(ready[step - 1] + starting * np.float32(self.readied), wanted[step], out=ready[step])
        elif step < self.lead:
            np.minimum(wanted[0], self.ready[step], out=ready[step])
        else:
            np.minimum(wanted[step - self.lead], wanted[step], out=ready[step])

    def _ready_beyond(self, wanted: Singles, ready: Singles) -> Singles:
        """(lead + 1, choices, paths): beyond the horizon, of what is wanted at its end."""
        if self.readied is None:
            return np.asarray(np.minimum(wanted[-self.lead - 1 :], wanted[-1]))
        left = (1 - self.readied) ** np.arange(1, self.lead + 2, dtype=np.float32)
        starting = np.maximum(wanted[-1] - ready, 0)
        return np.asarray(np.minimum(ready, wanted[-1]) + starting * (1 - left)[:, None, None])

    def _follow(self, offered: Singles, slots: Singles, mean: Singles, variance: Singles) -> None:
        """Mean and variance of the number in the system from one step, the first of two rows, to the next.

        The number is taken as normal, so that the mean of min(number, slots) and the pull on its variance are known
        (Gaussian closure: Massey and Pender 2013); over a step both are followed as linear.
        """
        x, v = mean[0], variance[0]
        turnover = self._turnover
        z, deviation = _standard(slots - x, v)
        free = _normal(z)
        waiting = deviation * np.maximum(np.exp(z * z * np.float32(-0.5)) * np.float32(0.39894) - z * (1 - free), 0)
        served = np.minimum(np.maximum(x - waiting, 0), np.minimum(x, slots))
        pull = np.maximum(free, np.float32(0.01))
        kept = np.exp(pull * -turnover)
        eased = (1 - kept) / pull
        followed = x + (offered - served) * eased
        busy = x + (offered - slots) * turnover
        idle = x * self._staying + offered * (1 - self._staying)
        np.maximum(np.maximum(busy, idle), followed, out=mean[1])
        # The paths show how arrivals scatter from step to step; what scatters within a step comes on top.
        scatter = offered * (turnover / (1 + turnover)) + served * np.float32(self.service_scv)
        variance[1] = v * (kept * kept) + scatter * (eased * (1 + kept)) * np.float32(0.5)


class Course(NamedTuple):
    """What becomes of several choices on several paths."""

    wanted: Singles
    """(steps, choices, paths): replicas."""
    capacity: Singles
    """(steps + 1 + lead, choices, paths): slots."""
    mean: Singles
    """(steps + 1, choices, paths): of the number of requests in the system."""
    variance: Singles


def _standard(above: Singles, variance: Singles) -> tuple[Singles, Singles]:
    """How many standard deviations, and the deviation."""
    deviation = np.sqrt(variance + np.float32(0.05))
    # Not np.clip, which takes longer than both of these.
    return np.minimum(np.maximum(above / deviation, -8), 8), deviation


@dataclass(frozen=True, slots=True)
class LatePrice:
    """So many replica-seconds for each request that is answered later than `response_s`."""

    response_s: float
    replica_s: float

    def __str__(self) -> str:
        return f"{self.replica_s:.3g} replica-seconds a late request"

    def of(self, at: Situation, course: Course) -> Singles:
        """(choices, paths)"""
        capacity = course.capacity
        turnover = np.float32(at.step_s / at.service_s)
        served = np.concatenate(
            (np.zeros((1, *capacity.shape[1:]), np.float32), np.cumsum(capacity * turnover, axis=0))
        )
        steps = len(course.wanted)
        middles = np.arange(0.5, steps, dtype=np.float64)
        now, ahead, variance = _middle(served[: steps + 1]), _middle(course.mean), _middle(course.variance)
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

    def of(self, at: Situation, course: Course) -> Singles:
        """(choices, paths); what is left at the end is cleared by the slots to spare then."""
        present, capacity = course.mean[1:], course.capacity[len(course.wanted) - 1]
        left = np.maximum(present[-1] - capacity, 0)
        spare = np.maximum(capacity - at.offered.T[-4:].mean(axis=0), np.float32(0.5))
        cleared = left * left / spare * np.float32(at.service_s / 2)
        return np.asarray((present.sum(axis=0) * np.float32(at.step_s) + cleared) * np.float32(self.replica_s))


Price = LatePrice | HoldingPrice


def _services(at: Situation) -> list[float]:
    if at.service_scv < CONSTANT:
        return [at.service_s] * len(SHARES)
    shape = 1 / at.service_scv
    from scipy.special import gammaincinv

    return [float(at.service_s * q / shape) for q in gammaincinv(shape, SHARES)]


def _middle(edges: Singles) -> Singles:
    """Of each step, between its ends."""
    return (edges[1:] + edges[:-1]) * np.float32(0.5)


def _normal(z: NDArray[Any]) -> Singles:
    """The normal law's share below z."""
    from scipy.special import expit

    return np.asarray(expit(LOGISTIC * z))


def _too_many(ahead: Singles, departed: Singles, variance: Singles | np.float32, service_scv: float) -> Singles:
    """The chance that more are ahead than slots and departures make room for: that one starts too late."""
    scatter = variance + departed * np.float32(service_scv) + np.float32(0.05)
    z = (ahead - departed + np.float32(0.5)) / np.sqrt(scatter)
    return _normal(z)


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
