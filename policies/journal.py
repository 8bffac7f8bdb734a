"""The journal's lines: each turn of the loop as one line of JSON, from which it comes back equal, to the bit.

A journal is a file, or several that follow one another. Each file begins with a header, and so does each start of
the daemon, so that every file suffices to put its policy through its turns again. A field that is not there is None.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from pydantic_core import from_json, to_json

from policies.decision import Decision, Limit, Reason
from policies.faults import InputError
from policies.histogram import Histogram
from policies.loop import Action, Turn
from policies.observation import Flow, Observation, PoolReading, ReplicaReading
from policies.pool import Pools, PoolTraits

FORMAT = 1
GAUGES = ("wanted", "starting", "ready", "draining", "age_s")
HISTOGRAMS = ("wait_s", "service_s", "response_s")
NUMBERS = tuple(f.name for f in fields(Flow) if f.name not in HISTOGRAMS)
REPLICA = ("name", "utilization", "started_s", "ready_since_s")


class JournalError(InputError):
    """A line that no journal has; the message says which, and what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the turns that follow depend on: who decided, and what was known of the pools."""

    time_s: float
    """Unix time when this was written."""
    version: str
    """Of poolwright."""
    policy: Mapping[str, Any]
    """The policy's spec, as a file would have it."""
    pools: Pools
    config: Mapping[str, Any]
    """The whole configuration, as a file would have it; no secrets are in one."""
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Gap:
    """Here turns are missing: they were decided and done, but could not be written."""

    turns: int
    why: str


Record: TypeAlias = Header | Turn | Gap


def to_line(record: Record) -> bytes:
    """One line with its end. Raises `ValueError` for a number that is not finite, which JSON does not have."""
    written = _written(record)
    line = to_json(written, inf_nan_mode="constants")
    if b"NaN" in line or b"Infinity" in line:
        # In a text they are welcome. The writer above, five times as fast, cannot refuse numbers; this one can.
        json.dumps(written, allow_nan=False)
    return line + b"\n"


def from_line(line: bytes) -> Record:
    """The record that was written. Raises `JournalError`."""
    try:
        found = from_json(line, allow_inf_nan=False)
        return _READ[found.pop("is")](found)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise JournalError(f"not a line of a journal: {_told(error)}") from None


def read(*paths: Path) -> Iterator[Record]:
    """The records of files that follow one another, oldest first.

    A last line that was cut short, by a crash or because it is being written, is left out. Raises `JournalError`.
    """
    for path in paths:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield _located(line, path, number)


def files(path: Path) -> list[Path]:
    """All files of the journal whose newest is `path`, oldest first."""
    found = [*(old for _, old in rotated(path)), path]
    return [file for file in found if file.is_file()]


def rotated(path: Path) -> list[tuple[int, Path]]:
    """The older files with their numbers, oldest first: `journal.000012.jsonl` beside `journal.jsonl`."""
    head, end = f"{path.stem}.", path.suffix
    names = ((p, p.name.removeprefix(head).removesuffix(end)) for p in path.parent.glob("*") if p.name.startswith(head))
    return sorted((int(number), p) for p, number in names if number.isdecimal())


def older(path: Path, number: int) -> Path:
    """The name of an older file."""
    return path.with_name(f"{path.stem}.{number:06d}{path.suffix}")


def _located(line: bytes, path: Path, number: int) -> Record:
    try:
        return from_line(line)
    except JournalError as error:
        raise JournalError(f"{path}:{number}: {error}") from None


