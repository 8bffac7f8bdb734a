"""A trace file as columns of text that know their lines: CSV or JSON lines, plain or gzip, told by content."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from policies.faults import InputError

if TYPE_CHECKING:
    import _csv

FloatArray = NDArray[np.float64]
UNKNOWN = frozenset({"", "null", "none", "nan", "na", "n/a"})
UNIX_TIME_FROM_S = 1e9
UNIX_TIME_UNTIL_S = 1e11
SHOWN = 3


class TraceError(InputError):
    """A file that is no trace: `file: what is wrong`, or `file:line:column: field: what is wrong`."""


@dataclass(frozen=True)
class Finding:
    """What one should know of a file: a name for programs, how many (seconds for names in `_s`), and a sentence."""

    name: str
    value: float
    text: str

    def __str__(self) -> str:
        unit = " s" if self.name.endswith("_s") else ""
        return f"{self.value:,g}{unit}: {self.text}"


@dataclass(frozen=True)
class Form:
    """A file format: which columns may hold a field (the first that is there does), the fields it cannot do without,
    those counted in milliseconds (a column named `..._ms` always is), and the columns that speak against it."""

    name: str
    columns: Mapping[str, tuple[str, ...]]
    required: tuple[str, ...]
    in_ms: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()

    def match(self, header: Sequence[str]) -> dict[str, str] | None:
        """Column of each field under this header; None where a required field has none or a foreign column is."""
        if self.foreign.intersection(header):
            return None
        there = {name: next((c for c in columns if c in header), None) for name, columns in self.columns.items()}
        found = {name: column for name, column in there.items() if column is not None}
        return found if all(name in found for name in self.required) else None

    def needs(self) -> str:
        return f"{self.name} ({', '.join(' or '.join(self.columns[name]) for name in self.required)})"


@dataclass(frozen=True)
class Sheet:
    """The fields of a file: `cells[field][i]` is text from line `lines[i]`; `faults` are the lines not understood."""

    path: Path
    form: Form
    text: str
    columns: Mapping[str, str]
    ignored: tuple[str, ...]
    cells: Mapping[str, Sequence[str]]
    lines: Sequence[int]
    faults: tuple[tuple[int, str], ...]

    def error(self, line: int, name: str, complaint: str) -> TraceError:
        return TraceError(f"{self.path}:{line}:{self._place(line, name)}: {name}: {complaint}")

    def _place(self, line: int, name: str) -> int:
        """Where on its line a field begins, counted from 1."""
        text = io.StringIO(self.text, newline=None).readlines()[line - 1]
        if text.lstrip().startswith("{"):
            return max(text.find(f'"{self.columns.get(name, name)}"'), 0) + 1
        header = next(row for row in csv.reader(io.StringIO(self.text)) if any(cell.strip() for cell in row))
        names = [_column(cell) for cell in header]
        before = names.index(self.columns[name]) if name in self.columns else 0
        return 1 + sum(len(cell) + 1 for cell in next(csv.reader([text]), [])[:before])


def read_sheet(path: Path, forms: Sequence[Form]) -> Sheet:
    """The file in the first of `forms` that its columns fit. Raises TraceError where none does or nothing is in it."""
    text = _text(path)
    opening = text.lstrip()[:1]
    if not opening:
        raise TraceError(f"{path}: the file is empty")
    if opening == "[":
        raise TraceError(f"{path}: is a JSON array; write one object a line instead")
    sheet = _from_json(path, text, forms) if opening == "{" else _from_csv(path, text, forms)
    if not sheet.lines and not sheet.faults:
        raise TraceError(f"{path}: there is no row below the header")
    return sheet


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TraceError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TraceError(f"{path}: the gzip stream is damaged ({error}); fetch the file again") from error
    except OSError as error:
        raise TraceError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def _column(name: object) -> str:
    return str(name).strip().lower().replace(" ", "_").replace("-", "_")


def _fit(path: Path, header: Sequence[str], forms: Sequence[Form]) -> tuple[Form, dict[str, str]]:
    for form in forms:
        columns = form.match(header)
        if columns is not None:
            twice = [column for column in columns.values() if header.count(column) > 1]
            if twice:
                raise TraceError(
                    f"{path}: column {twice[0]} is there {header.count(twice[0])} times; rename all but one"
                )
            return form, columns
    known = "; ".join(form.needs() for form in forms)
    raise TraceError(f"{path}: columns {', '.join(header)[:200]} are none of the known formats: {known}")


@dataclass
class _Rows:
    """What has been read so far: the cells row after row, the lines of the rows, and the lines not understood."""

    cells: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, row: Sequence[str]) -> None:
        self.lines.append(line)
        self.cells += row

    def sheet(self, path: Path, text: str, header: Sequence[str], fit: tuple[Form, dict[str, str]]) -> Sheet:
        form, columns = fit
        ignored = tuple(dict.fromkeys(name for name in header if name and name not in columns.values()))
        named = {name: self.cells[i :: len(columns)] for i, name in enumerate(columns)}
        return Sheet(path, form, text, columns, ignored, named, self.lines, tuple(self.faults))


def _from_csv(path: Path, text: str, forms: Sequence[Form]) -> Sheet:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [_column(cell) for cell in next(row for row in reader if any(cell.strip() for cell in row))]
    except csv.Error as error:
        raise TraceError(f"{path}:1:1: header: {error}") from error
    fit = _fit(path, header, forms)
    picks = [header.index(column) for column in fit[1].values()]
    rows = _Rows()
    for line, row in _csv_rows(path, reader, rows.faults, len(header)):
        rows.add(line, [row[i] for i in picks])
    return rows.sheet(path, text, header, fit)


def _csv_rows(
    path: Path, reader: "_csv.Reader", faults: list[tuple[int, str]], width: int
) -> Iterator[tuple[int, list[str]]]:
    """Rows of the header's width with their lines; others go to `faults`, blank ones nowhere. A row that is wrong and
    longer than a line raises TraceError: an open quote has swallowed what follows."""
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            complaint = str(error)
        else:
            if len(row) == width:
                yield line, row
                continue
            if not any(cell.strip() for cell in row):
                continue
            complaint = f"{len(row)} fields under {width} columns"
        if reader.line_num > line:
            raise TraceError(f"{path}:{line}:1: row: a quote opened here is not closed on its line")
        faults.append((line, complaint))


def _from_json(path: Path, text: str, forms: Sequence[Form]) -> Sheet:
    rows = _Rows()
    header: list[str] = []
    picks: list[str] = []
    fit: tuple[Form, dict[str, str]] | None = None
    for line, record in _json_records(text, rows.faults):
        if fit is None:
            header = [_column(key) for key in record]
            fit = _fit(path, header, forms)
            written = dict(zip(header, record, strict=True))
            picks = [written[column] for column in fit[1].values()]
        rows.add(line, [_json_cell(record.get(key)) for key in picks])
    if fit is None:
        raise TraceError(f"{path}:{rows.faults[0][0]}:1: row: {rows.faults[0][1]}; write one JSON object a line")
    return rows.sheet(path, text, header, fit)


def _json_records(text: str, faults: list[tuple[int, str]]) -> Iterator[tuple[int, dict[str, object]]]:
    for line, row in enumerate(io.StringIO(text), 1):
        if not row.strip():
            continue
        try:
            record = json.loads(row)
        except ValueError as error:
            faults.append((line, f"no JSON: {error}"))
            continue
        if isinstance(record, dict):
            yield line, record
        else:
            faults.append((line, "no JSON object"))


def _json_cell(value: object) -> str:
    return "" if value is None else str(value)


def unknown(cell: str) -> bool:
    return cell.strip().lower() in UNKNOWN


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _numbers(sheet: Sheet, name: str) -> FloatArray:
    """The field in its unit (seconds, tokens); NaN where the cell is no finite number."""
    values = np.array([_number(cell) for cell in sheet.cells[name]], np.float64)
    values[~np.isfinite(values)] = np.nan
    in_ms = name in sheet.form.in_ms or sheet.columns[name].endswith("_ms")
    return values / 1000.0 if in_ms else values


def some_lines(lines: Sequence[int]) -> str:
    """`line 3`, `lines 3, 5 and 9`, or the first few of more."""
    shown = [str(line) for line in lines[:SHOWN]]
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return f"line{'s' if len(lines) > 1 else ''} {', '.join(shown)}{more}"


def amounts(sheet: Sheet, name: str) -> tuple[FloatArray, list[Finding]]:
    """The field as numbers of at least 0, NaN where unknown, unreadable or negative, and how often each was so."""
    values = _numbers(sheet, name)
    nan = np.flatnonzero(np.isnan(values)).tolist()
    missing = {i for i in nan if unknown(sheet.cells[name][i])}
    unreadable = [i for i in nan if i not in missing]
    negative = np.flatnonzero(values < 0).tolist()
    values[negative] = np.nan
    kinds = {"missing": sorted(missing), "unreadable": unreadable, "negative": negative}
    return values, [
        Finding(
            f"{name}_{kind}", len(rows), f"{name} {kind}, now unknown: {some_lines([sheet.lines[i] for i in rows])}"
        )
        for kind, rows in kinds.items()
        if rows
    ]


@dataclass(frozen=True)
class Clock:
    """When the rows happened: `order` picks the rows with a readable time, sorted; `time_s` counts from the first."""

    order: NDArray[np.intp]
    time_s: FloatArray
    start: str | None
    findings: tuple[Finding, ...]


def clock(sheet: Sheet, wanted: NDArray[np.bool_] | None = None) -> Clock:
    """Of the wanted rows, or of all. Raises TraceError where more than half of all rows have no readable time."""
    calendar = _has_calendar(sheet)
    seconds = _calendar(sheet) if calendar else _numbers(sheet, "time_s")
    findings = [Finding("rows_read", len(sheet.lines) + len(sheet.faults), "rows below the header")]
    findings += _refuse_or_drop(sheet, np.flatnonzero(np.isnan(seconds)).tolist())
    kept = np.flatnonzero(~np.isnan(seconds) if wanted is None else ~np.isnan(seconds) & wanted)
    if not len(kept):
        raise TraceError(f"{sheet.path}: no row has both a time and a value")
    order = kept[np.argsort(seconds[kept], kind="stable")]
    first = float(seconds[order[0]])
    late = [sheet.lines[i] for i in kept[1:][np.diff(seconds[kept]) < 0].tolist()]
    if late:
        findings.append(Finding("rows_unsorted", len(late), f"earlier than the row before, sorted: {some_lines(late)}"))
    if sheet.ignored:
        findings.append(Finding("columns_ignored", len(sheet.ignored), f"not read: {', '.join(sheet.ignored)[:200]}"))
    if first != 0 and not calendar:
        findings.append(Finding("first_time_s", first, "time of the first row, now 0"))
    start = sheet.cells["time_s"][order[0]].strip() if calendar else _start(sheet, int(order[0]), first)
    return Clock(order, seconds[order] - first, start, tuple(findings))


def _has_calendar(sheet: Sheet) -> bool:
    known = [cell for cell in sheet.cells["time_s"][:1000] if not unknown(cell)]
    numbers = np.array([_number(cell) for cell in known])
    return bool(np.isnan(numbers).sum() * 2 > len(known))


def _calendar(sheet: Sheet) -> FloatArray:
    """Seconds since the earliest row; times without a zone count as UTC."""
    import pandas as pd

    # pandas would read "now" and "today".
    cells = [cell.strip() if cell.strip()[:1].isdigit() else "" for cell in sheet.cells["time_s"]]
    times = pd.to_datetime(pd.Series(cells, dtype=object), format="ISO8601", utc=True, errors="coerce")
    if times.isna().all():
        return np.full(len(cells), np.nan)
    return np.asarray((times - times.min()) / pd.Timedelta(seconds=1), np.float64)


def _start(sheet: Sheet, row: int, first: float) -> str | None:
    """Calendar time of the first row, at `first` seconds: from the column `start`, which tells that of 0 seconds, or
    from Unix time."""
    import pandas as pd

    given = next((cell.strip() for cell in sheet.cells.get("start", ()) if not unknown(cell)), None)
    if first >= UNIX_TIME_UNTIL_S:
        complaint = f"{first:.0f} s is beyond any calendar; name the column time_ms if it counts milliseconds"
        raise sheet.error(sheet.lines[row], "time_s", complaint)
    if given is None:
        return pd.Timestamp(first, unit="s", tz="UTC").isoformat() if first >= UNIX_TIME_FROM_S else None
    zero = pd.to_datetime(given, format="ISO8601", errors="coerce")
    if pd.isna(zero):
        raise sheet.error(sheet.lines[0], "start", f"{given!r} is no ISO 8601 time")
    return given if first == 0 else (zero + pd.Timedelta(seconds=first)).isoformat()


def _refuse_or_drop(sheet: Sheet, timeless: Sequence[int]) -> list[Finding]:
    cells = sheet.cells["time_s"]
    complaints = [(sheet.lines[i], "time_s", f"{cells[i]!r} is neither seconds nor an ISO 8601 time") for i in timeless]
    dropped = sorted([(line, "row", complaint) for line, complaint in sheet.faults] + complaints)
    rows = len(sheet.lines) + len(sheet.faults)
    if len(dropped) * 2 > rows:
        line, name, complaint = dropped[0]
        raise sheet.error(line, name, f"{complaint}; {len(dropped)} of {rows} rows are unreadable")
    if not dropped:
        return []
    shown = "; ".join(f"line {line}: {complaint}" for line, _, complaint in dropped[:SHOWN])
    return [Finding("rows_dropped", len(dropped), f"unreadable, dropped: {shown}{'; ...' * (len(dropped) > SHOWN)}")]
