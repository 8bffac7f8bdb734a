"""Time as the daemon knows it: the world's clock for what is written down, a steady one for what must last."""

import time
from dataclasses import dataclass, field
from threading import Event
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
