"""A policy around a policy: no pool shrinks on data that is missing or old."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator
from pydantic.dataclasses import dataclass as checked

from policies.around import UNKNOWN, keeping, together
from policies.decision import Decision
from policies.observation import Flow, Observation, PoolReading
from policies.policy import Policy, Readings
from policies.pool import Pools
from policies.spec import STRICT, PositiveSeconds

if TYPE_CHECKING:
    from policies.catalog import PolicySpec

OF_POOL = frozenset({"wanted", "starting", "ready", "draining", "replicas"})
READINGS = (*sorted(OF_POOL), *(field.name for field in fields(Flow)))


def _reading(name: str) -> str:
    if name not in READINGS:
        raise ValueError(f"{name!r} is no reading; readings are {', '.join(READINGS)}")
    return name


@checked(frozen=True, kw_only=True, config=STRICT)
class FreshSpec:
    """Let a pool shrink only on a fresh and whole reading of it; growing needs less."""

    kind: Literal["fresh"] = "fresh"
    max_age_s: PositiveSeconds = 120.0
    """An older reading shrinks no pool."""
    needed: tuple[Annotated[str, AfterValidator(_reading)], ...] | None = None
    """Readings without which no pool shrinks; those that the inner policy cannot do without where not given."""
    policy: "PolicySpec"

    def build(self, pools: Pools) -> "Fresh":
        inner = self.policy.build(pools)
        return Fresh(
            inner, self.max_age_s, tuple(sorted(inner.readings.needed)) if self.needed is None else self.needed
        )


@dataclass(frozen=True, slots=True)
class Fresh:
    """Law: a target below what is wanted rests on a reading no older than `max_age_s` that has all that is needed."""

    policy: Policy
    max_age_s: float
    needed: tuple[str, ...] = ()

    @property
    def readings(self) -> Readings:
        return together(self.policy.readings, Readings(frozenset(self.needed) | {"wanted"}))

    @property
    def memory_s(self) -> float:
        return self.policy.memory_s

    def decide(self, observation: Observation, /) -> Decision:
        decision = self.policy.decide(observation)
        unknown = {pool: UNKNOWN for pool in decision.reasons if observation.pools[pool].wanted is None}
        changes = dict(self._held(decision.targets, observation.pools))
        return keeping(decision.limited("fresh", changes), unknown)

    def _held(
        self, targets: Mapping[str, int], pools: Mapping[str, PoolReading]
    ) -> Iterable[tuple[str, tuple[int, str]]]:
        """Each pool that may not shrink to its target, with what it has and why."""
        for pool, target in targets.items():
            wanted = pools[pool].wanted
            if wanted is not None and target < wanted and (why := self._doubt(pools[pool])):
                yield pool, (wanted, why)

    def _doubt(self, reading: PoolReading) -> str:
        """What is wrong with a reading; empty where nothing is."""
        if reading.age_s is None:
            return "nothing was read yet"
        if reading.age_s > self.max_age_s:
            return f"the reading is {reading.age_s:.0f} s old"
        missing = [name for name in self.needed if _value(reading, name) is None]
        return f"{', '.join(missing)} not read" if missing else ""


def _value(reading: PoolReading, name: str) -> Any:
    return getattr(reading if name in OF_POOL else reading.total, name)
