"""The levels of a pool's load as a hidden Markov chain: what is supposed of it, and what is learnt from counts."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROUNDS = 12
"""Of expectation and maximization."""
LEVEL_DOUBT = 4.0
"""A level's supposed load counts as much as so many bins seen in it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """Levels, in slots, and the chances of moving between them from one bin to the next."""

    levels: Floats
    chances: Floats
    """(levels, levels)"""
    dispersion: float = 1.0
    """Variance over mean of the counts in a bin."""

    def moves(self, bin_s: float) -> Floats:
        """Rates per second, rows adding to 0."""
        rates = (self.chances - np.eye(len(self.levels))) / bin_s
        return np.asarray(rates)

    def likelihood(self, counts: Floats, services: float) -> Floats:
        """(counts, levels): of Poisson counts in bins so many services long, up to a factor of each count.

        Where counts scatter more than that they tell less, in proportion.
        """
        means = np.maximum(self.levels * services, 1e-9)
        logs = (counts[:, None] * np.log(means) - means) / self.dispersion
        return np.asarray(np.exp(logs - logs.max(axis=1, keepdims=True)))


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What is supposed of a load of which nothing was seen."""

    points: int = 10
    stay_leads: float = 4.0
    """A level lasts so many start-up times."""
    jump: float = 0.2
    """The share of moves that go anywhere; the others go to a neighbour."""
    worth_leads: float = 2.0
    """What is supposed of the moves from a level counts as much as so many start-up times seen in it."""

    def chain(self, least: float, greatest: float, bins_a_lead: float) -> Chain:
        """Levels at equal distances of their square roots, by which Poisson counts tell levels apart alike."""
        n = self.points
        levels = np.linspace(np.sqrt(least), np.sqrt(greatest), n) ** 2
        near = np.eye(n, k=1) + np.eye(n, k=-1)
        near /= near.sum(axis=1, keepdims=True)
        away = (1 - self.jump) * near + self.jump * (1 - np.eye(n)) / (n - 1)
        leave = min(0.5, 1 / (self.stay_leads * bins_a_lead))
        return Chain(levels=levels, chances=(1 - leave) * np.eye(n) + leave * away)

    def learnt(self, chain: Chain, counts: Floats, services: float, bins_a_lead: float, *, levels: bool) -> Chain:
        """The likeliest chain of these counts of bins so many services long, by Baum and Welch (1970), prior counted.

        With `levels` the load of each is learnt too.
        """
        supposed = chain
        for _ in range(ROUNDS):
            seen, moved = _smoothed(chain, counts, services)
            chances = moved + supposed.chances * (self.worth_leads * bins_a_lead)
            loads = chain.levels
            if levels:
                weight = seen.sum(axis=0) + LEVEL_DOUBT
                loads = (seen.T @ counts / services + LEVEL_DOUBT * supposed.levels) / weight
            means = seen @ loads * services
            surprise = (counts - means) ** 2 / np.maximum(means, 0.5)
            chain = Chain(
                levels=loads,
                chances=chances / chances.sum(axis=1, keepdims=True),
                dispersion=min(max(1.0, float(surprise.mean())), 8.0),
            )
        return chain


def _smoothed(chain: Chain, counts: Floats, services: float) -> tuple[Floats, Floats]:
    """(bins, levels) chances of the level of each bin, and (levels, levels) moves expected, of all that was seen."""
    likely, chances = chain.likelihood(counts, services), chain.chances
    n, k = likely.shape
    before, after = np.empty((n, k)), np.ones((n, k))
    belief = np.full(k, 1 / k)
    for i in range(n):
        belief = (belief @ chances) * likely[i]
        belief /= belief.sum()
        before[i] = belief
    ahead = np.ones(k)
    for i in range(n - 2, -1, -1):
        ahead = chances @ (likely[i + 1] * ahead)
        ahead /= ahead.sum()
        after[i] = ahead
    seen = before * after
    seen /= seen.sum(axis=1, keepdims=True)
    to = likely[1:] * after[1:]
    scale = np.einsum("ti,ij,tj->t", before[:-1], chances, to)
    moved = chances * ((before[:-1] / scale[:, None]).T @ to)
    return seen, moved


@dataclass(slots=True)
class Counted:
    """Arrivals in bins that begin at multiples of `bin_s`, the last not yet closed; even between two readings."""

    bin_s: float
    kept: int
    closed: list[float] = field(default_factory=list)
    closed_total: int = 0
    open_count: float = 0.0
    open_s: float = 0.0
    _last: tuple[float, float] | None = None
    _edge: int = 0

    def see(self, taken_s: float, arrived_total: float) -> int:
        """A new reading; how many bins it closed."""
        last, self._last = self._last, (taken_s, arrived_total)
        if last is None or taken_s <= last[0]:
            self._last = last or self._last
            self._edge = self._edge or int(taken_s // self.bin_s) + 1
            return 0
        grown = arrived_total - last[1] if arrived_total >= last[1] else arrived_total
        rate_per_s, at_s, closed = grown / (taken_s - last[0]), last[0], 0
        while (edge_s := self._edge * self.bin_s) <= taken_s:
            # The first bin was not seen from its beginning.
            if self.open_s + edge_s - at_s > 0.99 * self.bin_s:
                self.closed.append(self.open_count + rate_per_s * (edge_s - at_s))
                closed += 1
            self.open_count, self.open_s, at_s, self._edge = 0.0, 0.0, edge_s, self._edge + 1
        self.open_count += rate_per_s * (taken_s - at_s)
        self.open_s += taken_s - at_s
        self.closed_total += closed
        del self.closed[: -self.kept]
        return closed
