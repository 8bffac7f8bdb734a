"""How long replicas took from being wanted to being ready, told from counts alone."""

from collections import deque
from dataclasses import dataclass, field

from policies.loop import Action
from policies.observation import PoolReading


@dataclass(slots=True)
class Startups:
    """Of one pool: replicas that are wanted and not ready yet become ready in the order in which they were wanted.

    A replica that becomes ready between two turns is taken to do so in the middle, so each duration is off by up to
    half a tick. Replicas that come back from a crash are not counted, as nobody wanted them anew.
    """

    longest_s: float
    """After a longer time between two turns nothing is known of those on their way."""
    durations_s: list[float] = field(default_factory=list)
    _wanted_s: deque[float] = field(default_factory=deque)
    _wanted: int | None = None
    _ready: int | None = None
    _last_s: float | None = None

    def see(self, time_s: float, reading: PoolReading, action: Action | None) -> None:
        """One turn: what was read, then what was done."""
        last_s = time_s if self._last_s is None else self._last_s
        if time_s - last_s > self.longest_s or reading.wanted is None or reading.ready is None:
            self._forget()
        if reading.wanted is not None and reading.ready is not None:
            middle_s = (last_s + time_s) / 2
            # Somebody else may have scaled the pool.
            self._want(reading.wanted, middle_s)
            self._become_ready(reading.ready, middle_s)
        if action is not None and action.error is None and action.after is not None:
            self._want(action.after, time_s)
        self._last_s = time_s

    def _forget(self) -> None:
        self._wanted_s.clear()
        self._wanted = self._ready = None

    def _want(self, wanted: int, time_s: float) -> None:
        more = 0 if self._wanted is None else wanted - self._wanted
        self._wanted_s.extend([time_s] * more)
        for _ in range(min(-more, len(self._wanted_s))):
            # The last ones go first.
            self._wanted_s.pop()
        self._wanted = wanted

    def _become_ready(self, ready: int, time_s: float) -> None:
        for _ in range(min(ready - self._ready, len(self._wanted_s)) if self._ready is not None else 0):
            self.durations_s.append(time_s - self._wanted_s.popleft())
        self._ready = ready
