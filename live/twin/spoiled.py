"""Answers gone bad: old, empty, cut or half a truth."""

import json
from dataclasses import replace
from typing import Any

from live.transport import Answer
from live.twin import faults
from live.twin.api import FakeApi
from live.twin.faults import Effect
from live.twin.promapi import FakePrometheus
from live.twin.request import Request, Service


def spoiled(service: Service, request: Request, effect: Effect | None) -> Answer:
    """What the server says under that effect; the effects of a watch, and those of another server, do nothing."""
    match effect:
        case faults.Stale(changes) if isinstance(service, FakeApi):
            return _stale(service, request, changes)
        case faults.Gone() if "continue" in request.query:
            service.answer(request)
            return Answer(410, {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410})
        case faults.Truncated():
            return _half(service.answer(request))
        case faults.Failed(status, kind, message):
            return Answer(status, {"status": "error", "errorType": kind, "error": message})
        case faults.Old(by_s) if isinstance(service, FakePrometheus):
            return _old(service, request, by_s)
        case faults.Emptied() | faults.NotNumbers() | faults.Partial():
            return _rewritten(service.answer(request), effect)
    return service.answer(request)


def _stale(service: FakeApi, request: Request, changes: int) -> Answer:
    # Only what is read lags behind; a write is always against the newest state.
    service.stale_by = changes if request.method == "GET" else 0
    try:
        return service.answer(request)
    finally:
        service.stale_by = 0


def _old(service: FakePrometheus, request: Request, by_s: float) -> Answer:
    service.behind_s = by_s
    try:
        return service.answer(request)
    finally:
        service.behind_s = 0.0


def _half(answer: Answer) -> Answer:
    text = json.dumps(answer.body)
    return replace(answer, body=text[: len(text) // 2])


def _rewritten(answer: Answer, effect: Effect) -> Answer:
    if not answer.ok or not isinstance(answer.body, dict) or answer.body.get("data", {}).get("resultType") != "vector":
        return answer
    result: list[dict[str, Any]] = answer.body["data"]["result"]
    body = dict(answer.body)
    match effect:
        case faults.Emptied():
            result = []
        case faults.NotNumbers():
            result = [{**series, "value": [series["value"][0], "NaN"]} for series in result]
        case faults.Partial(warning):
            result, body["warnings"] = result[::2], [warning]
    return replace(answer, body=body | {"data": {"resultType": "vector", "result": result}})
