"""The workload: who comes when, bringing how much work; drawn before any engine runs, and the same for all of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.arrivals import Trace as TraceArrivals
from sim.scenario import Model, Recorded, RequestClass, Scenario, Sticky
from sim.streams import Stream
from sim.traces.file import TraceError

if TYPE_CHECKING:
    from sim.traces import Trace

Floats = NDArray[np.float64]
Draws = Callable[[int], Floats]

CHUNK = 8192


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Requests of one class, in order of arrival; all arrays have one entry a request.

    `route` in [0, 1) picks a version by weight; `work_s[v]` is the time in a slot should version v (by its place in
    the model) serve it; `version` is the place of the version that a trace names; `balance` in [0, 1) picks a replica
    where the model's balancer draws one.
    """

    arrival_s: Floats
    route: Floats | None
    patience_s: Floats | None
    work_s: Mapping[int, Floats]
    version: NDArray[np.int64] | None = None
    balance: Floats | None = None

    def __len__(self) -> int:
        return len(self.arrival_s)


class Feed:
    """The requests of one class, read in order of time."""

    def __init__(self, request_class: RequestClass, model: Model, stream: Stream, chunk: int = CHUNK) -> None:
        self._chunk = chunk
        self._first = 0
        self._recorded = recording(request_class, model)
        self._times = _source(request_class, self._recorded, stream / "arrivals" / request_class.name)
        self._route = _route_draws(model, stream / "routing" / request_class.name)
        self._balance = _balance_draws(model, stream / "balancing" / request_class.name)
        patience = request_class.patience_s
        self._patience = patience.sampler(stream / "patience" / request_class.name) if patience else None
        work = stream / "work" / request_class.name
        self._work = {v: model.versions[v].service.sampler(work / model.versions[v].name) for v in eligible(model)}
        self._ahead = np.empty(0)

    def take(self, n: int) -> Arrivals:
        """The next `n` requests; fewer, and then none, where they end."""
        return self._with_all(self._times(n))

    def until(self, time_s: float) -> Arrivals:
        """All requests that arrive up to and at `time_s` and were not read yet."""
        return self._with_all(self._times_until(time_s))

    def _with_all(self, arrival_s: Floats) -> Arrivals:
        """What else is drawn for the requests that arrive at these times."""
        n = len(arrival_s)
        first, self._first = self._first, self._first + n
        recorded = self._recorded
        patience_s = self._patience(n) if self._patience else None
        work_s = {v: draws(n) for v, draws in self._work.items()}
        version = None
        if recorded is not None:
            rows = np.arange(first, first + n) % len(recorded.arrival_s)
            version = None if recorded.version is None else recorded.version[rows]
            work_s = {v: _known_or(recorded.service_s, rows, drawn) for v, drawn in work_s.items()}
            patience_s = _patience(recorded.patience_s, rows, patience_s)
        route, balance = self._route(n) if self._route else None, self._balance(n) if self._balance else None
        return Arrivals(arrival_s, route, patience_s, work_s, version, balance)

    def _times_until(self, time_s: float) -> Floats:
        parts = [self._ahead]
        while not len(parts[-1]) or parts[-1][-1] <= time_s:
            more = self._times(self._chunk)
            if not len(more):
                break
            parts.append(more)
        times = np.concatenate(parts)
        n = int(np.searchsorted(times, time_s, side="right"))
        self._ahead = times[n:]
        return times[:n]


class Workload:
    """The requests of all classes of a scenario, from one seed."""

    def __init__(self, scenario: Scenario, seed: Stream, chunk: int = CHUNK) -> None:
        self.chunk = chunk
        """So many requests of a class are read at a time."""
        self.feeds = tuple(Feed(c, scenario.model(c.model), seed, chunk) for c in scenario.traffic)

    def until(self, time_s: float) -> tuple[tuple[Arrivals, ...], NDArray[np.int64]]:
        """What arrives up to and at `time_s` and was not read yet: a block for each class, and the order of arrival.

        The order has a row (class, place in its block) for each request; at one instant the classes come in the
        order of the scenario.
        """
        blocks = tuple(feed.until(time_s) for feed in self.feeds)
        times = np.concatenate([block.arrival_s for block in blocks])
        order = np.argsort(times, kind="stable")
        owner = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
        place = np.concatenate([np.arange(len(block)) for block in blocks])
        return blocks, np.column_stack((owner[order], place[order]))


@dataclass(frozen=True, slots=True)
class Recording:
    """One class's rows of a trace: NaN where an amount is unknown; the version as its place in the model."""

    arrival_s: Floats
    version: NDArray[np.int64] | None
    service_s: Floats | None
    patience_s: Floats | None


