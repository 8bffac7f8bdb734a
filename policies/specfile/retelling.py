"""Pydantic's errors, retold as faults of a file: each at its place, and one for each mistake."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from policies.faults import KEY, Fault, Loc, Mark, fault
from policies.specfile.located import List, Node, Scalar, child, entries_of, shown
from policies.specfile.wording import alternatives, described, either, given, misfits, must, nearest, sentence

Schema = Mapping[str, Any]
"""A core schema of pydantic. Only with it can the location of an error be followed: it names branches of unions too."""

_ANY: Schema = {"type": "any"}
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
_MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")
_ECHOES = ("default_factory_not_called",)  # it comes only with the error of another field
_WRAPPED_IN = {
    **dict.fromkeys(("definitions", "default", "nullable", "dataclass", "model"), "schema"),
    **dict.fromkeys(("function-before", "function-after", "function-wrap"), "schema"),
    "json-or-python": "json_schema",
    "lax-or-strict": "strict_schema",
}


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error of pydantic, with the steps to it that have not been followed yet."""

    loc: Loc
    error: ErrorDetails


@dataclass(frozen=True, slots=True)
class Spot:
    """A value of the file and the schema that it should follow; no `node` where a validator made the value."""

    node: Node | None
    mark: Mark
    loc: Loc
    schema: Schema
    definitions: Mapping[str, Schema]

    def under(self, schema: Schema) -> "Spot":
        """The same value under another schema, which is freed of all that adds no step to a location."""
        while schema["type"] in _WRAPPED_IN or schema["type"] == "definition-ref":
            if schema["type"] == "definition-ref":
                schema = self.definitions.get(schema["schema_ref"], _ANY)
            else:
                schema = schema[_WRAPPED_IN[schema["type"]]]
        return replace(self, schema=schema)

    def step(self, step: int | str, schema: Schema) -> "Spot":
        node = self.node and child(self.node, step)
        return replace(self, node=node, mark=node.mark if node else self.mark, loc=(*self.loc, step)).under(schema)

    def key(self, key: str) -> "Spot":
        """A key as a value of its own, at its place."""
        entry = entries_of(self.node).get(key)
        mark = entry.mark if entry else self.mark
        return replace(self, node=Scalar(mark, None, key, key), mark=mark, loc=(*self.loc, key), schema=_ANY)

    def as_used(self) -> "Spot":
        """The same value where its alias stands: there it is in the wrong place, though right where it was written."""
        return replace(self, mark=(self.node and self.node.alias) or self.mark)

    def missing(self, name: str, schema: Schema) -> Fault:
        """The fault of a required key that is not there, at the mapping that should have it."""
        wanted = described(self.under(schema).schema)
        return replace(self, loc=(*self.loc, name)).fault(f"missing; must {wanted or 'be given'}")

    def fault(self, message: str) -> Fault:
        return fault(self.mark, self.loc, message)


def retold(error: ValidationError, adapter: TypeAdapter[Any], root: Node) -> Iterator[Fault]:
    """The faults behind a failed validation of the data of `root`."""
    top: Any = adapter.core_schema
    definitions = {schema["ref"]: schema for schema in top.get("definitions", ())}
    spot = Spot(root, root.mark, (), _ANY, definitions).under(top)
    errors = error.errors(include_url=False, include_input=False)
    return _retell(spot, [Complaint(one["loc"], one) for one in errors if one["type"] not in _ECHOES])


Groups = dict[int | str, list[Complaint]]
"""Complaints by the first of their steps, which is taken off."""


def _retell(spot: Spot, complaints: list[Complaint]) -> Iterator[Fault]:
    groups: Groups = {}
    for complaint in complaints:
        if complaint.loc:
            groups.setdefault(complaint.loc[0], []).append(replace(complaint, loc=complaint.loc[1:]))
        elif not _long_enough(spot.node, complaint.error):
            yield _own(spot, complaint.error)
    if groups:
        yield from _BELOW.get(spot.schema["type"], _unfollowed)(spot, groups)


def _long_enough(node: Node | None, error: ErrorDetails) -> bool:
    # A tuple is called too short for its wrong items too, since they are not counted.
    in_tuple = error["type"] == "too_short" and error["ctx"]["field_type"] == "Tuple"
    return in_tuple and isinstance(node, List) and len(node.items) >= error["ctx"]["min_length"]


def _fields(spot: Spot, groups: Groups) -> Iterator[Fault]:
    fields = _schemas_of(spot.schema)
    unknown, missing = _steps(groups, _UNKNOWN), _steps(groups, _MISSING)
    meant: list[str | None] = []
    for key in unknown:
        near = nearest(key, [name for name in fields if name not in meant and name not in entries_of(spot.node)])
        meant.append(near)
        yield spot.key(key).fault(_unknown_key(near, fields))
    for name in missing:
        if name not in meant:
            yield spot.missing(name, fields[name])
    for step in groups:
        if step not in unknown and step not in missing:
            yield from _retell(spot.step(step, fields.get(str(step), _ANY)), groups[step])


def _schemas_of(schema: Schema) -> dict[str, Schema]:
    fields = schema["fields"]
    named = fields.items() if isinstance(fields, dict) else ((field["name"], field) for field in fields)
    return {name: field["schema"] for name, field in named}


def _steps(groups: Groups, types: tuple[str, ...]) -> list[str]:
    """Those steps at which nothing but an error of one of these types is found."""
    return [str(step) for step, (first, *_) in groups.items() if not first.loc and first.error["type"] in types]


