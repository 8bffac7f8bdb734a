"""What policies around a policy have in common: whom they are for, what they read, and leaving a pool as it is."""

from collections.abc import Iterable, Mapping

from policies.decision import Decision
from policies.policy import Readings
from policies.pool import Pools, known

UNKNOWN = "how many replicas are wanted is not known"


def named(pools: Iterable[str] | None, among: Pools) -> tuple[str, ...]:
    """The pools of these names, a version's standing for its only pool; all in their order where None is given.

    Raises `ValueError` for a name that no pool or more than one pool has.
    """
    return tuple(among) if pools is None else tuple(known(dict.fromkeys(pools), among))


def together(*readings: Readings) -> Readings:
    """What all of these need, and what the first of them that can do without a reading assumes instead."""
    needed = frozenset[str]().union(*(each.needed for each in readings))
    assumed = {name: words for each in reversed(readings) for name, words in each.assumed.items()}
    return Readings(needed, {name: words for name, words in assumed.items() if name not in needed})


def keeping(decision: Decision, why: Mapping[str, str]) -> Decision:
    """The same decision without targets for some pools, which keep what they have; `why` says so for each."""
    if not why:
        return decision
    reasons = {pool: reason for pool, reason in decision.reasons.items() if pool not in why}
    words = {pool: _with_wish(decision, pool, because) for pool, because in why.items()}
    return Decision(reasons, {**decision.kept, **words})


def _with_wish(decision: Decision, pool: str, why: str) -> str:
    said = decision.reasons.get(pool) or decision.kept.get(pool)
    return f"{why}; {said}" if said else why
