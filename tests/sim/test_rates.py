"""Expected numbers of arrivals are turned back into times."""

import math

import numpy as np
import pytest

from sim.rates import NO_STEPS, Wave, mean_of_wave, poisson_through
from sim.streams import Stream


@pytest.mark.parametrize("sharpness", [1, 2, 7, 30])
@pytest.mark.parametrize("height", [0.0, 0.5, 1 - 1e-9, 1.0])
def test_a_wave_is_inverted_to_rounding_even_where_its_rate_is_0(sharpness, height):
    wave = Wave(1 + height * (1 / mean_of_wave(sharpness) - 1), sharpness)
    near = np.geomspace(1e-16, 3, 20_000)
    expected = np.sort(np.concatenate([math.pi - near, math.pi + near]))
    assert np.abs(wave.expected(wave.angle(expected)) - expected).max() < 8 * np.spacing(2 * math.pi)


def test_what_is_due_while_nobody_comes_comes_when_the_rate_is_back():
    two_then_none = NO_STEPS.followed_by(np.array([4.0, 6.0, 8.0]), np.array([0.5, 0.0, 1.0]))
    assert two_then_none.when(np.array([1.0, 2.0, 3.0])).tolist() == [2, 10, 11]


def test_an_inverse_that_rounds_backwards_lets_nobody_overtake():
    draw = poisson_through(lambda _: np.array([3.0, 2.0, 5.0]), Stream(1))
    assert draw(3).tolist() == [3, 3, 5]
    assert draw(3).tolist() == [5, 5, 5]
