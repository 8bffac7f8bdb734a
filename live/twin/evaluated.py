"""What a PromQL expression is at an instant, on stored series."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import fmod, isnan, nan

from live.twin.promql import Aggregate, Call, Node, Number, Operation, QueryError, Select, Text, parsed
from live.twin.series import Labels, Sample, SeriesStore

Vector = list[Sample]
Value = Vector | float | str

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Instant:
    """The stored series as seen at a time, from which the samples of the last `behind_s` are missing."""

    store: SeriesStore
    time_s: float
    behind_s: float = 0.0

    def query(self, text: str) -> Value:
        """Raises `QueryError`."""
        return self.value(parsed(text))

    def value(self, node: Node) -> Value:
        match node:
            case Number(value) | Text(value):
                return value
            case Select(matchers, None):
                return self.store.instant(list(matchers), self.time_s, self.behind_s)
            case Select():
                raise QueryError("expected an instant vector, got a range vector")
            case Aggregate():
                return _aggregated(node, self.vector(node.of), self.time_s)
            case Operation(act, left, right):
                return self._operated(act, self.value(left), self.value(right))
            case Call():
                return self._called(node)
        raise QueryError(f"cannot evaluate {node}")

    def vector(self, node: Node) -> Vector:
        value = self.value(node)
        if not isinstance(value, list):
            raise QueryError("expected an instant vector, got a scalar")
        return value

    def number(self, node: Node) -> float:
        value = self.value(node)
        if not isinstance(value, float):
            raise QueryError("expected a scalar, got an instant vector")
        return value

    def _called(self, call: Call) -> Value:
        first = call.arguments[0] if call.arguments else None
        if call.name == "time" or first is None:
            return self.time_s
        if call.name in ("rate", "increase"):
            return self._increases(first, per_s=call.name == "rate")
        if call.name == "vector":
            return [Sample({}, self.time_s, self.number(first))]
        found = self.vector(first)
        match call.name:
            case "scalar":
                return found[0].value if len(found) == 1 else nan
            case "absent":
                return [] if found else [Sample(_equal_labels(first), self.time_s, 1.0)]
            case "timestamp":
                return [Sample(_unnamed(s.labels), self.time_s, s.time_s) for s in found]
            case "label_replace":
                return [_relabelled(s, [str(self.value(a)) for a in call.arguments[1:]]) for s in found]
        limit, choose = self.number(call.arguments[1]), max if call.name == "clamp_min" else min
        return [Sample(_unnamed(s.labels), self.time_s, choose(s.value, limit)) for s in found]

    def _increases(self, node: Node, per_s: bool) -> Vector:
        if not isinstance(node, Select) or node.range_s is None:
            raise QueryError("expected a range vector")
        spans = self.store.spans(list(node.matchers), self.time_s, node.range_s, self.behind_s)
        grown = [(labels, _increase(span, self.time_s, node.range_s)) for labels, span in spans if len(span) > 1]
        per = node.range_s if per_s else 1.0
        return [Sample(_unnamed(labels), self.time_s, value / per) for labels, value in grown]

    def _operated(self, act: str, left: Value, right: Value) -> Value:
        if isinstance(left, str) or isinstance(right, str):
            raise QueryError("a string cannot be reckoned with")
        if act in ("or", "and", "unless"):
            if not isinstance(left, list) or not isinstance(right, list):
                raise QueryError(f"set operator {act!r} not allowed in binary scalar expression")
            return _set_operated(act, left, right)
        if isinstance(left, float) and isinstance(right, float):
            return float(_COMPARE[act](left, right)) if act in _COMPARE else _reckoned(act, left, right)
        pairs = _pairs(left, right)
        if act in _COMPARE:
            return [kept for kept, a, b in pairs if _COMPARE[act](a, b)]
        return [Sample(_unnamed(kept.labels), self.time_s, _reckoned(act, a, b)) for kept, a, b in pairs]


def _pairs(left: Vector | float, right: Vector | float) -> list[tuple[Sample, float, float]]:
    """What is kept, and the two values, for each pair that goes together."""
    if isinstance(left, float):
        assert isinstance(right, list)
        return [(s, left, s.value) for s in right]
    if isinstance(right, float):
        return [(s, s.value, right) for s in left]
    others = {_key(s.labels): s.value for s in right}
    if len(others) < len(right):
        raise QueryError("found duplicate series for the match group on the right hand-side of the operation")
    return [(s, s.value, others[_key(s.labels)]) for s in left if _key(s.labels) in others]


def _set_operated(act: str, left: Vector, right: Vector) -> Vector:
    if act == "or":
        there = {_key(s.labels) for s in left}
        return left + [s for s in right if _key(s.labels) not in there]
    there = {_key(s.labels) for s in right}
    return [s for s in left if (_key(s.labels) in there) == (act == "and")]


def _reckoned(act: str, a: float, b: float) -> float:
    if act in "/%" and b == 0:
        return nan if a == 0 or act == "%" or isnan(a) else float("inf") * (1 if a > 0 else -1)
    ways: dict[str, Callable[[float, float], float]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
    ways |= {"/": operator.truediv, "%": fmod}
    return ways[act](a, b)


def _aggregated(node: Aggregate, found: Vector, time_s: float) -> Vector:
    kept: dict[tuple[object, ...], tuple[Labels, list[float]]] = {}
    for sample in found:
        key = _group_key(node, sample.labels)
        if key not in kept:
            kept[key] = (_group_labels(node, sample.labels), [])
        kept[key][1].append(sample.value)
    return [Sample(labels, time_s, _one(node.act, values)) for labels, values in kept.values()]


def _group_key(node: Aggregate, labels: Labels) -> tuple[object, ...]:
    if node.without:
        return _key(_group_labels(node, labels))
    return tuple([labels.get(name, "") for name in node.labels])


def _group_labels(node: Aggregate, labels: Labels) -> Labels:
    if node.without:
        return {k: v for k, v in labels.items() if k not in node.labels and k != "__name__"}
    return {name: labels[name] for name in node.labels if name in labels}


def _one(act: str, values: list[float]) -> float:
    if act == "count":
        return float(len(values))
    if act in ("min", "max"):
        # NaN only where there is nothing else.
        return (min if act == "min" else max)([v for v in values if not isnan(v)] or [nan])
    return sum(values) / (len(values) if act == "avg" else 1)


def _increase(span: list[tuple[float, float]], time_s: float, range_s: float) -> float:
    """Growth over the range: resets undone, stretched to its ends as Prometheus does (promql/functions.go)."""
    grown = sum(b - a if b >= a else b for (_, a), (_, b) in pairwise(span))
    sampled_s = span[-1][0] - span[0][0]
    mean_s = sampled_s / (len(span) - 1)
    before_s, after_s = span[0][0] - (time_s - range_s), time_s - span[-1][0]
    if grown > 0 and span[0][1] >= 0:
        before_s = min(before_s, sampled_s * span[0][1] / grown)
    ends_s = sum(gap_s if gap_s < 1.1 * mean_s else mean_s / 2 for gap_s in (before_s, after_s))
    return grown * (sampled_s + ends_s) / sampled_s


def _relabelled(sample: Sample, words: list[str]) -> Sample:
    target, replacement, source, pattern = words
    found = re.fullmatch(pattern, sample.labels.get(source, ""))
    if found is None:
        return sample
    value = re.sub(r"\$(\d+|\{\d+\})", lambda ref: found.group(int(ref[1].strip("{}"))) or "", replacement)
    return sample._replace(labels={**sample.labels, target: value})


def _equal_labels(node: Node) -> Labels:
    matchers = node.matchers if isinstance(node, Select) else ()
    return {m.label: m.text for m in matchers if m.act == "=" and m.label != "__name__"}


def _unnamed(labels: Labels) -> Labels:
    return {key: value for key, value in labels.items() if key != "__name__"}


def _key(labels: Labels) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((k, v) for k, v in labels.items() if k != "__name__"))
