"""A policy around a policy: some pools, or all, are left as they are for a time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass as checked

from policies.around import keeping, named
from policies.decision import Decision
from policies.moments import EPOCH, Moment, clock_s
from policies.observation import Observation
from policies.policy import Policy, Readings
from policies.pool import Pools
from policies.spec import STRICT, Seconds

if TYPE_CHECKING:
    from policies.catalog import PolicySpec


@checked(frozen=True, kw_only=True, config=STRICT)
class PausedSpec:
    """Keep pools as they are, as for maintenance or while somebody scales by hand; what is wished is still told."""

    kind: Literal["paused"] = "paused"
    pools: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Pools (`model/version`) or versions; all where not given."""
    since: Seconds | Moment | None = None
    """From this moment, included: seconds on the clock, or a date and time with its offset; always where not given."""
    until: Seconds | Moment | None = None
    """To this moment, not included; for ever where not given."""
    starts: Moment = EPOCH
    """When the clock showed 0: in a simulation the moment of its start. A live clock shows Unix time."""
    policy: "PolicySpec"

    @model_validator(mode="after")
    def _in_order(self) -> "PausedSpec":
        if self.since is None or self.until is None:
            return self
        if self._clock_s(self.since) >= self._clock_s(self.until):
            raise ValueError(f"since {_told(self.since)} must come before until {_told(self.until)}")
        return self

    def _clock_s(self, moment: Seconds | Moment) -> float:
        return clock_s(moment, self.starts)

    def build(self, pools: Pools) -> "Paused":
        since_s, until_s = (None if m is None else self._clock_s(m) for m in (self.since, self.until))
        words = "paused" if self.until is None else f"paused until {_told(self.until)}"
        return Paused(self.policy.build(pools), named(self.pools, pools), since_s, until_s, words)


def _told(moment: Seconds | Moment) -> str:
    return moment if isinstance(moment, str) else f"{moment:g} s"


@dataclass(frozen=True, slots=True)
class Paused:
    """Law: a pool that is paused has no target, so that whoever scales it by hand is not overruled.

    The inner policy sees everything all the time, and goes on as if it had never been paused.
    """

    policy: Policy
    pools: tuple[str, ...]
    since_s: float | None
    until_s: float | None
    words: str = "paused"

    @property
    def readings(self) -> Readings:
        return self.policy.readings

    @property
    def memory_s(self) -> float:
        return self.policy.memory_s

    def decide(self, observation: Observation, /) -> Decision:
        decision = self.policy.decide(observation)
        if not self._holds(observation.time_s):
            return decision
        return keeping(decision, {pool: self.words for pool in self.pools if pool in observation.pools})

    def _holds(self, now_s: float) -> bool:
        begun = self.since_s is None or now_s >= self.since_s
        return begun and (self.until_s is None or now_s < self.until_s)
