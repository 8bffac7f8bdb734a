"""Size each pool as the queue it is: the fewest replicas whose queue meets a target, for the load that is coming.

First come, first served, G/G/c. The formulas alone are unsafe (they take the load as known and its variability as
short-lived), so the policy measures variability over several time scales, looks ahead by the time that a replica
takes to start, and checks its own prediction against the waits it sees.
"""

from dataclasses import dataclass, field
from math import ceil
from typing import Literal

from pydantic import model_validator
from pydantic.dataclasses import dataclass as checked

from policies.decision import Decision, Reason
from policies.loads import ENOUGH, LookingAhead, Seen, stated_service
from policies.observation import Observation, PoolReading
from policies.policy import Readings
from policies.pool import Pools, PoolTraits
from policies.queues import waits
from policies.sizing import Aiming, Load, Target, one_target
from policies.spec import STRICT, InnerFraction, NonNegative, PositiveSeconds, Seconds
from policies.windows import Window

SCATTER = 2.0
"""Mean waits of one window differ by such a factor by chance alone, at the sizes that targets lead to."""

LARGEST_CORRECTION = 10.0


@checked(frozen=True, kw_only=True, config=STRICT)
class FcfsSpec(Aiming, LookingAhead):
    """Size by queueing theory, for one target: `wait_s`, `response_s` (a quantile each) or `mean_response_s`."""

    kind: Literal["fcfs"] = "fcfs"
    wait_s: Seconds | None = None
    """A share `quantile` of the requests starts within this time."""
    response_s: PositiveSeconds | None = None
    """A share `quantile` of the requests is answered within this time."""
    mean_response_s: PositiveSeconds | None = None
    """The mean response time is at most this."""
    quantile: InnerFraction = 0.95
    window_s: PositiveSeconds = 600.0
    """Service times, variability and trend are taken from this much of the past."""
    rate_window_s: PositiveSeconds = 60.0
    """A rise is looked for in this time and in parts of it; the trend in intervals of it."""
    horizon_s: NonNegative | None = None
    """The trend is followed this far ahead; the pool's start-up time (95 % quantile) where not given."""

    @model_validator(mode="after")
    def _one_target(self) -> "FcfsSpec":
        one_target(self.target)
        return self

    def build(self, pools: Pools) -> "Fcfs":
        """The policy. Raises `ValueError` for a target that the service time known beforehand rules out."""
        for pool in pools.values():
            stated = stated_service(pool)
            if stated and stated[0] > 0:
                self._check(pool.name, *stated)
        return Fcfs(pools, self)

    def _check(self, pool: str, service_s: float, service_scv: float) -> None:
        try:
            self.target.check(service_s, service_scv)
        except ValueError as fault:
            raise ValueError(f"{pool}: {fault}") from fault


@dataclass(slots=True)
class Fcfs:
    pools: Pools
    spec: FcfsSpec
    readings: Readings = Readings(
        needed=frozenset({"arrived_total"}),
        assumed={
            "service_s": "service mean and variability as stated for the version",
            "wait_s": "waits as theory predicts them",
            "queued": "no backlog",
            "ready": "as many replicas ready as are wanted",
        },
    )
    _seen: dict[str, Seen] = field(init=False)
    _target: Target = field(init=False)

    def __post_init__(self) -> None:
        self._target = self.spec.target
        looking = self.spec.looking
        self._seen = {name: Seen(looking) for name in self.pools}

    @property
    def memory_s(self) -> float:
        return 2 * self.spec.window_s

    def decide(self, observation: Observation, /) -> Decision:
        return Decision.of({name: self._decided(name, observation) for name in self.pools if name in observation.pools})

    def _decided(self, name: str, observation: Observation) -> Reason | str:
        pool, reading = self.pools[name], observation.pools[name]
        seen = self._seen[name]
        seen.see(observation.time_s, reading, pool)
        found = seen.load(pool, reading)
        if isinstance(found, str):
            return found
        return seen.held(seen.kept(self._wish(pool, reading, seen, *found)), reading.wanted)

    def _wish(self, pool: PoolTraits, reading: PoolReading, seen: Seen, load: Load, words: str) -> Reason:
        if load.rate_per_s <= 0:
            return Reason(0, words)
        if load.service_s <= 0:
            return Reason(1, f"{words}, services that take no time")
        return self._size(pool, reading, seen, load, words)

    def _size(self, pool: PoolTraits, reading: PoolReading, seen: Seen, load: Load, words: str) -> Reason:
        slots = self._target.slots_alike(load)
        words += f", service {load.service_s:.3g} s, SCV {load.arrival_scv:.2g} of arrivals and {load.service_scv:.2g}"
        words += " of services"
        factor = _longer_than_predicted(load, min(slots, seen.least_slots), seen.window)
        if factor > 1:
            slots = self._target.slots_alike(load.corrected(factor))
            words += f", both x {factor:.2g} for waits longer than predicted"
        words += f": {slots} slots"
        backlog = seen.backlog(pool, reading, load, self._target.time_s)
        if backlog:
            words += f" and {backlog} for a backlog of {seen.window.latest('queued'):.0f}"
        return Reason(ceil((slots + backlog) / pool.slots), words)


def _longer_than_predicted(load: Load, slots: int, window: Window) -> float:
    """By what factor waits are longer than theory has them before this many slots, beyond what chance explains.

    1 where the slots cannot bear the load: that explains any wait.
    """
    seen = window.histogram("wait_s")
    if seen is None or seen.total < ENOUGH or load.offered >= slots:
        return 1.0
    mean_s = seen.mean() or 0.0
    poisson_s = waits.mean(load.offered, slots, 1.0, 1.0) * load.service_s
    predicted_s = poisson_s * 0.5 * (load.arrival_scv + load.service_scv)
    if mean_s <= SCATTER * predicted_s:
        return 1.0
    return min(mean_s / (SCATTER * predicted_s), LARGEST_CORRECTION) if predicted_s > 0 else LARGEST_CORRECTION
