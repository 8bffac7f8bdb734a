"""Label and field selectors, as in a list's query."""

import re
from collections.abc import Callable
from typing import Any

from live.twin.refusals import bad_request

Test = Callable[[dict[str, Any]], bool]

_SET = re.compile(r"(?P<key>[\w./-]+)\s+(?P<act>in|notin)\s*\((?P<values>[^)]*)\)")
_EQUAL = re.compile(r"(?P<key>[\w./-]+)\s*(?P<act>==|=|!=)\s*(?P<value>[\w./:-]*)")
_EXISTS = re.compile(r"(?P<not>!?)\s*(?P<key>[\w./-]+)")
POD_FIELDS = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.phase",
    "status.podIP",
)
EVENT_FIELDS = (
    "involvedObject.kind",
    "involvedObject.name",
    "involvedObject.namespace",
    "involvedObject.uid",
    "reason",
    "type",
)


def by_labels(text: str) -> Test:
    """The test of a label selector. Raises `RefusedError` 400 for one that cannot be read."""
    tests = [_requirement(part.strip()) for part in re.split(r",(?![^(]*\))", text) if part.strip()]
    return lambda value: all(test(value["metadata"].get("labels") or {}) for test in tests)


def _requirement(part: str) -> Test:
    if found := _SET.fullmatch(part):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        inside = found["act"] == "in"
        return lambda labels: (key in labels and labels[key] in values) if inside else labels.get(key) not in values
    if found := _EQUAL.fullmatch(part):
        key, value, same = found["key"], found["value"], found["act"] != "!="
        return lambda labels: (labels.get(key) == value) == same
    if found := _EXISTS.fullmatch(part):
        key, wanted = found["key"], not found["not"]
        return lambda labels: (key in labels) == wanted
    raise bad_request(f"unable to parse requirement: {part}")


def by_fields(text: str, plural: str) -> Test:
    """The test of a field selector. Raises `RefusedError` 400 for a field that cannot be selected by."""
    known = {"metadata.name", "metadata.namespace"} | set({"pods": POD_FIELDS, "events": EVENT_FIELDS}.get(plural, ()))
    tests: list[tuple[list[str], str, bool]] = []
    for part in filter(None, text.split(",")):
        found = _EQUAL.fullmatch(part)
        if not found or found["key"] not in known:
            raise bad_request(f'"{found["key"] if found else part}" is not a known field selector')
        tests.append((found["key"].split("."), found["value"], found["act"] != "!="))
    return lambda value: all((_text_at(value, path) == wanted) == same for path, wanted, same in tests)


def _text_at(value: Any, path: list[str]) -> str:
    for step in path:
        value = (value or {}).get(step)
    return "" if value is None else str(value)
