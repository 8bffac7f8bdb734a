"""What model predictive control remembers of a pool: its load, services, late requests, who waits and who starts."""

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field
from math import ceil
from operator import itemgetter

import numpy as np

from policies.mpc_load import LIBRARY, LoadHistory
from policies.mpc_rollout import Singles
from policies.observation import Flow, PoolReading
from policies.pool import PoolTraits

SCATTERED = 2.5
"""Start-up times whose 95 % quantile is so many times their mean scatter like an exponential law, of which it is three
times."""
SERVICES = 400
"""Mean service time is taken over so many last services."""
SERVED = 1024
"""And over no more than so many bins of load: what these were made of must be seen again after a restart."""
BELIEVED = 30
"""The stated service time is worth as much as so many seen."""
REMEMBERED = 256
"""When those came who wait is known back to so many readings."""


@dataclass(slots=True)
class Counted:
    """Two counters, one reading for each interval of the clock, as far back as `kept_s`."""

    every_s: float
    kept_s: float
    _points: list[tuple[float, float, float]] = field(default_factory=list)

    def see(self, taken_s: float, first: float, second: float) -> None:
        """Raised or restarted counters; half a count less is the rounding of a histogram's share."""
        points = self._points
        if points and (first < points[-1][1] - 0.5 or second < points[-1][2] - 0.5):
            points.clear()
        if points and points[-1][0] // self.every_s == taken_s // self.every_s:
            points.pop()
        points.append((taken_s, first, second))
        if taken_s - points[0][0] > 2 * self.kept_s:
            del points[: self._oldest()]

    def grown(self, enough: float = float("inf")) -> tuple[float, float]:
        """How much both grew since the last reading from which the first grew by `enough`, or since the oldest."""
        points = self._points
        if not points:
            return 0.0, 0.0
        _, first, second = points[-1]
        since = bisect_right(points, first - enough, key=itemgetter(1)) - 1
        _, a, b = points[max(since, self._oldest())]
        return first - a, second - b

    def _oldest(self) -> int:
        return bisect_left(self._points, self._points[-1][0] - self.kept_s, key=itemgetter(0))


class Seen:
    """All that was seen of one pool, as far back as the library of its load reaches."""

    def __init__(self, traits: PoolTraits, load: LoadHistory, response_s: float | None) -> None:
        self.load = load
        self.begin_s: float | None = None
        self._traits, self._response_s = traits, response_s
        kept_s = LIBRARY * load.bin_s
        self._served, self._ended = Counted(load.bin_s, SERVED * load.bin_s), Counted(load.bin_s, kept_s)
        self._starting: deque[float] = deque()
        self._arrived: list[tuple[float, float]] = []
        self._taken_s: float | None = None

    def see(self, now_s: float, reading: PoolReading) -> None:
        self._see_starting(now_s, reading.starting or 0)
        flow = reading.total
        if reading.age_s is None or flow.arrived_total is None:
            return
        taken_s = now_s - reading.age_s
        # A scrape that is shown again is no new reading; the time of one is a difference of two clocks.
        if self._taken_s is None or taken_s > self._taken_s + 1e-6:
            self.begin_s = taken_s if self.begin_s is None else self.begin_s
            self._taken_s = taken_s
            self._see_flow(taken_s, flow, flow.arrived_total)

    def _see_starting(self, now_s: float, starting: int) -> None:
        while len(self._starting) > starting:
            self._starting.popleft()
        self._starting.extend([now_s] * (starting - len(self._starting)))

    def _see_flow(self, taken_s: float, flow: Flow, arrived_total: float) -> None:
        self._see_arrived(taken_s, arrived_total)
        if flow.busy_s_total is not None and flow.started_total is not None and flow.completed_total is not None:
            self._served.see(taken_s, (flow.started_total + flow.completed_total) / 2, flow.busy_s_total)
        if self._response_s is not None and flow.response_s is not None:
            lost = (flow.abandoned_total or 0.0) + (flow.rejected_total or 0.0) + (flow.failed_total or 0.0)
            total = flow.response_s.total
            late = total * (1 - (flow.response_s.share_at_most(self._response_s) or 0.0))
            self._ended.see(taken_s, total + lost, late + lost)
        if service_s := self.service_s:
            self.load.see(taken_s, arrived_total, service_s)

    def _see_arrived(self, taken_s: float, arrived_total: float) -> None:
        if self._arrived and arrived_total < self._arrived[-1][1]:
            self._arrived.clear()
        # Of readings without an arrival between them the last tells most.
        if self._arrived and arrived_total == self._arrived[-1][1]:
            self._arrived.pop()
        self._arrived.append((taken_s, arrived_total))
        if len(self._arrived) > 2 * REMEMBERED:
            del self._arrived[:REMEMBERED]

    @property
    def service_s(self) -> float | None:
        """Mean time of a service: slot-seconds over services, those that run counted half."""
        number, busy_s = self._served.grown(SERVICES)
        if self._traits.service_s is None:
            return busy_s / number if number >= 1 else None
        return (self._traits.service_s * BELIEVED + busy_s) / (BELIEVED + number)

    @property
    def ended(self) -> tuple[float, float]:
        """Requests that left, and those of them that were late or left without an answer."""
        return self._ended.grown()

    def waited_s(self, now_s: float, flow: Flow) -> float:
        """How long those who are queued have waited, in the mean; they came after as many as are no longer queued."""
        if not flow.queued or flow.arrived_total is None:
            return 0.0
        since = bisect_right(self._arrived, flow.arrived_total - flow.queued, key=itemgetter(1))
        first_s = self._arrived[max(since - 1, 0)][0]
        return (now_s - first_s) * (flow.queued + 1) / (2 * flow.queued)

    def coming(self, now_s: float, ready: int, steps: int) -> Singles:
        """(steps,): replicas ready in each step of a bin's length, those included that are starting now."""
        coming = np.full(steps, ready, np.float32)
        # Where start-up times scatter, having started for a while says little of when it will end.
        whole_s, known = self._traits.startup_s, self._traits.startup_p95_s < SCATTERED * self._traits.startup_s
        for since_s in self._starting:
            left_s = max(whole_s - (now_s - since_s), 0.1 * whole_s) if known else whole_s
            coming[min(steps, ceil(left_s / self.load.bin_s)) :] += 1
        return coming
