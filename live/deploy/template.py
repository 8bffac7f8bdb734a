"""Go templates, carried out as Helm does: only what the chart needs, and an error for all else.

What Helm refuses is refused here too, such as a field of something that is not there.
"""

import json
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from live.deploy.syntax import Block, Call, Constant, Fields, Nodes, Operand, Pipeline, Show, TemplateError, parse

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
"""What YAML 1.1, which Kubernetes reads, takes for something else than text."""


def render(templates: Mapping[str, str], context: Mapping[str, Any]) -> dict[str, str]:
    """Name -> text, of all templates whose file's name does not begin with `_`. Raises `TemplateError`."""
    nodes: dict[str, Nodes] = {}
    defined: dict[str, Nodes] = {}
    for name, text in templates.items():
        try:
            nodes[name], more = parse(text)
        except TemplateError as error:
            raise TemplateError(f"{name}: {error}") from None
        defined |= more
    shown = sorted(name for name in nodes if not posixpath.basename(name).startswith("_"))
    return {name: _rendered(name, nodes[name], defined, context) for name in shown}


def _rendered(name: str, nodes: Nodes, defined: Mapping[str, Nodes], context: Mapping[str, Any]) -> str:
    try:
        return _Run(defined, {"$": context}).all(nodes, context)
    except TemplateError as error:
        raise TemplateError(f"{name}: {error}") from None


@dataclass(slots=True)
class _Run:
    """One template being carried out, with its variables, those of inner blocks over those of outer ones."""

    defined: Mapping[str, Nodes]
    variables: dict[str, Any] = field(default_factory=dict)
    outer: "_Run | None" = None

    def all(self, nodes: Nodes, dot: Any) -> str:
        return "".join(self._one(node, dot) for node in nodes)

    def _one(self, node: str | Show | Block, dot: Any) -> str:
        if isinstance(node, str):
            return node
        if isinstance(node, Block):
            return self._block(node, dot)
        value = self._value(node.pipeline, dot)
        return "" if node.pipeline.variable else _text(value)

    def _block(self, block: Block, dot: Any) -> str:
        inner = _Run(self.defined, {}, self)
        over = inner._value(block.over, dot)
        if not over:
            return inner.all(block.otherwise, dot)
        if block.kind == "range":
            return "".join(self._turn(block, key, item) for key, item in _items(over))
        return inner.all(block.body, over if block.kind == "with" else dot)

    def _turn(self, block: Block, key: Any, item: Any) -> str:
        names = block.variables
        values = dict(zip(names, (key, item) if len(names) > 1 else (item,), strict=False))
        return _Run(self.defined, values, self).all(block.body, item)

    def _value(self, pipeline: Pipeline, dot: Any) -> Any:
        value: Any = None
        for i, command in enumerate(pipeline.commands):
            value = self._call(command, dot, () if i == 0 else (value,))
        if pipeline.variable is not None:
            run = self if pipeline.declares else self._holder(pipeline.variable)
            run.variables[pipeline.variable] = value
        return value

    def _call(self, command: Operand, dot: Any, piped: tuple[Any, ...]) -> Any:
        if isinstance(command, Constant):
            return command.value
        if isinstance(command, Fields):
            return self._fields(command, dot)
        operands = [self._call(operand, dot, ()) for operand in command.operands]
        return self._function(command)(*operands, *piped)

    def _function(self, call: Call) -> Callable[..., Any]:
        if call.function == "include":
            return self._include
        if call.function not in FUNCTIONS:
            raise TemplateError(f"function {call.function!r} is not one of {', '.join(sorted(FUNCTIONS))}")
        return FUNCTIONS[call.function]

    def _include(self, name: str, dot: Any) -> str:
        if name not in self.defined:
            raise TemplateError(f"no template {name!r} is defined")
        return _Run(self.defined, {"$": dot}).all(self.defined[name], dot)

    def _fields(self, fields: Fields, dot: Any) -> Any:
        if isinstance(fields.start, Pipeline):
            value = self._value(fields.start, dot)
        else:
            value = dot if fields.start == "." else self._holder(fields.start).variables[fields.start]
        for name in fields.names:
            if not isinstance(value, Mapping):
                raise TemplateError(f".{name}: {value!r} has no fields")
            value = value.get(name)
        return value

    def _holder(self, variable: str) -> "_Run":
        run: _Run | None = self
        while run is not None and variable not in run.variables:
            run = run.outer
        if run is None:
            raise TemplateError(f"variable {variable} is not declared")
        return run


