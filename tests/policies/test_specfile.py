import string
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field
from pydantic.dataclasses import dataclass

from policies.spec import STRICT, Count, Fraction, Name, PositiveCount, PositiveSeconds, Seconds
from policies.specfile import KEY, Loc, SpecError, parse, read
from policies.specfile.located import List, Mapping, Node, Scalar, child, mark_at
from policies.specfile.yamltext import compose


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
class Steps:
    kind: Literal["steps"] = "steps"
    steps: tuple[tuple[Seconds, float], ...]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Longest:
    kind: Literal["longest"] = "longest"
    of: Annotated[list["Time"], Field(min_length=2)]


Time = Annotated[Constant | Exponential | Steps | Longest, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Replicas:
    initial: Count
    at_least: Count = 0
    at_most: Count

    def __post_init__(self) -> None:
        if self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least} is more than at_most {self.at_most}; lower it")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Version:
    name: Name
    parents: tuple[Name, ...] = ()
    service: Time
    startup: Time | None = None
    slots: PositiveCount = 1
    batch: PositiveCount | Literal["auto"] = 1
    wait: Seconds | Constant | None = None
    quality: Fraction | None = None
    replicas: Replicas
    released: date | None = None
    warm: bool = True


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Model:
    name: Name
    queue: Literal["fcfs", "mcq", "gq"] = "fcfs"
    weights: dict[Name, Fraction] = Field(default_factory=dict)
    by_hour: dict[int, float] = Field(default_factory=dict)
    versions: Annotated[tuple[Version, ...], Field(min_length=1)]

    def faults(self) -> Iterator[tuple[Loc, str]]:
        known = {version.name for version in self.versions}
        for name in self.weights.keys() - known:
            yield ("weights", name, KEY), f'unknown version "{name}"'
        for index, version in enumerate(self.versions):
            for place in (place for place, parent in enumerate(version.parents) if parent not in known):
                yield ("versions", index, "parents", place), f'unknown version "{version.parents[place]}"'


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Traffic:
    model: Name
    rate_per_s: Annotated[float, Field(gt=0)]
    patience_s: Seconds | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Scenario:
    """Everything a run depends on."""

    name: str
    seed: Count = 0
    models: tuple[Model, ...]
    traffic: tuple[Traffic, ...] = ()

    def faults(self) -> Iterator[tuple[Loc, str]]:
        known = [model.name for model in self.models]
        for index, traffic in enumerate(self.traffic):
            if traffic.model not in known:
                yield ("traffic", index, "model"), f'unknown model "{traffic.model}"; known are {known}'
            if traffic.rate_per_s > 100 and traffic.patience_s is None:
                yield ("traffic", index, "patience_s"), "more than 100/s needs patience"
            if traffic.patience_s == 0:
                yield ("traffic", index, "patience_s"), "leave it out, or give some"


SHOP = """\
name: on            # text, as in YAML 1.2
seed: 7
models:
  - name: assistant
    queue: mcq
    weights: {v1: 0.9, v2: 1e-1}
    by_hour: {9: 1.5, 17: 2}
    versions:
      - name: v1
        service: {kind: exponential, mean_s: 5}
        startup: {kind: constant, value_s: 45.0}
        slots: 1e0
        quality: 0.91
        replicas: {initial: 10, at_least: 2, at_most: 40}
      - name: v2
        parents: [v1]
        service:
          kind: steps
          steps: [[0, 1], [60, 2.5]]
        startup:
          kind: longest
          of:
            - {kind: constant, value_s: 3}
            - kind: exponential
              mean_s: 30
        batch: auto
        wait: 2.5
        replicas:
          initial: 0
          at_most: 4
        released: 2026-11-21
        warm: false
traffic:
  - model: assistant
    rate_per_s: 1.6667
    patience_s: 60
"""


def marked(*edits: tuple[str, str]) -> tuple[str, list[tuple[int, int]]]:
    """The shop after some edits, and the line and column of every ^ in it, which are taken out."""
    text = SHOP
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    places = []
    while "^" in text:
        before, text = text.split("^", 1)
        places.append((before.count("\n") + 1, len(before) - before.rfind("\n")))
        text = before + text
    return text, places


