"""The cluster twin: an API, its controllers and a kubelet, the requests that come, and a Prometheus that looks on."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import inf
from threading import RLock
from typing import Any
from zlib import crc32

import numpy as np

from live.twin import pods
from live.twin.api import FakeApi
from live.twin.clock import VirtualClock
from live.twin.controllers import Controllers
from live.twin.exporter import Style, exposition, scrape
from live.twin.faults import Weather
from live.twin.front import DirectTransport, Front, TwinClock
from live.twin.kinds import NAMESPACES, PODS, Kind
from live.twin.load import Queue, Workload, gamma
from live.twin.objects import Writer, key_of
from live.twin.pods import Trouble
from live.twin.promapi import FakePrometheus
from live.twin.rights import Users
from live.twin.store import Change, Key, Object

SCHEDULING_S = 0.5
LAG_S = 0.05
"""From a write to a controller's noticing."""
RETRY_S = 5.0
"""How often what is stuck is tried again."""
SWEEP_S = 600.0
"""How long a series that ended is remembered."""
PULL_SHARE = 0.3
"""Of a start-up, the part before the process runs."""


@dataclass(slots=True)
class Twin:
    """All of it, on one clock. Nothing moves until somebody looks: then all that was due happens, in order.

    `nodes` is how many pods find room; `generator` is the one source of chance.
    """

    clock: TwinClock = field(default_factory=VirtualClock)
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    minor: int = 30
    custom: tuple[Kind, ...] = ()
    users: Users = field(default_factory=Users)
    weather: Weather = field(default_factory=Weather)
    queries: Weather = field(default_factory=Weather)
    """The weather between the daemon and Prometheus."""
    scrape_s: float = 15.0
    styles: tuple[Style, ...] = ("generic",)
    nodes: float = inf
    scraping: bool = True
    """Where not, no sample comes in, and nothing is told to be gone."""
    api: FakeApi = field(init=False)
    prometheus: FakePrometheus = field(init=False)
    kubernetes: Front = field(init=False)
    metrics: Front = field(init=False)
    loads: dict[Key, Queue] = field(default_factory=dict)
    trouble: dict[Key, Trouble] = field(default_factory=dict)
    _controllers: Controllers = field(init=False)
    _now_s: float = field(init=False)
    _began_s: float = field(init=False)
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)
    _noticed: int = 0
    _woken: set[Key] = field(default_factory=set)
    _draining: set[Key] = field(default_factory=set)
    _startups: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._now_s = self._began_s = self.clock.true_s()
        self.api = FakeApi(self._time, self.minor, self.custom, self.users)
        self.prometheus = FakePrometheus(self._time)
        self._controllers = Controllers(self.api.objects, tuple(self.custom), self._start, self._end)
        (self._startups,) = self.generator.spawn(1)
        lock, later = RLock(), getattr(self.clock, "later", None)
        self.kubernetes = Front(self.api, self.clock, self.weather, self.advance, later, lock)
        self.metrics = Front(self.prometheus, self.clock, self.queries, self.advance, later, lock)
        self._after(SWEEP_S, self._sweep)

    def transport(self, token: str | None = None) -> DirectTransport:
        """To the Kubernetes API."""
        return DirectTransport(self.kubernetes, token)

    def prometheus_transport(self) -> DirectTransport:
        return DirectTransport(self.metrics)

    def add(self, workload: Workload) -> Key:
        """Deploy it, with its first replicas ready and its requests coming."""
        if not self.api.store.get(Key(NAMESPACES.resource, "", workload.namespace)):
            self.api.objects.create(NAMESPACES, "", {"metadata": {"name": workload.namespace}}, Writer("deployer"))
        kind = next(kind for kind in self.api.served if kind.name == workload.kind)
        key = Key(kind.resource, workload.namespace, workload.name)
        arrivals, services = self.generator.spawn(2)
        shifted = partial(_since, workload.rate_per_s, self._began_s)
        queue = Queue(_with_rate(workload, shifted), arrivals, services)
        self.loads[key] = queue
        queue.begin(self._now_s)
        queue.on_idle = partial(self._idle, key)
        self.deploy(workload)
        self._controllers.reconcile(kind, key)
        for pod in self.pods_of(key):
            self._become_ready(key, key_of(PODS, pod), pod["metadata"]["uid"], warm=True)
        self._controllers.reconcile(kind, key)
        self._noticed = self.api.store.version
        self._after(self.scrape_s * _offset(key), partial(self._scrape, key))
        return key

    def deploy(self, workload: Workload) -> Object:
        """Make its object in the API, as somebody with kubectl would."""
        kind = next(kind for kind in self.api.served if kind.name == workload.kind)
        return self.api.objects.create(kind, workload.namespace, manifest(workload, kind), Writer("kubectl"))

    def pods_of(self, key: Key) -> list[Object]:
        return self._controllers.found(key)

    def wanted(self, key: Key) -> int | None:
        found = self.api.store.get(key)
        return None if found is None else found["spec"].get("replicas")

    def at(self, elapsed_s: float, call: Callable[[], None]) -> None:
        """Do it when the twin is so old."""
        self._at(self._began_s + elapsed_s, call)

    def meddle(self, key: Key, replicas: int, who: str = "kubectl") -> None:
        """Somebody else scales it, by a patch of the object itself."""
        kind = next(kind for kind in self.api.served if kind.resource == key.resource)
        before = self.api.objects.read(kind, key.namespace, key.name)
        given = {**before, "spec": {**before["spec"], "replicas": replicas}}
        self.api.objects.replace(kind, before, given, Writer(who))

    def afflict(self, key: Key, trouble: Trouble | None) -> None:
        """New pods of an owner get stuck so; by None those that are stuck go on at their next attempt."""
        if trouble is None:
            self.trouble.pop(key, None)
        else:
            self.trouble[key] = trouble

    def reset_counters(self, key: Key) -> None:
        """The processes in all its pods begin to count anew."""
        self._served(key).reset()

    def compact(self) -> None:
        """Let the API forget what was before now."""
        self._notice()
        self.api.store.compact()

    def advance(self, now_s: float) -> None:
        """Everything that was due until then."""
        self._notice()
        while (next_s := min(self._next_due_s(), self._next_idle_s())) <= now_s:
            self._now_s = max(self._now_s, next_s)
            for key in sorted(self._draining):
                self.loads[key].advance(self._now_s)
            if self._next_due_s() <= self._now_s:
                heappop(self._due)[2]()
            self._notice()
        self._now_s = max(self._now_s, now_s)

    def _next_due_s(self) -> float:
        return self._due[0][0] if self._due else inf

    def _next_idle_s(self) -> float:
        """When a pod that is to end may have served its last. All other queues wait until somebody looks at them."""
        return min((self.loads[key].next_s() for key in self._draining), default=inf)

    def _time(self) -> float:
        return self._now_s

    def _at(self, when_s: float, call: Callable[[], None]) -> None:
        heappush(self._due, (when_s, next(self._order), call))

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        self._at(self._now_s + seconds, call)

    def _served(self, owner: Key) -> Queue:
        """The queue of a workload, as of now."""
        queue = self.loads[owner]
        queue.advance(self._now_s)
        return queue

    def _notice(self) -> None:
        """Wake the controllers of what was written."""
        store = self.api.store
        if self._noticed == store.version:
            return
        for change in list(store.since(max(self._noticed, store.compacted))):
            owner: Key | None = change.key
            if change.key.resource == PODS.resource:
                owner = self._pod_noticed(change)
            if owner is not None and self._looked_after(owner) and owner not in self._woken:
                self._woken.add(owner)
                self._after(LAG_S, partial(self._reconcile, owner))
        self._noticed = store.version

    def _pod_noticed(self, change: Change) -> Key | None:
        """The owner of a pod that changed."""
        owner = self._controllers.owner_of(change.key)
        if change.act == "delete" and owner is not None:
            self._gone(owner, change.key)
        elif change.before is not None and pods.ending(change.after) and not pods.ending(change.before):
            self._finish(owner, change.after)
        return owner

    def _looked_after(self, owner: Key) -> bool:
        """A custom kind has a controller only where a workload of it was added."""
        kind = self._controllers.kind_of(owner.resource)
        return kind is not None and (not kind.custom or owner in self.loads)

    def _reconcile(self, owner: Key) -> None:
        self._woken.discard(owner)
        kind = self._controllers.kind_of(owner.resource)
        assert kind is not None
        self._controllers.reconcile(kind, owner)

    def _start(self, owner: Key, pod: Object) -> None:
        if owner in self.loads:
            self._after(SCHEDULING_S, partial(self._schedule, owner, key_of(PODS, pod), pod["metadata"]["uid"]))

    def _alive(self, key: Key, uid: str) -> Object | None:
        pod = self.api.store.get(key)
        return pod if pod is not None and pod["metadata"]["uid"] == uid and not pods.ending(pod) else None

    def _schedule(self, owner: Key, key: Key, uid: str) -> None:
        pod = self._alive(key, uid)
        if pod is None or "nodeName" in pod["spec"]:
            return
        if self.trouble.get(owner) == "Unschedulable" or self._placed() >= self.nodes:
            if not pod["status"].get("conditions"):
                self._put(key, pods.unschedulable(pod, self.api.objects.stamp()))
            self._after(RETRY_S, partial(self._schedule, owner, key, uid))
            return
        self._put(key, pods.scheduled(pod, "node-1", self.api.objects.stamp()))
        workload = self.loads[owner].workload
        startup_s = max(gamma(self._startups, workload.startup_s, workload.startup_scv) - SCHEDULING_S, 0.0)
        self._after(PULL_SHARE * startup_s, partial(self._pull, owner, key, uid, (1 - PULL_SHARE) * startup_s))

    def _placed(self) -> int:
        return sum("nodeName" in pod["spec"] for pod in self.api.store.all(PODS.resource)) if self.nodes < inf else 0

    def _pull(self, owner: Key, key: Key, uid: str, left_s: float) -> None:
        pod = self._alive(key, uid)
        if pod is None:
            return
        if self.trouble.get(owner) in ("ErrImagePull", "ImagePullBackOff"):
            self._put(key, pods.waiting(pod, "ImagePullBackOff"))
            self._after(RETRY_S, partial(self._pull, owner, key, uid, left_s))
            return
        self._put(key, pods.running(pod, self.api.objects.stamp()))
        self._after(left_s, partial(self._become_ready, owner, key, uid))

    def _become_ready(self, owner: Key, key: Key, uid: str, restarts: int = 0, warm: bool = False) -> None:
        pod = self._alive(key, uid)
        if pod is None:
            return
        time = self.api.objects.stamp()
        if warm:
            pod = pods.running(pods.scheduled(pod, "node-1", time), time)
        elif self.trouble.get(owner) == "CrashLoopBackOff":
            self._put(key, pods.waiting(pod, "CrashLoopBackOff", restarts + 1))
            self._after(RETRY_S, partial(self._become_ready, owner, key, uid, restarts + 1))
            return
        self._put(key, pods.ready(pod if restarts == 0 else pods.running(pod, time), time))
        self._served(owner).open(key.name)

    def _end(self, pod: Object) -> None:
        if "nodeName" in pod["spec"]:
            self.api.objects.end_pod(PODS, pod)
        else:
            self.api.store.delete(key_of(PODS, pod))

    def _finish(self, owner: Key | None, pod: Object) -> None:
        """Let a pod that is to end finish what it serves, as long as its grace lasts."""
        key, grace_s = key_of(PODS, pod), LAG_S
        if owner in self.loads and self._served(owner).drain(key.name):
            self._draining.add(owner)
            grace_s = pod["metadata"]["deletionGracePeriodSeconds"]
        self._after(grace_s, partial(self._remove, key, pod["metadata"]["uid"]))

    def _idle(self, owner: Key, name: str) -> None:
        key = Key(PODS.resource, owner.namespace, name)
        pod = self.api.store.get(key)
        if pod is not None and pods.ending(pod):
            self._after(LAG_S, partial(self._remove, key, pod["metadata"]["uid"]))

    def _remove(self, key: Key, uid: str) -> None:
        pod = self.api.store.get(key)
        if pod is not None and pod["metadata"]["uid"] == uid:
            self.api.store.delete(key)

    def _gone(self, owner: Key, key: Key) -> None:
        self._controllers.forget(owner, key)
        if owner in self.loads:
            queue = self._served(owner)
            queue.close(key.name)
            if not any(server.draining for server in queue.servers.values()):
                self._draining.discard(owner)
            self.prometheus.series.end({"namespace": key.namespace, "pod": key.name}, self._now_s)

    def _put(self, key: Key, pod: Object) -> None:
        self.api.store.put(key, pod)

    def exposition(self) -> str:
        """What all pods' exporters show together, now."""
        with self.metrics.lock:
            self.advance(self.clock.true_s())
            return "".join(exposition(self._served(owner), self.styles) for owner in self.loads)

    def _scrape(self, owner: Key) -> None:
        if self.scraping:
            scrape(self.prometheus.series, self._served(owner), self.styles, self._now_s)
        self._after(self.scrape_s, partial(self._scrape, owner))

    def _sweep(self) -> None:
        self.prometheus.series.forget(self._now_s - SWEEP_S)
        self._after(SWEEP_S, self._sweep)


def _offset(key: Key) -> float:
    """Prometheus spreads its targets over the interval by their hash."""
    return crc32(key.name.encode()) % 1000 / 1000


def _since(rate: Callable[[float], float], began_s: float, now_s: float) -> float:
    return rate(now_s - began_s)


def _with_rate(workload: Workload, rate: Callable[[float], float]) -> Workload:
    return replace(workload, rate_per_s=rate)


def manifest(workload: Workload, kind: Kind) -> Object:
    """What its owner would apply."""
    labels = {"app": workload.name}
    body: Object = {
        "apiVersion": kind.group_version,
        "kind": kind.name,
        "metadata": {"name": workload.name, "labels": labels},
    }
    if kind.custom:
        return body | {"spec": {"replicas": workload.replicas}}
    containers = [{"name": "model", "image": f"registry.invalid/{workload.name}:1"}]
    inside = {"containers": containers, "terminationGracePeriodSeconds": int(workload.grace_s)}
    template = {"metadata": {"labels": labels}, "spec": inside}
    spec: dict[str, Any] = {"replicas": workload.replicas, "selector": {"matchLabels": labels}, "template": template}
    return body | {"spec": spec | ({"serviceName": workload.name} if kind.name == "StatefulSet" else {})}
