"""A policy around a sizing rule: show it the load at the moment when a replica started now would be ready.

The rule stays as it is. It is shown each pool as `policies.forecasts.shown` has it, with counters that grow by
forecast / now times their real growth, so that the rates it measures are those forecast, over whatever windows, with
the bursts they really have. "Now" is the rate over the last bin's length, or since the last reading where that is
another beyond chance: after a jump the load is not multiplied by what it was short of before. Where fewer than ten
requests came in that time there is nothing to multiply, and the pool is shown a steady flow at the rate forecast.

Beware of a rule that looks ahead by itself, as `fcfs` does by its trend: it looks on from there.

The forecast is a quantile, by the errors that the method has made on this pool at this horizon. A method that has been
worse than "as now" of late is not listened to: the rule then sees what there is, until the method has been the
better for a while. In `auto` the method is heard that has erred least of late.
"""

from dataclasses import dataclass, field, replace
from math import floor, isfinite
from typing import TYPE_CHECKING, Literal
from zlib import crc32

from pydantic import model_validator
from pydantic.dataclasses import dataclass as checked

from policies.decision import Decision, Reason
from policies.forecasts.outlook import METHODS, Outlook
from policies.forecasts.rate_series import LONGEST_GAP, RateSeries
from policies.forecasts.shown import Lens, ShownPool
from policies.forecasts.track import Track
from policies.observation import Observation, PoolReading
from policies.policy import Policy, Readings
from policies.pool import Pools, PoolTraits
from policies.spec import STRICT, InnerFraction, NonNegative, PositiveSeconds

if TYPE_CHECKING:
    from policies.catalog import PolicySpec

Method = Literal["seasonal_naive", "holt_winters", "autoregression", "auto"]

FEW = 10
"""The rate of fewer arrivals is too unsure to divide by."""

DAY_S = 86400.0
SHORTEST_BIN_S = 60.0
MOST_BINS = 864
"""Of history: three days of 5 minutes."""

LEAST_SEASON = 4
"""In bins."""


@checked(frozen=True, kw_only=True, config=STRICT)
class ForecastSpec:
    """Let a sizing rule see the load as it will be when a replica that is started now is ready."""

    kind: Literal["forecast"] = "forecast"
    method: Method = "auto"
    """`seasonal_naive` (as one season before), `holt_winters` (level, damped trend and season), `autoregression`
    (lags and harmonics of the season), or `auto`, the one of the three that erred least of late."""
    season_s: PositiveSeconds | None = DAY_S
    """After this time the load repeats; looked for where it is null. Used once two seasons were seen."""
    quantile: InnerFraction = 0.9
    """The load shown is not exceeded with this probability."""
    horizon_s: NonNegative | None = None
    """How far to look ahead; the pool's start-up time (95 % quantile) where not given. The time until the next
    forecast comes on top."""
    shrink: bool = False
    """Show less than the present load where less is forecast."""
    bin_s: PositiveSeconds | None = None
    """Arrivals are counted in intervals of about this length; a quarter of the horizon where not given, but no less
    than a minute or an 864th of the history."""
    history_s: PositiveSeconds | None = None
    """Methods are fitted to so much of the past; three seasons where not given, or three days."""
    policy: "PolicySpec"
    """The sizing rule."""

    @model_validator(mode="after")
    def _two_seasons(self) -> "ForecastSpec":
        if self.history_s is not None and self.season_s is not None and self.history_s < 2 * self.season_s:
            raise ValueError(
                f"history_s, {self.history_s:g} s, must hold two seasons of season_s, {self.season_s:g} s; "
                f"give at least {2 * self.season_s:g}"
            )
        return self

    def build(self, pools: Pools) -> "Forecast":
        """The policy. Raises `ValueError` where the season is shorter than four bins."""
        return Forecast(self.policy.build(pools), pools, self)

    @property
    def past_s(self) -> float:
        return 3 * (self.season_s or DAY_S) if self.history_s is None else self.history_s


@dataclass(frozen=True, slots=True)
class Grid:
    """The bins of one pool: their length, how many of them to look ahead, and how many a season and the history are."""

    horizon_s: float
    bin_s: float
    steps: int
    season: int | None
    history: int

    @classmethod
    def of(cls, spec: ForecastSpec, pool: PoolTraits) -> "Grid":
        horizon_s = pool.startup_p95_s if spec.horizon_s is None else spec.horizon_s
        bin_s = spec.bin_s or max(horizon_s / 4, SHORTEST_BIN_S, spec.past_s / MOST_BINS)
        season = None if spec.season_s is None else round(spec.season_s / bin_s)
        if season is not None and season < LEAST_SEASON:
            raise ValueError(
                f"{pool.name}: season_s, {spec.season_s:g} s, has fewer than {LEAST_SEASON} bins of {bin_s:g} s; "
                f"give a shorter bin_s or a longer season_s"
            )
        if season is not None and spec.season_s is not None:
            bin_s = spec.season_s / season
        # The bin that is under way is one step; replicas started in it are ready about the horizon later.
        return cls(horizon_s, bin_s, 1 + floor(horizon_s / bin_s + 0.5), season, max(1, round(spec.past_s / bin_s)))


