"""Reading a journal: its records in order, where the daemon began, the policy that decided, how often it did."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import islice, pairwise
from math import inf
from pathlib import Path
from statistics import median

from pydantic import TypeAdapter, ValidationError

from policies.afresh import Afresh
from policies.catalog import PolicySpec
from policies.clairvoyant import FUTURE
from policies.faults import InputError
from policies.journal import Header, JournalError, Record, files, from_line, read
from policies.loop import Turn
from policies.pool import Pools
from sim.text import clock

LONGEST_TICKS = 4
"""Turns further apart, in ticks, are not counted upon: nobody knows what was in between."""
HEAD = b'{"is":"header",'
FIRST_UNIX_S = 1e8
"""Times below are of a simulation, which begins at 0."""
ENOUGH = 200
"""So many turns tell how long a tick is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record, and whether a file begins with it: there a daemon goes on, at any other header one began."""

    record: Record
    opens: bool


def entries(path: Path) -> Iterator[Entry]:
    """The records of a journal and its older files, oldest first. Raises `JournalError` where it is none."""
    for file in _files(path):
        for place, record in enumerate(read(file)):
            if place == 0 and not isinstance(record, Header):
                raise JournalError(f"{file}:1: a journal begins with a header")
            yield Entry(record, place == 0)


def turns(path: Path) -> Iterator[Turn]:
    """The turns of a journal and its older files, oldest first. Raises `JournalError`."""
    return (entry.record for entry in entries(path) if isinstance(entry.record, Turn))


def headers(path: Path) -> list[Header]:
    """All headers, oldest first, at least one; what is between them is not looked at. Raises `JournalError`."""
    found: list[Header] = []
    for file in _files(path):
        with file.open("rb") as lines:
            heads = (from_line(line) for line in lines if line.startswith(HEAD) and line.endswith(b"\n"))
            found += [head for head in heads if isinstance(head, Header)]
    if not found:
        raise JournalError(f"{path}: no journal begins without a header; is this one?")
    return found


def tick_of(path: Path) -> float:
    """The usual time between two turns, in seconds; infinite where there are fewer than two."""
    times_s = (turn.observation.time_s for turn in islice(turns(path), ENOUGH))
    steps = [after - before for before, after in pairwise(times_s) if after > before]
    return median(steps) if steps else inf


def spec_of(header: Header) -> PolicySpec:
    """The policy that a header names. Raises `InputError` for one that this version does not know."""
    try:
        spec = _adapter().validate_python(dict(header.policy))
    except ValidationError as error:
        words = (
            f"policy {header.policy.get('kind')!r} of the journal cannot be read: {error.errors()[0]['msg'].lower()}"
        )
        raise InputError(f"{words}; poolwright {header.version} wrote it, or name another with --policy") from None
    return spec


@cache
def _adapter() -> "TypeAdapter[PolicySpec]":
    return TypeAdapter(PolicySpec)


def built(spec: PolicySpec, pools: Pools) -> Afresh:
    """The policy as the daemon runs it. Raises `InputError` where it cannot decide on these pools."""
    try:
        policy = Afresh.of(spec, pools)
    except ValueError as error:
        raise InputError(f"policy {spec.kind}: {error}") from None
    if FUTURE in policy.readings.needed:
        raise InputError(f"policy {spec.kind} knows the future, which no journal has; name another with --policy")
    return policy


def moment(time_s: float) -> str:
    """A turn's time for people: in UTC, or of the run where it was simulated."""
    if time_s < FIRST_UNIX_S:
        return clock(time_s)
    return datetime.fromtimestamp(time_s, UTC).isoformat(" ", "seconds").removesuffix("+00:00")


def _files(path: Path) -> list[Path]:
    found = files(path)
    if not found:
        raise JournalError(f"{path}: no journal is there to read")
    return found
