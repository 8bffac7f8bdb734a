"""Traces of real traffic: request logs and count series of several formats, read into one normal form.

A format is known by its columns, whatever their order and whatever stands beside them; header names are compared
without case, blanks and hyphens as `_`. Files are UTF-8 CSV with a header, or JSON lines, plain or gzip (told by
content, not by name); CRLF, a byte order mark and blank lines do no harm. Known are the logs of Alibaba GenTD26,
Azure LLM inference, Mooncake and Qwen-Bailian, count series such as NAB's (`timestamp,value`), and our own form:

    time_s | time | timestamp | arrival_s | arrival_time     seconds (Unix time from 1e9 on), or ISO 8601
    version | model_version | model                          optional, text
    class | request_class                                    optional, text
    service_s | service_time_s | duration_s                  optional, seconds on a replica
    patience_s                                               optional, seconds in the queue before giving up
    context_tokens | input_tokens | prompt_tokens | request_tokens               optional
    generated_tokens | output_tokens | completion_tokens | response_tokens       optional
    failed                                                   optional, 1/0, true/false, yes/no
    start                                                    optional, in the first row: ISO 8601 time of time_s = 0
    count | requests | value, interval_s                     instead of all that: arrivals from this time on

Of several names of one thing the first is taken. A name in `_ms` instead of `_s` is in milliseconds. Empty cells
and `null`, `none`, `nan`, `na`, `n/a` are unknown.

What is done with doubtful rows, each counted in `findings`: a row without a readable time is dropped (if that is
most rows, the file is refused); rows out of order are sorted; an unreadable or negative amount becomes unknown and
its request stays. A request that did not succeed stays too, with its time on a replica, since it held one; its
`failed` mark keeps it out of the statistics of service times. If it held none (0 s), its service time is unknown;
0 s of a successful request is kept. What a log calls execution time may hold more than service, such as the loading
of a model; it is taken as said.
"""

import os
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.traces.file import (
    Finding,
    FloatArray,
    Form,
    Sheet,
    TraceError,
    amounts,
    clock,
    read_sheet,
    some_lines,
    unknown,
)
from sim.traces.form import Counts, Labels, LoadTimes, Trace

SUCCESS = frozenset({"succeed", "succeeded", "success", "successful", "ok", "completed", "finished", "done"})
TRUE = frozenset({"1", "1.0", "true", "t", "yes", "y"})
FALSE = frozenset({"0", "0.0", "false", "f", "no", "n"})
GAP_MEANS = 20.0
CLOCK_SHARE = 0.01

TIMES = ("time_s", "time", "timestamp", "arrival_s", "arrival_time", "time_ms", "timestamp_ms", "arrival_ms")
REQUESTS = {
    "version": ("version", "model_version", "model"),
    "class": ("class", "request_class"),
    "service_s": ("service_s", "service_time_s", "duration_s", "service_ms", "service_time_ms", "duration_ms"),
    "patience_s": ("patience_s", "patience_ms"),
    "context_tokens": ("context_tokens", "input_tokens", "prompt_tokens", "request_tokens"),
    "generated_tokens": ("generated_tokens", "output_tokens", "completion_tokens", "response_tokens"),
    "failed": ("failed",),
}
LENGTHS = {"time_s": ("timestamp",), "context_tokens": ("input_length",), "generated_tokens": ("output_length",)}
GENTD26 = Form(
    "gentd26",
    {
        "time_s": ("gmt_create",),
        "service_s": ("exec_time_seconds",),
        "version": ("checkpoint_model_version_id",),
        "class": ("predict_type",),
        "status": ("predict_status",),
    },
    required=("time_s", "service_s"),
)
AZURE_LLM = Form(
    "azure_llm",
    {"time_s": ("timestamp",), "context_tokens": ("contexttokens",), "generated_tokens": ("generatedtokens",)},
    required=("time_s", "context_tokens", "generated_tokens"),
)
BAILIAN = Form("qwen_bailian", {**LENGTHS, "class": ("type",), "chat": ("chat_id",)}, required=(*LENGTHS, "chat"))
MOONCAKE = Form("mooncake", LENGTHS, required=tuple(LENGTHS), in_ms=frozenset({"time_s"}))
GENTD26_LOAD = Form(
    "gentd26_load",
    {"time_s": ("timestamp_anon",), "load_s": ("value",), "container": ("container_ip",)},
    required=("time_s", "load_s", "container"),
    in_ms=frozenset({"load_s"}),
)
LOAD = Form(
    "load",
    {
        "time_s": TIMES,
        "load_s": ("load_s", "startup_s", "load_ms", "startup_ms"),
        "container": ("container", "replica"),
    },
    required=("time_s", "load_s"),
)
COUNTS = Form(
    "counts",
    {"time_s": TIMES, "start": ("start",), "count": ("count", "requests", "value"), "interval_s": ("interval_s",)},
    required=("time_s", "count"),
    foreign=frozenset(column for columns in REQUESTS.values() for column in columns),
)
POOLWRIGHT = Form("poolwright", {"time_s": TIMES, "start": ("start",), **REQUESTS}, required=("time_s",))
LOAD_FORMS = (GENTD26_LOAD, LOAD)
FORMS = (GENTD26, AZURE_LLM, BAILIAN, MOONCAKE, *LOAD_FORMS, COUNTS, POOLWRIGHT)


