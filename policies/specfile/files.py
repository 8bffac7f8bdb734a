"""Spec files: YAML read into checked values with every fault at once, written back, and described by a JSON schema."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from io import StringIO
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString

from policies.faults import KEY, Fault, Loc, Mark, SpecError, fault
from policies.spec import plain
from policies.specfile.located import Node, data, mark_at
from policies.specfile.retelling import retold
from policies.specfile.wording import nearest
from policies.specfile.yamltext import compose, mark_of, resolve

__all__ = ["KEY", "CrossChecked", "Fault", "Loc", "SpecError", "parse", "read", "schema", "write"]

T = TypeVar("T")


class CrossChecked(Protocol):
    """A spec, at any depth, that checks what single values cannot show, such as names that must exist elsewhere."""

    def faults(self) -> Iterable[tuple[Loc, str]]:
        """What is wrong, and where, seen from this spec; a `Loc` that ends in `KEY` means the key and not its value."""
        ...


def read(spec_type: type[T], path: str | PathLike[str]) -> T:
    """The spec in a file. Raises `SpecError` with all faults, which include that the file cannot be read."""
    source = str(path)
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise _unread(source, f"no such file{_similar(Path(path))}") from None
    except IsADirectoryError:
        raise _unread(source, "is a directory; name a file in it") from None
    except (OSError, ValueError) as error:
        raise _unread(source, f"cannot be read: {getattr(error, 'strerror', None) or error}".lower()) from None
    return parse(spec_type, _decoded(content, source), source, Path(path).parent)


def parse(spec_type: type[T], text: str, source: str = "<text>", folder: Path | None = None) -> T:
    """The spec in a YAML text. Raises `SpecError` with all faults; `source` is the name before their lines.

    Names of files are resolved from `folder`, which validators find in their context; where it is None they stay.

    Values are taken as strictly as JSON's: no number from text, no text from a number. Faults that specs report
    themselves (`CrossChecked`) are looked for once every value is right.
    """
    document = compose(text, source)
    adapter = _adapter(spec_type)
    context = None if folder is None else {"folder": folder}
    try:
        value: T = adapter.validate_json(json.dumps(data(document.root)), strict=True, context=context)
    except ValidationError as error:
        raise SpecError(source, _distinct([*document.faults, *retold(error, adapter, document.root)])) from None
    found = [_at(document.root, loc, message) for loc, message in _told(value, ())]
    if document.faults or found:
        raise SpecError(source, _distinct([*document.faults, *found]))
    return value


def write(spec: Any) -> str:
    """The YAML text of a spec, without what keeps its default; it reads back equal."""
    yaml = YAML()
    yaml.width = 2**16
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = StringIO()
    yaml.dump(_laid_out(to_jsonable_python(plain(spec))), text)
    return text.getvalue()


def schema(spec_type: type[Any], title: str) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a spec's files, with the docstrings of types and attributes for editors."""
    # Few ever ask for it, and it brings its own reader of sources.
    from policies.specfile import jsonschema

    return jsonschema.schema(_adapter(spec_type), title)


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def _unread(source: str, message: str) -> SpecError:
    return SpecError(source, [fault(Mark(1, 1), (), message)])


def _similar(path: Path) -> str:
    near = nearest(path.name, (entry.name for entry in path.parent.glob("*")))
    return f'; did you mean "{near}"' if near else ""


def _decoded(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        message = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise SpecError(source, [fault(mark_of(before, len(before)), (), message)]) from None


def _told(value: Any, loc: Loc) -> Iterator[tuple[Loc, str]]:
    """What a spec and the specs in it report themselves, seen from the top."""
    inner: list[tuple[int | str, Any]]
    if isinstance(value, Mapping):
        inner = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        inner = list(enumerate(value))
    elif is_dataclass(value):
        inner = [(field.name, getattr(value, field.name)) for field in fields(value)]
    else:
        return
    if callable(faults := getattr(value, "faults", None)):
        yield from (((*loc, *own), message) for own, message in faults())
    for step, item in inner:
        yield from _told(item, (*loc, step))


def _at(root: Node, loc: Loc, message: str) -> Fault:
    return fault(mark_at(root, loc), loc, message)


def _distinct(faults: Iterable[Fault]) -> Iterable[Fault]:
    """Without the repetition of a fault inside an anchored value by each alias of it."""
    first: dict[tuple[int, int, str, str], Fault] = {}
    for one in faults:
        first.setdefault((one.line, one.column, one.field.rpartition(".")[2], one.message), one)
    return first.values()


def _laid_out(value: Any) -> Any:
    """The same values, with lists and small mappings of scalars on one line, and text in quotes where it needs them."""
    if isinstance(value, dict):
        entries = CommentedMap({_quoted(key): _laid_out(item) for key, item in value.items()})
        return _on_one_line(entries, value.values())
    if isinstance(value, list):
        items = CommentedSeq([_laid_out(item) for item in value])
        return _on_one_line(items, value)
    return _quoted(value)


def _on_one_line(collection: Any, items: Iterable[Any]) -> Any:
    if not any(isinstance(item, (dict, list)) for item in items) and len(str(collection)) <= 80:
        collection.fa.set_flow_style()
    return collection


def _quoted(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value and not value.isprintable():  # ruamel.yaml loses U+0085 in every other style
        return DoubleQuotedScalarString(value)
    return value if isinstance(resolve(value), str) else SingleQuotedScalarString(value)
