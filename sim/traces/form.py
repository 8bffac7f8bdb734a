"""The normal form of a trace: requests or counts as arrays, and the file that keeps them."""

import csv
import gzip
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.files import write_whole
from sim.traces.file import Finding, FloatArray, unknown


@dataclass(frozen=True, eq=False)
class Labels:
    """One category for each request: `names[code]`, unknown where the code is -1; names ascend."""

    codes: NDArray[np.int32]
    names: tuple[str, ...]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Labels":
        """White space around a name does not count, and within it counts as one blank."""
        written = {text: " ".join(text.split()) for text in set(texts)}
        names = tuple(sorted({name for name in written.values() if not unknown(name)}))
        place = {name: i for i, name in enumerate(names)}
        code = {text: place.get(name, -1) for text, name in written.items()}
        return cls(np.fromiter((code[text] for text in texts), np.int32, len(texts)), names)

    def texts(self) -> list[str]:
        """The name of each request's category, empty where unknown."""
        names = (*self.names, "")
        return [names[code] for code in self.codes.tolist()]


@dataclass(frozen=True, eq=False, kw_only=True)
class Trace:
    """Requests in order of arrival. Every array has one entry a request; None is a column that the file has not.

    `time_s` counts from the first arrival, which was at `start` (ISO 8601, None if the file has no calendar).
    Amounts are NaN where unknown. `failed` marks the requests that did not succeed.
    """

    name: str
    format: str
    time_s: FloatArray
    start: str | None = None
    version: Labels | None = None
    request_class: Labels | None = None
    service_s: FloatArray | None = None
    patience_s: FloatArray | None = None
    context_tokens: FloatArray | None = None
    generated_tokens: FloatArray | None = None
    failed: NDArray[np.bool_] | None = None
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        _check_times(self.name, self.time_s)
        labels = [labels.codes for labels in (self.version, self.request_class) if labels is not None]
        amounts = (self.service_s, self.patience_s, self.context_tokens, self.generated_tokens, self.failed)
        for array in (*labels, *(amount for amount in amounts if amount is not None)):
            if len(array) != len(self.time_s):
                raise ValueError(f"{self.name}: {len(array)} entries for {len(self.time_s)} requests")

    @property
    def span_s(self) -> float:
        return float(self.time_s[-1])


@dataclass(frozen=True, eq=False, kw_only=True)
class Counts:
    """Numbers of requests: `count[i]` came in the `interval_s` seconds from `time_s[i]` on; absent intervals are
    unknown, not empty. Whether a file stamps the begin or the end of an interval it does not tell; begin is assumed."""

    name: str
    format: str
    time_s: FloatArray
    count: NDArray[np.int64]
    interval_s: float
    start: str | None = None
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        _check_times(self.name, self.time_s)
        if len(self.count) != len(self.time_s) or self.count.min() < 0 or not self.interval_s > 0:
            raise ValueError(f"{self.name}: each time needs a count of at least 0 and an interval above 0 s")

    @property
    def span_s(self) -> float:
        return float(self.time_s[-1]) + self.interval_s


@dataclass(frozen=True, eq=False, kw_only=True)
class LoadTimes:
    """How long replicas took to load a model: `load_s[i]` seconds at `time_s[i]` (from the first load on)."""

    name: str
    format: str
    time_s: FloatArray
    load_s: FloatArray
    container: Labels | None = None
    findings: tuple[Finding, ...] = ()


def _check_times(name: str, time_s: FloatArray) -> None:
    if len(time_s) == 0 or time_s[0] != 0 or not np.isfinite(time_s).all() or np.any(np.diff(time_s) < 0):
        raise ValueError(f"{name}: times must start at 0 and never decrease; sort them and subtract the first")


def service_from_tokens(
    context_tokens: FloatArray,
    generated_tokens: FloatArray,
    prefill_tokens_per_s: float = 10_000.0,
    decode_tokens_per_s: float = 33.0,
    overhead_s: float = 0.05,
) -> FloatArray:
    """Seconds on a replica: overhead + context / prefill rate + generated / decode rate; NaN where tokens are unknown.

    The rates are those of one request at a time on one replica: `prefill_tokens_per_s` reads the prompt,
    `decode_tokens_per_s` is the inverse of the time between two generated tokens, `overhead_s` is what every request
    costs. The defaults are round numbers in the range of a 70-billion-parameter model on an eight-GPU H100 machine
    without batching (Patel et al., Splitwise, ISCA 2024): measure your own. Batching changes both rates.
    """
    return overhead_s + context_tokens / prefill_tokens_per_s + generated_tokens / decode_tokens_per_s


def write_trace(path: str | os.PathLike[str], trace: Trace | Counts) -> None:
    """Our own form, gzip where the name ends in `.gz`; the same trace gives the same bytes, and `read_trace` gives
    back every column exactly. The file appears at once and whole: it is written aside and renamed."""
    columns = _count_columns(trace) if isinstance(trace, Counts) else _request_columns(trace)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    path = Path(path)
    data = text.getvalue().encode()
    write_whole(path, _gzip(data) if path.suffix == ".gz" else data)


def _gzip(data: bytes) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=packed, mtime=0) as file:
        file.write(data)
    return packed.getvalue()


def _figures(values: FloatArray) -> list[str]:
    return ["" if math.isnan(value) else repr(value).removesuffix(".0") for value in values.tolist()]


def _once(text: str | None, rows: int) -> dict[str, list[str]]:
    return {} if text is None else {"start": [text, *[""] * (rows - 1)]}


def _count_columns(counts: Counts) -> dict[str, list[str]]:
    rows = len(counts.time_s)
    interval = _figures(np.full(rows, counts.interval_s))
    figures = {"time_s": _figures(counts.time_s), "count": [str(n) for n in counts.count.tolist()]}
    return {**figures, "interval_s": interval, **_once(counts.start, rows)}


def _request_columns(trace: Trace) -> dict[str, list[str]]:
    labels = {"version": trace.version, "class": trace.request_class}
    values = {
        "service_s": trace.service_s,
        "patience_s": trace.patience_s,
        "context_tokens": trace.context_tokens,
        "generated_tokens": trace.generated_tokens,
    }
    return {
        "time_s": _figures(trace.time_s),
        **{name: column.texts() for name, column in labels.items() if column is not None},
        **{name: _figures(column) for name, column in values.items() if column is not None},
        **({} if trace.failed is None else {"failed": [str(int(lost)) for lost in trace.failed.tolist()]}),
        **_once(trace.start, len(trace.time_s)),
    }
