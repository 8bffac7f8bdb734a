"""What happened in one run, tick by tick: the journal that a simulated control loop writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from policies.loop import Turn
from sim.cluster import TICKS_PER_S, Cluster, Counters
from sim.environment import Environment
from sim.replicas import Replicas

COUNTED = ("arrived", "started", "completed", "failed", "rejected", "abandoned")


@dataclass
class History:
    """The `Journal` port: a row for each tick and pool of what is true (not of what is seen), and each decision."""

    env: Environment
    cluster: Cluster
    pools: Mapping[str, Replicas]
    rows: list[tuple[float | str, ...]] = field(default_factory=list)
    decisions: list[tuple[float | str | None, ...]] = field(default_factory=list)

    def write(self, turn: Turn) -> None:
        self.look()
        for pool, reason in turn.decision.reasons.items():
            action = turn.actions.get(pool)
            before = action.before if action else turn.observation.pools[pool].wanted
            limits = "; ".join(f"{x.by}: {x.before} -> {x.after}, {x.why}" for x in reason.limits)
            self.decisions.append((self.env.now, pool, before, reason.wish, reason.because, limits, reason.final))
        for pool, why in turn.decision.kept.items():
            wanted = turn.observation.pools[pool].wanted
            self.decisions.append((self.env.now, pool, wanted, None, why, "", wanted))

    def look(self) -> None:
        """Write down the state of every pool as it is now."""
        for number, (name, replicas) in enumerate(self.pools.items()):
            self.rows.append((self.env.now, name, *_replica_row(replicas), *_flow_row(self.cluster.counters(number))))


POOL_COLUMNS = (
    "time_s",
    "pool",
    "replicas_wanted",
    "replicas_starting",
    "replicas_ready",
    "replicas_draining",
    "replica_s_total",
    "serving_s_total",
    "requests_queued",
    "requests_in_service",
    *(f"requests_{name}_total" for name in COUNTED),
    "busy_s_total",
)
DECISION_COLUMNS = ("time_s", "pool", "before", "wish", "because", "limits", "target")


def _replica_row(replicas: Replicas) -> tuple[float, ...]:
    return replicas.wanted, replicas.starting, replicas.ready, replicas.draining, replicas.paid_s, replicas.serving_s


def _flow_row(counters: Sequence[Counters]) -> tuple[float, ...]:
    present = (sum(c.queued for c in counters), sum(c.in_service for c in counters))
    counted = (sum(getattr(c, name) for c in counters) for name in COUNTED)
    return (*present, *counted, sum(c.busy for c in counters) / TICKS_PER_S)
