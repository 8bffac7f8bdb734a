"""Leader election on a Lease of the cluster: of several daemons one writes.

The holder counts from the moment before it asked, the others from the moment at which they saw the lease change, so
the holder has always stopped before another begins, whatever their clocks say.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import ceil, inf
from socket import gethostname
from typing import Any
from uuid import uuid4

from live.clock import Clock
from live.config import LeaseSpec
from live.kube import ApiError, KubeApi, Object, Ref, Resource
from live.transport import LostError

RELEASES = 3
"""So often giving the lease up is tried."""


def new_identity() -> str:
    """This process's own: a pod that starts again under its old name is somebody else."""
    return f"{gethostname()}_{uuid4().hex[:8]}"


class KubeLease:
    """Law: no two hold it at a time. `step` asks once; `held` needs no answer from anybody."""

    def __init__(self, kube: KubeApi, spec: LeaseSpec, namespace: str, identity: str, clock: Clock) -> None:
        self.identity = identity
        self.error: str | None = None
        """Why the last step failed; None where it did not, whoever holds the lease."""
        self.holder: str | None = None
        """Who holds it, as last read; None where nobody does."""
        self._kube, self._spec, self._clock = kube, spec, clock
        self._resource = Resource("coordination.k8s.io/v1", "leases", namespace)
        self._ref = Ref(self._resource, "Lease", spec.name)
        self._until_s = -inf
        self._asked: tuple[str, float] | None = None
        """The renewal that was sent last, by what it wrote, and when it was sent."""
        self._seen: tuple[object, float] | None = None
        """The lease as it was read last, and when it became so."""
        self._released = False

    def held(self) -> bool:
        """Whether it is certainly ours, now."""
        return self._clock.monotonic_s() < self._until_s

    @property
    def problems(self) -> Mapping[str, str]:
        return {} if self.error is None else {"lease": self.error}

    def step(self) -> bool:
        """Take the lease where it is free, renew it where it is ours; whether it is held."""
        if self._released:
            return False
        try:
            self._step()
            self.error = None
        except (ApiError, LostError) as error:
            # A conflict says that another was quicker, or that a renewal whose answer was lost took effect: the
            # next step reads which.
            self.error = None if isinstance(error, ApiError) and error.status == 409 else str(error)
        return self.held()

    def run(self) -> None:
        """Step until the clock stops."""
        self.step()
        while self._clock.wait(self._spec.retry_s):
            self.step()

    def release(self) -> None:
        """Let another take it at once. Nothing may be written afterwards."""
        held, self._until_s, self._released = self.held(), -inf, True
        if not held:
            return
        for _ in range(RELEASES):
            try:
                self._give_up()
                return
            except (ApiError, LostError) as error:
                # A renewal that was on its way when the lease was given up.
                self.error = str(error)

    def _give_up(self) -> None:
        lease = self._kube.get(self._ref.path)
        if _holder(lease) == self.identity:
            self._kube.replace(self._ref, _with(lease, {"holderIdentity": "", "leaseDurationSeconds": 1}))
            self.holder = None

    def _step(self) -> None:
        try:
            lease = self._kube.get(self._ref.path)
        except ApiError as error:
            if error.status != 404:
                raise
            self._write(None, self._mine(0))
            return
        self.holder = _holder(lease)
        if self.holder == self.identity:
            self._recognise(lease)
            self._write(lease, {"holderIdentity": self.identity})
        elif self._free(lease):
            transitions = int((lease.get("spec") or {}).get("leaseTransitions") or 0)
            self._write(lease, self._mine(transitions + 1))
        else:
            self._until_s = -inf

    def _free(self, lease: Object) -> bool:
        """Whether nobody holds it, or the holder has been silent for the whole of its time."""
        now_s, state = self._clock.monotonic_s(), (lease["metadata"]["resourceVersion"], repr(lease.get("spec")))
        if self._seen is None or self._seen[0] != state:
            self._seen = (state, now_s)
        duration_s = float((lease.get("spec") or {}).get("leaseDurationSeconds") or self._spec.duration_s)
        return self.holder is None or now_s >= self._seen[1] + duration_s

    def _recognise(self, lease: Object) -> None:
        """Count a renewal whose answer was lost, now that it is seen to have taken effect."""
        if self._asked is not None and (lease.get("spec") or {}).get("renewTime") == self._asked[0]:
            self._until_s = max(self._until_s, self._asked[1] + self._spec.renew_s)

    def _write(self, lease: Object | None, changes: Mapping[str, Any]) -> None:
        sent_s, stamp = self._clock.monotonic_s(), _stamp(self._clock.now_s())
        changes = {**changes, "renewTime": stamp, "leaseDurationSeconds": ceil(self._spec.duration_s)}
        self._asked = (stamp, sent_s)
        if lease is None:
            meta = {"name": self._spec.name, "namespace": self._resource.namespace}
            body = {"apiVersion": self._resource.group_version, "kind": "Lease", "metadata": meta, "spec": changes}
            self._kube.create(self._resource, body)
        else:
            self._kube.replace(self._ref, _with(lease, changes))
        self.holder = self.identity
        if not self._released:
            self._until_s = sent_s + self._spec.renew_s

    def _mine(self, transitions: int) -> dict[str, Any]:
        stamp = _stamp(self._clock.now_s())
        return {"holderIdentity": self.identity, "acquireTime": stamp, "leaseTransitions": transitions}


def _holder(lease: Object) -> str | None:
    return (lease.get("spec") or {}).get("holderIdentity") or None


def _with(lease: Object, changes: Mapping[str, Any]) -> Object:
    """The same lease, at the same resource version, with other values."""
    return {**lease, "spec": {**(lease.get("spec") or {}), **changes}}


def _stamp(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
