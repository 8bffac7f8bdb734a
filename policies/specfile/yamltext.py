"""YAML 1.2 text, read into a located tree."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StreamMark
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.reader import ReaderError

from policies.faults import KEY, Fault, Loc, Mark, SpecError, fault
from policies.specfile.located import Entry, List, Mapping, Node, Scalar, shown

MAX_DEPTH = 100
"""How many mappings and lists may stand in one another."""

MAX_NODES = 1_000_000
"""How many keys and values a text may hold once its aliases are written out."""


@dataclass(frozen=True, slots=True)
class Document:
    """A tree, and the faults in its structure that did not hinder its reading (a key given twice, for one)."""

    root: Node
    faults: list[Fault]


def compose(text: str, source: str) -> Document:
    """The one document of a text. Raises `SpecError` where the text is empty or its syntax cannot be followed.

    Keys are text, whatever they look like. Of a key given twice the first counts. Aliases and merge keys (`<<`) are
    written out.
    """
    composer = _Composer(text.removeprefix("\ufeff"))
    try:
        return Document(composer.root(), composer.faults)
    except _StopError as stop:
        raise SpecError(source, [*composer.faults, stop.fault]) from None


class _StopError(Exception):
    def __init__(self, mark: Mark, message: str, loc: Loc = ()) -> None:
        self.fault = fault(mark, loc, message)


_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_HALF = re.compile("[\ud800-\udfff]")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def resolve(text: str) -> bool | int | float | str | None:
    """The value of a scalar without quotes: YAML 1.2.2, section 10.3.2, core schema.

    `1e6` and `5.0` come as whole numbers, so that they may stand wherever whole numbers are asked for.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text)
    return _whole(float(text)) if _FLOAT.fullmatch(text) else text


def _integer(text: str) -> int | float:
    if len(text) > 300:  # beyond every float; and Python refuses to read 4,300 digits
        return -math.inf if text.startswith("-") else math.inf
    radix = {"0o": 8, "0x": 16}.get(text[:2])
    return int(text[2:], radix) if radix else int(text)


def _whole(number: float) -> int | float:
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


_TEXT_TAGS = ("!", "tag:yaml.org,2002:str")
_KNOWN_TAGS = (
    None,
    *_TEXT_TAGS,
    *(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "map", "seq")),
)


