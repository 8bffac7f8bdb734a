"""Spec files: YAML read into checked values with every fault at once, written back, and described by a JSON schema."""

from policies.faults import KEY, Fault, Loc, SpecError
from policies.specfile.files import CrossChecked, parse, read, schema, write

__all__ = ["KEY", "CrossChecked", "Fault", "Loc", "SpecError", "parse", "read", "schema", "write"]
