"""Go templates, read: the part of the language that the chart is written in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass


class TemplateError(ValueError):
    """A template that cannot be read or carried out, as Helm could not either, or one that says why it fails."""


@dataclass(frozen=True, slots=True)
class Constant:
    value: object


@dataclass(frozen=True, slots=True)
class Fields:
    """`.a.b`, `$x.a` or `(pipeline).a`: where to begin, and the names from there on."""

    start: "str | Pipeline"
    """A variable with its dollar, `.`, or what stands in parentheses."""
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    operands: "tuple[Operand, ...]"


Operand = Constant | Fields | Call


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each given what the one before it said as its last operand; perhaps kept in a variable."""

    commands: tuple[Operand, ...]
    variable: str | None = None
    declares: bool = False


@dataclass(frozen=True, slots=True)
class Show:
    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Block:
    """`if`, `with` or `range`, and its `else`."""

    kind: str
    over: Pipeline
    variables: tuple[str, ...]
    body: "Nodes"
    otherwise: "Nodes"


Nodes = tuple[str | Show | Block, ...]

_ACTION = re.compile(
    r"\{\{(?P<cut>-(?=\s))?(?P<inside>(?:`[^`]*`|\"(?:\\.|[^\"\\])*\"|/\*.*?\*/|[^`\"])*?)(?P<trim>\s-)?\}\}", re.S
)
_TOKEN = re.compile(
    r"\s*(?:(?P<string>\"(?:\\.|[^\"\\])*\"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<field>\.[A-Za-z_]\w*)|(?P<variable>\$\w*)|(?P<word>[A-Za-z_]\w*)|(?P<sign>:=|[=|(),.]))"
)
_KEPT = {"true": True, "false": False, "nil": None}
_OPENING = ("if", "with", "range", "define")


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    spaced: bool
    """Whether a blank stands before it: `.a .b` are two operands and `.a.b` is one."""


def parse(text: str) -> tuple[Nodes, dict[str, Nodes]]:
    """A template's nodes, and those that it defines by name. Raises `TemplateError`."""
    return _Parser(list(_pieces(text))).whole()


def _pieces(text: str) -> Iterator[str | list[Token]]:
    """Text, cut where the actions beside it say so, and the tokens of each action, in turn."""
    end, trims = 0, False
    for found in _ACTION.finditer(text):
        before = text[end : found.start()]
        before = before.lstrip() if trims else before
        yield before.rstrip() if found["cut"] else before
        if not found["inside"].strip().startswith("/*"):
            yield list(_tokens(found["inside"]))
        end, trims = found.end(), found["trim"] is not None
    yield text[end:].lstrip() if trims else text[end:]


def _tokens(inside: str) -> Iterator[Token]:
    at = 0
    while inside[at:].strip():
        found = _TOKEN.match(inside, at)
        if found is None:
            raise TemplateError(f"cannot read {inside[at:].strip()!r}")
        kind = found.lastgroup or ""
        yield Token(kind, found[kind], found.start(kind) > at or at == 0)
        at = found.end()


class _Parser:
    def __init__(self, pieces: list[str | list[Token]]) -> None:
        self._pieces = pieces[::-1]
        self._defined: dict[str, Nodes] = {}

    def whole(self) -> tuple[Nodes, dict[str, Nodes]]:
        nodes, ended = self._nodes()
        if ended:
            raise TemplateError(f"{ended[0].text!r} without a beginning")
        return nodes, self._defined

    def _nodes(self) -> tuple[Nodes, list[Token]]:
        """Up to `else` or `end`, and those words, or the end of the text."""
        found: list[str | Show | Block] = []
        while self._pieces:
            piece = self._pieces.pop()
            if isinstance(piece, str):
                found += [piece] if piece else []
            elif piece[0].kind == "word" and piece[0].text in ("else", "end"):
                return tuple(found), piece
            elif piece[0].kind == "word" and piece[0].text in _OPENING:
                found += self._opened(piece[0].text, piece[1:])
            else:
                found.append(Show(_Expression(piece).whole()))
        return tuple(found), []

    def _opened(self, kind: str, head: list[Token]) -> list[str | Show | Block]:
        if kind == "define":
            body, _ = self._closed()
            self._defined[str(_literal(head[0].text))] = body
            return []
        variables: tuple[str, ...] = ()
        if kind == "range" and any(token.text == ":=" for token in head):
            at = next(i for i, token in enumerate(head) if token.text == ":=")
            variables, head = tuple(t.text for t in head[:at] if t.kind == "variable"), head[at + 1 :]
        over = _Expression(head).whole()
        body, otherwise = self._closed()
        return [Block(kind, over, variables, body, otherwise)]

    def _closed(self) -> tuple[Nodes, Nodes]:
        """The two parts of a block."""
        body, ended = self._nodes()
        if not ended:
            raise TemplateError("a block without an end")
        if ended[0].text == "end":
            return body, ()
        if len(ended) > 1:
            return body, tuple(self._opened(ended[1].text, ended[2:]))
        otherwise, _ = self._nodes()
        return body, otherwise


class _Expression:
    def __init__(self, tokens: list[Token]) -> None:
        self._left = tokens[::-1]

    def whole(self) -> Pipeline:
        variable, declares = None, False
        if len(self._left) > 1 and self._left[-1].kind == "variable" and self._left[-2].text in (":=", "="):
            variable, declares = self._left.pop().text, self._left.pop().text == ":="
        commands = self._commands()
        if self._left:
            raise TemplateError(f"{self._left[-1].text!r} is one too many")
        return Pipeline(commands, variable, declares)

    def _commands(self) -> tuple[Operand, ...]:
        found = [self._command()]
        while self._next("|"):
            found.append(self._command())
        return tuple(found)

    def _command(self) -> Operand:
        if self._left and self._left[-1].kind == "word" and self._left[-1].text not in _KEPT:
            name, operands = self._left.pop().text, []
            while self._left and self._left[-1].text not in ("|", ")"):
                operands.append(self._operand())
            return Call(name, tuple(operands))
        return self._operand()

    def _operand(self) -> Operand:
        if not self._left:
            raise TemplateError("something is missing at the end of an action")
        token = self._left.pop()
        if token.kind in ("string", "number"):
            return Constant(_literal(token.text))
        if token.kind == "variable":
            return Fields(token.text, self._names())
        if token.kind == "field":
            return Fields(".", (token.text[1:], *self._names()))
        if token.text == ".":
            return Fields(".", ())
        if token.text == "(":
            inside = Pipeline(self._commands())
            if not self._next(")"):
                raise TemplateError("a parenthesis is not closed")
            return Fields(inside, self._names())
        return Constant(_KEPT[token.text]) if token.text in _KEPT else Call(token.text, ())

    def _names(self) -> tuple[str, ...]:
        found = []
        while self._left and self._left[-1].kind == "field" and not self._left[-1].spaced:
            found.append(self._left.pop().text[1:])
        return tuple(found)

    def _next(self, sign: str) -> bool:
        """Whether the sign comes next; if so, it is passed over."""
        if not self._left or self._left[-1].text != sign:
            return False
        self._left.pop()
        return True


def _literal(text: str) -> object:
    if text.startswith("`"):
        return text[1:-1]
    if text.startswith('"'):
        return text[1:-1].encode().decode("unicode_escape")
    return float(text) if "." in text else int(text)
