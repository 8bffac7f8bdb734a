"""A policy around a policy: no pool leaves its bounds."""

from dataclasses import dataclass

from policies.decision import Decision
from policies.observation import Observation
from policies.policy import Policy, Readings
from policies.pool import Pools


@dataclass(frozen=True, slots=True)
class Bounded:
    """Law: every target lies in its pool's at_least..at_most."""

    policy: Policy
    pools: Pools

    @property
    def readings(self) -> Readings:
        return self.policy.readings

    @property
    def memory_s(self) -> float:
        return self.policy.memory_s

    def decide(self, observation: Observation, /) -> Decision:
        decision = self.policy.decide(observation)
        changes = {}
        for pool, target in decision.targets.items():
            bounds = self.pools[pool]
            if target < bounds.at_least:
                changes[pool] = (bounds.at_least, f"at least {bounds.at_least}")
            elif target > bounds.at_most:
                changes[pool] = (bounds.at_most, f"at most {bounds.at_most}")
        return decision.limited("bounds", changes)