def _told(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing or unknown"
    return str(error) or type(error).__name__


def _written(record: Record) -> dict[str, Any]:
    if isinstance(record, Turn):
        return {"is": "turn", **_turn(record)}
    if isinstance(record, Gap):
        return {"is": "gap", "turns": record.turns, "why": record.why}
    return {"is": "header", **asdict(record)}


def _turn(turn: Turn) -> dict[str, Any]:
    observation, decision, actions = turn
    bounds: dict[tuple[float, ...], int] = {}
    pools = {name: _pool(reading, bounds) for name, reading in observation.pools.items()}
    return {
        "time_s": observation.time_s,
        "bounds": list(bounds),
        "pools": pools,
        "reasons": {pool: _reason(reason) for pool, reason in decision.reasons.items()},
        "kept": dict(decision.kept),
        "actions": {pool: _action(action) for pool, action in actions.items()},
    }


def _known(value: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: found for name in names if (found := getattr(value, name)) is not None}


def _pool(reading: PoolReading, bounds: dict[tuple[float, ...], int]) -> dict[str, Any]:
    written = _known(reading, GAUGES)
    if total := _flow(reading.total, bounds):
        written["total"] = total
    if reading.classes:
        written["classes"] = {name: _flow(flow, bounds) for name, flow in reading.classes.items()}
    if reading.replicas is not None:
        written["replicas"] = [_known(replica, REPLICA) for replica in reading.replicas]
    return written


def _flow(flow: Flow, bounds: dict[tuple[float, ...], int]) -> dict[str, Any]:
    written = _known(flow, NUMBERS)
    for name in HISTOGRAMS:
        histogram = getattr(flow, name)
        if histogram is not None:
            at = bounds.setdefault(histogram.bounds, len(bounds))
            written[name] = [at, _cut(histogram.counts), histogram.sum]
    return written


def _cut(counts: tuple[float, ...]) -> tuple[float, ...]:
    """Without the end, where all are the same but for the first of them: past the greatest value nothing is added."""
    last, end = counts[-1], len(counts)
    while end > 1 and counts[end - 2] == last:
        end -= 1
    return counts[:end]


def _reason(reason: Reason) -> list[Any]:
    return [reason.wish, reason.because, *([x.by, x.before, x.after, x.why] for x in reason.limits)]


def _action(action: Action) -> list[Any]:
    return [action.before, action.after, *([] if action.error is None else [action.error])]


def _header_of(found: dict[str, Any]) -> Header:
    if found["format"] != FORMAT:
        raise ValueError(f"format {found['format']}, known is {FORMAT}; read it with poolwright {found['version']}")
    return Header(**{**found, "pools": {name: PoolTraits(**traits) for name, traits in found["pools"].items()}})


def _turn_of(found: dict[str, Any]) -> Turn:
    bounds = [_same(tuple(b)) for b in found["bounds"]]
    observation = Observation(found["time_s"], {name: _pool_of(p, bounds) for name, p in found["pools"].items()})
    reasons = {pool: _reason_of(*reason) for pool, reason in found["reasons"].items()}
    actions = {pool: Action(*action) for pool, action in found["actions"].items()}
    return Turn(observation, Decision(reasons, found["kept"]), actions)


def _pool_of(found: dict[str, Any], bounds: list[tuple[float, ...]]) -> PoolReading:
    if "total" in found:
        found["total"] = _flow_of(found["total"], bounds)
    if "classes" in found:
        found["classes"] = {name: _flow_of(flow, bounds) for name, flow in found["classes"].items()}
    if "replicas" in found:
        found["replicas"] = tuple(ReplicaReading(**replica) for replica in found["replicas"])
    return PoolReading(**found)


def _flow_of(found: dict[str, Any], bounds: list[tuple[float, ...]]) -> Flow:
    for name in HISTOGRAMS:
        if name in found:
            at, counts, total = found[name]
            missing = len(bounds[at]) + 1 - len(counts)
            found[name] = Histogram(bounds[at], (*counts, *counts[-1:] * missing), total)
    return Flow(**found)


def _reason_of(wish: int, because: str, *limits: list[Any]) -> Reason:
    return Reason(wish, because, tuple(Limit(*limit) for limit in limits))


@lru_cache(maxsize=1024)
def _same(bounds: tuple[float, ...]) -> tuple[float, ...]:
    """Equal bounds as one object: most turns have the bounds of the turn before."""
    return bounds


_READ: dict[str, Callable[[dict[str, Any]], Record]] = {
    "header": _header_of,
    "turn": _turn_of,
    "gap": lambda found: Gap(**found),
}
