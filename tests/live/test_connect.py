"""Over real HTTP: what a server says comes back as it is, and nothing is ever sent twice."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3

from live.config import Cluster, Prometheus
from live.connect import HttpTransport, KubeTransport, to_kubernetes, to_prometheus
from live.transport import LostError


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, dict[str, str], bytes]]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing."""

    def serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, raw))
        if self.path.startswith("/hang-up"):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if self.path.startswith("/slow"):
            threading.Event().wait(0.5)
        parts = {
            "/watch": b'{"type":"ADDED"}\n{"type":"BOOKMARK"}\n',
            "/cut": b'{"type":"ADDED"}\n{"type":"MOD',
            "/broken": b'{"type":"ADDED"}\n{"type":]}\n',
            "/text": b"plain words",
        }
        body = parts.get(self.path.partition("?")[0], json.dumps({"you": "said"}).encode())
        self.send_response({"/refused": 403, "/later": 429, "/moved": 301}.get(self.path.partition("?")[0], 200))
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "7")
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = serve  # noqa: N815


@contextmanager
def server() -> Iterator[tuple[str, list[Any]]]:
    seen: list[Any] = []
    handler = type("Fresh", (Handler,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}", seen
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture(params=["official client", "plain"])
def world(request: pytest.FixtureRequest) -> Iterator[tuple[Any, list[Any]]]:
    with server() as (url, seen):
        if request.param == "plain":
            pool = urllib3.PoolManager()
            transport: Any = HttpTransport(url, {"X-Scope": "a"}, None, pool)
        else:
            from kubernetes import client

            configuration = client.Configuration(host=url, api_key={"authorization": "Bearer token"})
            transport = KubeTransport(client.ApiClient(configuration))
            pool = transport.client.rest_client.pool_manager
        yield transport, seen
        pool.clear()


def test_an_answer_is_its_status_its_json_and_its_headers_in_lower_case(world: Any) -> None:
    transport, seen = world
    answer = transport.send("PATCH", "/x", {"a": "b c"}, {"n": 1}, "application/merge-patch+json")
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (200, {"you": "said"}, "7")
    ((method, path, headers, raw),) = seen
    assert (method, path, raw) == ("PATCH", "/x?a=b+c", b'{"n": 1}')
    assert headers["content-type"] == "application/merge-patch+json"
    assert headers.get("authorization", "Bearer token") == "Bearer token"


@pytest.mark.parametrize(("path", "status"), [("/refused", 403), ("/later", 429), ("/moved", 301), ("/text", 200)])
def test_no_status_is_raised_followed_or_tried_again(world: Any, path: str, status: int) -> None:
    transport, seen = world
    assert transport.send("PUT", path, body={}).status == status
    assert len(seen) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "POST"])
def test_a_request_whose_answer_is_lost_is_sent_once(world: Any, method: str) -> None:
    transport, seen = world
    with pytest.raises(LostError, match="hang-up"):
        transport.send(method, "/hang-up", body={} if method != "GET" else None)
    assert len(seen) == 1


def test_a_slow_answer_is_lost(world: Any) -> None:
    with pytest.raises(LostError):
        world[0].send("GET", "/slow", timeout_s=0.1)


def test_a_watch_is_its_lines(world: Any) -> None:
    assert list(world[0].stream("/watch")) == [{"type": "ADDED"}, {"type": "BOOKMARK"}]


@pytest.mark.parametrize("path", ["/cut", "/broken"])
def test_a_watch_that_is_cut_short_tells_what_came_and_is_lost(world: Any, path: str) -> None:
    lines = world[0].stream(path)
    assert next(lines) == {"type": "ADDED"}
    with pytest.raises(LostError):
        next(lines)


def test_a_watch_that_is_refused_is_one_error(world: Any) -> None:
    (event,) = world[0].stream("/refused")
    assert event == {"type": "ERROR", "object": {"you": "said"}}


def test_nobody_there_is_lost() -> None:
    with pytest.raises(LostError):
        HttpTransport("http://127.0.0.1:1").send("GET", "/")


def test_a_token_is_read_again_at_every_query(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with server() as (url, seen):
        transport = to_prometheus(Prometheus(url=f"{url}/sub/", bearer_token_file=str(token)))
        for text in ("one\n", "two\n"):
            token.write_text(text)
            transport.send("GET", "/api/v1/query")
        transport.pool.clear()
    assert [(path, headers["authorization"]) for _, path, headers, _ in seen] == [
        ("/sub/api/v1/query", "Bearer one"),
        ("/sub/api/v1/query", "Bearer two"),
    ]


def test_a_file_that_is_not_there_is_said_before_the_first_query(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"prometheus\.ca_file"):
        to_prometheus(Prometheus(url="https://p", ca_file=str(tmp_path / "ca.crt")))
    with pytest.raises(ValueError, match="no access to a cluster"):
        to_kubernetes(Cluster(kubeconfig=str(tmp_path / "none")))