def to_yaml(value: Any, indent: int = 0) -> str:
    """Block style, keys in order, as Helm's `toYaml`."""
    pad = " " * indent
    if isinstance(value, Mapping) and value:
        return "\n".join(f"{pad}{_scalar(key)}:{_below(item, indent)}" for key, item in sorted(value.items()))
    if isinstance(value, (list, tuple)) and value:
        return "\n".join(f"{pad}- {to_yaml(item, indent + 2).lstrip(' ')}" for item in value)
    return pad + _scalar(value)


def _below(value: Any, indent: int) -> str:
    if isinstance(value, Mapping) and value:
        return "\n" + to_yaml(value, indent + 2)
    return "\n" + to_yaml(value, indent) if isinstance(value, (list, tuple)) and value else " " + _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    written = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
    # JSON lets pass some letters that YAML does not.
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in written)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(int(value)) if value == int(value) else repr(value)
    if isinstance(value, str):
        return value
    raise TemplateError(f"{value!r} cannot be shown; toYaml writes it out")


def _items(over: Any) -> Sequence[tuple[Any, Any]]:
    return sorted(over.items()) if isinstance(over, Mapping) else list(enumerate(over))


def _fail(message: str) -> Any:
    raise TemplateError(message)


def _indent(width: int, text: str) -> str:
    return "\n".join(" " * width + line for line in text.split("\n"))


def _printf(form: str, *values: Any) -> str:
    shown = (
        json.dumps(value) if sign == "q" else _text(value) for sign, value in zip(_signs(form), values, strict=True)
    )
    return re.sub("%[sqvd]", "%s", form) % tuple(shown)


def _signs(form: str) -> list[str]:
    return re.findall("(?<!%)%([sqvd])", form)


def _pairs(*items: Any) -> dict[str, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


def _url(address: str) -> dict[str, str]:
    split = urlsplit(address)
    return {"scheme": split.scheme, "host": split.netloc, "hostname": split.hostname or "", "path": split.path}


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "add": lambda *numbers: sum(int(number) for number in numbers),
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "append": lambda items, item: [*items, item],
    "contains": lambda part, text: part in text,
    "default": lambda other, value=None: value or other,
    "dict": _pairs,
    "dir": posixpath.dirname,
    "eq": lambda one, *others: one in others,
    "fail": _fail,
    "get": lambda mapping, key: mapping.get(key, ""),
    "has": lambda item, items: item in items,
    "hasKey": lambda mapping, key: key in mapping,
    "hasPrefix": lambda prefix, text: text.startswith(prefix),
    "index": lambda items, at: items[at],
    "int": lambda number: int(float(number)),
    "last": lambda items: items[-1],
    "list": lambda *items: list(items),
    "lower": str.lower,
    "mul": lambda one, other: int(one) * int(other),
    "ne": lambda one, other: one != other,
    "nindent": lambda width, text: "\n" + _indent(width, text),
    "not": lambda value: not value,
    "or": lambda *values: next((value for value in values if value), values[-1]),
    "printf": _printf,
    "quote": lambda value: json.dumps(_text(value), ensure_ascii=False),
    "sha256sum": lambda text: sha256(text.encode()).hexdigest(),
    "splitList": lambda by, text: text.split(by),
    "ternary": lambda yes, no, which: yes if which else no,
    "toYaml": to_yaml,
    "trimSuffix": lambda suffix, text: text.removesuffix(suffix),
    "trunc": lambda length, text: text[:length],
    "uniq": lambda items: list(dict.fromkeys(items)),
    "urlParse": _url,
}
