"""What the cluster has, kept up to date by list and watch: the targets' objects, and the pods behind each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from live.clock import Clock
from live.kube import ApiError, KubeApi, Object, Ref, Resource
from live.replicas import Counts, Pod, count, pod_of
from live.transport import LostError

WATCH_S = 30.0
"""A watch lasts no longer: its end is a sign of life where nothing happens."""
RETRY_S = 1.0
LONGEST_RETRY_S = 30.0


class GoneError(Exception):
    """The watch cannot go on from where it was: list anew."""


@dataclass(slots=True)
class Reflector:
    """The objects of one resource in a namespace, by name.

    `step` is one list or one watch. `heard_s` is when the server last said how things are, by the steady clock.
    """

    kube: KubeApi
    resource: Resource
    clock: Clock
    watch_s: float = WATCH_S
    changed: Callable[[str, Object | None], None] = field(default=lambda _name, _body: None)
    """Told of every object as it comes, changes, or goes (None)."""
    objects: dict[str, Object] = field(default_factory=dict)
    heard_s: float | None = None
    error: str | None = None
    """Why the last step failed; None where it did not."""
    failures: int = 0
    """Steps that failed one after another."""
    _version: str | None = None

    def step(self) -> bool:
        """List, or watch on from the last event. False where the API could not be read, as `error` says."""
        try:
            if self._version is None:
                self._list()
            else:
                self._watch(self._version)
        except (ApiError, LostError) as error:
            self.error, self.failures = str(error), self.failures + 1
            return False
        except GoneError as error:
            self._version, self.error = None, str(error)
            return True
        self.error, self.failures = None, 0
        return True

    def run(self) -> None:
        """Step until the clock stops; the longer the API does not answer, the slower."""
        while self.clock.wait(self.pause_s):
            self.step()

    @property
    def pause_s(self) -> float:
        """How long to wait before the next step."""
        return min(RETRY_S * 2.0 ** min(self.failures - 1, 10), LONGEST_RETRY_S) if self.failures else 0.0

    def age_s(self) -> float | None:
        """Time since the server last said how things are; None where it never did."""
        return None if self.heard_s is None else self.clock.monotonic_s() - self.heard_s

    def _list(self) -> None:
        found, version = self.kube.list(self.resource)
        now = {body["metadata"]["name"]: body for body in found}
        for name in self.objects.keys() - now.keys():
            self._put(name, None)
        for name, body in now.items():
            self._put(name, body)
        self._version = version or None
        self.heard_s = self.clock.monotonic_s()

    def _watch(self, version: str) -> None:
        for event in self.kube.watch(self.resource, version, self.watch_s):
            self._take(event)
            self.heard_s = self.clock.monotonic_s()
        # Ended by the server and not lost, so all that had happened by then was told.
        self.heard_s = self.clock.monotonic_s()

    def _take(self, event: Mapping[str, Any]) -> None:
        kind, body = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            code = int(body.get("code") or 0)
            if code in (410, 504):
                raise GoneError(f"watch of {self.resource}: {code} {body.get('reason')}")
            raise ApiError(code, str(body.get("reason") or "Unknown"), str(body.get("message") or ""))
        meta = body["metadata"]
        self._version = meta.get("resourceVersion", self._version)
        if kind != "BOOKMARK":
            self._put(meta["name"], None if kind == "DELETED" else body)

    def _put(self, name: str, body: Object | None) -> None:
        if body is None:
            self.objects.pop(name, None)
        else:
            self.objects[name] = body
        self.changed(name, body)


class Informer:
    """All targets and their pods. Reading is cheap and safe from any thread; `step`, or `run`, keeps it up to date."""

    def __init__(self, kube: KubeApi, targets: Mapping[str, Ref], clock: Clock, max_age_s: float) -> None:
        """`targets` gives each pool the object whose replicas it is.

        What was heard longer than `max_age_s` ago is not told any more.
        """
        self._kube, self._clock, self._max_age_s = kube, clock, max_age_s
        self._refs = dict(targets)
        self._lock = Lock()
        watch_s = min(WATCH_S, max_age_s / 2)
        self._targets: dict[Resource, Reflector] = {}
        self._pods: dict[str, Reflector] = {}
        self._owned: dict[str, PodsOf] = {}
        for ref in self._refs.values():
            resource, namespace = ref.resource, ref.resource.namespace or ""
            if namespace not in self._pods:
                self._owned[namespace] = PodsOf(self._lock)
                pods = Resource("v1", "pods", namespace)
                self._pods[namespace] = Reflector(kube, pods, clock, watch_s, self._owned[namespace].take)
            if resource not in self._targets:
                self._targets[resource] = Reflector(kube, resource, clock, watch_s, self._learner(resource))
        self._pool_of = {(ref.resource, ref.name): pool for pool, ref in self._refs.items()}

    @property
    def reflectors(self) -> Sequence[Reflector]:
        """Each may be stepped by a thread of its own; targets before pods, whose owners they say."""
        return (*self._targets.values(), *self._pods.values())

    def step(self) -> None:
        """One list or watch of everything, one after another."""
        for reflector in self.reflectors:
            reflector.step()

    @property
    def synced(self) -> bool:
        """Whether everything has been listed once."""
        return all(reflector.heard_s is not None for reflector in self.reflectors)

    @property
    def problems(self) -> Mapping[str, str]:
        """Resource -> why it could not be read last time."""
        return {f"{r.resource} in {r.resource.namespace}": r.error for r in self.reflectors if r.failures and r.error}

    def target(self, pool: str) -> Object | None:
        """The target's object; None where it is not there, or nothing was heard of it for too long."""
        ref = self._refs[pool]
        reflector = self._targets[ref.resource]
        return reflector.objects.get(ref.name) if self._fresh(reflector) else None

    def wanted(self, pool: str) -> int | None:
        """Replicas that the target's object asks for; None where unknown."""
        body = self.target(pool)
        if body is None:
            return None
        wanted = (body.get("spec") or {}).get("replicas")
        # The built-in kinds have it always; of another kind the scale subresource may know a different field.
        return int(wanted) if wanted is not None else self._scaled(pool)

    def pods(self, pool: str) -> Sequence[Pod] | None:
        """Without those that have ended; None where unknown."""
        namespace, body = self._refs[pool].resource.namespace or "", self.target(pool)
        if body is None or not self._fresh(self._pods[namespace]):
            return None
        owned = self._owned[namespace]
        if (found := owned.of(pool)) is None and (selector := self._selector(pool, body)) is not None:
            # It could not be read when the object came.
            owned.select(pool, selector)
            found = owned.of(pool)
        return found

    def counts(self, pool: str) -> Counts | None:
        pods = self.pods(pool)
        return None if pods is None else count(pods)

    def pools_of_pods(self) -> Mapping[str, Sequence[str]]:
        """Name of a pod -> pools that have, or had of late, a pod of that name."""
        found: dict[str, list[str]] = {}
        for owned in self._owned.values():
            for name, pool in owned.pools():
                found.setdefault(name, []).append(pool)
        return found

    def _scaled(self, pool: str) -> int | None:
        try:
            return self._kube.scale(self._refs[pool]).wanted
        except (ApiError, LostError):
            return None

    def _fresh(self, reflector: Reflector) -> bool:
        age_s = reflector.age_s()
        return age_s is not None and age_s <= self._max_age_s

    def _learner(self, resource: Resource) -> Callable[[str, Object | None], None]:
        def learn(name: str, body: Object | None) -> None:
            pool = self._pool_of.get((resource, name))
            if pool is None:
                return
            selector = None if body is None else self._selector(pool, body)
            # A selector that could not be read stays as it was: pods that nobody counts would look like none.
            if body is None or selector is not None:
                self._owned[resource.namespace or ""].select(pool, selector)

        return learn

    def _selector(self, pool: str, body: Object) -> "Selector | None":
        given = (body.get("spec") or {}).get("selector")
        if isinstance(given, dict) and (given.keys() & {"matchLabels", "matchExpressions"}):
            return Selector.of_spec(given)
        # Kinds of others say it through their scale subresource only.
        text = (body.get("status") or {}).get("selector") or (body.get("status") or {}).get("labelSelector")
        if not isinstance(text, str):
            try:
                text = self._kube.scale(self._refs[pool]).selector
            except (ApiError, LostError):
                return None
        return Selector.of_text(text) if text else None


