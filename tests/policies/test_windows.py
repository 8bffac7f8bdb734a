from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from policies.histogram import Histogram
from policies.testing import seen
from policies.windows import Window

counts = st.lists(st.integers(0, 50), min_size=2, max_size=40)


def fed(totals: list[float], every_s: float = 10.0, span_s: float = 1e9, field: str = "arrived_total") -> Window:
    """A window that saw a counter at these values, one reading every `every_s`."""
    window = Window(span_s)
    for k, total in enumerate(totals):
        window.see(seen(k * every_s, **{field: total}), "m/v1")
    return window


def grown(steps: list[int]) -> list[float]:
    totals = [0.0]
    for step in steps:
        totals.append(totals[-1] + step)
    return totals


def test_the_rate_is_growth_over_time() -> None:
    assert fed([0, 20, 40, 60]).rate_per_s("arrived_total") == 2.0
    assert fed([0, 20, 40, 100]).rate_per_s("arrived_total", last_s=10.0) == 6.0


def test_one_reading_makes_no_rate() -> None:
    assert fed([5]).rate_per_s("arrived_total") is None
    assert fed([]).rate_per_s("arrived_total") is None


def test_a_counter_that_went_back_was_restarted() -> None:
    assert fed([100, 120, 5, 15]).increase("arrived_total") == (20 + 5 + 10, 30.0)


def test_the_same_scrape_seen_twice_counts_once() -> None:
    window = Window(100.0)
    window.see(seen(10.0, age_s=0.0, arrived_total=0), "m/v1")
    window.see(seen(20.0, age_s=0.0, arrived_total=50), "m/v1")
    window.see(seen(30.0, age_s=10.0, arrived_total=50), "m/v1")
    assert window.rate_per_s("arrived_total") == 5.0


def test_a_window_as_long_as_the_time_between_two_readings_holds_both() -> None:
    window = Window(60.0)
    window.see(seen(60.0, age_s=30.0, arrived_total=0), "m/v1")
    window.see(seen(120.0, age_s=30.0, arrived_total=120), "m/v1")
    assert window.rate_per_s("arrived_total") == 2.0


def test_readings_that_no_longer_come_say_nothing_of_now() -> None:
    window = Window(60.0)
    for time_s in (0.0, 30.0, 60.0):
        window.see(seen(time_s, arrived_total=time_s), "m/v1")
    window.see(seen(130.0, age_s=70.0, arrived_total=60.0), "m/v1")
    assert window.rate_per_s("arrived_total") is None


def test_what_was_never_read_is_not_seen() -> None:
    window = Window(100.0)
    window.see(seen(10.0, age_s=None), "m/v1")
    assert window.latest("queued") is None


def test_a_reading_without_the_counter_is_passed_over() -> None:
    window = Window(100.0)
    for time_s, arrived in ((0.0, 0.0), (10.0, None), (20.0, 40.0)):
        window.see(seen(time_s, arrived_total=arrived), "m/v1")
    assert window.rate_per_s("arrived_total") == 2.0


@given(counts, st.integers(0, 10))
def test_a_window_that_was_fed_its_span_is_as_good_as_one_that_was_always_there(steps: list[int], more: int) -> None:
    totals = grown(steps)
    old, new = fed(totals, span_s=100.0), Window(100.0)
    for k in range(max(0, len(totals) - 11 - more), len(totals)):
        new.see(seen(k * 10.0, arrived_total=totals[k]), "m/v1")
    assert old.increase("arrived_total") == new.increase("arrived_total")
    assert list(old.growth("arrived_total", 10.0)) == list(new.growth("arrived_total", 10.0))


@given(counts)
def test_increase_adds_up_whatever_restarts(steps: list[int]) -> None:
    totals = [0.0]
    for i, step in enumerate(steps):
        totals.append((0.0 if i % 7 == 3 else totals[-1]) + step)
    found = fed(totals).increase("arrived_total")
    assert found is not None
    # A restart that grew past its old value cannot be seen: growth is then counted short, never too long.
    assert found[0] <= sum(steps)
    if all(b >= a for a, b in pairwise(totals)):
        assert found[0] == totals[-1]


def test_growth_comes_in_intervals_of_about_the_length_asked_for() -> None:
    window = fed(grown([1, 2, 3, 4, 5]))
    assert list(window.growth("arrived_total", 10.0)) == [(10.0, float(n)) for n in (1, 2, 3, 4, 5)]
    assert list(window.growth("arrived_total", 15.0)) == [(20.0, 3.0), (20.0, 7.0)]


def test_growth_goes_on_over_a_restart() -> None:
    assert list(fed([100, 120, 5, 15]).growth("arrived_total", 10.0)) == [(10.0, 20.0), (10.0, 5.0), (10.0, 10.0)]


def test_histograms_add_up_over_a_restart() -> None:
    window = Window(1000.0)
    for k, counts_ in enumerate([(0, 0), (2, 4), (3, 6), (1, 1), (2, 5)]):
        histogram = Histogram((1.0,), tuple(map(float, counts_)), float(counts_[-1]))
        window.see(seen(10.0 * k, wait_s=histogram), "m/v1")
    assert window.histogram("wait_s") == Histogram((1.0,), (5.0, 11.0), 11.0)
