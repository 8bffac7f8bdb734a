"""Erlang's formulas B, C and A, and the queues M/M/c and M/M/c+M that they describe."""

import math
from dataclasses import dataclass
from functools import cached_property

from policies.queues import domain, palm
from policies.queues.roots import quantile


def b(offered: float, servers: int) -> float:
    """P(all busy), the fraction lost, of M/G/c/c at a load in erlangs; any service law (Erlang 1917, Sevastyanov 1957).

    0 where it is below 1e-300. `offered` may exceed `servers`.
    """
    domain.not_negative(offered=offered)
    domain.whole(0, servers=servers)
    if offered == 0.0:
        return 0.0 if servers else 1.0
    return _blocked(offered, servers)


def _blocked(offered: float, servers: int) -> float:
    # 1/B = 1 + c/a + c(c-1)/a^2 + ...: positive terms only, and few where servers are many.
    inverse = term = 1.0
    for k in range(servers, 0, -1):
        term *= k / offered
        inverse += term
        if term < 1e-17 * inverse or inverse > 1e300:
            break
    return 1.0 / inverse if inverse < 1e300 else 0.0


def carried(offered: float, servers: int) -> float:
    """Mean number of busy servers of M/G/c/c, in erlangs."""
    return offered * (1.0 - b(offered, servers))


def c(offered: float, servers: int) -> float:
    """P(wait) of M/M/c at a load in erlangs (Erlang 1917); 1 where the queue never settles."""
    domain.whole(1, servers=servers)
    return waiting(offered, servers) if offered > 0.0 else b(offered, servers)


def waiting(offered: float, servers: int) -> float:
    """What `c` gives, of a load above 0 and numbers that were checked before."""
    if offered >= servers:
        return 1.0
    blocked = _blocked(offered, servers)
    return blocked / (1.0 - offered / servers * (1.0 - blocked))


@dataclass(frozen=True, slots=True)
class Delay:
    """A wait that is 0 with probability 1 - `probability`, else exponential with mean `mean_s`."""

    probability: float
    mean_s: float

    def tail(self, t_s: float) -> float:
        """P(wait > t)."""
        if t_s < 0.0:
            return 1.0
        return self.probability * math.exp(-t_s / self.mean_s) if self.mean_s > 0.0 else 0.0

    def quantile(self, fraction: float) -> float:
        """The wait, in seconds, that this fraction of the requests does not exceed."""
        domain.inner_fraction(fraction=fraction)
        if self.probability <= 1.0 - fraction:
            return 0.0
        return self.mean_s * math.log(self.probability / (1.0 - fraction))

    def response_tail(self, t_s: float, service_s: float) -> float:
        """P(this wait + an exponential service of mean `service_s` > t)."""
        if t_s < 0.0:
            return 1.0
        alone = math.exp(-t_s / service_s)
        if self.mean_s <= 0.0:
            return alone
        # The sum of two exponentials; written so that equal and nearly equal means need no case of their own.
        slower_s = max(service_s, self.mean_s)
        apart = t_s * abs(1.0 / service_s - 1.0 / self.mean_s)
        shrink = -math.expm1(-apart) / apart if apart > 0.0 else 1.0
        return alone + self.probability * t_s / service_s * math.exp(-t_s / slower_s) * shrink


