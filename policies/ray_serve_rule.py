"""Ray Serve's default autoscaling rule as arithmetic: ongoing requests over a target, a gain, and delays."""

from dataclasses import dataclass
from enum import Enum
from math import ceil

from policies.decision import Reason

ELAPSED_S = 1e-6
"""A delay is over when so little of it is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    target_ongoing_requests: float = 2.0
    """In one replica."""
    upscaling_factor: float = 1.0
    downscaling_factor: float = 1.0
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0
    downscale_to_zero_delay_s: float | None = None


class Direction(Enum):
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Pending:
    """A change of this direction has been asked for since then, without a break."""

    direction: Direction
    since_s: float


def decide(
    settings: RuleSettings, pending: Pending | None, now_s: float, running: int, target: int, ongoing: float
) -> tuple[Reason, Pending | None]:
    """How many replicas are wanted, and what is pending from now on.

    `running` replicas of `target` that are wanted so far bear `ongoing` requests, those that wait included. The wish
    is not bounded, and delays compare it so with the target: where it lies beyond the bounds, its delay runs, ends
    and begins again (`ray.serve.autoscaling_policy`, 2.60).
    """
    if running == 0:
        return _cold_start(settings, target, ongoing), _after_cold_start(pending, target, ongoing)
    wish = _scaled(settings, running, ongoing)
    words = f"{ongoing:.4g} requests / {settings.target_ongoing_requests:g}, from {running} running"
    reason = Reason(max(0, wish), words)
    if reason.wish == target:
        return reason, None
    direction = Direction.UP if reason.wish > target else Direction.DOWN
    if pending is None or pending.direction is not direction:
        pending = Pending(direction, now_s)
    if direction is Direction.DOWN and target != 1:
        reason = reason.limited("one step", max(1, reason.wish), "to none only from 1")
    delay_s = _delay_s(settings, direction, target)
    if now_s - pending.since_s + ELAPSED_S >= delay_s:
        return reason, None
    return reason.limited("delay", target, f"{direction.value} for less than {delay_s:g} s"), pending


def _scaled(settings: RuleSettings, running: int, ongoing: float) -> int:
    """The number that would bring each replica to its target, approached by the gain of its direction."""
    # As the original has it, for the sake of its rounding.
    desired = running * (ongoing / (settings.target_ongoing_requests * running))
    missing = desired - running
    gain = settings.upscaling_factor if missing > 0 else settings.downscaling_factor
    wish = ceil(running + gain * missing)
    stuck = ceil(desired) < running and wish == running
    return wish - 1 if stuck else wish


def _delay_s(settings: RuleSettings, direction: Direction, target: int) -> float:
    if direction is Direction.UP:
        return settings.upscale_delay_s
    if target == 1 and settings.downscale_to_zero_delay_s is not None:
        return settings.downscale_to_zero_delay_s
    return settings.downscale_delay_s


def _cold_start(settings: RuleSettings, target: int, ongoing: float) -> Reason:
    """Without delay: no replica runs, and its requests cannot wait for one."""
    if ongoing <= 0:
        return Reason(target, "nothing runs and no requests wait")
    return Reason(max(ceil(settings.upscaling_factor), target), f"{ongoing:.4g} requests wait and nothing runs")


def _after_cold_start(pending: Pending | None, target: int, ongoing: float) -> Pending | None:
    """What is pending stays so, but for a pool that is at rest."""
    return pending if target > 0 or ongoing > 0 else None
