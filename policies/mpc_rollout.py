"""What a number of replicas would cost, and whom it would serve too late, on each of an ensemble of load paths.

The queue is a fluid: x requests in the system before c slots leave at min(x, c) / service time. Around it the number in
the system scatters like a Poisson count, which the share of requests that wait too long takes in. After one start-up
time the replicas are those that were chosen or, where the load of a path wants more, those that reacting to it would
have brought by then: what is decided now matters only until it can be decided again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
SIDE_BY_SIDE = 16
"""So many pools are followed at once: what these take stays in the cache."""
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


def costs(
    situations: Sequence[Situation], replicas: NDArray[np.int_], prices: Sequence["Price"]
) -> NDArray[np.float64]:
    """(pools, choices): expected cost, in replica-seconds, of these numbers of replicas, of the same shape.

    Prices are of one kind and for one response time, situations of one number of paths and steps. What is found of a
    pool is the same, to the last bit, whatever other pools are asked for with it.
    """
    found = np.empty(replicas.shape)
    for scattered in (False, True):
        alike = [k for k, at in enumerate(situations) if (at.readied is not None) == scattered]
        for first in range(0, len(alike), SIDE_BY_SIDE):
            some = alike[first : first + SIDE_BY_SIDE]
            rollout = Rollout([situations[k] for k in some])
            course = rollout.course(replicas[some].astype(np.float32))
            paid = course.wanted.sum(axis=0) * rollout.step_s
            priced = prices[some[0]].amount(rollout, course) * rollout.columns([prices[k].replica_s for k in some])
            found[some] = rollout.by_pool((paid + priced) * rollout.weights).sum(axis=-1).T
    return found


class Rollout:
    """Several pools followed at once: arrays have a column for each path of each pool, most a row for each choice."""

    def __init__(self, situations: Sequence[Situation]) -> None:
        """Start-up times scatter in all or in none of them."""
        self.situations = situations
        self.lead = situations[0].lead
        self._scattered = situations[0].readied is not None
        self.weights = np.concatenate([at.weights for at in situations])
        self.offered = np.ascontiguousarray(np.concatenate([at.offered for at in situations]).T)
        """(steps, columns)"""
        self._ready = self.columns(np.stack([at.ready for at in situations], axis=1))
        self.step_s, self.slots, service_s, self.service_scv, level, self._in_system, self._readied = self.columns(
            np.array(
                [
                    (at.step_s, at.slots, at.service_s, at.service_scv, at.level, at.in_system, at.readied or 0.0)
                    for at in situations
                ]
            ).T
        )
        self.turnover = self.step_s / service_s
        """Services of a slot in a step."""
        self._staying = np.exp(-self.turnover)
        """The share of those in service who still are after a step."""
        self._joining = self.offered * (1 - self._staying)
        """Of those who come, so many are there at the end of the step."""
        self._scatter = self.offered * (self.turnover / (1 + self.turnover))
        # Rounding makes no replica more.
        self._reactions = self._wanted_slots(level) / self.slots - np.float32(1e-5)
        self._clearing = 1 / (self.lead * self.turnover * self.slots)

    def columns(self, of_pools: Any) -> Singles:
        """What is said of each pool, along the last axis, said of each of its paths."""
        paths = len(self.situations[0].weights)
        return np.repeat(np.asarray(of_pools, np.float32), paths, axis=-1)

    def by_pool(self, columns: Singles) -> Singles:
        """(..., pools, paths)"""
        return columns.reshape(*columns.shape[:-1], len(self.situations), -1)

    def _wanted_slots(self, level: Singles) -> Singles:
        """(steps + 1, columns): slots that the load up to then wants."""
        load = np.empty((len(self.offered) + 1, *self.offered.shape[1:]), np.float32)
        load[0], load[1:] = level, self.offered
        return np.where(load < 0.02, np.float32(0), load + np.float32(MARGIN) * np.sqrt(load))

    def course(self, replicas: Singles) -> "Course":
        """What becomes of these numbers of replicas, (pools, choices), on each path."""
        chosen, steps = self.columns(replicas.T), len(self.offered)
        wanted, mean, variance = np.empty((3, steps + 1, *chosen.shape), np.float32)
        ready = np.empty((steps + 1 + self.lead, *chosen.shape), np.float32)
        wanted[0], mean[0], variance[0] = chosen, self._in_system, 0
        for step in range(steps):
            self._make_ready(step, wanted, ready)
            capacity = ready[step] * self.slots
            self._follow(step, capacity, mean[step : step + 2], variance[step : step + 2])
            np.maximum(chosen, self._reacting(step + 1, mean[step + 1], capacity), out=wanted[step + 1])
        ready[steps:] = self._ready_beyond(wanted, ready[steps - 1])
        ready *= self.slots
        return Course(wanted[:steps], ready, mean, variance)

    def _reacting(self, step: int, present: Singles, capacity: Singles) -> Singles:
        """Replicas for the load of the step before, to work off who waits while they start, and for anybody here."""
        waiting = np.maximum(present - capacity, 0)
        bare = np.ceil(self._reactions[step] + waiting * self._clearing)
        return np.asarray(np.maximum(bare, present > SOMEBODY), np.float32)

    def _make_ready(self, step: int, wanted: Singles, ready: Singles) -> None:
        """What is ready in a step of what is wanted now and was before."""
        if step == 0:
            np.minimum(wanted[0], self._ready[0], out=ready[0])
        elif self._scattered:
            starting = np.maximum(wanted[step - 1] - ready[step - 1], 0)
            np.minimum(ready[step - 1] + starting * self._readied, wanted[step], out=ready[step])
        elif step < self.lead:
            np.minimum(wanted[0], self._ready[step], out=ready[step])
        else:
            np.minimum(wanted[step - self.lead], wanted[step], out=ready[step])

    def _ready_beyond(self, wanted: Singles, ready: Singles) -> Singles:
        """(lead + 1, choices, columns): beyond the horizon, of what is wanted at its end."""
        if not self._scattered:
            return np.asarray(np.minimum(wanted[-self.lead - 1 :], wanted[-1]))
        left = np.cumprod(np.broadcast_to(1 - self._readied, (self.lead + 1, len(self._readied))), axis=0)
        starting = np.maximum(wanted[-1] - ready, 0)
        return np.asarray(np.minimum(ready, wanted[-1]) + starting * (1 - left[:, None]))

    def _follow(self, step: int, slots: Singles, mean: Singles, variance: Singles) -> None:
        """Mean and variance of the number in the system at the beginning of a step, the first of two rows, and its end.

        The number is taken as normal, so that the mean of min(number, slots) and the pull on its variance are known
        (Gaussian closure: Massey and Pender 2013); over a step both are followed as linear.
        """
        x, v = mean[0], variance[0]
        offered, turnover = self.offered[step], self.turnover
        z, deviation = _standard(slots - x, v)
        free = _normal(z)
        waiting = np.exp(z * z * np.float32(-0.5))
        waiting *= np.float32(0.39894)
        waiting -= z * (1 - free)
        served = x - deviation * np.maximum(waiting, 0, out=waiting)
        np.minimum(np.maximum(served, 0, out=served), np.minimum(x, slots), out=served)
        pull = np.maximum(free, np.float32(0.01), out=free)
        kept = np.exp(pull * -turnover)
        eased = (1 - kept) / pull
        followed = x + (offered - served) * eased
        busy = x + (offered - slots) * turnover
        idle = x * self._staying + self._joining[step]
        np.maximum(np.maximum(busy, idle, out=busy), followed, out=mean[1])
        # The paths show how arrivals scatter from step to step; what scatters within a step comes on top.
        scatter = self._scatter[step] + served * self.service_scv
        variance[1] = v * (kept * kept) + scatter * (eased * (1 + kept)) * np.float32(0.5)


class Course(NamedTuple):
    """What becomes of several choices on several paths."""

    wanted: Singles
    """(steps, choices, columns): replicas."""
    capacity: Singles
    """(steps + 1 + lead, choices, columns): slots."""
    mean: Singles
    """(steps + 1, choices, columns): of the number of requests in the system."""
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

    def amount(self, at: Rollout, course: Course) -> Singles:
        """(choices, columns): late requests."""
        served = _served(at, course.capacity)
        steps = len(course.wanted)
        middles = np.arange(0.5, steps)[:, None]
        now, ahead, variance = _middle(served[: steps + 1]), _middle(course.mean), _middle(course.variance)
        late, late_now = np.zeros_like(ahead), np.zeros_like(ahead[0])
        step_s, queued, waited_s, in_system = np.array(
            [(one.step_s, one.queued, one.waited_s, one.in_system) for one in at.situations]
        ).T
        before = at.columns(in_system - (queued + 1) / 2)
        for slack_s in self.response_s - _services_s(at.situations):
            if (slack_s > 0).any():
                then, slots = _later(at, served, course.capacity, middles + np.maximum(slack_s, 0) / step_s)
                late += _too_many(ahead - slots, then - now, variance, at.service_scv) * at.columns(slack_s > 0)
            in_time = (queued > 0) & (slack_s > waited_s)
            if in_time.any():
                left = np.maximum(slack_s - waited_s, 0) / step_s
                (then,), (slots,) = _later(at, served, course.capacity, left[None])
                late_now += _too_many(before - slots, then, np.float32(0), at.service_scv) * at.columns(in_time)
        found = (late * (at.offered * at.turnover)[:, None]).sum(axis=0) + late_now * at.columns(queued)
        return np.asarray(found * np.float32(1 / len(SHARES)))


@dataclass(frozen=True, slots=True)
class HoldingPrice:
    """So many replica-seconds for each second that a request is in the system."""

    replica_s: float

    def __str__(self) -> str:
        return f"{self.replica_s:.3g} replica-seconds a request and second"

    def amount(self, at: Rollout, course: Course) -> Singles:
        """(choices, columns): seconds; what is left at the end is cleared by the slots to spare then."""
        present, capacity = course.mean[1:], course.capacity[len(course.wanted) - 1]
        left = np.maximum(present[-1] - capacity, 0)
        spare = np.maximum(capacity - at.offered[-4:].mean(axis=0), np.float32(0.5))
        return np.asarray((present.sum(axis=0) + left * left / spare / (2 * at.turnover)) * at.step_s)


Price = LatePrice | HoldingPrice


def _services_s(situations: Sequence[Situation]) -> NDArray[np.float64]:
    """(shares, pools)"""
    from scipy.special import gammaincinv

    service_s, scv = np.array([(at.service_s, at.service_scv) for at in situations]).T
    constant = scv < CONSTANT
    shape = 1 / np.where(constant, 1.0, scv)
    return np.asarray(service_s * np.where(constant, 1.0, gammaincinv(shape, SHARES[:, None]) / shape))


def _middle(edges: Singles) -> Singles:
    """Of each step, between its ends."""
    return (edges[1:] + edges[:-1]) * np.float32(0.5)


def _normal(z: NDArray[Any]) -> Singles:
    """The normal law's share below z."""
    share = np.tanh(z * np.float32(LOGISTIC / 2))
    share *= np.float32(0.5)
    share += np.float32(0.5)
    return np.asarray(share)


