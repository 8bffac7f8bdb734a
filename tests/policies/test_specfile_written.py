import json
from datetime import date
from typing import Annotated, Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field
from pydantic.dataclasses import dataclass

from policies.spec import STRICT, Count, Fraction, PositiveSeconds, Seconds
from policies.specfile import parse, schema, write


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Constant:
    """Always the same."""

    kind: Literal["constant"] = "constant"
    value_s: Seconds
    """How long it takes."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Exponential:
    kind: Literal["exponential"] = "exponential"
    mean_s: PositiveSeconds


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Longest:
    kind: Literal["longest"] = "longest"
    of: list["Time"]


Time = Annotated[Constant | Exponential | Longest, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Version:
    """One immutable artefact."""

    name: str
    service: Time | None = None
    load: tuple[tuple[Seconds, float], ...] = ()
    batch: Count | Literal["auto"] = 1
    weights: dict[str, Fraction] = Field(default_factory=dict)
    by_hour: dict[int, float] = Field(default_factory=dict)
    released: date | None = None
    warm: bool = True


def test_a_written_spec_is_short_and_plain():
    longest = Longest(of=[Constant(value_s=3), Exponential(mean_s=30)])
    version = Version(
        name="1e3", service=longest, load=((0, 1), (60, 1e-9)), weights={"on": 1, "3": 0}, released=date(2026, 1, 2)
    )
    lines = [
        "name: '1e3'",
        "weights: {on: 1.0, '3': 0.0}",
        "by_hour: {}",
        "service:",
        "  kind: longest",
        "  of:",
        "    - {kind: constant, value_s: 3.0}",
        "    - {kind: exponential, mean_s: 30.0}",
        "load:",
        "  - [0.0, 1.0]",
        "  - [60.0, 1e-09]",
        "released: '2026-01-02'",
    ]
    assert sorted(write(version).splitlines()) == sorted(lines)


finite = st.floats(-1e300, 1e300)
seconds = st.floats(0, 1e300)
texts = st.text() | st.sampled_from(
    ["<<", "=", "1e3", ".5e3", "0o7", "~", "no", "a: b", "- a", "# a", " a ", "a\n b\n", "---"]
)
times = st.recursive(
    st.builds(Constant, value_s=seconds) | st.builds(Exponential, mean_s=st.floats(1e-300, 1e300)),
    lambda inner: st.builds(Longest, of=st.lists(inner, max_size=3)),
    max_leaves=4,
)
versions = st.builds(
    Version,
    name=texts,
    service=st.none() | times,
    load=st.lists(st.tuples(seconds, finite), max_size=4).map(tuple),
    batch=st.just("auto") | st.integers(0, 10**30),
    weights=st.dictionaries(texts, st.floats(0, 1), max_size=3),
    by_hour=st.dictionaries(st.integers(), finite, max_size=3),
    released=st.none() | st.dates(),
    warm=st.booleans(),
)


@given(versions)
@settings(max_examples=300, deadline=None)
def test_what_is_written_reads_back_equal(version: Version):
    assert parse(Version, write(version)) == version


@given(times)
@settings(max_examples=50, deadline=None)
def test_a_union_is_written_and_read_as_a_file_of_its_own(time: object):
    assert parse(Time, write(time)) == time


def test_the_schema_tells_editors_what_reading_wants():
    described = schema(Version, "a version")
    constant = described["$defs"]["Constant"]
    assert described["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (described["title"], described["description"]) == ("a version", "One immutable artefact.")
    assert (described["required"], described["additionalProperties"]) == (["name"], False)
    assert constant["description"] == "Always the same."
    assert constant["properties"]["value_s"]["description"] == "How long it takes."
    assert json.loads(json.dumps(described)) == described


def test_the_schema_requires_the_kind_in_every_branch_as_reading_does():
    branches = schema(Version, "a version")["$defs"]
    assert {name: branch["required"] for name, branch in branches.items()} == {
        "Constant": ["kind", "value_s"],
        "Exponential": ["kind", "mean_s"],
        "Longest": ["kind", "of"],
    }
