"""The fake Prometheus: what an instant query finds, in the words of the real one."""

from typing import Any

import pytest

from live.presets import PRESETS
from live.prometheus import Subject, batches
from live.twin.clock import VirtualClock
from live.twin.front import DirectTransport, Front
from live.twin.promapi import FakePrometheus
from live.twin.promql import QueryError, parsed
from live.twin.series import SeriesStore

NOW_S = 1000.0


def stored() -> SeriesStore:
    """Two pods of one model and one of another, the last sample 10 s ago."""
    store = SeriesStore()
    for pod, model, value in (("a-1", "a", 3.0), ("a-2", "a", 4.0), ("b-1", "b", 5.0)):
        for time_s, factor in ((975.0, 0.5), (990.0, 1.0)):
            store.add("queued", {"pod": pod, "model": model}, time_s, value * factor)
    return store


def asked(query: str, store: SeriesStore | None = None, now_s: float = NOW_S) -> Any:
    server = FakePrometheus(lambda: now_s, store or stored())
    return DirectTransport(Front(server, VirtualClock())).send("GET", "/api/v1/query", {"query": query}).body


def found(query: str, store: SeriesStore | None = None, now_s: float = NOW_S) -> dict[str, float]:
    """Values by what distinguishes their series."""
    result = asked(query, store, now_s)["data"]["result"]
    return {
        ",".join(v for k, v in sorted(s["metric"].items()) if k != "__name__"): float(s["value"][1]) for s in result
    }


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ('queued{model="a"}', {"a,a-1": 3.0, "a,a-2": 4.0}),
        ('queued{model!="a"}', {"b,b-1": 5.0}),
        ('queued{pod=~"a-1|b-1"}', {"a,a-1": 3.0, "b,b-1": 5.0}),
        ('queued{pod=~"a-.*",pod!~".*2"}', {"a,a-1": 3.0}),
        ('queued{pod=~"a"}', {}),
        ('{__name__="queued",pod="b-1",}', {"b,b-1": 5.0}),
        ('sum(queued{pod!=""})', {"": 12.0}),
        ('sum by (model) (queued{zone=""})', {"a": 7.0, "b": 5.0}),
        ("max without (pod) (queued)", {"a": 4.0, "b": 5.0}),
        ("sum(queued) by (model)", {"a": 7.0, "b": 5.0}),
        ("avg(queued)", {"": 4.0}),
        ("count(queued > 3)", {"": 2.0}),
        ("min by (model) (timestamp(queued))", {"a": 990.0, "b": 990.0}),
        ('timestamp(queued{pod="b-1"}) - 90', {"b,b-1": 900.0}),
        ("sum(queued) * 1e-3 + 2 * 3", {"": 6.012}),
        ("-sum(queued) / 0", {"": float("-inf")}),
        ("queued - queued / 2 + queued * 0", {"a,a-1": 1.5, "a,a-2": 2.0, "b,b-1": 2.5}),
        ("sum(absent_one) or vector(0)", {"": 0.0}),
        ("sum(queued) or vector(0)", {"": 12.0}),
        ('absent(queued{pod="c-1"})', {"c-1": 1.0}),
        ('label_replace(queued{pod="b-1"}, "name", "$1", "pod", "(.*)-1")', {"b,b,b-1": 5.0}),
        ("clamp_min(queued, 4)", {"a,a-1": 4.0, "a,a-2": 4.0, "b,b-1": 5.0}),
    ],
)
def test_what_a_query_finds(query: str, values: dict[str, float]) -> None:
    assert found(query) == values


def test_a_sample_stands_for_five_minutes() -> None:
    assert found("sum(queued)", now_s=1289.0) == {"": 12.0}
    assert found("sum(queued)", now_s=1290.0) == {}


def test_a_series_that_ended_is_gone_at_once() -> None:
    store = stored()
    store.end({"pod": "a-1"}, 995.0)
    assert found("queued", store) == {"a,a-2": 4.0, "b,b-1": 5.0}
    assert found("queued", store, now_s=994.0) == {"a,a-1": 3.0, "a,a-2": 4.0, "b,b-1": 5.0}


def test_rates_forgive_a_restart() -> None:
    store = SeriesStore()
    for time_s, value in ((940.0, 10.0), (955.0, 25.0), (970.0, 5.0), (985.0, 20.0), (1000.0, 35.0)):
        store.add("done_total", {}, time_s, value)
    # 15 + 5 + 15 + 15 in the minute between the first and the last sample.
    assert found("increase(done_total[61s])", store)[""] == pytest.approx(50.0 * 61 / 60, rel=1e-9)
    assert found("rate(done_total[61s])", store)[""] == pytest.approx(50.0 / 60, rel=1e-9)


def test_nan_is_written_as_such() -> None:
    store = SeriesStore()
    store.add("x", {}, 999.0, float("nan"))
    assert asked("x", store)["data"]["result"][0]["value"] == [1000.0, "NaN"]
    assert asked("1 + 1")["data"] == {"resultType": "scalar", "result": [1000.0, "2"]}


@pytest.mark.parametrize(
    "query", ["sum(", "queued{", "nonsense(queued)", "queued[5m]", "queued{pod=1}", "a b", "#", "§"]
)
def test_what_cannot_be_read_is_bad_data(query: str) -> None:
    body = asked(query)
    assert (body["status"], body["errorType"]) == ("error", "bad_data")


def test_what_is_not_served_is_said_so() -> None:
    with pytest.raises(QueryError, match="not served"):
        parsed("a * on (pod) b")


@pytest.mark.parametrize("system", PRESETS)
def test_the_queries_of_each_preset_are_served(system: Any) -> None:
    (batch,) = batches([Subject("m/v1", None, PRESETS[system])])
    for _, expression in batch.expressions():
        assert asked(expression)["status"] == "success"
