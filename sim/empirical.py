"""Durations that were seen, and where they are read from."""

import csv
import gzip
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationInfo
from pydantic.dataclasses import dataclass

from policies.spec import STRICT, AList, NonNegative, Positive, Seconds
from sim.draws import Sampler, chooser, inner
from sim.streams import Stream


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Empirical:
    """Durations that were seen, drawn with replacement; given here, or in a file that `resolved` reads."""

    kind: Literal["empirical"] = "empirical"
    values_s: Annotated[tuple[Seconds, ...], AList] = ()
    """The durations, in seconds."""
    weights: Annotated[tuple[NonNegative, ...], AList] = ()
    """How often each value comes, relative to the others; none given: all alike."""
    file: str | None = None
    """A CSV file with a header, gzipped where it ends in .gz; a relative path starts at the scenario's folder."""
    column: str | None = None
    """The column of the file that holds the durations."""
    unit_s: Positive = 1.0
    """Seconds in one unit of the column: 0.001 where it holds milliseconds."""
    where: dict[str, str] | None = None
    """Only rows in which each column named here holds exactly this text."""

    def __post_init__(self) -> None:
        if bool(self.values_s) == bool(self.file):
            raise ValueError("an empirical law needs either values_s, not empty, or file and column")
        if self.file and not self.column:
            raise ValueError(f"file {self.file} needs the name of its column of durations; give column")
        if not self.file and (self.column or self.where or self.unit_s != 1):
            raise ValueError("column, unit_s and where are said of a file; leave them out beside values_s")
        if self.weights and (len(self.weights) != len(self.values_s) or not any(self.weights)):
            raise ValueError(f"{len(self.values_s)} values_s need as many weights, not all 0, got {len(self.weights)}")

    def resolved(self, folder: Path) -> "Empirical":
        """The same law with its values, read from its file where it names one.

        Raises `ValueError` naming file, line and column where something is missing, no number, or below 0.
        """
        if self.file is None:
            return self
        values_s = self._read(folder / self.file)
        if not values_s:
            rows = f"no rows where {self.where}" if self.where else "no rows"
            raise ValueError(f"{folder / self.file}: {rows}; nothing to draw from")
        return Empirical(values_s=values_s)

    def _read(self, path: Path) -> tuple[float, ...]:
        try:
            with _opened(path) as lines:
                return tuple(value * self.unit_s for value in self._picked(path, csv.DictReader(lines)))
        except FileNotFoundError:
            raise ValueError(f"{path}: no such file; a relative path starts at the scenario's folder") from None
        except (OSError, EOFError, UnicodeError, csv.Error, zlib.error) as fault:
            raise ValueError(f"{path}: cannot be read as CSV: {fault}") from fault

    def _picked(self, path: Path, rows: "csv.DictReader[str]") -> Iterator[float]:
        there = rows.fieldnames or ()
        column, where = str(self.column), self.where or {}
        if missing := [name for name in (column, *where) if name not in there]:
            raise ValueError(f"{path}: no column {missing[0]}; columns are {', '.join(there)}")
        for row in rows:
            if all(row[name] == text for name, text in where.items()):
                yield _duration(row[column], f"{path}:{rows.line_num}: {column}")

    @property
    def _values_s(self) -> NDArray[np.float64]:
        if not self.values_s:
            raise ValueError(f"{self.file}: durations not read yet; call resolved with the scenario's folder first")
        return np.array(self.values_s)

    @property
    def mean_s(self) -> float:
        return float(np.average(self._values_s, weights=self.weights or None))

    @property
    def scv(self) -> float:
        mean_s = self.mean_s
        variance = float(np.average((self._values_s - mean_s) ** 2, weights=self.weights or None))
        return variance / mean_s**2 if mean_s else 0.0

    def quantile(self, fraction: float) -> float:
        """The least value at or below which at least this share of the weight lies."""
        order = np.argsort(self._values_s)
        share = np.cumsum(np.array(self.weights)[order] if self.weights else np.ones(len(order)))
        return float(self._values_s[order[np.searchsorted(share, inner(fraction) * share[-1])]])

    def sampler(self, stream: Stream) -> Sampler:
        values_s = self._values_s
        if self.weights:
            index = chooser(stream, self.weights)
            return lambda n: values_s[index(n)]
        generator = stream.generator()
        return lambda n: values_s[generator.integers(len(values_s), size=n)]


def read_on_loading(law: Empirical, info: ValidationInfo) -> Empirical:
    """The law with its values, where validation is told the `folder` of the scenario in its context."""
    return law.resolved(info.context["folder"]) if info.context and "folder" in info.context else law


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _duration(text: str | None, place: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        raise ValueError(f"{place}: {text!r} is no number; mend the row or leave it out with where") from None
    if not 0 <= value < math.inf:
        raise ValueError(f"{place}: {value:g} is no duration; must be at least 0 and finite")
    return value
