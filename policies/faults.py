"""What is wrong in a file, and where: faults, and the error that tells all of them at once."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Loc = tuple[int | str, ...]
"""The steps from the top of a file to a value: keys of mappings, positions in lists from 0."""

KEY = "[key]"
"""As the last step of a `Loc`: the key itself, not its value."""


class Mark(NamedTuple):
    """A place in a text, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One mistake; `field` is like `versions[1].startup`, and empty where the file as a whole is meant."""

    line: int
    column: int
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.field and f'{self.field}: '}{self.message}"


class InputError(ValueError):
    """Something that a user gave is wrong; the message says what, where, and what would be right."""


class SpecError(InputError):
    """A file that cannot be used, with every fault found in it, in the order of the file."""

    def __init__(self, source: str, faults: Iterable[Fault]) -> None:
        self.source = source
        self.faults: Sequence[Fault] = tuple(sorted(faults))
        super().__init__(source, self.faults)

    def __str__(self) -> str:
        return "\n".join(f"{self.source}:{fault}" for fault in self.faults)


def fault(mark: Mark, loc: Loc, message: str) -> Fault:
    """A fault whose message is brought to one line."""
    return Fault(mark.line, mark.column, field_name(loc), " ".join(message.split()))


def field_name(loc: Loc) -> str:
    """`("versions", 1, "startup")` as `versions[1].startup`; a key that is no plain word stands in brackets."""
    return "".join(_step(step) for step in loc if step != KEY).removeprefix(".")


def _step(step: int | str) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if re.fullmatch(r"[\w-]+", step) else f"[{step!r}]"
