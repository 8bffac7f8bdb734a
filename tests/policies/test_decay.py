"""The decay of a wait's tail: a root, checked against its equation and against closed forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.queues.decay import decay
from policies.queues.fit import Fit

scvs = st.sampled_from([0.0, 1.0]) | st.floats(0.01, 1.0) | st.floats(1.0, 50.0)


@given(scvs, scvs.filter(lambda scv: scv > 0.0), st.floats(0.05, 0.999))
def test_it_is_the_root_of_its_equation(arrival_scv: float, service_scv: float, utilization: float) -> None:
    arrivals, services = Fit(arrival_scv), Fit(service_scv)
    x = 1.0 / decay(arrivals, services, utilization)

    def log_product(at: float) -> float:
        return arrivals.log_transform(at / utilization) + services.log_transform(-at)

    # Negative before and positive after: at a pole beside the root it only can be after.
    assert log_product(x * (1 - 1e-6)) < 0.0
    after = min(x * (1 + 1e-6), 0.5 * (x + services.abscissa))
    assert after <= x or log_product(after) > 0.0 or services.abscissa - x < 1e-6 * x


@given(st.floats(0.01, 0.99))
def test_of_m_m_1_it_is_what_every_book_has(utilization: float) -> None:
    assert decay(Fit(1.0), Fit(1.0), utilization) == pytest.approx(1.0 / (1.0 - utilization))


def test_of_d_m_1_at_half_load_it_is_erlangs_root() -> None:
    # sigma = exp(-2 (1 - sigma)), 0.2031878...; waits decay at 1 - sigma.
    assert decay(Fit(0.0), Fit(1.0), 0.5) == pytest.approx(1.0 / (1.0 - 0.20318786997997995))