Requirement = tuple[str, str, frozenset[str]]
"""Label, operator (In, NotIn, Exists, DoesNotExist), values."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Which pods are meant, by their labels."""

    requirements: tuple[Requirement, ...]

    @classmethod
    def of_spec(cls, spec: Mapping[str, Any]) -> "Selector":
        """From `matchLabels` and `matchExpressions`."""
        equal = [(k, "In", frozenset({v})) for k, v in (spec.get("matchLabels") or {}).items()]
        others = [
            (e["key"], e["operator"], frozenset(e.get("values") or ())) for e in spec.get("matchExpressions") or ()
        ]
        return cls((*equal, *others))

    @classmethod
    def of_text(cls, text: str) -> "Selector":
        """From a selector as scale subresources write it, such as `app=x,tier in (a,b),!old`."""
        return cls(tuple(_requirement(part.strip()) for part in _parts(text) if part.strip()))

    @property
    def demanded(self) -> tuple[str, str] | None:
        """One label that a pod must have, with its value; None where there is no such demand."""
        equal = ((label, *values) for label, sign, values in self.requirements if sign == "In" and len(values) == 1)
        return next(((label, value) for label, value in equal), None)

    def matches(self, labels: Mapping[str, str]) -> bool:
        return bool(self.requirements) and all(_holds(r, labels) for r in self.requirements)