@dataclass(frozen=True)
class MMC:
    """M/M/c, first come, first served, exact (Gross, Shortle, Thompson & Harris); times in seconds.

    Raises `ValueError` where the queue never settles.
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

    @cached_property
    def wait_probability(self) -> float:
        return c(self.offered, self.servers)

    @property
    def delay(self) -> Delay:
        """The law of the wait."""
        return Delay(self.wait_probability, self.service_s / self.servers / (1.0 - self.utilization))

    @property
    def wait_s(self) -> float:
        """Mean wait before service."""
        return self.delay.probability * self.delay.mean_s

    @property
    def response_s(self) -> float:
        """Mean of wait and service together."""
        return self.wait_s + self.service_s

    @property
    def queue_length(self) -> float:
        """Mean number that wait."""
        return self.rate_per_s * self.wait_s

    @property
    def in_system(self) -> float:
        """Mean number that wait or are served."""
        return self.queue_length + self.offered

    def wait_tail(self, t_s: float) -> float:
        """P(wait > t)."""
        return self.delay.tail(t_s)

    def wait_quantile(self, fraction: float) -> float:
        """The wait, in seconds, that this fraction of the requests does not exceed."""
        return self.delay.quantile(fraction)

    def response_tail(self, t_s: float) -> float:
        """P(wait + service > t)."""
        return self.delay.response_tail(t_s, self.service_s)

    def response_quantile(self, fraction: float) -> float:
        """The response time, in seconds, that this fraction of the requests does not exceed."""
        return quantile(self.response_tail, fraction, self.response_s)


@dataclass(frozen=True)
class ErlangA:
    """M/M/c+M: M/M/c whose requests leave the queue after an exponential patience; exact, and settles at any load.

    Palm (1946); Garnett, Mandelbaum & Reiman (2002); Mandelbaum & Zeltyn (2007). Times in seconds.
    """

    rate_per_s: float
    service_s: float
    servers: int
    patience_s: float

    def __post_init__(self) -> None:
        domain.not_negative(rate_per_s=self.rate_per_s)
        domain.positive(service_s=self.service_s, patience_s=self.patience_s)
        domain.whole(1, servers=self.servers)

    @property
    def offered(self) -> float:
        """Load in erlangs; what abandons is part of it."""
        return self.rate_per_s * self.service_s

    @cached_property
    def wait_probability(self) -> float:
        """P(an arrival finds all servers busy)."""
        blocked = b(self.offered, self.servers)
        if blocked == 0.0:
            return 0.0
        return 1.0 / (1.0 + (1.0 - blocked) / blocked * math.exp(-palm.log_series(*self._ratios)))

    @cached_property
    def queue_length(self) -> float:
        """Mean number that wait."""
        return self.wait_probability * palm.mean_power(*self._ratios)

    @property
    def abandon_probability(self) -> float:
        return self.wait_s / self.patience_s

    @property
    def wait_s(self) -> float:
        """Mean time in the queue, of those served and those that abandon together."""
        return self.queue_length / self.rate_per_s if self.rate_per_s > 0.0 else 0.0

    @property
    def throughput_per_s(self) -> float:
        """Requests served a second."""
        return self.rate_per_s * (1.0 - self.abandon_probability)

    @property
    def utilization(self) -> float:
        return self.throughput_per_s * self.service_s / self.servers

    @property
    def in_system(self) -> float:
        """Mean number that wait or are served."""
        return self.queue_length + self.utilization * self.servers

    def wait_tail(self, t_s: float) -> float:
        """P(time in the queue > t), of those served and those that abandon together."""
        if t_s < 0.0:
            return 1.0
        ends, comes = self._ratios
        impatient = t_s / self.patience_s
        stays = math.exp(-impatient)
        # P(the offered wait > t | it is > 0) is a ratio of incomplete gamma functions, gamma(n, x e^-t) / gamma(n, x).
        exponent = -ends * impatient - comes * math.expm1(-impatient)
        ratio = exponent + palm.log_series(ends, comes * stays) - palm.log_series(ends, comes)
        return self.wait_probability * math.exp(ratio) * stays

    def wait_quantile(self, fraction: float) -> float:
        """The time in the queue, in seconds, that this fraction of the requests does not exceed."""
        return quantile(self.wait_tail, fraction, self.patience_s)

    @property
    def _ratios(self) -> tuple[float, float]:
        """Services that end, and requests that come, in a mean patience while all servers are busy."""
        return self.servers * self.patience_s / self.service_s, self.rate_per_s * self.patience_s
