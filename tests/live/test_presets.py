"""What each system's metrics say, in seconds, and what they leave unknown."""

from typing import get_args

import pytest

from live.presets import HISTOGRAMS, PRESETS, SCALARS, Distribution, System
from live.prometheus import Subject, batches
from live.twin.evaluated import Instant
from live.twin.series import SeriesStore

KNOWN = {
    "vllm": {"queued", "in_service", "arrived_total", "started_total", "completed_total", *HISTOGRAMS},
    "triton": {"queued", "arrived_total", "completed_total", "failed_total", "busy_s_total", *HISTOGRAMS},
    "kserve": {"queued", "arrived_total", "completed_total", "failed_total", "response_s"},
    "ray-serve": {"queued", "in_service", "arrived_total", "completed_total", "failed_total", "service_s"},
    "istio": {"arrived_total", "completed_total", "failed_total", "response_s"},
    "ingress-nginx": {"arrived_total", "completed_total", "failed_total", "response_s"},
    "generic": {*SCALARS, *HISTOGRAMS},
}


def test_there_is_a_preset_for_every_system_that_a_file_may_name() -> None:
    assert set(PRESETS) == set(get_args(System)) == set(KNOWN)


@pytest.mark.parametrize("system", PRESETS)
def test_a_preset_gives_the_readings_that_it_says_and_leaves_the_others_unknown(system: System) -> None:
    queries = PRESETS[system]
    assert {*queries.scalars, *queries.histograms} == KNOWN[system]


@pytest.mark.parametrize("system", PRESETS)
def test_every_expression_of_a_preset_is_promql(system: System) -> None:
    (batch,) = batches([Subject("m/v1", None, PRESETS[system])])
    for _, expression in batch.expressions():
        assert Instant(SeriesStore(), 0.0, 0.0).query(expression) == []


@pytest.mark.parametrize(
    ("system", "unit_s"),
    [("vllm", 1.0), ("triton", 1e-6), ("istio", 1e-3), ("ray-serve", 1e-3), ("ingress-nginx", 1.0)],
)
def test_times_become_seconds(system: System, unit_s: float) -> None:
    assert {histogram.unit_s for histogram in PRESETS[system].histograms.values()} == {unit_s}


def test_a_name_with_matchers_keeps_them_behind_its_suffix() -> None:
    histogram = Distribution.of('t{a="b",{selector}}')
    assert (histogram.bucket, histogram.sum) == ('t_bucket{a="b",{selector}}', 't_sum{a="b",{selector}}')


def test_only_what_is_wanted_is_asked_with_the_parts_of_its_sums() -> None:
    queries = PRESETS["vllm"].only({"arrived_total"})
    assert set(queries.scalars) == {"arrived_total", "completed_total", "in_service", "queued"}
    assert not queries.histograms
