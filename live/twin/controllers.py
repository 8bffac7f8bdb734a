"""The controllers of the twin: they make and end pods until there are as many as their owner wants."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from live.twin import pods
from live.twin.kinds import DEPLOYMENTS, PODS, REPLICA_SETS, STATEFUL_SETS, Kind
from live.twin.objects import Objects, Writer, key_of
from live.twin.store import Key, Object

MANAGER = Writer("kube-controller-manager")


@dataclass(slots=True)
class Controllers:
    """`started` is told of a new pod and whose it is, `ended` of one that is to go: the kubelet's part."""

    objects: Objects
    custom: tuple[Kind, ...]
    started: Callable[[Key, Object], None]
    ended: Callable[[Object], None]
    _pods: dict[Key, set[Key]] = field(default_factory=dict)
    """Owner that is scaled -> its pods."""
    _owner: dict[Key, Key] = field(default_factory=dict)

    def kind_of(self, resource: str) -> Kind | None:
        """The kind whose objects are looked after; None for all else."""
        scaled = (DEPLOYMENTS, STATEFUL_SETS, *(kind for kind in self.custom if kind.scale))
        return next((kind for kind in scaled if kind.resource == resource), None)

    def reconcile(self, kind: Kind, key: Key) -> None:
        """One step towards what is wanted; the owner may be gone."""
        owner = self.objects.store.get(key)
        found = self.found(key)
        if owner is None:
            self._orphaned(kind, key, found)
            return
        wanted = (owner.get("spec") or {}).get("replicas")
        alive = [pod for pod in found if not pods.ending(pod)]
        if wanted is not None:
            if kind is STATEFUL_SETS:
                self._in_order(owner, key, alive, wanted)
            else:
                self._in_any_order(kind, owner, key, alive, wanted)
        self._report(kind, key)

    def forget(self, owner: Key, pod: Key) -> None:
        """A pod is gone."""
        self._pods.get(owner, set()).discard(pod)
        self._owner.pop(pod, None)

    def owner_of(self, pod: Key) -> Key | None:
        return self._owner.get(pod)

    def found(self, owner: Key) -> list[Object]:
        """Its pods, those that are ending too."""
        store = self.objects.store
        return [value for key in sorted(self._pods.get(owner, ())) if (value := store.get(key)) is not None]

    def _orphaned(self, kind: Kind, key: Key, found: list[Object]) -> None:
        for pod in found:
            self._end(pod)
        if kind is DEPLOYMENTS:
            for replica_set in self.objects.store.all(REPLICA_SETS.resource, key.namespace):
                if replica_set["metadata"]["ownerReferences"][0]["name"] == key.name:
                    self.objects.store.delete(key_of(REPLICA_SETS, replica_set))

    def _in_any_order(self, kind: Kind, owner: Object, key: Key, alive: list[Object], wanted: int) -> None:
        above = self._replica_set(owner, key) if kind is DEPLOYMENTS else owner
        labels = _labels(kind, owner, above)
        # A pod of an owner of that name before this one does not count.
        mine = [pod for pod in alive if pod["metadata"]["ownerReferences"][0]["uid"] == above["metadata"]["uid"]]
        for pod in alive:
            if pod not in mine:
                self._end(pod)
        for _ in range(wanted - len(mine)):
            self._make(key, f"{above['metadata']['name']}-{self.objects.suffix()}", above, labels, _template(owner))
        # Those that are not ready go first, then the youngest.
        mine.sort(key=lambda pod: (pods.is_ready(pod), -int(pod["metadata"]["annotations"]["twin/number"])))
        for pod in mine[: max(len(mine) - wanted, 0)]:
            self._end(pod)

    def _in_order(self, owner: Object, key: Key, alive: list[Object], wanted: int) -> None:
        """One after the other, unless it is told to manage its pods in parallel."""
        at_once = owner["spec"].get("podManagementPolicy") == "Parallel"
        present = {pod["metadata"]["name"]: pod for pod in alive}
        there = self._pods.get(key, set())
        for i in range(wanted):
            name = f"{key.name}-{i}"
            if name not in present:
                if Key(PODS.resource, key.namespace, name) not in there:
                    self._make(key, name, owner, _labels(STATEFUL_SETS, owner, owner), _template(owner))
                if not at_once:
                    return
            elif not at_once and not pods.is_ready(present[name]):
                return
        extra = [pod for pod in alive if int(pod["metadata"]["name"].rpartition("-")[2]) >= wanted]
        extra.sort(key=lambda pod: -int(pod["metadata"]["name"].rpartition("-")[2]))
        for pod in extra if at_once else extra[:1]:
            self._end(pod)

    def _make(self, owner: Key, name: str, above: Object, labels: Mapping[str, str], template: Object) -> None:
        pod = pods.fresh(name, above, labels, template)
        number = str(self.objects.store.version)
        pod["metadata"]["annotations"] = {"twin/number": number}
        made = self.objects.create(PODS, owner.namespace, pod, MANAGER)
        self._pods.setdefault(owner, set()).add(key_of(PODS, made))
        self._owner[key_of(PODS, made)] = owner
        self.started(owner, made)

    def _end(self, pod: Object) -> None:
        if not pods.ending(pod):
            self.ended(pod)

    def _replica_set(self, owner: Object, key: Key) -> Object:
        number = f"{crc32(repr(_template(owner)).encode()):08x}"
        name = f"{key.name}-{number}"
        known = self.objects.store.get(Key(REPLICA_SETS.resource, key.namespace, name))
        wanted = owner["spec"]["replicas"]
        uid = owner["metadata"]["uid"]
        if known is None or known["metadata"]["ownerReferences"][0]["uid"] != uid:
            if known is not None:
                self.objects.store.delete(key_of(REPLICA_SETS, known))
            return self.objects.create(REPLICA_SETS, key.namespace, _set_of(owner, name, number), MANAGER)
        if known["spec"]["replicas"] != wanted:
            return self.objects.store.put(
                key_of(REPLICA_SETS, known), {**known, "spec": {**known["spec"], "replicas": wanted}}
            )
        return known

    def _report(self, kind: Kind, key: Key) -> None:
        """Write the status, where it changed."""
        owner = self.objects.store.get(key)
        if owner is None:
            return
        alive = [pod for pod in self.found(key) if not pods.ending(pod)]
        is_ready = sum(map(pods.is_ready, alive))
        status: dict[str, Any] = {"replicas": len(alive), "readyReplicas": is_ready}
        if kind.custom:
            status["selector"] = ",".join(f"{k}={v}" for k, v in sorted(_labels(kind, owner, owner).items()))
        else:
            status |= {"availableReplicas": is_ready, "updatedReplicas": len(alive)}
            status |= {"unavailableReplicas": max(owner["spec"]["replicas"] - is_ready, 0)}
            status["observedGeneration"] = owner["metadata"]["generation"]
        # The real ones leave nothing out but zeros.
        status = {name: value for name, value in status.items() if value}
        if status != owner.get("status", {}):
            self.objects.store.put(key, {**owner, "status": status})


def _template(owner: Object) -> Object:
    containers = {"spec": {"containers": [{"name": "model", "image": "registry.invalid/model:1"}]}}
    return (owner.get("spec") or {}).get("template") or containers


def _labels(kind: Kind, owner: Object, above: Object) -> dict[str, str]:
    """Of the pods."""
    if kind.custom:
        return {kind.name.lower(): owner["metadata"]["name"]}
    labels = dict(_template(owner).get("metadata", {}).get("labels", {}))
    if above is not owner:
        labels["pod-template-hash"] = above["metadata"]["labels"]["pod-template-hash"]
    return labels


def _set_of(owner: Object, name: str, number: str) -> Object:
    """The ReplicaSet of a Deployment."""
    meta = owner["metadata"]
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": meta["name"], "uid": meta["uid"]}
    labels = {**_template(owner)["metadata"]["labels"], "pod-template-hash": number}
    template = {**_template(owner), "metadata": {"labels": labels}}
    references = [{**reference, "controller": True, "blockOwnerDeletion": True}]
    spec = {"replicas": owner["spec"]["replicas"], "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "labels": labels, "ownerReferences": references}, "spec": spec}
