"""A scenario: everything that a run depends on, as checked values."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from policies import specfile
from policies.catalog import PolicySpec
from policies.fixed import FixedSpec
from policies.observation import Flow, PoolReading
from policies.pool import PoolTraits
from policies.spec import (
    STRICT,
    Count,
    Fraction,
    InnerFraction,
    Name,
    NonNegative,
    Positive,
    PositiveCount,
    PositiveSeconds,
    Seconds,
)
from sim.arrivals import Arrivals, Trace
from sim.service import Constant, Duration, Law

Weights = Annotated[dict[Name, NonNegative], Field(min_length=1)]
"""Version -> share of the requests; only the ratios count."""

READINGS = tuple(f.name for kind in (PoolReading, Flow) for f in fields(kind) if f.name not in ("total", "classes"))
"""Everything that an observation may show of a pool."""

Fault = tuple[tuple[str | int, ...], str]
"""Where in the file, and what is wrong there."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Slo:
    """The service-level objective: a share `quantile` of the requests answered within `response_s`."""

    response_s: PositiveSeconds
    quantile: InnerFraction = 0.95


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Control:
    """How the control loop turns, and how late and how well it sees."""

    tick_s: PositiveSeconds = 15.0
    """Time between two decisions."""
    scrape_s: PositiveSeconds = 15.0
    """Time between two scrapes of the request metrics."""
    lag_s: Seconds = 5.0
    """Time from a scrape until a policy can see it."""
    loss: Fraction = 0.01
    """Share of scrapes that are lost, of each pool on its own."""
    unseen: tuple[str, ...] = ()
    """Readings that this cluster does not have, such as `wait_s`; a policy is not shown them."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Replicas:
    """How many replicas a version starts with, and the bounds that no policy leaves."""

    initial: Count
    at_least: Count = 0
    at_most: PositiveCount = 1000

    @model_validator(mode="after")
    def _ordered(self) -> "Replicas":
        if not self.at_least <= self.initial <= self.at_most:
            raise ValueError(
                f"initial must lie in at_least..at_most, got {self.initial} outside {self.at_least}..{self.at_most}"
            )
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Failures:
    """Ready replicas crash now and then; each comes back in its place after a repair."""

    every: Duration
    """Time from ready to crash, drawn anew for each replica and after each repair."""
    repair: Duration
    """Time from crash to ready again."""
    on_crash: Literal["lose", "retry", "resume"] = "lose"
    """What becomes of requests in service: failed; served again from the start; or served for what was left."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Version:
    """One immutable artefact of a model, and the pool of replicas that serves it."""

    name: Name
    parents: tuple[Name, ...] = ()
    """The versions that this one came from."""
    service: Law
    """Time that one request takes in a slot."""
    slots: PositiveCount = 1
    """Requests that one replica serves at a time."""
    startup: Duration = Constant(value_s=0.0)
    """Time from the wish for a replica to its being ready."""
    cost_per_hour: NonNegative = 0.0
    """Price in USD of one replica for an hour, start-up and draining included."""
    quality: Fraction | None = None
    replicas: Replicas
    room: Count | None = None
    """Requests that may wait; one that finds the room full is rejected. Unlimited where not given."""
    failures: Failures | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Shift:
    """New routing weights from a moment on, for one request class or for all."""

    at_s: Seconds
    weights: Weights
    request_class: Name | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Weighted:
    """Each request draws its version by weight."""

    kind: Literal["weighted"] = "weighted"
    weights: Weights
    by_class: dict[Name, Weights] = Field(default_factory=dict)
    """Weights of their own for some request classes."""
    shifts: tuple[Shift, ...] = ()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sticky:
    """Each user has a version, by a hash of the user's key; a shift of weights moves as few users as it can."""

    kind: Literal["sticky"] = "sticky"
    weights: Weights
    by_class: dict[Name, Weights] = Field(default_factory=dict)
    """Weights of their own for some request classes."""
    shifts: tuple[Shift, ...] = ()
    users: PositiveCount
    """Number of users of each request class; every request comes from one of them, all alike."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recorded:
    """Each request goes to the version that its trace names."""

    kind: Literal["recorded"] = "recorded"


Routing = Annotated[Weighted | Sticky | Recorded, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Mcq:
    """A queue for each request class, served in proportion to weights: self-clocked fair queueing (Golestani 1994)."""

    kind: Literal["mcq"] = "mcq"
    weights: Annotated[dict[Name, Positive], Field(min_length=1)]
    """Request class -> its weight; 1 where not given."""


Queue = Literal["fcfs", "lcfs", "sjf", "edf", "priority", "ps", "mcq", "gq"]

Balancer = Literal["central", "round_robin", "random", "two_choices", "join_shortest_queue", "least_outstanding"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Model:
    """A service with a name; it owns a graph of versions."""

    name: Name
    queue: Queue | Mcq = "fcfs"
    """Who is served next: the first that came (`fcfs`), the last (`lcfs`), the least work (`sjf`), the earliest
    deadline (`edf`), the class of the lowest priority number (`priority`, `mcq`) or furthest behind its weight (`mcq`
    with weights); all at once, each the slower (`ps`); or, first come, first served, from one queue for all versions
    (`gq`)."""
    balancer: Balancer = "central"
    """How a replica is found: by one queue for the pool (`central`), or at once at arrival, to wait there."""
    room: Count | None = None
    """Requests that may wait in the one queue of `gq`, as a version's room elsewhere; unlimited where not given."""
    routing: Routing | None = None
    """How requests find a version; may be left out where there is one version."""
    versions: Annotated[tuple[Version, ...], Field(min_length=1)]

    def weights(self, request_class: str) -> dict[str, float]:
        """Version -> weight of this class at the start; empty where requests name their version."""
        match self.routing:
            case None:
                return {self.versions[0].name: 1.0}
            case Recorded():
                return {}
            case routing:
                return dict(routing.by_class.get(request_class, routing.weights))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RequestClass:
    """One kind of request: when it comes, for which model, and how long it is willing to wait."""

    name: Name
    model: Name
    arrivals: Arrivals
    priority: int = 0
    """Rank where a queue serves by priority; the lowest number first."""
    patience_s: Duration | None = None
    """Longest wait before service starts; unlimited where not given."""
    deadline_s: PositiveSeconds | None = None
    """The response time after which an answer is worthless: this class's own objective in place of the SLO's."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Claim:
    """A mean response time that somebody claims for this scenario; reports hold it against theory and simulation."""

    source: str
    response_s: Positive
    note: str = ""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Scenario:
    """Everything that a run depends on."""

    name: Name
    description: str = ""
    horizon_s: PositiveSeconds
    seed: Count = 1
    replications: PositiveCount = 1
    """Independent runs; with two or more, confidence intervals come from their differences."""
    warmup_s: Seconds | Literal["auto"] = "auto"
    """Time cut off before measuring; `auto` finds it by MSER where the load is stationary, else cuts nothing."""
    slo: Slo | None = None
    control: Control = Control()
    models: Annotated[tuple[Model, ...], Field(min_length=1)]
    traffic: Annotated[tuple[RequestClass, ...], Field(min_length=1)]
    policy: PolicySpec = FixedSpec()
    claims: tuple[Claim, ...] = ()

    def model(self, name: str) -> Model:
        return next(model for model in self.models if model.name == name)

    def target_s(self, request_class: RequestClass) -> float:
        """The response time that a class's requests should have; infinite where there is no objective."""
        if request_class.deadline_s is not None:
            return request_class.deadline_s
        return self.slo.response_s if self.slo else math.inf

    @property
    def stationary(self) -> bool:
        """Whether the load has the same law at all times and no traffic shift is planned."""
        steady = all(c.arrivals.stationary for c in self.traffic)
        return steady and not any(getattr(m.routing, "shifts", ()) for m in self.models)

    @property
    def pools(self) -> dict[str, PoolTraits]:
        """Pool name, `model/version`, -> what a policy may know of it beforehand."""
        traits = (_traits(model, version) for model in self.models for version in model.versions)
        return {t.name: t for t in traits}

    def faults(self) -> Iterator[Fault]:
        """What the parts do not say of each other, each with its place in the file."""
        yield from _twice((("models", i), m.name) for i, m in enumerate(self.models))
        yield from _twice((("traffic", i), c.name) for i, c in enumerate(self.traffic))
        for i, model in enumerate(self.models):
            for place, message in _model_faults(model, [c.name for c in self.traffic if c.model == model.name]):
                yield ("models", i, *place), message
        for i, c in enumerate(self.traffic):
            yield from _traffic_faults(i, c, self)
        if self.warmup_s != "auto" and self.warmup_s >= self.horizon_s:
            yield ("warmup_s",), f"must end before horizon_s, {self.horizon_s:g} s, got {self.warmup_s:g}"
        yield from self._policy_faults()

    def _policy_faults(self) -> Iterator[Fault]:
        try:
            readings = self.policy.build(self.pools).readings
        except ValueError as fault:
            yield ("policy",), str(fault)
            return
        for i, name in enumerate(self.control.unseen):
            if name in readings.needed:
                yield ("control", "unseen", i), f"policy {self.policy.kind} cannot do without {name}"
            elif name not in READINGS:
                yield ("control", "unseen", i), f"{name!r} is no reading; readings are {', '.join(READINGS)}"