class _Composer:
    """Builds the tree from the parser's events, and always knows at which `Loc` it is."""

    def __init__(self, text: str) -> None:
        self._events = _events(text)
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._loc: list[int | str] = []
        self._count = 0
        self.faults: list[Fault] = []

    def root(self) -> Node:
        next(self._events)
        if isinstance(next(self._events), StreamEndEvent):
            raise _StopError(Mark(1, 1), "the file is empty")
        root = self._node(next(self._events))
        if isinstance(root, Scalar) and root.absent:
            raise _StopError(Mark(1, 1), "the file is empty")
        next(self._events)
        if isinstance(following := next(self._events), DocumentStartEvent):
            self._note(_mark(following), "a second document starts here; keep one in a file")
        return root

    def _note(self, mark: Mark, message: str) -> None:
        self.faults.append(fault(mark, tuple(self._loc), message))

    def _node(self, event: Any) -> Node:
        if isinstance(event, AliasEvent):
            return self._alias(event)
        before = self._count
        self._grow(event, 1)
        node = self._fresh(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = node, self._count - before
        return node

    def _grow(self, event: Any, nodes: int) -> None:
        self._count += nodes
        if self._count > MAX_NODES:
            raise _StopError(_mark(event), f"more than {MAX_NODES} values with the aliases written out; use fewer")
        if len(self._loc) > MAX_DEPTH:
            raise _StopError(_mark(event), f"nested more than {MAX_DEPTH} deep; use fewer levels")

    def _alias(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            known = ", ".join(f'"{name}"' for name in self._anchors) or "none"
            message = f'unknown alias "{event.anchor}"; anchors above are {known}'
            raise _StopError(_mark(event), message, tuple(self._loc))
        node, count = self._anchors[event.anchor]
        self._grow(event, count)
        return replace(node, alias=_mark(event))

    def _fresh(self, event: Any) -> Node:
        if event.tag not in _KNOWN_TAGS:
            self._note(_mark(event), f'unknown tag "{event.tag}"; remove it')
        if isinstance(event, SequenceStartEvent):
            return self._list(event)
        return self._mapping(event) if isinstance(event, MappingStartEvent) else self._scalar(event)

    def _scalar(self, event: Any) -> Scalar:
        text: str = event.value
        plain = not event.style and event.tag not in _TEXT_TAGS
        if event.style == '"' and _HALF.search(text):
            self._note(_mark(event), r"half a character, \ud800 to \udfff; write the whole character")
            text = text.encode("utf-8", "replace").decode()
        return Scalar(_mark(event), None, resolve(text) if plain else text, text)

    def _list(self, event: Any) -> List:
        items: list[Node] = []
        while not isinstance(following := next(self._events), SequenceEndEvent):
            items.append(self._at(len(items), following))
        return List(_mark(event), None, tuple(items))

    def _mapping(self, event: Any) -> Mapping:
        entries: dict[str, Entry] = {}
        merged: list[Mapping] = []
        while not isinstance(following := next(self._events), MappingEndEvent):
            key = self._at(KEY, following)
            node = self._at(key.text if isinstance(key, Scalar) else KEY, next(self._events))
            if _merges(following):
                merged += self._merged(node)
            elif self._fits(key, entries):
                entries[key.text] = Entry(key.mark, _beside(key, node))
        for mapping in merged:
            entries |= {name: entry for name, entry in mapping.entries.items() if name not in entries}
        return Mapping(_mark(event), None, entries)

    def _fits(self, key: Node, entries: dict[str, Entry]) -> TypeGuard[Scalar]:
        if not isinstance(key, Scalar) or key.absent:
            self._note(key.mark, f"a key must be text, got {shown(key)}")
            return False
        if key.text in entries:
            first = entries[key.text].mark.line
            self.faults.append(
                fault(key.mark, (*self._loc, key.text), f"key given twice, first in line {first}; keep one")
            )
            return False
        return True

    def _at(self, step: int | str, event: Any) -> Node:
        self._loc.append(step)
        node = self._node(event)
        self._loc.pop()
        return node

    def _merged(self, node: Node) -> list[Mapping]:
        nodes = node.items if isinstance(node, List) else [node]
        mappings = [one for one in nodes if isinstance(one, Mapping)]
        if len(mappings) < len(nodes):
            self._note(node.mark, f'"<<" must be an alias of a mapping, or a list of such, got {shown(node)}')
        return mappings


def mark_of(text: str, position: int) -> Mark:
    """The line and column of a position, counted from 0, in a text."""
    before = text[:position]
    return Mark(before.count("\n") + 1, position - before.rfind("\n"))


def _beside(key: Scalar, node: Node) -> Node:
    # The parser marks a value that was left out at the next thing written, lines below.
    return replace(node, mark=key.mark) if isinstance(node, Scalar) and node.absent else node


def _merges(key: Any) -> bool:
    return isinstance(key, ScalarEvent) and key.value == "<<" and not key.style and key.tag is None


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _events(text: str) -> Iterator[Any]:
    mark = Mark(1, 1)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            mark = _mark(event)
            yield event
    except MarkedYAMLError as error:
        raise _syntax_error(error, mark) from None
    except ReaderError as error:
        message = f"control character {text[error.position]!r}; remove it, or write an escape in double quotes"
        raise _StopError(mark_of(text, error.position), message) from None
    except Exception as error:  # the parser lets OverflowError and others through, where escapes or tags are absurd
        raise _StopError(mark, f"no YAML from here on: {error}") from None


# The parser's words, whether the place to look at is where the construct opens, and the words for people.
_SYNTAX = [
    (r"found character '\\t'", False, "a tab cannot stand here; indent with spaces"),
    (r"found character (.+) that cannot start", False, "no value starts with {0}; put it in quotes"),
    (r"mapping values are not allowed", False, 'unexpected ":"; check the indentation, or put the value in quotes'),
    (r"could not find expected ':'", True, 'no key on this line; a key ends in ":" and a space'),
    (r"found unexpected end of stream", True, "the quote opened here is not closed; close it"),
    (r"expected ',' or '(.)'", True, 'what is opened here is not closed; line {line} wants "," or "{0}"'),
    (r"expected <block end>", False, "the indentation fits no line above; align it with its neighbours"),
    (r"sequence entries are not allowed", False, 'unexpected "-"; start the list on a line of its own'),
    (r"found '<stream end>'", False, "the text ends where a value must stand; complete it, and close what is open"),
    (r"expected the node content, but found (.+)", False, "a value must stand here, got {0}; put text in quotes"),
]


def _syntax_error(error: MarkedYAMLError, last: Mark) -> _StopError:
    end = _at(error.problem_mark) or last
    for pattern, at_opening, message in _SYNTAX:
        if match := re.search(pattern, error.problem or ""):
            mark = _at(error.context_mark) if at_opening else None
            return _StopError(mark or end, message.format(*match.groups(), line=end.line))
    return _StopError(end, f"{error.problem}, {error.context or 'in this line'}".lower())


def _at(mark: StreamMark | None) -> Mark | None:
    return Mark(mark.line + 1, mark.column + 1) if mark else None
