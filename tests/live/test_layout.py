"""Who gets which sample does not depend on the order of an answer, nor on what the last answer was."""

from collections.abc import Sequence
from math import inf
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from live.layout import Layout, layout
from live.presets import PRESETS
from live.prometheus import Batch, Subject, batches

PODS = {"web-1": ("m/web",), "web-2": ("m/web",), "api-1": ("m/api",)}
SAMPLES = [
    ({"namespace": "models", "pod": pod, "le": le}, value)
    for pod, first in (("web-1", 1.0), ("web-2", 10.0), ("api-1", 100.0), ("nobody's", 5.0))
    for le, value in (("0.5", first), ("1", 2 * first), ("+Inf", 3 * first))
]
EDGES = (0.5, 1.0, inf)


def batch() -> Batch:
    """Two pools of the generic preset in one namespace."""
    queries = PRESETS["generic"]
    labelled = queries.labelled({"namespace": "models"})
    (found,) = batches([Subject(pool, None, labelled) for pool in ("m/web", "m/api")])
    return found


def taken(known: Layout, values: Sequence[float]) -> dict[str, Any]:
    return {share.subject.pool: share.taken(values) for share in known.shares}


@given(st.permutations(SAMPLES))
def test_buckets_come_in_ascending_order_whatever_the_order_of_series(samples: Sequence[Any]) -> None:
    series, values = zip(*samples, strict=True)
    found = taken(layout(batch(), "wait_s.bucket", series, PODS), values)
    assert {pool: sorted(by.values()) for pool, by in found.items()} == {
        "m/web": [(EDGES, (1.0, 2.0, 3.0)), (EDGES, (10.0, 20.0, 30.0))],
        "m/api": [(EDGES, (100.0, 200.0, 300.0))],
    }


def test_a_series_that_is_no_bucket_is_left_out() -> None:
    series = [{"namespace": "models", "pod": "web-1", **le} for le in ({}, {"le": "wide"}, {"le": "+Inf"})]
    assert list(taken(layout(batch(), "wait_s.bucket", series, PODS), (7.0, 8.0, 9.0))["m/web"].values()) == [
        ((inf,), (9.0,))
    ]


def test_a_layout_serves_answers_with_the_same_series_and_pods_and_no_others() -> None:
    series = [{"namespace": "models", "pod": pod} for pod in ("web-1", "api-1")]
    known = layout(batch(), "queued", series, PODS)
    assert known.fits([dict(labels) for labels in series], PODS)
    assert taken(known, (1.0, 2.0)) == {"m/web": {("web-1",): 1.0}, "m/api": {("api-1",): 2.0}}
    assert not known.fits(series[::-1], PODS)
    assert not known.fits(series[:1], PODS)
    assert not known.fits(series, {"web-1": ("m/api",)})