def told(text: str) -> list[str]:
    """The lines that a reader is told; none where the text is right."""
    try:
        parse(Scenario, text, "shop.yaml")
    except SpecError as error:
        return str(error).split("\n")
    return []


def test_a_scenario_reads_as_values():
    shop = parse(Scenario, SHOP)
    first, second = shop.models[0].versions
    assert (shop.name, first.slots, second.warm) == ("on", 1, False)
    assert shop.models[0].weights == {"v1": 0.9, "v2": 0.1}
    assert shop.models[0].by_hour == {9: 1.5, 17: 2.0}
    assert first.service == Exponential(mean_s=5)
    assert second.service == Steps(steps=((0, 1), (60, 2.5)))
    assert second.startup == Longest(of=[Constant(value_s=3), Exponential(mean_s=30)])
    assert second.released == date(2026, 11, 21)


def test_ten_mistakes_give_ten_lines_each_at_its_place():
    text, places = marked(
        ("seed: 7", "seed: ^-7\n^seed: 8"),
        ("queue: mcq", "queue: ^lifo"),
        ("v2: 1e-1", "v2: ^1.5"),
        ("kind: exponential, mean_s: 5", "kind: ^exponentail, mean_s: 5"),
        ("startup: {kind: constant", "^start_up: {kind: constant"),
        ("[60, 2.5]", "^[60]"),
        ("{kind: constant, value_s: 3}", "^{kind: constant}"),
        ("batch: auto", "batch: ^fast"),
        ("rate_per_s: 1.6667", "^rate: 1.6667"),
    )
    messages = [
        "seed: must be at least 0, got -7",
        "seed: key given twice, first in line 2; keep one",
        'models[0].queue: must be "fcfs", "mcq" or "gq", got \'lifo\'',
        "models[0].weights.v2: must be at most 1, got 1.5",
        "models[0].versions[0].service.kind: unknown kind 'exponentail'; did you mean \"exponential\"; "
        'must be "constant", "exponential", "steps" or "longest"',
        'models[0].versions[0].start_up: unknown key; did you mean "startup"',
        "models[0].versions[1].service.steps[1]: must have 2 items, got 1",
        "models[0].versions[1].startup.of[0].value_s: missing; must be a number, at least 0",
        "models[0].versions[1].batch: must be a whole number or \"auto\", got 'fast'",
        'traffic[0].rate: unknown key; did you mean "rate_per_s"',
    ]
    assert told(text) == [
        f"shop.yaml:{line}:{column}: {message}" for (line, column), message in zip(places, messages, strict=True)
    ]


V1, V2 = "models[0].versions[0]", "models[0].versions[1]"
A_NAME = 'must be a name of letters, digits, ".", "_" and "-", with a letter or digit at both ends'
A_KIND = '"constant", "exponential", "steps" or "longest"'

