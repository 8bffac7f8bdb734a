"""Patches of JSON, by the examples and the laws of their RFCs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.twin.owned import recorded
from live.twin.patch import PatchError, copied, merged, patched, strategic

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abcd"), values, max_size=3)

# RFC 7386, appendix A.
MERGES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("value", "patch", "result"), MERGES)
def test_the_examples_of_merging(value: Any, patch: Any, result: Any) -> None:
    assert merged(value, patch) == result


@given(objects, objects)
def test_merging_twice_is_merging_once_and_changes_nothing_given(value: Any, patch: Any) -> None:
    before = (copied(value), copied(patch))
    once = merged(value, patch)
    assert merged(once, patch) == once
    assert (value, patch) == before


@given(objects)
def test_a_copy_shares_nothing(value: dict[str, Any]) -> None:
    copy = copied(value)
    assert copy == value
    copy["new"] = 1
    for item in copy.values():
        if isinstance(item, dict):
            item["new"] = 1
    assert "new" not in value
    assert all("new" not in item for item in value.values() if isinstance(item, dict))


# RFC 6902, appendix A.
OPERATIONS: list[tuple[Any, list[dict[str, Any]], Any]] = [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
    ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
    ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
    ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
    (
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    ({"foo": ["all", "grass"]}, [{"op": "move", "from": "/foo/0", "path": "/foo/1"}], {"foo": ["grass", "all"]}),
    ({"baz": "qux"}, [{"op": "test", "path": "/baz", "value": "qux"}], {"baz": "qux"}),
    ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc"]}], {"foo": ["bar", ["abc"]]}),
    ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
]


@pytest.mark.parametrize(("value", "operations", "result"), OPERATIONS)
def test_the_examples_of_operations(value: Any, operations: list[dict[str, Any]], result: Any) -> None:
    before = copied(value)
    assert patched(value, operations) == result
    assert value == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/baz", "value": "bar"},
        {"op": "add", "path": "/no/such", "value": 1},
        {"op": "replace", "path": "/nothing", "value": 1},
        {"op": "remove", "path": "/nothing"},
        {"op": "sing", "path": "/baz"},
    ],
)
def test_an_operation_that_cannot_be_done_is_refused(operation: dict[str, Any]) -> None:
    with pytest.raises(PatchError):
        patched({"baz": "qux"}, [operation])


def test_lists_of_named_things_are_merged_by_name() -> None:
    spec = {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}], "command": ["x"]}
    change = {"containers": [{"name": "b", "image": "2"}, {"name": "c"}], "command": ["y"]}
    assert strategic(spec, change) == {
        "containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c"}],
        "command": ["y"],
    }
    assert strategic(spec, {"containers": [{"name": "a", "$patch": "delete"}]})["containers"] == [
        {"name": "b", "image": "1"}
    ]


def test_a_field_belongs_to_who_wrote_it_last() -> None:
    def written(before: Any, replicas: int, who: str) -> Any:
        metadata = before["metadata"] if before else {}
        after = {"apiVersion": "apps/v1", "metadata": metadata, "spec": {"replicas": replicas, "paused": False}}
        return recorded(before, after, who, "", "now")

    one = written(None, 1, "anna")
    two = written(one, 2, "ben")
    owned = {entry["manager"]: entry["fieldsV1"] for entry in two["metadata"]["managedFields"]}
    assert owned == {"anna": {"f:spec": {"f:paused": {}}}, "ben": {"f:spec": {"f:replicas": {}}}}
