"""Poisson arrivals before one server, first come, first served: M/G/1, its set-up, and arrivals in batches."""

from dataclasses import dataclass

from policies.queues import domain


@dataclass(frozen=True, slots=True)
class MG1:
    """M/G/1, exact (Pollaczek 1930, Khinchine 1932; Kleinrock vol. 1, ch. 5). Times in seconds.

    `service_third_moment_s3` is E S^3, None where it is not known; only the variance of the wait needs it.
    Raises `ValueError` where the queue never settles.
    """

    rate_per_s: float
    service_s: float
    service_scv: float = 1.0
    service_third_moment_s3: float | None = None

    def __post_init__(self) -> None:
        domain.not_negative(rate_per_s=self.rate_per_s, service_scv=self.service_scv)
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
        return 0.5 * self.rate_per_s * _second_moment(self.service_s, self.service_scv) / (1.0 - self.utilization)

    @property
    def wait_variance_s2(self) -> float | None:
        """Variance of the wait (Takacs 1962); None where the third moment of the service is not known."""
        if self.service_third_moment_s3 is None:
            return None
        return self.wait_s**2 + self.rate_per_s * self.service_third_moment_s3 / (3.0 * (1.0 - self.utilization))

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
        return self.rate_per_s * self.response_s


def setup_wait_s(rate_per_s: float, setup_s: float, setup_scv: float = 1.0) -> float:
    """What is added to the mean wait of M/G/1 by a set-up at the start of each busy period, in seconds.

    The server switches off when it is empty, and sets up when the next request comes. Exact (Welch 1964; Levy &
    Kleinrock 1986): the response is that of M/G/1 and, independent of it, this.
    """
    domain.not_negative(rate_per_s=rate_per_s, setup_s=setup_s, setup_scv=setup_scv)
    twice = 2.0 * setup_s + rate_per_s * _second_moment(setup_s, setup_scv)
    return 0.5 * twice / (1.0 + rate_per_s * setup_s)


@dataclass(frozen=True, slots=True)
class BatchMM1:
    """M^[X]/M/1: Poisson batches of requests, served one by one; exact. Times in seconds.

    Gross, Shortle, Thompson & Harris. Raises `ValueError` where the queue never settles.
    """

    batches_per_s: float
    service_s: float
    batch_size: float
    """Mean number of requests in a batch, at least 1."""
    batch_scv: float = 0.0

    def __post_init__(self) -> None:
        domain.not_negative(batches_per_s=self.batches_per_s, batch_scv=self.batch_scv)
        domain.positive(service_s=self.service_s)
        if not self.batch_size >= 1.0:
            raise ValueError(f"batch_size is {self.batch_size}, must be at least 1")
        domain.settled(self.utilization, 1)

    @property
    def rate_per_s(self) -> float:
        return self.batches_per_s * self.batch_size

    @property
    def utilization(self) -> float:
        return self.rate_per_s * self.service_s

    @property
    def response_s(self) -> float:
        """Mean of wait and service together, over requests."""
        ahead = 0.5 * (self.batch_size * (1.0 + self.batch_scv) + 1.0)
        return ahead * self.service_s / (1.0 - self.utilization)

    @property
    def wait_s(self) -> float:
        """Mean wait before service, over requests."""
        return self.response_s - self.service_s

    @property
    def in_system(self) -> float:
        """Mean number that wait or are served."""
        return self.rate_per_s * self.response_s


def _second_moment(mean: float, scv: float) -> float:
    return mean * mean * (1.0 + scv)