# What is written for what, with a ^ where the fault must be found, and its field and message.
VALUES = [
    ("name: on", "name: ^5", "name: must be text, got 5; put it in quotes"),
    ("name: on", "name: ^~", "name: must be text, got ~"),
    ("seed: 7", "seed: ^1.5", "seed: must be a whole number, got 1.5"),
    ("seed: 7", "seed: ^'7'", "seed: must be a whole number, got '7'"),
    ("seed: 7", "seed: ^true", "seed: must be a whole number, got true"),
    ("seed: 7", "^seed:", "seed: must be a whole number, got nothing"),
    ("name: assistant", "name: ^an assistant", f"models[0].name: {A_NAME}, got 'an assistant'"),
    ("{v1: 0.9", "{^v 1: 0.9", f"models[0].weights['v 1']: {A_NAME}, got 'v 1'"),
    ("{v1: 0.9, v2: 1e-1}", "^v1", "models[0].weights: must be a mapping, got 'v1'"),
    ("{9: 1.5", "{^nine: 1.5", "models[0].by_hour.nine: must be a whole number, got 'nine'"),
    ("{9: 1.5", "{9: ^.nan", "models[0].by_hour.9: must be a finite number, got .nan"),
    ("mean_s: 5", "mean_s: ^0", f"{V1}.service.mean_s: must be greater than 0, got 0"),
    ("mean_s: 5", "mean_s: ^fast", f"{V1}.service.mean_s: must be a number, got 'fast'"),
    ("mean_s: 5", "mean_s: ^1e999", f"{V1}.service.mean_s: must be a finite number, got 1e999"),
    ("quality: 0.91", "wait: ^-1", f"{V1}.wait: must be at least 0, got -1"),
    ("quality: 0.91", "wait: ^long", f"{V1}.wait: must be a number or a mapping, got 'long'"),
    ("quality: 0.91", "warm: ^on", f"{V1}.warm: must be true or false, got 'on'"),
    ("2026-11-21", "^2026-13-21", f"{V2}.released: must be a date, such as 2026-01-31, got '2026-13-21'"),
    ("[[0, 1], [60, 2.5]]", "[^[0, 1, 2]]", f"{V2}.service.steps[0]: must have at most 2 items, got 3"),
    ("[60, 2.5]", "[60, ^up]", f"{V2}.service.steps[1][1]: must be a number, got 'up'"),
    ("            - {kind: constant, value_s: 3}\n            -", "            ^-",
     f"{V2}.startup.of: must have at least 2 items, got 1"),
    ("[v1]", "^v1", f"{V2}.parents: must be a list, got 'v1'"),
]  # fmt: skip
KEYS_AND_KINDS = [
    ("name: on", "^nmae: on", 'nmae: unknown key; did you mean "name"'),
    ("seed: 7", "^sow: 7", 'sow: unknown key; known are "name", "seed", "models" and "traffic"'),
    ("seed: 7", "seed: 7\n^name: off", "name: key given twice, first in line 1; keep one"),
    ("seed: 7", "seed: 7\n^seeds: 8", 'seeds: unknown key; known are "name", "seed", "models" and "traffic"'),
    ("{initial: 10, ", "^{", f"{V1}.replicas.initial: missing; must be a whole number, at least 0"),
    ("{kind: exponential, mean_s: 5}", "^{mean_s: 5}", f"{V1}.service.kind: missing; must be {A_KIND}"),
    ("kind: exponential, mean_s: 5", "^knd: constant", f'{V1}.service.knd: unknown key; did you mean "kind"'),
    ("kind: exponential, mean", "kind: ^[], mean", f"{V1}.service.kind: must be {A_KIND}, got an empty list"),
    ("kind: exponential, mean", "kind: ^poisson, mean", f"{V1}.service.kind: unknown kind 'poisson'; must be {A_KIND}"),
    ("{kind: exponential, mean_s: 5}", "^steps",
     f"{V1}.service: must be a mapping with kind {A_KIND}, got 'steps'; write {{ kind: steps }}"),
    ("quality: 0.91", "wait: {kind: constant, ^value: 3}",
     f'{V1}.wait.value: unknown key; did you mean "value_s"'),
]  # fmt: skip
ACROSS = [
    ("{initial: 10, at_least: 2", "^{initial: 10, at_least: 41",
     f"{V1}.replicas: at_least 41 is more than at_most 40; lower it"),
    ("patience_s: 60", "patience_s: ^0", "traffic[0].patience_s: leave it out, or give some"),
    ("  - model: assistant\n    rate_per_s: 1.6667\n    patience_s: 60", "  - ^model: assistant\n    rate_per_s: 101",
     "traffic[0].patience_s: more than 100/s needs patience"),
    ("  - model: assistant", "  - model: ^a", "traffic[0].model: unknown model \"a\"; known are ['assistant']"),
    ("[v1]", "[v1, ^v0]", f'{V2}.parents[1]: unknown version "v0"'),
    ("v2: 1e-1", "^v3: 1e-1", 'models[0].weights.v3: unknown version "v3"'),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), [*VALUES, *KEYS_AND_KINDS, *ACROSS])
def test_one_mistake_is_one_line_at_its_place(old: str, new: str, said: str):
    text, [(line, column)] = marked((old, new))
    assert told(text) == [f"shop.yaml:{line}:{column}: {said}"]


@pytest.mark.parametrize(("text", "what"), [("- a", "a list"), ("a", "'a'"), ("7", "7"), ("[]", "an empty list")])
def test_a_file_is_a_mapping(text: str, what: str):
    assert told(text) == [f"shop.yaml:1:1: must be a mapping, got {what}"]