def _too_many(more: Singles, departed: Singles, variance: Singles | np.float32, service_scv: Singles) -> Singles:
    """The chance that, of so many more than there are slots, departures leave one over: that one starts too late."""
    scatter = departed * service_scv
    scatter += variance + np.float32(0.05)
    z = more - departed
    z += np.float32(0.5)
    z /= np.sqrt(scatter, out=scatter)
    return _normal(z)


def _served(at: Rollout, capacity: Singles) -> Singles:
    """(steps + 2 + lead, choices, columns): departures from now to the beginning of each step if all are busy."""
    served = np.zeros((len(capacity) + 1, *capacity.shape[1:]), np.float32)
    np.cumsum(capacity * at.turnover, axis=0, out=served[1:])
    return served


def _later(at: Rollout, served: Singles, capacity: Singles, times: NDArray[np.float64]) -> tuple[Singles, Singles]:
    """What will have been served by these times, (times, pools), in steps from now, and slots then.

    The last step goes on.
    """
    n = len(capacity)
    whole = np.minimum(times.astype(int), n)
    slots = _picked(at, capacity, np.minimum(whole, n - 1))
    then = slots * (at.columns(times - whole) * at.turnover)[:, None]
    then += _picked(at, served, whole)
    return then, slots


def _picked(at: Rollout, rows: Singles, places: NDArray[np.int_]) -> Singles:
    """Of each pool the rows at these places, (times, pools)."""
    of_pools = at.by_pool(rows)
    choice, pool = np.arange(rows.shape[1])[:, None], np.arange(places.shape[1])
    return of_pools[places[:, None], choice, pool].reshape(len(places), *rows.shape[1:])
