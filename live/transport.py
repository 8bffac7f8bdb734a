"""The one way out: requests and watches over HTTP, as the Kubernetes API and Prometheus answer them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class LostError(Exception):
    """No answer came: refused, reset, timed out or cut short. What was asked may have taken effect all the same."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said; `body` is parsed JSON, or the text where it is none."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class Transport(Protocol):
    """A server that is spoken to in JSON. It neither repeats a request nor raises for a status."""

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout_s: float = 10.0,
    ) -> Answer:
        """One request and its answer. Raises `LostError`."""
        ...

    def stream(self, path: str, query: Mapping[str, str] | None = None, timeout_s: float = 60.0) -> Iterator[Any]:
        """The JSON lines of a watch, as they come, until the server ends it. Raises `LostError`.

        A server that refuses the watch sends one `{"type": "ERROR", "object": <Status>}`.
        """
        ...
