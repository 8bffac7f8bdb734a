"""Every turn is in the journal before the next begins; what could not be written is counted and said."""

import logging
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from live.config import Bounds, Config, JournalSpec, Prometheus, Target
from live.journal import JournalFile, header, remembered
from policies.decision import Decision, Reason
from policies.fixed import FixedSpec
from policies.journal import Gap, Header, JournalError, Record, files, read, to_line
from policies.loop import Turn
from policies.testing import seen, traits

POOLS = {"m/v1": traits()}


def config(path: Path) -> Config:
    return Config(
        prometheus=Prometheus(url="http://prometheus:9090", headers={"Authorization": "Basic c2VjcmV0"}),
        journal=JournalSpec(path=str(path)),
        targets=(Target(model="m", version="v1", name="m-v1", replicas=Bounds(at_most=9)),),
        policy=FixedSpec(replicas={"v1": 3}),
    )


OPENED: list[JournalFile] = []


def journal(path: Path, rotate_bytes: int = 1 << 20, keep: int = 3) -> JournalFile:
    OPENED.append(JournalFile(path, lambda: header(config(path), 5.0), rotate_bytes, keep))
    OPENED[-1].open()
    return OPENED[-1]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def turn(k: int) -> Turn:
    return Turn(seen(k * 10.0, wanted=k), Decision({"m/v1": Reason(k, "as told")}), {})


def written(path: Path) -> list[Record]:
    return list(read(*files(path)))


def turns(path: Path) -> list[Turn]:
    return [record for record in written(path) if isinstance(record, Turn)]


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process grows beyond the size."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def test_turns_come_back_after_a_header_that_knows_the_policy_and_the_pools(path: Path) -> None:
    kept = journal(path)
    kept.write(turn(1))
    kept.write(turn(2))
    first, *rest = written(path)
    assert isinstance(first, Header)
    assert (first.policy, first.pools["m/v1"].at_most) == ({"kind": "fixed", "replicas": {"v1": 3}}, 9)
    assert rest == [turn(1), turn(2)]


def test_no_secret_is_written(path: Path) -> None:
    journal(path)
    assert b"c2VjcmV0" not in path.read_bytes()
    assert b'"Authorization":"..."' in path.read_bytes()


def test_each_start_goes_on_under_a_header_of_its_own(path: Path) -> None:
    for k in (1, 2):
        kept = journal(path)
        kept.write(turn(k))
        kept.close()
    assert [type(record).__name__ for record in written(path)] == ["Header", "Turn", "Header", "Turn"]


def test_what_a_crash_has_torn_is_dropped_and_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = journal(path)
    kept.write(turn(1))
    kept.close()
    with path.open("ab") as file:
        file.write(to_line(turn(2))[:-20])
    journal(path).write(turn(3))
    assert turns(path) == [turn(1), turn(3)]
    assert "bytes of a line that was not finished" in caplog.text


def test_a_first_line_that_was_torn_is_begun_anew(path: Path) -> None:
    path.write_bytes(b'{"is":"hea')
    journal(path).write(turn(1))
    assert [type(record).__name__ for record in written(path)] == ["Header", "Turn"]


@pytest.mark.parametrize("content", [b"dear diary\n", b"dear diary", b'{"a": 1}\n', to_line(turn(1))])
def test_nobody_elses_file_is_touched(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"journal\.jsonl:1: .*; move the file away or change journal\.path"):
        journal(path)
    assert path.read_bytes() == content


def test_two_daemons_do_not_share_a_journal(path: Path) -> None:
    first = journal(path)
    with pytest.raises(JournalError, match="another process writes this journal"):
        journal(path)
    first.close()
    journal(path).close()


def test_a_place_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"journal cannot be written: .*; see journal\.path"):
        journal(tmp_path / "file" / "journal.jsonl")


def test_old_files_go_and_every_file_suffices_by_itself(path: Path) -> None:
    kept = journal(path, rotate_bytes=2000, keep=2)
    for k in range(40):
        kept.write(turn(k))
    found = files(path)
    assert len(found) == 3
    assert all(file.stat().st_size <= 2000 for file in found)
    assert all(isinstance(next(iter(read(file))), Header) for file in found)
    last = turns(path)
    assert last == [turn(k) for k in range(40 - len(last), 40)]


def test_a_full_disk_stops_nothing_and_what_is_missing_is_counted(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = journal(path)
    kept.write(turn(0))
    with full_disk(path.stat().st_size + 30):
        for k in (1, 2, 3):
            kept.write(turn(k))
        assert (kept.lost_total, kept.error) == (3, "file too large")
    kept.write(turn(4))
    assert (kept.lost_total, kept.error) == (3, None)
    found = [record for record in written(path) if not isinstance(record, Header)]
    assert found == [turn(0), Gap(3, "file too large"), turn(4)]
    assert [r.levelname for r in caplog.records if "not written" in r.message] == ["ERROR"]


def test_a_number_that_is_none_is_a_turn_lost_not_a_crash(path: Path) -> None:
    kept = journal(path)
    kept.write(Turn(seen(0.0, queued=float("nan")), Decision(), {}))
    kept.write(turn(1))
    assert kept.lost_total == 1
    assert turns(path) == [turn(1)]


def test_a_file_that_is_taken_away_does_not_end_the_journal(path: Path) -> None:
    kept = journal(path)
    kept.write(turn(1))
    path.unlink()
    for k in range(2, 30):
        kept.write(turn(k))
    assert (kept.lost_total, len(turns(path))) == (0, 28)


WRITER = """
import sys
from pathlib import Path
from live.journal import JournalFile
from policies.decision import Decision
from policies.journal import Header
from policies.loop import Turn
from policies.testing import seen
head = Header(time_s=0.0, version="0", policy={}, pools={}, config={})
journal = JournalFile(Path(sys.argv[1]), lambda: head, 5000, 1000)
journal.open()
for k in range(10**9):
    journal.write(Turn(seen(float(k)), Decision(), {}))
    print(k, flush=True)
"""


def test_kill_minus_nine_loses_nothing_that_was_written(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        last = 0
        while last < 100:
            last = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        told = [last, *(int(line) for line in writer.stdout if line.endswith("\n"))]
    times_s = [turn.observation.time_s for turn in turns(path)]
    assert times_s == [float(k) for k in range(len(times_s))]
    assert len(times_s) > told[-1]


def test_memory_is_what_was_seen_within_it_across_files_and_starts(path: Path) -> None:
    for start in (0, 10):
        kept = journal(path, rotate_bytes=1500, keep=50)
        for k in range(start, start + 10):
            kept.write(turn(k))
        kept.close()
    assert len(files(path)) > 3
    assert [o.time_s for o in remembered(path, POOLS, 125.0)] == [10.0 * k for k in range(6, 20)]


def test_memory_ends_where_the_pools_were_others(path: Path) -> None:
    kept = journal(path)
    kept.write(Turn(seen(0.0, pool="m/v0"), Decision(), {}))
    kept.write(turn(1))
    assert [o.time_s for o in remembered(path, POOLS, 1e9)] == [10.0]


def test_memory_ends_at_a_line_that_cannot_be_read(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = journal(path)
    kept.write(turn(1))
    with path.open("ab") as file:
        file.write(b"rubbish\n")
    kept.write(turn(2))
    with caplog.at_level(logging.WARNING):
        assert [o.time_s for o in remembered(path, POOLS, 1e9)] == [20.0]
    assert "memory ends at a line that cannot be read" in caplog.text


def test_without_a_journal_there_is_no_memory(path: Path) -> None:
    assert remembered(path, POOLS, 1e9) == []
