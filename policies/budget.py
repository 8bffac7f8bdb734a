"""A policy around a policy: all pools together never have, or cost, more than so much.

At no moment: a replica that drains or starts counts as one that serves, so what is taken from one pool can be given to
another only once it has gone. Other policies around this one could undo that; let it be the outermost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass as checked

from policies.around import UNKNOWN, keeping, named, together
from policies.bounded import Bounded
from policies.budget_rule import Claim, shared
from policies.decision import Decision
from policies.observation import Observation, PoolReading
from policies.policy import Policy, Readings
from policies.pool import Pools, PoolTraits
from policies.spec import STRICT, Positive, PositiveCount

if TYPE_CHECKING:
    from policies.catalog import PolicySpec

MICRO = 1_000_000
"""Money is counted in millionths of a dollar, so that sums are exact."""


@checked(frozen=True, kw_only=True, config=STRICT)
class BudgetSpec:
    """Share out a number of replicas, a sum of money an hour, or both."""

    kind: Literal["budget"] = "budget"
    replicas: PositiveCount | None = None
    """All pools together, those starting and draining included."""
    cost_per_hour: Positive | None = None
    """In USD, by each version's cost_per_hour."""
    pools: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Pools (`model/version`) or versions that share it; all where not given."""
    priority: tuple[str, ...] = ()
    """When it is short these come first, in this order; the others share by need: next is who lacks the largest part
    of its wish."""
    policy: "PolicySpec"

    @model_validator(mode="after")
    def _given(self) -> Self:
        if self.replicas is None and self.cost_per_hour is None:
            raise ValueError("needs replicas or cost_per_hour, or both")
        return self

    def build(self, pools: Pools) -> "Budget":
        """The policy. Raises `ValueError` where the budget cannot hold the at_least of its pools."""
        sharing = {name: pools[name] for name in named(self.pools, pools)}
        first = named(self.priority, pools)
        if strange := [name for name in first if name not in sharing]:
            raise ValueError(f"priority: {strange[0]} does not share the budget; those are {', '.join(sharing)}")
        budget = Budget(Bounded(self.policy.build(pools), pools), sharing, self._limits(), first)
        budget.check()
        return budget

    def _limits(self) -> "Limits":
        money = None if self.cost_per_hour is None else round(self.cost_per_hour * MICRO)
        return Limits(self.replicas, money)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many replicas, and how many micro-dollars an hour; None where there is no such limit."""

    replicas: int | None
    micro_usd_per_hour: int | None

    @property
    def amounts(self) -> tuple[int, ...]:
        return tuple(limit for limit in (self.replicas, self.micro_usd_per_hour) if limit is not None)

    def less(self, amounts: Sequence[int]) -> "Limits":
        left = iter(limit - amount for limit, amount in zip(self.amounts, amounts, strict=True))
        replicas = None if self.replicas is None else next(left)
        return Limits(replicas, None if self.micro_usd_per_hour is None else next(left))

    def prices(self, pool: PoolTraits) -> tuple[int, ...]:
        """What a replica takes of each amount."""
        each = (1, self.replicas), (round(pool.cost_per_hour * MICRO), self.micro_usd_per_hour)
        return tuple(price for price, limit in each if limit is not None)

    def __str__(self) -> str:
        parts = [] if self.replicas is None else [f"{self.replicas} replicas"]
        parts += [] if self.micro_usd_per_hour is None else [f"{self.micro_usd_per_hour / MICRO:g} USD/h"]
        return " and ".join(parts)


