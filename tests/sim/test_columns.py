"""Rows kept as columns are the rows that were put in, and far smaller."""

import pickle
import tracemalloc
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from sim.columns import Columns


class Row(NamedTuple):
    time_s: float
    number: int
    wish: int | None
    why: str


class Numbers(NamedTuple):
    share: float
    number: int


rows = st.builds(
    Row, st.floats(allow_nan=False), st.integers(-(2**63), 2**63 - 1), st.none() | st.integers(), st.text(max_size=3)
)


def columns(of: list[Row]) -> Columns[Row]:
    made = Columns(Row)
    for row in of:
        made.append(row)
    return made


@given(st.lists(rows))
def test_the_rows_are_those_that_were_put_in(put_in: list[Row]) -> None:
    kept = columns(put_in)
    assert list(kept) == put_in
    assert len(kept) == len(put_in)
    assert kept[-2:] == put_in[-2:]
    assert [kept[i] for i in range(len(kept))] == put_in
    assert pickle.loads(pickle.dumps(kept)) == kept


@given(st.lists(rows), st.lists(rows))
def test_they_are_equal_where_their_rows_are(some: list[Row], others: list[Row]) -> None:
    assert (columns(some) == columns(others)) == (some == others)


def test_a_column_of_numbers_is_an_array_and_stays_as_it_was() -> None:
    kept = columns([Row(1.0, 2, None, "load"), Row(2.0, 3, 4, "load")])
    numbers = kept.column("number")
    kept.append(Row(3.0, 5, 6, "load"))
    assert list(numbers) == [2, 3]
    assert kept.column("wish") == [None, 4, 6]
    assert isinstance(kept[1].number, int)


def test_a_number_takes_eight_bytes() -> None:
    tracemalloc.start()
    try:
        kept = Columns(Numbers)
        for i in range(10_000):
            kept.append(Numbers(i / 3, i + 1_000))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 10_000 * 2 * 8 * 1.25
