"""SimPy's environment with appointments at exact times and a stated order within one instant."""

import heapq
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import simpy
from simpy.events import Event


class Phase(IntEnum):
    """The order of things that happen at one and the same time."""

    COMPLETION = 1
    """Services end; replicas become ready."""
    DISPATCH = 2
    """Waiting requests take free slots: the slot that has been free longest, then the lowest."""
    PATIENCE = 3
    """Waiting requests give up."""
    ARRIVAL = 4
    CHANGE = 5
    """Replicas crash; traffic shifts."""
    SCRAPE = 6
    TICK = 7
    END = 8


class Environment(simpy.Environment):
    """Ties beyond the phase go to the appointment made first."""

    def at(self, time_s: float, phase: Phase) -> Event:
        """An event that happens at `time_s` itself: SimPy's delays would give now + (time_s - now), which may differ.

        Raises `ValueError` for a time that has passed.
        """
        if time_s < self.now:
            raise ValueError(f"an appointment at {time_s} s, but it is {self.now} s already")
        event = Event(self)
        event._ok = True
        event._value = None
        heapq.heappush(self._queue, (time_s, phase, next(self._eid), event))  # type: ignore[misc]
        return event

    def call(self, time_s: float, phase: Phase, action: Callable[[Event], None]) -> Event:
        """An appointment that runs `action` when its time has come."""
        event = self.at(time_s, phase)
        event.callbacks.append(action)
        return event

    def every(self, step_s: float, phase: Phase, action: Callable[[], object]) -> None:
        """Run `action` at k * step_s for k = 0, 1, 2, ...; it is 0 s now."""
        Recurring(self, step_s, phase, action)

    def run_through(self, time_s: float) -> None:
        """Run everything that happens up to `time_s`, what happens at `time_s` included."""
        self.run(until=self.at(time_s, Phase.END))


class Recurring(Event):
    """One event that happens again and again: half the cost of a process that waits for a new one each time."""

    def __init__(self, env: Environment, step_s: float, phase: Phase, action: Callable[[], object]) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None
        self._step_s = step_s
        self._phase = phase
        self._action = action
        self._each_time: list[Callable[[Any], None]] = [self._happen]
        self._appoint(0)

    def _appoint(self, k: int) -> None:
        self._k = k
        self.callbacks = self._each_time
        heapq.heappush(self.env._queue, (k * self._step_s, self._phase, next(self.env._eid), self))  # type: ignore[misc]

    def _happen(self, _: Event) -> None:
        self._action()
        self._appoint(self._k + 1)