@dataclass(slots=True)
class Budget:
    """Law: what is wanted, and what is draining or starts beyond it, never exceeds the limits in a world that begins
    within them and does as it is told.

    A pool of which the inner policy says nothing keeps what it has; so do all that would grow while it is unknown
    what one of them has.
    """

    policy: Policy
    """Keeps all targets in the pools' bounds."""
    pools: Pools
    """Those that share."""
    limits: Limits
    priority: tuple[str, ...] = ()
    _prices: dict[str, tuple[int, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self._prices = {name: self.limits.prices(pool) for name, pool in self.pools.items()}

    @property
    def readings(self) -> Readings:
        own = {
            "starting": "no more replicas than are wanted",
            "ready": "no more replicas than are wanted",
            "draining": "no replica draining",
        }
        return together(self.policy.readings, Readings(frozenset({"wanted"}), own))

    @property
    def memory_s(self) -> float:
        return self.policy.memory_s

    def check(self) -> None:
        """Raise `ValueError` where the limits cannot hold the at_least of all pools."""
        room = self._room({name: pool.at_least for name, pool in self.pools.items()})
        if min(room) < 0:
            needed = self.limits.less(room)
            raise ValueError(f"{self.limits} cannot hold the at_least of all pools, {needed}; raise it or lower these")

    def decide(self, observation: Observation, /) -> Decision:
        decision = self.policy.decide(observation)
        held = {name: _wanted(observation, name) for name in self.pools}
        known = {name: count for name, count in held.items() if count is not None}
        if len(known) < len(held):
            return self._not_grown(decision, held)
        return self._within(decision, known, {name: observation.pools[name] for name in known})

    def _not_grown(self, decision: Decision, held: Mapping[str, int | None]) -> Decision:
        unknown = [name for name, wanted in held.items() if wanted is None]
        why = f"how many replicas {', '.join(unknown[:3])} {'has' if len(unknown) == 1 else 'have'} is not known"
        changes = {
            name: (wanted, why)
            for name, wanted in held.items()
            if wanted is not None and name in decision.reasons and decision.reasons[name].final > wanted
        }
        silent = {name: UNKNOWN for name in unknown if name in decision.reasons}
        return keeping(decision.limited("budget", changes), silent)

    def _within(self, decision: Decision, wanted: Mapping[str, int], seen: Mapping[str, PoolReading]) -> Decision:
        """The decision with each pool's share, and so much of it as is free already."""
        kept = {name: max(count, self.pools[name].at_least) for name, count in wanted.items()}
        wishes = {name: decision.reasons[name].final if name in decision.reasons else n for name, n in kept.items()}
        floors = {n: self.pools[n].at_least if n in decision.reasons else kept[n] for n in kept}
        shares = self._shared(wishes, floors, self._room(floors))
        taken = {name: _present(seen[name], count) for name, count in kept.items()}
        begun = {name: min(count, shares[name]) for name, count in kept.items()}
        targets = self._shared(shares, begun, self._room(taken))
        why = f"{self.limits} are short of all wishes, {sum(wishes.values())} replicas"
        fair = decision.limited("budget", _changes(decision, shares, why))
        return fair.limited("room", _changes(fair, targets, f"{self.limits} leave no room for more until others go"))

    def _room(self, counts: Mapping[str, int]) -> list[int]:
        """What so many replicas leave of each limit."""
        taken = [0] * len(self.limits.amounts)
        for name, count in counts.items():
            taken = list(map(add, taken, (count * price for price in self._prices[name])))
        return [limit - amount for limit, amount in zip(self.limits.amounts, taken, strict=True)]

    def _shared(self, wishes: Mapping[str, int], floors: Mapping[str, int], room: Sequence[int]) -> dict[str, int]:
        claims = [Claim(floors[name], wish, self._prices[name]) for name, wish in wishes.items()]
        order = {name: i for i, name in enumerate(wishes)}
        return dict(zip(wishes, shared(claims, room, [order[name] for name in self.priority]), strict=True))


def _wanted(observation: Observation, name: str) -> int | None:
    reading = observation.pools.get(name)
    return None if reading is None else reading.wanted


def _present(reading: PoolReading, wanted: int) -> int:
    """Replicas that there are, or will be when those that are wanted have started."""
    return max(wanted, (reading.starting or 0) + (reading.ready or 0)) + (reading.draining or 0)


def _changes(decision: Decision, counts: Mapping[str, int], why: str) -> dict[str, tuple[int, str]]:
    return {
        name: (count, why)
        for name, count in counts.items()
        if name in decision.reasons and decision.reasons[name].final != count
    }
