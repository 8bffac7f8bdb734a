"""A policy around several policies: for each pool the greatest of their wishes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from policies.around import UNKNOWN, together
from policies.decision import Decision, Reason
from policies.observation import Observation
from policies.policy import Policy, Readings
from policies.pool import Pools
from policies.spec import STRICT

if TYPE_CHECKING:
    from policies.catalog import PolicySpec


@checked(frozen=True, kw_only=True, config=STRICT)
class MaximumSpec:
    """Do what the most demanding of several policies wishes, pool by pool; of equal wishes the first one's holds.

    A policy that keeps a pool as it is, because it cannot tell, lets the others grow it, but not shrink it.
    """

    kind: Literal["maximum"] = "maximum"
    policies: Annotated[tuple["PolicySpec", ...], Field(min_length=2)]

    def build(self, pools: Pools) -> "Maximum":
        return Maximum(tuple(policy.build(pools) for policy in self.policies))


@dataclass(frozen=True, slots=True)
class Maximum:
    """Law: no target is less than any policy's; a pool shrinks only where each policy that says anything of it
    names a target."""

    policies: tuple[Policy, ...]

    @property
    def readings(self) -> Readings:
        return together(*(policy.readings for policy in self.policies))

    @property
    def memory_s(self) -> float:
        return max(policy.memory_s for policy in self.policies)

    def decide(self, observation: Observation, /) -> Decision:
        decisions = [policy.decide(observation) for policy in self.policies]
        pools = dict.fromkeys(pool for each in decisions for pool in (*each.reasons, *each.kept))
        return Decision.of({pool: _greatest(pool, decisions, observation.pools[pool].wanted) for pool in pools})


def _greatest(pool: str, decisions: Sequence[Decision], wanted: int | None) -> Reason | str:
    wishes = [each.reasons[pool] for each in decisions if pool in each.reasons]
    silent = [each.kept[pool] for each in decisions if pool in each.kept]
    if not wishes:
        return "; ".join(silent)
    reason = _told(wishes)
    if not silent:
        return reason
    if wanted is None:
        return "; ".join((*silent, UNKNOWN, str(reason)))
    return reason.limited("silence", max(reason.final, wanted), "; ".join(silent))


def _told(wishes: Sequence[Reason]) -> Reason:
    """The reason of the greatest wish, which says what it is the greatest of."""
    greatest = max(wishes, key=lambda reason: reason.final)
    if len(wishes) == 1:
        return greatest
    counts = ", ".join(str(reason.final) for reason in wishes)
    return replace(greatest, because=f"greatest of {counts}: {greatest.because}")
