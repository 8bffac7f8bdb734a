"""Step scaling as arithmetic: what change a breach of a threshold asks for, by its size."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor, inf
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass as checked

from policies.spec import STRICT, Count, PositiveCount

Adjustment = Literal["change_in_capacity", "percent_change_in_capacity", "exact_capacity"]


@checked(frozen=True, kw_only=True, config=STRICT)
class StepAdjustment:
    """The change for a breach of this size; both bounds are counted from the threshold."""

    lower_bound: float | None = None
    upper_bound: float | None = None
    """None is without bound. Of two steps that join, the one farther from the threshold has the point where they do."""
    adjustment: float
    """Replicas more (or fewer, below 0), percent more, or how many there shall be."""

    @model_validator(mode="after")
    def _a_range(self) -> "StepAdjustment":
        if self.low >= self.high:
            raise ValueError(f"upper_bound {self.high:g} must be greater than lower_bound {self.low:g}")
        return self

    @property
    def low(self) -> float:
        return -inf if self.lower_bound is None else self.lower_bound

    @property
    def high(self) -> float:
        return inf if self.upper_bound is None else self.upper_bound


@checked(frozen=True, kw_only=True, config=STRICT)
class StepAlarm:
    """A threshold, for how long it must be breached, and what to do then."""

    threshold: float
    """Of the metric."""
    evaluation_periods: PositiveCount = 1
    """So many periods in succession must breach the threshold."""
    adjustment_type: Adjustment = "change_in_capacity"
    """Whether adjustments are replicas to add, percent to add, or how many replicas there shall be."""
    min_adjustment_magnitude: Count = 0
    """A change in percent is at least so many replicas."""
    steps: Annotated[tuple[StepAdjustment, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _whole(self) -> "StepAlarm":
        for before, after in pairwise(self.steps):
            if before.high != after.low:
                raise ValueError(f"steps must join: one ends at {before.high:g}, the next begins at {after.low:g}")
        percent = self.adjustment_type == "percent_change_in_capacity"
        if not percent and any(step.adjustment != int(step.adjustment) for step in self.steps):
            raise ValueError("adjustments must be whole replicas, or adjustment_type percent_change_in_capacity")
        if self.adjustment_type == "exact_capacity" and any(step.adjustment < 0 for step in self.steps):
            raise ValueError("an exact_capacity must be 0 or more")
        return self

    def step(self, metric: float, above: bool) -> StepAdjustment | None:
        """The step for a metric at or `above` the threshold, or else at or below it, if there is one."""
        breach = metric - self.threshold
        if above:
            reached = [step for step in self.steps if 0 <= breach >= step.low]
            return reached[-1] if reached and (breach < reached[-1].high or breach == inf) else None
        reached = [step for step in self.steps if 0 >= breach <= step.high]
        return reached[0] if reached and (breach > reached[0].low or breach == -inf) else None

    def adjusted(self, current: int, step: StepAdjustment) -> int:
        """The number of replicas that the step makes of `current`; never below 0."""
        if self.adjustment_type == "exact_capacity":
            return int(step.adjustment)
        if self.adjustment_type == "change_in_capacity":
            return max(0, current + int(step.adjustment))
        change = max(self.min_adjustment_magnitude, _whole(current * abs(step.adjustment) / 100))
        return max(0, current + (change if step.adjustment > 0 else -change if step.adjustment < 0 else 0))


def aggregate(values: Sequence[float], how: Literal["average", "minimum", "maximum"]) -> float:
    if how == "average":
        return sum(values) / len(values)
    return min(values) if how == "minimum" else max(values)


def _whole(replicas: float) -> int:
    """Cut off after the whole ones; less than one is one, unless it is none at all."""
    return floor(replicas) if replicas >= 1 else ceil(replicas)
