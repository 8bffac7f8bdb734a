"""The journal on disk: each turn is safe before the next begins, files take turns, and memory comes back from them."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fcntl import LOCK_EX, LOCK_NB, flock
from importlib.metadata import version
from io import FileIO
from itertools import takewhile
from logging import getLogger
from pathlib import Path

from live.config import Config
from policies.journal import Gap, Header, JournalError, Record, files, from_line, older, rotated, to_line
from policies.loop import Turn
from policies.observation import Observation
from policies.pool import Pools
from policies.spec import plain

LOG = getLogger(__name__)
HIDDEN = "..."
HEAD = b'{"is":"header",'
WAY_OUT = "move the file away or change journal.path"


def header(config: Config, time_s: float) -> Header:
    """What every file begins with. Values of HTTP headers, which may be secrets, are left out."""
    hidden = dict.fromkeys(config.prometheus.headers, HIDDEN)
    told = replace(config, prometheus=replace(config.prometheus, headers=hidden))
    return Header(
        time_s=time_s,
        version=version("poolwright"),
        policy=plain(config.policy),
        pools=config.pools,
        config=plain(told),
    )


@dataclass(slots=True)
class JournalFile:
    """The journal port on a disk.

    What cannot be written is counted and told, and never stops the loop: replicas that follow the load matter more
    than a record of it. The next line that can be written says how many are missing.
    """

    path: Path
    header: Callable[[], Header]
    """Asked anew for each file, and at each start."""
    rotate_bytes: int
    keep: int
    """Older files that stay."""
    lost_total: int = field(default=0, init=False)
    """Turns that are not in the journal."""
    error: str | None = field(default=None, init=False)
    """Why the last turn is not in it; None where it is."""
    _missing: int = field(default=0, init=False)
    _file: FileIO | None = field(default=None, init=False)
    _lock: FileIO | None = field(default=None, init=False)
    _size: int = field(default=0, init=False)
    """Bytes up to which the file is whole lines."""

    def open(self) -> None:
        """Begin where the last run ended. Raises `JournalError` where this cannot be a journal of ours alone."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.path)
            _check(self.path)
            self._begin()
        except OSError as error:
            self.close()
            raise JournalError(f"{self.path}: journal cannot be written: {_words(error)}; see journal.path") from None
        except JournalError:
            self.close()
            raise

    def write(self, turn: Turn) -> None:
        try:
            self._append(turn)
        except (OSError, ValueError) as error:
            self._lose(_words(error))
        else:
            self._found()

    def close(self) -> None:
        for file in (self._file, self._lock):
            if file is not None:
                file.close()
        self._file = self._lock = None

    def _append(self, turn: Turn) -> None:
        gap = to_line(Gap(self._missing, self.error or "")) if self._missing else b""
        lines = gap + to_line(turn)
        if self._file is None or not _is_at(self._file, self.path):
            self._begin()
        elif self._size + len(lines) > self.rotate_bytes:
            self._rotate()
        self._put(lines)

    def _begin(self) -> None:
        """Open the file, drop a line that a crash has torn, and say what follows depends on."""
        file = FileIO(self.path, "a+")
        try:
            self._size = _whole(file)
            if (torn := file.seek(0, os.SEEK_END) - self._size) > 0:
                LOG.warning("%s: dropped %d bytes of a line that was not finished", self.path, torn)
                file.truncate(self._size)
        except OSError:
            file.close()
            raise
        if self._file is not None:
            self._file.close()
        self._file = file
        self._put(to_line(self.header()))
        _sync_folder(self.path)

    def _put(self, lines: bytes) -> None:
        """All of it, safe on the disk, or nothing of it."""
        assert self._file is not None
        try:
            left = memoryview(lines)
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError:
            self._drop()
            raise
        self._size += len(lines)

    def _drop(self) -> None:
        """After a fault the file is opened anew: what it holds past its last whole line is not known."""
        file, self._file = self._file, None
        assert file is not None
        with suppress(OSError):
            file.truncate(self._size)
        with suppress(OSError):
            file.close()

    def _rotate(self) -> None:
        """Go on in a new file; in the same one where its name cannot be changed."""
        numbers = [number for number, _ in rotated(self.path)]
        try:
            self.path.rename(older(self.path, max(numbers, default=0) + 1))
        except OSError as error:
            LOG.error("%s: cannot be rotated: %s", self.path, _words(error))
            return
        self._begin()
        for _, path in rotated(self.path)[: -self.keep]:
            path.unlink(missing_ok=True)

    def _lose(self, why: str) -> None:
        if self.error != why:
            LOG.error("%s: turns are not written: %s", self.path, why)
        self.lost_total += 1
        self._missing += 1
        self.error = why

    def _found(self) -> None:
        if self._missing:
            LOG.warning("%s: turns are written again; %d are missing", self.path, self._missing)
        self._missing, self.error = 0, None


def remembered(path: Path, pools: Pools, memory_s: float) -> list[Observation]:
    """What was observed of these same pools in the last `memory_s` of the journal, and once before, oldest first."""
    found: list[Observation] = []
    turns = (record.observation for record in _backwards(path) if isinstance(record, Turn))
    for observation in takewhile(lambda observation: observation.pools.keys() == pools.keys(), turns):
        found.append(observation)
        if observation.time_s < found[0].time_s - memory_s:
            break
    return found[::-1]


def _backwards(path: Path) -> Iterator[Record]:
    for file in reversed(files(path)):
        lines = file.read_bytes().split(b"\n")
        # What stands behind the last end of a line was torn by a crash.
        for line in reversed(lines[:-1]):
            try:
                yield from_line(line)
            except JournalError as error:
                LOG.warning("%s: memory ends at a line that cannot be read: %s", file, error)
                return


def _locked(path: Path) -> FileIO:
    """A lock that ends with this process, however it ends."""
    file = FileIO(path.with_name(f"{path.name}.lock"), "w")
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        file.close()
        raise JournalError(f"{path}: another process writes this journal; give each its own journal.path") from None
    return file


def _check(path: Path) -> None:
    """Raises `JournalError` where the file is there and does not begin as a journal does."""
    if not path.exists():
        return
    with path.open("rb") as file:
        first = file.readline()
    # The very first line, too, may have been torn by a crash.
    torn = not first.endswith(b"\n") and HEAD.startswith(first[: len(HEAD)])
    if not torn and not isinstance(_record(first, path), Header):
        raise JournalError(f"{path}:1: a journal begins with a header; {WAY_OUT}")


def _record(line: bytes, path: Path) -> Record:
    try:
        return from_line(line)
    except JournalError as error:
        raise JournalError(f"{path}:1: {error}; {WAY_OUT}") from None


def _is_at(file: FileIO, path: Path) -> bool:
    """Whether the file has still its name; somebody may have moved it away or deleted it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _whole(file: FileIO, step: int = 1 << 16) -> int:
    """Bytes up to the end of the last whole line."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = file.seek(max(0, end - step))
        if (at := file.read(end - start).rfind(b"\n")) >= 0:
            return start + at + 1
        end = start
    return 0


def _sync_folder(path: Path) -> None:
    """A new name in a folder lasts only once the folder is written."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _words(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
