import pickle
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.dataclasses import dataclass

from policies.faults import KEY, Fault, SpecError, field_name
from policies.spec import STRICT, Name, Positive, Seconds
from policies.specfile import parse, read


def told(text: str, spec_type: type) -> list[str]:
    with pytest.raises(SpecError) as error:
        parse(spec_type, text, "a.yaml")
    return str(error.value).split("\n")


def test_a_field_is_named_as_one_would_write_it():
    assert field_name(("models", 0, "weights", "v1.2", KEY)) == "models[0].weights['v1.2']"
    assert (field_name((3, "at-most")), field_name(())) == ("[3].at-most", "")


def test_an_error_survives_the_way_from_another_process():
    error = SpecError("a.yaml", [Fault(2, 1, "b", "late"), Fault(1, 5, "a", "early")])
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.faults) == ("a.yaml:1:5: a: early\na.yaml:2:1: b: late", error.faults)


def test_wrong_items_do_not_make_a_list_too_short_but_twins_make_a_set_so():
    @dataclass(frozen=True, kw_only=True, config=STRICT)
    class Sizes:
        pair: Annotated[tuple[int, ...], Field(min_length=2)]
        odd: Annotated[frozenset[int], Field(min_length=2)]

    assert told("pair: [1, x]\nodd: [3, 3]", Sizes) == [
        "a.yaml:1:11: pair[1]: must be a whole number, got 'x'",
        "a.yaml:2:6: odd: must have at least 2 items, got 1",
    ]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Constant:
    kind: Literal["constant"] = "constant"
    value_s: Seconds


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Never:
    kind: Literal["never"] = "never"


Time = Annotated[Constant | Never, Field(discriminator="kind")]


def test_what_a_validator_makes_of_a_value_is_told_at_the_value():
    def refuse(given: object) -> object:
        raise ValueError(f"{type(given).__name__} is\n not served; take another")

    @dataclass(frozen=True, kw_only=True, config=STRICT)
    class Short:
        wait: Annotated[Constant, BeforeValidator(lambda given: {"value_s": given})]
        pace: Annotated[Time, AfterValidator(refuse)]

    assert told("wait: -1\npace: {kind: constant, value_s: 1}", Short) == [
        "a.yaml:1:7: wait.value_s: must be at least 0",
        "a.yaml:2:7: pace: Constant is not served; take another",
    ]


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path):
    (tmp_path / "canary.yaml").write_bytes(b"name: ok\nseed: \xff\n")
    for path, said in [
        ("canry.yaml", '1:1: no such file; did you mean "canary.yaml"'),
        ("none/canary.yaml", "1:1: no such file"),
        ("canary.yaml/more", "1:1: cannot be read: not a directory"),
        (".", "1:1: is a directory; name a file in it"),
        ("\0", "1:1: cannot be read: embedded null byte"),
        ("canary.yaml", "2:7: byte 0xff is not UTF-8; save the file as UTF-8"),
    ]:
        with pytest.raises(SpecError) as error:
            read(Constant, tmp_path / path)
        assert str(error.value) == f"{tmp_path / path}:{said}"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Flow:
    model: Name
    rate_per_s: Positive
    patience_s: Seconds | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Flows:
    traffic: tuple[Flow, ...]


FLOWS = """\
traffic:
  - &chat {model: a, rate_per_s: 1}
  - *chat
  - {<<: *chat, rate_per_s: 2}
  - {<<: *chat, patience_s: 9}
"""


def test_anchored_values_are_read_at_each_alias():
    first, second, third, fourth = parse(Flows, FLOWS).traffic
    assert first == second
    assert (third.rate_per_s, fourth.rate_per_s, fourth.patience_s) == (2, 1, 9)


def test_a_fault_in_an_anchored_value_is_told_once_where_it_was_written():
    assert told(FLOWS.replace("patience_s: 9", "rate_per_s: 9").replace("rate_per_s: 1", "rate_per_s: -1"), Flows) == [
        "a.yaml:2:34: traffic[0].rate_per_s: must be greater than 0, got -1"
    ]
    assert told(FLOWS.replace("model: a, ", "").replace("- {<<: *chat,", "- {model: b, <<: *chat,"), Flows) == [
        "a.yaml:2:5: traffic[0].model: missing; must be text"
    ]


def test_an_alias_in_the_wrong_place_is_a_fault_of_that_place():
    assert told(FLOWS.replace("patience_s: 9", "patience_s: *chat"), Flows) == [
        "a.yaml:5:29: traffic[3].patience_s: must be a number, got a mapping"
    ]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Loose:
    """Unions without a kind."""

    one: Constant | Never | None = None
    many: list[Seconds] | dict[str, Seconds] | None = None
    any: Seconds | bool | list[int] | Time | None = None
    pause: Literal[1, 2, "long"] = 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one: {kind: constant}", "1:6: one.value_s: missing; must be a number, at least 0"),
        ("one: {kind: never, value: 3}", '1:20: one.value: unknown key; known are "kind"'),
        ("one: constant", "1:6: one: must be a mapping, got 'constant'"),
        ("many: [1, -1]", "1:11: many[1]: must be at least 0, got -1"),
        ("many: {a: b}", "1:11: many.a: must be a number, got 'b'"),
        ("many: 3", "1:7: many: must be a list or a mapping, got 3"),
        ("any: -2", "1:6: any: must be at least 0, got -2"),
        ("any: [x]", "1:7: any[0]: must be a whole number, got 'x'"),
        ("any: {kind: sometimes}", '1:13: any.kind: unknown kind \'sometimes\'; must be "constant" or "never"'),
        ("any: {kind: constant, value_s: x}", "1:32: any.value_s: must be a number, got 'x'"),
        (
            "any: x",
            '1:6: any: must be a number, true or false, a list or a mapping with kind "constant" or "never", got \'x\'',
        ),
        ("pause: short", "1:8: pause: must be 1, 2 or \"long\", got 'short'"),
    ],
)
def test_a_union_complains_with_one_voice(text: str, said: str):
    assert told(text, Loose) == [f"a.yaml:{said}"]
