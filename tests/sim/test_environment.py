"""Appointments at exact times, and what comes first within one instant."""

import pytest

from sim.environment import Environment, Phase


def test_what_recurs_happens_at_multiples_and_not_at_sums() -> None:
    env = Environment()
    times_s: list[float] = []
    env.every(0.1, Phase.TICK, lambda: times_s.append(env.now))
    env.run_through(1.0)
    assert times_s == [k * 0.1 for k in range(11)]


def test_at_one_instant_scrapes_come_before_ticks_and_after_arrivals() -> None:
    env = Environment()
    seen: list[str] = []
    env.every(2.0, Phase.TICK, lambda: seen.append("tick"))
    env.every(1.0, Phase.SCRAPE, lambda: seen.append("scrape"))
    env.call(2.0, Phase.ARRIVAL, lambda _: seen.append("arrival"))
    env.run_through(2.0)
    assert seen == ["scrape", "tick", "scrape", "arrival", "scrape", "tick"]


def test_what_recurs_goes_on_where_a_run_goes_on() -> None:
    env = Environment()
    times_s: list[float] = []
    env.every(1.0, Phase.TICK, lambda: times_s.append(env.now))
    env.run_through(1.5)
    env.run_through(3.0)
    assert times_s == [0.0, 1.0, 2.0, 3.0]


def test_an_error_in_what_recurs_is_not_hidden() -> None:
    env = Environment()
    env.every(1.0, Phase.TICK, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        env.run_through(1.0)


def test_an_appointment_in_the_past_is_refused() -> None:
    env = Environment()
    env.run_through(5.0)
    with pytest.raises(ValueError, match=r"an appointment at 4.0 s, but it is 5.0 s already"):
        env.at(4.0, Phase.TICK)
