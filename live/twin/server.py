"""A server of the twin over real HTTP, on loopback."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from live.transport import Answer, LostError
from live.twin.front import Front
from live.twin.request import Request, Watch

POLL_S = 0.02
"""How soon a watch hears of a change, in the machine's time."""


@dataclass(frozen=True, slots=True)
class Served:
    url: str


@contextmanager
def served(front: Front, address: str = "127.0.0.1", port: int = 0) -> Iterator[Served]:
    """A running server; port 0 takes a free one. Watches and connections end with it."""
    server = _Server((address, port), front)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Served(f"http://{address}:{server.server_address[1]}")
    finally:
        server.closing = True
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], front: Front) -> None:
        self.front = front
        self.closing = False
        super().__init__(address, _Exchange)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no fault of ours; all else is told."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Exchange(BaseHTTPRequestHandler):
    """The requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120.0
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: the one who asked knows."""

    def _serve(self) -> None:
        request = self._request()
        try:
            if self.server.front.service.verb(request) == "watch":
                self._stream(self.server.front.watch(request), float(request.query.get("timeoutSeconds") or 1800.0))
            else:
                self._send(self.server.front.answer(request))
        except LostError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _request(self) -> Request:
        split = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = dict(parse_qsl(split.query, keep_blank_values=True))
        content_type = self.headers.get("Content-Type") or "application/json"
        if content_type.startswith("application/x-www-form-urlencoded"):
            query |= dict(parse_qsl(raw.decode()))
        kind, _, token = (self.headers.get("Authorization") or "").partition(" ")
        shown = token if kind.lower() == "bearer" else None
        agent = self.headers.get("User-Agent") or "unknown"
        return Request(self.command, unquote(split.path), query, _parsed(raw), content_type, shown, agent)

    def _send(self, answer: Answer) -> None:
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        raw = text.encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name.title(), value)
        if "content-type" not in answer.headers:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self, watch: Watch | Answer, timeout_s: float) -> None:
        if isinstance(watch, Answer) and watch.status != 410:
            self._send(watch)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if isinstance(watch, Answer):
            self._chunk([{"type": "ERROR", "object": watch.body}])
        else:
            self._follow(watch, timeout_s)
        self.wfile.write(b"0\r\n\r\n")

    def _follow(self, watch: Watch, timeout_s: float) -> None:
        front = self.server.front
        until_s = front.clock.monotonic_s() + timeout_s
        while not watch.over and not self.server.closing and front.clock.monotonic_s() < until_s:
            self._chunk(front.poll(watch))
            time.sleep(POLL_S)
        self._chunk([] if watch.over else watch.bookmark())

    def _chunk(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            raw = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw.decode(errors="replace")
