"""Traffic that is busier at some times than at others, at random, scatters as theory says."""

import math
from typing import Any

import numpy as np
import pytest

from sim.mmpp import Mmpp, RateState
from sim.streams import Stream


def mmpp(*states: tuple[float, float], transitions: Any = None) -> Mmpp:
    return Mmpp(states=tuple(RateState(rate_per_s=r, mean_sojourn_s=m) for r, m in states), transitions=transitions)


BURSTS = mmpp((10, 2), (1, 6))
THREE = mmpp((0, 5), (2, 1), (20, 0.5), transitions=((0, 0.9, 0.1), (0.5, 0, 0.5), (1, 0, 0)))


def counted(process: Mmpp, windows: int, window_s: float, seed: int = 5) -> np.ndarray:
    horizon_s = windows * window_s
    at_s = process.source(Stream(seed))(int(1.2 * horizon_s * process.mean_rate_per_s) + 1000)
    assert at_s[-1] > horizon_s
    return np.histogram(at_s, windows, (0, horizon_s))[0]


def test_two_rates_at_random_scatter_as_heffes_and_lucantoni_say():
    # IEEE J. Sel. Areas Commun. 4 (1986), 856-868: the index of dispersion of a two-state process over any window.
    (a, b), (leave_a, leave_b) = (10, 1), (1 / 2, 1 / 6)
    speed = leave_a + leave_b
    excess = 2 * (a - b) ** 2 * leave_a * leave_b / (speed**2 * (a * leave_b + b * leave_a))
    assert BURSTS.dispersion == pytest.approx(1 + excess, rel=1e-12)
    assert BURSTS.mean_rate_per_s == pytest.approx((a * leave_b + b * leave_a) / speed)
    for window_s in (0.5, 4, 64):
        counts = counted(BURSTS, 4000, window_s)
        expected = 1 + excess * (1 + math.expm1(-speed * window_s) / (speed * window_s))
        # Neighbouring windows depend on each other, so the usual error of a variance is taken twice.
        assert counts.var() / counts.mean() == pytest.approx(expected, rel=10 * math.sqrt(2 / 4000))


def test_states_are_visited_as_their_transitions_say():
    # Visits to (1, 2, 3): 2 = 0.9 * 1, 3 = 0.1 * 1 + 0.5 * 2, so 1 : 0.9 : 0.55, of 5, 1 and 0.5 seconds.
    seconds = np.array([5, 0.9, 0.275])
    assert THREE.shares == pytest.approx(seconds / seconds.sum())
    assert THREE.mean_rate_per_s == pytest.approx((2 * 0.9 + 20 * 0.275) / 6.175)
    counts = counted(THREE, 4000, 500)
    assert counts.var() / counts.mean() == pytest.approx(THREE.dispersion, rel=10 * math.sqrt(2 / 4000))


def test_states_that_differ_in_name_only_are_one():
    split = mmpp((10, 2), (1, 6), (1, 6), transitions=((0, 0.3, 0.7), (1, 0, 0), (1, 0, 0)))
    assert split.dispersion == pytest.approx(BURSTS.dispersion)
    assert mmpp((3, 1), (3, 100)).dispersion == pytest.approx(1)
    assert mmpp((3, 1)).dispersion == 1


def test_a_random_rate_starts_in_its_stationary_law():
    first_second = [counted(BURSTS, 1, 1.0, seed)[0] for seed in range(2000)]
    error = np.std(first_second) / math.sqrt(2000)
    assert np.mean(first_second) == pytest.approx(BURSTS.mean_rate_per_s, abs=5 * error)
