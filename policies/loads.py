"""The load of one pool as it was seen, and as it will be when a replica that is started now is ready."""

from collections import deque
from dataclasses import dataclass
from math import ceil, isfinite, sqrt

from policies.arrivals import RecentArrivals
from policies.decision import Reason
from policies.observation import PoolReading
from policies.pool import PoolTraits
from policies.queues.dispersion import effective_arrival_scv
from policies.sizing import Load, believed
from policies.windows import Window

ENOUGH = 100
"""So many services, or waits, must be seen before their mean and variability are believed."""

INTERVALS = 40
"""The window is looked at in so many parts, or in as many as there are readings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """How far back and ahead a policy looks; `horizon_s` None is the pool's start-up time (95 % quantile)."""

    window_s: float
    rate_window_s: float
    horizon_s: float | None = None

    @property
    def oldest_s(self) -> float:
        """No reading older than this is acted on."""
        return 2 * self.rate_window_s

    def ahead_s(self, pool: PoolTraits) -> float:
        return pool.startup_p95_s if self.horizon_s is None else self.horizon_s


class LookingAhead:
    """A spec that says how far back and ahead its policy looks."""

    window_s: float
    rate_window_s: float
    horizon_s: float | None

    @property
    def looking(self) -> Looking:
        return Looking(window_s=self.window_s, rate_window_s=self.rate_window_s, horizon_s=self.horizon_s)


class Seen:
    """What was seen of one pool in the window."""

    def __init__(self, looking: Looking) -> None:
        self.looking = looking
        self.window = Window(looking.window_s)
        self.arrivals = RecentArrivals(looking.window_s / INTERVALS)
        self._times_s: deque[float] = deque()
        self._slots: deque[int] = deque()
        self._needed: deque[tuple[float, int]] = deque()

    def see(self, time_s: float, reading: PoolReading, pool: PoolTraits) -> None:
        if self.window.take(time_s, reading.age_s, reading.total):
            arrived = reading.total.arrived_total
            if arrived is not None and isfinite(arrived):
                self.arrivals.see(time_s - (reading.age_s or 0.0), arrived)
        self.arrivals.forget(self.window.since_s)
        self._times_s.append(time_s)
        self._slots.append((ready(reading) or 0) * pool.slots)
        while self._times_s[0] < time_s - self.looking.window_s:
            self._times_s.popleft()
            self._slots.popleft()

    @property
    def least_slots(self) -> int:
        """Slots that were ready all the time; 0 where that is unknown."""
        return min(self._slots)

    def load(self, pool: PoolTraits, reading: PoolReading) -> tuple[Load, str] | str:
        """The load to come and how that came about; or in words what is missing to know it."""
        if reading.age_s is None or reading.age_s > self.looking.oldest_s:
            return "nothing was read yet" if reading.age_s is None else f"the last reading is {reading.age_s:.0f} s old"
        service = measured_service(pool, self.window)
        if not self.arrivals.intervals:
            return "arrived_total was not read twice yet"
        if service is None:
            return "no service time is known: too few were seen and none is stated for the version"
        rate_per_s, words = self._rate(pool)
        load = Load(rate_per_s=max(rate_per_s, 0.0), service_s=service[0], service_scv=service[1])
        if rate_per_s <= 0:
            return load, f"no arrivals in {self.arrivals.length_s:.0f} s"
        return (felt(load, self.arrivals), words) if load.service_s > 0 else (load, words)

    def _rate(self, pool: PoolTraits) -> tuple[float, str]:
        """Arrivals per second at the moment when a replica started now would be ready, and how that came about."""
        recent = self.arrivals
        risen = (recent.risen_per_s(self.looking.rate_window_s / n) or 0.0 for n in (1, 2, 4))
        now, ahead_s = max(recent.rate_per_s, *risen), self.looking.ahead_s(pool)
        coming = now + recent.growth_per_s2 * ahead_s
        if coming > now:
            return coming, f"{now:.3g} arrivals/s, rising to {coming:.3g} in {ahead_s:.0f} s"
        return now, f"{now:.3g} arrivals/s"

    def backlog(self, pool: PoolTraits, reading: PoolReading, load: Load, target_s: float) -> int:
        """Slots for what will still be queued when they are ready; they have as long again to work it off.

        A queue as long as the target allows is none.
        """
        queued, now_ready = self.window.latest("queued"), ready(reading)
        usual = load.rate_per_s * target_s
        if queued is None or now_ready is None or queued <= usual:
            return 0
        ahead_s = self.looking.ahead_s(pool)
        # Replicas that are starting now have half of their mean start-up before them, in the mean; those that drain
        # take nothing from the queue.
        serving = max(0.0, 1.0 - pool.startup_s / 2 / ahead_s) if ahead_s > 0 else 0.5
        slots = (now_ready + (reading.starting or 0) * serving) * pool.slots
        grown = (load.offered - slots) * ahead_s / load.service_s
        # Where requests give up, a queue that could grow no longer does.
        left = queued + (min(grown, 0.0) if self.window.rate_per_s("abandoned_total") else grown)
        if min(queued, left) <= usual:
            return 0
        return ceil((left - usual) * load.service_s / max(target_s, ahead_s, load.service_s))

    def kept(self, wish: Reason) -> Reason:
        """The wish, but no less than what was needed at any time in the last half window: a load that went may come
        back, as bursts do, before a replica is."""
        now_s, since_s = self._times_s[-1], self._times_s[-1] - self.looking.window_s / 2
        # What was needed before and was not more can never count again.
        while self._needed and self._needed[-1][1] <= wish.wish:
            self._needed.pop()
        self._needed.append((now_s, wish.wish))
        while self._needed[0][0] < since_s:
            self._needed.popleft()
        at_s, most = self._needed[0]
        return wish.limited("half a window", most, f"needed {now_s - at_s:.0f} s ago")

    def held(self, wish: Reason, wanted: int | None) -> Reason | str:
        """The wish, but no shrinking on the evidence of less than half a window; growing needs less."""
        covered_s = self.window.covered_s
        if covered_s >= self.looking.window_s / 2 or (wanted is not None and wish.final >= wanted):
            return wish
        if wanted is None:
            return f"only {covered_s:.0f} s were seen, and not how many replicas are wanted"
        return wish.limited("evidence", wanted, f"only {covered_s:.0f} s were seen")


