"""The door of a server of the twin: whatever comes passes the weather first. Also as a transport without a network."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from threading import RLock
from typing import Any, Protocol

from live.transport import Answer, LostError
from live.twin import faults
from live.twin.faults import Effect, Weather
from live.twin.patch import copied
from live.twin.refusals import expired, status
from live.twin.request import Request, Service, Watch
from live.twin.spoiled import spoiled

REASONS = {403: "Forbidden", 409: "Conflict", 422: "Invalid", 429: "TooManyRequests", 500: "InternalError"}


class TwinClock(Protocol):
    """A clock whose true time is known, too."""

    def monotonic_s(self) -> float: ...

    def true_s(self) -> float: ...

    def wait(self, seconds: float) -> bool: ...


def unmoved(now_s: float) -> None:
    """A world in which nothing moves by itself."""


@dataclass(frozen=True, slots=True)
class Front:
    """`advance` brings the world behind the server to a time; `later` makes an appointment, where time is virtual."""

    service: Service
    clock: TwinClock
    weather: Weather = field(default_factory=Weather)
    advance: Callable[[float], None] = unmoved
    later: Callable[[float, Callable[[], None]], None] | None = None
    lock: RLock = field(default_factory=RLock)
    """Shared by all doors of one world."""

    def answer(self, request: Request, timeout_s: float = inf) -> Answer:
        """Raises `LostError`."""
        match self._struck(request):
            case faults.Refused() as refusal:
                return refused(refusal)
            case faults.Lost(done):
                if done:
                    self._done(request)
                raise LostError(f"{request.method} {request.path}: connection reset by peer")
            case faults.Slow(seconds):
                return self._late(request, seconds, timeout_s)
            case effect:
                return self._done(request, effect)

    def watch(self, request: Request) -> "Watch | Answer":
        """Raises `LostError`."""
        match self._struck(request):
            case faults.Refused() as refusal:
                return refused(refusal)
            case faults.Lost():
                raise LostError(f"watch of {request.path}: connection refused")
            case faults.Slow(seconds):
                self.clock.wait(seconds)
            case faults.Gone():
                return Answer(410, expired(0, 1))
            case faults.Cut(after):
                return _CutWatch(self._watched(request), after)
        return self._watched(request)

    def poll(self, watch: Watch) -> list[dict[str, Any]]:
        """What a watch has seen up to now. Raises `LostError` where it is cut."""
        with self.lock:
            self.advance(self.clock.true_s())
            return watch.poll()

    def _watched(self, request: Request) -> "Watch | Answer":
        with self.lock:
            self.advance(self.clock.true_s())
            return self.service.watch(request)

    def _struck(self, request: Request) -> Effect | None:
        with self.lock:
            path = str(request.query.get("query", request.path))
            return self.weather.strike(self.service.verb(request), path, self.clock.monotonic_s())

    def _done(self, request: Request, effect: Effect | None = None) -> Answer:
        with self.lock:
            self.advance(self.clock.true_s())
            answer = spoiled(self.service, request, effect)
            if request.method != "GET":
                # What was written is noticed now, not when somebody looks next.
                self.advance(self.clock.true_s())
            return answer

    def _late(self, request: Request, seconds: float, timeout_s: float) -> Answer:
        if seconds < timeout_s:
            self.clock.wait(seconds)
            return self._done(request)
        if self.later is not None:
            self.later(seconds, lambda: self._forgotten(request))
        self.clock.wait(timeout_s)
        raise LostError(f"{request.method} {request.path}: timed out after {timeout_s:g} s")

    def _forgotten(self, request: Request) -> None:
        """Done for somebody who no longer waits for it."""
        self._done(request)


def _as_status(answer: Answer) -> dict[str, Any]:
    """Not every refusal is told in a Status."""
    return answer.body if isinstance(answer.body, dict) else status(answer.status, None, str(answer.body))


def refused(effect: faults.Refused) -> Answer:
    headers = {"content-type": "application/json"}
    if effect.retry_after_s is not None:
        headers["retry-after"] = str(effect.retry_after_s)
    if effect.status == 429:
        # The real one's own limit on requests in flight answers in text, not with a Status.
        return Answer(429, effect.message + "\n", {**headers, "content-type": "text/plain; charset=utf-8"})
    reason = REASONS.get(effect.status, "ServiceUnavailable")
    return Answer(effect.status, status(effect.status, reason, effect.message), headers)


@dataclass(slots=True)
class _CutWatch:
    """A watch that breaks off."""

    watch: "Watch | Answer"
    left: int
    over: bool = False

    def poll(self) -> list[dict[str, Any]]:
        if self.left <= 0 or isinstance(self.watch, Answer):
            raise LostError("watch: connection reset by peer")
        events = self.watch.poll()[: self.left]
        self.left -= max(len(events), 1)
        return events

    def bookmark(self) -> list[dict[str, Any]]:
        raise LostError("watch: connection reset by peer")


@dataclass(frozen=True, slots=True)
class DirectTransport:
    """A `Transport` to a server in this process, on the server's own time. A watch ends when all is told."""

    front: Front
    token: str | None = None
    agent: str = "poolwright"

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout_s: float = 10.0,
    ) -> Answer:
        asked = {key: str(value) for key, value in (query or {}).items()}
        request = Request(method, path, asked, copied(body), content_type, self.token, self.agent)
        return self.front.answer(request, timeout_s)

    def stream(self, path: str, query: Mapping[str, str] | None = None, timeout_s: float = 60.0) -> Iterator[Any]:
        # It never blocks, so there is nothing to time out.
        del timeout_s
        asked = {"watch": "true"} | {key: str(value) for key, value in (query or {}).items()}
        watch = self.front.watch(Request("GET", path, asked, token=self.token, agent=self.agent))
        if isinstance(watch, Answer):
            yield {"type": "ERROR", "object": _as_status(watch)}
            return
        yield from self.front.poll(watch)
        yield from watch.bookmark()
