"""What the replicas cost and how many requests met the objective; in shadow mode, what the policy's would have.

Cost is that of the replicas wanted, at the price in the configuration; replicas that drain are left out on both sides.

What a request would have waited with other replicas cannot be known from outside. What can be said is said as a range,
interval by interval between two observations:

- with as many replicas ready as there were, and nothing left over from before, requests fare as they were seen to;
  with more, no worse;
- with fewer, work is left over where the slots cannot take what was served in that time. Once the slots need longer
  than the objective to work that off, no request meets it; until then nothing is claimed.

Replicas that the policy adds are taken to be ready after `startup_s`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import repeat

from policies.decision import Decision
from policies.loop import Turn
from policies.observation import Observation, PoolReading
from policies.pool import Pools, PoolTraits

HOUR_S = 3600.0


@dataclass(slots=True)
class Counted:
    """Growing totals. Requests are those completed, with a known response time."""

    cost_usd: float = 0.0
    met: float = 0.0
    met_at_most: float = 0.0
    """The same as `met` where it was seen; in shadow mode `met` is the least that it can have been."""
    requests: float = 0.0

    @property
    def share(self) -> float | None:
        """Of requests that met the objective; at least, where it is a range. None where there were none."""
        return self.met / self.requests if self.requests else None

    @property
    def share_at_most(self) -> float | None:
        return self.met_at_most / self.requests if self.requests else None


@dataclass(slots=True)
class Imagined:
    """The replicas that a pool would have had under the policy."""

    traits: PoolTraits
    ready: int
    starting: list[float] = field(default_factory=list)
    """When each will be ready, soonest first."""
    left_s: float = 0.0
    """Slot-seconds of work that its slots could not take yet."""

    @property
    def wanted(self) -> int:
        return self.ready + len(self.starting)

    def scale(self, target: int, now_s: float) -> None:
        """Those that would be ready last go first."""
        self.starting.extend(repeat(now_s + self.traits.startup_s, target - self.wanted))
        excess = max(self.wanted - target, 0)
        kept = max(len(self.starting) - excess, 0)
        self.ready -= excess - (len(self.starting) - kept)
        del self.starting[kept:]

    def until(self, now_s: float) -> None:
        due = sum(1 for ready_s in self.starting if ready_s <= now_s)
        self.ready += due
        del self.starting[:due]

    def bear(self, busy_s: float, length_s: float) -> None:
        """Take the work that was served in reality in an interval."""
        self.left_s = max(self.left_s + busy_s - self.ready * self.traits.slots * length_s, 0.0)

    def is_late(self, response_s: float) -> bool:
        """Whether what is left over takes longer than the objective."""
        return self.left_s > response_s * self.ready * self.traits.slots


@dataclass(slots=True)
class Tally:
    """Counts from turn to turn. A gap longer than `longest_s`, and a clock that goes back, are left out."""

    pools: Pools
    response_s: float | None
    """The objective; None where there is none."""
    longest_s: float
    seen: Counted = field(default_factory=Counted)
    shadow: Counted = field(default_factory=Counted)
    _imagined: dict[str, Imagined] = field(default_factory=dict)
    _last: Observation | None = None

    def count(self, turn: Turn) -> None:
        now, last = turn.observation, self._last
        if last is not None and 0.0 < now.time_s - last.time_s <= self.longest_s:
            for pool, reading in now.pools.items():
                if pool in last.pools:
                    self._interval(pool, now.time_s - last.time_s, last.pools[pool], reading)
        self._last = now
        self._imagine(now, turn.decision)

    def _imagine(self, now: Observation, decision: Decision) -> None:
        targets: Mapping[str, int] = decision.targets
        for pool, reading in now.pools.items():
            imagined = self._imagined.get(pool)
            if imagined is None:
                if reading.wanted is None:
                    continue
                ready = reading.wanted if reading.ready is None else min(reading.ready, reading.wanted)
                imagined = self._imagined[pool] = Imagined(self.pools[pool], ready)
                imagined.scale(reading.wanted, now.time_s)
            imagined.until(now.time_s)
            imagined.scale(targets.get(pool, imagined.wanted), now.time_s)
            # What starts in no time is ready now.
            imagined.until(now.time_s)

    def _interval(self, pool: str, length_s: float, before: PoolReading, after: PoolReading) -> None:
        price = self.pools[pool].cost_per_hour * length_s / HOUR_S
        self.seen.cost_usd += price * (before.wanted or 0)
        requests, met = self._responses(before, after)
        self.seen.requests += requests
        self.seen.met += met
        self.seen.met_at_most += met
        imagined = self._imagined.get(pool)
        if imagined is not None:
            self.shadow.cost_usd += price * imagined.wanted
            self._fared(imagined, requests, met, before, after, length_s)

    def _responses(self, before: PoolReading, after: PoolReading) -> tuple[float, float]:
        """Requests completed, and those of them that met the objective."""
        earlier, later = before.total.response_s, after.total.response_s
        if self.response_s is None or earlier is None or later is None:
            return 0.0, 0.0
        grown = later.since(earlier)
        return grown.total, grown.total * (grown.share_at_most(self.response_s) or 0.0)

    def _fared(
        self, imagined: Imagined, requests: float, met: float, before: PoolReading, after: PoolReading, length_s: float
    ) -> None:
        left_s, busy_s = imagined.left_s, _busy_s(before, after, length_s)
        if busy_s is not None:
            imagined.bear(busy_s, length_s)
        ready = before.ready
        enough = ready is not None and imagined.ready >= ready and left_s == imagined.left_s == 0.0
        late = self.response_s is not None and imagined.is_late(self.response_s)
        self.shadow.requests += requests
        self.shadow.met += met if enough else 0.0
        self.shadow.met_at_most += 0.0 if late else met if enough and imagined.ready == ready else requests


def _busy_s(before: PoolReading, after: PoolReading, length_s: float) -> float | None:
    """Slot-seconds served between two readings; from the gauge where there is no counter of them."""
    earlier, later = before.total.busy_s_total, after.total.busy_s_total
    if earlier is not None and later is not None:
        return later - earlier if later >= earlier else later
    return None if after.total.in_service is None else after.total.in_service * length_s
