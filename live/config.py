"""The daemon's configuration: what is read, who decides, what is written, as checked values."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from live.presets import HISTOGRAMS, PODS, PRESETS, SCALARS, Distribution, Queries, System
from policies import specfile
from policies.catalog import PolicySpec
from policies.pool import PoolTraits
from policies.spec import (
    STRICT,
    Count,
    Fraction,
    InnerFraction,
    Name,
    NonNegative,
    PositiveCount,
    PositiveSeconds,
    Seconds,
)

ALL_READ = 200
"""Up to so many targets everything is read that there is."""

Port = Annotated[int, Field(ge=0, le=65535)]
Fault = tuple[tuple[str | int, ...], str]
"""Where in the file, and what is wrong there."""

ASKED = (*SCALARS, *HISTOGRAMS, "age")
"""Everything that may be asked of Prometheus."""

KINDS: Mapping[str, tuple[str, str]] = {
    "Deployment": ("apps/v1", "deployments"),
    "StatefulSet": ("apps/v1", "statefulsets"),
    "ReplicaSet": ("apps/v1", "replicasets"),
}
"""Kind -> its API version and plural; of every other kind the file gives the first."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Cluster:
    """Which cluster; without `kubeconfig` the pod's own service account, or else the user's current context."""

    namespace: Name = "default"
    kubeconfig: str | None = None
    context: str | None = None
    timeout_s: PositiveSeconds = 10.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Prometheus:
    url: Annotated[str, Field(pattern=r"^https?://")]
    timeout_s: PositiveSeconds = 5.0
    """For each query; one that is lost ends the reading of this tick."""
    headers: dict[str, str] = Field(default_factory=dict)
    bearer_token_file: str | None = None
    """Read again at every query, as tokens are replaced."""
    ca_file: str | None = None
    insecure: bool = False
    """Take any certificate."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Slo:
    response_s: PositiveSeconds
    quantile: InnerFraction = 0.95


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LeaseSpec:
    """The Lease that only one daemon holds at a time."""

    name: Name = "poolwright"
    duration_s: PositiveSeconds = 15.0
    renew_s: PositiveSeconds = 10.0
    """A leader that has not renewed for so long stops writing."""
    retry_s: PositiveSeconds = 2.0

    @model_validator(mode="after")
    def _ordered(self) -> "LeaseSpec":
        if not self.retry_s < self.renew_s < self.duration_s:
            found = f"{self.retry_s:g}, {self.renew_s:g}, {self.duration_s:g}"
            raise ValueError(f"retry_s, renew_s and duration_s must ascend, got {found}")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class JournalSpec:
    path: str
    rotate_mb: PositiveCount = 64
    keep: PositiveCount = 10


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Telemetry:
    port: Port = 8080
    """0 takes any free port."""
    address: str = "0.0.0.0"


Expression = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class QuerySpec:
    """How readings are asked for: a preset, and what differs from it."""

    preset: System | None = None
    """`generic` where neither the target nor the file names one."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Label -> value that a target's series have, added to the preset's; {namespace}, {name}, {model}, {version} are
    the target's, {pods} are its pods, and an empty value drops the preset's label."""
    sources: tuple[str, ...] | None = None
    """Labels that tell the sources of one counter apart."""
    override: dict[str, Expression | Distribution | None] = Field(default_factory=dict)
    """Reading, or `age` -> PromQL with {selector}, or a metric's name; null where it is not to be asked for."""

    def faults(self) -> Iterator[Fault]:
        for name, wanted in self.override.items():
            if name not in ASKED:
                yield ("override", name), f"{name!r} is no reading; readings are {', '.join(ASKED)}"
            elif name == "age" and not isinstance(wanted, str):
                yield ("override", name), "must be an expression; without it nothing says how old a reading is"
            elif isinstance(wanted, Distribution) and name not in HISTOGRAMS:
                yield ("override", name), "must be one expression; only times have a distribution"
            elif isinstance(wanted, Distribution) and wanted.bucket is None and wanted.count is None:
                yield ("override", name), "needs `bucket` or `count`; a sum alone says nothing"
            elif isinstance(wanted, str) and "{" in wanted and "{selector}" not in wanted:
                yield ("override", name), f"{wanted!r} lacks {{selector}}, where the target's labels belong"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Bounds:
    """Replicas that no decision leaves."""

    at_least: Count = 1
    at_most: PositiveCount

    @model_validator(mode="after")
    def _ordered(self) -> "Bounds":
        if self.at_least > self.at_most:
            raise ValueError(f"at_least, {self.at_least}, must not exceed at_most, {self.at_most}")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClassSpec:
    """One request class of a target, known by labels that its series have besides the target's."""

    labels: Annotated[dict[str, str], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Target:
    """One version of one model, and the object whose replicas serve it."""

    model: Name
    version: Name
    kind: Annotated[str, Field(min_length=1)] = "Deployment"
    """Any kind with a scale subresource; of one that is not built in, `api_version` too."""
    api_version: str | None = None
    name: Name
    namespace: Name | None = None
    """The cluster's where not given."""
    replicas: Bounds
    slots: PositiveCount = 1
    startup_s: Seconds = 0.0
    startup_p95_s: Seconds | None = None
    """As `startup_s` where not given."""
    cost_per_hour: NonNegative = 0.0
    quality: Fraction | None = None
    service_s: PositiveSeconds | None = None
    service_scv: NonNegative | None = None
    queries: QuerySpec = QuerySpec()
    classes: dict[Name, ClassSpec] = Field(default_factory=dict)

    @property
    def pool(self) -> str:
        return f"{self.model}/{self.version}"

    @property
    def group_version(self) -> str:
        return self.api_version or KINDS[self.kind][0]

    @property
    def traits(self) -> PoolTraits:
        return PoolTraits(
            name=self.pool,
            model=self.model,
            version=self.version,
            at_least=self.replicas.at_least,
            at_most=self.replicas.at_most,
            slots=self.slots,
            startup_s=self.startup_s,
            startup_p95_s=self.startup_s if self.startup_p95_s is None else self.startup_p95_s,
            service_s=self.service_s,
            service_scv=self.service_scv,
            cost_per_hour=self.cost_per_hour,
            quality=self.quality,
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config:
    """Everything that a daemon depends on."""

    cluster: Cluster = Cluster()
    prometheus: Prometheus
    tick_s: PositiveSeconds = 15.0
    max_age_s: PositiveSeconds = 60.0
    """A reading that is older is taken for unknown."""
    read: Literal["auto", "all", "policy"] = "auto"
    """Which readings are asked for: `all` that there are; `policy`, those that the policy uses, the gauges, and where
    there is an SLO the response times; `auto` is `all` for up to 200 targets. Times, as histograms, cost most."""
    slo: Slo | None = None
    mode: Literal["active", "shadow", "recommend"] = "shadow"
    """`shadow` writes nothing to the cluster but the lease; `recommend` tells as `recommend` says."""
    owners: Literal["known", "if_listed"] = "known"
    """`known` writes only where it is known that no autoscaler scales the target; `if_listed` takes kinds of
    autoscalers that the API forbids to list for absent."""
    recommend: Literal["annotation", "metrics"] = "metrics"
    """Where a recommendation goes: to the target object's annotations as well, or only to /metrics."""
    lease: LeaseSpec = LeaseSpec()
    journal: JournalSpec
    telemetry: Telemetry = Telemetry()
    queries: QuerySpec = QuerySpec()
    """For all targets, which may differ from it."""
    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    policy: PolicySpec

    @property
    def pools(self) -> dict[str, PoolTraits]:
        """Pool name, `model/version`, -> what the policy may know of it beforehand."""
        return {target.pool: target.traits for target in self.targets}

    def namespace_of(self, target: Target) -> str:
        return target.namespace or self.cluster.namespace

    @property
    def reads(self) -> frozenset[str]:
        """The readings that are asked for."""
        if self.read == "all" or (self.read == "auto" and len(self.targets) <= ALL_READ):
            return frozenset(ASKED)
        readings = self.policy.build(self.pools).readings
        objective = {"response_s"} if self.slo else set()
        return frozenset({"queued", "in_service", *objective, *readings.needed, *readings.assumed})

    @property
    def told_by_pods(self) -> frozenset[str]:
        """Pools of whose requests only their own pods tell, so that without pods there is nothing to read."""
        return frozenset(t.pool for t in self.targets if PODS in self.queries_of(t).labels.values())

    def queries_of(self, target: Target) -> Queries:
        """What is asked for a target, its labels filled in; those of the pods stay as `PODS`."""
        own, shared = target.queries, self.queries
        system = own.preset or shared.preset or "generic"
        # What all targets share was written for their preset; a target with one of its own starts from that.
        layers = (own,) if own.preset not in (None, shared.preset) else (shared, own)
        queries = PRESETS[system]
        labels, sources = dict(queries.labels), queries.sources
        for layer in layers:
            queries = queries.overridden(layer.override)
            labels |= layer.labels
            sources = sources if layer.sources is None else layer.sources
        words = {"namespace": self.namespace_of(target), "name": target.name}
        words |= {"model": target.model, "version": target.version}
        filled = {label: _filled(value, words) for label, value in labels.items() if value}
        return Queries(filled, queries.age, queries.scalars, queries.histograms, sources)

    def faults(self) -> Iterator[Fault]:
        """What the parts do not say of each other, each with its place in the file."""
        yield from self._target_faults()
        yield from self._label_faults()
        yield from _policy_faults(self.policy, ("policy",))
        try:
            self.policy.build(self.pools)
        except ValueError as fault:
            yield ("policy",), str(fault)
        if self.max_age_s < self.tick_s:
            yield ("max_age_s",), f"must not be below tick_s, {self.tick_s:g} s, got {self.max_age_s:g}"

    def _target_faults(self) -> Iterator[Fault]:
        pools: dict[str, int] = {}
        objects: dict[tuple[str, str, str], int] = {}
        for i, target in enumerate(self.targets):
            place = ("targets", i)
            if target.kind not in KINDS and target.api_version is None:
                known = ", ".join(KINDS)
                yield (*place, "kind"), f"{target.kind!r} is not one of {known}; give its api_version, such as a.b/v1"
            if (first := pools.setdefault(target.pool, i)) != i:
                yield (*place, "version"), f"{target.pool!r} is targets[{first}] already; a version has one target"
            key = (self.namespace_of(target), target.kind, target.name)
            if (first := objects.setdefault(key, i)) != i:
                yield (*place, "name"), f"{target.kind} {target.name!r} is targets[{first}] already"

    def _label_faults(self) -> Iterator[Fault]:
        """Two targets whose series cannot be told apart."""
        seen: dict[object, int] = {}
        for i, target in enumerate(self.targets):
            queries = self.queries_of(target)
            if PODS in queries.labels.values():
                continue
            if not queries.labels:
                yield ("targets", i), "no labels say which series are this target's; give queries.labels"
                continue
            key = (tuple(sorted(queries.labels.items())), queries.age)
            if (first := seen.setdefault(key, i)) != i:
                told = ", ".join(f"{label}={value!r}" for label, value in queries.labels.items())
                yield ("targets", i), f"has the labels of targets[{first}], {told}; give queries.labels that differ"


def _policy_faults(policy: object, place: tuple[str, ...]) -> Iterator[Fault]:
    """Policies that only a simulated world can serve, at any depth."""
    if getattr(policy, "kind", None) == "clairvoyant":
        yield place, "'clairvoyant' knows the future, which only a simulation has; name another policy"
    if (inner := getattr(policy, "policy", None)) is not None:
        yield from _policy_faults(inner, (*place, "policy"))


def kinds(policy: object) -> str:
    """A policy's kind, and those of what it is around."""
    inner, kind = getattr(policy, "policy", None), str(getattr(policy, "kind", policy))
    return kind if inner is None else f"{kind} around {kinds(inner)}"


def _filled(value: str, words: Mapping[str, str]) -> str:
    for name, word in words.items():
        value = value.replace("{" + name + "}", word)
    return value


def load(path: str | Path) -> Config:
    """The configuration in a YAML file. Raises `policies.specfile.SpecError`, with every fault by line and column."""
    return specfile.read(Config, path)
