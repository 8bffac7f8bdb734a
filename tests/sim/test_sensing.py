"""A simulated policy sees the world late, and some of it never."""

import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.bounded import Bounded
from policies.histogram import Histogram
from policies.loop import Turn
from policies.observation import Flow, PoolReading
from policies.policy import Readings
from sim.arrivals import Poisson
from sim.scenario import Control, Model, Replicas, RequestClass, Scenario, Version
from sim.sensing import ScrapedFlow, _happens
from sim.service import Exponential
from sim.world import World

SCENARIO = Scenario(
    name="seen",
    horizon_s=300.0,
    models=(
        Model(name="m", versions=(Version(name="v1", service=Exponential(mean_s=2.0), replicas=Replicas(initial=5)),)),
    ),
    traffic=tuple(RequestClass(name=name, model="m", arrivals=Poisson(rate_per_s=1.0)) for name in ("chat", "batch")),
)


def readings(control: Control) -> list[tuple[float, PoolReading]]:
    """(Time, reading) of each tick."""
    world = World(replace(SCENARIO, control=control))
    turns: list[Turn] = []
    write = world.history.write
    world.history.write = lambda turn: (turns.append(turn), write(turn))[1]  # type: ignore[method-assign]
    world.run_through(SCENARIO.horizon_s)
    return [(turn.observation.time_s, turn.observation.pools["m/v1"]) for turn in turns]


def test_a_reading_is_as_old_as_its_scrape() -> None:
    seen = dict(readings(Control(tick_s=10.0, scrape_s=30.0, lag_s=5.0, loss=0.0)))
    assert {t: seen[t].age_s for t in (0.0, 10.0, 30.0, 40.0, 60.0)} == {
        0.0: None,
        10.0: 10.0,
        30.0: 30.0,
        40.0: 10.0,
        60.0: 30.0,
    }


def test_what_was_not_scraped_yet_is_unknown_but_replica_counts_are_not() -> None:
    first = readings(Control(tick_s=10.0, scrape_s=10.0, lag_s=5.0, loss=0.0))[0][1]
    assert first.total.arrived_total is None
    assert (first.wanted, first.ready) == (5, 5)


def test_lost_scrapes_make_readings_older() -> None:
    sure = readings(Control(tick_s=10.0, scrape_s=10.0, lag_s=0.0, loss=0.0))
    lossy = readings(Control(tick_s=10.0, scrape_s=10.0, lag_s=0.0, loss=0.5))
    assert {reading.age_s for _, reading in sure} == {0.0}
    assert max(reading.age_s or 0.0 for _, reading in lossy) >= 20.0


def test_everything_lost_is_nothing_known() -> None:
    assert all(r.age_s is None for _, r in readings(Control(tick_s=10.0, scrape_s=10.0, loss=1.0)))


def test_a_hidden_reading_is_not_shown() -> None:
    seen = readings(Control(lag_s=0.0, loss=0.0, unseen=("wait_s", "ready")))[-1][1]
    assert seen.total.wait_s is None
    assert seen.classes["chat"].wait_s is None
    assert seen.ready is None
    assert seen.total.service_s is not None


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([5.0, 10.0, 30.0]), st.sampled_from([0.0, 3.0]), st.sampled_from([0.0, 0.3]))
def test_counters_only_grow_and_classes_add_up(scrape_s: float, lag_s: float, loss: float) -> None:
    before = 0.0
    for _, reading in readings(Control(tick_s=10.0, scrape_s=scrape_s, lag_s=lag_s, loss=loss)):
        total = reading.total
        if total.arrived_total is None or total.wait_s is None or total.response_s is None:
            continue
        assert total.arrived_total >= before
        before = total.arrived_total
        assert total.arrived_total == sum(c.arrived_total or 0.0 for c in reading.classes.values())
        assert total.wait_s.total == total.started_total
        assert total.response_s.total == total.completed_total


def test_replicas_are_shown_one_by_one_to_policies_that_look_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    assert readings(Control())[-1][1].replicas is None
    monkeypatch.setattr(Bounded, "readings", Readings(needed=frozenset({"replicas"})))
    shown = readings(Control(lag_s=0.0, loss=0.0))[-1][1]
    assert shown.replicas is not None
    assert [replica.name for replica in shown.replicas] == ["0", "1", "2", "3", "4"]
    assert sum(replica.utilization or 0.0 for replica in shown.replicas) == shown.total.in_service
    assert all(replica.ready_since_s == 0.0 for replica in shown.replicas)


def scraped() -> ScrapedFlow:
    """Two classes, and one bound at 1 s."""
    first = [3, 1, 9, 6, 4, 1, 0, 0, 5 << 20, 7 << 20, 8 << 20, 9 << 20, 2, 4, 1, 3, 0, 4]
    return ScrapedFlow.of(np.array([first, [1] * len(first)], dtype=np.int64), (1.0,))


FLOW = Flow(
    queued=4,
    in_service=2,
    arrived_total=10,
    started_total=7,
    completed_total=5,
    failed_total=2,
    rejected_total=1,
    abandoned_total=1,
    busy_s_total=5 + 2**-20,
    wait_s=Histogram((1.0,), (3, 8), 7 + 2**-20),
    service_s=Histogram((1.0,), (2, 6), 8 + 2**-20),
    response_s=Histogram((1.0,), (1, 6), 9 + 2**-20),
)


def test_a_flow_that_is_read_when_asked_for_is_a_flow_like_any_other() -> None:
    assert {name: getattr(scraped(), name) for name in Flow.__slots__} == {n: getattr(FLOW, n) for n in Flow.__slots__}
    assert asdict(scraped()) == asdict(FLOW)
    assert scraped() == scraped()
    assert repr(scraped())[len("ScrapedFlow") :] == repr(FLOW)[len("Flow") :]
    assert asdict(pickle.loads(pickle.dumps(scraped()))) == asdict(FLOW)
    assert asdict(replace(scraped(), queued=None)) == asdict(replace(FLOW, queued=None))


def test_a_field_is_the_same_whenever_it_is_asked_for() -> None:
    flow = scraped()
    assert flow.wait_s is flow.wait_s


def test_a_flow_has_no_other_fields() -> None:
    with pytest.raises(AttributeError, match="a flow has no 'queue'; it has queued, in_service"):
        scraped().queue  # noqa: B018


def test_losses_are_the_stream_of_the_seed_pool_by_pool() -> None:
    lost = np.random.default_rng(7).random(5000) < 0.3
    happens = _happens(0.3, np.random.default_rng(7))
    assert [next(happens) for _ in range(5000)] == lost.tolist()
