"""Tasks in other processes: the same results in the same order, errors as they are, and an end when asked for."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from policies.faults import InputError
from sim.jobs import Stopped, Told, each, interruptible


def never() -> bool:
    return False


def silent(_come: Sequence[float]) -> None:
    pass


def squared(task: int, _stopped: Stopped, told: Told) -> tuple[int, int]:
    told(float(task))
    return task * task, os.getpid()


def faulty(task: int, _stopped: Stopped, _told: Told) -> int:
    if task == 2:
        raise InputError("task 2 is no good")
    return task


def endless(task: int, stopped: Stopped, told: Told) -> int:
    told(1.0)
    while not stopped():
        time.sleep(0.01)
    return task


def killed(_task: int, _stopped: Stopped, _told: Told) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# The functions above are found by name in other processes, which do not know the name that pytest gives this module.
HERE = Path(__file__).parent


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.delitem(sys.modules, "test_jobs", raising=False)
    import test_jobs

    return vars(test_jobs)


def test_results_come_in_the_order_of_the_tasks_from_other_processes(importable: dict) -> None:
    come: list[list[float]] = []
    found = each(importable["squared"], range(5), 2, never, lambda far: come.append(list(far)))
    assert [square for square, _ in found] == [0, 1, 4, 9, 16]
    processes = {process for _, process in found}
    assert os.getpid() not in processes
    assert len(processes) <= 2
    assert come[-1] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_one_job_is_done_here() -> None:
    assert each(squared, [3], 8, never, silent) == [(9, os.getpid())]
    assert each(squared, [3, 4], 1, never, silent) == [(9, os.getpid()), (16, os.getpid())]


def test_an_error_in_a_process_is_raised_here(importable: dict) -> None:
    with pytest.raises(InputError, match="task 2 is no good"):
        each(importable["faulty"], range(4), 2, never, silent)


def test_a_process_that_was_killed_is_told(importable: dict) -> None:
    with pytest.raises(RuntimeError, match="a process for jobs was killed"):
        each(importable["killed"], range(2), 2, never, silent)


def test_tasks_end_when_asked_and_those_not_begun_are_left(importable: dict) -> None:
    begun = threading.Event()

    def told(come: Sequence[float]) -> None:
        if sum(come) >= 2:
            begun.set()

    assert each(importable["endless"], range(40), 2, begun.is_set, told)[:2] == [0, 1]


def test_a_first_interrupt_asks_and_a_second_breaks_off() -> None:
    with interruptible() as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_who_listens_already_is_left_alone() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: heard.append(number))
    try:
        with interruptible() as stopped:
            signal.raise_signal(signal.SIGINT)
            assert not stopped()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    script = tmp_path / "study.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from sim.jobs import each\nfrom test_jobs import squared\nprint('read')\n"
        "print([n for n, _ in each(squared, [1, 2, 3], 2, lambda: False, lambda _: None)])\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout == "read\n[1, 4, 9]\n"
