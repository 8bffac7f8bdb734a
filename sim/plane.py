"""The compiled request plane: the `Cluster` port on loops that advance all requests when somebody looks."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from simpy.events import Event

from sim import kernel
from sim.arena import Served
from sim.cluster import Harvest, Keep, OnCrash, Outcome, Requests, kept
from sim.environment import Environment, Phase
from sim.layout import Layout
from sim.requests import Workload
from sim.scenario import Scenario


class Plane:
    """The `Cluster` port, compiled. Law: whoever looks sees what the reference engine would show.

    Raises `UncompiledError` for a model whose queue and balancer have no compiled loop.
    """

    def __init__(
        self, env: Environment, scenario: Scenario, workload: Workload, bounds: Sequence[float], keep: Keep
    ) -> None:
        self._env = env
        self._keep = keep
        self._feeds = workload.feeds
        self._layout = Layout(scenario, bounds, keep.share, workload.chunk)
        self._stations = self._layout.stations
        self._running = False
        self._caught_up_s = -1.0
        env.call(0.0, Phase.COMPLETION, self._run)

    def open(self, pool: int, slots: range, from_s: float) -> None:
        s, placed = self._touch(pool, slots)
        self._stations.open(s, placed, from_s)

    def close(self, pool: int, slots: range) -> None:
        s, placed = self._touch(pool, slots)
        self._stations.close(s, placed, self._env.now)

    def crash(self, pool: int, slots: range, on_crash: OnCrash) -> None:
        s, placed = self._touch(pool, slots)
        now = self._env.now
        self._stations.close(s, placed, now)
        serving = self._stations.integers(s, "busy", placed.stop)
        stopped = [(self._stations.interrupt(s, slot, now), slot) for slot in placed if serving[slot]]
        for request, slot in sorted(stopped, key=lambda stop: stop[0].place):
            self._interrupt(s, pool, request, slot, on_crash)

    def busy(self, pool: int, slots: range) -> int:
        s, placed = self._find(pool, slots)
        return self._stations.busy(s, placed)

    def freed_s(self, pool: int, slots: range) -> float:
        s, placed = self._find(pool, slots)
        return float(self._stations.floats(s, "free", placed.stop)[placed.start :].max())

    def shift(self, request_class: int, weights: Mapping[str, float]) -> None:
        self._catch_up()
        self._layout.route(request_class, weights)

    def look(self, pool: int) -> NDArray[np.int64]:
        self._catch_up()
        return self._layout.counted(pool)

    def harvest(self) -> Harvest:
        self._catch_up()
        self._drain()
        return self._layout.harvest()

    def present(self) -> Requests:
        self._catch_up()
        parts = [part for s in range(len(self._stations.records)) for part in self._stations.present(s)]
        return Requests.together(parts)

    def _run(self, _: Event) -> None:
        """From now on time passes: what control did before belongs to the beginning."""
        self._running = True

    def _catch_up(self) -> None:
        """Advance all requests to now: what happens at this instant comes before whoever looks."""
        now = float(self._env.now)
        if now == self._caught_up_s or not self._running:
            return
        if self._stations.fit():
            self._drain()
            self._layout.room_for_records()
        for kind in self._layout.kinds:
            self._advance(kind, now)
        self._caught_up_s = now

    def _advance(self, kind: int, now: float) -> None:
        layout, arena = self._layout, self._layout.arena
        while True:
            said, which = kernel.advance(
                kind,
                now,
                layout.models,
                self._stations.records,
                layout.sources,
                arena.floats,
                arena.integers,
                layout.counters,
                layout.fine,
                layout.bounds,
                layout.first_bound,
            )
            match said:
                case kernel.DONE:
                    return
                case kernel.REFILL:
                    layout.refill(which, self._feeds[which].take(int(layout.sources[which]["capacity"])))
                case kernel.GROW:
                    self._stations.lengthen(which)
                case kernel.DRAIN:
                    self._drain()

    def _find(self, pool: int, slots: range) -> tuple[int, range]:
        """The station of these slots, and where in its arrays they are."""
        self._catch_up()
        s = self._layout.station_of[pool]
        first = self._stations.slot(s, pool, slots.start)
        return s, range(first, first + len(slots))

    def _touch(self, pool: int, slots: range) -> tuple[int, range]:
        """The same, for slots that are about to change; what follows from it comes when this event is over."""
        self._catch_up()
        self._env.call(self._env.now, Phase.DISPATCH, self._go_on)
        s = self._layout.station_of[pool]
        self._stations.touch(s, slots.stop)
        first = self._stations.slot(s, pool, slots.start)
        return s, range(first, first + len(slots))

    def _go_on(self, _: Event) -> None:
        self._caught_up_s = -1.0

    def _interrupt(self, s: int, pool: int, request: Served, slot: int, on_crash: OnCrash) -> None:
        now = self._env.now
        counted = self._layout.cell(pool, request.request_class)
        counted.interrupt(now - request.start_s)
        if on_crash == "lose":
            counted.fail()
            if kept(request.request_class, request.number, self._keep.share):
                number = slot - self._stations.slot(s, pool, 0)
                self._keep.sink(request.record(pool, number, now, Outcome.FAILED))
            return
        counted.take_back(request.start_s - request.arrival_s)
        counted.wait_again()
        served_s = now - request.start_s if on_crash == "resume" else 0.0
        self._stations.send_back(s, request, request.work_s - served_s)

    def _drain(self) -> None:
        """Hand over the records that the loops have kept."""
        found = self._layout.records()
        if len(found.pool):
            self._keep.sink(found)