def _traits(model: Model, version: Version) -> PoolTraits:
    return PoolTraits(
        name=f"{model.name}/{version.name}",
        model=model.name,
        version=version.name,
        at_least=version.replicas.at_least,
        at_most=version.replicas.at_most,
        slots=version.slots,
        startup_s=version.startup.mean_s,
        startup_p95_s=version.startup.quantile(0.95),
        service_s=version.service.mean_s,
        service_scv=version.service.scv,
        cost_per_hour=version.cost_per_hour,
        quality=version.quality,
    )


def _twice(named: Iterable[tuple[tuple[str | int, ...], str]]) -> Iterator[Fault]:
    seen: set[str] = set()
    for place, name in named:
        if name in seen:
            yield (*place, "name"), f"{name!r} is taken; names must differ"
        seen.add(name)


def _model_faults(model: Model, classes: list[str]) -> Iterator[Fault]:
    names = [v.name for v in model.versions]
    yield from _twice((("versions", i), name) for i, name in enumerate(names))
    for i, version in enumerate(model.versions):
        for j, parent in enumerate(version.parents):
            if parent not in names[:i]:
                yield ("versions", i, "parents", j), f"{parent!r} is no version listed before {version.name!r}"
    routing = model.routing
    if routing is None and len(names) > 1:
        yield (), f"model {model.name!r} has {len(names)} versions and no routing; add `routing` with weights"
    if isinstance(routing, (Weighted, Sticky)):
        yield from _routing_faults(routing, names, classes)
    if isinstance(model.queue, Mcq):
        for name in model.queue.weights:
            if name not in classes:
                yield ("queue", "weights", name), f"{name!r} is no request class of this model"
    if model.queue == "gq":
        yield from _one_queue_faults(model)
    elif model.room is not None:
        yield ("room",), "a model has room for one queue over all versions, gq; else give each version its room"


