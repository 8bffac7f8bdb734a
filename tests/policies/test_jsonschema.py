"""Editors show what the docstrings of types and attributes say, those of recursive types too."""

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from policies.catalog import PolicySpec
from policies.spec import STRICT
from policies.specfile.jsonschema import schema


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Pool:
    """Servers and a queue."""

    servers: int
    """How many may serve
    at a time."""
    room: int = 0
    queue: str = "fcfs"
    """Who is next."""


def test_a_docstring_belongs_to_the_attribute_before_it() -> None:
    described = schema(TypeAdapter(Pool), "pool")
    words = {name: field.get("description") for name, field in described["properties"].items()}
    assert words == {"servers": "How many may serve\nat a time.", "room": None, "queue": "Who is next."}
    assert (described["title"], described["description"]) == ("pool", "Servers and a queue.")


def test_a_policy_around_a_policy_is_described_too() -> None:
    described = schema(TypeAdapter(PolicySpec), "policy")["$defs"]["StabilizedSpec"]
    assert described["properties"]["shrink_s"]["description"] == "Never below the greatest wish of this long."
