"""A tree of plain values in which each key and value knows its line and column."""

from dataclasses import dataclass
from typing import Any

from policies.faults import KEY, Loc, Mark


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value, and how it was written (without quotes)."""

    mark: Mark
    alias: Mark | None
    value: bool | int | float | str | None
    text: str

    @property
    def absent(self) -> bool:
        """Whether nothing at all was written where a value may stand."""
        return self.value is None and not self.text


@dataclass(frozen=True, slots=True)
class List:
    mark: Mark
    alias: Mark | None
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    mark: Mark
    alias: Mark | None
    entries: dict[str, "Entry"]


Node = Scalar | List | Mapping
"""`mark` is where it was written, `alias` the alias that it is seen through, if any."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a mapping, with the mark of its key."""

    mark: Mark
    node: Node


def entries_of(node: Node | None) -> dict[str, Entry]:
    """The entries of a mapping; none where it is another thing."""
    return node.entries if isinstance(node, Mapping) else {}


def child(node: Node, step: int | str) -> Node | None:
    """The value under a key, or at a position of a list; None where there is none."""
    if isinstance(node, Mapping):
        entry = node.entries.get(str(step))
        return entry.node if entry else None
    if isinstance(node, List) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def mark_at(root: Node, loc: Loc) -> Mark:
    """Where a value stands, or its key where `loc` ends in `KEY`; for what is not written, the nearest value around."""
    node = root
    for step, following in zip(loc, (*loc[1:], None), strict=True):
        if following == KEY and isinstance(node, Mapping) and str(step) in node.entries:
            return node.entries[str(step)].mark
        inner = child(node, step)
        if inner is None:
            break
        node = inner
    return node.mark


def data(node: Node) -> Any:
    """The tree as dicts, lists and scalars."""
    match node:
        case Mapping():
            return {key: data(entry.node) for key, entry in node.entries.items()}
        case List():
            return [data(item) for item in node.items]
        case Scalar():
            return node.value


def shown(node: Node) -> str:
    """A value as a message shows it: text in quotes, numbers as they were written."""
    match node:
        case Mapping():
            return "a mapping" if node.entries else "an empty mapping"
        case List():
            return "a list" if node.items else "an empty list"
        case Scalar():
            short = node.text if len(node.text) <= 60 else f"{node.text[:57]}..."
            return "nothing" if node.absent else repr(short) if isinstance(node.value, str) else short
