"""Poisson arrivals before servers that all take the same time for every request: M/D/1 and M/D/c, exact."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from policies.queues import domain
from policies.queues.roots import quantile, root

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

_EXACT_SERVICES = 16
"""From here on the second exponential in P(wait > t) of M/D/1 is below 1e-14 of the first."""


@dataclass(frozen=True)
class MD1:
    """M/D/1, first come, first served, with the law of its wait (Erlang 1909). Times in seconds.

    Raises `ValueError` where the queue never settles.
    """

    rate_per_s: float
    service_s: float

    def __post_init__(self) -> None:
        domain.not_negative(rate_per_s=self.rate_per_s)
        domain.positive(service_s=self.service_s)
        domain.settled(self.utilization, 1)

    @property
    def utilization(self) -> float:
        """Fraction of time the server is busy, which is P(an arrival waits) too."""
        return self.rate_per_s * self.service_s

    wait_probability = utilization

    @property
    def wait_s(self) -> float:
        """Mean wait before service."""
        return 0.5 * self.utilization * self.service_s / (1.0 - self.utilization)

    @property
    def response_s(self) -> float:
        """Mean of wait and service together."""
        return self.wait_s + self.service_s

    @property
    def queue_length(self) -> float:
        """Mean number that wait."""
        return self.rate_per_s * self.wait_s

    def wait_tail(self, t_s: float) -> float:
        """P(wait > t), to 14 decimals."""
        services = t_s / self.service_s
        if services < 0.0:
            return 1.0
        if self.rate_per_s == 0.0:
            return 0.0
        if services >= _EXACT_SERVICES:
            scale, decay = self._asymptote
            return scale * math.exp(-decay * services)
        return max(0.0, 1.0 - self._share_within(services))

    def wait_quantile(self, fraction: float) -> float:
        """The wait, in seconds, that this fraction of the requests does not exceed."""
        return quantile(self.wait_tail, fraction, self.service_s)

    def response_tail(self, t_s: float) -> float:
        """P(wait + service > t)."""
        return self.wait_tail(t_s - self.service_s)

    def response_quantile(self, fraction: float) -> float:
        """The response time, in seconds, that this fraction of the requests does not exceed."""
        return self.service_s + self.wait_quantile(fraction)

    def _share_within(self, services: float) -> float:
        """P(wait <= so many services); positive terms only (Franx 2001), where Erlang's series alternates."""
        whole = math.floor(services)
        mean = self.utilization * (whole + 1 - services)
        term, share = math.exp(-mean), 0.0
        for j in range(whole + 1):
            share += self._at_most[whole - j + 1] * term
            term *= mean / (j + 1)
        return share

    @cached_property
    def _at_most(self) -> list[float]:
        """P(at most n in the system) for n = 0, 1, ..., by the flows up and down across each level."""
        busy = self.utilization
        arrive = [math.exp(-busy)]
        for k in range(1, 3 * _EXACT_SERVICES):
            arrive.append(arrive[-1] * busy / k)
        more = [math.fsum(arrive[k + 1 :]) for k in range(_EXACT_SERVICES + 1)]
        states = [1.0 - busy]
        for n in range(_EXACT_SERVICES):
            up = states[0] * more[n] + sum(states[i] * more[n + 1 - i] for i in range(1, n + 1))
            states.append(up / arrive[0])
        return [math.fsum(states[: n + 1]) for n in range(len(states))]

    @cached_property
    def _asymptote(self) -> tuple[float, float]:
        """P(wait > t services) ~ scale exp(-decay t): the first pole of the Pollaczek-Khinchine transform."""
        busy, idle = self.utilization, 1.0 - self.utilization
        low = idle / busy
        high = 2.0 * low
        while math.log1p(high) > busy * high:
            high *= 2.0
        pole = root(lambda x: math.log1p(x) - busy * x, low, high)
        return idle / (busy * pole - idle), busy * pole


