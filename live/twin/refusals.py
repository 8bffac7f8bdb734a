"""How a Kubernetes API says no: Status bodies in its own words."""

from typing import Any

from live.transport import Answer
from live.twin.kinds import Kind


class RefusedError(Exception):
    """A request that is answered with a failure."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def status(code: int, reason: str | None, message: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
    }
    return body | ({"reason": reason} if reason else {}) | ({"details": details} if details else {}) | {"code": code}


def refused(code: int, reason: str | None, message: str, details: dict[str, Any] | None = None) -> RefusedError:
    return RefusedError(Answer(code, status(code, reason, message, details), {"content-type": "application/json"}))


def about(name: str, group: str, plural: str) -> dict[str, Any]:
    return {"name": name, **({"group": group} if group else {}), "kind": plural}


def page_not_found() -> RefusedError:
    return RefusedError(Answer(404, "404 page not found\n", {"content-type": "text/plain; charset=utf-8"}))


def no_resource() -> RefusedError:
    return refused(404, "NotFound", "the server could not find the requested resource", {})


def bad_request(message: str) -> RefusedError:
    return refused(400, "BadRequest", message)


def unauthorized() -> RefusedError:
    return refused(401, "Unauthorized", "Unauthorized")


def not_found(kind: Kind, name: str, subresource: str = "") -> RefusedError:
    plural = kind.plural + subresource
    qualified = f"{plural}.{kind.group}" if kind.group else plural
    return refused(404, "NotFound", f'{qualified} "{name}" not found', about(name, kind.group, plural))


def exists(kind: Kind, name: str) -> RefusedError:
    details = about(name, kind.group, kind.plural)
    return refused(409, "AlreadyExists", f'{kind.qualified} "{name}" already exists', details)


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(kind: Kind, name: str, why: str = MODIFIED, subresource: str = "") -> RefusedError:
    plural = kind.plural + subresource
    qualified = f"{plural}.{kind.group}" if kind.group else plural
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return refused(409, "Conflict", message, about(name, kind.group, plural))


def invalid(kind: str, group: str, name: str, faults: list[tuple[str, str]]) -> RefusedError:
    """`faults`: field and what is wrong with it."""
    causes = [{"reason": _cause(wrong), "message": wrong, "field": field} for field, wrong in faults]
    told = ", ".join(f"{field}: {wrong}" for field, wrong in faults)
    qualified = f"{kind}.{group}" if group else kind
    message = f'{qualified} "{name}" is invalid: {told if len(faults) == 1 else f"[{told}]"}'
    return refused(422, "Invalid", message, {**about(name, group, kind), "causes": causes})


def _cause(wrong: str) -> str:
    if wrong.startswith("Required"):
        return "FieldValueRequired"
    return "FieldValueNotSupported" if wrong.startswith("Unsupported") else "FieldValueInvalid"


def forbidden(user: str, verb: str, kind: Kind, namespace: str, name: str, subresource: str) -> RefusedError:
    resource = kind.plural + (f"/{subresource}" if subresource else "")
    what = f'{kind.qualified} "{name}"' if name else kind.qualified
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    message = (
        f'{what} is forbidden: User "{user}" cannot {verb} resource "{resource}" in API group "{kind.group}"{where}'
    )
    details = about(name, kind.group, kind.plural) if name else {"group": kind.group, "kind": kind.plural}
    return refused(403, "Forbidden", message, {key: value for key, value in details.items() if value})


def expired(version: int, oldest: int) -> dict[str, Any]:
    return status(410, "Expired", f"too old resource version: {version} ({oldest})")
