"""A fake Kubernetes API: the part that a scaler uses, in the real one's words."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from live.transport import Answer
from live.twin import refusals as no
from live.twin.kinds import NAMESPACES, Kind, groups, kinds, resources
from live.twin.objects import NEGATIVE, Objects, Writer, check_same
from live.twin.patch import PatchError, merged, patched, strategic
from live.twin.request import Request, Watch
from live.twin.rights import Users
from live.twin.selectors import Test, by_fields, by_labels
from live.twin.store import Object, Store
from live.twin.watching import StoreWatch, shown

_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]+))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+))?)?"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_REVIEWS = "selfsubjectaccessreviews"
_REVIEW = Kind("authorization.k8s.io", "v1", _REVIEWS, "SelfSubjectAccessReview", namespaced=False)
JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Place:
    """What a path names."""

    kind: Kind
    namespace: str
    """Empty for all, and for what has none."""
    name: str
    sub: str

    @property
    def resource(self) -> str:
        return self.kind.plural + (f"/{self.sub}" if self.sub else "")


@dataclass(slots=True)
class FakeApi:
    """A `Service`. `minor` is the Kubernetes 1.x whose ways it has; `custom` the custom resources installed."""

    now_s: Callable[[], float]
    minor: int = 30
    custom: Iterable[Kind] = ()
    users: Users = field(default_factory=Users)
    store: Store = field(default_factory=Store)
    stale_by: int = 0
    """Lists and gets show the state so many changes ago, as a lagging replica of the server would."""
    objects: Objects = field(init=False)
    served: tuple[Kind, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.objects = Objects(self.store, self.now_s)
        self.served = kinds(self.minor, self.custom)
        for name in ("default", "kube-system"):
            self.objects.create(NAMESPACES, "", {"metadata": {"name": name}}, Writer("kube-apiserver"))

    def verb(self, request: Request) -> str:
        if request.method != "GET":
            return _VERBS.get(request.method, request.method.lower())
        found = _PATH.fullmatch(request.path)
        if found is None or found["name"] or request.path in ("/apis",):
            return "get"
        return "watch" if request.query.get("watch") in ("1", "true") else "list"

    def answer(self, request: Request) -> Answer:
        try:
            body = self._known(request)
            if body is None:
                body = self._done(request)
            code = 201 if request.method == "POST" or (isinstance(body, _Made)) else 200
            return Answer(code, dict(body) if isinstance(body, dict) else body, JSON)
        except no.RefusedError as refused:
            return refused.answer

    def watch(self, request: Request) -> Watch | Answer:
        try:
            place = self._place(request)
            self._authorize(request, place)
            return self._watch(place, request.query)
        except no.RefusedError as refused:
            return refused.answer

    def _known(self, request: Request) -> Any:
        """What everybody may ask; None for all else."""
        if self.users.who(request.token) is None:
            raise no.unauthorized()
        path = request.path.rstrip("/")
        if path in ("/healthz", "/livez", "/readyz"):
            return "ok"
        if path == "/version":
            return {
                "major": "1",
                "minor": str(self.minor),
                "gitVersion": f"v1.{self.minor}.0",
                "platform": "linux/amd64",
            }
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            return groups(self.served)
        if found := re.fullmatch(r"/(?:api|apis)/([^/]+(?:/[^/]+)?)", path):
            return self._discovered(found[1])
        return None

    def _discovered(self, group_version: str) -> Any:
        listed = groups(self.served)["groups"]
        if group := next((group for group in listed if group["name"] == group_version), None):
            return {"kind": "APIGroup", "apiVersion": "v1", **group}
        found = resources(self.served, group_version)
        if found is None:
            raise no.page_not_found()
        return found

    def _place(self, request: Request) -> Place:
        found = _PATH.fullmatch(request.path.rstrip("/"))
        group, version = (found["group"] or "", found["version"]) if found else ("", "")
        if not found or not any(kind.group == group for kind in (*self.served, _REVIEW)):
            raise no.page_not_found()
        kind = next(
            (k for k in (*self.served, _REVIEW) if (k.group, k.version, k.plural) == (group, version, found["plural"])),
            None,
        )
        sub = found["sub"] or ""
        if kind is None or (sub == "scale" and not kind.scale) or (sub == "status" and not kind.status):
            raise no.no_resource()
        if sub not in ("", "scale", "status"):
            raise no.no_resource()
        return Place(kind, found["namespace"] or "", found["name"] or "", sub)

    def _authorize(self, request: Request, place: Place) -> str:
        user, verb = self.users.who(request.token), self.verb(request)
        if user is None:
            raise no.unauthorized()
        if not self.users.may(user, verb, place.kind.group, place.resource, place.namespace, place.name):
            raise no.forbidden(user, verb, place.kind, place.namespace, place.name, place.sub)
        return user

    def _done(self, request: Request) -> Any:
        place = self._place(request)
        if place.kind is _REVIEW:
            return self._reviewed(request)
        self._authorize(request, place)
        match self.verb(request), bool(place.name):
            case "list" | "get", False:
                return self._list(place, request.query)
            case "get", True:
                return self._get(place)
            case "create", False:
                given = _parsed(request.body, place.kind)
                return shown(place.kind, self.objects.create(place.kind, place.namespace, given, _writer(request)))
            case "update" | "patch", True:
                return self._written(place, request)
            case "delete", True:
                return self._deleted(place, request)
        message = "the server does not allow this method on the requested resource"
        raise no.refused(405, "MethodNotAllowed", message, {})

    def _reviewed(self, request: Request) -> Object:
        """The answer of a SelfSubjectAccessReview."""
        user = self.users.who(request.token) or ""
        asked = ((request.body or {}).get("spec") or {}).get("resourceAttributes")
        if asked is None:
            wrong = (
                'Invalid value: "null": exactly one of nonResourceAttributes or resourceAttributes must be specified'
            )
            raise no.invalid("SelfSubjectAccessReview", _REVIEW.group, "", [("spec.resourceAttributes", wrong)])
        resource = asked.get("resource", "") + (f"/{asked['subresource']}" if asked.get("subresource") else "")
        names = (asked.get("namespace", ""), asked.get("name", ""))
        allowed = self.users.may(user, asked.get("verb", ""), asked.get("group", ""), resource, *names)
        return {
            **request.body,
            "kind": _REVIEW.name,
            "apiVersion": _REVIEW.group_version,
            "status": {"allowed": allowed},
        }

    def _get(self, place: Place) -> Object:
        found = self.objects.read(place.kind, place.namespace, place.name, "/scale" if place.sub == "scale" else "")
        if self.stale_by:
            old = self.store.as_of(self.store.version - self.stale_by, place.kind.resource, place.namespace)
            found = next((value for value in old if value["metadata"]["name"] == place.name), found)
        return self._scale(place.kind, found) if place.sub == "scale" else shown(place.kind, found)

    def _scale(self, kind: Kind, value: Object) -> Object:
        """The Scale of an object. Raises `RefusedError` 500 where a custom resource has no spec.replicas."""
        spec, status = value.get("spec") or {}, value.get("status") or {}
        if "replicas" not in spec:
            raise no.refused(
                500, "InternalError", 'Internal error occurred: the spec replicas field ".spec.replicas" does not exist'
            )
        kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        metadata = {key: value["metadata"][key] for key in kept}
        shown_status: Object = {"replicas": status.get("replicas", 0)}
        if selector := _selector(kind, value):
            shown_status["selector"] = selector
        scale = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata}
        return {**scale, "spec": {"replicas": spec["replicas"]}, "status": shown_status}

    def _written(self, place: Place, request: Request) -> Object:
        kind, writer = place.kind, _writer(request)
        if request.method == "PUT" and kind.upsert and self._absent(place):
            given = _parsed(request.body, kind)
            return _Made(shown(kind, self.objects.create(kind, place.namespace, given, writer)))
        before = self.objects.read(kind, place.namespace, place.name)
        if place.sub == "scale":
            return self._scaled(place, before, request)
        given = _applied(kind, before, request)
        return shown(kind, self.objects.replace(kind, before, given, writer, place.sub))

    def _absent(self, place: Place) -> bool:
        return all(
            value["metadata"]["name"] != place.name for value in self.store.all(place.kind.resource, place.namespace)
        )

    def _scaled(self, place: Place, before: Object, request: Request) -> Object:
        scale = self._scale(place.kind, before)
        given = _applied(place.kind, scale, request)
        check_same(place.kind, scale["metadata"], given.get("metadata") or {}, "/scale")
        replicas = (given.get("spec") or {}).get("replicas", 0)
        if not isinstance(replicas, int) or isinstance(replicas, bool):
            raise no.invalid("", "", "", [("patch", f"Invalid value: {replicas!r}: spec.replicas is no integer")])
        if replicas < 0:
            wrong = f"Invalid value: {replicas}: {NEGATIVE}"
            raise no.invalid("Scale", "autoscaling", place.name, [("spec.replicas", wrong)])
        # Until 1.22 nobody noted who wrote through /scale.
        after = self.objects.set_scale(place.kind, before, replicas, _writer(request), tracked=self.minor >= 22)
        return self._scale(place.kind, after)

    def _deleted(self, place: Place, request: Request) -> Object:
        before = self.objects.read(place.kind, place.namespace, place.name)
        options = request.body if isinstance(request.body, dict) else {}
        check_same(place.kind, before["metadata"], options.get("preconditions") or {})
        gone = self.objects.delete(place.kind, before, _writer(request), options.get("gracePeriodSeconds"))
        if place.kind.plural == "pods":
            return shown(place.kind, gone)
        details = no.about(place.name, place.kind.group, place.kind.plural) | {"uid": before["metadata"]["uid"]}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

    def _list(self, place: Place, query: Any) -> Object:
        kind, test = place.kind, _test(place, query)
        version = self.store.version - self.stale_by
        offset = 0
        if token := query.get("continue"):
            version, offset = self._continued(token)
        namespace = place.namespace or None
        listed = self.store.all(kind.resource, namespace)
        if version != self.store.version:
            listed = self.store.as_of(version, kind.resource, namespace)
        found = [value for value in listed if test(value)]
        page = found[offset : offset + int(query.get("limit") or 0) or None]
        metadata: Object = {"resourceVersion": str(version)}
        if left := len(found) - offset - len(page):
            metadata |= {"continue": f"{version}.{offset + len(page)}", "remainingItemCount": left}
        items = [shown(kind, value) for value in page]
        if not kind.custom:
            # The real one leaves both out of the items of its own kinds.
            items = [{key: item for key, item in value.items() if key not in ("kind", "apiVersion")} for value in items]
        return {"kind": f"{kind.name}List", "apiVersion": kind.group_version, "metadata": metadata, "items": items}

    def _continued(self, token: str) -> tuple[int, int]:
        found = re.fullmatch(r"(\d+)\.(\d+)", token)
        if not found:
            raise no.bad_request("continue key is not valid: invalid character")
        if int(found[1]) < self.store.compacted:
            message = "The provided continue parameter is too old to display a consistent list result."
            raise no.refused(410, "Expired", message)
        return int(found[1]), int(found[2])

    def _watch(self, place: Place, query: Any) -> StoreWatch:
        text = query.get("resourceVersion") or "0"
        if not text.isdigit():
            raise no.refused(500, None, f'resourceVersion: Invalid value: "{text}": invalid syntax')
        test, version = _test(place, query), int(text)
        marks, namespace = query.get("allowWatchBookmarks") in ("1", "true"), place.namespace or None
        watch = StoreWatch(self.store, place.kind, namespace, test, version or self.store.version, marks)
        if not version:
            there = [value for value in self.store.all(place.kind.resource, namespace) if test(value)]
            watch.first = [{"type": "ADDED", "object": shown(place.kind, value)} for value in there]
        return watch


class _Made(dict[str, Any]):
    """A body whose object a PUT has made."""


def _writer(request: Request) -> Writer:
    dry = request.query.get("dryRun")
    if dry not in (None, "", "All"):
        options = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}.get(
            request.method, "DeleteOptions"
        )
        wrong = f'Unsupported value: []string{{"{dry}"}}: supported values: "All"'
        raise no.invalid(options, "meta.k8s.io", "", [("dryRun", wrong)])
    return Writer(request.query.get("fieldManager") or request.agent.split("/")[0] or "unknown", dry == "All")


def _parsed(body: Any, kind: Kind) -> Object:
    if not isinstance(body, dict):
        raise no.bad_request(f"the object provided is unrecognized (must be of type {kind.name})")
    return body


def _applied(kind: Kind, value: Object, request: Request) -> Object:
    """The object that a PUT or a PATCH asks for."""
    if request.method == "PUT":
        return _parsed(request.body, kind)
    ways = {"application/merge-patch+json": merged, "application/json-patch+json": patched}
    if not kind.custom:
        ways["application/strategic-merge-patch+json"] = strategic
    apply = ways.get(request.content_type.split(";")[0])
    if apply is None:
        accepted = ", ".join(sorted([*ways, "application/apply-patch+yaml"]))
        message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        raise no.refused(415, "UnsupportedMediaType", message, {})
    if not isinstance(request.body, (dict, list)):
        raise no.bad_request("error decoding patch: invalid character")
    try:
        return _parsed(apply(value, request.body), kind)
    except (PatchError, KeyError) as wrong:
        message = "the server rejected our request due to an error in our request"
        raise no.refused(422, "Invalid", message, {}) from wrong


def _test(place: Place, query: Any) -> Test:
    tests = [by_labels(query["labelSelector"])] if query.get("labelSelector") else []
    if query.get("fieldSelector"):
        tests.append(by_fields(query["fieldSelector"], place.kind.plural))
    return lambda value: all(test(value) for test in tests)


def _selector(kind: Kind, value: Object) -> str:
    """The selector of a Scale, as text."""
    if kind.custom:
        found: Any = value
        for step in filter(None, kind.selector.split(".")):
            found = (found or {}).get(step)
        return str(found) if kind.selector and found else ""
    labels = (value["spec"].get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))