def read_trace(path: str | os.PathLike[str]) -> Trace | Counts:
    """Raises TraceError where the file cannot be read, fits no known format, or is mostly unreadable."""
    sheet = read_sheet(Path(path), FORMS)
    if sheet.form in LOAD_FORMS:
        raise TraceError(f"{path}: these are load times ({sheet.form.name}), not requests; read_load_times reads them")
    return _counts(sheet) if sheet.form is COUNTS else _requests(sheet)


def read_load_times(path: str | os.PathLike[str]) -> LoadTimes:
    """GenTD26's `timestamp_anon,value,container_ip` (value in milliseconds; its other series have the same columns,
    so see that the file is one of loading latencies), or a time with `load_s` or `startup_s`. Rows without a load
    time are dropped. Raises TraceError as `read_trace` does."""
    sheet = read_sheet(Path(path), LOAD_FORMS)
    load_s, notes = amounts(sheet, "load_s")
    when = clock(sheet, ~np.isnan(load_s))
    return LoadTimes(
        name=_stem(sheet.path),
        format=sheet.form.name,
        time_s=when.time_s,
        load_s=load_s[when.order],
        container=_labels(sheet, "container", when.order),
        findings=(*when.findings, *notes),
    )


def _requests(sheet: Sheet) -> Trace:
    when = clock(sheet)
    failed, outcomes = _failed(sheet)
    columns, notes = _amounts(sheet)
    idle = _forget_idle_failures(columns.get("service_s"), failed)

    def ordered(name: str) -> FloatArray | None:
        return columns[name][when.order] if name in columns else None

    return Trace(
        name=_stem(sheet.path),
        format=sheet.form.name,
        time_s=when.time_s,
        start=when.start,
        version=_labels(sheet, "version", when.order),
        request_class=_labels(sheet, "class", when.order),
        service_s=ordered("service_s"),
        patience_s=ordered("patience_s"),
        context_tokens=ordered("context_tokens"),
        generated_tokens=ordered("generated_tokens"),
        failed=None if failed is None else failed[when.order],
        findings=(*when.findings, *notes, *outcomes, *idle, *_arrival_findings(when.time_s)),
    )


def _amounts(sheet: Sheet) -> tuple[dict[str, FloatArray], list[Finding]]:
    columns, notes = {}, []
    for name in ("service_s", "patience_s", "context_tokens", "generated_tokens"):
        if name in sheet.cells:
            columns[name], found = amounts(sheet, name)
            notes += found
    for name in ("version", "class"):
        lines = [line for line, cell in zip(sheet.lines, sheet.cells.get(name, ()), strict=False) if unknown(cell)]
        notes += [Finding(f"{name}_missing", len(lines), f"{name} unknown: {some_lines(lines)}")] if lines else []
    return columns, notes


def _labels(sheet: Sheet, name: str, order: NDArray[np.intp]) -> Labels | None:
    cells = sheet.cells.get(name)
    return None if cells is None else Labels.of([cells[i] for i in order.tolist()])


def _failed(sheet: Sheet) -> tuple[NDArray[np.bool_] | None, list[Finding]]:
    """Which rows did not succeed, by the words of `status` or `failed`; an unknown word is no failure."""
    if "status" in sheet.cells:
        words = [cell.strip().lower() for cell in sheet.cells["status"]]
        failed = np.array([not unknown(word) and word not in SUCCESS for word in words], np.bool_)
        outcomes = Counter(word for word, lost in zip(words, failed.tolist(), strict=True) if lost)
        return failed, [
            Finding(f"status_{word}", n, f"requests {word}: kept as arrivals, not in the statistics of service times")
            for word, n in sorted(outcomes.items())
        ]
    if "failed" not in sheet.cells:
        return None, []
    words = [cell.strip().lower() for cell in sheet.cells["failed"]]
    odd = [i for i, word in enumerate(words) if word not in TRUE | FALSE and not unknown(word)]
    failed = np.array([word in TRUE for word in words], np.bool_)
    notes = [("failed", int(failed.sum()), "requests failed: kept as arrivals, not in the statistics of service times")]
    notes += [("failed_unreadable", len(odd), f"taken as succeeded: {some_lines([sheet.lines[i] for i in odd])}")]
    return failed, [Finding(*note) for note in notes if note[1]]


