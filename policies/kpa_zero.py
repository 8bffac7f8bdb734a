"""When Knative leaves a pool without any replica."""

from enum import Enum

from policies.decision import Reason


class Status(Enum):
    ACTIVATING = "activating"
    """Replicas are wanted, but fewer are ready than it takes to serve."""
    ACTIVE = "active"
    INACTIVE = "inactive"
    """No replica is needed; those that are there stay for a time of grace."""


class LastReplicas:
    """Keeps a pool from dropping to none too soon (Knative serving, `pkg/reconciler/autoscaling/kpa`).

    A pool that was active for less than `active_s` keeps one replica; after that it keeps what it has for `grace_s`
    more; and one that is still starting is not given up. The original may cut the grace short where its activator
    is in the path of requests already.
    """

    def __init__(self, active_s: float, grace_s: float, now_s: float, wanted: int, is_ready: bool) -> None:
        self._active_s = active_s
        self._grace_s = grace_s
        idle = Status.INACTIVE if wanted == 0 else Status.ACTIVATING
        self._status = Status.ACTIVE if is_ready else idle
        self._since_s = now_s

    @property
    def activating(self) -> bool:
        return self._status is Status.ACTIVATING

    def limited(self, reason: Reason, now_s: float, wanted: int, is_ready: bool) -> Reason:
        """The same wish where it is not for zero, or where zero is due; `is_ready` tells whether enough are ready."""
        since_s = now_s - self._since_s
        if reason.final > 0 or self.activating:
            self._become(Status.ACTIVE if is_ready else Status.ACTIVATING, now_s)
            return reason if reason.final > 0 else reason.limited("start-up", wanted, "not ready yet")
        if self._status is Status.ACTIVE and since_s < self._active_s:
            return reason.limited("scale to zero", 1, f"active for less than {self._active_s:g} s")
        if self._status is Status.INACTIVE and since_s >= self._grace_s:
            return reason
        self._become(Status.INACTIVE, now_s)
        return reason.limited("scale to zero", wanted, f"{self._grace_s:g} s of grace")

    def _become(self, status: Status, now_s: float) -> None:
        if status is not self._status:
            self._status, self._since_s = status, now_s
