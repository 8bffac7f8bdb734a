"""The least mean cost of switching servers on and off under a load that swings, exactly, by policy iteration.

A Markov decision process with requests from a Poisson process whose rate changes between two values (the phase, which
the optimum sees), exponential services and exponential start-up times, each server's its own. A server that starts or
is on costs its price, a request its holding cost. At each event servers may be started, stopped, or their start broken
off. Howard (1960), Dynamic Programming and Markov Processes, on the uniformized chain (Puterman 1994, 11.5).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Counts = NDArray[np.intp]

ROUNDS = 60
"""Policy iteration ends long before."""


@dataclass(frozen=True, kw_only=True)
class Switching:
    """Servers under a load of two phases. Rates are per unit of time, costs per server or request and unit of time."""

    rates: tuple[float, float]
    leave: tuple[float, float]
    """Rate at which each phase ends."""
    service_rate: float
    setup_rate: float
    servers: int
    server_cost: float = 1.0
    holding_cost: float = 1.0
    room: int = 160
    """Requests that there may be; one more is turned away, which must hardly ever come to pass."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Phases, numbers of servers that are on, numbers of requests."""
        return 2, self.servers + 1, self.room + 1

    @cached_property
    def _clock(self) -> float:
        """Rate of the uniformized chain: no state is left faster."""
        return max(self.rates) + max(self.leave) + self.servers * (self.service_rate + self.setup_rate)

    @property
    def mean_rate(self) -> float:
        (one, other), (leave_one, leave_other) = self.rates, self.leave
        return (one * leave_other + other * leave_one) / (leave_one + leave_other)

    def fixed_cost(self, servers: int) -> float:
        """Mean cost with so many servers always on, or starting."""
        return self._evaluated(np.full(self.shape, servers))[0]

    def least_cost(self) -> tuple[float, Counts]:
        """The mean cost of the best policy, and its servers, on and starting, in each state. Raises `RuntimeError`."""
        wanted = np.full(self.shape, self.servers)
        for _ in range(ROUNDS):
            cost, worth = self._evaluated(wanted)
            worths = np.stack([self._ahead(worth, n) for n in range(self.servers + 1)])
            best = worths.argmin(axis=0)
            # What is as good is kept, or two policies alike would take turns.
            better = worths.min(axis=0) < np.take_along_axis(worths, wanted[None], 0)[0] - 1e-10
            if not better.any():
                return cost, wanted
            wanted = np.where(better, best, wanted)
        raise RuntimeError(f"no policy is the best after {ROUNDS} rounds")

    def _ahead(self, worth: Floats, wanted: int) -> Floats:
        """Cost of one step with so many servers wanted in every state, and the worth of where it leads."""
        ahead = self._chain(np.full(self.shape, wanted)) @ worth.ravel() + self._costs(np.full(self.shape, wanted))
        return np.asarray(ahead).reshape(self.shape)

    def _evaluated(self, wanted: Counts) -> tuple[float, Floats]:
        """Mean cost, and the worth of each state against the first: worth + cost of a step = costs + chain @ worth."""
        from scipy.sparse import csc_array, eye_array, hstack
        from scipy.sparse.linalg import spsolve

        states = wanted.size
        # The worth of the first state is 0, and its column stands for the mean cost.
        equations = hstack([np.ones((states, 1)), (eye_array(states) - self._chain(wanted)).tocsc()[:, 1:]])
        solved = spsolve(csc_array(equations), self._costs(wanted))
        return float(solved[0]) * self._clock, np.concatenate([[0.0], solved[1:]]).reshape(self.shape)

    def _costs(self, wanted: Counts) -> Floats:
        """Of a step from each state: servers that start or are on, and requests."""
        _, _, requests = np.indices(self.shape)
        return np.asarray(self.server_cost * wanted + self.holding_cost * requests).ravel() / self._clock

    def _chain(self, wanted: Counts) -> "csr_array[Any]":
        """Transition probabilities between states, row by row; servers too many are gone before anything happens."""
        from scipy.sparse import csr_array

        phase, on, requests = np.indices(self.shape)
        kept = np.minimum(on, wanted)
        moves = [
            (np.take(self.rates, phase) * (requests < self.room), (phase, kept, np.minimum(requests + 1, self.room))),
            (self.service_rate * np.minimum(kept, requests), (phase, kept, np.maximum(requests - 1, 0))),
            (self.setup_rate * (wanted - kept), (phase, np.minimum(kept + 1, self.servers), requests)),
            (np.take(self.leave, phase), (1 - phase, kept, requests)),
        ]
        rest = self._clock - sum(rate for rate, _ in moves)
        moves.append((rest, (phase, kept, requests)))
        chances = np.concatenate([np.ravel(rate) for rate, _ in moves]) / self._clock
        places = np.concatenate([np.ravel_multi_index(to, self.shape).ravel() for _, to in moves])
        states = np.tile(np.arange(wanted.size), len(moves))
        return csr_array((chances, (states, places)), shape=(wanted.size, wanted.size))
