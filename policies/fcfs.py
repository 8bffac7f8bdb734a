"""Size each pool as the queue it is: the fewest replicas whose queue meets a target, for the load that is coming.

First come, first served, G/G/c: Erlang C corrected for the variability of arrivals and services. The formulas alone
are unsafe (they take the load as known and its variability as short-lived), so the policy measures variability over
several time scales and checks its own prediction against the waits it sees.
"""

from dataclasses import dataclass, field
from math import ceil
from typing import Literal

from pydantic import model_validator
from pydantic.dataclasses import dataclass as checked

from policies.decision import Decision, Reason
from policies.observation import Observation, PoolReading
from policies.policy import Readings
from policies.pool import Pools, PoolTraits
from policies.queues import GGC, servers_for_mean_response, servers_for_response, servers_for_wait
from policies.spec import STRICT, InnerFraction, NonNegative, PositiveSeconds, Seconds
from policies.windows import Window


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
    """The arrival rate is the greater of its means over this time and over `window_s`."""
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
        """The policy. Raises `ValueError` for a target below the service time known beforehand."""
        for pool in pools.values():
            if pool.service_s is not None:
                self.servers(Load(pool.service_s / 1e6, pool.service_s, 0.0, pool.service_scv or 0.0))
        return Fcfs(pools, self)

    def servers(self, load: "Load") -> int:
        """The fewest slots that meet the target. Raises `ValueError` where no number of them can."""
        known = (load.rate_per_s, load.service_s)
        variability = (load.arrival_scv, load.service_scv)
        if self.wait_s is not None:
            return servers_for_wait(*known, self.wait_s, self.quantile, *variability)
        if self.response_s is not None:
            return servers_for_response(*known, self.response_s, self.quantile, *variability)
        return servers_for_mean_response(*known, self.mean_response_s or 0.0, *variability)

    @property
    def patience_s(self) -> float:
        """The time in which a backlog should be worked off."""
        return self.wait_s or self.response_s or self.mean_response_s or 0.0


TARGETS = ("wait_s", "response_s", "mean_response_s")

LARGEST_SCV = 50.0
"""No variability above this is believed: beyond it lies a load that changes, which the rate and the trend follow."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a pool has to bear."""

    rate_per_s: float
    service_s: float
    arrival_scv: float
    service_scv: float


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
    _windows: dict[str, Window] = field(default_factory=dict, init=False)

    @property
    def memory_s(self) -> float:
        return self.spec.window_s

    def decide(self, observation: Observation, /) -> Decision:
        reasons: dict[str, Reason] = {}
        kept: dict[str, str] = {}
        for name in [pool for pool in self.pools if pool in observation.pools]:
            window = self._windows.setdefault(name, Window(self.spec.window_s))
            window.see(observation, name)
            wish = self._wish(self.pools[name], observation.pools[name], window)
            if isinstance(wish, Reason):
                reasons[name] = wish
            else:
                kept[name] = wish
        return Decision(reasons, kept)

    def _wish(self, pool: PoolTraits, reading: PoolReading, window: Window) -> Reason | str:
        """The wish for one pool, or in words what is missing for one."""
        rate = self._rate(pool, window)
        service = _service(pool, window)
        if rate is None:
            return "arrived_total was not read twice yet"
        if service is None:
            return "no service time is known: none was seen and none is stated for the version"
        rate_per_s, rate_words = rate
        if rate_per_s <= 0:
            return Reason(0, "no arrivals")
        arrival_scv = _arrival_scv(window)
        load = Load(rate_per_s, service[0], arrival_scv, service[1])
        factor = self._seen_over_predicted(pool, reading, window, load)
        load = Load(rate_per_s, service[0], min(arrival_scv * factor, LARGEST_SCV), min(service[1] * factor, 50.0))
        try:
            slots = self.spec.servers(load)
        except ValueError as impossible:
            return f"no number of replicas meets the target: {impossible}"
        backlog = self._backlog(window, load)
        words = (
            f"{rate_words}, service {load.service_s:.3g} s, SCV of arrivals {arrival_scv:.2g} and of services "
            f"{service[1]:.2g}" + (f" x {factor:.2g} for the waits seen" if factor > 1 else "")
        )
        if backlog:
            words += f"; {backlog} slots more for a backlog of {window.latest('queued'):.0f}"
        return Reason(ceil((slots + backlog) / pool.slots), words)

    def _rate(self, pool: PoolTraits, window: Window) -> tuple[float, str] | None:
        """Arrivals per second at the moment when a replica started now would be ready, and how that came about."""
        long = window.rate_per_s("arrived_total")
        if long is None:
            return None
        recent = window.rate_per_s("arrived_total", self.spec.rate_window_s)
        now = long if recent is None else max(recent, long)
        ahead_s = pool.startup_p95_s if self.spec.horizon_s is None else self.spec.horizon_s
        trend = window.trend("arrived_total", self.spec.rate_window_s)
        if trend is None or trend[0] <= 2 * trend[1]:
            return now, f"{now:.3g} arrivals/s"
        coming = now + trend[0] * ahead_s
        return coming, f"{now:.3g} arrivals/s, rising to {coming:.3g} in {ahead_s:.0f} s"

    def _backlog(self, window: Window, load: Load) -> int:
        """Slots that work the queue off in the time of the target, beside what the load itself needs."""
        queued = window.latest("queued") or 0.0
        expected = load.rate_per_s * self.spec.patience_s
        return ceil(max(0.0, queued - expected) * load.service_s / max(self.spec.patience_s, load.service_s))

    def _seen_over_predicted(self, pool: PoolTraits, reading: PoolReading, window: Window, load: Load) -> float:
        """Mean wait seen over mean wait predicted for the replicas that are ready: what the formulas miss, in 1..10.

        Mean waits are in proportion to the sum of the two SCVs (Allen and Cunneen 1978), so this scales both.
        """
        waits = window.histogram("wait_s")
        ready = reading.wanted if reading.ready is None else reading.ready
        rate = window.rate_per_s("started_total") or 0.0
        seen_s = waits.mean() if waits else None
        if not ready or seen_s is None or waits is None or waits.total < 100:
            return 1.0
        slots = ready * pool.slots
        if not 0 < rate * load.service_s < slots:
            return 1.0
        predicted = GGC(rate, load.service_s, slots, load.arrival_scv, load.service_scv)
        return min(max(seen_s / max(predicted.wait_s, 0.01 * load.service_s), 1.0), 10.0)


def _service(pool: PoolTraits, window: Window) -> tuple[float, float] | None:
    """Mean and squared coefficient of variation of the service time: as seen, or as stated beforehand."""
    seen = window.histogram("service_s")
    mean = seen.mean() if seen else None
    if seen is None or mean is None or seen.total < 30:
        return None if pool.service_s is None else (pool.service_s, min(pool.service_scv or 1.0, LARGEST_SCV))
    return mean, min(seen.scv() or 0.0, LARGEST_SCV)


def _arrival_scv(window: Window) -> float:
    """The greatest index of dispersion of counts over several time scales, which is the SCV that a queue feels."""
    scales = (window.covered_s / n for n in (40, 20, 10, 5))
    seen = [d for scale in scales if scale > 0 and (d := window.dispersion("arrived_total", scale)) is not None]
    return min(max(seen, default=1.0), LARGEST_SCV)