def recording(request_class: RequestClass, model: Model) -> Recording | None:
    """What a trace recorded of this class; None where its arrivals do not come from a trace.

    Raises `TraceError` for a file that cannot be read, has none of the class's requests, or has requests for a
    version that the model has not.
    """
    arrivals = request_class.arrivals
    if not isinstance(arrivals, TraceArrivals):
        return None
    path = Path(arrivals.file)
    trace = _read(arrivals.file, path.stat().st_mtime_ns if path.exists() else 0)
    rows = _rows(trace, arrivals.only_class, arrivals.file)
    version = _places(trace, model, rows, arrivals.file) if isinstance(model.routing, Recorded) else None
    return Recording(trace.time_s[rows], version, _at(trace.service_s, rows), _at(trace.patience_s, rows))


@lru_cache(maxsize=4)
def _read(file: str, _changed_ns: int) -> "Trace":
    """The requests in a file: read once for all classes and replications, and again when it has changed."""
    from sim.traces import Trace, read_trace

    trace = read_trace(file)
    if not isinstance(trace, Trace):
        raise TraceError(f"{file}: holds {type(trace).__name__}, not requests; make a scenario of it first")
    return trace


def _rows(trace: "Trace", only_class: str | None, file: str) -> NDArray[np.int64]:
    if only_class is None:
        return np.arange(len(trace.time_s))
    names = trace.request_class.names if trace.request_class else ()
    if trace.request_class is None or only_class not in names:
        raise TraceError(
            f"{file}: no request is of class {only_class!r}; classes are {', '.join(names) or 'not named'}"
        )
    return np.flatnonzero(trace.request_class.codes == names.index(only_class))


def _places(trace: "Trace", model: Model, rows: NDArray[np.int64], file: str) -> NDArray[np.int64]:
    """For each row the place of its version in the model."""
    if trace.version is None:
        raise TraceError(f"{file}: has no column that names versions, which routing as recorded needs")
    places = {version.name: i for i, version in enumerate(model.versions)}
    of_code = np.array([places.get(name, -1) for name in trace.version.names] + [-1])
    found = of_code[trace.version.codes[rows]]
    if np.any(found < 0):
        first = trace.version.texts()[rows[np.flatnonzero(found < 0)[0]]]
        known = ", ".join(places)
        raise TraceError(f"{file}: version {first or '(none)'!r} is no version of {model.name!r}; versions are {known}")
    return found


def _at(values: Floats | None, rows: NDArray[np.int64]) -> Floats | None:
    return None if values is None else values[rows]


def _source(request_class: RequestClass, recorded: Recording | None, stream: Stream) -> Draws:
    arrivals = request_class.arrivals
    if isinstance(arrivals, TraceArrivals):
        try:
            return arrivals.replay(recorded.arrival_s if recorded else np.empty(0))
        except ValueError as fault:
            raise TraceError(str(fault)) from fault
    return arrivals.source(stream)


def eligible(model: Model) -> list[int]:
    """Places of the versions that may ever get a request."""
    routing = model.routing
    names = [v.name for v in model.versions]
    if routing is None or routing.kind == "recorded":
        return list(range(len(names)))
    weights = [routing.weights, *routing.by_class.values(), *(shift.weights for shift in routing.shifts)]
    return [i for i, name in enumerate(names) if any(w.get(name, 0) > 0 for w in weights)]


def _route_draws(model: Model, stream: Stream) -> Draws | None:
    if model.routing is None or model.routing.kind == "recorded":
        return None
    random = stream.generator().random
    if isinstance(model.routing, Sticky):
        users = model.routing.users
        return lambda n: _hashed((random(n) * users).astype(np.uint64))
    return random


def _balance_draws(model: Model, stream: Stream) -> Draws | None:
    return stream.generator().random if model.balancer in ("random", "two_choices") else None


def _hashed(keys: NDArray[np.uint64]) -> Floats:
    """Each key's place in [0, 1), by the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    z = keys + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _known_or(recorded: Floats | None, rows: NDArray[np.int64], drawn: Floats) -> Floats:
    """The trace's own values, and drawn ones where it has none."""
    return drawn if recorded is None else np.where(np.isnan(recorded[rows]), drawn, recorded[rows])


def _patience(recorded: Floats | None, rows: NDArray[np.int64], drawn: Floats | None) -> Floats | None:
    unlimited = np.full(len(rows), np.inf)
    return drawn if recorded is None else _known_or(recorded, rows, unlimited if drawn is None else drawn)
