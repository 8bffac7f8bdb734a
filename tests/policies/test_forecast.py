"""The policy `forecast`: what the rule within is shown, when, and what is said of it."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from policies.catalog import PolicySpec  # noqa: F401  makes the specs whole
from policies.decision import Decision, Reason
from policies.fcfs import FcfsSpec
from policies.forecast import Forecast, ForecastSpec, Grid
from policies.forecasts.shown import Lens, ShownPool
from policies.histogram import Histogram
from policies.hpa import HpaSpec
from policies.observation import Flow, Observation, PoolReading, ReplicaReading
from policies.policy import Policy, Readings
from policies.target import TargetSpec
from policies.testing import seen, traits
from policies.windows import Window

SERVICE_S = 5.0
POOLS = {"m/v1": traits("m/v1", startup_p95_s=240.0, service_s=SERVICE_S)}
TICK_S = 60.0
SEASON_S = 4 * 3600.0


# How a load is shown.


def flow(count: float, **more: Any) -> Flow:
    return Flow(
        queued=3.0,
        in_service=count / 10,
        arrived_total=count,
        started_total=count,
        completed_total=count,
        failed_total=0.0,
        busy_s_total=SERVICE_S * count,
        **more,
    )


def pool(total: Flow, **more: Any) -> PoolReading:
    return PoolReading(**{"wanted": 4, "starting": 0, "ready": 4, "draining": 0, "age_s": 0.0, "total": total, **more})


def shown(lens: Lens, *readings: PoolReading) -> list[PoolReading]:
    view, found = ShownPool(), []
    for i, reading in enumerate(readings):
        view.take(60.0 * i, reading, lens)
        found.append(view.show(reading))
    return found


def test_what_grows_is_shown_to_grow_by_the_factor() -> None:
    first, second = (r.total for r in shown(Lens(1.5), pool(flow(100.0)), pool(flow(300.0))))
    assert (first.arrived_total, second.arrived_total) == (0.0, 300.0)
    assert (second.completed_total, second.busy_s_total, second.failed_total) == (300.0, 1500.0, 0.0)
    assert (second.in_service, second.queued) == (45.0, 3.0)
    assert second.rejected_total is None


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 20), st.floats(0, 50)), min_size=1, max_size=30),
)
def test_no_counter_ever_goes_back(readings: list[tuple[float, float, float]]) -> None:
    view, before = ShownPool(), (0.0, 0.0)
    for i, (count, factor, rate) in enumerate(readings):
        reading = pool(flow(count))
        view.take(60.0 * i, reading, Lens(factor, rate, SERVICE_S))
        total = view.show(reading).total
        assert total.arrived_total is not None
        assert total.busy_s_total is not None
        assert total.arrived_total >= before[0]
        assert total.busy_s_total >= before[1]
        before = (total.arrived_total, total.busy_s_total)


@given(st.integers(1, 28), st.lists(st.integers(0, 1000), min_size=30, max_size=30), st.floats(0.1, 9))
def test_growth_is_the_same_to_the_bit_whenever_counting_began(cut: int, grown: list[int], factor: float) -> None:
    readings = [pool(flow(count / 7)) for count in np.cumsum(grown).tolist()]
    whole, late = shown(Lens(factor), *readings), shown(Lens(factor), *readings[cut:])
    for name in ("arrived_total", "busy_s_total"):
        ends = [
            (getattr(all_of[-1].total, name), getattr(all_of[i].total, name)) for all_of, i in ((whole, cut), (late, 0))
        ]
        assert ends[0][0] - ends[0][1] == ends[1][0] - ends[1][1]


def test_a_restarted_counter_is_shown_to_go_on() -> None:
    total = [r.total.arrived_total for r in shown(Lens(2.0), pool(flow(100.0)), pool(flow(150.0)), pool(flow(20.0)))]
    assert total == [0.0, 100.0, 140.0]


def test_where_too_few_came_a_steady_flow_is_shown() -> None:
    classes = {"a": flow(3.0), "b": flow(1.0)}
    later = {"a": flow(3.0), "b": flow(1.0)}
    last = shown(Lens(1.0, 2.0, SERVICE_S), pool(flow(4.0), classes=classes), pool(flow(4.0), classes=later))[-1]
    assert (last.total.arrived_total, last.total.busy_s_total, last.total.in_service) == (120.0, 600.0, 10.0)
    assert [c.arrived_total for c in last.classes.values()] == [90.0, 30.0]


def test_histograms_and_replica_counts_are_shown_as_they_are_and_replicas_busier() -> None:
    waits = Histogram((1.0,), (3.0, 4.0), 5.0)
    replicas = (ReplicaReading(name="a", utilization=0.5), ReplicaReading(name="b"))
    reading = shown(Lens(1.5), pool(flow(1.0, wait_s=waits), replicas=replicas))[0]
    assert reading.total.wait_s is waits
    assert (reading.wanted, reading.ready) == (4, 4)
    assert reading.replicas is not None
    assert [r.utilization for r in reading.replicas] == [0.75, None]


def test_one_reading_looked_at_twice_grows_once() -> None:
    view = ShownPool()
    view.take(0.0, pool(flow(0.0)), Lens(2.0))
    view.take(60.0, pool(flow(10.0)), Lens(2.0))
    again = view.show(pool(flow(10.0), wanted=7, age_s=30.0))
    assert (again.total.arrived_total, again.wanted, again.age_s) == (20.0, 7, 30.0)


# The policy.


@dataclass
class Eye:
    """A rule that remembers what it is shown, and wants a replica for each arrival a second in the last 5 minutes."""

    pools: tuple[str, ...] = ("m/v1",)
    window: Window = field(default_factory=lambda: Window(300.0))
    rates: list[float | None] = field(default_factory=list)
    memory_s: float = 600.0
    readings: Readings = Readings(needed=frozenset({"arrived_total"}))

    def decide(self, observation: Observation, /) -> Decision:
        self.window.see(observation, "m/v1")
        self.rates.append(self.window.rate_per_s("arrived_total"))
        rate = self.rates[-1]
        return Decision.of({"m/v1": "nothing yet" if rate is None else Reason(round(10 * rate), f"{rate:.3g}/s")})


def course(t: float) -> float:
    return 5 + 4 * float(np.sin(2 * np.pi * t / SEASON_S))


def day(until_s: float, seed: int | None = 1, tick_s: float = TICK_S) -> list[Observation]:
    """Observations of a pool under a load with a season of four hours; no chance where there is no seed."""
    times = np.arange(1, int(until_s / tick_s)) * tick_s
    counts = np.array([course(t) * tick_s for t in times])
    if seed is not None:
        counts = np.random.default_rng(seed).poisson(counts).astype(float)
    return [
        seen(
            t,
            arrived_total=a,
            started_total=a,
            completed_total=a,
            busy_s_total=SERVICE_S * a,
            in_service=0.0,
            queued=0.0,
        )
        for t, a in zip(times.tolist(), np.cumsum(counts).tolist(), strict=True)
    ]


def forecast(policy: Policy | None = None, **spec: Any) -> Forecast:
    known = {"season_s": SEASON_S, "policy": TargetSpec(), **spec}
    return Forecast(Eye() if policy is None else policy, POOLS, ForecastSpec(**known))


def because(decision: Decision) -> str:
    return decision.reasons["m/v1"].because if decision.reasons else decision.kept["m/v1"]


@pytest.mark.parametrize("method", ["seasonal_naive", "holt_winters", "autoregression", "auto"])
def test_the_rule_sees_the_rate_at_the_moment_a_replica_started_now_would_be_ready(method: str) -> None:
    """Without chance the forecast is what comes, and the window of the rule shows it as it is."""
    eye = Eye()
    policy = forecast(eye, method=method, quantile=0.5, shrink=True)
    observations = day(5 * SEASON_S, seed=None)
    for observation in observations:
        policy.decide(observation)
    half_window_s = 120.0  # in the mean; what grew in a minute is shown at the rate of that minute's end and on
    last = [(o.time_s, rate) for o, rate in zip(observations, eye.rates, strict=True)][-200:]
    off = [abs((rate or 0.0) - course(t - half_window_s + 240.0)) for t, rate in last]
    as_now = [abs(course(t - half_window_s) - course(t - half_window_s + 240.0)) for t, _ in last]
    assert max(off) < 0.16
    assert np.mean(off) < 0.25 * np.mean(as_now)


def test_the_load_shown_is_never_less_than_there_is_unless_it_may_be() -> None:
    observations = day(5 * SEASON_S)
    eye, plain, less = Eye(), Eye(), Eye()
    kept, shrunk = forecast(eye), forecast(less, shrink=True)
    for observation in observations:
        kept.decide(observation)
        plain.decide(observation)
        shrunk.decide(observation)
    pairs = [(a, b, c) for a, b, c in zip(eye.rates, plain.rates, less.rates, strict=True) if a and b and c]
    assert all(a >= b - 1e-9 for a, b, _ in pairs)
    assert any(c < b - 0.1 for _, b, c in pairs)


def test_words_tell_what_was_forecast_by_which_method() -> None:
    policy = forecast(method="holt_winters")
    for observation in day(4 * SEASON_S):
        decision = policy.decide(observation)
    told = because(decision)
    assert "/s; forecast " in told
    assert "/s in 240 s (holt_winters, 90 % quantile; now " in told


def test_with_too_little_history_the_rule_is_as_it_is_and_that_is_said() -> None:
    policy, eye, plain = forecast(), Eye(), Eye()
    policy.policy = eye
    for observation in day(3000.0):
        decision = policy.decide(observation)
        plain.decide(observation)
    assert eye.rates == pytest.approx(plain.rates)
    assert because(decision).endswith("reactive: too little history for a forecast (seasonal_naive, 0 errors known)")


def test_a_forecast_that_was_wrong_of_late_is_not_listened_to_and_that_is_said() -> None:
    """The season is gone: where a peak was there is none, and "as now" is right."""
    policy = forecast(method="seasonal_naive")
    observations = day(4 * SEASON_S)
    for observation in observations:
        policy.decide(observation)
    last = observations[-1].pools["m/v1"].total.arrived_total or 0.0
    start_s = observations[-1].time_s
    for k in range(1, 61):
        decision = policy.decide(seen(start_s + 60.0 * k, arrived_total=last + 300.0 * k))
    told = because(decision)
    assert "reactive: the forecast (seasonal_naive) erred by " in told
    assert told.endswith(" % lately, as-now by 0 %")


def test_a_jump_is_not_multiplied_by_what_the_load_was_short_of_before() -> None:
    """5/s are forecast and 1/s comes; then 5/s come after all, in one minute more than in the four before."""
    eye = Eye()
    policy = forecast(eye, method="seasonal_naive", quantile=0.5, bin_s=300.0)
    count, rates = 0.0, [5.0] * 960 + [1.0] * 10 + [5.0] * 10
    for k, rate in enumerate(rates):
        count += 60 * rate
        policy.decide(seen(60.0 * k, arrived_total=count))
    assert [rate for rate in eye.rates[-20:] if rate] == pytest.approx([5.0] * 20)


def test_a_pool_asleep_is_woken_for_the_morning() -> None:
    """Two hours of 5/s, then two hours of nothing: at the end of the night the load of the morning is shown."""
    eye, woken = Eye(), []
    policy = forecast(eye, method="seasonal_naive", quantile=0.5)
    count = 0.0
    for k in range(1, 5 * 240):
        t = 60.0 * k
        count += 300.0 if (t - 1) % SEASON_S < SEASON_S / 2 else 0.0
        policy.decide(seen(t, arrived_total=count))
        if k > 4 * 240 - 10 and t < 4 * SEASON_S:
            woken.append(eye.rates[-1] or 0.0)
    assert woken[0] == 0.0
    assert woken[-1] > 1.0


def test_a_pool_whose_arrivals_are_missing_does_not_shrink() -> None:
    policy = Forecast(TargetSpec().build(POOLS), POOLS, ForecastSpec(policy=TargetSpec()))
    policy.decide(seen(0.0, wanted=9, busy_s_total=0.0))
    reason = policy.decide(seen(60.0, wanted=9, busy_s_total=60.0)).reasons["m/v1"]
    assert (reason.wish, reason.final) == (2, 9)
    assert str(reason).endswith("arrived_total is missing; forecast: 2 -> 9 (arrived_total is missing)")


def test_a_reading_that_is_missing_or_old_shows_what_was_shown_before() -> None:
    eye = Eye()
    policy = forecast(eye)
    for observation in day(4 * SEASON_S):
        policy.decide(observation)
    before, time_s = eye.rates[-1], observation.time_s
    stale = {"m/v1": replace(observation.pools["m/v1"], age_s=30.0)}
    policy.decide(Observation(time_s + 30.0, stale))
    assert eye.rates[-1] == before


def test_a_pool_that_it_does_not_know_is_shown_as_it_is() -> None:
    policy = Forecast(Eye(), {}, ForecastSpec(policy=TargetSpec()))
    observation = Observation(0.0, {"other/v1": PoolReading()})
    shown_to: list[Observation] = []

    @dataclass
    class Witness:
        memory_s: float = 0.0
        readings: Readings = Readings()

        def decide(self, observation: Observation, /) -> Decision:
            shown_to.append(observation)
            return Decision()

    policy.policy = Witness()
    assert policy.decide(observation) == Decision()
    assert shown_to == [observation]


@pytest.mark.parametrize("inner", [TargetSpec(), FcfsSpec(wait_s=5.0), HpaSpec()], ids=lambda spec: spec.kind)
def test_any_rule_within_grows_before_the_load_does(inner: Any) -> None:
    policy, plain = ForecastSpec(season_s=SEASON_S, policy=inner).build(POOLS), inner.build(POOLS)
    more = []
    for observation in day(4 * SEASON_S):
        wishes = [p.decide(observation).reasons.get("m/v1") for p in (policy, plain)]
        rising = course(observation.time_s + 240) > course(observation.time_s) + 0.2
        if wishes[0] and wishes[1] and rising and observation.time_s > 3 * SEASON_S:
            more.append(wishes[0].wish - wishes[1].wish)
    assert np.mean(more) > 1


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 100), st.sampled_from(["auto", "holt_winters"]))
def test_fed_its_memory_it_decides_as_one_that_never_stopped(seed: int, method: str) -> None:
    spec = ForecastSpec(method=method, season_s=1800.0, policy=FcfsSpec(wait_s=5.0))  # type: ignore[arg-type]
    whole, late = spec.build(POOLS), spec.build(POOLS)
    cut_s = 12345.0
    for observation in day(cut_s + late.memory_s + 3600.0, seed):
        decision = whole.decide(observation)
        if observation.time_s >= cut_s:
            again = late.decide(observation)
        if observation.time_s >= cut_s + late.memory_s:
            assert again == decision


# The bins.


def test_bins_follow_from_start_up_season_and_history() -> None:
    spec = ForecastSpec(policy=TargetSpec())
    assert Grid.of(spec, traits(startup_p95_s=240.0)) == Grid(240.0, 300.0, 2, 288, 864)
    assert Grid.of(spec, traits(startup_p95_s=30.0)) == Grid(30.0, 300.0, 1, 288, 864)
    assert Grid.of(spec, traits(startup_p95_s=2400.0)) == Grid(2400.0, 600.0, 5, 144, 432)
    short = ForecastSpec(policy=TargetSpec(), season_s=7000.0, bin_s=60.0, horizon_s=90.0)
    assert Grid.of(short, traits()) == Grid(90.0, 7000 / 117, 3, 117, 351)
    assert Grid.of(ForecastSpec(policy=TargetSpec(), season_s=None), traits()).season is None


def test_a_season_of_a_few_bins_is_refused_with_the_pool_named() -> None:
    with pytest.raises(ValueError, match="m/v1: season_s, 100 s, has fewer than 4 bins of 60 s; give a shorter bin_s"):
        ForecastSpec(policy=TargetSpec(), season_s=100.0).build(POOLS)


def test_a_history_shorter_than_two_seasons_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"history_s, 100000 s, must hold two seasons .* give at least 172800"):
        ForecastSpec(policy=TargetSpec(), history_s=1e5)


def test_arrivals_are_asked_for_and_can_be_done_without() -> None:
    policy = ForecastSpec(policy=TargetSpec()).build(POOLS)
    assert policy.readings.assumed["arrived_total"] == "no forecast: the load stays as it is"
    assert "busy_s_total" in policy.readings.needed
    needed = ForecastSpec(policy=FcfsSpec(wait_s=5.0)).build(POOLS).readings
    assert "arrived_total" not in needed.assumed
