"""A server that answers as it is told, and remembers what it was asked."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from live.transport import Answer, LostError

Reply = Answer | LostError
Asked = tuple[str, str, Mapping[str, str], Any]


@dataclass
class Scripted:
    """`reply` answers what is sent; `watches` are told one after another."""

    reply: Callable[[str, str, Mapping[str, str], Any], Reply]
    watches: list[Sequence[Any]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout_s: float = 10.0,
    ) -> Answer:
        del content_type, timeout_s
        self.asked.append((method, path, dict(query or {}), body))
        reply = self.reply(method, path, query or {}, body)
        if isinstance(reply, LostError):
            raise reply
        return reply

    def stream(self, path: str, query: Mapping[str, str] | None = None, timeout_s: float = 60.0) -> Iterator[Any]:
        del timeout_s
        self.asked.append(("WATCH", path, dict(query or {}), None))
        for event in self.watches.pop(0):
            if isinstance(event, LostError):
                raise event
            yield event

    @property
    def sent(self) -> list[str]:
        """Methods, in order."""
        return [method for method, *_ in self.asked]


@dataclass
class Hand:
    """A clock that is moved by hand."""

    time_s: float = 0.0
    wall_s: float = 1_000_000.0

    def now_s(self) -> float:
        return self.wall_s + self.time_s

    def monotonic_s(self) -> float:
        return self.time_s

    def wait(self, seconds: float) -> bool:
        self.time_s += seconds
        return True