def _parts(text: str) -> Iterator[str]:
    """At commas outside of parentheses."""
    depth, start = 0, 0
    for i, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            yield text[start:i]
            start = i + 1
    yield text[start:]


def _requirement(part: str) -> Requirement:
    for sign, operator in (("!=", "NotIn"), ("==", "In"), ("=", "In")):
        if sign in part:
            label, _, value = part.partition(sign)
            return label.strip(), operator, frozenset({value.strip()})
    if "(" in part:
        head, _, values = part.rstrip(")").partition("(")
        label, operator = head.split()
        return label, {"in": "In", "notin": "NotIn"}[operator], frozenset(v.strip() for v in values.split(","))
    return part.lstrip("!").strip(), "DoesNotExist" if part.startswith("!") else "Exists", frozenset()


def _holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    label, operator, values = requirement
    if operator == "In":
        return labels.get(label) in values
    if operator == "NotIn":
        return labels.get(label) not in values
    return (label in labels) == (operator == "Exists")


class PodsOf:
    """The pods of one namespace, by the pool whose selector they match."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._selectors: dict[str, Selector] = {}
        self._likely: dict[tuple[str, str] | None, list[str]] = {}
        """A label that a selector demands -> pools; None -> those that demand none."""
        self._labels: dict[str, Mapping[str, str]] = {}
        self._pods: dict[str, dict[str, Pod]] = {}
        self._pool: dict[str, str] = {}
        """Name of a pod -> its pool, empty for nobody's."""

    def select(self, pool: str, selector: Selector | None) -> None:
        """Which pods are this pool's from now on; unknown where None."""
        with self._lock:
            if self._selectors.get(pool) == selector:
                return
            self._selectors.pop(pool, None)
            if selector is not None:
                self._selectors[pool] = selector
            self._likely = {}
            for name, each in self._selectors.items():
                self._likely.setdefault(each.demanded, []).append(name)
            pods = [pod for of_pool in self._pods.values() for pod in of_pool.values()]
            self._pods.clear()
            for pod in pods:
                self._place(pod)

    def take(self, name: str, body: Object | None) -> None:
        """A pod that came, changed, or went."""
        pod = None if body is None else pod_of(body)
        with self._lock:
            self._pods.get(self._pool.pop(name, ""), {}).pop(name, None)
            if body is None or pod is None:
                self._labels.pop(name, None)
                return
            self._labels[name] = body["metadata"].get("labels") or {}
            self._place(pod)

    def of(self, pool: str) -> Sequence[Pod] | None:
        with self._lock:
            return tuple(self._pods.get(pool, {}).values()) if pool in self._selectors else None

    def pools(self) -> Sequence[tuple[str, str]]:
        """Name of a pod, and its pool."""
        with self._lock:
            return [(name, pool) for name, pool in self._pool.items() if pool]

    def _place(self, pod: Pod) -> None:
        labels = self._labels[pod.name]
        likely = (pool for item in (*labels.items(), None) for pool in self._likely.get(item, ()))
        pool = next((pool for pool in likely if self._selectors[pool].matches(labels)), "")
        self._pods.setdefault(pool, {})[pod.name] = pod
        self._pool[pod.name] = pool
