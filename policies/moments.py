"""Moments of the calendar and of a policy's clock: ISO date-times in files, seconds in observations."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator

from policies.spec import Seconds


def _with_offset(text: str) -> str:
    """The same text. Raises `ValueError` where it is not an ISO 8601 date and time with its offset from UTC."""
    wanted = "a date and time with its offset, such as 2026-11-24T08:00:00+01:00"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not {wanted}") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC; give {wanted}")
    return text


Moment = Annotated[str, AfterValidator(_with_offset)]
"""An ISO 8601 date and time with its offset from UTC."""

EPOCH: Moment = "1970-01-01T00:00:00Z"
"""What a clock that shows Unix time starts from."""


def unix_s(moment: Moment) -> float:
    return datetime.fromisoformat(moment).timestamp()


def clock_s(moment: Seconds | Moment, starts: Moment) -> float:
    """Seconds on a clock that showed 0 at `starts`; a number is such seconds already."""
    return unix_s(moment) - unix_s(starts) if isinstance(moment, str) else moment
