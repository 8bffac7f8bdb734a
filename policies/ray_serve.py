"""The default autoscaler of Ray Serve: ongoing requests in a replica, held to a target."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from pydantic.dataclasses import dataclass as checked

from policies.between import SAME_S
from policies.decision import Decision, Reason
from policies.observation import Observation, PoolReading
from policies.policy import Readings
from policies.pool import Pools, PoolTraits
from policies.ray_serve_rule import Pending, RuleSettings, decide
from policies.spec import STRICT, Positive, PositiveSeconds, Seconds


@checked(frozen=True, kw_only=True, config=STRICT)
class RayServeSpec:
    """Scale as Ray Serve does. Bounds are those of the pool; names and defaults are Ray Serve's own.

    A reading stands for a report of all replicas and handles: requests in service and queued, at that moment. Only a
    reading that is new can make a pool smaller; where it has none, Ray Serve takes what is no longer reported for 0.
    """

    kind: Literal["ray_serve"] = "ray_serve"
    target_ongoing_requests: Positive = 2.0
    """Requests queued and in service, for each replica."""
    look_back_period_s: PositiveSeconds = 30.0
    """Requests are aggregated over this time."""
    aggregation_function: Literal["mean", "max", "min"] = "mean"
    """How: a mean in which all readings weigh alike, as Ray Serve's replicas make it; the greatest; or the least."""
    smoothing_factor: Positive = 1.0
    """The share of a missing, or spare, number of replicas that one decision makes up for; where not given below."""
    upscaling_factor: Positive | None = None
    downscaling_factor: Positive | None = None
    upscale_delay_s: Seconds = 30.0
    """More replicas must be asked for without a break for so long."""
    downscale_delay_s: Seconds = 600.0
    """Fewer replicas must be asked for without a break for so long."""
    downscale_to_zero_delay_s: Seconds | None = None
    """The same, for the last replica; as long as for others where not given."""

    def build(self, pools: Pools) -> "RayServe":
        return RayServe(pools, self)

    @property
    def rule(self) -> RuleSettings:
        return RuleSettings(
            target_ongoing_requests=self.target_ongoing_requests,
            upscaling_factor=self.upscaling_factor or self.smoothing_factor,
            downscaling_factor=self.downscaling_factor or self.smoothing_factor,
            upscale_delay_s=self.upscale_delay_s,
            downscale_delay_s=self.downscale_delay_s,
            downscale_to_zero_delay_s=self.downscale_to_zero_delay_s,
        )


class Ongoing:
    """The ongoing requests of one pool at the readings of the look-back period."""

    def __init__(self, look_back_s: float) -> None:
        self._look_back_s = look_back_s
        self._values: deque[tuple[float, float]] = deque()

    def see(self, time_s: float, reading: PoolReading) -> bool:
        """Take in a reading; whether it is new and known."""
        while self._values and self._values[0][0] < time_s - self._look_back_s:
            self._values.popleft()
        queued, in_service = reading.total.queued, reading.total.in_service
        if reading.age_s is None or queued is None or in_service is None or reading.age_s > self._look_back_s:
            return False
        taken_s = time_s - reading.age_s
        if self._values and taken_s <= self._values[-1][0] + SAME_S:
            return False
        self._values.append((taken_s, queued + in_service))
        return True

    def aggregated(self, how: str) -> float | None:
        """The mean, greatest or least value; None where none is known."""
        values = [value for _, value in self._values]
        if not values:
            return None
        return sum(values) / len(values) if how == "mean" else max(values) if how == "max" else min(values)


class Deployment:
    """What Ray Serve keeps for one pool: recent numbers of requests, and the change that waits for its delay."""

    def __init__(self, spec: RayServeSpec, pool: PoolTraits) -> None:
        self._spec = spec
        self._pool = pool
        self._rule = spec.rule
        self._ongoing = Ongoing(spec.look_back_period_s)
        self._pending: Pending | None = None
        self._target: int | None = None

    def decide(self, now_s: float, reading: PoolReading, running: int, target: int) -> Reason | str:
        """The wish, or in words why there is none."""
        is_new = self._ongoing.see(now_s, reading)
        if target != self._target:
            # A change was made, by this policy or another hand: what was pending is over.
            self._pending, self._target = None, target
        ongoing = self._ongoing.aggregated(self._spec.aggregation_function)
        if ongoing is None:
            return "no requests were read in the look-back period"
        reason, pending = decide(self._rule, self._pending, now_s, running, target, ongoing)
        if not is_new and reason.final < target:
            # What waits for its delay goes on waiting: the next reading may confirm it.
            return self._bounded(reason.limited("unknown", target, "no new reading"))
        self._pending = pending
        return self._bounded(reason)

    def _bounded(self, reason: Reason) -> Reason:
        least, most = self._pool.at_least, self._pool.at_most
        within = max(least, min(reason.final, most))
        return reason.limited("bounds", within, f"at least {least}" if within == least else f"at most {most}")


@dataclass(slots=True)
class RayServe:
    """A `Deployment` for each pool.

    One that is fed its memory fills its look-back period anew, so a delay may begin that much earlier or later than
    in one that never stopped; where the period holds one reading both are the same.
    """

    pools: Pools
    spec: RayServeSpec
    readings: Readings = Readings(
        needed=frozenset({"queued", "in_service"}),
        assumed={"ready": "as many replicas ready as are wanted", "wanted": "as many replicas wanted as are ready"},
    )
    _deployments: dict[str, Deployment] = field(default_factory=dict, init=False)

    @property
    def memory_s(self) -> float:
        spec = self.spec
        delays_s = (spec.upscale_delay_s, spec.downscale_delay_s, spec.downscale_to_zero_delay_s or 0.0)
        return spec.look_back_period_s + max(delays_s)

    def decide(self, observation: Observation, /) -> Decision:
        seen = [name for name in self.pools if name in observation.pools]
        return Decision.of({name: self._wish(name, observation.time_s, observation.pools[name]) for name in seen})

    def _wish(self, name: str, now_s: float, reading: PoolReading) -> Reason | str:
        running = reading.wanted if reading.ready is None else reading.ready
        target = reading.ready if reading.wanted is None else reading.wanted
        if running is None or target is None:
            return "neither ready nor wanted replicas are known"
        if name not in self._deployments:
            self._deployments[name] = Deployment(self.spec, self.pools[name])
        return self._deployments[name].decide(now_s, reading, running, target)
