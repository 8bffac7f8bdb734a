"""How many slots a load needs for a target on its waits or responses, and how much load so many slots bear."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from policies.queues import Delay, fewest, servers_for_mean_response, servers_for_response, waits
from policies.queues.fit import counted, fit

LEAST_SCV, LARGEST_SCV = 0.001, 50.0
"""Less variability is taken for none; more is not believed: that is a load that changes, which the rate follows."""

STEP, SCV_STEP = 0.01, 0.05
"""Rates and services, and SCVs, are rounded up by this share: what a load needs is dear to find, and hardly changes for
less."""

NEXT_TO_NO_WAIT = 0.1
"""Of a mean service: waiting less than that buys nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a pool has to bear."""

    rate_per_s: float
    service_s: float
    service_scv: float
    arrival_scv: float = 1.0

    @property
    def offered(self) -> float:
        """Slots' worth of work."""
        return self.rate_per_s * self.service_s

    def rounded_up(self) -> "Load":
        """A load that is hardly harder, and the same for all loads that hardly differ: what it needs is looked up.

        The offered slots grow by at most a thirty-second of their root (as they scatter by that) or of themselves, the
        mean service by 1 %, SCVs by 5 %.
        """
        service_s = rounded_up(self.service_s, STEP)
        return Load(
            rate_per_s=_offered_rounded_up(self.offered) / service_s,
            service_s=service_s,
            service_scv=rounded_up(self.service_scv, SCV_STEP),
            arrival_scv=rounded_up(self.arrival_scv, SCV_STEP),
        )

    def between(self) -> tuple["Load", "Load"]:
        """A load that is hardly easier, and that rounded up: the same two for all loads that hardly differ."""
        most = self.rounded_up()
        offered = most.offered / (1 + 1 / 32) if most.offered <= 1 else (math.sqrt(most.offered) - 1 / 64) ** 2
        least = Load(
            rate_per_s=offered * (1 + STEP) / most.service_s,
            service_s=most.service_s / (1 + STEP),
            service_scv=most.service_scv / (1 + SCV_STEP),
            arrival_scv=most.arrival_scv / (1 + SCV_STEP),
        )
        return least, most

    def corrected(self, factor: float) -> "Load":
        """Mean waits are in proportion to the sum of the two SCVs (Allen and Cunneen 1978), so this scales both."""
        return Load(
            rate_per_s=self.rate_per_s,
            service_s=self.service_s,
            arrival_scv=believed(factor * self.arrival_scv),
            service_scv=believed(factor * self.service_scv),
        )


def believed(scv: float) -> float:
    return 0.0 if scv < LEAST_SCV else min(scv, LARGEST_SCV)


