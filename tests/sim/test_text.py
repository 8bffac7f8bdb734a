"""Figures as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.intervals import Estimate
from sim.text import clock, duration, estimate, listed, number, percent, seconds, short, time_unit, usd


def test_large_numbers_are_told_in_full_and_small_ones_by_their_digits() -> None:
    assert [number(x) for x in (0, 5, 12345, 1234.5, 6.4432, 0.00123)] == [
        "0",
        "5",
        "12,345",
        "1,234",
        "6.44",
        "0.00123",
    ]
    assert [short(x) for x in (950, 999.7, 12345, 4.5e6, 0.8)] == ["950", "1 k", "12.3 k", "4.5 M", "0.8"]


def test_unknown_is_no_number_and_an_endless_time_is_never() -> None:
    assert [seconds(x) for x in (None, math.nan, math.inf)] == ["-", "-", "never"]
    assert percent(None) == usd(math.nan) == estimate(None, "s") == "-"


def test_an_interval_shows_two_digits_of_its_half_width() -> None:
    assert estimate(Estimate(6.4432, 6.3531, 6.5324, 30), "s") == "6.443 s [6.353, 6.532]"
    assert estimate(Estimate(1234.5, 1200, 1270, 30), "s") == "1,234 s [1,200, 1,270]"
    assert estimate(Estimate(0.992, 0.989, 0.995, 30), "%") == "99.20 % [98.90, 99.50]"


def test_an_interval_may_have_no_end_or_not_be_there() -> None:
    assert estimate(Estimate(12.3, 11, math.inf, 3), "s") == "12.30 s [11.00, never]"
    assert estimate(Estimate(math.inf, math.inf, math.inf, 3), "s") == "never"
    assert estimate(Estimate(3.4, math.nan, math.nan, 1), "s") == "3.400 s"


def test_what_is_exactly_nothing_or_all_has_no_decimals() -> None:
    assert estimate(Estimate(0.0, 0.0, 0.14, 8), "s") == "0 s [0, 0.140]"
    assert estimate(Estimate(1.0, 0.9935, 1.0, 8), "%") == "100 % [99.35, 100]"


@given(st.floats(0, 1))
def test_only_what_is_whole_reads_as_whole(share: float) -> None:
    text = percent(share)
    assert (text == "100 %") == (share > 1 - 1.01e-11)
    assert (text == "0 %") == (share < 1.01e-11)


@given(st.floats(1e-6, 1e9), st.floats(1e-5, 1.0))
def test_a_rounded_interval_holds_what_is_right(value: float, relative: float) -> None:
    half = value * relative
    shown = estimate(Estimate(value, value - half, value + half, 30))
    middle, low, high = (float(x.replace(",", "")) for x in shown.replace(", ", "|").replace(" [", "|")[:-1].split("|"))
    assert middle == pytest.approx(value, abs=0.051 * half + 6e-6 * value)
    assert (high - low) / 2 == pytest.approx(half, abs=0.051 * half + 6e-6 * value)


def test_money_has_cents_unless_it_is_much_or_little() -> None:
    assert [usd(x) for x in (0, 0.8, 1234.5, 250000.3, -2)] == ["$0.00", "$0.8000", "$1,234.50", "$250,000", "-$2.00"]


def test_times_are_told_in_the_unit_that_fits() -> None:
    assert [duration(s) for s in (45, 90, 3600, 3504, 1408320)] == ["45 s", "90 s", "1 h", "58.4 min", "16.3 d"]
    assert [time_unit(s).symbol for s in (120, 7200, 86400, 180000, 604800)] == ["s", "min", "h", "h", "days"]


def test_moments_are_told_as_by_a_clock() -> None:
    assert [clock(t) for t in (0, 135, 46807.5, 187200, 59.97)] == [
        "0:00:00",
        "0:02:15",
        "13:00:07.5",
        "2 d 04:00:00",
        "0:01:00",
    ]


def test_words_are_listed() -> None:
    assert [listed(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
