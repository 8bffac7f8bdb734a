"""What others may ask the daemon over HTTP: /metrics, /healthz, /readyz, and the status page."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from logging import getLogger
from threading import Thread
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from live import status
from live.board import Board
from live.clock import Clock
from live.tally import Counted
from policies.faults import InputError
from policies.loop import Turn
from policies.observation import PoolReading

LOG = getLogger(__name__)
TURN_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
STATES = ("wanted", "starting", "ready", "draining")
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
Samples: TypeAlias = Iterable[tuple[tuple[str, ...], float]]


class Page(NamedTuple):
    status: int
    content_type: str
    body: bytes


class Pools(Collector):
    """The board as metrics, made when somebody asks: a turn costs nothing more for being watched.

    What is unknown has no sample.
    """

    def __init__(self, board: Board) -> None:
        self.board = board

    def collect(self) -> Iterator[Metric]:
        board = self.board
        yield _gauge("leader", "Whether this daemon may write", [((), float(board.leadership.held))])
        yield _counter("turns", "Turns of the loop", [((), board.turns_total)])
        yield _counter("skipped_ticks", "Ticks left out since a turn took too long", [((), board.skipped_total)])
        yield _counter("errors", "What went wrong, by where it did", _by_one(board.errors_total), "where")
        yield _counter("writes", "Writes of replicas", list(board.writes_total.items()), "pool", "outcome")
        limited = list(board.limited_total.items())
        yield _counter("limited_decisions", "Decisions that a limiter changed", limited, "pool", "by")
        lost = board.journal.lost_total if board.journal else 0
        yield _counter("journal_lost_turns", "Turns that could not be written down", [((), lost)])
        yield from _tallied(board)
        if board.turn is not None:
            yield from _turn(board, board.turn)


def _tallied(board: Board) -> Iterator[Metric]:
    kinds: Mapping[str, Counted] = {"seen": board.tally.seen, "shadow": board.tally.shadow}
    shown = {kind: counted for kind, counted in kinds.items() if kind == "seen" or board.config.mode != "active"}

    def each(value: Callable[[Counted], float]) -> Samples:
        return [((kind,), value(counted)) for kind, counted in shown.items()]

    yield _counter("cost_usd", "Cost of the replicas wanted, in USD", each(lambda c: c.cost_usd), "of")
    if board.config.slo is not None:
        yield _counter("slo_requests", "Requests whose response time is known", each(lambda c: c.requests), "of")
        yield _counter("slo_met_requests", "Of them, within the objective, at least", each(lambda c: c.met), "of")
        most = each(lambda c: c.met_at_most)
        yield _counter("slo_met_requests_at_most", "Of them, within the objective, at most", most, "of")


def _turn(board: Board, turn: Turn) -> Iterator[Metric]:
    readings = turn.observation.pools
    yield _gauge("last_turn_timestamp_seconds", "When the last turn looked", [((), turn.observation.time_s)])
    yield _gauge("last_turn_seconds", "How long the last turn took", [((), board.took_s)])
    yield _gauge("replicas", "Replicas, by state", _replicas(readings), "pool", "state")
    targets = _by_one(turn.decision.targets)
    yield _gauge("target_replicas", "What the policy wants, where it wants anything", targets, "pool")
    yield _gauge("wish_replicas", "What it wished before limits", _wishes(turn), "pool")
    yield _gauge("min_replicas", "Lower bound", _by_one({n: p.at_least for n, p in board.tally.pools.items()}), "pool")
    yield _gauge("max_replicas", "Upper bound", _by_one({n: p.at_most for n, p in board.tally.pools.items()}), "pool")
    told = {name: reading for name, reading in readings.items() if board.has_readings(name, reading)}
    ages = {name: reading.age_s for name, reading in told.items() if reading.age_s is not None}
    yield _gauge("reading_age_seconds", "Age of the reading of requests", _by_one(ages), "pool")
    unread = {name: float(reading.age_s is None) for name, reading in told.items()}
    yield _gauge("unknown_readings", "1 where nothing was ever read of what there is", _by_one(unread), "pool")
    for name in ("queued", "in_service"):
        known = {pool: value for pool, r in readings.items() if (value := getattr(r.total, name)) is not None}
        yield _gauge(f"{name}_requests", f"Requests {name.replace('_', ' ')}, as read", _by_one(known), "pool")


def _replicas(readings: Mapping[str, PoolReading]) -> Samples:
    for pool, reading in readings.items():
        for state in STATES:
            if (number := getattr(reading, state)) is not None:
                yield (pool, state), number


def _wishes(turn: Turn) -> Samples:
    return [((pool,), reason.wish) for pool, reason in turn.decision.reasons.items()]


def _by_one(values: Mapping[str, float]) -> Samples:
    return [((label,), value) for label, value in values.items()]


def _gauge(name: str, words: str, samples: Samples, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(f"poolwright_{name}", words, labels=labels), samples)


def _counter(name: str, words: str, samples: Samples, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(f"poolwright_{name}", words, labels=labels), samples)


def _filled(family: Any, samples: Samples) -> Metric:
    for labels, value in samples:
        family.add_metric(labels, value)
    metric: Metric = family
    return metric


class Telemetry:
    """The pages of one daemon. Each is made from the board as it is when asked for."""

    def __init__(self, board: Board, clock: Clock) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(Pools(board))
        self.turn_seconds = Histogram(
            "poolwright_turn_seconds", "Time that turns took", registry=self.registry, buckets=TURN_BUCKETS_S
        )
        self._pages: Mapping[str, Callable[[str], Page]] = {
            "/": lambda query: Page(200, HTML, status.page(board, clock.now_s(), query == "still").encode()),
            "/metrics": lambda _: Page(200, CONTENT_TYPE_LATEST, generate_latest(self.registry)),
            "/healthz": lambda _: _probe(board.stuck(clock.monotonic_s())),
            "/readyz": lambda _: _probe(board.unready()),
        }

    def page(self, path: str) -> Page:
        split = urlsplit(path)
        made = self._pages.get(split.path)
        if made is None:
            return Page(404, TEXT, f"there is {', '.join(self._pages)}\n".encode())
        return made(split.query)


def _probe(wrong: str | None) -> Page:
    return Page(200, TEXT, b"ok\n") if wrong is None else Page(503, TEXT, f"{wrong}\n".encode())


@contextmanager
def served(pages: Callable[[str], Page], address: str, port: int) -> Iterator[int]:
    """Serve pages for as long as this lasts, at the port given, or at any where that is 0.

    Raises `InputError` where the port cannot be had.
    """
    try:
        server = _Server((address, port), pages)
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        raise InputError(f"telemetry.port: {address}:{port} cannot be had: {words}") from None
    thread = Thread(target=server.serve_forever, name="telemetry", kwargs={"poll_interval": 0.2}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A client that holds its connection open must not keep the daemon from ending.
    block_on_close = False

    def __init__(self, address: tuple[str, int], pages: Callable[[str], Page]) -> None:
        self.pages = pages
        super().__init__(address, _Exchange)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Of clients that go away there is nothing to tell."""
        LOG.debug("request from %s broke off", client_address, exc_info=True)


class _Exchange(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10.0

    def do_GET(self) -> None:
        try:
            page = self.server.pages(self.path)
        except Exception:
            LOG.exception("%s cannot be shown", urlsplit(self.path).path)
            page = Page(500, TEXT, b"cannot be shown; the log says why\n")
        self._send(page)

    do_HEAD = do_GET  # noqa: N815

    def _send(self, page: Page) -> None:
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: probes come every few seconds."""
