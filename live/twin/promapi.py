"""A fake Prometheus: instant queries over a small store of series."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from live.transport import Answer
from live.twin.evaluated import Instant, Value
from live.twin.promql import QueryError
from live.twin.request import Request
from live.twin.series import SeriesStore, written

JSON = {"content-type": "application/json"}


@dataclass(slots=True)
class FakePrometheus:
    """A `Service`."""

    now_s: Callable[[], float]
    series: SeriesStore = field(default_factory=SeriesStore)
    behind_s: float = 0.0
    """Samples of so long ago and less have not come in."""

    def verb(self, request: Request) -> str:
        return "query" if request.path.endswith("/query") else "get"

    def answer(self, request: Request) -> Answer:
        if request.path in ("/-/healthy", "/-/ready"):
            return Answer(200, "Prometheus Server is Ready.\n", {"content-type": "text/plain"})
        if request.path == "/api/v1/status/buildinfo":
            return Answer(200, {"status": "success", "data": {"version": "3.0.0"}}, JSON)
        if request.path != "/api/v1/query":
            return Answer(404, "404 page not found\n", {"content-type": "text/plain"})
        return self._queried(request)

    def watch(self, request: Request) -> Answer:
        return self.answer(request)

    def _queried(self, request: Request) -> Answer:
        asked = _asked(request)
        try:
            time_s = _time_s(asked["time"]) if asked.get("time") else self.now_s()
            value = Instant(self.series, time_s, self.behind_s).query(asked.get("query", ""))
        except (QueryError, ValueError) as wrong:
            message = f'invalid parameter "query": {wrong}'
            return Answer(400, {"status": "error", "errorType": "bad_data", "error": message}, JSON)
        return Answer(200, {"status": "success", "data": _data(value, time_s)}, JSON)


def _asked(request: Request) -> dict[str, str]:
    """The parameters, of which a POST has some in its body, as a form."""
    body = request.body
    form = dict(parse_qsl(body)) if isinstance(body, str) else body if isinstance(body, dict) else {}
    return {**form, **request.query}


def _time_s(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text).timestamp()


def _data(value: Value, time_s: float) -> dict[str, Any]:
    if isinstance(value, list):
        result = [{"metric": dict(s.labels), "value": [round(time_s, 3), written(s.value)]} for s in value]
        return {"resultType": "vector", "result": result}
    if isinstance(value, float):
        return {"resultType": "scalar", "result": [round(time_s, 3), written(value)]}
    return {"resultType": "string", "result": [round(time_s, 3), value]}
