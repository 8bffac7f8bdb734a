"""What the daemon tells over HTTP: metrics that Prometheus reads, probes that a kubelet reads."""

from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from live.board import Board, Leadership
from live.config import Bounds, Config, JournalSpec, Prometheus, QuerySpec, Slo, Target
from live.presets import System
from live.tally import Tally
from live.telemetry import Page, Telemetry, served
from live.twin.clock import VirtualClock
from policies.decision import Decision, Reason
from policies.faults import InputError
from policies.fixed import FixedSpec
from policies.loop import Action, Turn
from policies.observation import Observation, PoolReading
from policies.testing import seen


def board(preset: System = "generic") -> Board:
    target = Target(model="m", version="v1", name="m-v1", replicas=Bounds(at_most=9), cost_per_hour=3.6)
    config = Config(
        prometheus=Prometheus(url="http://prometheus:9090"),
        journal=JournalSpec(path="journal.jsonl"),
        slo=Slo(response_s=5.0),
        mode="active",
        queries=QuerySpec(preset=preset),
        targets=(target,),
        policy=FixedSpec(),
    )
    return Board(config=config, tally=Tally(config.pools, 5.0, 60.0), leadership=Leadership("me", True, "me"))


def turn(time_s: float, error: str | None = None) -> Turn:
    reason = Reason(12, "as told").limited("bounds", 9, "at most 9")
    return Turn(seen(time_s, wanted=4, queued=3.0), Decision({"m/v1": reason}), {"m/v1": Action(4, 9, error)})


@pytest.fixture
def shown() -> Board:
    return board()


@pytest.fixture
def telemetry(shown: Board) -> Telemetry:
    return Telemetry(shown, VirtualClock())


def sample(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    text = telemetry.page("/metrics").body.decode()
    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if (sample.name, sample.labels) == (f"poolwright_{name}", labels)
    ]
    return found[0] if found else None


def test_a_turn_is_told_in_numbers(shown: Board, telemetry: Telemetry) -> None:
    shown.turned(turn(0.0), 0.02, 1.0)
    shown.turned(turn(15.0, error="409 Conflict"), 0.03, 16.0)
    pool = {"pool": "m/v1"}
    assert sample(telemetry, "replicas", **pool, state="wanted") == 4.0
    assert sample(telemetry, "wish_replicas", **pool) == 12.0
    assert sample(telemetry, "target_replicas", **pool) == 9.0
    assert sample(telemetry, "limited_decisions_total", **pool, by="bounds") == 2.0
    assert sample(telemetry, "writes_total", **pool, outcome="done") == 1.0
    assert sample(telemetry, "writes_total", **pool, outcome="failed") == 1.0
    assert sample(telemetry, "queued_requests", **pool) == 3.0
    assert sample(telemetry, "reading_age_seconds", **pool) == 0.0
    assert sample(telemetry, "turns_total") == 2.0
    assert sample(telemetry, "leader") == 1.0
    # Four replicas at 3.60 USD an hour for 15 s.
    assert sample(telemetry, "cost_usd_total", of="seen") == pytest.approx(0.06)


def test_unknown_is_no_sample(shown: Board, telemetry: Telemetry) -> None:
    shown.turned(Turn(Observation(0.0, {"m/v1": PoolReading()}), Decision(), {}), 0.0, 0.0)
    assert sample(telemetry, "replicas", pool="m/v1", state="ready") is None
    assert sample(telemetry, "reading_age_seconds", pool="m/v1") is None
    assert sample(telemetry, "target_replicas", pool="m/v1") is None
    assert sample(telemetry, "unknown_readings", pool="m/v1") == 1.0


def test_a_pool_without_pods_has_nothing_to_read_where_only_pods_tell(shown: Board, telemetry: Telemetry) -> None:
    nobody = PoolReading(wanted=0, starting=0, ready=0, draining=0, age_s=600.0)
    shown.turned(Turn(Observation(0.0, {"m/v1": nobody}), Decision(), {}), 0.0, 0.0)
    assert sample(telemetry, "replicas", pool="m/v1", state="wanted") == 0.0
    assert sample(telemetry, "unknown_readings", pool="m/v1") is None
    assert sample(telemetry, "reading_age_seconds", pool="m/v1") is None
    assert telemetry.page("/readyz").status == 200


