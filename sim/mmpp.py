"""Markov-modulated Poisson processes: traffic that is busier at some times than at others, at random."""

from bisect import bisect_right
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from policies.spec import STRICT, NonNegative, PositiveSeconds
from sim.draws import Shares, chooser
from sim.rates import Floats, RandomSteps, Source, poisson_through
from sim.streams import Stream


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RateState:
    rate_per_s: NonNegative
    """Arrivals a second while in this state."""
    mean_sojourn_s: PositiveSeconds
    """Mean of the exponential time spent in it at a visit."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Mmpp:
    """A Markov-modulated Poisson process: the rate depends on a hidden state that changes at random.

    It starts in its stationary law.
    """

    kind: Literal["mmpp"] = "mmpp"
    states: Annotated[tuple[RateState, ...], Field(min_length=1)]
    """The states, in order."""
    transitions: tuple[Shares, ...] | None = None
    """Row i: the probability of each state to follow state i; without it the states follow in a circle."""

    stationary: ClassVar[bool] = True

    def __post_init__(self) -> None:
        n = len(self.states)
        if self.transitions is not None and {len(self.transitions), *map(len, self.transitions)} != {n}:
            raise ValueError(f"transitions need {n} rows of {n} probabilities, one for each state")
        # Only where every state reaches every other is there no 0 here (Horn and Johnson, Matrix Analysis, 6.2.24).
        if not np.all(np.linalg.matrix_power((np.eye(n) + self._follow) / 2, max(1, n - 1)) > 0):
            raise ValueError("transitions cannot reach every state from every other; drop states or add probabilities")
        if not any(state.rate_per_s for state in self.states):
            raise ValueError("all rates are 0; give one above 0, or leave this traffic out")

    @property
    def _rates(self) -> Floats:
        return np.array([state.rate_per_s for state in self.states])

    @property
    def _sojourns_s(self) -> Floats:
        return np.array([state.mean_sojourn_s for state in self.states])

    @property
    def _follow(self) -> Floats:
        return np.roll(np.eye(len(self.states)), 1, axis=1) if self.transitions is None else np.array(self.transitions)

    @property
    def shares(self) -> Floats:
        """The share of time spent in each state."""
        n = len(self.states)
        balance = np.vstack((self._follow.T - np.eye(n), np.ones(n)))
        visits: Floats = np.linalg.lstsq(balance, np.append(np.zeros(n), 1.0))[0]
        return visits * self._sojourns_s / (visits @ self._sojourns_s)

    @property
    def mean_rate_per_s(self) -> float:
        return float(self.shares @ self._rates)

    @property
    def dispersion(self) -> float:
        """Variance over mean of the number of arrivals in a very long time; 1 for a Poisson process.

        From the deviation matrix of the states (Fischer and Meier-Hellstern, The MMPP cookbook, 1993).
        """
        shares, rates = self.shares, self._rates
        always = np.tile(shares, (len(shares), 1))
        leaving = (np.eye(len(shares)) - self._follow) / self._sojourns_s[:, None]
        deviation = np.linalg.inv(always + leaving) - always
        return float(1 + 2 * (shares * rates) @ deviation @ rates / (shares @ rates))

    def rate_at(self, t_s: Floats) -> Floats:
        return np.full_like(t_s, self.mean_rate_per_s)

    def source(self, stream: Stream) -> Source:
        rates, means_s = self._rates, self._sojourns_s
        visits = self._visits(stream / "state")
        length = (stream / "sojourn").generator()

        def steps(n: int) -> tuple[Floats, Floats]:
            states = visits(n)
            return means_s[states] * length.standard_exponential(n), rates[states]

        return poisson_through(RandomSteps(steps).when, stream / "arrival")

    def _visits(self, stream: Stream) -> Callable[[int], NDArray[np.intp]]:
        """The next n states visited, beginning with one drawn by its share of time."""
        follow = [(np.cumsum(row) / np.sum(row)).tolist() for row in self._follow]
        state = int(chooser(stream / "first", self.shares.tolist())(1)[0])
        generator = stream.generator()

        def read(n: int) -> NDArray[np.intp]:
            nonlocal state
            visited = np.empty(n, np.intp)
            for i, draw in enumerate(generator.random(n).tolist()):
                visited[i] = state
                state = bisect_right(follow[state], draw)
            return visited

        return read
