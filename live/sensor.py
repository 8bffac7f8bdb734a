"""The `Sensor` port on a real cluster: Prometheus for requests, the informer for replicas.

What is not known is None, with the age of what was last known, and never 0.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol

from live.clock import Clock
from live.config import Config
from live.counters import Distributed, Source, Total
from live.layout import Layout, layout
from live.presets import PODS
from live.prometheus import Batch, PrometheusApi, QueryError, Subject, Vector, batches
from live.replicas import Pod, count
from live.transport import LostError
from policies.histogram import Histogram
from policies.observation import Flow, Observation, PoolReading, ReplicaReading

LONGEST_AHEAD_S = 600.0
"""So far a policy's time may be ahead of a clock that was set back; where it is set back further, time goes back."""
ONLY = (inf,)
"""The bounds of a histogram of which only the number of all values is known."""
GRAIN = 1024.0
"""Moments are whole parts of a second, in binary, so that differences of them are exact."""


class ClusterView(Protocol):
    """What `live.informer.Informer` tells."""

    def wanted(self, pool: str) -> int | None: ...
    def pods(self, pool: str) -> Sequence[Pod] | None: ...
    def pools_of_pods(self) -> Mapping[str, Sequence[str]]: ...


@dataclass(slots=True)
class Asked:
    """A subject, what this tick's answers said of it, and its counters."""

    subject: Subject
    found: dict[str, Any] = field(default_factory=dict)
    """Query -> source -> value, or cumulative counts; this tick's."""
    totals: dict[str, Total] = field(default_factory=dict)
    histograms: dict[str, Distributed] = field(default_factory=dict)
    least: dict[str, float] = field(default_factory=dict)
    """Sums of readings that are counters themselves: they do not fall."""
    _gauges: Sequence[str] = field(init=False)
    _counters: Sequence[str] = field(init=False)
    _sums: Mapping[str, Sequence[str]] = field(init=False)
    """Reading -> those that it is the sum of."""

    def __post_init__(self) -> None:
        scalars = self.subject.queries.scalars
        asked = [name for name, text in scalars.items() if not text.startswith("=")]
        self._gauges = [name for name in asked if not name.endswith("_total")]
        self._counters = [name for name in asked if name.endswith("_total")]
        sums = {name: text[1:].split("+") for name, text in scalars.items() if text.startswith("=")}
        self._sums = {name: [part.strip() for part in parts] for name, parts in sums.items()}

    def told(self, name: str) -> Mapping[Source, float]:
        """By source; empty where nothing was answered."""
        return self.found.get(name) or {}

    def flow(self) -> Flow:
        """What was answered; counters go on from where they were."""
        seen = self.found
        found: dict[str, Any] = {name: sum(seen[name].values()) for name in self._gauges if name in seen}
        for name in self._counters:
            if name in seen:
                found[name] = self.totals.setdefault(name, Total()).add(seen[name])
        for name in self.subject.queries.histograms:
            found[name] = self._histogram(name)
        for name, parts in self._sums.items():
            found[name] = self._summed(name, parts, found)
        return Flow(**found)

    def _histogram(self, name: str) -> Histogram | None:
        spec = self.subject.queries.histograms[name]
        if spec.bucket is None:
            buckets = {source: (ONLY, (value,)) for source, value in self.told(f"{name}.count").items()}
        else:
            buckets = self.found.get(f"{name}.bucket") or {}
        if not buckets:
            return None
        kept = self.histograms.setdefault(name, Distributed(spec.unit_s))
        return kept.add(buckets, self.told(f"{name}.sum"))

    def _summed(self, name: str, parts: Sequence[str], found: Mapping[str, Any]) -> float | None:
        known: list[float] = [found[part] for part in parts if found.get(part) is not None]
        if len(known) < len(parts):
            return None
        # A request that was given up, or went with its replica, leaves the sum; it had come all the same.
        self.least[name] = max(self.least.get(name, 0.0), sum(known))
        return self.least[name]


