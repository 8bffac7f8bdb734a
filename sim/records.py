"""Records of requests on disk: written as the requests leave, a block at a time, never in memory all at once."""

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.cluster import Keep, Outcome, Requests, kept
from sim.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

BLOCK = 1 << 16
"""So many rows are written at a time, and sorted."""


@dataclass(frozen=True, eq=False)
class Stored:
    """A table in a parquet file; the file is there as long as `owner` is."""

    path: Path
    owner: object = None

    def __call__(self) -> "pd.DataFrame":
        import pandas as pd

        return pd.read_parquet(self.path)

    def save(self, path: Path) -> None:
        """The same table as another file: without writing it again where the file system can do that."""
        try:
            path.hardlink_to(self.path)
        except OSError:
            shutil.copyfile(self.path, path)


class Folder:
    """A hidden temporary folder, gone with this object; beside another path where one is given."""

    def __init__(self, beside: Path | None = None) -> None:
        if beside:
            beside.parent.mkdir(parents=True, exist_ok=True)
        name, parent = (beside.name, beside.parent) if beside else ("poolwright", None)
        self.path = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent))
        weakref.finalize(self, partial(shutil.rmtree, self.path, ignore_errors=True))


@dataclass(frozen=True)
class Wanted:
    """Of which share of the requests records are to be written, and into which folder."""

    share: float
    folder: Path

    def part(self, replication: int) -> Path:
        """The file of one replication."""
        return self.folder / f"{replication}.parquet"


class Recorder:
    """Writes the records of one replication: the requests in the order in which they leave, then those still there."""

    def __init__(self, wanted: Wanted, scenario: Scenario, replication: int) -> None:
        self.keep = Keep(wanted.share, self._take)
        self._table = partial(table, scenario=scenario, replication=replication)
        self._path = wanted.part(replication)
        self._waiting: list[Requests] = []
        self._writer: Any = None

    def close(self, present: Requests) -> None:
        self._flush()
        self._write(_chosen(present, self.keep.share))
        self._writer.close()

    def _take(self, left: Requests) -> None:
        self._waiting.append(left)
        if sum(len(block.number) for block in self._waiting) >= BLOCK:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._write(Requests.together(self._waiting))
            self._waiting.clear()

    def _write(self, requests: Requests) -> None:
        from pyarrow.parquet import ParquetWriter

        order = np.lexsort((requests.number, requests.request_class, requests.leave_s))
        block = self._table(Requests(*(getattr(requests, name)[order] for name in Requests.__slots__)))
        self._writer = self._writer or ParquetWriter(self._path, block.schema)
        if len(block):
            self._writer.write_table(block)


def table(requests: Requests, scenario: Scenario, replication: int) -> "pa.Table":
    """One row for each request; times in seconds, NaN where they were not reached."""
    import pyarrow as pa

    def named(codes: Any, names: Sequence[str]) -> Any:
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int16)), pa.array(names, pa.string()))

    r = requests
    completed = r.outcome == Outcome.COMPLETED
    return pa.table(
        {
            "replication": np.full(len(r.number), replication, dtype=np.int32),
            "request_class": named(r.request_class, [c.name for c in scenario.traffic]),
            "number": r.number,
            "pool": named(r.pool, list(scenario.pools)),
            "arrival_s": r.arrival_s,
            "start_s": r.start_s,
            "leave_s": r.leave_s,
            "wait_s": r.start_s - r.arrival_s,
            "response_s": np.where(completed, r.leave_s - r.arrival_s, np.nan),
            "work_s": r.work_s,
            "outcome": named(r.outcome, [o.name.lower() for o in Outcome]),
            "slot": r.slot,
        }
    )


def joined(wanted: Wanted, replications: Sequence[int]) -> Path:
    """One file of the records of these replications, in this order."""
    from pyarrow.parquet import ParquetFile, ParquetWriter

    whole = wanted.folder / "requests.parquet"
    if len(replications) == 1:
        return wanted.part(replications[0]).rename(whole)
    with ParquetWriter(whole, ParquetFile(wanted.part(replications[0])).schema_arrow) as writer:
        for replication in replications:
            part = ParquetFile(wanted.part(replication))
            for block in range(part.num_row_groups):
                writer.write_table(part.read_row_group(block))
            wanted.part(replication).unlink()
    return whole


def _chosen(requests: Requests, share: float) -> Requests:
    pairs = zip(requests.request_class.tolist(), requests.number.tolist(), strict=True)
    mask = np.array([kept(k, n, share) for k, n in pairs], dtype=bool)
    return Requests(*(getattr(requests, name)[mask] for name in Requests.__slots__))
