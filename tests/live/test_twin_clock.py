"""Clocks that move only when told to, or faster than the machine's."""

import time

from live.clock import WallClock
from live.twin.clock import FastClock, Skewed, VirtualClock


def test_virtual_time_passes_in_waits_only() -> None:
    clock = VirtualClock(epoch_s=1000.0)
    assert clock.wait(15.0)
    assert (clock.now_s(), clock.monotonic_s()) == (1015.0, 15.0)


def test_appointments_are_kept_at_their_moment_in_the_order_made() -> None:
    clock, seen = VirtualClock(epoch_s=0.0), list[tuple[str, float]]()
    clock.later(10.0, lambda: seen.append(("late", clock.now_s())))
    clock.later(5.0, lambda: seen.append(("one", clock.now_s())))
    clock.later(5.0, lambda: seen.append(("two", clock.now_s())))
    clock.wait(7.0)
    assert seen == [("one", 5.0), ("two", 5.0)]
    clock.wait(3.0)
    assert seen[-1] == ("late", 10.0)


def test_an_appointment_may_take_longer_than_the_wait_in_which_it_falls() -> None:
    clock = VirtualClock(epoch_s=0.0)
    clock.later(1.0, lambda: clock.wait(20.0) and None)
    clock.wait(5.0)
    assert clock.now_s() == 21.0


def test_a_jump_moves_the_clock_on_the_wall_alone() -> None:
    clock = VirtualClock(epoch_s=0.0)
    clock.wait(10.0)
    clock.jump(-3600.0)
    assert (clock.now_s(), clock.monotonic_s(), clock.true_s()) == (-3590.0, 10.0, 10.0)
    assert Skewed(clock, 5.0).now_s() == -3585.0


def test_a_stop_ends_waits_at_once() -> None:
    clock = VirtualClock()
    clock.later(3.0, clock.stop)
    assert not clock.wait(10.0)
    assert clock.monotonic_s() == 3.0
    assert not clock.wait(1.0)
    assert clock.monotonic_s() == 3.0
    for real in (WallClock(), FastClock()):
        real.stop()
        assert not real.wait(60.0)


def test_a_fast_clock_waits_less() -> None:
    clock = FastClock(speed=1000.0)
    began_s, seen_s = time.monotonic(), clock.now_s()
    assert clock.wait(20.0)
    assert clock.now_s() - seen_s >= 20.0
    assert time.monotonic() - began_s < 5.0
