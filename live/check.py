"""What can be said of a configuration against the real servers, without acting: access, objects, owners, queries,
and what the policy would do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from live.clock import Clock
from live.config import Config, kinds
from live.informer import Informer
from live.kube import ApiError, KubeApi, Ref, Resource, Right, is_built_in, refs
from live.owners import Owners, managers
from live.prometheus import PrometheusApi, QueryError, batches
from live.sensor import PrometheusSensor, subjects_of
from live.transport import LostError, Transport
from policies.bounded import Bounded
from policies.observation import Observation

Level = Literal["ok", "warning", "fault"]

_SCALERS = (("autoscaling/v2", "horizontalpodautoscalers"), ("keda.sh/v1alpha1", "scaledobjects"))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: a `fault` keeps the daemon from doing what it is told to."""

    level: Level
    about: str
    """access, targets, owners, queries, metrics, policy."""
    what: str
    words: str

    def __str__(self) -> str:
        return f"{self.level}: {self.about}: {self.what}: {self.words}"


def check(config: Config, kubernetes: Transport, prometheus: Transport, clock: Clock) -> list[Finding]:
    """Everything, in the order in which a daemon needs it; what cannot be read ends only what depends on it."""
    kube = KubeApi(kubernetes, config.cluster.timeout_s)
    api = PrometheusApi(prometheus, config.prometheus.timeout_s)
    try:
        targets = refs(config, kube)
        version = kube.get("/version").get("gitVersion", "of an unknown version")
    except (ApiError, LostError, ValueError) as error:
        return [Finding("fault", "access", "cluster", str(error)), *_queries(config, api)]
    found = [Finding("ok", "access", "cluster", f"Kubernetes {version}")]
    found += _access(config, kube, targets)
    informer = Informer(kube, targets, clock, config.max_age_s)
    # Once lists; there is nothing yet from which to watch.
    informer.step()
    found += _targets(config, informer)
    found += _owners(config, kube, targets, informer, clock)
    found += _queries(config, api)
    sensor = PrometheusSensor(config, api, informer, clock)
    observation = sensor.read()
    return [*found, *_metrics(config, sensor, observation), *_wishes(config, observation)]


def rights(config: Config, targets: Mapping[str, Ref]) -> list[Right]:
    """Everything that a daemon asks of the API in this mode."""
    namespaces = sorted({ref.resource.namespace or "" for ref in targets.values()})
    pods = [Resource("v1", "pods", namespace) for namespace in namespaces]
    kinds = list(dict.fromkeys(ref.resource for ref in targets.values()))
    found = [Right(verb, resource) for resource in (*kinds, *pods) for verb in ("list", "watch")]
    found += [Right("list", Resource(version, plural, n)) for n in namespaces for version, plural in _SCALERS]
    active, annotates = config.mode == "active", config.mode == "recommend" and config.recommend == "annotation"
    # Of kinds of others only the scale subresource may say how many replicas are wanted, and which pods are theirs.
    found += [Right("get", r.resource, "scale", r.name) for r in targets.values() if active or not is_built_in(r)]
    if active:
        found += [Right("patch", ref.resource, "scale", ref.name) for ref in targets.values()]
        found += [Right("create", Resource("v1", "events", namespace)) for namespace in namespaces]
    if annotates:
        found += [Right("patch", ref.resource, "", ref.name) for ref in targets.values()]
    if active or annotates:
        leases = Resource("coordination.k8s.io/v1", "leases", config.cluster.namespace)
        found += [Right("create", leases), *[Right(v, leases, "", config.lease.name) for v in ("get", "update")]]
    return found


def _access(config: Config, kube: KubeApi, targets: Mapping[str, Ref]) -> Iterator[Finding]:
    """Each right by a review; where a verb is allowed on all objects of a resource, one review is enough."""
    everywhere: dict[Right, bool] = {}
    for right in rights(config, targets):
        wide = Right(right.verb, right.resource, right.subresource)
        try:
            if wide not in everywhere:
                everywhere[wide] = kube.allowed(wide)
                if everywhere[wide]:
                    yield Finding("ok", "access", str(wide), "allowed")
            if not everywhere[wide]:
                yield _reviewed(config, right, right.name != "" and kube.allowed(right))
        except (ApiError, LostError) as error:
            yield Finding("warning", "access", str(right), f"could not be reviewed: {error}")


def _reviewed(config: Config, right: Right, allowed: bool) -> Finding:
    if allowed:
        return Finding("ok", "access", str(right), "allowed")
    level: Level = "warning" if _can_do_without(config, right) else "fault"
    return Finding(level, "access", str(right), "not allowed; add it to the role of the daemon's service account")


def _can_do_without(config: Config, right: Right) -> bool:
    """Whether the daemon works without it, and only says and knows less."""
    if right.resource.plural in [plural for _, plural in _SCALERS]:
        return config.mode != "active" or config.owners == "if_listed"
    return right.resource.plural == "events"


