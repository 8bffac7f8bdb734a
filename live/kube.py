"""The few calls of the Kubernetes API that the daemon needs, typed, each one request."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from live.config import KINDS, Config, Target
from live.transport import Answer, Transport

MERGE_PATCH = "application/merge-patch+json"
FIELD_MANAGER = "poolwright"
PAGE = 500
"""Objects in one part of a list."""

Object = Mapping[str, Any]


class ApiError(Exception):
    """The API refused: an HTTP status, its one-word reason, and for 429 and 503 perhaps how long to wait."""

    def __init__(self, status: int, reason: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Resource:
    """All objects of one kind in a namespace, such as `apps/v1`, `deployments`; the core group is `v1`."""

    group_version: str
    plural: str
    namespace: str | None

    @property
    def group(self) -> str:
        return self.group_version.rpartition("/")[0]

    @property
    def path(self) -> str:
        root = "/apis/" if self.group else "/api/"
        inside = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{root}{self.group_version}{inside}/{self.plural}"

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


@dataclass(frozen=True, slots=True)
class Ref:
    """One object."""

    resource: Resource
    kind: str
    name: str

    @property
    def path(self) -> str:
        return f"{self.resource.path}/{self.name}"

    def __str__(self) -> str:
        return f"{self.kind} {self.resource.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Scale:
    """What a scale subresource says: replicas wanted, and those there are."""

    wanted: int
    existing: int | None
    resource_version: str
    selector: str | None
    uid: str | None

    @classmethod
    def of(cls, body: Object) -> "Scale":
        meta, status = body["metadata"], body.get("status") or {}
        # A count of zero is left out of the answer.
        wanted = int((body.get("spec") or {}).get("replicas", 0))
        return cls(wanted, status.get("replicas"), meta["resourceVersion"], status.get("selector"), meta.get("uid"))


@dataclass(frozen=True, slots=True)
class Right:
    """A verb on a resource, or on one object of it, that the daemon may need."""

    verb: str
    resource: Resource
    subresource: str = ""
    name: str = ""

    def __str__(self) -> str:
        what = f"{self.resource}/{self.subresource}" if self.subresource else str(self.resource)
        named = f" {self.name!r}" if self.name else ""
        inside = f" in {self.resource.namespace}" if self.resource.namespace else ""
        return f"{self.verb} {what}{named}{inside}"


@dataclass(frozen=True, slots=True)
class KubeApi:
    """Every method raises `ApiError` for a refusal, and `LostError` where no answer came."""

    transport: Transport
    timeout_s: float = 10.0

    def get(self, path: str) -> Any:
        return self._call("GET", path)

    def scale(self, ref: Ref) -> Scale:
        return Scale.of(self._call("GET", f"{ref.path}/scale"))

    def set_replicas(self, ref: Ref, replicas: int, resource_version: str, dry_run: bool = False) -> Scale:
        """Refused with 409 where the object is not as it was at `resource_version`."""
        body = {"metadata": {"resourceVersion": resource_version}, "spec": {"replicas": replicas}}
        return Scale.of(self._call("PATCH", f"{ref.path}/scale", _writing(dry_run), body, MERGE_PATCH))

    def annotate(self, ref: Ref, annotations: Mapping[str, str], dry_run: bool = False) -> None:
        body = {"metadata": {"annotations": dict(annotations)}}
        self._call("PATCH", ref.path, _writing(dry_run), body, MERGE_PATCH)

    def list(self, resource: Resource) -> tuple[list[Object], str]:
        """All objects, in parts, and the resource version from which to watch on."""
        found: list[Object] = []
        query = {"limit": str(PAGE)}
        while True:
            page = self._call("GET", resource.path, query)
            found += page.get("items") or []
            meta = page.get("metadata") or {}
            if not meta.get("continue"):
                return found, str(meta.get("resourceVersion", ""))
            query["continue"] = meta["continue"]

    def watch(self, resource: Resource, resource_version: str, timeout_s: float) -> Iterator[Object]:
        """Events from then on, `{"type": ..., "object": ...}`, until the server ends them after `timeout_s`."""
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(max(1, round(timeout_s))),
        }
        # The server ends the watch; only where it does not is it given up.
        return self.transport.stream(resource.path, query, timeout_s + self.timeout_s)

    def create(self, resource: Resource, body: Object) -> Any:
        return self._call("POST", resource.path, {"fieldManager": FIELD_MANAGER}, body)

    def replace(self, ref: Ref, body: Object) -> Any:
        """Refused with 409 where the body's resource version is not the object's."""
        return self._call("PUT", ref.path, {"fieldManager": FIELD_MANAGER}, body)

    def allowed(self, right: Right) -> bool:
        """Whether the API would let the daemon do this, by SelfSubjectAccessReview."""
        resource = right.resource
        attributes = {
            "verb": right.verb,
            "group": resource.group,
            "resource": resource.plural,
            "subresource": right.subresource,
            "namespace": resource.namespace or "",
            "name": right.name,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        review = self._call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {}, body)
        return bool((review.get("status") or {}).get("allowed"))

    def plural(self, group_version: str, kind: str) -> str | None:
        """The name of a kind in paths, by discovery; None where the server has no such kind."""
        root = "/apis/" if "/" in group_version else "/api/"
        resources = self._call("GET", f"{root}{group_version}").get("resources") or []
        return next((r["name"] for r in resources if r["kind"] == kind and "/" not in r["name"]), None)

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Any:
        answer = self.transport.send(method, path, query, body, content_type, self.timeout_s)
        if not answer.ok:
            raise refusal(answer)
        if not isinstance(answer.body, dict):
            raise ApiError(answer.status, "NotJson", f"{method} {path}: {str(answer.body)[:80]!r}")
        return answer.body


def refusal(answer: Answer) -> ApiError:
    """From a `Status` body, or what else came."""
    status = answer.body if isinstance(answer.body, dict) else {}
    message = str(status.get("message") or answer.body or "no reason given").strip()[:400]
    after = answer.headers.get("retry-after")
    if after is None:
        after = (status.get("details") or {}).get("retryAfterSeconds")
    return ApiError(answer.status, str(status.get("reason") or "Unknown"), message, _seconds(after))


def _seconds(text: Any) -> float | None:
    """None where it is a date, which servers behind proxies may send."""
    try:
        return max(0.0, float(text))
    except (TypeError, ValueError):
        return None


def _writing(dry_run: bool) -> dict[str, str]:
    return {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})


def refs(config: Config, kube: KubeApi) -> dict[str, Ref]:
    """Pool -> the object whose replicas it is; names of kinds that are not built in are asked of the API.

    Raises `ValueError` for a kind that the API does not know, `ApiError` and `LostError`.
    """
    return {target.pool: _ref(config, target, kube) for target in config.targets}


def is_built_in(ref: Ref) -> bool:
    """Whether the object itself says all that the scale subresource would."""
    return (ref.resource.group_version, ref.resource.plural) in KINDS.values()


def _ref(config: Config, target: Target, kube: KubeApi) -> Ref:
    known = KINDS.get(target.kind)
    plural = known[1] if known and target.group_version == known[0] else kube.plural(target.group_version, target.kind)
    if plural is None:
        raise ValueError(f"{target.pool}: the cluster has no kind {target.kind!r} in {target.group_version}")
    return Ref(Resource(target.group_version, plural, config.namespace_of(target)), target.kind, target.name)