def _one_queue_faults(model: Model) -> Iterator[Fault]:
    if model.balancer != "central":
        yield ("balancer",), f"queue gq is one for all replicas and leaves {model.balancer} nothing to balance; drop it"
    if isinstance(model.routing, Recorded):
        yield ("routing",), "queue gq chooses versions itself; routing must be weighted or sticky, got recorded"
    for i, version in enumerate(model.versions):
        if version.room is not None:
            yield ("versions", i, "room"), "queue gq is one for all versions; give the model `room` instead"


def _routing_faults(routing: Weighted | Sticky, versions: list[str], classes: list[str]) -> Iterator[Fault]:
    yield from _weight_faults(("routing", "weights"), routing.weights, versions)
    for name, weights in routing.by_class.items():
        yield from _weight_faults(("routing", "by_class", name), weights, versions)
        if name not in classes:
            yield ("routing", "by_class", name), f"{name!r} is no request class of this model"
    for i, shift in enumerate(routing.shifts):
        yield from _weight_faults(("routing", "shifts", i, "weights"), shift.weights, versions)
        if shift.request_class is not None and shift.request_class not in classes:
            yield (
                ("routing", "shifts", i, "request_class"),
                f"{shift.request_class!r} is no request class of this model",
            )


def _weight_faults(place: tuple[str | int, ...], weights: dict[str, float], versions: list[str]) -> Iterator[Fault]:
    for name in weights:
        if name not in versions:
            yield (*place, name), f"{name!r} is no version of this model; versions are {', '.join(versions)}"
    if sum(weights.values()) <= 0:
        yield place, "weights must not all be zero"


def _traffic_faults(i: int, c: RequestClass, scenario: Scenario) -> Iterator[Fault]:
    model = next((m for m in scenario.models if m.name == c.model), None)
    if model is None:
        known = ", ".join(m.name for m in scenario.models)
        yield ("traffic", i, "model"), f"{c.model!r} is no model of this scenario; models are {known}"
    elif isinstance(model.routing, Recorded) and not isinstance(c.arrivals, Trace):
        yield ("traffic", i, "arrivals"), f"model {c.model!r} routes as recorded, which needs arrivals from a trace"


def load(path: str | Path) -> Scenario:
    """The scenario in a YAML file, names of other files resolved from its folder.

    Raises `policies.specfile.SpecError`, with every fault by line and column.
    """
    return specfile.read(Scenario, path)
