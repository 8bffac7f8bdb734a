import math

import pytest

from policies.faults import Fault, SpecError
from policies.specfile.located import data
from policies.specfile.yamltext import compose, resolve


def told(text: str) -> list[Fault]:
    try:
        return compose(text, "a.yaml").faults
    except SpecError as error:
        return list(error.faults)


@pytest.mark.parametrize(
    ("marked", "said"),
    [
        ("a: 1\n^\tb: 2", "a tab cannot stand here; indent with spaces"),
        ("a: 1\n^b:2\nc: 3", 'no key on this line; a key ends in ":" and a space'),
        ("a: b^: c", 'unexpected ":"; check the indentation, or put the value in quotes'),
        ("a: ^@b", "no value starts with '@'; put it in quotes"),
        ("a: ^- b", 'unexpected "-"; start the list on a line of its own'),
        ("a: ^}", "a value must stand here, got '}'; put text in quotes"),
        ("a: ^'b\nc: 1", "the quote opened here is not closed; close it"),
        ("a: ^{b: 1\nc: 2", 'what is opened here is not closed; line 2 wants "," or "}"'),
        ("a: {\n^", "the text ends where a value must stand; complete it, and close what is open"),
        ("a:\n  - 1\n ^- 2", "the indentation fits no line above; align it with its neighbours"),
        ('a: "\\^q"', "found unknown escape character 'q', while scanning a double-quoted scalar"),
        ("a: ^\x07", "control character '\\x07'; remove it, or write an escape in double quotes"),
        ('^a: "\\UFFFFFFFF"', "no YAML from here on: Python int too large to convert to C int"),
        ("a: &x 1\nb: ^*y", 'b: unknown alias "y"; anchors above are "x"'),
        ("a: ^&a [*a]", None),
        ("a:\n  b: ^!int 7", 'a.b: unknown tag "!int"; remove it'),
        ("? ^[a]\n: 7", "a key must be text, got a list"),
        ("{:^ 7}", "a key must be text, got nothing"),
        ("<<: ^7", '"<<" must be an alias of a mapping, or a list of such, got 7'),
        ('a: ^"\\uD800"', "a: half a character, \\ud800 to \\udfff; write the whole character"),
        ("a: [{b: 1, ^b: 2}]", "a[0].b: key given twice, first in line 1; keep one"),
        ("1: a\n^'1': b", "1: key given twice, first in line 1; keep one"),
        ("a: 1\n^---\nb: 2", "a second document starts here; keep one in a file"),
    ],
)
def test_a_mistake_of_form_is_one_fault_at_its_place(marked: str, said: str | None):
    before, after = marked.split("^")
    place = f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    [fault] = told(before + after)
    if said is None:  # an anchor does not stand yet inside its own value
        assert fault.message == 'unknown alias "a"; anchors above are none'
    else:
        assert str(fault) == f"{place}: {said}"


@pytest.mark.parametrize("text", ["", "\n\n", "# a comment\n", "---\n", "\ufeff"])
def test_an_empty_text_says_so(text: str):
    assert told(text) == [Fault(1, 1, "", "the file is empty")]


def test_what_was_wrong_before_the_syntax_broke_is_told_too():
    assert [fault.line for fault in told("a: 1\na: 2\nb: [")] == [2, 3]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1e6", 1_000_000),
        ("5.0", 5),
        (".5", 0.5),
        ("+12", 12),
        ("010", 10),
        ("0o17", 15),
        ("0xFf", 255),
        ("-.inf", -math.inf),
        ("9" * 5000, math.inf),
        ("-" + "9" * 5000, -math.inf),
        ("True", True),
        ("~", None),
        ("", None),
        *(
            (word, word)
            for word in ("on", "no", "1_000", "1:30", "2026-11-21", "1.2.3", "-", ".", "e3", "0b1", "\u0663")
        ),
    ],
)
def test_plain_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object):
    assert (resolve(text), type(resolve(text))) == (value, type(value))


def test_quotes_and_the_tag_str_make_text():
    assert data(compose("['1', \"true\", !!str 1, ! 1, |-\n 1\n]".replace("|-\n 1\n", "1"), "").root) == [
        "1", "true", "1", "1", 1,
    ]  # fmt: skip


def test_keys_are_text_whatever_they_look_like():
    assert data(compose("{1: a, true: b, 1e3: c, ~: d}", "").root) == {"1": "a", "true": "b", "1e3": "c", "~": "d"}


def test_of_merged_mappings_the_first_counts_and_what_is_written_beside_them_more():
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*b, *a], z: 3}\nd: {'<<': 4}"
    assert data(compose(text, "").root)["c"] == {"x": 1, "y": 2, "z": 3}
    assert data(compose(text, "").root)["d"] == {"<<": 4}


def test_a_bomb_of_aliases_is_not_written_out():
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    [fault] = told("\n".join(["a0: &a0 boom", *lines]))
    assert fault.message == "more than 1000000 values with the aliases written out; use fewer"


@pytest.mark.parametrize("opening", ["[", "{a: ", "? ", "- "])
def test_depth_has_an_end(opening: str):
    [fault] = told(opening * 500)
    assert fault.message == "nested more than 100 deep; use fewer levels"
