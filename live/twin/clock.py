"""Clocks of the twin: one that moves only when somebody waits, and the machine's own run faster."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from threading import Event

EPOCH_S = 1_700_000_000.0


@dataclass(slots=True)
class VirtualClock:
    """Time that passes only in `wait`; appointments on the way are kept at their moment, in the order made."""

    epoch_s: float = EPOCH_S
    jumped_s: float = 0.0
    """How far the clock on the wall is off; see `jump`."""
    stopped: bool = False
    _elapsed_s: float = 0.0
    _appointments: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)

    def now_s(self) -> float:
        return self.epoch_s + self._elapsed_s + self.jumped_s

    def monotonic_s(self) -> float:
        return self._elapsed_s

    def true_s(self) -> float:
        """Unix time had nobody touched the clock on the wall."""
        return self.epoch_s + self._elapsed_s

    def wait(self, seconds: float) -> bool:
        if self.stopped:
            return False
        until_s = self._elapsed_s + max(seconds, 0.0)
        while self._appointments and self._appointments[0][0] <= until_s:
            due_s, _, call = heappop(self._appointments)
            # An appointment may wait itself, and so come back later than it was due.
            self._elapsed_s = max(self._elapsed_s, due_s)
            call()
            if self.stopped:
                return False
        self._elapsed_s = max(self._elapsed_s, until_s)
        return True

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call it once that much time has passed."""
        heappush(self._appointments, (self._elapsed_s + max(seconds, 0.0), next(self._order), call))

    def jump(self, seconds: float) -> None:
        """Set the clock on the wall; the steady one does not notice."""
        self.jumped_s += seconds

    def stop(self) -> None:
        self.stopped = True


@dataclass(frozen=True, slots=True)
class Skewed:
    """Another machine's clock: the same time, its clock on the wall set otherwise."""

    clock: VirtualClock
    by_s: float

    def now_s(self) -> float:
        return self.clock.now_s() + self.by_s

    def monotonic_s(self) -> float:
        return self.clock.monotonic_s()

    def wait(self, seconds: float) -> bool:
        return self.clock.wait(seconds)


@dataclass(slots=True)
class FastClock:
    """The machine's clock, `speed` times as fast; a wait takes that much less."""

    speed: float = 1.0
    epoch_s: float = field(default_factory=time.time)
    _began_s: float = field(default_factory=time.monotonic)
    _stopped: Event = field(default_factory=Event)

    def now_s(self) -> float:
        return self.epoch_s + self.monotonic_s()

    def monotonic_s(self) -> float:
        return (time.monotonic() - self._began_s) * self.speed

    def true_s(self) -> float:
        return self.now_s()

    def wait(self, seconds: float) -> bool:
        return not self._stopped.wait(max(seconds, 0.0) / self.speed)

    def stop(self) -> None:
        self._stopped.set()
