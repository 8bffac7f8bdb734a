"""Queues in which some classes of requests go before others, and the fewest servers that give each its due.

Classes are listed by priority, the first goes before all others; within a class, first come, first served.
"""

import cmath
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from policies.queues import domain, waits
from policies.queues.erlang import MMC, Delay
from policies.queues.fit import counted
from policies.queues.ggc import GGC
from policies.queues.inverses import fewest
from policies.queues.roots import quantile


@dataclass(frozen=True, slots=True)
class PriorityClass:
    """The requests of one class: how many a second, the mean and the SCV of their service times."""

    rate_per_s: float
    service_s: float
    service_scv: float = 1.0

    def __post_init__(self) -> None:
        domain.not_negative(rate_per_s=self.rate_per_s, service_scv=self.service_scv)
        domain.positive(service_s=self.service_s)

    @property
    def offered(self) -> float:
        """Load in erlangs."""
        return self.rate_per_s * self.service_s

    @property
    def second_moment_s2(self) -> float:
        return self.service_s**2 * (1.0 + self.service_scv)


@dataclass(frozen=True)
class NonPreemptive:
    """A free server takes the first class that waits; what is in service is not interrupted. Times in seconds.

    Mean waits are exact for Poisson arrivals at one server, M/G/1 (Cobham 1954), and for exponential services of
    equal mean at several, M/M/c (Davis 1966; Kella & Yechiali 1985); so are their laws in the second case. Else they
    are as good as `GGC` for the requests of all classes together. `arrival_scv` is that of all arrivals. Raises
    `ValueError` without classes, or where the queue never settles.
    """

    classes: tuple[PriorityClass, ...]
    servers: int
    arrival_scv: float = 1.0

    _mixture: tuple[float, float, float] = field(init=False, repr=False, compare=False)
    _delay: Delay = field(init=False, repr=False, compare=False)
    """Of the queue without priorities, in its mean services."""

    def __post_init__(self) -> None:
        mixed = rate_per_s, service_s, service_scv = mixture(self.classes)
        domain.not_negative(arrival_scv=self.arrival_scv)
        domain.whole(1, servers=self.servers)
        domain.settled(rate_per_s * service_s, self.servers)
        delay = waits.delay(rate_per_s * service_s, self.servers, counted(self.arrival_scv), counted(service_scv))
        object.__setattr__(self, "_mixture", mixed)
        object.__setattr__(self, "_delay", delay)

    @property
    def together(self) -> GGC:
        """The queue without priorities."""
        rate_per_s, service_s, service_scv = self._mixture
        return GGC(rate_per_s, service_s, self.servers, self.arrival_scv, service_scv)

    @property
    def wait_probability(self) -> float:
        """P(an arrival waits), of every class."""
        return self._delay.probability

    @property
    def wait_s(self) -> tuple[float, ...]:
        """Mean wait of each class."""
        return tuple(self.wait_probability * mean for mean in self._means_if_waiting_s)

    @property
    def response_s(self) -> tuple[float, ...]:
        """Mean of wait and service of each class."""
        return tuple(wait_s + x.service_s for wait_s, x in zip(self.wait_s, self.classes, strict=True))

    @property
    def queue_length(self) -> tuple[float, ...]:
        """Mean number of each class that wait."""
        return tuple(wait_s * x.rate_per_s for wait_s, x in zip(self.wait_s, self.classes, strict=True))

    def wait_tail(self, position: int, t_s: float) -> float:
        """P(wait > t) of the class at this position, to 9 decimals of what the model gives.

        Outside M/M/c with equal means, the law of M/M/c in that unit of time in which all classes together have the
        tail of `GGC`.
        """
        if t_s < 0.0:
            return 1.0
        delay, (rate_per_s, service_s, _) = self._delay, self._mixture
        if delay.probability == 0.0:
            return 0.0
        gap_s = delay.mean_s * service_s * (1.0 - rate_per_s * service_s / self.servers)
        above, here = self._loads[position], self._loads[position + 1]
        return delay.probability * _tail_if_waiting(above, here - above, t_s / gap_s)

    def wait_quantile(self, position: int, fraction: float) -> float:
        """The wait, in seconds, that this fraction of the class at this position does not exceed."""
        scale_s = self._means_if_waiting_s[position] or 1.0
        return quantile(lambda t_s: self.wait_tail(position, t_s), fraction, scale_s)

    @cached_property
    def _loads(self) -> tuple[float, ...]:
        """Utilization by nobody, by the first class, by the first two, ..."""
        loads = [0.0]
        for x in self.classes:
            loads.append(loads[-1] + x.offered / self.servers)
        return tuple(loads)

    @cached_property
    def _means_if_waiting_s(self) -> tuple[float, ...]:
        if self.wait_probability == 0.0:
            return (0.0,) * len(self.classes)
        together = self.together
        idle_together = 1.0 - together.utilization
        # Mean time between two ends of service while all servers are busy, as the mean wait together implies it.
        gap_s = together.wait_s / self.wait_probability * idle_together
        # The last sum may round to 1 where the utilization itself does not.
        idle = [max(1.0 - load, idle_together) for load in self._loads]
        return tuple(gap_s / (above * here) for above, here in pairwise(idle))


def mixture(classes: Sequence[PriorityClass]) -> tuple[float, float, float]:
    """Rate, mean service and its SCV of all classes together. Raises `ValueError` without classes."""
    if not classes:
        raise ValueError("classes is empty, must hold one class at least")
    rate = math.fsum(x.rate_per_s for x in classes)
    if rate == 0.0:
        return 0.0, max(x.service_s for x in classes), 1.0
    mean_s = math.fsum(x.offered for x in classes) / rate
    square_s2 = math.fsum(x.rate_per_s * x.second_moment_s2 for x in classes) / rate
    return rate, mean_s, max(0.0, square_s2 / mean_s**2 - 1.0)


