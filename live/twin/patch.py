"""The three ways to patch JSON that a Kubernetes API takes. Nothing given is changed."""

from typing import Any

# Kubernetes API reference, "patch merge key" of the lists that the twin's kinds have.
MERGE_KEYS = {
    "conditions": "type",
    "containerStatuses": "name",
    "containers": "name",
    "env": "name",
    "ownerReferences": "uid",
    "ports": "containerPort",
    "volumes": "name",
}


class PatchError(ValueError):
    """The patch cannot be applied to this object."""


def copied(value: Any) -> Any:
    """A deep copy of parsed JSON."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


def merged(value: Any, patch: Any) -> Any:
    """JSON merge patch: RFC 7386."""
    if not isinstance(patch, dict):
        return copied(patch)
    result = dict(value) if isinstance(value, dict) else {}
    for key, item in patch.items():
        if item is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), item)
    return result


def strategic(value: Any, patch: Any) -> Any:
    """As `merged`, but lists of named things are merged by their names; `$patch: delete` and `replace` are known."""
    if not isinstance(patch, dict):
        return copied(patch)
    if patch.get("$patch") == "replace":
        return {key: copied(item) for key, item in patch.items() if key != "$patch"}
    result = dict(value) if isinstance(value, dict) else {}
    for key, item in patch.items():
        if item is None:
            result.pop(key, None)
        elif key in MERGE_KEYS and isinstance(item, list):
            result[key] = _merged_list(result.get(key) or [], item, MERGE_KEYS[key])
        else:
            result[key] = strategic(result.get(key), item)
    return result


def _merged_list(values: list[Any], patches: list[Any], name: str) -> list[Any]:
    result = list(values)
    for patch in patches:
        if name not in patch:
            raise PatchError(f"map: {patch} does not contain declared merge key: {name}")
        at = next((i for i, value in enumerate(result) if value.get(name) == patch[name]), None)
        if patch.get("$patch") == "delete":
            result = [value for value in result if value.get(name) != patch[name]]
        elif at is None:
            result.append(strategic({}, patch))
        else:
            result[at] = strategic(result[at], patch)
    return result


def patched(value: Any, operations: Any) -> Any:
    """JSON patch: RFC 6902. Raises `PatchError` where a path is missing or a test fails."""
    if not isinstance(operations, list):
        raise PatchError("a JSON patch is a list of operations")
    for operation in operations:
        value = _operated(value, operation)
    return value


def _operated(value: Any, operation: dict[str, Any]) -> Any:
    act, path = operation.get("op"), _steps(operation.get("path", ""))
    if act in ("add", "replace"):
        return _set(value, path, copied(operation["value"]), new=act == "add")
    if act == "remove":
        return _removed(value, path)
    if act == "test":
        if _at(value, path) != operation.get("value"):
            raise PatchError(f"testing value {operation['path']} failed")
        return value
    if act in ("move", "copy"):
        source = _steps(operation["from"])
        item = _at(value, source)
        return _set(_removed(value, source) if act == "move" else value, path, copied(item), new=True)
    raise PatchError(f"unexpected kind: {act}")


def _steps(path: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _place(value: Any, step: str, end: bool = False) -> Any:
    """The key or index that a step names. Raises `PatchError` where there is no such place."""
    if isinstance(value, dict):
        return step
    if isinstance(value, list) and (step.isdigit() or (step == "-" and end)):
        place = len(value) if step == "-" else int(step)
        if place < len(value) + end:
            return place
    raise PatchError(f"no place {step!r} in the object")


def _at(value: Any, path: list[str]) -> Any:
    for step in path:
        place = _place(value, step)
        if isinstance(value, dict) and place not in value:
            raise PatchError(f"missing value: {'/'.join(path)}")
        value = value[place]
    return value


def _set(value: Any, path: list[str], item: Any, new: bool) -> Any:
    if not path:
        return item
    place = _place(value, path[0], end=new and len(path) == 1)
    if len(path) > 1 or not new:
        _at(value, path[:1])
    result = value.copy()
    if len(path) > 1:
        result[place] = _set(value[place], path[1:], item, new)
    elif new and isinstance(value, list):
        result.insert(place, item)
    else:
        result[place] = item
    return result


def _removed(value: Any, path: list[str]) -> Any:
    if not path:
        raise PatchError("the whole cannot be removed")
    _at(value, path[:1])
    result, place = value.copy(), _place(value, path[0])
    if len(path) > 1:
        result[place] = _removed(value[place], path[1:])
    else:
        del result[place]
    return result
