import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.histogram import Histogram

BOUNDS = (1.0, 2.0, 5.0)


def of(*values: float) -> Histogram:
    counts = tuple(float(sum(v <= bound for v in values)) for bound in (*BOUNDS, float("inf")))
    return Histogram(BOUNDS, counts, sum(values))


def test_the_mean_is_exact_and_quantiles_are_linear_inside_a_bucket() -> None:
    seen = of(1.5, 1.5, 4.0, 4.5)
    assert seen.mean() == 11.5 / 4
    assert seen.quantile(0.25) == 1.5
    assert seen.quantile(0.75) == 3.5
    assert seen.share_at_most(2.0) == 0.5


def test_values_beyond_the_last_bound_are_known_to_be_no_less() -> None:
    seen = of(9.0, 9.0)
    assert seen.quantile(0.5) == 5.0
    assert seen.share_at_most(100.0) == 0.0


def test_nothing_seen_is_unknown() -> None:
    assert of().mean() is None
    assert of().quantile(0.5) is None
    assert of().share_at_most(1.0) is None
    assert of().scv() is None


def test_since_takes_all_after_a_restart() -> None:
    assert of(1.0, 3.0).since(of(1.0)) == of(3.0)
    assert of(1.0).since(of(1.0, 3.0)) == of(1.0)


@pytest.mark.parametrize(("scv", "low", "high"), [(0.25, 0.25, 0.45), (0.5, 0.5, 0.8), (1.0, 1.0, 1.4)])
def test_the_variability_of_a_gamma_law_is_not_read_too_low(scv: float, low: float, high: float) -> None:
    values = np.random.default_rng(1).gamma(1 / scv, scv, 20_000)
    bounds = tuple(m * 10.0**e for e in range(-3, 4) for m in (1, 2, 5))
    counts = tuple(float(np.sum(values <= bound)) for bound in (*bounds, np.inf))
    found = Histogram(bounds, counts, float(values.sum())).scv()
    assert found is not None
    assert low <= found <= high


def test_equal_values_in_one_bucket_vary_by_no_more_than_the_bucket() -> None:
    assert 0 <= (of(1.5, 1.5, 1.5).scv() or 0) < 0.05


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=30), st.floats(0.01, 0.99))
def test_the_quantile_and_the_share_undo_each_other(values: list[float], fraction: float) -> None:
    seen = of(*values)
    value = seen.quantile(fraction)
    assert value is not None
    share = seen.share_at_most(value)
    assert share is not None
    assert share >= fraction - 1e-9
