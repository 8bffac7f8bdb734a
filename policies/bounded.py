"""A policy around a policy: no pool leaves its bounds."""

from dataclasses import dataclass, field

from policies.decision import Decision
from policies.observation import Observation
from policies.policy import Policy, Readings
from policies.pool import Pools


@dataclass(slots=True)
class Bounded:
    """Law: every target lies in its pool's at_least..at_most."""

    policy: Policy
    pools: Pools
    _last: tuple[Decision, Decision] = field(default=(Decision(), Decision()), init=False)
    """The policy's last decision, and what became of it."""

    @property
    def readings(self) -> Readings:
        return self.policy.readings

    @property
    def memory_s(self) -> float:
        return self.policy.memory_s

    def decide(self, observation: Observation, /) -> Decision:
        decision = self.policy.decide(observation)
        # A policy that says the same again is answered the same.
        if decision is not self._last[0]:
            self._last = (decision, self._within(decision))
        return self._last[1]

    def _within(self, decision: Decision) -> Decision:
        changes = {}
        for pool, target in decision.targets.items():
            bounds = self.pools[pool]
            if target < bounds.at_least:
                changes[pool] = (bounds.at_least, f"at least {bounds.at_least}")
            elif target > bounds.at_most:
                changes[pool] = (bounds.at_most, f"at most {bounds.at_most}")
        return decision.limited("bounds", changes)
