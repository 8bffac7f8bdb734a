"""Records of requests: all or a stated share, on disk as they leave, the same however many processes write."""

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sim
from sim import records
from sim.arrivals import Poisson
from sim.records import Stored
from sim.result import Result
from sim.scenario import Model, Replicas, RequestClass, Scenario, Version
from sim.service import Exponential

SCENARIO = Scenario(
    name="kept",
    horizon_s=2000.0,
    models=(
        Model(
            name="m",
            versions=(Version(name="v1", service=Exponential(mean_s=1.0), replicas=Replicas(initial=4), room=3),),
        ),
    ),
    traffic=tuple(RequestClass(name=name, model="m", arrivals=Poisson(rate_per_s=2.0)) for name in ("a", "b")),
)


@pytest.fixture(scope="module")
def whole() -> Result:
    return sim.simulate(SCENARIO, keep_requests=True)


def stored(result: Result) -> Path:
    source = result.sources["requests"]
    assert isinstance(source, Stored)
    return source.path


def test_everybody_is_there_once(whole: Result) -> None:
    counts, requests = whole.figures.overall.requests, whole.requests
    assert len(requests) == counts.arrived
    assert not requests.duplicated(["request_class", "number"]).any()
    outcomes = requests["outcome"].value_counts()
    found = [outcomes[name] for name in ("completed", "rejected", "abandoned", "failed", "present")]
    assert found == [counts.completed, counts.rejected, counts.abandoned, counts.failed, counts.waiting]


def test_they_come_as_they_left_and_last_of_all_who_is_still_there(whole: Result) -> None:
    leave_s = whole.requests["leave_s"].to_numpy()
    there = np.isnan(leave_s)
    assert there.sum() == whole.figures.overall.requests.waiting > 0
    assert there[-there.sum() :].all()
    assert (np.diff(leave_s[~there]) >= 0).all()


def test_a_share_is_the_same_requests_whatever_becomes_of_them(whole: Result) -> None:
    tenth = sim.simulate(SCENARIO, keep_requests=0.1)
    pool = SCENARIO.models[0].versions[0]
    other = replace(SCENARIO, models=(Model(name="m", versions=(replace(pool, replicas=Replicas(initial=6)),)),))
    chosen = [
        set(zip(r.requests["request_class"], r.requests["number"], strict=True))
        for r in (tenth, sim.simulate(other, keep_requests=0.1))
    ]
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == pytest.approx(0.1 * len(whole.requests), rel=0.15)
    assert tenth.to_json()["requests_share"] == 0.1
    assert tenth.figures.overall == whole.figures.overall


def test_blocks_are_written_as_they_fill(monkeypatch: pytest.MonkeyPatch, whole: Result) -> None:
    from pyarrow.parquet import ParquetFile

    monkeypatch.setattr(records, "BLOCK", 1000)
    many = sim.simulate(SCENARIO, keep_requests=True)
    assert ParquetFile(stored(whole)).num_row_groups == 2
    assert ParquetFile(stored(many)).num_row_groups == pytest.approx(len(many.requests) / 1000, abs=3)
    assert many.requests.equals(whole.requests)


def test_processes_write_the_same_bytes_as_one() -> None:
    alone, together = (sim.simulate(SCENARIO, replications=3, keep_requests=True, jobs=n) for n in (1, 2))
    assert stored(alone).read_bytes() == stored(together).read_bytes()
    assert set(alone.requests["replication"]) == {0, 1, 2}
    assert alone.to_json() == together.to_json()
    for name in ("pools", "decisions", "course", "distribution"):
        assert alone.frame(name).equals(together.frame(name))


def test_the_file_lives_as_long_as_the_result(tmp_path: Path) -> None:
    result = sim.simulate(replace(SCENARIO, horizon_s=50.0), keep_requests=True, beside=tmp_path / "out")
    assert stored(result).parent.parent == tmp_path
    result.save(tmp_path / "out")
    saved = (tmp_path / "out" / "requests.parquet").read_bytes()
    assert saved == stored(result).read_bytes()
    del result
    gc.collect()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    again = sim.read(tmp_path / "out")
    again.save(tmp_path / "copy")
    assert (tmp_path / "copy" / "requests.parquet").read_bytes() == saved


def test_nobody_may_be_kept() -> None:
    none = sim.simulate(replace(SCENARIO, traffic=SCENARIO.traffic[:1], horizon_s=5.0), keep_requests=1e-9)
    assert len(none.requests) == 0
    assert "leave_s" in none.requests.columns


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="is not a share of all requests"):
        sim.simulate(SCENARIO, keep_requests=share)
