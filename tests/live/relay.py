"""A server before a real Kubernetes API: it passes everything on, but for what the weather does to it on the way."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from live.connect import KubeTransport
from live.transport import Answer, LostError
from live.twin.request import Request, Watch

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
NAMED = re.compile(r"/namespaces/[^/]+/[^/]+/[^/]+")


@dataclass(frozen=True)
class Relay:
    """A `Service` that is another server, for clients whose time goes `speed` times as fast."""

    behind: KubeTransport
    speed: float = 1.0

    def verb(self, request: Request) -> str:
        if request.method != "GET":
            return VERBS[request.method]
        if request.query.get("watch"):
            return "watch"
        return "get" if NAMED.search(request.path) else "list"

    def answer(self, request: Request) -> Answer:
        answer = self.behind.send(request.method, request.path, request.query, request.body, request.content_type)
        return Answer(answer.status, answer.body, {k: v for k, v in answer.headers.items() if k == "retry-after"})

    def watch(self, request: Request) -> "Watch | Answer":
        lasts_s = max(1.0, float(request.query.get("timeoutSeconds") or 60.0) / self.speed)
        query = {**request.query, "timeoutSeconds": str(round(lasts_s))}
        return RelayedWatch(self.behind.stream(request.path, query, lasts_s + 5.0))


@dataclass
class RelayedWatch:
    """Events as they come in, read by a thread of its own."""

    events: Iterator[Any]
    over: bool = False
    _come: SimpleQueue[Any] = field(default_factory=SimpleQueue)

    def __post_init__(self) -> None:
        Thread(target=self._listen, daemon=True).start()

    def poll(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            try:
                event = self._come.get_nowait()
            except Empty:
                return found
            if isinstance(event, LostError):
                raise event
            if event is None:
                self.over = True
                return found
            found.append(event)

    def bookmark(self) -> list[dict[str, Any]]:
        """The server behind says it itself."""
        return []

    def _listen(self) -> None:
        try:
            for event in self.events:
                self._come.put(event)
        except LostError as error:
            self._come.put(error)
        self._come.put(None)
