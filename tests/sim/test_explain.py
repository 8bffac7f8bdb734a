"""Why a policy decided so: what it saw, what it wished, who limited it, what was done, what came next."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim
from policies.decision import Limit, Reason
from policies.faults import InputError
from policies.observation import PoolReading
from sim import cli
from sim.explain import Change, explain, limits_of, lines
from sim.history import _decided
from sim.scenario import load

YAML = """\
name: till
horizon_s: 600
control: { tick_s: 10, scrape_s: 10, lag_s: 4, loss: 0 }
models:
  - name: m
    routing: { kind: weighted, weights: { v1: 1, v2: 0 } }
    versions:
      - name: v1
        service: { kind: constant, value_s: 2 }
        startup: 30
        replicas: { initial: 1, at_least: 1, at_most: 5 }
      - name: v2
        service: { kind: constant, value_s: 2 }
        replicas: { initial: 1 }
traffic:
  - name: chat
    model: m
    arrivals: { kind: renewal, interarrival: { kind: constant, value_s: 4 } }
policy:
  kind: stabilized
  shrink_s: 60
  grow_s: 0
  policy: { kind: schedule, steps: [{ at_s: 0, replicas: { v1: 1 } }, { at_s: 100, replicas: { v1: 9 } },
    { at_s: 200, replicas: { v1: 2 } }] }
"""


@pytest.fixture
def till(tmp_path: Path) -> Path:
    path = tmp_path / "till.yaml"
    path.write_text(YAML)
    return path


def test_a_wish_its_limit_what_was_done_and_what_came_next(till: Path) -> None:
    (one,) = explain(till, 105.0, "v1").pools
    assert (one.pool, one.before, one.wish, one.target, one.wanted) == ("m/v1", 1, 9, 5, 5)
    assert one.limits == (Limit("bounds", 9, 5, "at most 5"),)
    assert one.next_change == Change(260.0, 5, 2)


def test_what_was_seen_is_as_old_as_it_was(till: Path) -> None:
    """A request each 4 s, 2 s of work: half a slot busy; the scrape of the tick itself is seen 4 s later."""
    (one,) = explain(till, 100.0, "m/v1").pools
    assert one.age_s == 10.0
    assert (one.readings["ready"], one.readings["wanted"]) == (1.0, 1.0)
    assert one.rates is not None
    assert one.rates.over_s == 50.0
    assert one.rates.per_s["arrived"] == pytest.approx(0.25, abs=0.02)
    assert one.rates.slots_busy == pytest.approx(0.5, abs=0.05)


def test_a_held_wish_says_who_held_it_and_until_when(till: Path) -> None:
    (one,) = explain(till, 219.9, "v1").pools
    assert (one.wish, one.target, one.wanted) == (2, 5, 5)
    assert [(limit.by, limit.before, limit.after) for limit in one.limits] == [("stabilization", 2, 5)]
    told = "\n".join(lines(explain(till, 219.9, "v1")))
    assert told.startswith("till at 0:03:30 (210 s), policy stabilized\n\nm/v1\n")
    for words in ("(10 s before)", "stabilization: 2 -> 5, held by", "nothing, 5 replicas stay wanted", "5 -> 2 at 0:"):
        assert words in told


def test_a_pool_that_nobody_speaks_of_is_told_too(till: Path) -> None:
    one = next(p for p in explain(till, 300.0).pools if p.pool == "m/v2")
    assert (one.wish, one.target, one.next_change) == (None, None, None)
    assert "no change until the end, 0:10:00" in "\n".join(lines(explain(till, 300.0, "v2")))


@pytest.mark.parametrize("at_s", [0.0, 10.0, 105.0, 219.9, 255.0, 600.0])
def test_a_saved_run_is_explained_like_one_simulated_for_it(till: Path, tmp_path: Path, at_s: float) -> None:
    sim.simulate(load(till)).save(tmp_path / "saved")
    fresh, saved = explain(till, at_s), explain(tmp_path / "saved", at_s)
    assert (fresh.seen, saved.seen) == (True, False)
    for a, b in zip(fresh.pools, saved.pools, strict=True):
        alike = ("pool", "before", "wish", "because", "limits", "target", "wanted", "next_change")
        assert [getattr(a, name) for name in alike] == [getattr(b, name) for name in alike]
        if a.wish is not None:
            assert a.age_s == b.age_s
    assert "as it was" in "\n".join(lines(saved))


@pytest.mark.parametrize("at_s", [-1.0, 600.1, math.inf, math.nan])
def test_a_time_outside_the_run_is_one_clear_error(till: Path, at_s: float, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", str(till), f"--at={at_s}"]) == 2
    said = f"time {at_s:g} s is outside the run, which lasts from 0 s to 600 s\n"
    assert capsys.readouterr().err == said


def test_what_there_is_not_cannot_be_explained(till: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pool 'v9' is not the name of one pool; pools are m/v1, m/v2"):
        explain(till, 10.0, "v9")
    sim.simulate(load(till)).save(tmp_path / "saved")
    with pytest.raises(InputError, match=r"replication 1 is not in .*; it has 0 to 0"):
        explain(tmp_path / "saved", 10.0, replication=1)
    with pytest.raises(InputError, match="replication -1 is no run"):
        explain(till, 10.0, replication=-1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no result is there to read"):
        explain(tmp_path / "empty", 10.0)


def test_programs_get_one_object(till: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", str(till), "--at", "105", "--pool", "v1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["time_s"] == 100.0
    assert found["pools"][0]["limits"] == [{"by": "bounds", "before": 9, "after": 5, "why": "at most 5"}]
    assert found["pools"][0]["next_change"] == {"time_s": 260.0, "before": 5, "after": 2}


words = st.text("abcdefg ,.()%-12>", min_size=1, max_size=12).map(str.strip).filter(bool)
names = st.text("abcdef _", min_size=1, max_size=8).map(str.strip).filter(bool)
steps = st.lists(st.tuples(names, st.integers(0, 30), words), max_size=4)


@given(st.integers(0, 30), steps)
def test_limits_are_read_back_as_they_were_written(wish: int, limiters: list[tuple[str, int, str]]) -> None:
    reason = Reason(wish, "load")
    for by, after, why in limiters:
        reason = reason.limited(by, after, why)
    assert limits_of(_decided(0.0, "m/v1", PoolReading(), reason).limits) == reason.limits
