"""What a policy wants, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Limit:
    """One limiter that changed a wish: who, from what, to what, why."""

    by: str
    before: int
    after: int
    why: str


@dataclass(frozen=True, slots=True)
class Reason:
    """The raw wish for a pool, in replicas, what it came from, and every limiter that changed it, in order."""

    wish: int
    because: str
    limits: tuple[Limit, ...] = ()

    @property
    def final(self) -> int:
        return self.limits[-1].after if self.limits else self.wish

    def limited(self, by: str, after: int, why: str) -> "Reason":
        """The same wish after one more limiter; unchanged where the limiter changes nothing."""
        if after == self.final:
            return self
        return replace(self, limits=(*self.limits, Limit(by, self.final, after, why)))

    def __str__(self) -> str:
        steps = "".join(f"; {x.by}: {x.before} -> {x.after} ({x.why})" for x in self.limits)
        return f"wish {self.wish}: {self.because}{steps}"


@dataclass(frozen=True, slots=True)
class Decision:
    """Absolute targets. A pool that `reasons` does not name keeps what it has; `kept` may say why."""

    reasons: Mapping[str, Reason] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, wishes: Mapping[str, Reason | str]) -> "Decision":
        """From pool -> its reason, or words why it keeps what it has."""
        reasons = {pool: wish for pool, wish in wishes.items() if isinstance(wish, Reason)}
        return cls(reasons, {pool: wish for pool, wish in wishes.items() if not isinstance(wish, Reason)})

    @property
    def targets(self) -> dict[str, int]:
        """Pool -> replicas."""
        return {pool: reason.final for pool, reason in self.reasons.items()}

    def limited(self, by: str, changes: Mapping[str, tuple[int, str]]) -> "Decision":
        """The same decision after one more limiter; `changes` gives pool -> (replicas, why)."""
        if not changes:
            return self
        changed = {pool: self.reasons[pool].limited(by, after, why) for pool, (after, why) in changes.items()}
        return Decision({**self.reasons, **changed}, self.kept)
