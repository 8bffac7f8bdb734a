"""Rows kept column by column, in a fraction of the memory; a row is made when somebody asks for it."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import starmap
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

Row = TypeVar("Row", bound=tuple[Any, ...])

CODES = {float: "d", int: "q"}
"""Columns of these types are kept as plain numbers, all others as objects."""


class Columns(Sequence[Row], Generic[Row]):
    """Rows of one named tuple, in the order in which they were appended; integers of up to 64 bits."""

    def __init__(self, row: type[Row]) -> None:
        self._row = row
        codes = [CODES.get(kind) for kind in row.__annotations__.values()]
        self._columns: list[array[Any] | list[Any]] = [array(code) if code else [] for code in codes]

    def append(self, row: Row) -> None:
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)

    def column(self, name: str) -> NDArray[Any] | list[Any]:
        """All values of one field: an array of numbers, or a list where they are no plain numbers."""
        column = self._columns[list(self._row.__annotations__).index(name)]
        return np.array(column) if isinstance(column, array) else column

    def __len__(self) -> int:
        return len(self._columns[0])

    def __iter__(self) -> Iterator[Row]:
        return starmap(self._row, zip(*self._columns, strict=True))

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        found = [column[place] for column in self._columns]
        return list(starmap(self._row, zip(*found, strict=True))) if isinstance(place, slice) else self._row(*found)

    def __eq__(self, other: object) -> bool:
        """Bit by bit: a NaN is equal to itself."""
        return isinstance(other, Columns) and self._row is other._row and self._bits() == other._bits()

    def _bits(self) -> list[bytes | list[Any]]:
        return [column.tobytes() if isinstance(column, array) else column for column in self._columns]

    __hash__ = None  # type: ignore[assignment]