@dataclass(slots=True)
class Taken:
    """When a pool was last read."""

    sample_s: float | None = None
    """The oldest of its samples, by Prometheus's clock."""
    at_s: float | None = None
    """The same moment by ours."""
    stamps: dict[Source, float] = field(default_factory=dict)
    """The newest sample of each pod, by Prometheus's clock."""

    def goes_back(self, stamps: Mapping[Source, float], at_most_s: float) -> bool:
        """Whether these samples are a little older than what was read before: a server answers that is behind another.

        By more than `at_most_s` its clock was set back.
        """
        known = self.stamps
        back = any(known.get(pod, stamp) - at_most_s <= stamp < known.get(pod, stamp) for pod, stamp in stamps.items())
        if not back:
            self.stamps = dict(stamps)
        return back


class PrometheusSensor:
    """Few queries for all targets. After `read`, `problems` says what could not be read, and why."""

    def __init__(self, config: Config, prometheus: PrometheusApi, cluster: ClusterView, clock: Clock) -> None:
        self._api, self._cluster, self._clock = prometheus, cluster, clock
        self._max_age_s = config.max_age_s
        self._slots = {target.pool: target.slots for target in config.targets}
        subjects = list(subjects_of(config))
        self.batches = batches(subjects)
        queries = [(batch, *query) for batch in self.batches for query in batch.expressions()]
        uses = Counter(expression for *_, expression in queries)
        self._queries = [(*query, uses[query[2]] > 1) for query in queries]
        """Batch, reading, expression, and whether another reading has the same."""
        self._asked = {(s.pool, s.request_class): Asked(s) for s in subjects}
        self._classes = {t.pool: tuple(t.classes) for t in config.targets}
        self._taken = {pool: Taken() for pool in self._slots}
        self._layouts: dict[tuple[int, str], Layout] = {}
        """Batch and reading -> whose the samples of the last answer were."""
        self._pools: Mapping[str, Sequence[str]] = {}
        """Name of a pod -> its pools; the same object for as long as nothing changes."""
        self._before: tuple[float, float] | None = None
        """The time that was told last, and what the steady clock said then."""
        self._ahead_s = 0.0
        """How far the time that is told is ahead of the clock."""
        self.problems: dict[str, str] = {}
        self.shown: Observation | None = None
        """What was read last."""

    def read(self) -> Observation:
        now_s = self._now_s()
        self.problems = {}
        evaluated_s = self._ask()
        pools = {pool: self._reading(pool, now_s, evaluated_s) for pool in self._slots}
        self.shown = Observation(now_s, pools)
        return self.shown

    def since_read_s(self) -> float:
        """How long ago it was that `read` was asked last; no age can tell that."""
        return 0.0 if self._before is None else self._clock.monotonic_s() - self._before[1]

    def _now_s(self) -> float:
        """The time, which for a policy goes back only in great leaps: after a small one it goes on by the steady
        clock."""
        steady_s = self._clock.monotonic_s()
        wall_s = now_s = self._clock.now_s()
        if self._before is not None:
            steadily_s = self._before[0] + steady_s - self._before[1]
            now_s = steadily_s if wall_s < steadily_s <= wall_s + LONGEST_AHEAD_S else wall_s
        self._ahead_s = now_s - wall_s
        self._before = (_grained(now_s), steady_s)
        return self._before[0]

    def _ask(self) -> float | None:
        """Put every query once, and hand the samples out; when Prometheus evaluated the first, by its own clock."""
        for asked in self._asked.values():
            asked.found = {}
        pools = self._cluster.pools_of_pods()
        self._pools = self._pools if pools == self._pools else pools
        shared: dict[str, Vector] = {}
        evaluated_s: float | None = None
        for batch, name, expression, again in self._queries:
            answer = shared.get(expression) or self._answer(name, expression)
            if answer is None:
                break  # The rest would be lost as well, and each after its own while.
            if again:
                shared[expression] = answer
            evaluated_s = answer.time_s if evaluated_s is None else evaluated_s
            self._hand_out(batch, name, answer)
        return evaluated_s

    def _answer(self, name: str, expression: str) -> Vector | None:
        """None where Prometheus does not answer; without samples where it refuses this query."""
        try:
            return self._api.query(expression)
        except LostError as error:
            self.problems["prometheus"] = str(error)
            return None
        except QueryError as error:
            self.problems[name] = f"{error} ({expression})"
            return Vector(None)

    def _hand_out(self, batch: Batch, name: str, answer: Vector) -> None:
        """Give each sample to the subject whose labels it has."""
        known = self._layouts.get((id(batch), name))
        if known is None or not known.fits(answer.series, self._pools):
            known = self._layouts[id(batch), name] = layout(batch, name, answer.series, self._pools)
        for share in known.shares:
            self._asked[share.subject.pool, share.subject.request_class].found[name] = share.taken(answer.values)

    def _reading(self, pool: str, now_s: float, evaluated_s: float | None) -> PoolReading:
        pods = self._cluster.pods(pool)
        counts = None if pods is None else count(pods)
        asked = self._asked[pool, None]
        fresh = self._take(pool, now_s, evaluated_s, pods or ()) and not self._silent(pool, now_s, pods or ())
        at_s = self._taken[pool].at_s
        age_s = None if at_s is None else max(0.0, now_s - at_s)
        fresh = fresh and age_s is not None and age_s <= self._max_age_s
        flow = asked.flow() if fresh else Flow()
        classes = {c: self._asked[pool, c].flow() for c in self._classes[pool]} if fresh else {}
        return PoolReading(
            wanted=self._cluster.wanted(pool),
            starting=None if counts is None else counts.starting,
            ready=None if counts is None else counts.ready,
            draining=None if counts is None else counts.draining,
            age_s=age_s,
            total=flow,
            classes=classes,
            replicas=None if pods is None else self._replicas(pool, pods, asked if fresh else None),
        )

    def _take(self, pool: str, now_s: float, evaluated_s: float | None, pods: Sequence[Pod]) -> bool:
        """Note how old the oldest sample of a pool is; whether there is any, and none that is older than before.

        A sample that was seen before keeps its moment by our clock.
        """
        taken, stamps = self._taken[pool], self._asked[pool, None].told("age")
        if not stamps or evaluated_s is None or taken.goes_back(stamps, self._max_age_s):
            return False
        ready = {pod.name for pod in pods if pod.phase == "ready"}
        sample_s = min([s for (name,), s in stamps.items() if name in ready] or stamps.values())
        if sample_s != taken.sample_s or taken.at_s is None or taken.at_s > now_s:
            taken.sample_s = sample_s
            taken.at_s = now_s - max(0.0, _grained(evaluated_s - sample_s))
        return True

    def _silent(self, pool: str, now_s: float, pods: Sequence[Pod]) -> bool:
        """Whether a replica that has long been ready does not tell anything: then the others are not the whole."""
        asked = self._asked[pool, None]
        if PODS not in asked.subject.queries.labels.values() or not asked.told("age"):
            return False
        told = {name for (name,) in asked.told("age")}
        before_s = now_s - self._ahead_s - self._max_age_s
        missing = [pod.name for pod in pods if _long_ready(pod, before_s) and pod.name not in told]
        if missing:
            self.problems[pool] = f"no metrics of {', '.join(missing)}, which is ready"
        return bool(missing)

    def _replicas(self, pool: str, pods: Sequence[Pod], asked: Asked | None) -> tuple[ReplicaReading, ...]:
        busy = asked.told("in_service") if asked else {}
        slots = self._slots[pool]
        return tuple(
            ReplicaReading(
                name=pod.name,
                utilization=None if (pod.name,) not in busy else busy[pod.name,] / slots,
                started_s=self._told(pod.started_s),
                ready_since_s=self._told(pod.ready_since_s),
            )
            for pod in pods
            if pod.phase != "draining"
        )

    def _told(self, moment_s: float | None) -> float | None:
        """A moment of the cluster's in the time that is told."""
        return None if moment_s is None else moment_s + self._ahead_s


def subjects_of(config: Config) -> Iterable[Subject]:
    """Every pool, and every class of it that has labels of its own."""
    reads = config.reads
    for target in config.targets:
        queries = config.queries_of(target).only(reads)
        yield Subject(target.pool, None, queries)
        for name, each in target.classes.items():
            yield Subject(target.pool, name, queries.labelled(each.labels))


def _long_ready(pod: Pod, before_s: float) -> bool:
    return pod.phase == "ready" and pod.ready_since_s is not None and pod.ready_since_s < before_s


def _grained(time_s: float) -> float:
    return round(time_s * GRAIN) / GRAIN
