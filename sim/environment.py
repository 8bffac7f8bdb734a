"""SimPy's environment with appointments at exact times and a stated order within one instant."""

import heapq
from collections.abc import Callable
from enum import IntEnum

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

    def run_through(self, time_s: float) -> None:
        """Run everything that happens up to `time_s`, what happens at `time_s` included."""
        self.run(until=self.at(time_s, Phase.END))
