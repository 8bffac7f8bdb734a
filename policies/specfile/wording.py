"""What pydantic finds wrong with one value, in words: what it must be, and what was given."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import ErrorDetails

from policies.spec import Name
from policies.specfile.located import Node, Scalar, shown

_BOUNDS = {
    "gt": "greater than {}",
    "ge": "at least {}",
    "lt": "less than {}",
    "le": "at most {}",
    "multiple_of": "a multiple of {}",
}
# Types of core schemas, which are also the first words of the errors' types.
_TYPES = {
    "float": "be a number",
    "int": "be a whole number",
    "str": "be text",
    "string": "be text",
    "bool": "be true or false",
    **dict.fromkeys(("list", "tuple", "set", "frozenset", "frozen_set", "iterable"), "be a list"),
    **dict.fromkeys(("dict", "mapping", "model", "model_attributes", "dataclass"), "be a mapping"),
    **dict.fromkeys(("dataclass-args", "model-fields", "typed-dict"), "be a mapping"),
}
_MUST = {
    **{f"{kind}_{end}": words for kind, words in _TYPES.items() for end in ("type", "parsing")},
    "int_from_float": "be a whole number",
    **dict.fromkeys(("date_type", "date_parsing", "date_from_datetime_parsing"), "be a date, such as 2026-01-31"),
    **dict.fromkeys(("datetime_type", "datetime_parsing", "datetime_from_date_parsing"), "be a date and time"),
    "finite_number": "be a finite number",
    "none_required": "be left empty",
    "greater_than": "be greater than {gt}",
    "greater_than_equal": "be at least {ge}",
    "less_than": "be less than {lt}",
    "less_than_equal": "be at most {le}",
    "multiple_of": "be a multiple of {multiple_of}",
    "string_too_short": "have at least {min_length} characters",
    "string_too_long": "have at most {max_length} characters",
    "string_pattern_mismatch": "match {pattern}",
    "literal_error": "be {expected}",
    "enum": "be {expected}",
}
_SIZES = {"too_short": "have at least {min_length} {things}", "too_long": "have at most {max_length} {things}"}


def sentence(error: ErrorDetails, node: Node | None) -> str:
    """What is wrong with a value and what would be right; a validator's `ValueError` speaks for itself."""
    if error["type"] in ("value_error", "assertion_error"):
        return str(error["ctx"]["error"]) or f"wrong value{given(error, node)}"
    wanted = must(error)
    words = f"must {wanted}" if wanted else error["msg"][:1].lower() + error["msg"][1:].rstrip(".")
    return f"{words}{given(error, node)}"


def must(error: ErrorDetails) -> str | None:
    """What follows "must", such as `be a number`; None where an error has words of its own."""
    facts = {key: _plainly(value) for key, value in error.get("ctx", {}).items()}
    if error["type"] == "string_pattern_mismatch" and facts["pattern"] == _name_pattern():
        return 'be a name of letters, digits, ".", "_" and "-", with a letter or digit at both ends'
    if "expected" in facts:
        facts["expected"] = facts["expected"].replace("'", '"')
    if error["type"] in _SIZES:
        facts["things"] = "entries" if facts["field_type"] == "Dictionary" else "items"
    if template := _MUST.get(error["type"]) or _SIZES.get(error["type"]):
        return template.format_map(facts)
    told = re.search(r"should (.+)", error["msg"])
    return told and told[1]


def misfits(error: ErrorDetails) -> bool:
    """Whether a value is of quite another kind than wanted, rather than of the right kind and wrong."""
    return error["type"].endswith(("_type", "_parsing")) or error["type"] in ("literal_error", "enum")


def given(error: ErrorDetails, node: Node | None) -> str:
    """The end of a sentence: `, got 'fast'`; empty where the value was made by a validator and stands in no file."""
    if error["type"] in _SIZES:
        return f", got {error['ctx']['actual_length']}"
    if node is None:
        return ""
    unquoted = error["type"] == "string_type" and isinstance(node, Scalar) and node.value is not None
    return f", got {shown(node)}{'; put it in quotes' if unquoted else ''}"


def described(schema: Mapping[str, Any]) -> str | None:
    """What a value of a core schema must be, in the form of `must`; None where few words cannot tell."""
    match schema["type"]:
        case "literal":
            return f"be {alternatives(schema['expected'])}"
        case "enum":
            return f"be {alternatives(member.value for member in schema['members'])}"
        case "tagged-union":
            return f"be a mapping with {schema['discriminator']} {alternatives(schema['choices'])}"
        case kind if words := _TYPES.get(kind):
            bounds = [text.format(_plainly(schema[bound])) for bound, text in _BOUNDS.items() if bound in schema]
            return ", ".join([words, " and ".join(bounds)]) if bounds else words
    return None


def either(wants: Iterable[str]) -> str:
    """Several of `must` as one: `be a number or "auto"`."""
    first, *others = dict.fromkeys(wants)
    return _listed([first, *(want.removeprefix("be ") for want in others)], "or")


def alternatives(values: Iterable[Any], last: str = "or") -> str:
    """`"a", "b" or "c"`."""
    return _listed([f'"{value}"' if isinstance(value, str) else str(value) for value in values] or ["nothing"], last)


def _listed(words: list[str], last: str) -> str:
    *first, final = words
    return f"{', '.join(first)} {last} {final}" if first else final


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant. A name without its unit (`rate` for `rate_per_s`) is near."""
    spelt = {name.lower(): name for name in known}
    asked = word.lower().replace("-", "_")
    without_unit = [name for name in spelt if name.startswith(f"{asked}_")]
    near = without_unit or get_close_matches(asked, spelt, n=1)
    return spelt[near[0]] if near else None


def _plainly(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


@cache
def _name_pattern() -> Any:
    schema: Any = TypeAdapter(Name).core_schema
    return schema["pattern"]
