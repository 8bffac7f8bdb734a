"""When a line of a crontab comes due: last, and next."""

from datetime import UTC, datetime
from difflib import get_close_matches
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

FIELDS = ("minute", "hour", "day of month", "month", "day of week")


class Due(NamedTuple):
    """Unix times of the last due time so far and of the next; None where there is none within 50 years."""

    last_s: float | None
    next_s: float | None


def zone(name: str) -> ZoneInfo:
    """Raises `ValueError` for what is no time zone."""
    try:
        return ZoneInfo(name)
    # The name of a folder of zones is opened as a file.
    except (KeyError, ValueError, OSError):
        near = get_close_matches(name, available_timezones(), 1)
        meant = f"did you mean {near[0]}" if near else "name one as in Europe/Berlin, or UTC"
        raise ValueError(f"{name!r} is no time zone; {meant}") from None


def check_line(line: str) -> str:
    """The same line. Raises `ValueError` where it is not five fields that come due again and again."""
    if len(line.split()) != len(FIELDS):
        raise ValueError(f"{line!r} must have five fields ({', '.join(FIELDS)}), as in 0 8 * * 1-5")
    try:
        found = next(CronSim(line, datetime(2000, 1, 1, tzinfo=UTC)), None)
    except CronSimError as fault:
        raise ValueError(f"{line!r}: {str(fault).lower()}; the fields are {', '.join(FIELDS)}") from None
    if found is None:
        raise ValueError(f"{line!r} never comes due")
    return line


def due(line: str, place: ZoneInfo, now_s: float) -> Due:
    """The last due time at or before Unix time `now_s`, and the first after it.

    Daylight saving as in Debian's cron: a time that the clock jumps over is due when it has jumped, one that it
    passes twice the first time only. Lines whose minute or hour begins with a star go by elapsed time instead.
    """
    now = datetime.fromtimestamp(now_s // 1, UTC).astimezone(place)
    # Counted on the clock's face: an hour that comes twice leads back too far, never not far enough.
    last = next(CronSim(line, now, reverse=True), None)
    coming = CronSim(line, last or now)
    last_s = None if last is None else last.timestamp()
    for moment in coming:
        if moment.timestamp() > now_s:
            return Due(last_s, moment.timestamp())
        last_s = moment.timestamp()
    return Due(last_s, None)
