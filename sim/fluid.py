"""A bound on cost that no schedule of replica counts can be below: the same problem with all that is hard relaxed.

A linear programme over cells of time. Counts may be fractions and replicas may stop at any moment; a request may be
served in parts, at most as fast as one slot serves; it may miss in part. What stays: a replica is paid for from a tick
on and serves a start-up later; work of those in time is done between arrival and deadline; all pools together miss at
most so many; and without patience all work is done, but what the end of the run may leave.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappush, heappushpop
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.future import Demand
from sim.requests import Floats

Ints = NDArray[np.int64]

FINEST = 8
"""Into at most so many cells a tick is cut."""
MOST_FLOWS = 20_000
"""Cells are made coarser until the flows of all pools are about as few as that."""


def bound(demands: Sequence[Demand], prices: Sequence[float], tick_s: float, horizon_s: float, missed: int) -> float:
    """The least cost of the relaxed problem; infinite where not even that can miss so few."""
    cuts = FINEST
    while cuts > 1 and sum(_flows(demand, tick_s / cuts, horizon_s) for demand in demands) > MOST_FLOWS:
        cuts //= 2
    programme = Programme()
    wanted = [
        _add(programme, demand, price, tick_s, cuts, horizon_s, missed)
        for demand, price in zip(demands, prices, strict=True)
    ]
    doomed = sum(demand.doomed(horizon_s) for demand in demands)
    shares = np.concatenate(wanted)
    programme.row(shares, np.ones(len(shares)), missed - doomed)
    return programme.least()


class Programme:
    """Minimise cost @ x, where rows @ x <= limits and 0 <= x <= caps."""

    def __init__(self) -> None:
        self._cost: list[Floats] = []
        self._caps: list[Floats] = []
        self._columns = 0
        self._rows: list[Ints] = []
        self._at: list[Ints] = []
        self._values: list[Floats] = []
        self._limits: list[Floats] = []
        self._count = 0

    def add(self, cost: Floats, caps: Floats) -> Ints:
        """New variables; their places."""
        places = np.arange(self._columns, self._columns + len(cost))
        self._cost.append(cost)
        self._caps.append(caps)
        self._columns += len(cost)
        return places

    def rows(self, row: Ints, at: Ints, values: Floats, limits: Floats) -> None:
        """New rows: entry (row[i], at[i]) is values[i], added where given twice."""
        self._rows.append(row + self._count)
        self._at.append(at)
        self._values.append(values)
        self._limits.append(limits)
        self._count += len(limits)

    def row(self, at: Ints, values: Floats, limit: float) -> None:
        self.rows(np.zeros(len(at), dtype=np.int64), at, values, np.array([limit], dtype=float))

    def least(self) -> float:
        """The least cost, or infinity. Raises `RuntimeError` where the solver gives up."""
        from scipy.optimize import linprog
        from scipy.sparse import csr_array

        entries = (np.concatenate(self._values), (np.concatenate(self._rows), np.concatenate(self._at)))
        matrix = csr_array(entries, shape=(self._count, self._columns))
        caps = np.concatenate(self._caps)
        solved: Any = linprog(
            np.concatenate(self._cost),
            A_ub=matrix,
            b_ub=np.concatenate(self._limits),
            bounds=np.column_stack([np.zeros(len(caps)), caps]),
            method="highs",
        )
        if solved.status == 2:
            return np.inf
        if solved.status != 0:
            raise RuntimeError(f"the bound of the clairvoyant was not found: {solved.message}")
        return float(solved.fun)


@dataclass(frozen=True, eq=False, slots=True)
class _Level:
    """The variables of one pool's replicas: begun by each tick, gone in the mean of each cell; no replica begins
    between ticks, nor goes before it serves."""

    edges_s: Floats
    begun: Ints
    gone: Ints
    paid: Ints
    """For each cell, the place in `begun` of those paid for in it."""
    ready: Ints
    """For each cell, the place in `begun` of those that serve in it; -1 where only those do that began the run."""


def _flows(demand: Demand, cell_s: float, horizon_s: float) -> int:
    """About how many variables tell when work is done."""
    bound_to = demand.in_reach(horizon_s)
    cells = np.unique(np.floor(demand.arrival_s[bound_to] / cell_s))
    longest_s = float(demand.target_s[bound_to].max(initial=0.0))
    return int(2 * len(cells) * (ceil(longest_s / cell_s) + 1)) + len(demand.arrival_s)


def _add(
    programme: Programme, demand: Demand, price: float, tick_s: float, cuts: int, horizon_s: float, missed: int
) -> Ints:
    """Add one pool; the variables that tell which share of each request misses."""
    edges_s = _edges(demand, tick_s, cuts, horizon_s)
    level = _level(programme, demand, price, tick_s, edges_s)
    mine = demand.in_reach(horizon_s)
    arrival_s, work_s = demand.arrival_s[mine], demand.work_s[mine]
    shares = programme.add(np.zeros(len(work_s)), np.ones(len(work_s)))
    flow, cell = _work(programme, edges_s, arrival_s, arrival_s + demand.target_s[mine], work_s, shares)
    _capacity(programme, demand, level, flow, cell)
    if np.all(np.isinf(demand.patience_s)):
        least_s = demand.work_s.sum() - _left_over(demand, horizon_s, missed)
        _all_work(programme, demand, level, price, float(least_s))
    return shares


def _edges(demand: Demand, tick_s: float, cuts: int, horizon_s: float) -> Floats:
    """Ticks, the moments a start-up later, and cuts between, as far as somebody can be in need of them."""
    ticks = np.arange(ceil(horizon_s / tick_s - 1e-9)) * tick_s
    fine = np.arange(ceil(horizon_s / tick_s * cuts - 1e-9)) * (tick_s / cuts)
    every = np.unique(np.concatenate([ticks, fine, ticks + demand.least_startup_s]))
    mine = demand.in_reach(horizon_s)
    arrival_s = demand.arrival_s[mine]
    first = np.floor((arrival_s - demand.least_startup_s) / tick_s) * tick_s - 1e-6
    last = arrival_s + demand.target_s[mine] + tick_s
    near = np.searchsorted(np.sort(first), every, side="right") > np.searchsorted(np.sort(last), every)
    return np.unique(np.concatenate([[0.0], every[near & (every < horizon_s)], [horizon_s]]))


def _level(programme: Programme, demand: Demand, price: float, tick_s: float, edges_s: Floats) -> _Level:
    """Replicas paid for and replicas that serve, in each cell."""
    length_s, starts_s = np.diff(edges_s), edges_s[:-1]
    near = np.round(starts_s / tick_s)
    is_tick = np.abs(starts_s - near * tick_s) < 1e-6
    ticks_s = starts_s[is_tick]
    paid = np.searchsorted(ticks_s, starts_s + 1e-6, side="right") - 1
    ready = np.searchsorted(ticks_s, starts_s + 1e-6 - demand.least_startup_s, side="right") - 1
    cost = np.zeros(len(ticks_s))
    np.add.at(cost, paid, price * length_s)
    begun = programme.add(cost, np.full(len(ticks_s), np.inf))
    gone = programme.add(-price * length_s, np.full(len(length_s), np.inf))
    level = _Level(edges_s, begun, gone, paid, ready)
    _ascending(programme, begun)
    _ascending(programme, gone)
    programme.row(begun[:1], np.array([-1.0]), -float(demand.initial))
    cells = np.arange(len(length_s))
    at_least = np.full(len(cells), -float(demand.pool.at_least))
    programme.rows(np.tile(cells, 2), np.concatenate([begun[paid], gone]), np.repeat([-1.0, 1.0], len(cells)), at_least)
    return level


def _ascending(programme: Programme, at: Ints) -> None:
    rows = np.arange(len(at) - 1)
    programme.rows(
        np.tile(rows, 2), np.concatenate([at[:-1], at[1:]]), np.repeat([1.0, -1.0], len(rows)), np.zeros(len(rows))
    )


def _work(
    programme: Programme, edges_s: Floats, arrival_s: Floats, deadline_s: Floats, work_s: Floats, shares: Ints
) -> tuple[Ints, Ints]:
    """Work done in each cell, of requests grouped by the cells of arrival and deadline: variables and their cells."""
    first = np.searchsorted(edges_s, arrival_s, side="right") - 1
    last = np.maximum(np.searchsorted(edges_s, deadline_s) - 1, first)
    keys, group = np.unique(np.column_stack([first, last]), axis=0, return_inverse=True)
    group = group.reshape(-1)
    widths = keys[:, 1] - keys[:, 0] + 1 if len(keys) else np.zeros(0, dtype=np.int64)
    begins = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
    owner = np.repeat(np.arange(len(keys)), widths)
    cell = np.arange(begins[-1]) - begins[owner] + keys[owner, 0] if len(keys) else np.zeros(0, dtype=np.int64)
    flow = programme.add(
        np.zeros(len(cell)), _fastest(edges_s, arrival_s, deadline_s, work_s, first, last, begins[group])
    )
    programme.rows(
        np.concatenate([owner, group]),
        np.concatenate([flow, shares]),
        np.concatenate([np.full(len(flow), -1.0), -work_s]),
        -np.bincount(group, work_s, len(keys)).astype(float),
    )
    return flow, cell


def _fastest(
    edges_s: Floats, arrival_s: Floats, deadline_s: Floats, work_s: Floats, first: Ints, last: Ints, begin: Ints
) -> Floats:
    """The most work that each group can have done in each of its cells, one slot for each request."""
    widths = last - first + 1
    who = np.repeat(np.arange(len(first)), widths)
    offset = np.arange(len(who)) - np.repeat(np.cumsum(widths) - widths, widths)
    cell = first[who] + offset
    overlap_s = np.minimum(edges_s[cell + 1], deadline_s[who]) - np.maximum(edges_s[cell], arrival_s[who])
    fastest = np.bincount(begin[who] + offset, np.minimum(np.maximum(overlap_s, 0.0), work_s[who]))
    return fastest.astype(float)


def _capacity(programme: Programme, demand: Demand, level: _Level, flow: Ints, cell: Ints) -> None:
    """Slots bear the work of each cell, and nobody goes who is not there."""
    length_s = np.diff(level.edges_s)
    bears = demand.pool.slots * length_s
    at, values, limits = _serving(demand, level)
    rows = np.arange(len(length_s))
    programme.rows(
        np.concatenate([cell, rows, rows[level.ready >= 0]]),
        np.concatenate([flow, at]),
        np.concatenate([np.ones(len(flow)), -values * np.concatenate([bears, bears[level.ready >= 0]])]),
        limits * bears,
    )


def _serving(demand: Demand, level: _Level) -> tuple[Ints, Floats, Floats]:
    """Replicas that serve in each cell: variables, their factors and what is added to them."""
    later = level.ready >= 0
    at = np.concatenate([level.gone, level.begun[level.ready[later]]])
    values = np.concatenate([np.full(len(level.gone), -1.0), np.ones(int(later.sum()))])
    return at, values, np.where(later, 0.0, float(demand.initial))


def _all_work(programme: Programme, demand: Demand, level: _Level, price: float, least_s: float) -> None:
    """All work is done, in cells or, where there are none, in time that is paid for without a start-up."""
    length_s = np.diff(level.edges_s)
    at, values, limits = _serving(demand, level)
    weights = values * np.concatenate([length_s, length_s[level.ready >= 0]])
    elsewhere = programme.add(np.array([price]), np.array([np.inf]))
    programme.row(
        np.concatenate([at, elsewhere]),
        -np.append(weights, 1.0),
        float(limits @ length_s) - least_s / demand.pool.slots,
    )


def _left_over(demand: Demand, horizon_s: float, missed: int) -> float:
    """At most so much work is left at the end.

    First come, first served, all who come after one that is not yet done at the end start after horizon - work of it;
    those with a deadline before that have missed, and so they are at most `missed`.
    """
    deadlines_s = np.where(demand.asked, demand.arrival_s + demand.target_s, np.inf)
    left = 0.0
    # The `missed` + 1 soonest deadlines of those that come after, negative: a heap.
    soonest: list[float] = []
    for deadline_s, work_s in zip(deadlines_s[::-1].tolist(), demand.work_s[::-1].tolist(), strict=True):
        if len(soonest) <= missed or -soonest[0] > horizon_s - work_s:
            left += work_s
        (heappush if len(soonest) <= missed else heappushpop)(soonest, -deadline_s)
    return left
