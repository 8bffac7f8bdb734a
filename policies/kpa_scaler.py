"""Knative's autoscaler as arithmetic: how many replicas for a metric over a stable window and over a panic window."""

from dataclasses import dataclass
from math import ceil, floor

from policies.decision import Reason
from policies.kpa_windows import RecentMaximum

TICK_S = 2.0
"""Time between decisions of the original; its scale-down delay counts in steps of this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalerSettings:
    """Rates and thresholds are ratios to the replicas that are ready, 1 where none is.

    `target` and `capacity` are of one replica, in the unit of the metric: what it should bear, and what it can.
    """

    target: float
    capacity: float
    stable_window_s: float = 60.0
    panic_threshold: float = 2.0
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    activation_scale: int = 1
    scale_down_delay_s: float = 0.0
    target_burst_capacity: float = 211.0
    reachable: bool = True
    """Whether requests are routed to the replicas; if not, they may go at any rate, without delay."""


@dataclass(frozen=True, slots=True)
class Verdict:
    reason: Reason
    excess_burst_capacity: int
    """Requests that could come at once beyond the burst to be borne; negative where there is no room for that burst,
    -1 where it is unlimited. Only told, not acted on."""

    @property
    def desired(self) -> int:
        return self.reason.final


class Scaler:
    """One autoscaler of one pool (Knative serving, `pkg/autoscaler/scaling`).

    Laws: while it panics it never asks for fewer replicas; it panics until a stable window has passed without the
    panic metric being over the threshold; and it starts in panic where more than one replica is ready, since what it
    saw before it started is lost.
    """

    def __init__(self, settings: ScalerSettings, ready: int, now_s: float) -> None:
        self.settings = settings
        self.panic_since_s: float | None = now_s if ready > 1 else None
        """When the panic metric was last over the threshold; None when it does not panic."""
        self.panic_peak = ready
        """The most replicas asked for in this panic."""
        delay_s = settings.scale_down_delay_s
        self._recent = RecentMaximum(delay_s, TICK_S) if delay_s > 0 else None

    def scale(self, now_s: float, ready: int, stable: float, panic: float) -> Verdict:
        """Decide for the metric's mean over the stable and over the panic window."""
        s = self.settings
        current = max(1, ready)
        wishes = (ceil(stable / s.target), ceil(panic / s.target))
        self._panic_or_calm(wishes[1] / current >= s.panic_threshold, now_s)
        reason = self._limited(
            Reason(wishes[0], f"{stable:.4g} stable and {panic:.4g} panic / {s.target:.4g}"), current
        )
        if self.panic_since_s is not None:
            reason = self._in_panic(reason, self._limited(Reason(wishes[1], ""), current).final)
        if self._recent is not None and s.reachable:
            longest = self._recent.record(now_s, reason.final)
            reason = reason.limited("scale-down delay", longest, f"the most of the last {s.scale_down_delay_s:g} s")
        return Verdict(reason, self._excess(ready, panic))

    def _limited(self, wish: Reason, current: int) -> Reason:
        """A wish within the rates of change, and no smaller than a pool that has anything to do may be."""
        s = self.settings
        most = ceil(s.max_scale_up_rate * current)
        least = floor(current / s.max_scale_down_rate) if s.reachable else 0
        limited = wish.limited("rate", min(max(wish.wish, least), most), f"{least} to {most} for {current} ready")
        if wish.wish > 0 and s.activation_scale > max(1, limited.final):
            limited = limited.limited("activation", s.activation_scale, f"at least {s.activation_scale}, or none")
        return limited

    def _panic_or_calm(self, over: bool, now_s: float) -> None:
        if over:
            self.panic_since_s = now_s
        elif self.panic_since_s is not None and self.panic_since_s + self.settings.stable_window_s < now_s:
            self.panic_since_s = None
            self.panic_peak = 0

    def _in_panic(self, stable: Reason, panic: int) -> Reason:
        more = stable.limited("panic", max(stable.final, panic), "wish of the panic window")
        self.panic_peak = max(self.panic_peak, more.final)
        return more.limited("panic", self.panic_peak, "no fewer while it panics")

    def _excess(self, ready: int, panic: float) -> int:
        burst = self.settings.target_burst_capacity
        if burst <= 0:
            return 0 if burst == 0 else -1
        return floor(ready * self.settings.capacity - burst - panic)