def _forget_idle_failures(service_s: FloatArray | None, failed: NDArray[np.bool_] | None) -> list[Finding]:
    """Make 0 s of a failed request unknown, in place; count those and the zeros of successful ones."""
    if service_s is None:
        return []
    zero = service_s == 0
    idle = zero & failed if failed is not None else np.zeros_like(zero)
    service_s[idle] = np.nan
    return [
        Finding(name, n, text)
        for name, n, text in (
            ("service_s_idle", int(idle.sum()), "failed without a time on a replica, now unknown"),
            ("service_s_zero", int((zero & ~idle).sum()), "succeeded in 0 s, kept: shorter than the clock shows"),
        )
        if n
    ]


def clock_step_s(time_s: FloatArray) -> float | None:
    """The tick of a coarse clock: the shortest time between unequal arrivals, where at least one request in a hundred
    arrives together with the one before; None where arrivals are as good as continuous."""
    steps = np.diff(time_s)
    positive = steps[steps > 0]
    if not len(positive) or np.mean(steps == 0) < CLOCK_SHARE:
        return None
    return float(positive.min())


def _arrival_findings(time_s: FloatArray) -> list[Finding]:
    """Shared times and gaps. A gap is longer than 20 mean interarrival times (a Poisson stream has one in 5e8) and
    than 3 steps of the clock."""
    steps = np.diff(time_s)
    shared = int(np.count_nonzero(steps == 0))
    step_s = clock_step_s(time_s)
    found = [Finding("times_shared", shared, "arrivals at the same time as the one before")] if shared else []
    if step_s is not None:
        found.append(Finding("clock_step_s", step_s, "step of the clock: nothing is known of shorter times"))
    if len(steps):
        limit_s = max(GAP_MEANS * float(steps.mean()), 3 * (step_s or 0.0))
        gaps = int(np.count_nonzero(steps > limit_s))
        at_s = float(time_s[int(steps.argmax())])
        found.append(Finding("gaps", gaps, f"pauses longer than {limit_s:.4g} s, 20 mean interarrival times"))
        found.append(Finding("longest_gap_s", float(steps.max()), f"longest pause, from {at_s:.0f} s on"))
    return found


def _counts(sheet: Sheet) -> Counts:
    count, notes = amounts(sheet, "count")
    lost = np.flatnonzero(count != np.floor(count)).tolist()
    if len(lost) * 2 > len(count):
        raise sheet.error(
            sheet.lines[lost[0]], "count", f"{sheet.cells['count'][lost[0]]!r} is no count; most are such"
        )
    when = clock(sheet, count == np.floor(count))
    fresh = np.append(True, np.diff(when.time_s) > 0)
    time_s = when.time_s[fresh]
    interval_s = _interval_s(sheet, time_s)
    if lost:
        lines = some_lines([sheet.lines[i] for i in lost])
        notes.append(Finding("counts_dropped", len(lost), f"no whole number, dropped: {lines}"))
    if not fresh.all():
        notes.append(Finding("times_repeated", int((~fresh).sum()), "intervals told again, the first telling kept"))
    return Counts(
        name=_stem(sheet.path),
        format=sheet.form.name,
        time_s=time_s,
        count=count[when.order][fresh].astype(np.int64),
        interval_s=interval_s,
        start=when.start,
        findings=(*when.findings, *notes, *_grid_findings(time_s, interval_s)),
    )


def _interval_s(sheet: Sheet, time_s: FloatArray) -> float:
    """As given in the column `interval_s`, or the most frequent distance of two rows."""
    if "interval_s" in sheet.cells:
        values, _ = amounts(sheet, "interval_s")
        given = values[values > 0]
        if len(given):
            return float(given[0])
    if len(time_s) < 2:
        raise sheet.error(sheet.lines[0], "interval_s", "one row does not tell its interval; add a column interval_s")
    steps, times = np.unique(np.diff(time_s).round(6), return_counts=True)
    return float(steps[times.argmax()])


def _grid_findings(time_s: FloatArray, interval_s: float) -> list[Finding]:
    steps = np.diff(time_s) / interval_s
    holes = steps[steps > 1.5]
    absent = int((holes.round() - 1).sum())
    uneven = int(np.count_nonzero(np.abs(steps - steps.round()) > 0.01))
    found = [Finding("interval_s", interval_s, "length of an interval")]
    if absent:
        text = (
            f"intervals without a row (unknown, not 0) in {len(holes)} gaps of up to {holes.max() * interval_s:.0f} s"
        )
        found.append(Finding("intervals_absent", absent, text))
    if uneven:
        found.append(
            Finding("times_uneven", uneven, f"rows not a whole number of {interval_s:g} s after the one before")
        )
    return found


def _stem(path: Path) -> str:
    """The file's name without its endings: `azure` of `azure.csv.gz`."""
    return path.name.split(".")[0] or path.name
