"""A policy around a policy: no pool grows, or shrinks, by more than so much in a time."""

from collections import deque
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator
from pydantic.dataclasses import dataclass as checked

from policies.around import UNKNOWN, keeping, together
from policies.decision import Decision
from policies.observation import Observation
from policies.policy import Policy, Readings
from policies.pool import Pools
from policies.spec import STRICT, Count, Positive, PositiveSeconds

if TYPE_CHECKING:
    from policies.catalog import PolicySpec


@checked(frozen=True, kw_only=True, config=STRICT)
class Rate:
    """So many replicas in `period_s`, or so many per cent; where both are given, whichever is more."""

    replicas: Count | None = None
    """0 for never."""
    percent: Positive | None = None
    """Of what the pool had; rounded up, so that at least one replica is allowed."""
    period_s: PositiveSeconds = 60.0

    @model_validator(mode="after")
    def _given(self) -> "Rate":
        if self.replicas is None and self.percent is None:
            raise ValueError("needs replicas or percent, or both")
        return self

    def allowance(self, count: int) -> int:
        """By how much a pool that has had `count` replicas may differ from that after the period."""
        if self.percent is None:
            return self.replicas or 0
        return max(self.replicas or 0, 1, ceil(count * self.percent / 100 - 1e-9))

    def told(self, way: str) -> str:
        parts = [f"{self.replicas}"] if self.replicas is not None else []
        parts += [f"{self.percent:g} %"] if self.percent is not None else []
        return f"at most {' or '.join(parts)} {way} in {self.period_s:g} s"


@checked(frozen=True, kw_only=True, config=STRICT)
class RateLimitedSpec:
    """Let pools grow and shrink no faster than this; a direction that is not given is free."""

    kind: Literal["rate_limited"] = "rate_limited"
    grow: Rate | None = None
    shrink: Rate | None = None
    policy: "PolicySpec"

    @model_validator(mode="after")
    def _given(self) -> "RateLimitedSpec":
        if self.grow is None and self.shrink is None:
            raise ValueError("needs grow or shrink, or both")
        return self

    def build(self, pools: Pools) -> "RateLimited":
        return RateLimited(self.policy.build(pools), self.grow, self.shrink)


@dataclass(slots=True)
class _Run:
    """The same number of replicas wanted at several observations in a row, the last one at `last_s`."""

    last_s: float
    wanted: int


@dataclass(slots=True)
class RateLimited:
    """Law: what is wanted now is no more than the least of the period and its allowance, no less than the greatest of
    the period less its allowance, whatever came in between."""

    policy: Policy
    grow: Rate | None
    shrink: Rate | None
    _runs: dict[str, deque[_Run]] = field(default_factory=dict, init=False)

    @property
    def readings(self) -> Readings:
        return together(self.policy.readings, Readings(frozenset({"wanted"})))

    @property
    def memory_s(self) -> float:
        return self.policy.memory_s + self._longest_s

    @property
    def _longest_s(self) -> float:
        return max(rate.period_s for rate in (self.grow, self.shrink) if rate is not None)

    def decide(self, observation: Observation, /) -> Decision:
        for pool, reading in observation.pools.items():
            if reading.wanted is not None:
                self._note(pool, observation.time_s, reading.wanted)
        decision = self.policy.decide(observation)
        changes, unknown = {}, {}
        for pool, wish in decision.targets.items():
            wanted = observation.pools[pool].wanted
            if wanted is None:
                unknown[pool] = UNKNOWN
            elif (change := self._limited(pool, observation.time_s, wanted, wish)) is not None:
                changes[pool] = change
        return keeping(decision.limited("rate", changes), unknown)

    def _note(self, pool: str, now_s: float, wanted: int) -> None:
        runs = self._runs.setdefault(pool, deque())
        if runs and runs[-1].wanted == wanted:
            runs[-1].last_s = now_s
        else:
            runs.append(_Run(now_s, wanted))
        while runs[0].last_s <= now_s - self._longest_s:
            runs.popleft()

    def _limited(self, pool: str, now_s: float, wanted: int, wish: int) -> tuple[int, str] | None:
        """What is allowed in place of the wish, and why; None where the wish is."""
        if wish > wanted and self.grow is not None:
            least = min(self._had(pool, now_s, self.grow.period_s))
            most = max(wanted, least + self.grow.allowance(least))
            return (most, f"{self.grow.told('more')}, from {least}") if wish > most else None
        if wish < wanted and self.shrink is not None:
            greatest = max(self._had(pool, now_s, self.shrink.period_s))
            fewest = min(wanted, greatest - self.shrink.allowance(greatest))
            return (fewest, f"{self.shrink.told('fewer')}, from {greatest}") if wish < fewest else None
        return None

    def _had(self, pool: str, now_s: float, period_s: float) -> list[int]:
        """Replicas wanted in the last `period_s`; what is as old as that no longer counts."""
        return [run.wanted for run in self._runs[pool] if run.last_s > now_s - period_s]
