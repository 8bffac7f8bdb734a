"""The workload: who comes when, bringing how much work; drawn before any engine runs, and the same for all of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.arrivals import Trace as TraceArrivals
from sim.scenario import Model, RequestClass, Scenario, Sticky
from sim.streams import Stream

if TYPE_CHECKING:
    from sim.traces import Trace

Floats = NDArray[np.float64]
Draws = Callable[[int], Floats]

CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Requests of one class, in order of arrival; all arrays have one entry a request.

    `route` in [0, 1) picks a version by weight; `work_s[v]` is the time in a slot should version v (by its place in
    the model) serve it; `version` is the place of the version that a trace names.
    """

    first: int
    """Number of the first of these requests within its class, from 0."""
    arrival_s: Floats
    route: Floats | None
    patience_s: Floats | None
    work_s: Mapping[int, Floats]
    version: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.arrival_s)


class Feed:
    """The requests of one class, read in order of time."""

    def __init__(self, request_class: RequestClass, model: Model, stream: Stream, chunk: int = CHUNK) -> None:
        self._chunk = chunk
        self._first = 0
        self._recorded = _recorded(request_class, model)
        if self._recorded is not None:
            self._times = _replay(self._recorded.arrival_s)
        else:
            self._times = request_class.arrivals.source(stream / "arrivals" / request_class.name)
        self._route = _route_draws(model, stream / "routing" / request_class.name)
        patience = request_class.patience_s
        self._patience = patience.sampler(stream / "patience" / request_class.name) if patience else None
        work = stream / "work" / request_class.name
        self._work = {v: model.versions[v].service.sampler(work / model.versions[v].name) for v in _eligible(model)}
        self._ahead = np.empty(0)

    def until(self, time_s: float) -> Arrivals:
        """All requests that arrive up to and at `time_s` and were not read yet."""
        arrival_s = self._times_until(time_s)
        n = len(arrival_s)
        first, self._first = self._first, self._first + n
        recorded = self._recorded
        patience_s = self._patience(n) if self._patience else None
        work_s = {v: draws(n) for v, draws in self._work.items()}
        version = None
        if recorded is not None:
            rows = slice(first, first + n)
            version = None if recorded.version is None else recorded.version[rows]
            work_s = {v: _where_known(recorded.service_s, rows, drawn) for v, drawn in work_s.items()}
            patience_s = _where_known(recorded.patience_s, rows, patience_s)
        return Arrivals(first, arrival_s, self._route(n) if self._route else None, patience_s, work_s, version)

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
class _Recording:
    """One class's rows of a trace."""

    arrival_s: Floats
    version: NDArray[np.int64] | None
    service_s: Floats | None
    patience_s: Floats | None


def _recorded(request_class: RequestClass, model: Model) -> _Recording | None:
    if not isinstance(request_class.arrivals, TraceArrivals):
        return None
    from sim.traces import read_trace

    return recording(read_trace(request_class.arrivals.file), request_class, model)


def recording(trace: "Trace", request_class: RequestClass, model: Model) -> _Recording:
    raise NotImplementedError


def _replay(times: Floats) -> Draws:
    read = 0

    def draw(n: int) -> Floats:
        nonlocal read
        read, start = read + n, read
        return times[start : start + n]

    return draw


def _eligible(model: Model) -> list[int]:
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
    return lambda n: random(n)


def _hashed(keys: NDArray[np.uint64]) -> Floats:
    """Each key's place in [0, 1), by the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    z = keys + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _where_known(recorded: Floats | None, rows: slice, drawn: Floats | None) -> Floats | None:
    """The trace's own values, and drawn ones where it has none."""
    if recorded is None:
        return drawn
    values = recorded[rows]
    return values if drawn is None else np.where(np.isnan(values), drawn, values)
