"""How fast a Horizontal Pod Autoscaler may follow its wish: `behavior` of autoscaling/v2, and what holds without it.

Rules are values, what was wished and done before is a tuple of entries, and `now_s` is an argument. Source:
kubernetes, pkg/controller/podautoscaler/horizontal.go and pkg/apis/autoscaling/v2/defaults.go, as of 2026.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Annotated, Literal, NamedTuple

from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from policies.spec import STRICT, NonNegative, PositiveCount

Select = Literal["max", "min", "disabled"]
"""selectPolicy: the rule that allows the greatest change, the least, or no change in this direction."""

Window = Annotated[float, Field(ge=0, le=3600)]

Condition = Literal["DesiredWithinRange", "TooFewReplicas", "TooManyReplicas", "ScaleUpLimit", "ScaleDownLimit"]
"""What changed the wish last, by the names that `kubectl describe hpa` shows."""


@checked(frozen=True, kw_only=True, config=STRICT)
class RateRule:
    """In `period_s` no more than `value` replicas (`type: Pods`), or percent of what there was at its start."""

    kind: Literal["replicas", "percent"]
    value: PositiveCount
    period_s: Annotated[float, Field(gt=0, le=1800)]


Rules = Annotated[tuple[RateRule, ...], Field(min_length=1)]

_GROW = (
    RateRule(kind="replicas", value=4, period_s=15.0),
    RateRule(kind="percent", value=100, period_s=15.0),
)
_SHRINK = (RateRule(kind="percent", value=100, period_s=15.0),)


@checked(frozen=True, kw_only=True, config=STRICT)
class GrowRules:
    """`scaleUp`: by default 4 replicas or 100 % in 15 s, whichever is more, at once."""

    stabilization_s: Window = 0.0
    """Never above the least wish of this long: `stabilizationWindowSeconds`."""
    select: Select = "max"
    policies: Rules = _GROW
    tolerance: NonNegative | None = None
    """In place of the policy's own, when growing."""


@checked(frozen=True, kw_only=True, config=STRICT)
class ShrinkRules:
    """`scaleDown`: by default as far as the greatest wish of the last 300 s."""

    stabilization_s: Window | None = None
    """Never below the greatest wish of this long; the policy's `stabilization_s` where not given."""
    select: Select = "max"
    policies: Rules = _SHRINK
    tolerance: NonNegative | None = None
    """In place of the policy's own, when shrinking."""


@checked(frozen=True, kw_only=True, config=STRICT)
class Behavior:
    """Limits on how fast a pool grows and shrinks."""

    scale_up: GrowRules = field(default_factory=GrowRules)
    scale_down: ShrinkRules = field(default_factory=ShrinkRules)


class Entry(NamedTuple):
    """What was wished (replicas), or by how much the pool was changed (replicas, positive either way), and when."""

    time_s: float
    replicas: int