def rounded_up(number: float, share: float) -> float:
    """The next of a row of numbers that grow by this share each; 0 stays 0.

    So that an answer that is dear to find is looked for anew only when what it rests on changed by as much.
    """
    return (1.0 + share) ** math.ceil(math.log(number) / math.log(1.0 + share) - 1e-9) if number > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A share `quantile` starts within `wait_s`, or is answered within `response_s`; or a mean response. One of them.

    `response_s` and `mean_response_s` count as met too where a share `quantile` waits less than a tenth of a mean
    service: where services alone take longer than the target allows, or nearly so, more slots would buy nothing.
    """

    wait_s: float | None = None
    response_s: float | None = None
    mean_response_s: float | None = None
    quantile: float = 0.95

    @property
    def time_s(self) -> float:
        return self.wait_s or self.response_s or self.mean_response_s or 0.0

    def check(self, service_s: float, service_scv: float) -> None:
        """Raises `ValueError` where even a request that is served at once misses the target."""
        hardly_any = (1e-6 / service_s, service_s)
        if self.response_s is not None:
            servers_for_response(*hardly_any, self.response_s, self.quantile, 1.0, service_scv)
        elif self.mean_response_s is not None:
            servers_for_mean_response(*hardly_any, self.mean_response_s)

    def met(self, offered: float, service_s: float, slots: int, arrival_scv: float, service_scv: float) -> bool:
        """Whether so many slots, more than are `offered`, meet the target."""
        beyond = 1.0 - self.quantile
        probability = waits.probability(offered, slots, arrival_scv, service_scv)
        if self.mean_response_s is None and probability <= beyond:
            return True
        late = waits.scale(offered, slots, arrival_scv, service_scv) if probability > 0.0 else 0.0
        delay = Delay(probability, late)
        if self.wait_s is not None:
            return delay.tail(self.wait_s / service_s) <= beyond
        if delay.tail(NEXT_TO_NO_WAIT) <= beyond:
            return True
        if self.response_s is not None:
            return fit(service_scv).tail_after(delay, self.response_s / service_s) <= beyond
        wait_s = waits.mean(offered, slots, arrival_scv, service_scv) * service_s
        return wait_s + service_s <= (self.mean_response_s or 0.0)

    def slots(self, load: Load) -> int:
        """The fewest slots that meet the target; 0 where nothing arrives. Remembered.

        Never fewer for more load, for arrivals that are burstier or, with a target on
        waits or the mean, for services that vary more: bursts of constant services keep together and may wait longer
        than those of variable ones, and what is measured of variability is not known so well as to count on that.
        """
        return _slots(self, load)

    def slots_alike(self, load: Load) -> int:
        """As `slots`, for a load that is a little different each time: sought from what one hardly harder needs."""
        least, most = (self.slots(near) for near in load.between())
        return most if least == most else self.slots(load)

    def met_by(self, load: Load, slots: int) -> bool:
        """Whether so many slots meet the target; never where they do not bear the load."""
        return load.offered < slots and self.meets(load)(slots)

    def rate_per_s(self, slots: int, service_s: float, service_scv: float, arrival_scv: float = 1.0) -> float:
        """The most arrivals a second, to 6 digits, of which `slots` slots meet the target; 0 for no slots."""
        low, high = 0.0, slots / service_s
        while high - low > 1e-6 * high:
            middle = 0.5 * (low + high)
            load = Load(rate_per_s=middle, service_s=service_s, service_scv=service_scv, arrival_scv=arrival_scv)
            low, high = (middle, high) if self.meets(load)(slots) else (low, middle)
        return low

    def meets(self, load: Load) -> Callable[[int], bool]:
        """Whether so many slots, enough to bear the load, meet the target."""
        offered, service_s = load.offered, load.service_s
        arrival_scv, service_scv = counted(load.arrival_scv), counted(load.service_scv)
        steady = self.response_s is None and arrival_scv > 1.0 and service_scv > 0.0

        def meets(slots: int) -> bool:
            if not self.met(offered, service_s, slots, arrival_scv, service_scv):
                return False
            return not steady or self.met(offered, service_s, slots, arrival_scv, 0.0)

        return meets


@lru_cache(maxsize=1 << 16)
def _slots(target: Target, load: Load) -> int:
    if load.rate_per_s <= 0.0:
        return 0
    spread = math.sqrt(load.offered * (load.arrival_scv + load.service_scv) / (1.0 + load.service_scv))
    return fewest(target.meets(load), load.offered, load.offered + spread)


def _offered_rounded_up(offered: float) -> float:
    return (
        rounded_up(offered, 1.0 / 32.0) if offered < 1.0 else (math.ceil(64.0 * math.sqrt(offered) - 1e-9) / 64.0) ** 2
    )


TARGETS = ("wait_s", "response_s", "mean_response_s")


def one_target(target: Target) -> None:
    """Raises `ValueError` unless exactly one of the times is given."""
    given = [name for name in TARGETS if getattr(target, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise ValueError(f"needs exactly one of {', '.join(TARGETS)}; found {found}")


class Aiming:
    """A spec that says in seconds what its policy sizes for."""

    wait_s: float | None
    response_s: float | None
    mean_response_s: float | None
    quantile: float

    @property
    def target(self) -> Target:
        return Target(
            wait_s=self.wait_s,
            response_s=self.response_s,
            mean_response_s=self.mean_response_s,
            quantile=self.quantile,
        )