def _tail_if_waiting(above: float, here: float, t: float) -> float:
    """P(wait > t | wait > 0) of a class of load `here` under classes of load `above`, in mean gaps between services.

    Kella & Yechiali (1985): the transform of the wait, whose busy periods are those that the classes above open;
    inverted by Talbot's contour.
    """
    if above == 0.0 or t < 1e-9:
        return math.exp(-(1.0 - here) * t)
    total = sum([(weight * _tail_transform(above, here, node / t)).real for node, weight in _CONTOUR])
    return min(1.0, max(0.0, total / t))


def _contour(order: int) -> tuple[tuple[complex, complex], ...]:
    """Nodes and weights of Talbot's contour for t = 1 (Abate & Valko 2004); for another t both go by 1/t."""
    radius = 0.4 * order
    points = [(complex(radius), complex(0.5 * math.exp(radius)))]
    for k in range(1, order):
        angle = k * math.pi / order
        cotangent = 1.0 / math.tan(angle)
        node = radius * angle * complex(cotangent, 1.0)
        points.append((node, cmath.exp(node) * complex(1.0, angle + (angle * cotangent - 1.0) * cotangent)))
    return tuple((node, weight * radius / order) for node, weight in points)


_CONTOUR = _contour(24)


def _tail_transform(above: float, here: float, s: complex) -> complex:
    both, spread = 1.0 + above + s, 2.0 * math.sqrt(above)
    # The product of two roots, not the root of the product, keeps to the branch on which |busy| <= 1.
    busy = 2.0 / (both + cmath.sqrt(both - spread) * cmath.sqrt(both + spread))
    wait = (1.0 - above - here) * (1.0 - busy) / (s - here + here * busy)
    return (1.0 - wait) / s


def preemptive_response_s(classes: Sequence[PriorityClass]) -> tuple[float, ...]:
    """Mean response of each class in M/G/1 where a request interrupts those of later classes, which resume; exact.

    Jaiswal (1968); Kleinrock vol. 2, ch. 3. Raises `ValueError` where the last class never settles.
    """
    domain.settled(math.fsum(x.offered for x in classes), 1)
    responses = []
    above, residual_s = 0.0, 0.0
    for x in classes:
        here = above + x.offered
        residual_s += 0.5 * x.rate_per_s * x.second_moment_s2
        responses.append((x.service_s + residual_s / (1.0 - here)) / (1.0 - above))
        above = here
    return tuple(responses)


def preemptive_mmc_response_s(rates_per_s: Sequence[float], service_s: float, servers: int) -> tuple[float, ...]:
    """Mean response of each class in M/M/c where a request interrupts those of later classes, which resume; exact.

    All services are exponential of one mean: the first k classes see an M/M/c of their own (Buzen & Bondi 1983).
    Raises `ValueError` for a class without arrivals, and where the last class never settles.
    """
    responses = []
    rate, below = 0.0, 0.0
    for rate_per_s in rates_per_s:
        domain.positive(rate_per_s=rate_per_s)
        rate += rate_per_s
        in_system = MMC(rate, service_s, servers).in_system
        responses.append((in_system - below) / rate_per_s)
        below = in_system
    return tuple(responses)


def servers_for_priorities(
    classes: Sequence[PriorityClass], wait_s: Sequence[float], fraction: Sequence[float], arrival_scv: float = 1.0
) -> int:
    """The fewest servers with P(wait <= wait_s) >= fraction for each class, non-preemptive; 0 where nothing arrives.

    A wait of infinity asks nothing for its class but that it is served in the end. As exact as `NonPreemptive`.
    Raises `ValueError` for a fraction outside (0, 1), a negative wait, or lists of different lengths.
    """
    asked = list(enumerate(zip(wait_s, fraction, strict=True)))
    if len(asked) != len(classes):
        raise ValueError(f"wait_s has {len(asked)} targets for {len(classes)} classes, must have one for each")
    for _, (target_s, share) in asked:
        domain.inner_fraction(fraction=share)
        domain.not_negative(wait_s=0.0 if target_s == math.inf else target_s)

    def meets(queue: NonPreemptive) -> bool:
        return all(queue.wait_tail(i, target_s) <= 1.0 - share for i, (target_s, share) in asked if target_s < math.inf)

    return _fewest(meets, classes, arrival_scv)


def servers_for_priority_means(
    classes: Sequence[PriorityClass], wait_s: Sequence[float], arrival_scv: float = 1.0
) -> int:
    """The fewest servers with a mean wait of at most `wait_s` for each class, non-preemptive; 0 where nothing arrives.

    A wait of infinity asks nothing for its class but that it is served in the end. As exact as `NonPreemptive`.
    Raises `ValueError` for a wait that is not above 0, or lists of different lengths.
    """
    if len(wait_s) != len(classes):
        raise ValueError(f"wait_s has {len(wait_s)} targets for {len(classes)} classes, must have one for each")
    for target_s in wait_s:
        domain.positive(wait_s=1.0 if target_s == math.inf else target_s)

    def meets(queue: NonPreemptive) -> bool:
        return all(mean_s <= target_s for mean_s, target_s in zip(queue.wait_s, wait_s, strict=True))

    return _fewest(meets, classes, arrival_scv)


def _fewest(meets: Callable[[NonPreemptive], bool], classes: Sequence[PriorityClass], arrival_scv: float) -> int:
    rate, service_s, _ = mixture(classes)
    if rate == 0.0:
        return 0
    offered = rate * service_s
    return fewest(
        lambda servers: meets(NonPreemptive(tuple(classes), servers, arrival_scv)),
        offered,
        offered + math.sqrt(offered),
    )
