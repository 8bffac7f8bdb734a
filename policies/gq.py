"""Size all versions of a model together, as the servers of one queue: the cheapest mix that meets a target."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass as checked

from policies.decision import Decision, Reason
from policies.gq_rule import Limits, Line, plan
from policies.joint import Joint
from policies.loads import LookingAhead, measured_service
from policies.observation import Observation, PoolReading
from policies.policy import Readings
from policies.pool import Pools, PoolTraits, check_qualities, known
from policies.sizing import SCV_STEP, STEP, Aiming, Load, one_target, rounded_up
from policies.spec import STRICT, Count, Fraction, InnerFraction, NonNegative, PositiveSeconds, Seconds

_plan = lru_cache(maxsize=1 << 14)(plan)


@checked(frozen=True, kw_only=True, config=STRICT)
class GqSpec(Aiming, LookingAhead):
    """The cheapest mix of versions behind one queue, for one target: `wait_s`, `response_s` or `mean_response_s`."""

    kind: Literal["gq"] = "gq"
    wait_s: Seconds | None = None
    """A share `quantile` of the requests starts within this time."""
    response_s: PositiveSeconds | None = None
    """A share `quantile` of the requests is answered within this time."""
    mean_response_s: PositiveSeconds | None = None
    """The mean response time is at most this."""
    quantile: InnerFraction = 0.95
    shares: dict[str, Fraction] = Field(default_factory=dict)
    """Pool (`model/version`) or version -> the least share of the requests that it serves."""
    quality: Fraction | None = None
    """The mean quality of the requests served is at least this."""
    replicas: Count | None = None
    """No more than these for each model."""
    cost_per_hour: NonNegative | None = None
    """Replicas of each model cost no more than this; where it is too little, capacity is lost, then shares, then
    quality."""
    window_s: PositiveSeconds = 600.0
    """Service times, variability and trend are taken from this much of the past."""
    rate_window_s: PositiveSeconds = 60.0
    """A rise is looked for in this time and in parts of it; the trend in intervals of it."""
    horizon_s: NonNegative | None = None
    """The trend is followed this far ahead; the longest start-up time (95 % quantile) where not given."""

    @model_validator(mode="after")
    def _one_target(self) -> "GqSpec":
        one_target(self.target)
        return self

    def build(self, pools: Pools) -> "Gq":
        """Raises `ValueError` for a quality floor where a version's quality is not known, and for unknown names."""
        check_qualities(self.quality, pools)
        shares = known(self.shares, pools)
        for model in {pool.model for pool in pools.values()}:
            total = sum(share for name, share in shares.items() if pools[name].model == model)
            if total > 1.0 + 1e-9:
                raise ValueError(f"shares of {model} sum up to {total:g}, must not exceed 1")
        return Gq(pools, self, shares)

    @property
    def limits(self) -> Limits:
        return Limits(replicas=self.replicas, cost_per_hour=self.cost_per_hour, quality=self.quality)


@dataclass(slots=True)
class Gq:
    pools: Pools
    spec: GqSpec
    shares: Mapping[str, float]
    readings: Readings = Readings(
        needed=frozenset({"arrived_total"}),
        assumed={
            "service_s": "service mean and variability as stated for the version",
            "queued": "no backlog",
            "ready": "as many replicas ready as are wanted",
        },
    )
    _models: dict[str, "_Model"] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for model in dict.fromkeys(pool.model for pool in self.pools.values()):
            own = {name: pool for name, pool in self.pools.items() if pool.model == model}
            self._models[model] = _Model(own, self.spec, self.shares)

    @property
    def memory_s(self) -> float:
        return 2 * self.spec.window_s

    def decide(self, observation: Observation, /) -> Decision:
        wishes: dict[str, Reason | str] = {}
        for model in self._models.values():
            wishes.update(model.wishes(observation))
        return Decision.of(wishes)


class _Model:
    """One model: what was seen of its pools."""

    def __init__(self, pools: Pools, spec: GqSpec, shares: Mapping[str, float]) -> None:
        self.pools = pools
        self.spec = spec
        self.shares = shares
        self.seen = Joint(pools, spec.looking)
        self._target = spec.target
        self._limits = spec.limits

    def wishes(self, observation: Observation) -> Mapping[str, Reason | str]:
        readings = {name: observation.pools[name] for name in self.pools if name in observation.pools}
        if len(readings) < len(self.pools):
            missing = ", ".join(self.pools.keys() - readings.keys())
            return dict.fromkeys(readings, f"{missing} is not seen, and serves the same queue")
        one = self.seen.see(observation.time_s, readings)
        found = self.seen.whole.load(self.seen.traits, one)
        if isinstance(found, str):
            return dict.fromkeys(readings, found)
        load, words = found
        if load.rate_per_s <= 0:
            return self._held(dict.fromkeys(readings, 0), words, readings)
        return self._mixed(load, words, one, readings)

    def _mixed(
        self, load: Load, words: str, one: PoolReading, readings: Mapping[str, PoolReading]
    ) -> Mapping[str, Reason | str]:
        lines = {name: self._line(pool) for name, pool in self.pools.items()}
        unknown = [name for name, line in lines.items() if line is None]
        if unknown:
            return dict.fromkeys(readings, f"no service time of {', '.join(unknown)} is known")
        backlog = self.seen.whole.backlog(self.seen.traits, one, load, self._target.time_s)
        rate_per_s = load.rate_per_s + backlog / load.service_s
        stepped = rounded_up(rate_per_s, STEP), rounded_up(load.arrival_scv, SCV_STEP)
        mix = _plan(tuple(line for line in lines.values() if line), self._target, *stepped, self._limits)
        if mix is None:
            return dict.fromkeys(readings, "no mix of versions keeps to the limits and to the least replicas")
        words += f", SCV {load.arrival_scv:.2g}" + (f", a backlog of {one.total.queued:.0f}" if backlog else "")
        words += (
            ": the cheapest mix" if not mix.loss else f": limits are too narrow, {mix.loss}: the mix that bears most"
        )
        return self._held(mix.replicas, words, readings)

    def _line(self, pool: PoolTraits) -> Line | None:
        service = measured_service(pool, self.seen.each[pool.name])
        if service is None:
            return None
        return Line(
            name=pool.name,
            slots=pool.slots,
            # A service of no time still takes a slot.
            service_s=rounded_up(max(service[0], 1e-9), STEP),
            service_scv=rounded_up(service[1], SCV_STEP),
            at_least=pool.at_least,
            at_most=pool.at_most,
            cost_per_hour=pool.cost_per_hour,
            quality=pool.quality or 0.0,
            share=self.shares.get(pool.name, 0.0),
        )

    def _held(
        self, replicas: Mapping[str, int], words: str, readings: Mapping[str, PoolReading]
    ) -> Mapping[str, Reason | str]:
        whole = self.seen.whole
        return {name: whole.held(Reason(n, words), readings[name].wanted) for name, n in replicas.items()}
