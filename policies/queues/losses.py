"""Queues that lose requests at a limit: of places, M/M/c/K, or of patience, M/M/c+D."""

import math
from dataclasses import dataclass
from functools import cached_property

from policies.queues import domain, erlang


@dataclass(frozen=True)
class MMCK:
    """M/M/c/K: an arrival that finds `places` requests, waiting or in service, is lost; exact, settles at any load.

    Gross, Shortle, Thompson & Harris. With one server the means hold for processor sharing and any service
    law too (Kelly 1979). Times in seconds. Raises `ValueError` for fewer places than servers.
    """

    rate_per_s: float
    service_s: float
    servers: int
    places: int

    def __post_init__(self) -> None:
        domain.not_negative(rate_per_s=self.rate_per_s)
        domain.positive(service_s=self.service_s)
        domain.whole(1, servers=self.servers)
        domain.whole(self.servers, places=self.places)

    @property
    def offered(self) -> float:
        """Load in erlangs; what is lost is part of it."""
        return self.rate_per_s * self.service_s

    @cached_property
    def _weights(self) -> tuple[float, float, float]:
        """Unnormalised P(a server idle), P(all busy), P(full); none overflows, at any load."""
        ratio, room = self.offered / self.servers, self.places - self.servers
        blocked = erlang.b(self.offered, self.servers)
        if ratio <= 1.0:
            return 1.0 - blocked, blocked * _geometric(ratio, room), blocked * ratio**room
        return (1.0 - blocked) * ratio**-room, blocked * _geometric(1.0 / ratio, room), blocked

    @property
    def blocking_probability(self) -> float:
        return self._weights[2] / (self._weights[0] + self._weights[1])

    @property
    def queue_length(self) -> float:
        """Mean number that wait."""
        busy = self._weights[1] / (self._weights[0] + self._weights[1])
        ratio, room = self.offered / self.servers, self.places - self.servers
        mean = _geometric_mean(ratio, room) if ratio <= 1.0 else room - _geometric_mean(1.0 / ratio, room)
        return busy * mean

    @property
    def throughput_per_s(self) -> float:
        """Requests served a second."""
        return self.rate_per_s * (1.0 - self.blocking_probability)

    @property
    def utilization(self) -> float:
        return self.throughput_per_s * self.service_s / self.servers

    @property
    def in_system(self) -> float:
        """Mean number that wait or are served."""
        return self.queue_length + self.throughput_per_s * self.service_s

    @property
    def wait_s(self) -> float:
        """Mean wait of the requests that are not lost."""
        return self.queue_length / self.throughput_per_s if self.throughput_per_s > 0.0 else 0.0

    @property
    def response_s(self) -> float:
        """Mean of wait and service of the requests that are not lost."""
        return self.wait_s + self.service_s


@dataclass(frozen=True)
class MMCD:
    """M/M/c+D: a request abandons after exactly `patience_s` in the queue; exact, settles at any load.

    Baccelli & Hebuterne (1981), by the density of the wait that an endlessly patient request would be offered.
    Times in seconds.
    """

    rate_per_s: float
    service_s: float
    servers: int
    patience_s: float

    def __post_init__(self) -> None:
        domain.not_negative(rate_per_s=self.rate_per_s)
        domain.positive(service_s=self.service_s, patience_s=self.patience_s)
        domain.whole(1, servers=self.servers)

    @cached_property
    def _parts(self) -> tuple[float, float, float]:
        """P(served after a wait), P(abandon), and the mean wait counted over those served only."""
        # Offered waits have density rate x blocked x exp(-drain x t) up to the patience, and fall at the full service
        # rate beyond; the whole is scaled by its greatest value, so that an overload does not overflow.
        drain = (self.servers / self.service_s - self.rate_per_s) * self.patience_s
        scale = 1.0 if drain >= 0.0 else math.exp(drain)
        density = self.rate_per_s * erlang.b(self.rate_per_s * self.service_s, self.servers - 1)
        served = density * self.patience_s * _decay(abs(drain))
        abandons = density * math.exp(-max(drain, 0.0)) * self.service_s / self.servers
        moment = density * self.patience_s**2 * (_decay_moment(drain) if drain >= 0.0 else _growth_moment(-drain))
        total = scale + served + abandons
        return served / total, abandons / total, moment / total

    @property
    def wait_probability(self) -> float:
        """P(an arrival finds all servers busy)."""
        return self._parts[0] + self._parts[1]

    @property
    def abandon_probability(self) -> float:
        return self._parts[1]

    @property
    def wait_s(self) -> float:
        """Mean time in the queue, of those served and those that abandon together."""
        return self._parts[2] + self.patience_s * self._parts[1]

    @property
    def served_wait_s(self) -> float:
        """Mean wait of the requests that are served."""
        return self._parts[2] / (1.0 - self._parts[1])

    @property
    def queue_length(self) -> float:
        """Mean number that wait."""
        return self.rate_per_s * self.wait_s

    @property
    def throughput_per_s(self) -> float:
        """Requests served a second."""
        return self.rate_per_s * (1.0 - self.abandon_probability)

    @property
    def utilization(self) -> float:
        return self.throughput_per_s * self.service_s / self.servers


def _geometric(ratio: float, last: int) -> float:
    """1 + ratio + ... + ratio^last for a ratio in 0..1."""
    if ratio in (0.0, 1.0):
        return 1.0 + last * ratio
    return -math.expm1((last + 1) * math.log(ratio)) / (1.0 - ratio)


def _geometric_mean(ratio: float, last: int) -> float:
    """Mean of 0, 1, ..., last weighted by 1, ratio, ..., ratio^last, for a ratio in 0..1."""
    if ratio == 0.0:
        return 0.0
    step = -math.log(ratio)
    whole = (last + 1) * step
    if whole < 0.5:
        return _bernoulli(step) - (last + 1) * _bernoulli(whole)
    return 1.0 / math.expm1(step) - ((last + 1) / math.expm1(whole) if whole < 700.0 else 0.0)


def _bernoulli(x: float) -> float:
    """1/(e^x - 1) - 1/x for x in 0..0.5."""
    y = x * x
    return -0.5 + x * (1 / 12 - y * (1 / 720 - y * (1 / 30240 - y * (1 / 1209600 - y / 47900160))))


def _decay(u: float) -> float:
    """Integral of e^-ut over t in 0..1."""
    return -math.expm1(-u) / u if u > 0.0 else 1.0


def _decay_moment(u: float) -> float:
    """Integral of t e^-ut over t in 0..1, for u >= 0."""
    if u < 0.5:
        return sum((-u) ** n / (math.factorial(n) * (n + 2)) for n in range(14))
    return (1.0 - math.exp(-u) * (1.0 + u)) / (u * u)


def _growth_moment(u: float) -> float:
    """Integral of t e^-u(1-t) over t in 0..1, for u >= 0."""
    return _decay(u) - _decay_moment(u)
