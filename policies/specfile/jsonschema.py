"""The JSON schema of spec files, with what docstrings say of types and attributes for editors."""

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from textwrap import dedent
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import DataclassSchema


def schema(adapter: TypeAdapter[Any], title: str) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a spec's files."""
    described = adapter.json_schema(schema_generator=_Described)
    _require_tags(described, described.get("$defs", {}))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described, "title": title}


class _Described(GenerateJsonSchema):
    """Attributes' docstrings are read only here: Pydantic would read all sources whenever types are imported."""

    def dataclass_schema(self, schema: DataclassSchema) -> JsonSchemaValue:
        found = super().dataclass_schema(schema)
        for name, words in _attribute_docstrings(schema["cls"]).items():
            found["properties"][name]["description"] = words
        return found


def _attribute_docstrings(cls: type[Any]) -> dict[str, str]:
    """Of a class's own attributes, by name."""
    (tree,) = ast.parse(dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    return {
        attribute.target.id: inspect.cleandoc(words.value.value)
        for attribute, words in pairwise(tree.body)
        if isinstance(attribute, ast.AnnAssign) and isinstance(attribute.target, ast.Name)
        if isinstance(words, ast.Expr) and isinstance(words.value, ast.Constant) and isinstance(words.value.value, str)
    }


def _require_tags(node: Any, definitions: dict[str, Any]) -> None:
    """Make the key that tells the branches of a union apart required in each, as reading does; it has a default."""
    if isinstance(node, dict):
        tag = node.get("discriminator", {})
        for branch in tag.get("mapping", {}).values():
            for reference in _references(branch):
                spec = definitions[reference.removeprefix("#/$defs/")]
                spec["required"] = list(dict.fromkeys([tag["propertyName"], *spec.get("required", ())]))
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _require_tags(inner, definitions)


def _references(branch: Any) -> Iterator[str]:
    """The definitions that a branch stands for: one, or several that share a tag."""
    if isinstance(branch, str):
        yield branch
    for inner in branch.values() if isinstance(branch, dict) else branch if isinstance(branch, list) else ():
        yield from _references(inner)
