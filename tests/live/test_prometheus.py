"""Few queries for many targets, in PromQL that says what it means."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from scripted import Scripted

from live.presets import PODS, Distribution, Queries
from live.prometheus import LISTED, Batch, PrometheusApi, QueryError, Subject, batches
from live.transport import Answer
from live.twin.evaluated import Instant
from live.twin.series import SeriesStore


def subject(pool: str, **labels: str) -> Subject:
    queries = Queries(labels, "up", {"queued": "depth", "arrived_total": 'seen{code!="5",{selector}}'})
    return Subject(pool, None, queries)


def expressions(batch: Batch) -> dict[str, str]:
    return dict(batch.expressions())


def test_targets_that_differ_in_values_only_share_each_query() -> None:
    (batch,) = batches([subject("m/v1", job="x", app="a"), subject("m/v2", job="x", app="b.1")])
    assert expressions(batch) == {
        "age": 'min by (app, job) (timestamp(up{app=~"a|b\\\\.1",job="x"}))',
        "queued": 'sum by (app, job) (depth{app=~"a|b\\\\.1",job="x"})',
        "arrived_total": 'sum by (app, job, pod) (seen{code!="5",app=~"a|b\\\\.1",job="x"})',
    }


def test_other_labels_or_other_metrics_are_other_queries() -> None:
    other = Subject("m/v3", None, Queries({"app": "c"}, "up", {"queued": "length"}))
    assert len(batches([subject("m/v1", app="a"), subject("m/v2", name="b"), other])) == 3


def test_a_thousand_targets_are_asked_for_by_having_the_label() -> None:
    few, many = ([subject(f"m/v{i}", app=f"a{i}") for i in range(n)] for n in (LISTED, 1000))
    assert 'app=~"a0|a1|' in expressions(batches(few)[0])["queued"]
    assert expressions(batches(many)[0])["queued"] == 'sum by (app) (depth{app!=""})'


def test_all_pods_come_in_one_answer_and_the_cluster_says_whose_they_are() -> None:
    one, two = subject("m/v1", namespace="a", pod=PODS), subject("m/v2", namespace="b", pod=PODS)
    (batch,) = batches([one, two])
    assert expressions(batch)["queued"] == 'sum by (namespace, pod) (depth{namespace=~"a|b",pod!=""})'
    pools = {"web-0": ["m/v1", "m/v2"]}  # a StatefulSet's name, in both namespaces
    assert batch.subject_of({"namespace": "b", "pod": "web-0"}, pools) == two
    assert batch.subject_of({"namespace": "a", "pod": "other"}, pools) is None


def test_a_histogram_without_buckets_is_asked_for_its_count() -> None:
    spec = Distribution(sum="t_us", count="n", unit_s=1e-6)
    (batch,) = batches([Subject("m/v1", None, Queries({"app": "a"}, "up", {}, {"wait_s": spec}))])
    assert expressions(batch) == {
        "age": 'min by (app) (timestamp(up{app="a"}))',
        "wait_s.count": 'sum by (app, pod) (n{app="a"})',
        "wait_s.sum": 'sum by (app, pod) (t_us{app="a"})',
    }


label_values = st.text(st.characters(codec="ascii", exclude_categories=("Cc", "Cs")), min_size=1, max_size=8)


@given(st.lists(label_values, min_size=2, max_size=6, unique=True))
def test_values_of_any_letters_match_themselves_and_nothing_else(values: list[str]) -> None:
    (batch,) = batches([subject(f"m/v{i}", app=value) for i, value in enumerate(values)])
    store = SeriesStore()
    for value in (*values, "nobody's", "".join(values)):
        store.add("depth", {"app": value}, 0.0, 1.0)
    found = Instant(store, 0.0, 0.0).query(expressions(batch)["queued"])
    assert isinstance(found, list)
    told = {dict(sample.labels)["app"] for sample in found}
    assert told == {value for value in (*values, "nobody's", "".join(values)) if value in values}


def test_a_regular_expression_has_no_escape_that_prometheus_refuses() -> None:
    (batch,) = batches([subject("m/v1", app="a-b c"), subject("m/v2", app="x")])
    assert not re.search(r"\\[^\\.+*?()|\[\]{}^$\"]", expressions(batch)["queued"])


def said(body: Any, status: int = 200) -> PrometheusApi:
    return PrometheusApi(Scripted(lambda *_: Answer(status, body)))


def vector(*values: str) -> dict[str, Any]:
    result = [{"metric": {"pod": str(i)}, "value": [12.5, value]} for i, value in enumerate(values)]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def test_numbers_are_samples_and_what_is_none_is_left_out() -> None:
    found = said(vector("1", "NaN", "+Inf", "2.5")).query("x")
    assert found.time_s == 12.5
    assert list(found.samples) == [({"pod": "0"}, 1.0), ({"pod": "3"}, 2.5)]


def test_an_empty_vector_is_an_answer() -> None:
    found = said(vector()).query("x")
    assert (found.time_s, list(found.samples)) == (None, [])


@pytest.mark.parametrize(
    "body",
    [
        None,
        "<html>",
        [],
        {"status": "success"},
        {"status": "success", "data": {"resultType": "vector", "result": [{}]}},
    ],
)
def test_what_is_not_understood_is_a_fault_and_no_crash(body: Any) -> None:
    with pytest.raises(QueryError):
        said(body).query("x")