def _unknown_key(near: str | None, known: Iterable[str]) -> str:
    return f'unknown key; did you mean "{near}"' if near else f"unknown key; known are {alternatives(known, 'and')}"


def _items(spot: Spot, groups: Groups) -> Iterator[Fault]:
    absent = _steps(groups, _MISSING)
    if absent and isinstance(spot.node, List):
        yield spot.fault(f"must have {len(spot.schema['items_schema'])} items, got {len(spot.node.items)}")
    for step, complaints in groups.items():
        if str(step) not in absent:
            yield from _retell(spot.step(step, _item_schema(spot.schema, int(step))), complaints)


def _item_schema(schema: Schema, index: int) -> Schema:
    items: Any = schema.get("items_schema", _ANY)
    last = schema.get("variadic_item_index", len(items) - 1)
    one: Schema = items[min(index, last)] if isinstance(items, list) else items
    return one


def _values(spot: Spot, groups: Groups) -> Iterator[Fault]:
    for step, complaints in groups.items():
        if wrong_key := [complaint for complaint in complaints if complaint.loc == (KEY,)]:
            yield _own(spot.key(str(step)), wrong_key[0].error)
        value = [complaint for complaint in complaints if complaint.loc != (KEY,)]
        yield from _retell(spot.step(step, spot.schema.get("values_schema", _ANY)), value)


def _tagged(spot: Spot, groups: Groups) -> Iterator[Fault]:
    for tag, complaints in groups.items():
        yield from _retell(spot.under(spot.schema["choices"].get(tag, _ANY)), complaints)


def _union(spot: Spot, groups: Groups) -> Iterator[Fault]:
    """The complaints of the branch that was meant: the one that takes such a value at all, and has least to say."""
    branches = list(zip(_choices(spot, len(groups)), groups.values(), strict=True))
    meant = [branch for branch in branches if not any(_unfit(complaint) for complaint in branch[1])]
    if meant:
        schema, complaints = min(meant, key=lambda branch: len(branch[1]))
        yield from _retell(spot.under(schema), complaints)
    else:
        wants = [_wanted(spot.under(schema).schema, complaint.error) for schema, (complaint, *_) in branches]
        end = given(branches[0][1][0].error, spot.node)
        yield spot.as_used().fault(f"must {either(want for want in wants if want)}{end}")


def _unfit(complaint: Complaint) -> bool:
    return not complaint.loc and misfits(complaint.error)


def _choices(spot: Spot, told: int) -> list[Schema]:
    # Every branch complains, in order, or the union would have been satisfied; branches of one name are told as one.
    choices = [choice[0] if isinstance(choice, tuple) else choice for choice in spot.schema["choices"]]
    return choices if len(choices) == told else [_ANY] * told


def _unfollowed(spot: Spot, groups: Groups) -> Iterator[Fault]:
    """Under a schema of another kind a step is followed where the file has it, and is some branch's name otherwise."""
    for step, complaints in groups.items():
        inner = spot.step(step, _ANY)
        yield from _retell(inner if inner.node else replace(inner, node=spot.node, loc=spot.loc), complaints)


_BELOW: dict[str, Callable[[Spot, Groups], Iterator[Fault]]] = {
    **dict.fromkeys(("dataclass-args", "model-fields", "typed-dict"), _fields),
    **dict.fromkeys(("list", "tuple", "set", "frozenset"), _items),
    "dict": _values,
    "tagged-union": _tagged,
    "union": _union,
}


def _own(spot: Spot, error: ErrorDetails) -> Fault:
    if error["type"] == "union_tag_invalid":
        return _wrong_tag(spot, spot.schema["discriminator"])
    if error["type"] == "union_tag_not_found":
        return _no_tag(spot, spot.schema["discriminator"])
    if not misfits(error):
        return spot.fault(sentence(error, spot.node))
    way_out = _as_mapping(spot.node, spot.schema) if spot.schema["type"] == "tagged-union" else ""
    return spot.as_used().fault(f"must {_wanted(spot.schema, error)}{given(error, spot.node)}{way_out}")


def _as_mapping(node: Node | None, schema: Schema) -> str:
    if isinstance(node, Scalar) and node.text in schema["choices"]:
        return f"; write {{ {schema['discriminator']}: {node.text} }}"
    return ""


def _wanted(schema: Schema, error: ErrorDetails) -> str | None:
    return described(schema) if schema["type"] == "tagged-union" else must(error)


def _wrong_tag(spot: Spot, discriminator: str) -> Fault:
    tag = spot.step(discriminator, _ANY)
    wanted = f"must be {alternatives(spot.schema['choices'])}"
    if not (isinstance(tag.node, Scalar) and isinstance(tag.node.value, str)):
        return tag.fault(f"{wanted}{f', got {shown(tag.node)}' if tag.node else ''}")
    near = nearest(tag.node.text, spot.schema["choices"])
    hint = f'; did you mean "{near}"' if near else ""
    return tag.fault(f"unknown {discriminator} {shown(tag.node)}{hint}; {wanted}")


def _no_tag(spot: Spot, discriminator: str) -> Fault:
    branches = (spot.under(choice).schema for choice in spot.schema["choices"].values())
    known = {name for branch in branches if "fields" in branch for name in _schemas_of(branch)}
    strange = [key for key in entries_of(spot.node) if key not in known]
    if near := nearest(discriminator, strange):
        return spot.key(near).fault(_unknown_key(discriminator, ()))
    wanted = alternatives(spot.schema["choices"])
    return replace(spot, loc=(*spot.loc, discriminator)).fault(f"missing; must be {wanted}")