@dataclass(frozen=True)
class MDC:
    """M/D/c, first come, first served: P(wait) and means, to 9 digits at least. Times in seconds.

    With constant services every c-th request meets the same server, so the wait is that of E_c/D/1, whose law
    Spitzer's identity (1956) gives as a sum over Poisson probabilities. Raises `ValueError` where it never settles.
    """

    rate_per_s: float
    service_s: float
    servers: int

    def __post_init__(self) -> None:
        domain.not_negative(rate_per_s=self.rate_per_s)
        domain.positive(service_s=self.service_s)
        domain.whole(1, servers=self.servers)
        domain.settled(self.offered, self.servers)

    @property
    def offered(self) -> float:
        """Load in erlangs, which is the mean number of busy servers."""
        return self.rate_per_s * self.service_s

    @property
    def utilization(self) -> float:
        return self.offered / self.servers

    @property
    def wait_probability(self) -> float:
        return -math.expm1(-self._sums[0])

    @property
    def wait_s(self) -> float:
        """Mean wait before service."""
        return self.service_s * self._sums[1]

    @property
    def response_s(self) -> float:
        """Mean of wait and service together."""
        return self.wait_s + self.service_s

    @property
    def queue_length(self) -> float:
        """Mean number that wait."""
        return self.rate_per_s * self.wait_s

    @cached_property
    def _sums(self) -> tuple[float, float]:
        """The sums over k = 1, 2, ... of P(X < k)/k and of E max(0, k - X)/k, where X is the time, in services, in
        which k times c requests come."""
        if self.rate_per_s == 0.0:
            return 0.0, 0.0
        from numpy import arange

        first = 200
        decay = first * _deviance(self.utilization) * self.servers
        waits, means = self._terms(arange(1.0, first + 1.0)).sum(axis=1)
        if decay < 45.0:
            more = self._terms_beyond(first, first * 45.0 / decay)
            waits, means = waits + more[0], means + more[1]
        return float(waits), float(means)

    def _terms(self, k: "NDArray[float64]") -> "NDArray[float64]":
        """Both summands, one row each, at any real k."""
        from numpy import array, exp, where
        from scipy.special import erfc, gammainc

        n, deviance = k * self.servers, _deviance(self.utilization)
        idle = 1.0 - self.utilization
        density = exp(-n * deviance) / (2.0 * math.pi * n) ** 0.5
        # The library's incomplete gamma function is off by 10 % and more beyond n = 10^6; Temme's expansion is not.
        skew = 1.0 / math.sqrt(2.0 * deviance) - 1.0 / idle if idle > 1e-5 else -1 / 3 - idle / 12.0
        far = 0.5 * erfc((n * deviance) ** 0.5) - density * skew
        sooner = where(n < 1e5, gammainc(n, n * self.utilization), far)
        exactly = density * exp(-_stirling(n))
        return array([sooner / k, (exactly - idle * sooner) / self.utilization])

    def _terms_beyond(self, first: int, last: float) -> "NDArray[float64]":
        """The sums over k > first by Euler and Maclaurin: the integral over log k, and a correction at its start."""
        from numpy import array, diff, exp, linspace, log
        from numpy.polynomial.legendre import leggauss

        start, end = log(first + 0.5), log(first + 0.5 + last)
        panels = linspace(start, end, 2 + int(2.0 * (end - start)))
        nodes, weights = leggauss(16)
        half = 0.5 * diff(panels)[:, None]
        k = exp(panels[:-1, None] + half * (1.0 + nodes)).ravel()
        integral = self._terms(k) @ (k * (half * weights).ravel())
        edge = self._terms(array([first, first + 1.0]))
        return integral + (edge[:, 1] - edge[:, 0]) / 24.0


def _deviance(busy: float) -> float:
    """busy - 1 - log(busy), the exponent at which P(k c requests come in k services) falls with k c."""
    idle = 1.0 - busy
    if idle < 1e-3:
        return idle * idle * (1 / 2 + idle * (1 / 3 + idle * (1 / 4 + idle * (1 / 5 + idle / 6))))
    return -idle - (math.log1p(-idle) if idle < 0.5 else math.log(busy))


def _stirling(n: "NDArray[float64]") -> "NDArray[float64]":
    """log(n!) less its approximation n log n - n + log(2 pi n)/2, for n >= 1."""
    from numpy import log, where
    from scipy.special import gammaln

    small = gammaln(n + 1.0) - (n + 0.5) * log(n) + n - 0.5 * math.log(2.0 * math.pi)
    square = n * n
    return where(n < 32, small, (1 / 12 - (1 / 360 - (1 / 1260 - 1 / (1680 * square)) / square) / square) / n)