Entries = tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What was added and removed before."""

    added: Entries = ()
    removed: Entries = ()


def stored(entries: Entries, new: Entry, obsolete_s: float) -> Entries:
    """The new entry in the place of the last one from before `obsolete_s`, or at the end: no more are ever kept than
    matter."""
    for i in range(len(entries) - 1, -1, -1):
        if entries[i].time_s < obsolete_s:
            return (*entries[:i], new, *entries[i + 1 :])
    return (*entries, new)


def changed_within(entries: Entries, period_s: float, now_s: float) -> int:
    """Replicas changed in the last `period_s`; what is as old as that no longer counts."""
    since_s = now_s - period_s
    return sum(entry.replicas for entry in entries if entry.time_s > since_s)


def longest_period_s(rules: GrowRules | ShrinkRules) -> float:
    return max(rule.period_s for rule in rules.policies)


def with_change(changes: Changes, behavior: Behavior, before: int, entry_s: float, after: int) -> Changes:
    """The same and one more change, made at `entry_s`."""
    if after > before:
        obsolete_s = entry_s - longest_period_s(behavior.scale_up)
        return Changes(stored(changes.added, Entry(entry_s, after - before), obsolete_s), changes.removed)
    obsolete_s = entry_s - longest_period_s(behavior.scale_down)
    return Changes(changes.added, stored(changes.removed, Entry(entry_s, before - after), obsolete_s))


def grow_limit(current: int, rules: GrowRules, changes: Changes, now_s: float) -> int:
    """The most replicas that the rules allow, `current` at least."""
    if rules.select == "disabled":
        return current
    choose: Callable[[list[int]], int] = min if rules.select == "min" else max
    return max(current, choose([_grown(rule, _start(rule, current, changes, now_s)) for rule in rules.policies]))


def shrink_limit(current: int, rules: ShrinkRules, changes: Changes, now_s: float) -> int:
    """The fewest replicas that the rules allow, `current` at most."""
    if rules.select == "disabled":
        return current
    choose: Callable[[list[int]], int] = max if rules.select == "min" else min
    return min(current, choose([_shrunk(rule, _start(rule, current, changes, now_s)) for rule in rules.policies]))


def _start(rule: RateRule, current: int, changes: Changes, now_s: float) -> int:
    """Replicas when the period began."""
    added = changed_within(changes.added, rule.period_s, now_s)
    return current - added + changed_within(changes.removed, rule.period_s, now_s)


def _grown(rule: RateRule, start: int) -> int:
    return start + rule.value if rule.kind == "replicas" else ceil(start * (1 + rule.value / 100))


def _shrunk(rule: RateRule, start: int) -> int:
    return start - rule.value if rule.kind == "replicas" else int(start * (1 - rule.value / 100))


def within_rates(
    current: int, wish: int, bounds: tuple[int, int], behavior: Behavior, changes: Changes, now_s: float
) -> tuple[int, Condition]:
    """The wish within the rules and, in the direction it goes, within the bounds: a bound that it does not move
    towards is not looked at."""
    if wish > current:
        limit = grow_limit(current, behavior.scale_up, changes, now_s)
        most = min(bounds[1], limit)
        if wish > most:
            return most, "ScaleUpLimit" if bounds[1] > limit else "TooManyReplicas"
    elif wish < current:
        limit = shrink_limit(current, behavior.scale_down, changes, now_s)
        least = max(bounds[0], limit)
        if wish < least:
            return least, "ScaleDownLimit" if bounds[0] < limit else "TooFewReplicas"
    return wish, "DesiredWithinRange"


def within_double(current: int, wish: int, bounds: tuple[int, int]) -> tuple[int, Condition]:
    """What holds without `behavior`: at most twice the replicas, or four, at a time, and the bounds."""
    limit = max(2 * current, 4)
    most = min(bounds[1], limit)
    if wish < bounds[0]:
        return bounds[0], "TooFewReplicas"
    if wish > most:
        return most, "ScaleUpLimit" if bounds[1] > limit else "TooManyReplicas"
    return wish, "DesiredWithinRange"


def stabilized(current: int, wish: int, wishes: Entries, up_s: float, down_s: float, now_s: float) -> int:
    """`current`, moved into [least wish of `up_s`, greatest wish of `down_s`], this one included in both.

    A wish as old as the window no longer counts.
    """
    least = min((e.replicas for e in wishes if e.time_s > now_s - up_s), default=wish)
    greatest = max((e.replicas for e in wishes if e.time_s > now_s - down_s), default=wish)
    return min(max(current, min(least, wish)), max(greatest, wish))


def greatest_wish(wish: int, wishes: Entries, window_s: float, now_s: float) -> int:
    """What holds without `behavior`: the greatest wish of the window, one as old as it and this one included."""
    since_s = now_s - window_s
    return max([replicas for time_s, replicas in wishes if replicas > wish and time_s >= since_s], default=wish)
