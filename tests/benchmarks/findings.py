"""Rows of the table: what is to be measured, what was, and how it stands to floor and aims."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from timing import Spread

if TYPE_CHECKING:
    from measuring import Bench


@dataclass(frozen=True, slots=True)
class Figure:
    """What a row measured."""

    spread: Spread
    note: str
    wrong: str = ""
    """What was found that cannot be."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured, the bound that it must keep, and what is aimed at, nearest first."""

    number: int
    what: str
    measure: "Callable[[Bench], Figure]"
    """Raises `NotHereError` where it cannot be taken."""
    floor: float
    aims: tuple[float, ...]
    unit: str = "x"
    more_is_better: bool = True

    def reaches(self, value: float, bound: float) -> bool:
        return value >= bound if self.more_is_better else value <= bound


@dataclass(frozen=True, slots=True)
class Finding:
    """A row with what it measured, or why it could not."""

    row: Row
    figure: Figure | None
    absent: str = ""
    broken: bool = False
    """Whether the measurement itself failed."""

    @property
    def verdict(self) -> str:
        if self.figure is None:
            return "broken" if self.broken else "not measured"
        if self.figure.wrong:
            return "wrong"
        value = self.figure.spread.median
        if not self.row.reaches(value, self.row.floor):
            return "misses floor"
        reached = [aim for aim in self.row.aims if self.row.reaches(value, aim)]
        return f"reaches {reached[-1]:g}" if reached else "keeps floor"

    @property
    def fails(self) -> bool:
        return self.verdict in ("broken", "wrong", "misses floor")

    def plain(self) -> dict[str, Any]:
        """For programs; null where nothing was measured."""
        spread = self.figure and self.figure.spread
        return {
            "row": self.row.number,
            "what": self.row.what,
            "unit": self.row.unit,
            "median": spread and spread.median,
            "low": spread and spread.low,
            "high": spread and spread.high,
            "floor": self.row.floor,
            "aims": self.row.aims,
            "verdict": self.verdict,
            "note": self.absent or (self.figure and self.figure.wrong) or (self.figure and self.figure.note),
        }
