"""What happened in one run, tick by tick: the journal that a simulated control loop writes."""

from collections import deque
from collections.abc import Iterator, Mapping
from math import nan
from typing import NamedTuple

from policies.decision import Reason
from policies.loop import Turn
from policies.observation import PoolReading
from sim.cluster import Cluster, Counter
from sim.columns import Columns
from sim.environment import Environment
from sim.loghistogram import TICKS_PER_S
from sim.replicas import Replicas


class PoolRow(NamedTuple):
    """The true state of a pool at a moment; totals from the start of the run."""

    time_s: float
    pool: str
    replicas_wanted: int
    replicas_starting: int
    replicas_ready: int
    replicas_draining: int
    replica_s_total: float
    """Replica-seconds paid for: from start to gone."""
    serving_s_total: float
    """Replica-seconds ready, draining included."""
    requests_queued: int
    requests_in_service: int
    requests_arrived_total: int
    requests_started_total: int
    requests_completed_total: int
    requests_failed_total: int
    requests_rejected_total: int
    requests_abandoned_total: int
    busy_s_total: float
    """Slot-seconds spent serving."""


class DecisionRow(NamedTuple):
    """What a policy said of a pool: `target` is what came of its `wish`; no wish where it kept what there was."""

    time_s: float
    pool: str
    before: int | None
    wish: int | None
    because: str
    limits: str
    target: int | None
    age_s: float
    """Of the reading that the policy was shown; nan where nothing was ever read."""


RECENT = 10


class History:
    """The `Journal` port: a row for each tick and pool of what is true (not of what is seen), and each decision."""

    def __init__(self, env: Environment, cluster: Cluster, pools: Mapping[str, Replicas]) -> None:
        self._env = env
        self._cluster = cluster
        self._pools = pools
        self.rows = {pool: Columns(PoolRow) for pool in pools}
        self.decisions = Columns(DecisionRow)
        self.recent: deque[Turn] = deque(maxlen=RECENT)
        """The last turns, whole: what was seen is not kept otherwise."""

    def write(self, turn: Turn) -> None:
        self.look()
        self.recent.append(turn)
        for row in decided_rows(self._env.now, turn):
            self.decisions.append(row)

    def look(self) -> None:
        """Write down the state of every pool as it is now."""
        for number, (name, rows) in enumerate(self.rows.items()):
            rows.append(self._row(number, name))

    def _row(self, number: int, name: str) -> PoolRow:
        counters = self._cluster.look(number)
        one = counters[0, :KEPT] if len(counters) == 1 else counters[:, :KEPT].sum(axis=0)
        *requests, busy = one.tolist()
        replicas = self._pools[name]
        paid_s, serving_s = replicas.paid_s, replicas.serving_s
        return PoolRow._make(
            (self._env.now, name, *replicas.counts(), paid_s, serving_s, *requests, busy / TICKS_PER_S)
        )


KEPT = Counter.BUSY + 1
"""The first counters of `Cluster.look`, up to the time spent serving, are those of a row."""


def decided_rows(time_s: float, turn: Turn) -> Iterator[DecisionRow]:
    """A row for each pool that the policy spoke of."""
    seen = turn.observation.pools
    for pool, reason in turn.decision.reasons.items():
        yield _decided(time_s, pool, seen[pool], reason)
    for pool, why in turn.decision.kept.items():
        wanted, age_s = seen[pool].wanted, seen[pool].age_s
        yield DecisionRow(time_s, pool, wanted, None, why, "", wanted, nan if age_s is None else age_s)


def _decided(time_s: float, pool: str, seen: PoolReading, reason: Reason) -> DecisionRow:
    limits = "; ".join([f"{x.by}: {x.before} -> {x.after}, {x.why}" for x in reason.limits]) if reason.limits else ""
    age_s = nan if seen.age_s is None else seen.age_s
    return DecisionRow(time_s, pool, seen.wanted, reason.wish, reason.because, limits, reason.final, age_s)