def test_a_file_reads_as_its_text(tmp_path: Path):
    (tmp_path / "shop.yaml").write_bytes(b"\xef\xbb\xbf" + SHOP.replace("\n", "\r\n").encode())
    assert read(Scenario, tmp_path / "shop.yaml") == parse(Scenario, SHOP)


def places(node: Node, loc: Loc = ()) -> Iterator[tuple[Loc, Node]]:
    yield loc, node
    keys: Iterable[int | str] = node.entries if isinstance(node, Mapping) else ()
    for step in range(len(node.items)) if isinstance(node, List) else keys:
        yield from places(child(node, step), (*loc, step))


SPEC_KEYS = [
    (*loc, key)
    for loc, node in places(compose(SHOP, "").root)
    if isinstance(node, Mapping) and not {"weights", "by_hour"} & set(loc)
    for key in node.entries
]


@pytest.mark.parametrize("loc", SPEC_KEYS, ids=str)
def test_every_misspelt_key_is_one_fault_that_knows_the_right_one(loc: Loc):
    line, column = mark_at(compose(SHOP, "").root, (*loc, KEY))
    lines = SHOP.splitlines(keepends=True)
    lines[line - 1] = f"{lines[line - 1][: column - 1]}x{lines[line - 1][column - 1 :]}"
    [fault] = told("".join(lines))
    assert fault.startswith(f"shop.yaml:{line}:{column}: ")
    assert fault.endswith(f'x{loc[-1]}: unknown key; did you mean "{loc[-1]}"')


SCALARS = [node for _, node in places(compose(SHOP, "").root) if isinstance(node, Scalar)]


@pytest.mark.parametrize("node", SCALARS, ids=lambda node: f"line {node.mark.line}, {node.text}")
def test_every_value_of_the_wrong_shape_is_one_fault_where_it_stands(node: Scalar):
    line, column = node.mark
    lines = SHOP.splitlines(keepends=True)
    lines[line - 1] = f"{lines[line - 1][: column - 1]}[[1]]{lines[line - 1][column - 1 + len(node.text) :]}"
    [fault] = told("".join(lines))
    assert fault.startswith(f"shop.yaml:{line}:{column}: ")
    assert fault.endswith(", got a list")


def mangled(draw: st.DrawFn, text: str) -> str:
    start = draw(st.integers(0, len(text)))
    end = start + draw(st.integers(0, 8))
    lines = text.splitlines(keepends=True) or [""]
    line = draw(st.integers(0, len(lines) - 1))
    token = draw(st.sampled_from([*string.printable, *TOKENS]))
    ways = [
        text[:start],
        text[:start] + token + text[end:],
        text[:start] + token + text[start:],
        text[:start] + draw(st.text(max_size=5)) + text[end:],
        "".join(lines[:line] + lines[line + 1 :]),
        "".join(lines[: line + 1] + lines[line:]),
        "".join([*lines[:line], " ", *lines[line:]]),
        "".join([*lines[:line], lines[line].partition(":")[0], ": ", token, "\n", *lines[line + 1 :]]),
    ]
    return draw(st.sampled_from(ways))


TOKENS = [
    "- ",
    ": ",
    "\n  ",
    "&a ",
    "*a",
    "<<: *a",
    "!!",
    "{}",
    "[]",
    "-1",
    "---\n",
    '"\\UFFFFFFFF"',
    '"\\uDFFF"',
    "%YAML",
]


@st.composite
def mangled_shops(draw: st.DrawFn) -> str:
    text = SHOP
    for _ in range(draw(st.integers(1, 4))):
        text = mangled(draw, text)
    return text


@given(mangled_shops() | st.text())
@settings(max_examples=400, deadline=None)
def test_whatever_is_written_is_a_spec_or_faults_within_the_text(text: str):
    for line in told(text):
        source, row, column, message = line.split(":", 3)
        assert source == "shop.yaml"
        assert 1 <= int(row) <= text.count("\n") + text.count("\r") + 1
        assert 1 <= int(column) <= len(text) + 1
        assert message.strip()


@given(st.binary())
@settings(max_examples=100, deadline=None)
def test_whatever_bytes_a_file_holds_they_are_no_scenario(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=r"^.*bytes.yaml:\d+:\d+: "):
        read(Scenario, path)
