"""Arrivals come at the rates of their process, and do not depend on how they are read."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import stats
from scipy.integrate import quad

from policies.spec import plain
from sim.arrivals import (
    Arrivals,
    Batch,
    Diurnal,
    GeometricSize,
    Mmpp,
    Piecewise,
    Poisson,
    RateFrom,
    RateState,
    Renewal,
    SizeShare,
    Times,
    Trace,
)
from sim.service import BalancedHyperexponential, Constant, Gamma
from sim.streams import Stream

HOUR = 3600.0
DAY = 24 * HOUR


def steps(*rates: tuple[float, float], repeat_s: float | None = None) -> Piecewise:
    return Piecewise(rates=tuple(RateFrom(from_s=t, rate_per_s=r) for t, r in rates), repeat_s=repeat_s)


def mmpp(*states: tuple[float, float], transitions: Any = None) -> Mmpp:
    return Mmpp(states=tuple(RateState(rate_per_s=r, mean_sojourn_s=m) for r, m in states), transitions=transitions)


OFFICE = steps((9 * HOUR, 0.02), (12 * HOUR, 0.005), (13 * HOUR, 0.02), (17 * HOUR, 0), repeat_s=DAY)
SINUSOID = Diurnal(mean_rate_per_s=0.5, peak_rate_per_s=0.8, peak_at_s=15 * HOUR)
EMPTY_NIGHTS = Diurnal(mean_rate_per_s=0.5, peak_rate_per_s=1, peak_at_s=15 * HOUR)
LUNCH_RUSH = Diurnal(mean_rate_per_s=0.1, peak_rate_per_s=0.32, peak_at_s=12 * HOUR, sharpness=3)
BURSTS = mmpp((10, 2), (1, 6))
THREE = mmpp((0, 5), (2, 1), (20, 0.5), transitions=((0, 0.9, 0.1), (0.5, 0, 0.5), (1, 0, 0)))

PROCESSES = [
    Poisson(rate_per_s=2),
    OFFICE,
    steps((0, 3), (10, 0), (20, 1)),
    steps((5, 3), (10, 0)),
    SINUSOID,
    EMPTY_NIGHTS,
    LUNCH_RUSH,
    BURSTS,
    THREE,
    mmpp((0, 0.5), (1, 0.5)),
    Renewal(interarrival=Gamma(mean_s=2, scv=3)),
    Renewal(interarrival=BalancedHyperexponential(mean_s=2, scv=3)),
    Batch(batches=Poisson(rate_per_s=1), size=3),
    Batch(batches=OFFICE, size=GeometricSize(mean=2.5)),
    Batch(batches=Times(at_s=(1, 2)), size=(SizeShare(size=1, probability=0.5), SizeShare(size=9, probability=0.5))),
    Times(at_s=(0, 1, 1, 5)),
]

processes = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.kind)
in_chunks = st.lists(st.integers(0, 70), min_size=1, max_size=12)


def read(process: Any, *chunks: int, seed: int = 5) -> np.ndarray:
    draw = process.source(Stream(seed) / "arrivals")
    return np.concatenate([draw(n) for n in chunks])


def until(process: Any, horizon_s: float, seed: int = 5) -> np.ndarray:
    at_s = read(process, int(1.2 * horizon_s * process.mean_rate_per_s) + 1000, seed=seed)
    assert at_s[-1] > horizon_s
    return at_s[at_s <= horizon_s]


def test_a_request_every_five_seconds():
    assert read(Renewal(interarrival=Constant(value_s=5)), 3).tolist() == [5, 10, 15]


@settings(deadline=None)
@given(st.sampled_from(PROCESSES), in_chunks)
def test_arrivals_do_not_depend_on_how_many_are_read_at_a_time(process, chunks):
    assert read(process, *chunks).tobytes() == read(process, sum(chunks)).tobytes()


@processes
def test_nor_do_they_in_large_chunks(process):
    assert read(process, 50_000).tobytes() == read(process, 1, 16_000, 20_001, 13_998).tobytes()


@processes
def test_arrivals_never_go_back(process):
    at_s = read(process, 10_000)
    assert at_s[0] >= 0
    assert np.isfinite(at_s).all()
    assert (np.diff(at_s) >= 0).all()


@processes
def test_what_is_read_belongs_to_the_reader(process):
    draw = process.source(Stream(5) / "arrivals")
    draw(3).fill(-1)
    assert np.array_equal(draw(3), read(process, 6)[3:])


@pytest.mark.parametrize("process", PROCESSES[:-2], ids=lambda process: process.kind)
def test_another_seed_meets_other_arrivals(process):
    assert not np.array_equal(read(process, 10), read(process, 10, seed=6))


@processes
def test_a_process_written_down_is_the_same_process(process):
    assert TypeAdapter(Arrivals).validate_python(plain(process)) == process


def test_poisson_gaps_are_exponential():
    gaps_s = np.diff(read(Poisson(rate_per_s=4), 200_000), prepend=0)
    assert stats.kstest(gaps_s, stats.expon(scale=0.25).cdf).pvalue > 0.001


@pytest.mark.parametrize(
    ("process", "variance_over_mean"),
    [
        (Poisson(rate_per_s=2), 1),
        (Renewal(interarrival=Gamma(mean_s=0.5, scv=3)), 3),
        (BURSTS, BURSTS.dispersion),
        (THREE, THREE.dispersion),
        # Batches of mean 3: dispersion is the second moment of the size, 3 * (2 * 3 - 1), over its mean.
        (Batch(batches=Poisson(rate_per_s=1), size=GeometricSize(mean=3)), 5),
        (Batch(batches=Poisson(rate_per_s=1), size=4), 4),
    ],
)
def test_arrivals_come_at_the_mean_rate(process, variance_over_mean):
    horizon_s = 100_000
    expected = process.mean_rate_per_s * horizon_s
    assert len(until(process, horizon_s)) == pytest.approx(expected, abs=5 * math.sqrt(variance_over_mean * expected))
    assert process.stationary
    assert process.rate_at(np.array([0.0, 1e6])).tolist() == [process.mean_rate_per_s] * 2


def unit_gaps(n: int) -> np.ndarray:
    return (Stream(5) / "arrivals").generator().standard_exponential(n)


def expected_by_steps(process: Piecewise, at_s: np.ndarray) -> np.ndarray:
    """The integral of the rate from 0, by adding up the overlap with every step of every period."""
    ends_s = [step.from_s for step in process.rates[1:]] + [process.repeat_s or math.inf]
    periods = int(at_s[-1] // process.repeat_s) + 1 if process.repeat_s else 1
    inside_s = at_s - np.arange(periods)[:, None] * (process.repeat_s or 0)
    return sum(
        step.rate_per_s * np.clip(inside_s - step.from_s, 0, end_s - step.from_s).sum(axis=0)
        for step, end_s in zip(process.rates, ends_s, strict=True)
    )


def expected_by_sinusoid(process: Diurnal, at_s: np.ndarray) -> np.ndarray:
    turn = 2 * math.pi / process.period_s
    swing = (process.peak_rate_per_s - process.mean_rate_per_s) / turn
    before = math.sin(-turn * process.peak_at_s)
    return process.mean_rate_per_s * at_s + swing * (np.sin(turn * (at_s - process.peak_at_s)) - before)


RATES = st.just(0.0) | st.floats(0.05, 20)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 50), RATES), min_size=1, max_size=6).filter(lambda p: any(r for _, r in p)),
    st.booleans(),
)
def test_stepped_arrivals_are_unit_poisson_arrivals_in_expected_time(parts, repeats):
    starts_s = np.cumsum([length_s for length_s, _ in parts]).tolist()
    pieces = zip(starts_s, (rate for _, rate in parts), strict=True)
    process = steps(*pieces, repeat_s=starts_s[-1] + 7 if repeats else None)
    at_s = read(process, 50)
    if len(at_s):
        gaps = np.diff(expected_by_steps(process, at_s), prepend=0)
        assert gaps == pytest.approx(unit_gaps(50)[: len(at_s)], abs=1e-9)
    if not repeats and len(at_s) < 50:
        assert parts[-1][1] == 0


@settings(deadline=None)
@given(st.floats(0.01, 100), st.floats(1, 2), st.floats(0, 2), st.floats(1, 1000))
def test_sinusoidal_arrivals_are_unit_poisson_arrivals_in_expected_time(mean, swing, peak_turn, per_period):
    period_s = per_period / mean
    process = Diurnal(
        mean_rate_per_s=mean,
        peak_rate_per_s=min(swing * mean, 2 * mean),
        peak_at_s=peak_turn * period_s,
        period_s=period_s,
    )
    gaps = np.diff(expected_by_sinusoid(process, read(process, 3000)), prepend=0)
    assert gaps == pytest.approx(unit_gaps(3000), abs=1e-9)


@pytest.mark.parametrize("sharpness", [1, 2, 7, 30])
@pytest.mark.parametrize("height", [0.0, 0.5, 0.999, 1.0])
def test_sharpened_arrivals_are_unit_poisson_arrivals_in_expected_time(sharpness, height):
    highest = 4.0**sharpness / math.comb(2 * sharpness, sharpness)
    process = Diurnal(
        mean_rate_per_s=1,
        peak_rate_per_s=1 + height * (highest - 1),
        peak_at_s=30,
        period_s=100,
        sharpness=sharpness,
    )
    at_s = read(process, 400)
    gaps = [quad(process.rate_at, a, b, epsabs=1e-12, epsrel=1e-12)[0] for a, b in pairwise([0.0, *at_s])]
    assert gaps == pytest.approx(unit_gaps(400), abs=1e-9)


@pytest.mark.parametrize("process", [OFFICE, SINUSOID, EMPTY_NIGHTS, LUNCH_RUSH], ids=lambda p: p.kind)
def test_each_hour_of_the_day_has_its_arrivals(process):
    days = 30
    at_s = until(process, days * DAY)
    for hour in range(24):
        expected = days * quad(process.rate_at, hour * HOUR, (hour + 1) * HOUR)[0]
        count = np.sum(at_s % DAY // HOUR == hour)
        assert count == pytest.approx(expected, abs=5 * math.sqrt(expected) + 1e-6)
    assert len(at_s) == pytest.approx(days * DAY * process.mean_rate_per_s, rel=0.05)
    assert not process.stationary


def test_nobody_comes_outside_office_hours():
    hours = read(OFFICE, 20_000) % DAY / HOUR
    assert hours.min() >= 9
    assert hours.max() <= 17
    assert OFFICE.rate_at(np.array([0, 9, 12.5, 17, 33]) * HOUR).tolist() == [0, 0.02, 0.005, 0, 0.02]


def test_arrivals_end_with_the_last_rate():
    draw = steps((0, 3), (10, 0)).source(Stream(1))
    assert 10 < len(draw(1000)) < 60
    assert len(draw(1000)) == 0


def test_the_last_rate_holds_for_good():
    process = steps((0, 3), (10, 0), (20, 7))
    assert process.mean_rate_per_s == 7
    assert process.rate_at(np.array([5.0, 15.0, 1e9])).tolist() == [3, 0, 7]
    assert read(process, 1000)[-1] > 100


def test_a_day_is_busiest_at_its_peak_and_emptiest_half_a_day_later():
    assert SINUSOID.rate_at(np.array([15, 3, 9]) * HOUR) == pytest.approx([0.8, 0.2, 0.5])
    assert LUNCH_RUSH.rate_at(np.array([12, 0]) * HOUR) == pytest.approx([0.32, 0], abs=1e-12)


def test_a_flat_day_is_poisson():
    flat = Diurnal(mean_rate_per_s=2, peak_rate_per_s=2, peak_at_s=0)
    assert read(flat, 100) == pytest.approx(read(Poisson(rate_per_s=2), 100))


def test_batches_arrive_at_an_instant():
    batch = Batch(batches=Renewal(interarrival=Constant(value_s=5)), size=3)
    assert read(batch, 4, 3).tolist() == [5, 5, 5, 10, 10, 10, 15]
    assert batch.mean_rate_per_s == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("size", "shares"),
    [
        (GeometricSize(mean=2), {1: 1 / 2, 2: 1 / 4, 3: 1 / 8}),
        (GeometricSize(mean=1), {1: 1}),
        ((SizeShare(size=2, probability=0.25), SizeShare(size=5, probability=0.75)), {2: 0.25, 5: 0.75}),
    ],
)
def test_batches_have_the_sizes_asked_for(size, shares):
    sizes = np.unique(read(Batch(batches=Poisson(rate_per_s=1), size=size), 100_000), return_counts=True)[1][:-1]
    for requests, share in shares.items():
        error = math.sqrt(share * (1 - share) / len(sizes))
        assert np.mean(sizes == requests) == pytest.approx(share, abs=5 * error)


def test_batches_of_a_process_that_ends_end_whole():
    draw = Batch(batches=Times(at_s=(1, 2)), size=2).source(Stream(1))
    assert draw(3).tolist() == [1, 1, 2]
    assert draw(3).tolist() == [2]
    assert draw(3).tolist() == []


def test_times_are_kept_and_end():
    process = Times(at_s=(0, 1, 1, 5))
    assert read(process, 3, 3, 3).tolist() == [0, 1, 1, 5]
    assert process.mean_rate_per_s == 0.8
    assert process.rate_at(np.array([0.0, 6.0])).tolist() == [0.8, 0]
    assert Times(at_s=(0,)).mean_rate_per_s == math.inf


def test_a_trace_twice_as_fast_that_begins_again():
    source = Trace(file="day.csv", speed=2, repeat_s=10).replay(np.array([0.0, 4.0, 8.0]))
    assert [source(2).tolist(), source(5).tolist()] == [[0, 2], [4, 5, 7, 9, 10]]


def test_a_trace_ends_with_its_file():
    source = Trace(file="day.csv").replay(np.array([0.0, 4.0, 8.0]))
    assert [source(2).tolist(), source(5).tolist(), source(5).tolist()] == [[0, 4], [8], []]


def test_a_trace_may_not_begin_again_before_its_end():
    with pytest.raises(ValueError, match=r"repeat_s 5 cuts day\.csv, which lasts 8 s"):
        Trace(file="day.csv", repeat_s=5).replay(np.array([0.0, 8.0]))


def test_a_trace_is_looked_for_beside_the_scenario(tmp_path):
    adapter, context = TypeAdapter(Arrivals), {"folder": tmp_path}
    (tmp_path / "day.csv").touch()
    found = adapter.validate_python({"kind": "trace", "file": "day.csv"}, context=context)
    assert found == Trace(file=str(tmp_path / "day.csv"))
    with pytest.raises(ValidationError, match=r"no such file: .*night\.csv"):
        adapter.validate_python({"kind": "trace", "file": "night.csv"}, context=context)


def test_gaps_may_be_a_plain_number():
    given = {"kind": "renewal", "interarrival": 5}
    assert TypeAdapter(Arrivals).validate_python(given) == Renewal(interarrival=Constant(value_s=5))


@pytest.mark.parametrize(
    ("given", "place", "words"),
    [
        ({"kind": "poison"}, (), "does not match any of the expected tags"),
        ({"kind": "poisson", "rate_per_s": 0}, ("poisson", "rate_per_s"), "greater than 0"),
        ({"kind": "piecewise", "rates": []}, ("piecewise", "rates"), "at least 1 item"),
        (plain(OFFICE) | {"repeat_s": HOUR}, ("piecewise",), "repeat_s 3600 must lie after the last from_s, 61200"),
        (
            {"kind": "piecewise", "rates": [{"from_s": t, "rate_per_s": 1} for t in (0, 5, 5)]},
            ("piecewise",),
            "from_s must ascend, got 0, 5, 5",
        ),
        ({"kind": "piecewise", "rates": [{"from_s": 0, "rate_per_s": 0}]}, ("piecewise",), "all rates are 0"),
        (plain(SINUSOID) | {"peak_rate_per_s": 1.1}, ("diurnal",), "peak_rate_per_s 1.1 must lie in 0.5..1"),
        (plain(SINUSOID) | {"peak_rate_per_s": 0.4}, ("diurnal",), "peak_rate_per_s 0.4 must lie in 0.5..1"),
        (plain(BURSTS) | {"transitions": [[0, 1]]}, ("mmpp",), "transitions need 2 rows of 2 probabilities"),
        (plain(BURSTS) | {"transitions": [[0, 1], [1]]}, ("mmpp",), "transitions need 2 rows of 2 probabilities"),
        (plain(BURSTS) | {"transitions": [[0, 1], [0, 1]]}, ("mmpp",), "cannot reach every state"),
        (plain(BURSTS) | {"transitions": [[0, 1], [0.5, 0]]}, ("mmpp", "transitions", 1), "add to 0.5; must add to 1"),
        ({"kind": "mmpp", "states": [{"rate_per_s": 0, "mean_sojourn_s": 1}]}, ("mmpp",), "all rates are 0"),
        ({"kind": "renewal", "interarrival": 0}, ("renewal",), "endlessly many arrivals at once"),
        ({"kind": "times", "at_s": [3, 1]}, ("times",), "goes back from 3 to 1"),
        ({"kind": "times", "at_s": [-1]}, ("times", "at_s", 0), "greater than or equal to 0"),
        (
            {"kind": "batch", "batches": {"kind": "poisson", "rate_per_s": 1}, "size": 0},
            ("batch", "size", "fixed"),
            "greater than or equal to 1",
        ),
        (
            {"kind": "batch", "batches": {"kind": "poisson", "rate_per_s": 1}, "size": {"mean": 0.5}},
            ("batch", "size", "geometric", "mean"),
            "greater than or equal to 1",
        ),
        (
            {"kind": "batch", "batches": {"kind": "poisson", "rate_per_s": 1}, "size": [{"size": 2, "probability": 0}]},
            ("batch", "size", "shares"),
            "add to 0; must add to 1",
        ),
        ({"kind": "batch", "batches": {"kind": "trace", "file": "a.csv"}, "size": 2}, ("batch", "batches"), "expected"),
        ({"kind": "trace", "file": "a.csv", "speed": 0}, ("trace", "speed"), "greater than 0"),
    ],
)
def test_faults_are_told_where_they_are(given, place, words):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Arrivals).validate_python(given)
    assert words in next(e["msg"] for e in caught.value.errors() if e["loc"] == place)
