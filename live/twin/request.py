"""What is asked of a server of the twin, and how a server is to be spoken to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from live.transport import Answer


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    """Parsed JSON, or text where it is none."""
    content_type: str = "application/json"
    token: str | None = None
    """As shown in the Authorization header; without one, one is admin."""
    agent: str = "unknown"


class Watch(Protocol):
    def poll(self) -> list[dict[str, Any]]:
        """The events since the last look."""
        ...

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        ...

    def bookmark(self) -> list[dict[str, Any]]:
        """The event that says how far this watch has come; none where nobody asked for it."""
        ...


class Service(Protocol):
    """A server without its network. One thread at a time."""

    def verb(self, request: Request) -> str:
        """What is done, as Kubernetes names it: get, list, watch, create, update, patch, delete; or query."""
        ...

    def answer(self, request: Request) -> Answer: ...

    def watch(self, request: Request) -> "Watch | Answer":
        """A watch, or the answer that refuses it."""
        ...
