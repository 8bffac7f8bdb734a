"""Figures as people read them: numbers, shares, times and money, alike in tables, figures and reports."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from sim.intervals import Estimate

UNKNOWN = "-"
NEVER = "never"
"""An infinite time: more requests were never served than a percentile leaves aside."""

DAY_S, HOUR_S, MINUTE_S = 86400.0, 3600.0, 60.0
PREFIXES = ((1e9, " G"), (1e6, " M"), (1e3, " k"))
MOST_DECIMALS = 3


class TimeUnit(NamedTuple):
    """A unit for a time axis."""

    symbol: str
    length_s: float


def number(value: float | None, digits: int = 3) -> str:
    """`12,345`, `6.44`, `0.00123`: whole numbers and what is large in full, the rest to so many digits."""
    if value is None or math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return NEVER
    if value == int(value) or abs(value) >= 10.0**digits:
        return f"{value:,.0f}"
    if abs(value) < 10.0 ** -(digits + 2):
        return f"{value:.{digits}g}"
    return f"{value:,.{_decimals(value, digits)}f}"


def short(value: float) -> str:
    """`950`, `12.3 k`, `4.5 M`: three digits and a prefix, for axes and labels."""
    scale, prefix = next(((s, p) for s, p in PREFIXES if abs(value) >= 0.9995 * s), (1.0, ""))
    return f"{value / scale:.3g}{prefix}"


def seconds(value: float | None, digits: int = 4) -> str:
    """`6.443 s`, `1,204 s`, `never`."""
    return _with_unit(number(value, digits), "s")


def percent(share: float | None) -> str:
    """`62.5 %`, `99.2 %`, `99.95 %`; `95 %`, `100 %` and `0 %` only where it is just that."""
    if share is None or math.isnan(share):
        return UNKNOWN
    if abs(100 * share - round(100 * share)) < 1e-9:
        return f"{100 * share:.0f} %"
    far = 100 * min(abs(share), abs(1 - share))
    decimals = min(max(1, -math.floor(math.log10(far))), MOST_DECIMALS)
    least = 10.0**-decimals
    if far < least / 2:
        return f"< {least:.{decimals}f} %" if share < 0.5 else f"> {100 - least:.{decimals}f} %"
    return f"{100 * share:,.{decimals}f} %"


def usd(value: float | None) -> str:
    """`$1,234.50`; from 100,000 on without cents, and four decimals below a dollar."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    decimals = 0 if abs(value) >= 1e5 else 4 if 0 < abs(value) < 1 else 2
    return f"{'-' * (value < 0)}${abs(value):,.{decimals}f}"


def duration(length_s: float) -> str:
    """`45 s`, `90 s`, `1 h`, `58.4 min`, `16.3 d`: in the largest unit of which there are two, or a whole one."""
    for symbol, unit_s in (("d", DAY_S), ("h", HOUR_S), ("min", MINUTE_S)):
        if length_s >= 2 * unit_s or length_s == unit_s:
            return f"{length_s / unit_s:.3g} {symbol}"
    return f"{length_s:.3g} s"


def clock(time_s: float) -> str:
    """`0:02:15`, `13:00:07.5`, `2 d 04:00:00`: a moment of a run."""
    whole_s = math.floor(time_s)
    days, within_s = divmod(whole_s, int(DAY_S))
    hours, rest_s = divmod(within_s, int(HOUR_S))
    fraction = f"{time_s - whole_s:.1f}"[1:] if time_s - whole_s >= 0.05 else ""
    if fraction == ".0":
        return clock(whole_s + 1.0)
    time = f"{rest_s // 60:02d}:{rest_s % 60:02d}{fraction}"
    return f"{days} d {hours:02d}:{time}" if days else f"{hours}:{time}"


def time_unit(length_s: float) -> TimeUnit:
    """The unit for an axis of this length: the largest of which there are three (of days, four)."""
    units = ((4, TimeUnit("days", DAY_S)), (3, TimeUnit("h", HOUR_S)), (3, TimeUnit("min", MINUTE_S)))
    return next((unit for least, unit in units if length_s >= least * unit.length_s), TimeUnit("s", 1.0))


def estimate(e: Estimate | None, unit: str = "") -> str:
    """`6.443 s [6.353, 6.532]`, `99.2 % [98.9, 99.5]`: a value and its interval; `%` takes shares."""
    value, ends = value_and_interval(e, unit)
    return f"{value} {ends}".rstrip()


def value_and_interval(e: Estimate | None, unit: str = "") -> tuple[str, str]:
    """`estimate` in its two parts; the second is empty where there is no interval, or nothing but infinity in it."""
    if e is None or math.isnan(e.value):
        return UNKNOWN, ""
    if math.isinf(e.value) and math.isinf(e.low):
        return NEVER, ""
    scale = 100.0 if unit == "%" else 1.0
    low, value, high = (scale * x for x in (e.low, e.value, e.high))
    decimals = _decimals_of(value, low, high)
    if math.isnan(low) or math.isnan(high):
        return (percent(e.value) if unit == "%" else _with_unit(number(value, 4), unit)), ""
    exact = (0.0, 100.0) if unit == "%" else (0.0,)
    shown, first, last = (_fixed(x, 0 if x in exact else decimals) for x in (value, low, high))
    return _with_unit(shown, unit), f"[{first}, {last}]"


def listed(words: Iterable[str], last: str = "and") -> str:
    """`a, b and c`."""
    *first, final = words
    return f"{', '.join(first)} {last} {final}" if first else final


def _with_unit(text: str, unit: str) -> str:
    return text if text in (UNKNOWN, NEVER) or not unit else f"{text} {unit}"


def _fixed(value: float, decimals: int) -> str:
    return NEVER if math.isinf(value) else f"{value:,.{decimals}f}"


def _decimals_of(*values: float) -> int:
    """As many decimals as show two digits of half the spread of the finite values, within six digits in all."""
    finite = [v for v in values if math.isfinite(v)]
    largest = max(map(abs, finite), default=0.0)
    half = (max(finite) - min(finite)) / 2 if finite else 0.0
    if not largest:
        return 0
    return min(_decimals(half, 2), _decimals(largest, 6)) if half > 0 else _decimals(largest, 4)


def _decimals(value: float, digits: int) -> int:
    return max(0, digits - 1 - math.floor(math.log10(abs(value))))
