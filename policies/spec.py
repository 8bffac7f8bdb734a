"""The checked value types that scenario, policy and configuration files are made of."""

from dataclasses import MISSING, fields
from dataclasses import Field as DataclassField
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

# Every spec is `@dataclass(frozen=True, kw_only=True, config=STRICT)` of pydantic.dataclasses.
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=63)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
InnerFraction = Annotated[float, Field(gt=0, lt=1)]
Seconds = Annotated[float, Field(ge=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
AList = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
"""On a tuple that stands behind a validator of its own: there a file's list comes as a Python list."""
NonNegative = Annotated[float, Field(ge=0)]


def plain(value: Any) -> Any:
    """A spec as nested dicts, lists and scalars, without the fields that keep their defaults; fit for YAML or JSON."""
    if hasattr(value, "__dataclass_fields__"):
        written = {f.name: getattr(value, f.name) for f in fields(value)}
        kept = (f for f in fields(value) if f.name == "kind" or written[f.name] != _default(f))
        return {f.name: plain(written[f.name]) for f in kept}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _default(field: "DataclassField[Any]") -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
