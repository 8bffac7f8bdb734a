"""What queueing theory says of a scenario, pool by pool, where a formula applies: a second opinion on the simulator."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

from policies.fixed import FixedSpec
from policies.queues import GGC, NonPreemptive, PriorityClass, ProcessorSharing
from policies.queues.erlang import MMC, ErlangA
from policies.queues.losses import MMCD, MMCK
from sim.arrivals import Poisson, Renewal, Trace
from sim.scenario import Model, RequestClass, Scenario, Version
from sim.service import Constant, Exponential


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The long-run means of one pool, or of one request class that comes to no other.

    `wait_s` is of all who enter the queue, `response_s` of those served.
    """

    pool: str
    queue: str
    """Kendall's notation."""
    exact: bool
    rate_per_s: float
    utilization: float
    wait_s: float | None
    response_s: float | None
    note: str = ""
    request_class: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Part:
    """What of one class arrives at one pool."""

    request_class: RequestClass
    rate_per_s: float
    share: float
    """Of the class's requests."""


@dataclass(frozen=True, slots=True)
class _Station:
    """What one line of a pool gets, and what serves it; `lines` of them are alike."""

    pool: str
    model: Model
    version: Version
    parts: tuple[_Part, ...]
    arrivals: str
    """In Kendall's notation."""
    arrival_scv: float
    servers: int
    room: int | None
    lines: int = 1

    @property
    def rate_per_s(self) -> float:
        """Of one line."""
        return sum(part.rate_per_s for part in self.parts) / self.lines

    @property
    def service_s(self) -> float:
        return self.version.service.mean_s

    @property
    def utilization(self) -> float:
        return self.rate_per_s * self.service_s / self.servers

    @property
    def service(self) -> str:
        """In Kendall's notation."""
        match self.version.service:
            case Exponential():
                return "M"
            case Constant():
                return "D"
            case _:
                return "G"

    def named(self, queue: str) -> str:
        return queue if self.lines == 1 else f"{self.lines} x {queue}"

    def says(
        self,
        queue: str,
        wait_s: float | None,
        response_s: float | None,
        note: str = "",
        *,
        exact: bool = True,
        utilization: float | None = None,
    ) -> Prediction:
        return Prediction(
            pool=self.pool,
            queue=self.named(queue),
            exact=exact,
            rate_per_s=self.rate_per_s * self.lines,
            utilization=self.utilization if utilization is None else utilization,
            wait_s=wait_s,
            response_s=response_s,
            note=note,
        )


ANY_ORDER = ("fcfs", "lcfs", "edf", "priority", "mcq", "gq")
"""Disciplines that do not look at the work to come: how many there are, and so the mean wait, is the same for all."""

APPROXIMATE = "an approximation, off by 10 % and more in known cases"


def predictions(scenario: Scenario) -> list[Prediction]:
    """One for each pool that a formula describes, and for its classes where they differ by priority.

    It takes a steady load and a fixed number of replicas.
    """
    if not scenario.stationary or not isinstance(scenario.policy, FixedSpec):
        return []
    stations = (_station(scenario, model, version) for model in scenario.models for version in model.versions)
    return [said for station in stations if station is not None for said in _predict(station)]


def _predict(station: _Station) -> Iterator[Prediction]:
    limited = station.room is not None or any(part.request_class.patience_s for part in station.parts)
    if station.model.queue == "ps":
        said = _shared(station) if not any(part.request_class.patience_s for part in station.parts) else None
    elif _queue(station) not in ANY_ORDER:
        said = None
    else:
        said = _limited(station) if limited else _unlimited(station)
    if said is not None:
        yield said
    if not limited and _queue(station) in ("priority", "mcq") and isinstance(station.model.queue, str):
        yield from _by_priority(station)


def _queue(station: _Station) -> str:
    return station.model.queue if isinstance(station.model.queue, str) else station.model.queue.kind


def _station(scenario: Scenario, model: Model, version: Version) -> _Station | None:
    """None where nothing arrives, nothing serves, or what a line gets is neither a Poisson nor a renewal stream."""
    pool = f"{model.name}/{version.name}"
    parts = tuple(_parts(scenario, model, version))
    replicas = _replicas(scenario, pool, version)
    if not parts or replicas == 0 or version.failures is not None or (model.queue == "gq" and len(model.versions) > 1):
        return None
    arrivals = _arrivals(parts)
    if arrivals is None:
        return None
    room = model.room if model.queue == "gq" else version.room
    shared = model.queue == "ps"
    servers = replicas * (1 if shared else version.slots)
    whole = _Station(pool, model, version, parts, *arrivals, servers, room)
    if replicas == 1 or (model.balancer == "central" and not shared):
        return whole
    return _one_line(whole, replicas) if room is None else None


