"""Size each pool as the queue it is: the fewest replicas whose queue meets a target, for the load that is coming.

First come, first served, G/G/c. The formulas alone are unsafe (they take the load as known and its variability as
short-lived), so the policy measures variability over several time scales, looks ahead by the time that a replica
takes to start, and checks its own prediction against the waits it sees.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from math import ceil, isfinite, sqrt
from typing import Literal

from pydantic import model_validator
from pydantic.dataclasses import dataclass as checked

from policies.arrivals import RecentArrivals
from policies.decision import Decision, Reason
from policies.observation import Observation, PoolReading
from policies.policy import Readings
from policies.pool import Pools, PoolTraits
from policies.queues.dispersion import effective_arrival_scv
from policies.queues.erlang import MMC
from policies.sizing import Load, Target, believed
from policies.spec import STRICT, InnerFraction, NonNegative, PositiveSeconds, Seconds
from policies.windows import Window

TARGETS = ("wait_s", "response_s", "mean_response_s")

ENOUGH = 100
"""So many services, or waits, must be seen before their mean and variability are believed."""

SCATTER = 2.0
"""Mean waits of one window differ by such a factor by chance alone, at the sizes that targets lead to."""

LARGEST_CORRECTION = 10.0

INTERVALS = 40
"""The window is looked at in so many parts, or in as many as there are readings."""


@checked(frozen=True, kw_only=True, config=STRICT)
class FcfsSpec:
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
        given = [name for name in TARGETS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"needs exactly one of {', '.join(TARGETS)}; found {found}")
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

    @property
    def target(self) -> Target:
        return Target(
            wait_s=self.wait_s,
            response_s=self.response_s,
            mean_response_s=self.mean_response_s,
            quantile=self.quantile,
        )


class Seen:
    """What was seen of one pool in the last `span_s`."""

    def __init__(self, span_s: float) -> None:
        self.window = Window(span_s)
        self.arrivals = RecentArrivals(span_s / INTERVALS)
        self.spare: float | None = None
        """Slots needed last time beyond those that were busy: there those needed now are looked for."""
        self._times_s: deque[float] = deque()
        self._slots: deque[int] = deque()

    def see(self, time_s: float, reading: PoolReading, pool: PoolTraits) -> None:
        if self.window.take(time_s, reading.age_s, reading.total):
            arrived = reading.total.arrived_total
            if arrived is not None and isfinite(arrived):
                self.arrivals.see(time_s - (reading.age_s or 0.0), arrived)
        self.arrivals.forget(self.window.since_s)
        self._times_s.append(time_s)
        self._slots.append((_ready(reading) or 0) * pool.slots)
        while self._times_s[0] < time_s - self.window.span_s:
            self._times_s.popleft()
            self._slots.popleft()

    @property
    def least_slots(self) -> int:
        """Slots that were ready all the time; 0 where that is unknown."""
        return min(self._slots)


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
    _seen: dict[str, Seen] = field(default_factory=dict, init=False)
    _target: Target = field(init=False)

    def __post_init__(self) -> None:
        self._target = self.spec.target

    @property
    def memory_s(self) -> float:
        return 2 * self.spec.window_s

    @property
    def _oldest_s(self) -> float:
        """No reading older than this is acted on."""
        return 2 * self.spec.rate_window_s

    def decide(self, observation: Observation, /) -> Decision:
        return Decision.of({name: self._decided(name, observation) for name in self.pools if name in observation.pools})

    def _decided(self, name: str, observation: Observation) -> Reason | str:
        seen = self._seen.setdefault(name, Seen(self.spec.window_s))
        seen.see(observation.time_s, observation.pools[name], self.pools[name])
        wish = self._wish(self.pools[name], observation.pools[name], seen)
        if isinstance(wish, Reason):
            return self._held(wish, observation.pools[name].wanted, seen.window.covered_s)
        return wish

    def _wish(self, pool: PoolTraits, reading: PoolReading, seen: Seen) -> Reason | str:
        """The wish for one pool, or in words what is missing for one."""
        if reading.age_s is None or reading.age_s > self._oldest_s:
            return "nothing was read yet" if reading.age_s is None else f"the last reading is {reading.age_s:.0f} s old"
        recent = seen.arrivals
        service = measured_service(pool, seen.window)
        if not recent.intervals:
            return "arrived_total was not read twice yet"
        if service is None:
            return "no service time is known: too few were seen and none is stated for the version"
        rate_per_s, words = self._rate(pool, recent)
        if rate_per_s <= 0:
            return Reason(0, f"no arrivals in {recent.whole.length_s:.0f} s")
        if service[0] <= 0:
            return Reason(1, f"{words}, services that take no time")
        load = felt(Load(rate_per_s=rate_per_s, service_s=service[0], service_scv=service[1]), recent)
        return self._size(pool, reading, seen, load, words)

    def _size(self, pool: PoolTraits, reading: PoolReading, seen: Seen, load: Load, words: str) -> Reason:
        slots = self._target.slots(load, None if seen.spare is None else load.offered + seen.spare)
        seen.spare = slots - 0.5 - load.offered
        words += f", service {load.service_s:.3g} s, SCV {load.arrival_scv:.2g} of arrivals and {load.service_scv:.2g}"
        words += " of services"
        factor = _longer_than_predicted(load, min(slots, seen.least_slots), seen.window)
        if factor > 1:
            slots = self._target.slots(load.corrected(factor), slots)
            words += f", both x {factor:.2g} for waits longer than predicted"
        words += f": {slots} slots"
        backlog = self._backlog(pool, reading, seen.window, load)
        if backlog:
            words += f" and {backlog} for a backlog of {seen.window.latest('queued'):.0f}"
        return Reason(ceil((slots + backlog) / pool.slots), words)

    def _rate(self, pool: PoolTraits, recent: RecentArrivals) -> tuple[float, str]:
        """Arrivals per second at the moment when a replica started now would be ready, and how that came about."""
        risen = (recent.risen_per_s(self.spec.rate_window_s / n) or 0.0 for n in (1, 2, 4))
        now, ahead_s = max(recent.whole.rate_per_s, *risen), self._ahead_s(pool)
        coming = now + recent.growth_per_s2 * ahead_s
        if coming > now:
            return coming, f"{now:.3g} arrivals/s, rising to {coming:.3g} in {ahead_s:.0f} s"
        return now, f"{now:.3g} arrivals/s"

    def _ahead_s(self, pool: PoolTraits) -> float:
        return pool.startup_p95_s if self.spec.horizon_s is None else self.spec.horizon_s

    def _backlog(self, pool: PoolTraits, reading: PoolReading, window: Window, load: Load) -> int:
        """Slots for what will still be queued when they are ready; they have as long again to work it off."""
        queued, ready = window.latest("queued"), _ready(reading)
        usual = load.rate_per_s * self._target.time_s
        if queued is None or ready is None or queued <= usual:
            return 0
        ahead_s = self._ahead_s(pool)
        # Replicas that are starting now have half of their mean start-up before them, in the mean; those that drain
        # take nothing from the queue.
        serving = max(0.0, 1.0 - pool.startup_s / 2 / ahead_s) if ahead_s > 0 else 0.5
        slots = (ready + (reading.starting or 0) * serving) * pool.slots
        grown = (load.offered - slots) * ahead_s / load.service_s
        # Where requests give up, a queue that could grow no longer does.
        left = queued + (min(grown, 0.0) if window.rate_per_s("abandoned_total") else grown)
        if min(queued, left) <= usual:
            return 0
        return ceil((left - usual) * load.service_s / max(self._target.time_s, ahead_s, load.service_s))

    def _held(self, wish: Reason, wanted: int | None, covered_s: float) -> Reason | str:
        """The wish, but no shrinking on the evidence of less than half a window; growing needs less."""
        if covered_s >= self.spec.window_s / 2 or (wanted is not None and wish.final >= wanted):
            return wish
        if wanted is None:
            return f"only {covered_s:.0f} s were seen, and not how many replicas are wanted"
        return wish.limited("evidence", wanted, f"only {covered_s:.0f} s were seen")


def _ready(reading: PoolReading) -> int | None:
    """Replicas that are ready; as many as are wanted where only that is known."""
    return reading.wanted if reading.ready is None else reading.ready


def stated_service(pool: PoolTraits) -> tuple[float, float] | None:
    """Mean and squared coefficient of variation of the service time as known beforehand."""
    if pool.service_s is None:
        return None
    return pool.service_s, 1.0 if pool.service_scv is None else believed(pool.service_scv)


def measured_service(pool: PoolTraits, window: Window) -> tuple[float, float] | None:
    """Mean and squared coefficient of variation of the service time: as seen, or as stated beforehand."""
    seen = window.histogram("service_s")
    if seen is None or seen.total < ENOUGH:
        return stated_service(pool)
    return seen.mean() or 0.0, believed(seen.scv() or 0.0)


def felt(load: Load, recent: RecentArrivals) -> Load:
    """The load with the variability of its arrivals as a queue of the usual size for it would feel it."""
    if recent.whole.count < ENOUGH:
        return load
    known = {length_s: believed(index) for length_s, index in recent.dispersion.items()}
    if all(index == 1.0 for index in known.values()):
        return load
    servers = int(load.offered + sqrt(load.offered)) + 1
    felt = effective_arrival_scv(known, load.rate_per_s, load.service_s, servers, load.service_scv)
    return replace(load, arrival_scv=believed(felt))


def _longer_than_predicted(load: Load, slots: int, window: Window) -> float:
    """By what factor waits are longer than theory has them before this many slots, beyond what chance explains.

    1 where the slots cannot bear the load: that explains any wait.
    """
    waits = window.histogram("wait_s")
    if waits is None or waits.total < ENOUGH or load.offered >= slots:
        return 1.0
    mean_s = waits.mean() or 0.0
    poisson_s = MMC(load.rate_per_s, load.service_s, slots).wait_s
    predicted_s = poisson_s * 0.5 * (load.arrival_scv + load.service_scv)
    if mean_s <= SCATTER * predicted_s:
        return 1.0
    return min(mean_s / (SCATTER * predicted_s), LARGEST_CORRECTION) if predicted_s > 0 else LARGEST_CORRECTION
