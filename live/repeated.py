"""Answers of Prometheus to a query that is put again and again: of the same series only the numbers are read."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from live.prometheus import Labels, Vector, vector

VALUE = re.compile(rb'"value":\[([^,\]]*),"([^"\\]*)"\]')
"""Moment and number of a sample. Inside of a label's value quotes are escaped, so nothing there looks like it."""


@dataclass(frozen=True, slots=True)
class Known:
    """An answer: the text between its numbers, and the series that it has."""

    texts: Sequence[bytes]
    series: Sequence[Labels]


@dataclass(slots=True)
class Repeated:
    """Reads bodies of answers, each by what was asked. The data of an instant vector comes as a `Vector`."""

    parsed: Callable[[bytes], Any]
    _known: dict[str, Known] = field(default_factory=dict)

    def __call__(self, asked: str, data: bytes) -> Any:
        parts = VALUE.split(data)
        texts, moments, numbers = parts[0::3], parts[1::3], parts[2::3]
        known = self._known.get(asked)
        if known is not None and texts == known.texts:
            values = list(map(float, numbers))
            if isfinite(sum(values)):
                return {"status": "success", "data": Vector(float(moments[0]), known.series, values)}
        return self._anew(asked, texts, self.parsed(data))

    def _anew(self, asked: str, texts: Sequence[bytes], body: Any) -> Any:
        """Remember the series of an answer that is whole and of which all samples count."""
        self._known.pop(asked, None)
        if not isinstance(body, dict) or body.get("status") != "success" or body.get("warnings"):
            return body
        try:
            found = vector(body["data"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return body
        if found.values and len(found.values) == len(texts) - 1:
            self._known[asked] = Known(texts, found.series)
        return {**body, "data": found}