def _one_line(whole: _Station, replicas: int) -> _Station | None:
    """What each replica gets of a pool's requests, where that is known."""
    one = replace(whole, servers=whole.servers // replicas, lines=replicas)
    match whole.model.balancer:
        case "random" if whole.arrivals == "M":
            return one
        case "round_robin":
            kind = "D" if whole.arrivals == "D" else f"E{replicas}" if whole.arrivals == "M" else "G"
            return replace(one, arrivals=kind, arrival_scv=whole.arrival_scv / replicas)
        case _:
            return None


def _parts(scenario: Scenario, model: Model, version: Version) -> Iterator[_Part]:
    """What each class that comes to this version brings."""
    for c in scenario.traffic:
        weights = model.weights(c.name) if c.model == model.name else {}
        share = weights.get(version.name, 0.0) / sum(weights.values()) if weights else 0.0
        if share > 0 and not isinstance(c.arrivals, Trace) and c.arrivals.mean_rate_per_s > 0:
            yield _Part(c, c.arrivals.mean_rate_per_s * share, share)


def _arrivals(parts: tuple[_Part, ...]) -> tuple[str, float] | None:
    """Kendall's letter and the SCV of what comes together."""
    if all(isinstance(part.request_class.arrivals, Poisson) for part in parts):
        return "M", 1.0
    only = parts[0].request_class.arrivals
    if len(parts) == 1 and parts[0].share == 1 and isinstance(only, Renewal):
        return "D" if only.interarrival.scv == 0 else "G", only.interarrival.scv
    return None


def _replicas(scenario: Scenario, pool: str, version: Version) -> int:
    if not isinstance(scenario.policy, FixedSpec):
        return 0
    return scenario.policy.build(scenario.pools).replicas.get(pool, version.replicas.initial)


def _unlimited(station: _Station) -> Prediction:
    given = (station.rate_per_s, station.service_s, station.servers)
    queue = f"{station.arrivals}/{station.service}/{station.servers}"
    if station.utilization >= 1:
        return station.says(queue, None, None, "more load than it can bear")
    if station.arrivals == station.service == "M":
        wait_s, exact, note = MMC(*given).wait_s, True, ""
    else:
        wait_s = GGC(*given, station.arrival_scv, station.version.service.scv).wait_s
        exact = station.servers == 1 and station.arrivals == "M"
        note = "Pollaczek and Khinchine" if exact else APPROXIMATE
    return station.says(queue, wait_s, wait_s + station.service_s, note, exact=exact)


def _by_priority(station: _Station) -> Iterator[Prediction]:
    """What each class may expect that comes to this pool alone, where there are several ranks."""
    ranked = sorted(station.parts, key=lambda part: part.request_class.priority)
    ranks = [list(parts) for _, parts in groupby(ranked, key=lambda part: part.request_class.priority)]
    if len(ranks) == 1 or station.utilization >= 1 or station.arrivals != "M":
        return
    rates = [sum(part.rate_per_s for part in parts) / station.lines for parts in ranks]
    classes = tuple(PriorityClass(rate, station.service_s, station.version.service.scv) for rate in rates)
    queue = NonPreemptive(classes, station.servers)
    exact = station.servers == 1 or station.service == "M"
    name = f"M/{station.service}/{station.servers} with priorities"
    for parts, wait_s in zip(ranks, queue.wait_s, strict=True):
        for part in (part for part in parts if part.share == 1):
            note = "Cobham" if station.servers == 1 else "Kella and Yechiali" if exact else APPROXIMATE
            said = station.says(name, wait_s, wait_s + station.service_s, note, exact=exact)
            yield replace(said, request_class=part.request_class.name, rate_per_s=part.rate_per_s)


def _shared(station: _Station) -> Prediction | None:
    """Processor sharing by one replica: as many are there as in M/M/1, where services are exponential or all share."""
    if station.arrivals != "M":
        return None
    given, slots = (station.rate_per_s, station.service_s), station.version.slots
    name = f"M/{station.service}/1"
    if station.room is not None:
        if station.service != "M" and station.room > 0:
            return None
        lossy = MMCK(*given, 1, slots + station.room)
        return station.says(f"{name}/{slots + station.room}-PS", None, lossy.response_s, utilization=lossy.utilization)
    if station.utilization >= 1:
        return station.says(f"{name}-PS", None, None, "more load than it can bear")
    exact = station.service == "M" or station.utilization**slots < SELDOM
    note = "" if exact else f"as if more than {slots} could share a replica"
    return station.says(f"{name}-PS", None, ProcessorSharing(*given).response_s, note, exact=exact)


SELDOM = 1e-6
"""A share of time too small to matter."""


def _limited(station: _Station) -> Prediction | None:
    """M/M/c with room or patience, where all classes are alike."""
    patience = station.parts[0].request_class.patience_s
    if any(part.request_class.patience_s != patience for part in station.parts) or station.arrivals != "M":
        return None
    if station.service != "M" and station.room != 0:
        return None
    given = (station.rate_per_s, station.service_s, station.servers)
    name = f"M/{station.service}/{station.servers}"
    match station.room, patience:
        case None, Exponential(mean_s=patience_s):
            erlang = ErlangA(*given, patience_s)
            return station.says(f"{name}+M", erlang.wait_s, None, utilization=erlang.utilization)
        case None, Constant(value_s=patience_s) if _queue(station) in ("fcfs", "gq"):
            palm = MMCD(*given, patience_s)
            served_s = palm.served_wait_s + station.service_s
            return station.says(f"{name}+D", palm.wait_s, served_s, utilization=palm.utilization)
        case int(room), None:
            lossy = MMCK(*given, station.servers + room)
            queue = f"{name}/{station.servers + room}"
            return station.says(queue, lossy.wait_s, lossy.response_s, utilization=lossy.utilization)
        case _:
            return None