def ready(reading: PoolReading) -> int | None:
    """Replicas that are ready; as many as are wanted where only that is known."""
    return reading.wanted if reading.ready is None else reading.ready


def stated_service(pool: PoolTraits) -> tuple[float, float] | None:
    """Mean and squared coefficient of variation of the service time as known beforehand."""
    if pool.service_s is None:
        return None
    return pool.service_s, 1.0 if pool.service_scv is None else believed(pool.service_scv)


def measured_service(pool: PoolTraits, window: Window) -> tuple[float, float] | None:
    """Mean and squared coefficient of variation of the service time: as seen, or as stated beforehand."""
    return seen_service(window) or stated_service(pool)


def seen_service(window: Window) -> tuple[float, float] | None:
    """Mean and squared coefficient of variation of the service time; None where too few services were seen."""
    seen = window.histogram("service_s")
    if seen is None or seen.total < ENOUGH:
        return None
    return seen.mean() or 0.0, believed(seen.scv() or 0.0)


def felt(load: Load, recent: RecentArrivals) -> Load:
    """The load with the variability of its arrivals as a queue of the usual size for it would feel it."""
    if recent.count < ENOUGH:
        return load
    dispersion = recent.dispersion
    if {1.0}.issuperset(dispersion.values()):
        return load
    known = {length_s: believed(index) for length_s, index in dispersion.items()}
    servers = int(load.offered + sqrt(load.offered)) + 1
    index = effective_arrival_scv(known, load.rate_per_s, load.service_s, servers, load.service_scv)
    return Load(
        rate_per_s=load.rate_per_s,
        service_s=load.service_s,
        service_scv=load.service_scv,
        arrival_scv=believed(index),
    )
