"""What is asked of Prometheus: few instant queries for many targets, and samples for answers."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from live.presets import PODS, Distribution, Queries
from live.transport import Transport

LISTED = 50
"""A query names up to so many values of a label; with more it takes every series that has the label."""


class QueryError(Exception):
    """Prometheus answered, and what it said cannot be used."""


Labels = Mapping[str, str]
Sample = tuple[Labels, float]
"""Labels and value."""


@dataclass(frozen=True, slots=True)
class Vector:
    """An instant vector without the samples that are no number; `time_s` is when Prometheus evaluated it."""

    time_s: float | None
    series: Sequence[Labels] = ()
    """The labels of each."""
    values: Sequence[float] = ()

    @property
    def samples(self) -> Sequence[Sample]:
        return list(zip(self.series, self.values, strict=True))


@dataclass(frozen=True, slots=True)
class PrometheusApi:
    transport: Transport
    timeout_s: float = 5.0

    def query(self, expression: str) -> Vector:
        """Raises `LostError` where no answer came, `QueryError` where it is a refusal, partial or not understood."""
        answer = self.transport.send("GET", "/api/v1/query", {"query": expression}, timeout_s=self.timeout_s)
        body = answer.body
        if not answer.ok or not isinstance(body, dict) or body.get("status") != "success":
            raise QueryError(f"{answer.status}: {_told(body)}")
        if body.get("warnings"):
            raise QueryError(f"partial answer: {'; '.join(map(str, body['warnings']))}")
        try:
            data = body["data"]
            return data if isinstance(data, Vector) else vector(data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise QueryError(f"not an instant vector: {error!r}") from error


def _told(body: Any) -> str:
    if isinstance(body, dict):
        return str(body.get("error") or body.get("message") or "no reason given")
    return f"not an answer of Prometheus: {str(body)[:80]!r}"


def vector(data: Mapping[str, Any]) -> Vector:
    """From the data of an answer. Raises `KeyError`, `TypeError`, `ValueError` and `AttributeError` for any other."""
    if data["resultType"] != "vector":
        raise ValueError(data["resultType"])
    result = data["result"]
    time_s = float(result[0]["value"][0]) if result else None
    values, series = [float(one["value"][1]) for one in result], [one["metric"] for one in result]
    if not isfinite(sum(values)):
        finite = [i for i, value in enumerate(values) if isfinite(value)]
        values, series = [values[i] for i in finite], [series[i] for i in finite]
    return Vector(time_s, series, values)


@dataclass(frozen=True, slots=True)
class Subject:
    """A pool, or one request class of it, and the labels by which its series are known."""

    pool: str
    request_class: str | None
    queries: Queries


@dataclass(frozen=True, slots=True)
class Batch:
    """Subjects that are asked for in the same queries, and told apart by the values of some labels."""

    names: tuple[str, ...]
    subjects: tuple[Subject, ...]
    pod_label: str | None
    """The one of `names` whose values are names of pods: all pods come in one answer, and the cluster says whose."""
    _index: Mapping[tuple[str | None, ...], Subject]

    @classmethod
    def of(cls, subjects: Sequence[Subject]) -> "Batch":
        """Of subjects that differ in nothing but the values of their labels."""
        labels = subjects[0].queries.labels
        pod_label = next((name for name, value in labels.items() if value == PODS), None)
        names = tuple(sorted(labels))
        index = {_key(names, s.queries.labels, s.pool if pod_label else None): s for s in subjects}
        return cls(names, tuple(subjects), pod_label, index)

    @property
    def queries(self) -> Queries:
        return self.subjects[0].queries

    def subject_of(self, labels: Mapping[str, str], pools: Mapping[str, Sequence[str]]) -> Subject | None:
        """Whose sample that is; `pools` are those in which there is a pod of a name. None where it is nobody's."""
        if self.pod_label is None:
            return self._index.get(_key(self.names, labels, None))
        pod = labels.get(self.pod_label, "")
        known = {**labels, self.pod_label: PODS}
        keys = (_key(self.names, known, pool) for pool in pools.get(pod, ()))
        return next((self._index[key] for key in keys if key in self._index), None)

    def gauge(self, expression: str) -> str:
        """By the subjects' labels."""
        return f"sum by ({', '.join(self.names)}) ({self._filled(expression)})"

    def counter(self, expression: str, *more: str) -> str:
        """By the subjects' labels and those of the sources, which may each restart."""
        by = dict.fromkeys((*self.names, *self.queries.sources, *more))
        return f"sum by ({', '.join(by)}) ({self._filled(expression)})"

    def oldest(self) -> str:
        return f"min by ({', '.join(self.names)}) (timestamp({self._filled(self.queries.age)}))"

    def expressions(self) -> Iterator[tuple[str, str]]:
        """What is asked for, and how; a histogram as its `bucket`, or its `count`, and its `sum`."""
        yield "age", self.oldest()
        for name, expression in self.queries.scalars.items():
            if not expression.startswith("="):
                yield name, self.counter(expression) if name.endswith("_total") else self.gauge(expression)
        for name, histogram in self.queries.histograms.items():
            yield from ((f"{name}.{part}", text) for part, text in self._parts(histogram))

    def _parts(self, histogram: Distribution) -> Iterator[tuple[str, str]]:
        if histogram.bucket is not None:
            yield "bucket", self.counter(histogram.bucket, "le")
        elif histogram.count is not None:
            yield "count", self.counter(histogram.count)
        yield "sum", self.counter(histogram.sum)

    def _filled(self, expression: str) -> str:
        if "{" not in expression:
            expression += "{{selector}}"
        return expression.replace("{selector}", ",".join(self._matchers()))

    def _matchers(self) -> Iterator[str]:
        for name in self.names:
            values = {subject.queries.labels[name] for subject in self.subjects}
            if name == self.pod_label or len(values) > LISTED:
                yield f'{name}!=""'
            elif len(values) == 1:
                yield f"{name}={_quoted(values.pop())}"
            else:
                yield f"{name}=~{_quoted('|'.join(sorted(map(_literal, values))))}"


def _literal(text: str) -> str:
    """As a regular expression, in which Prometheus (RE2) allows fewer escapes than Python writes."""
    return re.sub(r"[\\.+*?()|\[\]{}^$]", r"\\\g<0>", text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def batches(subjects: Iterable[Subject]) -> list[Batch]:
    """Subjects that differ in nothing but the values of their labels share a batch."""
    groups: dict[object, list[Subject]] = {}
    for subject in subjects:
        names = tuple(sorted(subject.queries.labels))
        kind = tuple(subject.queries.labels[name] == PODS for name in names)
        same = replace(subject.queries, labels={})
        groups.setdefault((names, kind, repr(same)), []).append(subject)
    return [Batch.of(group) for group in groups.values()]


def _key(names: Sequence[str], labels: Mapping[str, str], pool: str | None) -> tuple[str | None, ...]:
    return (pool, *[labels.get(name, "") for name in names])
