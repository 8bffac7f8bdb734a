"""Processor sharing: n requests on c servers each get the fraction min(1, c/n) of a server, and nobody waits."""

from dataclasses import dataclass

from policies.queues.erlang import MMC


@dataclass(frozen=True)
class ProcessorSharing:
    """M/G/c-PS; its means are exact for any service law (Cohen 1979, Kelly 1979). Times in seconds.

    `service_s` is the mean time a request would take alone. Raises `ValueError` where the queue never settles.
    """

    rate_per_s: float
    service_s: float
    servers: int = 1

    def __post_init__(self) -> None:
        _ = self._markovian

    @property
    def _markovian(self) -> MMC:
        return MMC(self.rate_per_s, self.service_s, self.servers)

    @property
    def utilization(self) -> float:
        return self._markovian.utilization

    @property
    def in_system(self) -> float:
        """Mean number in service."""
        return self._markovian.in_system

    @property
    def response_s(self) -> float:
        return self._markovian.response_s

    @property
    def slowdown(self) -> float:
        """Mean response over mean service alone."""
        return self.response_s / self.service_s

    def response_of_s(self, alone_s: float) -> float:
        """Mean response of a request that would take `alone_s`; one server only (Kleinrock 1967).

        Raises `ValueError` for more servers, where no such formula is known.
        """
        self._only_one("response_of_s")
        return alone_s / (1.0 - self.utilization)

    @property
    def exponential_response_variance_s2(self) -> float:
        """Variance of the response where services are exponential; one server only (Coffman, Muntz & Trotter 1970)."""
        self._only_one("exponential_response_variance_s2")
        busy = self.utilization
        return (2.0 + busy) / (2.0 - busy) * (self.service_s / (1.0 - busy)) ** 2

    def _only_one(self, what: str) -> None:
        if self.servers != 1:
            raise ValueError(f"servers is {self.servers}, {what} is known for 1 only")
