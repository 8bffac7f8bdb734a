"""Scenarios made of traces: what they keep, what they assume, and that they say so."""

import gzip
from pathlib import Path

import pytest

import sim
from sim.scenario import Recorded, Scenario
from sim.service import Constant, Exponential, Lognormal
from sim.summary import Summary
from sim.traces import read_load_times, read_trace
from sim.traces.scenario import Assumptions, Made, scenario_of, write_scenario

SHARED = Path(__file__).parents[3] / "shared" / "traces"


def made(path: Path, text: str, assumed: Assumptions = Assumptions(), loads: Path | None = None) -> Made:  # noqa: B008
    path.write_text(text)
    return scenario_of(read_trace(path), "replay", assumed, read_load_times(loads) if loads else None)


def replayed(found: Made, folder: Path) -> tuple[Scenario, Summary]:
    """The scenario as it is read back from its file, and its figures."""
    write_scenario(found, folder / "replay.yaml")
    scenario = sim.load(folder / "replay.yaml")
    return scenario, sim.simulate(scenario).figures


def test_recorded_times_and_versions_are_replayed_exactly(tmp_path: Path) -> None:
    rows = "".join(f"{t},{'a' if t % 2 else 'b'},{2 if t % 2 else 3}\n" for t in range(0, 400, 5))
    scenario, figures = replayed(made(tmp_path / "log.csv", f"time_s,version,service_s\n{rows}"), tmp_path)
    assert isinstance(scenario.models[0].routing, Recorded)
    assert figures.by_version["model/a"].response_s["mean"].value == 2.0
    assert figures.by_version["model/b"].response_s["mean"].value == 3.0
    assert figures.overall.requests.completed == 80


def test_small_versions_share_a_pool_and_names_are_made_fit(tmp_path: Path) -> None:
    rows = "".join(f"{t},{'org/big model' if t < 190 else f'small {t}'},1\n" for t in range(200))
    found = made(tmp_path / "log.csv", f"time_s,version,service_s\n{rows}", Assumptions(group_below=0.02))
    assert [v.name for v in found.scenario.models[0].versions] == ["org-big-model", "others"]
    note = "10 versions with less than 2 % of the requests each, 10 requests in all, share the pool 'others'"
    assert note in found.notes


def test_tokens_become_seconds_by_stated_coefficients(tmp_path: Path) -> None:
    rows = "".join(f"2023-11-16 18:15:{t:02}.0000000,{1000 * (t + 1)},50\n" for t in range(30))
    assumed = Assumptions(prefill_tokens_per_s=1000.0, decode_tokens_per_s=50.0, overhead_s=0.5)
    found = made(tmp_path / "llm.csv", f"TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}", assumed)
    assert found.trace is not None
    assert found.trace.service_s is not None
    assert found.trace.service_s[:2].tolist() == [0.5 + 1 + 1, 0.5 + 2 + 1]
    assert any(note.startswith("service time = 0.5 s + context tokens / 1000 per s") for note in found.notes)


def test_counts_become_rates(tmp_path: Path) -> None:
    text = "timestamp,value\n" + "".join(f"2014-04-10 00:{5 * i:02}:00,{300 * (1 + i % 2)}\n" for i in range(10))
    found = made(tmp_path / "counts.csv", text, Assumptions(service_s=0.5))
    _, figures = replayed(found, tmp_path)
    assert found.trace is None
    assert figures.overall.requests.arrived == pytest.approx(4500, rel=0.06)
    assert "exponential with mean 0.5 s is assumed" in " ".join(found.notes)


def test_start_up_comes_from_load_times(tmp_path: Path) -> None:
    loads = tmp_path / "loads.csv"
    loads.write_text("time_s,load_ms\n" + "".join(f"{i},{1000 + i}\n" for i in range(1000)))
    found = made(tmp_path / "log.csv", "time_s,service_s\n0,1\n1,1\n2,1\n", loads=loads)
    startup = found.scenario.models[0].versions[0].startup
    assert startup.mean_s == pytest.approx(1.5, abs=0.001)
    assert startup.quantile(0.95) == pytest.approx(1.95, abs=0.02)


def test_what_a_trace_does_not_know_is_drawn(tmp_path: Path) -> None:
    found = made(tmp_path / "log.csv", "time_s,service_s\n0,2\n1,\n2,4\n10,\n")
    assert isinstance(found.scenario.models[0].versions[0].service, Lognormal)
    assert "2 requests have no service time: theirs are drawn from their version's law" in found.notes
    assert replayed(found, tmp_path)[1].overall.requests.completed == 4


def test_a_trace_of_times_alone_needs_an_assumption(tmp_path: Path) -> None:
    found = made(tmp_path / "log.csv", "time_s\n0\n1\n2\n", Assumptions(service_s=3.0, startup_s=7.0))
    version = found.scenario.models[0].versions[0]
    assert version.service == Exponential(mean_s=3.0)
    assert version.startup == Constant(value_s=7.0)


def test_the_same_trace_gives_the_same_files(tmp_path: Path) -> None:
    found = made(tmp_path / "log.csv", "time_s,version,service_s\n0,a,2\n1,b,3\n")
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        write_scenario(found, folder / "replay.yaml")
    for name in ("replay.yaml", "replay.trace.csv.gz"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert gzip.decompress((first / "replay.trace.csv.gz").read_bytes()).startswith(b"time_s,version,service_s")


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="no real traces beside the checkout")
@pytest.mark.parametrize(
    ("name", "requests"),
    [
        ("alibaba_gentd26_requests.csv.gz", 15630),
        ("azure_llm_2023_conv.csv.gz", 19366),
        ("mooncake_conversation.jsonl.gz", 12031),
    ],
)
def test_real_traces_run_and_lose_nobody(name: str, requests: int, tmp_path: Path) -> None:
    _, figures = replayed(scenario_of(read_trace(SHARED / name), "real", Assumptions()), tmp_path)
    counted = figures.overall.requests
    assert counted.arrived == requests
    assert counted.completed + counted.waiting == requests