def _targets(config: Config, informer: Informer) -> Iterator[Finding]:
    for where, why in informer.problems.items():
        yield Finding("fault", "targets", where, why)
    for target in config.targets:
        wanted, counts, bounds = informer.wanted(target.pool), informer.counts(target.pool), target.replicas
        what = f"{target.pool} ({target.kind} {config.namespace_of(target)}/{target.name})"
        if wanted is None:
            yield Finding("fault", "targets", what, "not found, or its replicas are unknown")
            continue
        words = f"{wanted} wanted"
        if counts is not None:
            words += f", {counts.ready} ready, {counts.starting} starting, {counts.draining} draining"
            words += "".join(f"; {n} held up by {why}" for why, n in counts.stuck.items())
        inside = bounds.at_least <= wanted <= bounds.at_most
        outside = "" if inside else f"; outside {bounds.at_least}..{bounds.at_most}"
        yield Finding("ok" if inside else "warning", "targets", what, words + outside)


def _owners(
    config: Config, kube: KubeApi, targets: Mapping[str, Ref], informer: Informer, clock: Clock
) -> Iterator[Finding]:
    owners = Owners(kube, targets, clock, config.owners == "if_listed")
    owners.step()
    level: Level = "fault" if config.mode == "active" else "warning"
    for pool, owner in owners.foreign.items():
        yield Finding(level, "owners", pool, f"scaled by {owner}; this daemon keeps off it")
    for where, why in owners.problems.items():
        yield Finding(level, "owners", where, f"unknown whether one scales a target, so nothing is written: {why}")
    managed = {pool: managers(body) for pool in targets if (body := informer.target(pool)) is not None}
    for pool, names in managed.items():
        if applied := [name for name in names if name.endswith("(Apply)")]:
            words = f"spec.replicas is applied by {', '.join(applied)}, which will set it back; leave it out there"
            yield Finding("warning", "owners", pool, words)
    if not owners.foreign and not owners.problems:
        yield Finding("ok", "owners", "autoscalers", "none on the targets")


def _queries(config: Config, api: PrometheusApi) -> Iterator[Finding]:
    """Each query that a tick puts, with some of what it says; where one is not answered, nor are the others."""
    asked = [query for batch in batches(subjects_of(config)) for query in batch.expressions()]
    used = _used(config)
    for i, (name, expression) in enumerate(asked):
        try:
            yield _asked(name, expression, api, name.partition(".")[0] in used)
        except LostError as error:
            left = len(asked) - i - 1
            rest = f"; the {left} queries after it were not tried" if left else ""
            yield Finding("fault", "queries", name, f"no answer{rest}: {error}")
            return


def _used(config: Config) -> frozenset[str]:
    """The readings that change what is decided or told."""
    readings = config.policy.build(config.pools).readings
    return readings.needed | readings.assumed.keys() | ({"age", "response_s"} if config.slo else {"age"})


def _asked(name: str, expression: str, api: PrometheusApi, used: bool) -> Finding:
    """Raises `LostError`."""
    try:
        vector = api.query(expression)
    except QueryError as error:
        return Finding("fault", "queries", name, f"{error}; asked: {expression}")
    if not vector.samples:
        words = "no series" if used else "no series, and the policy does not use it"
        return Finding("warning" if used else "ok", "queries", name, f"{words}; asked: {expression}")
    labels, value = vector.samples[0]
    shown = f"{value:g}"
    if name == "age":
        shown = f"{max((vector.time_s or value) - value, 0.0):.1f} s"
    many = "1 series" if len(vector.samples) == 1 else f"{len(vector.samples)} series, such as"
    return Finding("ok", "queries", name, f"{many} {shown} {_labels(labels)}; asked: {expression}")


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def _metrics(config: Config, sensor: PrometheusSensor, observation: Observation) -> Iterator[Finding]:
    """What the policy needs, and what it assumes instead of what is not there."""
    readings = config.policy.build(config.pools).readings
    for where, why in sensor.problems.items():
        yield Finding("warning", "metrics", where, why)
    for pool, reading in observation.pools.items():
        if reading.wanted == 0 and reading.age_s is None and pool in config.told_by_pods:
            words = "no pods, so nothing tells of its requests; it stays at zero until somebody scales it up"
            yield Finding("warning", "metrics", pool, words)
            continue
        shown = {name for each in (reading, reading.total) for name in _known(each)}
        lacking = sorted(readings.needed - shown)
        if lacking:
            words = f"unknown, and the policy {kinds(config.policy)} needs {'it' if len(lacking) == 1 else 'them'}"
            yield Finding("fault", "metrics", f"{pool}: {', '.join(lacking)}", words)
        for name in sorted(readings.assumed.keys() - shown):
            yield Finding("warning", "metrics", f"{pool}: {name}", f"unknown; assumed: {readings.assumed[name]}")
        if reading.age_s is not None and not lacking:
            yield Finding("ok", "metrics", pool, f"{reading.age_s:.1f} s old, with all that is needed")


def _known(reading: object) -> Iterator[str]:
    names: Sequence[str] = getattr(type(reading), "__slots__", ())
    return (name for name in names if getattr(reading, name) is not None)


def _wishes(config: Config, observation: Observation) -> Iterator[Finding]:
    """What the policy says of one look; many say more after a few."""
    decision = Bounded(config.policy.build(config.pools), config.pools).decide(observation)
    for pool in observation.pools:
        wanted = observation.pools[pool].wanted
        if pool in decision.reasons:
            reason = decision.reasons[pool]
            yield Finding("ok", "policy", pool, f"{wanted} -> {reason.final}: {reason}")
        else:
            why = decision.kept.get(pool, "no wish")
            yield Finding("ok", "policy", pool, f"keeps {wanted} upon this one look: {why}")