def test_a_pool_without_pods_whose_requests_a_proxy_counts_is_to_be_read() -> None:
    shown = board("istio")
    telemetry = Telemetry(shown, VirtualClock())
    shown.turned(Turn(Observation(0.0, {"m/v1": PoolReading(wanted=0, ready=0)}), Decision(), {}), 0.0, 0.0)
    assert sample(telemetry, "unknown_readings", pool="m/v1") == 1.0
    assert telemetry.page("/readyz").body == b"no reading has come yet\n"


def test_an_active_daemon_has_no_shadow(telemetry: Telemetry) -> None:
    assert sample(telemetry, "cost_usd_total", of="shadow") is None


def test_it_is_ready_once_a_turn_has_read_metrics(shown: Board, telemetry: Telemetry) -> None:
    assert telemetry.page("/readyz") == Page(503, "text/plain; charset=utf-8", b"no turn yet\n")
    shown.turned(Turn(seen(0.0, age_s=None), Decision(), {}), 0.0, 0.0)
    assert telemetry.page("/readyz").body == b"no reading has come yet\n"
    shown.turned(turn(15.0), 0.0, 15.0)
    shown.turned(Turn(seen(30.0, age_s=None), Decision(), {}), 0.0, 30.0)
    # That Prometheus is down later is no reason to be taken out.
    assert telemetry.page("/readyz").status == 200


def test_a_loop_that_hangs_is_unhealthy(shown: Board) -> None:
    clock = VirtualClock()
    telemetry = Telemetry(shown, clock)
    shown.turned(turn(0.0), 0.0, 0.0)
    clock.wait(190.0)
    assert telemetry.page("/healthz").status == 200
    clock.wait(10.0)
    assert telemetry.page("/healthz") == Page(503, "text/plain; charset=utf-8", b"no turn for 200 s\n")


def test_what_is_not_there_is_told_with_what_is(telemetry: Telemetry) -> None:
    assert telemetry.page("/secrets") == Page(
        404, "text/plain; charset=utf-8", b"there is /, /metrics, /healthz, /readyz\n"
    )


@pytest.fixture
def address(telemetry: Telemetry) -> Iterator[str]:
    with served(telemetry.page, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


def test_pages_come_over_http(address: str, shown: Board) -> None:
    shown.turned(turn(0.0), 0.0, 0.0)
    with urlopen(f"{address}/") as answer:
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
        assert b"m/v1" in answer.read()
    with urlopen(f"{address}/metrics") as answer:
        assert b"poolwright_turns_total 1.0" in answer.read()
    with pytest.raises(HTTPError, match="404") as refused:
        urlopen(f"{address}/nothing")
    refused.value.close()


def test_a_page_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fails(path: str) -> Page:
        raise ZeroDivisionError(path)

    with served(fails, "127.0.0.1", 0) as port:
        for _ in range(2):
            with pytest.raises(HTTPError, match="500") as refused:
                urlopen(f"http://127.0.0.1:{port}/x")
            refused.value.close()
    assert "/x cannot be shown" in caplog.text


def test_a_port_that_is_taken_is_told(address: str) -> None:
    port = int(address.rpartition(":")[2])
    with (
        pytest.raises(InputError, match=rf"telemetry\.port: 127\.0\.0\.1:{port} cannot be had: address already in use"),
        served(lambda _: Page(200, "", b""), "127.0.0.1", port),
    ):
        pass


def test_faults_are_news_once_and_few_are_kept(shown: Board, tmp_path: Path) -> None:
    del tmp_path
    assert [shown.failed("write", "no", time_s) for time_s in (1.0, 2.0, 3.0)] == [True, False, False]
    for k in range(40):
        shown.failed("write", f"no {k}", 4.0)
    assert len(shown.faults()) == 30
    assert shown.faults()[0].message == "no 39"
    assert shown.errors_total["write"] == 43
