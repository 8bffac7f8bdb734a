"""Who wrote which field: `managedFields`, as far as is needed to tell owners of a field."""

from typing import Any

Object = dict[str, Any]
Fields = dict[str, Any]

_OWN = {"creationTimestamp", "generation", "managedFields", "name", "namespace", "resourceVersion", "selfLink", "uid"}


def recorded(before: Object | None, after: Object, manager: str, subresource: str, time: str) -> Object:
    """`after`, with what changed since `before` in the manager's name; others lose the fields that they had written."""
    changed = _changed(before or {}, after)
    if not changed:
        return after
    kept = []
    mine: Fields = changed
    for entry in after["metadata"].get("managedFields", ()):
        if (entry["manager"], entry.get("subresource", "")) == (manager, subresource):
            mine = _union(entry["fieldsV1"], changed)
        elif fields := _without(entry["fieldsV1"], changed):
            kept.append({**entry, "fieldsV1": fields})
    entry = {"manager": manager, "operation": "Update", "apiVersion": after["apiVersion"], "time": time}
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": mine} | ({"subresource": subresource} if subresource else {})
    return {**after, "metadata": {**after["metadata"], "managedFields": [*kept, entry]}}


def _changed(before: Object, after: Object) -> Fields:
    return _difference(_written_by_people(before), _written_by_people(after))


def _written_by_people(value: Object) -> Object:
    """All but what the server itself keeps."""
    parts = {key: item for key, item in value.items() if key not in ("apiVersion", "kind", "metadata")}
    if metadata := {key: item for key, item in value.get("metadata", {}).items() if key not in _OWN}:
        parts["metadata"] = metadata
    return parts


def _difference(before: Any, after: Any) -> Fields:
    """The leaves of `after` that differ; lists and empty maps are leaves."""
    fields: Fields = {}
    for key, item in after.items():
        old = before.get(key) if isinstance(before, dict) else None
        if isinstance(item, dict) and item:
            if inner := _difference(old, item):
                fields[f"f:{key}"] = inner
        elif old != item or not isinstance(before, dict) or key not in before:
            fields[f"f:{key}"] = {}
    return fields


def _union(one: Fields, other: Fields) -> Fields:
    return {key: _union(one.get(key, {}), other.get(key, {})) for key in (*one, *(k for k in other if k not in one))}


def _without(fields: Fields, taken: Fields) -> Fields:
    result = {}
    for key, inner in fields.items():
        if key not in taken:
            result[key] = inner
        elif inner and (left := _without(inner, taken[key])):
            result[key] = left
    return result
