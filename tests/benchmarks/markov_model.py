"""A pool as a Markov decision model: level of the load, replicas that are ready, requests; solved by value iteration.

Time goes in steps. In a step the level moves, requests come and go at fixed rates, and replicas that are starting
become ready: each for itself with exponential start-up times, or all of them together, so that starting more than are
needed brings none sooner. Either way what is starting need not be part of the state: it is what is wanted less
what is ready. A replica costs from its start on, a request its holding time, or its being late as foreseen then.
"""

from dataclasses import dataclass
from functools import cached_property
from math import comb, exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SHARES = np.array((1 / 6, 1 / 2, 5 / 6))
"""Services are taken at these quantiles of a gamma law."""
HALVINGS = 4
"""A step of the queue is taken in two to this power implicit steps of Euler's."""
SWEEPS = 400
FARTHEST = 6
"""Times the slots: no more requests than that."""
NEVER = 1e15
"""In place of an infinite cost, which a belief of 0 would make no number."""
ENOUGH = 0.003
"""Of the mean cost of a step: when no state's cost changes by more than so much more than another's, that will do."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """In replica-seconds: of a request's second in the system, or of a request answered later than `response_s`."""

    holding: float = 0.0
    late: float = 0.0
    response_s: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """What is assumed of a pool."""

    levels: Floats
    """Load in slots, the least first."""
    moves: Floats
    """(levels, levels): rates per second between them, rows adding to 0."""
    costs: Costs
    service_s: float
    service_scv: float
    slots: int
    lead_s: float
    step_s: float
    together: bool
    at_least: int
    most: int
    """Replicas that may be of use."""
    replica_points: int = 36
    request_points: int = 30

    @cached_property
    def replicas(self) -> NDArray[np.int_]:
        """Numbers of replicas that are told apart; evenly spaced, which the law of those starting counts on."""
        apart = max(1, -(-(self.most - self.at_least) // (self.replica_points - 1)))
        return np.arange(self.at_least, self.most + apart, apart)

    @cached_property
    def requests(self) -> Floats:
        """Numbers of requests that are told apart: evenly as far as there are slots, farther and farther beyond."""
        top = max(float(self.replicas[-1] * self.slots), 4.0)
        apart = max(1.0, round(top / self.request_points))
        found = [0.0]
        while found[-1] < FARTHEST * top:
            found.append(found[-1] + (apart if found[-1] < top else max(apart, round(0.1 * found[-1]))))
        return np.array(found)

    @cached_property
    def worth(self) -> "Worth":
        """The cost ahead of each state and choice, by relative value iteration (Puterman 1994, 8.5)."""
        costs, queue, ready = self._costs(), self._queue(), self._ready()
        level = self.level_chances(self.step_s)
        value = np.zeros(costs.shape[:3])
        for _ in range(SWEEPS):
            ahead = np.tensordot(level, value, 1).transpose(0, 2, 1)[:, None]
            choices = costs + (queue @ ahead) @ ready
            found = np.minimum.accumulate(choices.min(axis=3), axis=1)
            change = found - value
            value = found - found[0, 0, 0]
            if np.ptp(change) < ENOUGH * float(change.mean()):
                break
        return Worth(self, choices)

    def level_chances(self, time_s: float) -> Floats:
        """(levels, levels): of moving from one to another in this time."""
        from scipy.linalg import expm

        return np.asarray(expm(self.moves * time_s))

    def _queue(self) -> Floats:
        """(levels, replicas, requests, requests): chances of a step, with the replicas that are ready at its start.

        Between points the rates up and down are those of the right drift and variance; points one apart and Poisson
        arrivals and exponential services make it the queue's own.
        """
        x, apart = self.requests, np.diff(self.requests)
        arrivals = self.levels[:, None, None] / self.service_s
        departures = np.minimum(x, (self.replicas * self.slots)[:, None])[None] / self.service_s
        drift, variance = arrivals - departures, arrivals + departures * (0.5 + 0.5 * self.service_scv)
        above, below = np.append(apart, apart[-1]), np.insert(apart, 0, apart[0])
        up = np.maximum((variance + drift * below) / (above * (above + below)), np.maximum(drift, 0) / above)
        down = np.maximum((variance - drift * above) / (below * (above + below)), np.maximum(-drift, 0) / below)
        up[..., -1], down[..., 0] = 0, 0
        n = len(x)
        rates = np.zeros((*up.shape, n))
        place = np.arange(n)
        rates[..., place[:-1], place[1:]] = up[..., :-1]
        rates[..., place[1:], place[:-1]] = down[..., 1:]
        rates[..., place, place] = -(up + down)
        chances = np.linalg.inv(np.eye(n) - rates * (self.step_s / 2**HALVINGS))
        for _ in range(HALVINGS):
            chances = chances @ chances
        return np.asarray(chances)

    def _ready(self) -> Floats:
        """(replicas ready, replicas ready a step later, replicas wanted): chances."""
        n = len(self.replicas)
        share = 1 - exp(-self.step_s / self.lead_s)
        found = np.zeros((n, n, n))
        for ready in range(n):
            for wanted in range(ready, n):
                starting = wanted - ready
                if self.together:
                    found[ready, ready, wanted] += 1 - share
                    found[ready, wanted, wanted] += share
                    continue
                for more in range(starting + 1):
                    law = comb(starting, more) * share**more * (1 - share) ** (starting - more)
                    found[ready, ready + more, wanted] = law
        return found

    def _costs(self) -> Floats:
        """(levels, replicas ready, requests, replicas wanted): of a step; `NEVER` where fewer are wanted than ready.

        That choice is to stop some and go on as with fewer ready.
        """
        wanted, ready = self.replicas[None, None, None, :], self.replicas[None, :, None, None]
        paid = wanted * self.step_s + self.requests[None, None, :, None] * (self.costs.holding * self.step_s)
        arrivals = self.levels[:, None, None, None] * (self.step_s / self.service_s)
        late = self.costs.late * arrivals * self._late()[None] if self.costs.late else 0.0
        return np.where(wanted < ready, NEVER, paid + late + 0 * arrivals)

    def _late(self) -> Floats:
        """(replicas ready, requests, replicas wanted): the chance that who comes now is answered too late.

        More have to go before its service begins than will go in time, a normal number; services alone that take too
        long are nobody's fault.
        """
        from scipy.special import gammaincinv, ndtr

        ready, wanted = self.replicas[:, None, None] * self.slots, self.replicas[None, None, :] * self.slots
        ahead = self.requests[None, :, None] + 1 - ready
        late: Any = 0.0
        for share in SHARES:
            shape = 1 / max(self.service_scv, 0.01)
            slack_s = self.costs.response_s - self.service_s * float(gammaincinv(shape, share)) / shape
            if slack_s <= 0:
                continue
            helped_s = slack_s - self.lead_s * (1 - exp(-slack_s / self.lead_s))
            gone = (ready * slack_s + np.maximum(wanted - ready, 0) * helped_s) / self.service_s
            joined = np.maximum(wanted - ready, 0) * (1 - exp(-slack_s / self.lead_s))
            z = (ahead - 0.5 - joined - gone) / np.sqrt(gone * self.service_scv + 0.05)
            late = late + ndtr(z) / len(SHARES)
        return np.asarray(late)


@dataclass(frozen=True, eq=False)
class Worth:
    """What each choice costs in the long run, against one and the same state."""

    model: Model
    choices: Floats
    """(levels, replicas ready, requests, replicas wanted)"""

    def costs(self, belief: Floats, ready: int, requests: float) -> Floats:
        """Of each number of replicas in `model.replicas`, as if the level showed itself a step later (QMDP).

        Littman, Cassandra and Kaelbling (1995). Between points both ways of seeing it are mixed.
        """
        m = self.model
        low, part = _between(m.requests, requests)
        mixed = np.tensordot(belief, self.choices, 1)
        found = (1 - part) * mixed[:, low] + part * mixed[:, min(low + 1, len(m.requests) - 1)]
        row, share = _between(m.replicas, ready)
        upper = min(row + 1, len(m.replicas) - 1)
        more = (1 - share) * found[row] + share * found[upper] if share else found[row]
        stopped = np.diagonal(found)
        return np.where(m.replicas < ready, stopped, more)


def _between(points: NDArray[Any], value: float) -> tuple[int, float]:
    """The point below, and how far it is to the next."""
    low = int(np.clip(np.searchsorted(points, value, side="right") - 1, 0, len(points) - 1))
    if low == len(points) - 1 or value <= points[low]:
        return low, 0.0
    return low, float((value - points[low]) / (points[low + 1] - points[low]))
