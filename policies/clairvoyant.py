"""The best plan found by one who sees all arrivals and services beforehand: the yardstick of cost at the objective."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic.dataclasses import dataclass as checked

from policies.decision import Decision, Reason
from policies.observation import Observation
from policies.policy import Readings
from policies.pool import Pools
from policies.spec import STRICT, InnerFraction

FUTURE = "future"
"""The reading that only a simulation has: all arrivals and services to come."""


@checked(frozen=True, kw_only=True, config=STRICT)
class ClairvoyantSpec:
    """Replay the cheapest plan found for the requests that will come; in simulations only, and not inside another."""

    kind: Literal["clairvoyant"] = "clairvoyant"
    attainment: InnerFraction | None = None
    """Share of all requests to answer within their objective; the quantile of the scenario's `slo` where not given."""

    def build(self, _pools: Pools) -> "Clairvoyant":
        """A policy that needs the reading `future`, which no cluster has: whoever cannot give it refuses."""
        return Clairvoyant({})


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts from each of `times_s` on, which ascend from 0, until `end_s`."""

    times_s: tuple[float, ...]
    counts: tuple[int, ...]
    end_s: float


@dataclass(slots=True)
class Clairvoyant:
    """Without plans it knows nothing and `decide` raises `ValueError`."""

    plans: Mapping[str, Plan]
    """Pool -> what was found for it."""
    found: str = ""
    """What the plans are worth, in words."""
    memory_s: float = 0.0
    readings: Readings = Readings(frozenset({FUTURE}))
    _reasons: dict[tuple[str, int], Reason] = field(default_factory=dict, init=False)

    def decide(self, observation: Observation, /) -> Decision:
        if not self.plans:
            raise ValueError("policy clairvoyant needs the future, which only a simulation knows; name another policy")
        return Decision.of({pool: self._planned(pool, observation.time_s) for pool in observation.pools})

    def _planned(self, pool: str, now_s: float) -> Reason | str:
        plan = self.plans[pool]
        if now_s > plan.end_s:
            raise ValueError(
                f"policy clairvoyant has planned until {plan.end_s:g} s, it is {now_s:g} s; give a longer horizon_s, "
                "and replications in place of a precision"
            )
        count = plan.counts[bisect_right(plan.times_s, now_s) - 1]
        # Few different counts, so few reasons, each said many times.
        if (pool, count) not in self._reasons:
            self._reasons[pool, count] = Reason(count, self.found)
        return self._reasons[pool, count]
