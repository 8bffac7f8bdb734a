"""Time as the daemon knows it: the world's clock for what is written down, a steady one for what must last."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from types import FrameType
from typing import Protocol


class Clock(Protocol):
    def now_s(self) -> float:
        """Unix time; may jump, forwards and back."""
        ...

    def monotonic_s(self) -> float:
        """Time since some moment; never goes back."""
        ...

    def wait(self, seconds: float) -> bool:
        """Let time pass. False, at once, where the clock was told to stop."""
        ...


@dataclass(frozen=True, slots=True)
class WallClock:
    """The machine's own clock; `stopped` ends every wait, of all threads."""

    stopped: Event = field(default_factory=Event)

    def now_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> bool:
        return not self.stopped.wait(max(seconds, 0.0))

    def stop(self) -> None:
        self.stopped.set()

    def stopped_by_signals(self) -> AbstractContextManager[None]:
        return by_signals(self.stop)


@contextmanager
def by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Within, SIGTERM and SIGINT stop a clock and do nothing else. For the main thread."""

    def stopping(_signal: int, _frame: FrameType | None) -> None:
        # The thread that is interrupted may itself hold the lock of what it waits on.
        Thread(target=stop, daemon=True).start()

    before = {number: signal.signal(number, stopping) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
