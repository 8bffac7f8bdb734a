"""What the daemon knows of itself, kept for those who look: /metrics, the probes and the status page."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

from live.config import Config
from live.journal import JournalFile
from live.tally import Tally
from policies.decision import Reason
from policies.loop import Action, Turn
from policies.observation import PoolReading

MOST_CHANGES = 10
"""Of each pool."""
MOST_FAULTS = 30
PATIENCE_S = 120.0
"""A loop that has not turned for this long, and five ticks, hangs: every call that it makes times out sooner."""


EXPECTED = ("the lease is not held", "dry run")
"""Errors of actions that are as they should be."""


def is_fault(action: Action | None) -> bool:
    return action is not None and action.error is not None and action.error not in EXPECTED


@dataclass(frozen=True, slots=True)
class Change:
    """A pool's target became another, or was written."""

    time_s: float
    reason: Reason
    action: Action | None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that went wrong, once or often."""

    where: str
    message: str
    first_s: float
    last_s: float
    times: int = 1


@dataclass(frozen=True, slots=True)
class Leadership:
    """Who may write; `identity` is this daemon."""

    identity: str
    held: bool = False
    holder: str | None = None
    needed: bool = True
    """False where nothing is written, so that anybody may."""


@dataclass(slots=True, kw_only=True)
class Board:
    """Written by the loop and read by servers of HTTP; what is given out is a copy or frozen."""

    config: Config
    tally: Tally
    journal: JournalFile | None = None
    dry_run: bool = False
    started_s: float = 0.0
    refresh_s: float | None = None
    """How often the status page asks to be loaded again; each tick where not given."""
    speed: float = 1.0
    """How fast the daemon's clock goes by the machine's."""
    leadership: Leadership = Leadership("")
    turn: Turn | None = None
    took_s: float = 0.0
    """Time that the last turn needed."""
    turns_total: int = 0
    skipped_total: int = 0
    """Ticks that were left out because the turn before them was not over."""
    errors_total: Counter[str] = field(default_factory=Counter)
    writes_total: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(Pool, `done` or `failed`) -> writes."""
    limited_total: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(Pool, limiter) -> decisions that it changed."""
    has_metrics: bool = False
    """Whether any reading has ever come, or none was to come."""
    alive_s: float | None = None
    """When, on the steady clock, the loop began or the last turn ended."""
    _told_by_pods: frozenset[str] = field(init=False)
    _changes: dict[str, deque[Change]] = field(default_factory=dict)
    _faults: dict[tuple[str, str], Fault] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._told_by_pods = self.config.told_by_pods

    def turned(self, turn: Turn, took_s: float, monotonic_s: float) -> None:
        with self._lock:
            before = self.turn.decision.targets if self.turn else {}
            for pool, reason in turn.decision.reasons.items():
                self._decided(pool, reason, turn, before)
            self.tally.count(turn)
            self.turn, self.took_s, self.alive_s = turn, took_s, monotonic_s
            self.turns_total += 1
            self.has_metrics = self.has_metrics or any(
                reading.age_s is not None or not self.has_readings(pool, reading)
                for pool, reading in turn.observation.pools.items()
            )

    def failed(self, where: str, message: str, time_s: float) -> bool:
        """Keep a fault; whether it is news, and not one of those shown repeated."""
        with self._lock:
            self.errors_total[where] += 1
            known = self._faults.pop((where, message), None)
            first_s, times = (known.first_s, known.times + 1) if known else (time_s, 1)
            # Taken out and put in again, so that the last to come is the last in order.
            self._faults[where, message] = Fault(where, message, first_s, time_s, times)
            if len(self._faults) > MOST_FAULTS:
                del self._faults[next(iter(self._faults))]
            return known is None

    def changes(self) -> dict[str, list[Change]]:
        """Of each pool, the last first."""
        with self._lock:
            return {pool: list(reversed(changes)) for pool, changes in self._changes.items()}

    def faults(self) -> list[Fault]:
        """The last first."""
        with self._lock:
            return list(reversed(self._faults.values()))

    def has_readings(self, pool: str, reading: PoolReading) -> bool:
        """Whether there is anything to read of its requests: where pods tell of them, not while there are none."""
        return not (reading.wanted == 0 and not reading.ready and pool in self._told_by_pods)

    def unready(self) -> str | None:
        """Why the daemon does not work yet; None where it does."""
        if self.turn is None:
            return "no turn yet"
        return None if self.has_metrics else "no reading has come yet"

    def stuck(self, monotonic_s: float) -> str | None:
        """Why the daemon should be started anew; None where it need not be."""
        since_s = 0.0 if self.alive_s is None else monotonic_s - self.alive_s
        return f"no turn for {since_s:.0f} s" if since_s > PATIENCE_S + 5 * self.config.tick_s else None

    def _decided(self, pool: str, reason: Reason, turn: Turn, before: Mapping[str, int]) -> None:
        for limit in reason.limits:
            self.limited_total[pool, limit.by] += 1
        action = turn.actions.get(pool)
        if action is not None and action.error not in EXPECTED:
            self.writes_total[pool, "failed" if is_fault(action) else "done"] += 1
        written = action is not None and action.error is None
        if written or is_fault(action) or before.get(pool) != reason.final:
            kept = self._changes.setdefault(pool, deque(maxlen=MOST_CHANGES))
            kept.append(Change(turn.observation.time_s, reason, action))
