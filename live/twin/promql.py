"""The part of PromQL that a sensor needs, read into a tree: selectors, aggregations, a few functions, arithmetic.

What is not served is refused by name: `QueryError`. Grammar: Prometheus documentation, "Querying".
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar

from live.twin.series import Matcher

T = TypeVar("T")

AGGREGATIONS = ("sum", "min", "max", "avg", "count")
FUNCTIONS = (
    "timestamp",
    "time",
    "vector",
    "scalar",
    "rate",
    "increase",
    "clamp_min",
    "clamp_max",
    "absent",
    "label_replace",
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LEVELS = (("or", "unless"), ("and",), ("==", "!=", ">=", "<=", ">", "<"), ("+", "-"), ("*", "/", "%"))
_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)|(?P<range>\[\s*(?:\d+(?:ms|[smhd]))+\s*\])
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|\bInf\b|\bNaN\b)|(?P<word>[A-Za-z_:][\w:]*)
    |(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|(?P<act>=~|!~|==|!=|>=|<=|[-+*/%^(){},=<>])""",
    re.VERBOSE,
)


class QueryError(Exception):
    """An expression that cannot be read, or that is not served here."""


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Text:
    value: str


@dataclass(frozen=True, slots=True)
class Select:
    matchers: tuple[Matcher, ...]
    range_s: float | None = None


@dataclass(frozen=True, slots=True)
class Aggregate:
    act: str
    of: "Node"
    labels: tuple[str, ...] = ()
    without: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Operation:
    act: str
    left: "Node"
    right: "Node"


Node = Number | Text | Select | Aggregate | Call | Operation


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


@lru_cache(maxsize=4096)
def parsed(query: str) -> Node:
    """The tree of an expression. Raises `QueryError`."""
    reader = _Reader([*_tokens(query), _Token("end", "", len(query))])
    tree = reader.operation(0)
    if reader.next.kind != "end":
        raise reader.unexpected()
    return tree


def _tokens(query: str) -> Iterator[_Token]:
    at = 0
    while at < len(query):
        found = _TOKEN.match(query, at)
        if found is None:
            raise QueryError(f"1:{at + 1}: parse error: unexpected character: {query[at]!r}")
        at = found.end()
        if found.lastgroup != "space":
            yield _Token(found.lastgroup or "", found.group(), found.start())


@dataclass(slots=True)
class _Reader:
    tokens: list[_Token]
    at: int = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def unexpected(self) -> QueryError:
        return QueryError(f'1:{self.next.at + 1}: parse error: unexpected "{self.next.text}"')

    def take(self, text: str | None = None, kind: str | None = None) -> str:
        token = self.next
        if (text is not None and token.text != text) or (kind is not None and token.kind != kind):
            raise self.unexpected()
        self.at += 1
        return token.text

    def taken(self, text: str) -> bool:
        if self.next.text != text:
            return False
        self.at += 1
        return True

    def operation(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self.signed()
        left = self.operation(level + 1)
        while self.next.text in _LEVELS[level]:
            act = self.take()
            if self.next.text in ("on", "ignoring", "bool", "group_left", "group_right"):
                raise QueryError(f"1:{self.next.at + 1}: {self.next.text!r} is not served here")
            left = Operation(act, left, self.operation(level + 1))
        return left

    def signed(self) -> Node:
        if self.taken("-"):
            return Operation("*", Number(-1.0), self.signed())
        self.taken("+")
        return self.one()

    def one(self) -> Node:
        token = self.next
        if token.kind == "number":
            return Number(float(self.take()))
        if token.kind == "string":
            return Text(_unquoted(self.take()))
        if self.taken("("):
            inner = self.operation(0)
            self.take(")")
            return inner
        if token.text == "{":
            return self.selector(())
        word = self.take(kind="word")
        if word in AGGREGATIONS:
            return self.aggregation(word)
        if self.next.text == "(":
            return self.call(word)
        return self.selector((Matcher("__name__", "=", word),))

    def aggregation(self, act: str) -> Aggregate:
        grouping = self.grouping()
        self.take("(")
        of = self.operation(0)
        self.take(")")
        labels, without = grouping or self.grouping() or ((), False)
        return Aggregate(act, of, labels, without)

    def grouping(self) -> tuple[tuple[str, ...], bool] | None:
        if self.next.text not in ("by", "without"):
            return None
        without = self.take() == "without"
        self.take("(")
        return tuple(self.listed(lambda: self.take(kind="word"), ")")), without

    def call(self, name: str) -> Call:
        if name not in FUNCTIONS:
            raise QueryError(f'1:{self.next.at + 1}: parse error: unknown function with name "{name}"')
        self.take("(")
        return Call(name, tuple(self.listed(lambda: self.operation(0), ")")))

    def selector(self, first: tuple[Matcher, ...]) -> Select:
        matchers = list(first)
        if self.taken("{"):
            matchers += self.listed(self.matcher, "}")
        span = self.take() if self.next.kind == "range" else None
        if self.next.text in ("offset", "@"):
            raise QueryError(f"1:{self.next.at + 1}: {self.next.text!r} is not served here")
        return Select(tuple(matchers), None if span is None else _duration_s(span))

    def matcher(self) -> Matcher:
        label = self.take(kind="word")
        act = self.take(kind="act")
        if act not in ("=", "!=", "=~", "!~"):
            raise self.unexpected()
        return Matcher(label, act, _unquoted(self.take(kind="string")))

    def listed(self, item: Callable[[], T], end: str) -> list[T]:
        found: list[T] = []
        while not self.taken(end):
            found.append(item())
            if self.next.text != end:
                self.take(",")
        return found


def _duration_s(span: str) -> float:
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhd])", span))


def _unquoted(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    escapes = {"n": "\n", "t": "\t"}
    return re.sub(r"\\(.)", lambda found: escapes.get(found[1], found[1]), text[1:-1])
