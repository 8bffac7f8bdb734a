"""What queueing theory says of a scenario, pool by pool, where a formula applies: a second opinion on the simulator."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from policies.fixed import FixedSpec
from policies.queues import GGC
from policies.queues.erlang import MMC, ErlangA
from policies.queues.losses import MMCD, MMCK
from sim.arrivals import Poisson, Renewal, Trace
from sim.scenario import Model, RequestClass, Scenario, Version
from sim.service import Constant, Exponential


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The long-run means of one pool. `wait_s` is of all who enter the queue, `response_s` of those served."""

    pool: str
    queue: str
    """Kendall's notation."""
    exact: bool
    rate_per_s: float
    utilization: float
    wait_s: float | None
    response_s: float | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Stream:
    """What arrives at one pool."""

    rate_per_s: float
    arrival_scv: float
    classes: tuple[RequestClass, ...]


def predictions(scenario: Scenario) -> list[Prediction]:
    """One for each pool that a formula describes: a steady load and a fixed number of replicas."""
    if not scenario.stationary or not isinstance(scenario.policy, FixedSpec):
        return []
    found = (_predict(scenario, model, version) for model in scenario.models for version in model.versions)
    return [prediction for prediction in found if prediction is not None]


def _predict(scenario: Scenario, model: Model, version: Version) -> Prediction | None:
    stream = _stream(scenario, model, version)
    if stream is None or stream.rate_per_s <= 0 or version.failures is not None:
        return None
    pool = f"{model.name}/{version.name}"
    servers = _replicas(scenario, pool, version) * version.slots
    if servers == 0:
        return None
    limited = version.room is not None or any(c.patience_s is not None for c in stream.classes)
    return _limited(pool, servers, stream, version) if limited else _unlimited(pool, servers, stream, version)


def _stream(scenario: Scenario, model: Model, version: Version) -> _Stream | None:
    """What arrives at a version; None where that is neither a Poisson nor a renewal stream."""
    parts = list(_parts(scenario, model, version))
    rate_per_s = sum(rate for rate, _, _ in parts)
    classes = tuple(c for _, _, c in parts)
    if all(isinstance(c.arrivals, Poisson) for c in classes):
        return _Stream(rate_per_s, 1.0, classes)
    if len(parts) == 1 and parts[0][1] == 1 and isinstance(classes[0].arrivals, Renewal):
        return _Stream(rate_per_s, classes[0].arrivals.interarrival.scv, classes)
    return None


def _parts(scenario: Scenario, model: Model, version: Version) -> Iterator[tuple[float, float, RequestClass]]:
    """Rate, share of its class, and class, of each class that comes to this version."""
    for c in scenario.traffic:
        weights = model.weights(c.name) if c.model == model.name else {}
        share = weights.get(version.name, 0.0) / sum(weights.values()) if weights else 0.0
        if share > 0 and not isinstance(c.arrivals, Trace):
            yield c.arrivals.mean_rate_per_s * share, share, c


def _replicas(scenario: Scenario, pool: str, version: Version) -> int:
    if not isinstance(scenario.policy, FixedSpec):
        return 0
    return scenario.policy.build(scenario.pools).replicas.get(pool, version.replicas.initial)


def _unlimited(pool: str, servers: int, stream: _Stream, version: Version) -> Prediction:
    service_s = version.service.mean_s
    poisson = all(isinstance(c.arrivals, Poisson) for c in stream.classes)
    wait_s: float | None
    if stream.rate_per_s * service_s >= servers:
        wait_s, exact, note = None, True, "more load than it can bear"
    elif poisson and isinstance(version.service, Exponential):
        wait_s, exact, note = MMC(stream.rate_per_s, service_s, servers).wait_s, True, ""
    else:
        wait_s = GGC(stream.rate_per_s, service_s, servers, stream.arrival_scv, version.service.scv).wait_s
        exact = servers == 1 and poisson
        note = "Pollaczek and Khinchine" if exact else "an approximation, off by 10 % and more in known cases"
    return Prediction(
        pool=pool,
        queue=f"{_arrivals(stream)}/{_service(version)}/{servers}",
        exact=exact,
        rate_per_s=stream.rate_per_s,
        utilization=stream.rate_per_s * service_s / servers,
        wait_s=wait_s,
        response_s=None if wait_s is None else wait_s + service_s,
        note=note,
    )


def _limited(pool: str, servers: int, stream: _Stream, version: Version) -> Prediction | None:
    """M/M/c with room or patience, where all classes are alike."""
    patiences = [c.patience_s for c in stream.classes]
    same = all(p == patiences[0] for p in patiences)
    poisson = all(isinstance(c.arrivals, Poisson) for c in stream.classes)
    insensitive = version.room == 0
    if not same or not poisson or not (isinstance(version.service, Exponential) or insensitive):
        return None
    return _queue(pool, servers, stream, version)


def _queue(pool: str, servers: int, stream: _Stream, version: Version) -> Prediction | None:
    given = (stream.rate_per_s, version.service.mean_s, servers)
    name = f"M/{_service(version)}/{servers}"
    queue: MMCK | ErlangA | MMCD
    match version.room, stream.classes[0].patience_s:
        case None, Exponential(mean_s=patience_s):
            queue, name, served = ErlangA(*given, patience_s), f"{name}+M", None
        case None, Constant(value_s=patience_s):
            queue, name = MMCD(*given, patience_s), f"{name}+D"
            served = queue.served_wait_s + version.service.mean_s
        case int(room), None:
            queue, name = MMCK(*given, servers + room), f"{name}/{servers + room}"
            served = queue.response_s
        case _:
            return None
    return Prediction(
        pool=pool,
        queue=name,
        exact=True,
        rate_per_s=stream.rate_per_s,
        utilization=queue.utilization,
        wait_s=queue.wait_s,
        response_s=served,
    )


def _arrivals(stream: _Stream) -> str:
    if all(isinstance(c.arrivals, Poisson) for c in stream.classes):
        return "M"
    return "D" if stream.arrival_scv == 0 else "G"


def _service(version: Version) -> str:
    match version.service:
        case Exponential():
            return "M"
        case Constant():
            return "D"
        case _:
            return "G"