class View:
    """The forecast for one pool, and the pool as it is shown."""

    def __init__(self, spec: ForecastSpec, pool: PoolTraits) -> None:
        self.words = "reactive: nothing was read yet"
        self.blind = False
        """Whether arrivals were missing from the last reading."""
        self._spec = spec
        self._pool = pool
        self._grid = Grid.of(spec, pool)
        # Pools take turns, so that they are not all forecast and fitted at the same tick.
        turn = crc32(pool.name.encode())
        methods = {name: fit for name, fit in METHODS.items() if spec.method in (name, "auto")}
        self._series = RateSeries(self._grid.bin_s, self._grid.bin_s * (turn % 997) / 997)
        self._outlook = Outlook(methods, self._grid.steps, self._grid.season, self._grid.history, turn)
        self._shown = ShownPool()
        self._taken_s: float | None = None

    @property
    def memory_s(self) -> float:
        return (self._outlook.memory + LONGEST_GAP + 2) * self._grid.bin_s

    def see(self, time_s: float, reading: PoolReading) -> PoolReading:
        """The reading as it is shown."""
        if reading.age_s is not None:
            taken_s = time_s - reading.age_s
            if self._taken_s is None or taken_s > self._taken_s:
                self._taken_s = taken_s
                self._shown.take(taken_s, reading, self._lens(taken_s, reading))
        return self._shown.show(reading)

    def _lens(self, taken_s: float, reading: PoolReading) -> Lens:
        arrived = reading.total.arrived_total
        self.blind = arrived is None or not isfinite(arrived)
        if arrived is None or self.blind:
            self.words = "reactive: arrived_total is missing"
            return Lens()
        for a_bin in self._series.see(taken_s, arrived):
            self._outlook.see(a_bin)
        return self._ahead(self._outlook.track, reading)

    def _ahead(self, track: Track, reading: PoolReading) -> Lens:
        rate, recent = self._outlook.quantile(track, self._spec.quantile), self._series.recent()
        if rate is None or recent is None or not track.trusted:
            self.words = f"reactive: {_why_not(track)}"
            return Lens()
        count, now = recent[0], recent[0] / recent[1]
        self.words = (
            f"forecast {rate:.3g}/s in {self._grid.horizon_s:.0f} s "
            f"({track.name}, {100 * self._spec.quantile:g} % quantile; now {now:.3g})"
        )
        if count < FEW:
            return Lens(rate_per_s=rate, service_s=_service_s(self._pool, reading))
        factor = round(1024 * rate / now) / 1024
        return Lens(factor if self._spec.shrink else max(factor, 1.0))


@dataclass(slots=True)
class Forecast:
    """The inner rule's decision on the load that is coming; a pool whose arrivals are missing does not shrink."""

    policy: Policy
    pools: Pools
    spec: ForecastSpec
    _views: dict[str, View] = field(init=False)

    def __post_init__(self) -> None:
        self._views = {name: View(self.spec, pool) for name, pool in self.pools.items()}

    @property
    def readings(self) -> Readings:
        inner = self.policy.readings
        if "arrived_total" in inner.needed:
            return inner
        return Readings(inner.needed, {**inner.assumed, "arrived_total": "no forecast: the load stays as it is"})

    @property
    def memory_s(self) -> float:
        return self.policy.memory_s + max((view.memory_s for view in self._views.values()), default=0.0)

    def decide(self, observation: Observation, /) -> Decision:
        readings = {name: self._shown(name, observation.time_s, seen) for name, seen in observation.pools.items()}
        decision = self.policy.decide(Observation(observation.time_s, readings))
        wishes: dict[str, Reason | str] = {
            **{pool: self._told(pool, reason, readings[pool].wanted) for pool, reason in decision.reasons.items()},
            **{pool: f"{words}; {self._views[pool].words}" for pool, words in decision.kept.items()},
        }
        return Decision.of(wishes)

    def _shown(self, pool: str, time_s: float, reading: PoolReading) -> PoolReading:
        view = self._views.get(pool)
        return reading if view is None else view.see(time_s, reading)

    def _told(self, pool: str, reason: Reason, wanted: int | None) -> Reason | str:
        """The reason with the forecast told; no shrinking where arrivals are unknown."""
        view = self._views[pool]
        told = replace(reason, because=f"{reason.because}; {view.words}")
        if not view.blind or (wanted is not None and told.final >= wanted):
            return told
        if wanted is None:
            return f"arrived_total is missing, and how many replicas are wanted; {told}"
        return told.limited("forecast", wanted, "arrived_total is missing")


def _why_not(track: Track) -> str:
    if track.errors is None or track.trusted:
        return f"too little history for a forecast ({track.name}, {track.residuals} errors known)"
    lately = f"by {100 * track.errors.forecast:.0f} % lately, as-now by {100 * track.errors.as_now:.0f} %"
    if track.errors.relative > 1:
        return f"the forecast ({track.name}) erred {lately}"
    return f"the forecast ({track.name}) was worse than as-now a while ago; it erred {lately}"


def _service_s(pool: PoolTraits, reading: PoolReading) -> float:
    """The mean service time: as stated, or of all that was served; 0 where neither is known."""
    if pool.service_s is not None:
        return pool.service_s
    busy_s, completed = reading.total.busy_s_total, reading.total.completed_total
    return busy_s / completed if busy_s and completed else 0.0
