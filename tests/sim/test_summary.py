"""The figures, taken again from the records of all requests: windows and histograms lose nothing that matters."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import sim
from sim.arrivals import Poisson
from sim.result import Result
from sim.scenario import Control, Failures, Model, Replicas, RequestClass, Scenario, Slo, Version, Weighted
from sim.service import Exponential
from sim.summary import Group

CUT_S = 333.3  # between two boundaries


def version(name: str, replicas: int, room: int | None = None) -> Version:
    failures = Failures(every=Exponential(mean_s=200.0), repair=Exponential(mean_s=20.0), on_crash="lose")
    return Version(
        name=name, service=Exponential(mean_s=1.0), replicas=Replicas(initial=replicas), room=room, failures=failures
    )


def request_class(name: str, model: str, **how: object) -> RequestClass:
    given = RequestClass(name=name, model=model, arrivals=Poisson(rate_per_s=1.5))
    return replace(given, **how)  # type: ignore[arg-type]


SCENARIO = Scenario(
    name="both",
    horizon_s=3000.0,
    warmup_s=CUT_S,
    slo=Slo(response_s=3.0),
    control=Control(tick_s=100.0, scrape_s=100.0),
    models=(
        Model(name="m", routing=Weighted(weights={"v1": 2, "v2": 1}), versions=(version("v1", 3, 2), version("v2", 1))),
        Model(name="n", versions=(version("v1", 2),)),
    ),
    traffic=(
        request_class("a", "m"),
        request_class("b", "m", patience_s=Exponential(mean_s=2.0), deadline_s=1.0),
        request_class("c", "n"),
    ),
)


@pytest.fixture(scope="module", params=[1, 3], ids=["one run", "replications"])
def result(request: pytest.FixtureRequest) -> Result:
    return sim.simulate(SCENARIO, replications=request.param, keep_requests=True)


def groups(result: Result) -> list[tuple[Group, pd.DataFrame]]:
    r = result.requests
    figures = result.figures
    return [
        (figures.overall, r),
        *((group, r[r["pool"].str.startswith(f"{name}/")]) for name, group in figures.by_model.items()),
        *((group, r[r["pool"] == name]) for name, group in figures.by_version.items()),
        *((group, r[r["request_class"] == name]) for name, group in figures.by_class.items()),
    ]


def quantile(values: pd.Series, p: float) -> float:
    return float(np.quantile(values, p, method="inverted_cdf"))


def near(value: float) -> object:
    return pytest.approx(value, rel=1 / 128, abs=1e-5)


def test_counts_are_of_the_whole_run(result: Result) -> None:
    for group, r in groups(result):
        for outcome in ("completed", "rejected", "abandoned", "failed"):
            counted = (r["outcome"] == outcome).sum() / result.replications
            assert getattr(group.requests, outcome) == pytest.approx(counted)
        assert group.requests.waiting == pytest.approx((r["outcome"] == "present").sum() / result.replications)


def test_response_times_are_of_those_that_left_after_the_warm_up(result: Result) -> None:
    for group, r in groups(result):
        left = r[(r["leave_s"] > CUT_S) | r["leave_s"].isna()]
        assert group.response_s["mean"].value == pytest.approx(left["response_s"].mean(), rel=1e-5)
        stayed_s = (
            left["response_s"].fillna(np.inf).mask(left["outcome"] == "present", result.end_s - left["arrival_s"])
        )
        for name, p in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            assert group.response_s[name].value == near(quantile(stayed_s, p))


def test_waits_are_of_those_that_started_after_the_warm_up_or_left_without_a_start(result: Result) -> None:
    for group, r in groups(result):
        started = r[r["start_s"] > CUT_S]["wait_s"]
        gone = r[r["start_s"].isna() & (r["leave_s"] > CUT_S)]
        gave_up = gone[gone["outcome"] == "abandoned"]
        waited = pd.concat([started, gave_up["leave_s"] - gave_up["arrival_s"]])
        assert group.wait_s["mean"].value == pytest.approx(waited.mean(), rel=1e-4)
        there = r[r["start_s"].isna() & r["leave_s"].isna()]
        never = pd.Series(np.full(len(gone), np.inf))
        every = pd.concat([started, result.end_s - there["arrival_s"], never])
        for name, p in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            assert group.wait_s[name].value == near(quantile(every, p))


def test_the_objective_is_that_of_each_class(result: Result) -> None:
    for group, r in groups(result):
        target_s = r["request_class"].map({"a": 3.0, "b": 1.0, "c": 3.0}).astype(float)
        late_there = (r["outcome"] == "present") & (result.end_s - r["arrival_s"] > target_s)
        left = r["leave_s"] > CUT_S
        met = (r["response_s"] <= target_s) & left
        assert group.slo_attainment is not None
        assert group.slo_attainment.value == pytest.approx(met.sum() / (left | late_there).sum())


def test_the_course_tells_when_they_left(result: Result) -> None:
    course = result.course[result.course["scope"] == "m/v1"]
    edges = np.append(course["time_s"] - course["length_s"] / 2, result.end_s)
    assert np.isclose(edges, CUT_S, rtol=1e-12).sum() == 1
    here = result.requests[result.requests["pool"] == "m/v1"]
    completed = np.histogram(here.loc[here["outcome"] == "completed", "leave_s"], edges)[0]
    assert course["requests_completed"].to_numpy() * result.replications == pytest.approx(completed)
    arrived = np.histogram(here["arrival_s"], edges)[0]
    assert course["requests_arrived"].to_numpy() * result.replications == pytest.approx(arrived)


def test_a_figure_that_leaves_out_those_never_served_is_seen(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    from sim.measures import Sample

    of = Sample.of_histograms
    monkeypatch.setattr(Sample, "of_histograms", lambda parts, never, serial: of(parts, 0 * never, serial=serial))
    blind = sim.simulate(SCENARIO, replications=result.replications)
    assert blind.figures.overall.response_s["p95"].value < result.figures.overall.response_s["p95"].value
