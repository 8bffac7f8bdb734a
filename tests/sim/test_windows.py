"""A run in windows: nothing is lost between them, and there are never more than 256."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sim.arrivals import Poisson
from sim.cluster import Harvest, Tallied
from sim.loghistogram import LogHistogram, bucket, ticks
from sim.scenario import Model, Replicas, RequestClass, Scenario, Version, Weighted
from sim.service import Constant
from sim.windows import Scopes, Windows


def scenario(models: int, versions: int, classes: int) -> Scenario:
    """Each model with so many versions and classes of its own."""
    names = [f"v{i}" for i in range(versions)]
    version = Version(name="v", service=Constant(value_s=1.0), replicas=Replicas(initial=1))
    made = tuple(
        Model(
            name=f"m{i}",
            routing=Weighted(weights=dict.fromkeys(names, 1.0)),
            versions=tuple(Version(name=n, service=version.service, replicas=version.replicas) for n in names),
        )
        for i in range(models)
    )
    traffic = tuple(
        RequestClass(name=f"c{i}{k}", model=f"m{i}", arrivals=Poisson(rate_per_s=1.0))
        for i in range(models)
        for k in range(classes)
    )
    return Scenario(name="some", horizon_s=128.0, models=made, traffic=traffic)


def harvest(responses: list[list[list[float]]]) -> Harvest:
    """What was completed, by pool and class."""
    times = [[LogHistogram.of_times(np.array(cell)) for cell in row] for row in responses]
    counts = np.zeros((len(responses), len(responses[0]), len(Tallied)), dtype=np.int64)
    counts[:, :, Tallied.COMPLETED] = [[len(cell) for cell in row] for row in responses]
    return Harvest(counts, wait=times, service=times, response=times)


def one(value_s: float) -> Harvest:
    return harvest([[[value_s]]])


def filled(until_s: float, horizon_s: float = 128.0, split_s: float = 0.0) -> Windows:
    """One request completed in each window as it is harvested."""
    windows = Windows(horizon_s, [np.array([[True]])], split_s)
    while windows.end_s < until_s:
        windows.take(one(1.0), windows.next_s())
    return windows


@settings(deadline=None, max_examples=30)
@given(st.floats(1e-3, 1e7), st.integers(1, 1500), st.floats(0, 0.9))
def test_windows_follow_each_other_without_a_gap(horizon_s: float, boundary: int, split: float) -> None:
    windows = filled(boundary / 128 * horizon_s, horizon_s, split * horizon_s)
    found = windows.found
    assert found[0].start_s == 0.0
    assert all(a.end_s == b.start_s for a, b in pairwise(found))
    assert min(128, boundary) <= len(found) <= 256
    assert split * horizon_s in {w.start_s for w in found} or split * horizon_s > windows.end_s
    assert max(w.end_s - w.start_s for w in found) <= windows.width_s * (1 + 1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 1500))
def test_merging_loses_nobody(boundaries: int) -> None:
    windows = Windows(128.0, [np.array([[True]])])
    for _ in range(boundaries):
        windows.take(one(1.0), windows.next_s())
    assert sum(w.response[0].count for w in windows.found) == boundaries
    assert sum(int(w.counts[0, 0, Tallied.COMPLETED]) for w in windows.found) == boundaries
    assert (windows.service.count, windows.service_s.tolist()) == (boundaries, [[boundaries]])


def test_a_run_twice_as_long_and_one_window_has_129() -> None:
    assert len(filled(128.0).found) == 128
    assert len(filled(256.0).found) == 256
    longer = filled(257.0)
    assert (len(longer.found), longer.width_s, longer.end_s) == (129, 2.0, 257.0)
    longer.take(one(1.0), longer.next_s())
    assert (len(longer.found), longer.end_s) == (129, 258.0)


def test_a_warm_up_that_was_given_is_a_boundary_for_ever() -> None:
    assert [w.start_s for w in filled(128.0, split_s=2.25).found[:5]] == [0, 1, 2, 2.25, 3]
    assert [w.start_s for w in filled(300.0, split_s=2.25).found[:4]] == [0, 2, 2.25, 4]


def test_a_run_is_lengthened_to_a_boundary() -> None:
    windows = filled(128.0)
    assert (windows.boundary_s(128.0), windows.boundary_s(200.1)) == (128.0, 201.0)


def test_each_scope_has_its_own_and_the_same_is_kept_once() -> None:
    scopes = Scopes(scenario(models=2, versions=2, classes=1))
    assert len(scopes.masks) == 1 + 2 + 4
    pools, classes = range(4), range(2)
    assert scopes.number(pools, classes) == 0
    assert scopes.number([0, 1], classes) == scopes.number(pools, [0])
    assert len(Scopes(scenario(1, 1, 1)).masks) == 1


def test_a_window_sums_up_pools_and_classes() -> None:
    scopes = Scopes(scenario(models=1, versions=2, classes=2))
    windows = Windows(128.0, scopes.masks)
    windows.take(harvest([[[1.0], [2.0, 2.0]], [[4.0], []]]), windows.next_s())
    (window,) = windows.found
    totals = {
        name: window.response[scopes.number(*which)].total_s
        for name, which in {
            "all": ([0, 1], [0, 1]),
            "first version": ([0], [0, 1]),
            "second version": ([1], [0, 1]),
            "first class": ([0, 1], [0]),
        }.items()
    }
    assert totals == {"all": 9.0, "first version": 5.0, "second version": 4.0, "first class": 5.0}


times = arrays(np.float64, st.integers(0, 50), elements=st.floats(0, 1e8, allow_subnormal=False))


@given(times)
def test_many_times_are_entered_as_one_after_another(times_s: np.ndarray) -> None:
    single: dict[int, tuple[int, int]] = {}
    for t in times_s.tolist():
        n, total = single.get(bucket(t), (0, 0))
        single[bucket(t)] = (n + 1, total + ticks(t))
    expected, found = LogHistogram.of(single), LogHistogram.of_times(times_s)
    assert found.buckets.tolist() == expected.buckets.tolist()
    assert found.counts.tolist() == expected.counts.tolist()
    assert found.sums.tolist() == expected.sums.tolist()


@given(times, times)
def test_histograms_together_are_those_of_all_times(a: np.ndarray, b: np.ndarray) -> None:
    merged = LogHistogram.merged([LogHistogram.of_times(a), LogHistogram.of_times(b)])
    whole = LogHistogram.of_times(np.concatenate([a, b]))
    assert merged.buckets.tolist() == whole.buckets.tolist()
    assert merged.counts.tolist() == whole.counts.tolist()
    assert merged.total_s == pytest.approx(whole.total_s)


@given(st.lists(st.lists(st.floats(0, 1e9), min_size=1, max_size=30), min_size=1, max_size=4))
def test_a_thin_histogram_is_the_same_in_little_more_than_half_the_memory(parts: list[list[float]]) -> None:
    wide = [LogHistogram.of_times(np.array(part)) for part in parts]
    thin = [histogram.thin() for histogram in wide]
    assert columns_of(LogHistogram.merged(thin)) == columns_of(LogHistogram.merged(wide))
    assert sum(size(h) for h in thin) / sum(size(h) for h in wide) == pytest.approx(14 / 24)


def test_counts_beyond_32_bits_stay_whole() -> None:
    billions = LogHistogram.of({7: (2**31 - 1, 5)}).thin()
    many = LogHistogram.merged([billions] * 3)
    assert columns_of(many) == columns_of(many.thin()) == [[7], [3 * (2**31 - 1)], [15]]


def test_few_or_many_histograms_are_merged_alike() -> None:
    """Few entries are sorted, more are added up in a table of all buckets."""
    times_s = np.geomspace(1e-5, 1e6, 9_000)
    parts = [LogHistogram.of_times(part) for part in np.split(times_s, 3)]
    for times in (1, 2, 5):
        expected = LogHistogram.of_times(np.tile(times_s, times))
        assert columns_of(LogHistogram.merged(parts * times)) == columns_of(expected)


def columns_of(histogram: LogHistogram) -> list[list[int]]:
    return [getattr(histogram, name).tolist() for name in LogHistogram.__slots__]


def size(histogram: LogHistogram) -> int:
    return sum(int(getattr(histogram, name).nbytes) for name in LogHistogram.__slots__)
