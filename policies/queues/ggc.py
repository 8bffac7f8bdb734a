"""The G/G/c queue by its first two moments.

No exact formula for G/G/c is known. Where both squared coefficients of variation (SCV) are 1, all answers are those
of M/M/c; where there is one server and Poisson arrivals, the mean wait is that of Pollaczek and Khinchine.
"""

import math
from dataclasses import dataclass
from functools import cached_property

from policies.queues import domain, waits
from policies.queues.erlang import MMC, Delay
from policies.queues.fit import counted, fit
from policies.queues.roots import quantile


@dataclass(frozen=True)
class GGC:
    """G/G/c, first come, first served, by rate, mean service and their SCVs; approximate. Times in seconds.

    Against simulation (1 to 100 servers, SCVs 0 to 4, Erlang and balanced hyperexponential laws, P(wait) above 0.05)
    the mean wait errs by 8 % in the mean and 22 % in nine cases of ten, where Allen-Cunneen errs by 33 % and 97 %;
    P(wait) by 7 % and 15 %, the 99 % quantile of the wait by 10 % and 22 %, that of the response by 3 % and 7 %.
    Regular arrivals (SCV 0) are worst: -44 % to +62 % of the mean wait. Arrivals are taken to be independent of each
    other; for bursts that last, see `dispersion`. Raises `ValueError` where the queue
    never settles.
    """

    rate_per_s: float
    service_s: float
    servers: int
    arrival_scv: float = 1.0
    service_scv: float = 1.0

    def __post_init__(self) -> None:
        domain.not_negative(arrival_scv=self.arrival_scv, service_scv=self.service_scv)
        _ = self.markovian
        for name in ("arrival_scv", "service_scv"):
            object.__setattr__(self, name, counted(getattr(self, name)))

    @cached_property
    def markovian(self) -> MMC:
        """M/M/c under the same load."""
        return MMC(self.rate_per_s, self.service_s, self.servers)

    @property
    def offered(self) -> float:
        """Load in erlangs, which is the mean number of busy servers."""
        return self.markovian.offered

    @property
    def utilization(self) -> float:
        return self.markovian.utilization

    @cached_property
    def wait_probability(self) -> float:
        """P(an arrival waits).

        For arrivals at least as variable as Poisson's, Whitt (1993), and no less than Whitt (2004) has
        for many servers: Halfin and Whitt's formula at beta / sqrt(peakedness). For steadier ones Erlang C, by the
        ratio of that to Halfin and Whitt's own. Exact for M/M/c and M/G/1.
        """
        return waits.probability(*self._shape)

    @cached_property
    def delay(self) -> Delay:
        """The law of the wait, taken to be exponential where it is not 0, with the greater of two means.

        That is the mean wait, or the decay at great t, exact for the fitted laws. Services more variable than the
        exponential have a tail heavier than their mean tells; a sizing must not be fooled by it.
        """
        delay = waits.delay(*self._shape)
        return Delay(delay.probability, delay.mean_s * self.service_s)

    @property
    def wait_s(self) -> float:
        """Mean wait before service."""
        return waits.mean(*self._shape) * self.service_s

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
        """P(wait + service > t), with the service's law fitted to its mean and SCV."""
        return fit(self.service_scv).tail_after(waits.delay(*self._shape), t_s / self.service_s)

    def response_quantile(self, fraction: float) -> float:
        """The response time, in seconds, that this fraction of the requests does not exceed."""
        return quantile(self.response_tail, fraction, self.response_s)

    @property
    def allen_cunneen_wait_s(self) -> float:
        """Mean wait by Allen & Cunneen (1978); with one server it is Kingman's VUT formula.

        Errs from -14 % (H2/M/5) to +21 % (E4/M/4) at a utilization of 0.8; by +72 % for D/M/50 at 0.9, and by -68 %
        for H2/D/40 at 0.8: do not size many servers by it.
        """
        return self.markovian.wait_s * 0.5 * (self.arrival_scv + self.service_scv)

    @property
    def kraemer_langenbach_belz_wait_s(self) -> float:
        """Mean wait by Kraemer & Langenbach-Belz (1976): Allen-Cunneen, less for arrivals that are not Poisson.

        Better than Allen-Cunneen for arrivals with SCV below 1, worse above (-20 % for H2/M/5 at utilization 0.8).
        """
        busy, ca, cs = self.utilization, self.arrival_scv, self.service_scv
        if busy == 0.0 or ca + cs == 0.0:
            return 0.0
        if ca < 1.0:
            exponent = 2.0 * (1.0 - busy) * (1.0 - ca) ** 2 / (3.0 * busy * (ca + cs))
        else:
            exponent = (1.0 - busy) * (ca - 1.0) / (ca + 4.0 * cs)
        return self.allen_cunneen_wait_s * math.exp(-exponent)

    @property
    def kingman_bound_s(self) -> float:
        """What the mean wait before one server never exceeds (Kingman 1962). Raises `ValueError` for more servers."""
        if self.servers != 1:
            raise ValueError(f"servers is {self.servers}, the bound holds for 1 only")
        return waits.kingman_bound(self.offered, self.arrival_scv, self.service_scv) * self.service_s

    @property
    def _shape(self) -> tuple[float, int, float, float]:
        """What the law of the wait depends on, but for the unit of time."""
        return self.offered, self.servers, self.arrival_scv, self.service_scv
