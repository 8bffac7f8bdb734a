"""Who else sets the replicas of a target: autoscalers, from which the daemon keeps off, and other field managers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from live.clock import Clock
from live.kube import FIELD_MANAGER, ApiError, KubeApi, Object, Ref, Resource
from live.transport import LostError

REFRESH_S = 60.0
KNOWN_S = 600.0
"""What a list said holds for so long where it cannot be read again; then nobody knows."""

_KINDS = {
    "horizontalpodautoscalers": (
        "HorizontalPodAutoscaler",
        ("autoscaling/v2", "autoscaling/v2beta2", "autoscaling/v1"),
    ),
    "scaledobjects": ("ScaledObject", ("keda.sh/v1alpha1",)),
}
"""Plural -> kind, and the versions in which it may be served, the best first."""


@dataclass(slots=True)
class Owners:
    """Autoscalers on the targets, read again every `REFRESH_S`.

    What it tells is safe to read from any thread. A list that was never read says nothing: that no owner is known
    does not mean that there is none.
    """

    kube: KubeApi
    targets: Mapping[str, Ref]
    clock: Clock
    forbidden_is_none: bool = False
    """Whether kinds that the API forbids to list are taken for absent."""
    foreign: Mapping[str, str] = field(default_factory=dict)
    """Pool -> who else scales it."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """What could not be listed -> why."""
    _lists: dict[tuple[str, str], "Listed"] = field(default_factory=dict)
    """Namespace and plural -> the list that was read last."""

    def step(self) -> None:
        problems: dict[str, str] = {}
        lists = dict(self._lists)
        for namespace, plural in self._kinds():
            try:
                lists[namespace, plural] = self._listed(plural, namespace)
            except (ApiError, LostError) as error:
                problems[f"{plural} in {namespace}"] = str(error)
        self._lists, self.problems = lists, problems
        # The first to be listed is told.
        self.foreign = {pool: who for listed in reversed(lists.values()) for pool, who in listed.scaled.items()}

    @property
    def listed(self) -> bool:
        """Whether every list has been tried once."""
        return bool(self._lists) or bool(self.problems)

    def keeps_off(self, pool: str) -> str | None:
        """Why nothing is to be written to a pool; None where it is known that no other scales it."""
        if (owner := self.foreign.get(pool)) is not None:
            return f"scaled by {owner}; delete that, or take the target out"
        namespace, oldest_s = self.targets[pool].resource.namespace or "", self.clock.monotonic_s() - KNOWN_S
        lists = {plural: self._lists.get((namespace, plural)) for plural in _KINDS}
        unseen = [plural for plural, listed in lists.items() if listed is None or listed.read_s < oldest_s]
        if unseen:
            return f"it is unknown whether another scales it: {', '.join(unseen)} in {namespace} could not be listed"
        return None

    def run(self) -> None:
        """Step until the clock stops."""
        self.step()
        while self.clock.wait(REFRESH_S):
            self.step()

    def _kinds(self) -> Iterator[tuple[str, str]]:
        for namespace in sorted({ref.resource.namespace or "" for ref in self.targets.values()}):
            yield from ((namespace, plural) for plural in _KINDS)

    def _listed(self, plural: str, namespace: str) -> "Listed":
        """From the first version that the server has; nothing where it has none, as before KEDA is installed."""
        asked_s = self.clock.monotonic_s()
        kind, versions = _KINDS[plural]
        for version in versions:
            try:
                scalers = self.kube.list(Resource(version, plural, namespace))[0]
            except ApiError as error:
                if error.status == 403 and self.forbidden_is_none:
                    break
                if error.status != 404:
                    raise
            else:
                return Listed(asked_s, dict(self._of_ours(kind, namespace, scalers)))
        return Listed(asked_s, {})

    def _of_ours(self, kind: str, namespace: str, scalers: Sequence[Object]) -> Iterator[tuple[str, str]]:
        pools = {(ref.resource.namespace, ref.kind, ref.name): pool for pool, ref in self.targets.items()}
        for key, name in _scaled(scalers):
            if (pool := pools.get((namespace, *key))) is not None:
                yield pool, f"{kind} {namespace}/{name}"


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list said, and when it was asked for."""

    read_s: float
    scaled: Mapping[str, str]
    """Pool -> who scales it."""


def _scaled(scalers: Sequence[Object]) -> Iterator[tuple[tuple[str, str], str]]:
    """Kind and name of what is scaled, and the name of what scales it."""
    for body in scalers:
        target = (body.get("spec") or {}).get("scaleTargetRef") or {}
        yield (target.get("kind") or "Deployment", target.get("name", "")), body["metadata"]["name"]


def managers(body: Object) -> Sequence[str]:
    """Who else has set `spec.replicas` of an object; by server-side apply, as GitOps tools do, they set it again."""
    found = []
    for entry in body["metadata"].get("managedFields") or ():
        fields = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        if "f:replicas" in fields and entry.get("manager") != FIELD_MANAGER:
            found.append(f"{entry.get('manager')} ({entry.get('operation')})")
    return found
