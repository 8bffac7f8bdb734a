"""Who else sets the replicas of a target: autoscalers, from which the daemon keeps off, and other field managers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from live.clock import Clock
from live.kube import FIELD_MANAGER, ApiError, KubeApi, Object, Ref, Resource
from live.transport import LostError

REFRESH_S = 60.0

_HPA = ("autoscaling/v2", "autoscaling/v2beta2", "autoscaling/v1")
_KEDA = ("keda.sh/v1alpha1",)
_KINDS = {"horizontalpodautoscalers": "HorizontalPodAutoscaler", "scaledobjects": "ScaledObject"}


@dataclass(slots=True)
class Owners:
    """Autoscalers on the targets, read again every `REFRESH_S`; `foreign` is safe to read from any thread."""

    kube: KubeApi
    targets: Mapping[str, Ref]
    clock: Clock
    foreign: Mapping[str, str] = field(default_factory=dict)
    """Pool -> who else scales it."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """What could not be listed -> why."""

    def step(self) -> None:
        """Where a list cannot be read, what it said before stays."""
        found: dict[str, str] = {}
        problems: dict[str, str] = {}
        pools = {(ref.resource.namespace, ref.kind, ref.name): pool for pool, ref in self.targets.items()}
        for namespace in sorted({ref.resource.namespace or "" for ref in self.targets.values()}):
            for versions, plural in ((_HPA, "horizontalpodautoscalers"), (_KEDA, "scaledobjects")):
                kind = _KINDS[plural]
                try:
                    scalers = self._listed(versions, plural, namespace)
                except (ApiError, LostError) as error:
                    problems[f"{plural} in {namespace}"] = str(error)
                    found |= {p: who for p, who in self.foreign.items() if who.startswith(f"{kind} {namespace}/")}
                    continue
                for key, name in _scaled(scalers):
                    if (pool := pools.get((namespace, *key))) is not None:
                        found.setdefault(pool, f"{kind} {namespace}/{name}")
        self.foreign, self.problems = found, problems

    def run(self) -> None:
        """Step until the clock stops."""
        self.step()
        while self.clock.wait(REFRESH_S):
            self.step()

    def _listed(self, versions: Sequence[str], plural: str, namespace: str) -> Sequence[Object]:
        """From the first version that the server has; nothing where it has none, as before KEDA is installed."""
        for version in versions:
            try:
                return self.kube.list(Resource(version, plural, namespace))[0]
            except ApiError as error:
                if error.status != 404:
                    raise
        return ()


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
