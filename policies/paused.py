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
        since_s, until_s = self.between_s
        if since_s is not None and until_s is not None and since_s >= until_s:
            raise ValueError(f"since {self.since} must come before until {self.until}")
        return self

    @property
    def between_s(self) -> tuple[float | None, float | None]:
        """`since` and `until` in seconds on the clock."""
        since_s, until_s = (None if m is None else clock_s(m, self.starts) for m in (self.since, self.until))
        return since_s, until_s

    def build(self, pools: Pools) -> "Paused":
        since_s, until_s = self.between_s
        words = "paused" if self.until is None else f"paused until {self.until}{'' if _dated(self.until) else ' s'}"
        return Paused(self.policy.build(pools), named(self.pools, pools), since_s, until_s, words)


def _dated(moment: Seconds | Moment) -> bool:
    return isinstance(moment, str)


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
