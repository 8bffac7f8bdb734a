"""Answers of which only the numbers are read are the same as those that are read whole."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from live.prometheus import Vector, vector
from live.repeated import Repeated

LABELS = st.dictionaries(st.sampled_from(["pod", "le"]), st.sampled_from(["a", 'b"value":[1,"2"]', "\\", ""]))
NUMBERS = st.sampled_from(["0", "1.5", "-2", "1e+06", "NaN", "+Inf"])
SAMPLES = st.lists(st.tuples(LABELS, NUMBERS), max_size=4)


def answer(time_s: float, samples: Sequence[tuple[Any, str]], **more: Any) -> bytes:
    result = [{"metric": labels, "value": [time_s, number]} for labels, number in samples]
    body = {"status": "success", "data": {"resultType": "vector", "result": result}, **more}
    return json.dumps(body, separators=(",", ":")).encode()


class Counting:
    """How often a body was read whole."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, data: bytes) -> Any:
        self.times += 1
        return json.loads(data)


@given(st.lists(SAMPLES, min_size=1, max_size=6))
def test_it_says_what_the_whole_answer_says(answers: Sequence[Any]) -> None:
    read = Repeated(json.loads)
    for i, samples in enumerate([*answers, *answers]):
        data = answer(1000.0 + i, samples)
        assert read("q", data)["data"] == vector(json.loads(data)["data"])


def test_the_same_series_are_read_once_and_are_the_same_object() -> None:
    whole = Counting()
    read = Repeated(whole)
    first = read("q", answer(1.0, [({"pod": "a"}, "1"), ({"pod": "b"}, "2")]))["data"]
    again = read("q", answer(16.0, [({"pod": "a"}, "3"), ({"pod": "b"}, "4.5")]))["data"]
    assert again == Vector(16.0, [{"pod": "a"}, {"pod": "b"}], [3.0, 4.5])
    assert (again.series is first.series, whole.times) == (True, 1)
    read("other", answer(16.0, [({"pod": "a"}, "3")]))
    read("q", answer(31.0, [({"pod": "b"}, "3"), ({"pod": "a"}, "4.5")]))
    assert whole.times == 3


def test_a_partial_answer_and_a_refusal_stay_as_they_are() -> None:
    read = Repeated(json.loads)
    whole = answer(1.0, [({"pod": "a"}, "1")])
    assert isinstance(read("q", whole)["data"], Vector)
    partial = answer(1.0, [({"pod": "a"}, "1")], warnings=["a store is away"])
    assert read("q", partial) == json.loads(partial)
    refusal = b'{"status":"error","error":"parse error"}'
    assert read("q", refusal) == json.loads(refusal)
    assert isinstance(read("q", whole)["data"], Vector)
