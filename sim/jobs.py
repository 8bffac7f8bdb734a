"""Tasks in processes of their own: the same results, in the order of the tasks, sooner."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

Task_contra = TypeVar("Task_contra", contravariant=True)
Done_co = TypeVar("Done_co", covariant=True)
Task = TypeVar("Task")
Done = TypeVar("Done")

Stopped = Callable[[], bool]
"""Whether to come to an end soon."""
Told = Callable[[float], None]
"""Takes how far a task has come."""

LOOK_EVERY_S = 0.1


class Work(Protocol[Task_contra, Done_co]):
    """What is to be done with a task: a function at the top of a module, so that other processes find it."""

    def __call__(self, task: Task_contra, stopped: Stopped, told: Told, /) -> Done_co: ...


def each(
    work: Work[Task, Done],
    tasks: Sequence[Task],
    jobs: int,
    stopped: Stopped,
    told: Callable[[Sequence[float]], None],
) -> list[Done]:
    """The results of `work` for all tasks, done in up to `jobs` processes at a time, or in this one.

    `told` is called now and then with how far each task has come. Once `stopped` says so, no task begins that has not
    begun, and those that have are asked to stop: the results are fewer then. An error in a task ends all of them and is
    raised here.
    """
    if min(jobs, len(tasks)) <= 1:
        return _in_turn(work, tasks, stopped, told)
    return _at_once(work, tasks, min(jobs, len(tasks)), stopped, told)


def _in_turn(
    work: Work[Task, Done], tasks: Sequence[Task], stopped: Stopped, told: Callable[[Sequence[float]], None]
) -> list[Done]:
    come, done = [0.0] * len(tasks), []

    def note(place: int, far: float) -> None:
        come[place] = far
        told(come)

    for place, task in enumerate(tasks):
        if stopped():
            break
        done.append(work(task, stopped, lambda far, place=place: note(place, far)))  # type: ignore[misc]
    return done


def _at_once(
    work: Work[Task, Done],
    tasks: Sequence[Task],
    jobs: int,
    stopped: Stopped,
    told: Callable[[Sequence[float]], None],
) -> list[Done]:
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # New interpreters, not forks: a notebook has threads, and a fork of those may never wake up.
    context = get_context("spawn")
    come, stop = context.RawArray("d", len(tasks)), context.Event()
    with ProcessPoolExecutor(jobs, context, _begin, (come, stop)) as pool:
        try:
            with _apart():
                futures = [pool.submit(_do, work, task, place) for place, task in enumerate(tasks)]
            _watch(futures, stopped, stop, lambda: told(list(come)))
        except BrokenProcessPool as fault:
            raise RuntimeError("a process for jobs was killed, maybe for want of memory; ask for fewer jobs") from fault
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        done = [future.result() for future in futures if not future.cancelled()]
        return [found for found in done if found is not None]


def _watch(futures: "Sequence[Future[Any]]", stopped: Stopped, stop: Any, told: Callable[[], None]) -> None:
    """Until all have ended, or one in an error, which is raised."""
    from concurrent.futures import FIRST_EXCEPTION, wait

    while True:
        ended, others = wait(futures, LOOK_EVERY_S, FIRST_EXCEPTION)
        for future in ended:
            if not future.cancelled():
                future.result()
        told()
        if not others:
            return
        if stopped() and not stop.is_set():
            stop.set()
            for future in futures:
                future.cancel()


_mine: dict[str, Any] = {}
"""In a process for jobs: what it shares with the one that asked."""


def _begin(come: Any, stop: Any) -> None:
    _mine.update(come=come, stop=stop)


def _do(work: Work[Task, Done], task: Task, place: int) -> Done | None:
    """The result; None where it is too late to begin."""

    def note(far: float) -> None:
        _mine["come"][place] = far

    return None if _mine["stop"].is_set() else work(task, _mine["stop"].is_set, note)


@contextmanager
def _apart() -> Iterator[None]:
    """Processes that begin here neither hear Ctrl-C nor read the main module.

    Ctrl-C goes to all processes of a terminal, and these are told by the one that began them. Spawned processes import
    the main module for what tasks may need of it; ours need nothing, and a script without a guard would run again.
    """
    masks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else set()
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def interruptible() -> Iterator[Stopped]:
    """A first Ctrl-C only makes what this gives say so; a second one breaks off at once.

    Outside the main thread, or where somebody else listens to it, Ctrl-C is left as it is.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    asked: list[int] = []

    def note(number: int, _frame: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
