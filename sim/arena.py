"""The state of the compiled plane's stations: where each array lies, how it grows, what control changes in it."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim import kernel
from sim.cluster import Outcome, Requests
from sim.kernel import ABSENT, BALANCED, FCFS, ORDERED, SHARED, STATION, key_of, pass_time, waits

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SLOT_FLOATS = ("free", "slot_arrival", "slot_start", "slot_work")
SLOT_INTEGERS = ("busy", "is_open", "slot_class", "slot_number", "slot_place", "slot_home", "loser", "loser_slot")
QUEUE_FLOATS = ("q_arrival", "q_deadline", "q_key")
QUEUE_INTEGERS = ("q_class", "q_number", "q_place", "q_home", "heap", "where", "patience", "patience_where", "unused")
LINE_INTEGERS = ("q_class", "q_number", "q_place", "patience", "patience_where", "unused", "q_next", "q_prev", "q_line")
REPLICA_INTEGERS = ("r_load", "r_chosen", "r_ready", "r_serving", "r_pending", "ready_list", "pending_list")
RING = 1 << 8
REPLICAS = 1 << 4
"""So many places in a queue, and of replicas in a pool, are there at the beginning; both are doubled at need."""


@dataclass(frozen=True, slots=True)
class Served:
    """A request that was in service."""

    arrival_s: float
    start_s: float
    work_s: float
    request_class: int
    number: int
    place: int
    home: int

    def record(self, pool: int, slot: int, leave_s: float, outcome: Outcome) -> Requests:
        """Of its leaving."""
        return _requests(
            request_class=np.array([self.request_class]),
            number=np.array([self.number]),
            pool=np.array([pool]),
            arrival_s=np.array([self.arrival_s]),
            start_s=np.array([self.start_s]),
            work_s=np.array([self.work_s]),
            slot=np.array([slot]),
            leave_s=leave_s,
            outcome=outcome,
        )


def _requests(
    *,
    request_class: Ints,
    number: Ints,
    pool: Ints,
    arrival_s: Floats,
    start_s: Floats,
    work_s: Floats,
    slot: Ints,
    leave_s: float = np.nan,
    outcome: Outcome = Outcome.PRESENT,
) -> Requests:
    """Requests that all left at one moment in one way, or are all still there."""
    return Requests(
        request_class=request_class.astype(np.int16),
        number=number,
        pool=pool.astype(np.int16),
        arrival_s=arrival_s,
        start_s=start_s,
        leave_s=np.full(len(number), leave_s),
        work_s=work_s,
        outcome=np.full(len(number), outcome, dtype=np.int8),
        slot=slot.astype(np.int32),
    )


class Arena:
    """Two flat arrays that grow; what was given a place in them keeps it."""

    def __init__(self) -> None:
        self.floats: Floats = np.zeros(1 << 12)
        self.integers: Ints = np.zeros(1 << 12, dtype=np.int64)
        self._floats_used = 0
        self._integers_used = SHARED

    def put_floats(self, values: Floats) -> int:
        """Give these values a place, and tell it."""
        first, self._floats_used = self._floats_used, self._floats_used + len(values)
        self.floats = _at_least(self.floats, self._floats_used)
        self.floats[first : self._floats_used] = values
        return first

    def put_integers(self, values: Ints) -> int:
        """Give these values a place, and tell it."""
        first, self._integers_used = self._integers_used, self._integers_used + len(values)
        self.integers = _at_least(self.integers, self._integers_used)
        self.integers[first : self._integers_used] = values
        return first


def _at_least(array: NDArray[Any], size: int) -> NDArray[Any]:
    if size <= len(array):
        return array
    grown = np.zeros(max(size, 2 * len(array)), dtype=array.dtype)
    grown[: len(array)] = array
    return grown


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a station is to be."""

    kind: int
    pool: int
    """Its first pool."""
    pools: int
    works: int
    """So many works does each of its requests bring: one for each version that may serve it."""
    spread: int
    """Slots of a replica."""
    room: int | None
    rule: int
    balancer: int
    sharing: bool
    weights: Floats
    """Of each class."""


class Stations:
    """All stations: `records` tells where their arrays lie in the arena."""

    def __init__(self, arena: Arena, number: int, classes: int) -> None:
        self.records: NDArray[Any] = np.zeros(number, dtype=STATION)
        self._arena = arena
        self._classes = classes
        self._changed: set[int] = set()

    def begin(self, s: int, plan: Plan) -> None:
        station = self.records[s]
        for f in fields(plan):
            if f.name not in ("room", "weights"):
                station[f.name] = getattr(plan, f.name)
        station["limited"], station["room"] = plan.room is not None, 1 << 62 if plan.room is None else plan.room
        station["last_chosen"] = -1
        for name in ("leave_head", "leave_count"):
            station[name] = self._arena.put_integers(np.zeros(self._classes + 1, dtype=np.int64))
        station["tags"] = self._arena.put_floats(np.concatenate([np.zeros(self._classes), plan.weights]))
        self._reserve_slots(s, REPLICAS)
        self._reserve_queue(s, RING)

    def floats(self, s: int, name: str, count: int) -> Floats:
        """The first `count` entries of an array, not a copy."""
        first = int(self.records[s][name])
        return self._arena.floats[first : first + count]

    def integers(self, s: int, name: str, count: int) -> Ints:
        """The first `count` entries of an array, not a copy."""
        first = int(self.records[s][name])
        return self._arena.integers[first : first + count]

    def slot(self, s: int, pool: int, number: int) -> int:
        """Where in the station's arrays a pool's slot is."""
        return (pool - int(self.records[s]["pool"])) * int(self.records[s]["per_pool"]) + number

    def touch(self, s: int, number: int) -> None:
        """Slots are about to change: make place for those up to and without `number` in each pool."""
        self._changed.add(s)
        replicas, spread = int(self.records[s]["replicas"]), int(self.records[s]["spread"])
        needed = -(-number // spread)
        if needed > replicas:
            self._reserve_slots(s, 1 << (needed - 1).bit_length())

    def open(self, s: int, slots: range, from_s: float) -> None:
        """Let these slots, by their place in the station's arrays, serve from now or later on."""
        self.floats(s, "free", slots.stop)[slots.start :] = from_s
        self.integers(s, "is_open", slots.stop)[slots.start :] = 1
        for r in self._replicas(s, slots):
            for name, value in (("r_load", ABSENT), ("r_chosen", -1), ("r_ready", 0)):
                self.integers(s, name, r + 1)[r] = value
            for name, time_s in (("r_virtual", 0.0), ("r_changed", from_s)):
                self.floats(s, name, r + 1)[r] = time_s

    def close(self, s: int, slots: range, now_s: float) -> None:
        """Let them take no more requests."""
        self.integers(s, "is_open", slots.stop)[slots.start :] = 0
        for r in self._replicas(s, slots):
            self.integers(s, "r_load", r + 1)[r] += ABSENT * self.integers(s, "r_ready", r + 1)[r]
            self.integers(s, "r_ready", r + 1)[r] = 0
            if self.records[s]["sharing"]:
                pass_time(s, self.records, self._arena.floats, self._arena.integers, r, now_s)

    def busy(self, s: int, slots: range) -> int:
        """How many of them serve; where replicas have lines of their own, those who wait there too."""
        if len(replicas := self._replicas(s, slots)):
            return int((self.integers(s, "r_load", replicas.stop)[replicas.start :] % ABSENT).sum())
        return int(self.integers(s, "busy", slots.stop)[slots.start :].sum())

    def _replicas(self, s: int, slots: range) -> range:
        """The replicas that these slots are of, where that matters."""
        spread = int(self.records[s]["spread"])
        balanced = self.records[s]["kind"] == BALANCED
        return range(slots.start // spread, slots.stop // spread) if balanced else range(0)

    def fit(self) -> bool:
        """Let trees be as large as need be after slots were opened or closed; whether any were."""
        changed, self._changed = self._changed, set()
        for s in changed:
            station = self.records[s]
            capacity = int(station["capacity"])
            used = np.flatnonzero(self.integers(s, "is_open", capacity) | self.integers(s, "busy", capacity))
            needed = int(used[-1]) + 1 if len(used) else 1
            station["leaves"] = max(2, 1 << (needed - 1).bit_length())
            station["dirty"] = 1
        return bool(changed)

    def lengthen(self, s: int) -> None:
        """Twice as many places in the queue."""
        if self.records[s]["kind"] == FCFS:
            self._straighten(s)
        self._reserve_queue(s, 2 * int(self.records[s]["ring_capacity"]))

    def interrupt(self, s: int, slot: int, now_s: float) -> Served:
        """Take the request out of a slot in mid-service."""
        self.integers(s, "busy", slot + 1)[slot] = 0
        self.floats(s, "free", slot + 1)[slot] = now_s
        floats = [float(self.floats(s, f"slot_{name}", slot + 1)[slot]) for name in ("arrival", "start", "work")]
        integers = [
            int(self.integers(s, f"slot_{name}", slot + 1)[slot]) for name in ("class", "number", "place", "home")
        ]
        return Served(*floats, *integers)  # type: ignore[arg-type]

    def send_back(self, s: int, request: Served, work_s: float) -> None:
        """Put a request that was in service into the queue again, to wait as long as it takes."""
        if self.records[s]["queued"] == self.records[s]["ring_capacity"]:
            self.lengthen(s)
        if self.records[s]["kind"] == FCFS:
            self._insert(s, request, work_s)
            return
        at = (s, self.records, self._arena.floats, self._arena.integers)
        key = key_of(*at, request.request_class, request.place, work_s, request.arrival_s)
        named = (request.request_class, request.number, request.place, request.home)
        entry = waits(*at, request.arrival_s, np.inf, key, *named)
        self._arena.floats[int(self.records[s]["q_work"]) + entry] = work_s

    def present(self, s: int) -> tuple[Requests, Requests]:
        """Those who wait, and those in service."""
        return self._in_queue(s), self._in_service(s)

    def _in_queue(self, s: int) -> Requests:
        station = self.records[s]
        queued, ring, pool = (int(station[name]) for name in ("queued", "ring_capacity", "pool"))
        match station["kind"]:
            case kernel.FCFS:
                at = (int(station["head"]) + np.arange(queued)) & (ring - 1)
            case kernel.ORDERED:
                at = self.integers(s, "heap", queued)
            case _:
                at = np.setdiff1d(np.arange(ring), self.integers(s, "unused", ring)[queued:])
        home = self.integers(s, "q_home", ring)[at] if station["kind"] == ORDERED else np.full(queued, pool)
        works = self.floats(s, "q_work", ring * int(station["works"]))
        return _requests(
            request_class=self.integers(s, "q_class", ring)[at],
            number=self.integers(s, "q_number", ring)[at],
            pool=home,
            arrival_s=self.floats(s, "q_arrival", ring)[at],
            start_s=np.full(queued, np.nan),
            work_s=works[(home - pool) * ring + at],
            slot=np.full(queued, -1),
        )

    def _in_service(self, s: int) -> Requests:
        station = self.records[s]
        capacity, per_pool = int(station["capacity"]), int(station["per_pool"])
        busy = np.flatnonzero(self.integers(s, "busy", capacity))
        return _requests(
            request_class=self.integers(s, "slot_class", capacity)[busy],
            number=self.integers(s, "slot_number", capacity)[busy],
            pool=int(station["pool"]) + busy // per_pool,
            arrival_s=self.floats(s, "slot_arrival", capacity)[busy],
            start_s=self.floats(s, "slot_start", capacity)[busy],
            work_s=self.floats(s, "slot_work", capacity)[busy],
            slot=busy % per_pool,
        )

    def _insert(self, s: int, request: Served, work_s: float) -> None:
        """Into the ring, before all that arrived later."""
        self._straighten(s)
        station = self.records[s]
        queued = int(station["queued"])
        at = int(np.searchsorted(self.integers(s, "q_place", queued), request.place))
        times = {"q_arrival": request.arrival_s, "q_work": work_s, "q_deadline": np.inf}
        names = {"q_class": request.request_class, "q_number": request.number, "q_place": request.place}
        for name, time_s in times.items():
            _insert(self.floats(s, name, queued + 1), at, time_s)
        for name, value in names.items():
            _insert(self.integers(s, name, queued + 1), at, value)
        station["queued"] = queued + 1

    def _straighten(self, s: int) -> None:
        """Let rings begin at the beginning of their arrays."""
        station = self.records[s]
        queued, ring = int(station["queued"]), int(station["ring_capacity"])
        order = (int(station["head"]) + np.arange(queued)) & (ring - 1)
        for name in ("q_arrival", "q_work", "q_deadline"):
            times = self.floats(s, name, ring)
            times[:queued] = times[order]
        for name in ("q_class", "q_number", "q_place"):
            values = self.integers(s, name, ring)
            values[:queued] = values[order]
        station["head"] = 0
        if station["limited"]:
            heads = self.integers(s, "leave_head", self._classes + 1)
            for j, count in enumerate(self.integers(s, "leave_count", self._classes + 1)):
                times = self.floats(s, "leave", (self._classes + 1) * ring)[j * ring : (j + 1) * ring]
                times[:count] = times[(int(heads[j]) + np.arange(count)) & (ring - 1)]
            heads[:] = 0

    def _reserve_slots(self, s: int, replicas: int) -> None:
        station = self.records[s]
        pools, before, per_pool = int(station["pools"]), int(station["capacity"]), replicas * int(station["spread"])
        # The tree may have more leaves than there are slots, up to the next power of two.
        leaves = max(2, 1 << (pools * per_pool - 1).bit_length())
        shared = station["kind"] == BALANCED
        for name in (*SLOT_FLOATS, "slot_finish") if shared else SLOT_FLOATS:
            array = _longer(self.floats(s, name, before), pools, per_pool)
            station[name] = self._arena.put_floats(np.pad(array, (0, leaves - pools * per_pool)))
        for name in (*SLOT_INTEGERS, "jobs", "jobs_where") if shared else SLOT_INTEGERS:
            integers = _longer(self.integers(s, name, before), pools, per_pool)
            station[name] = self._arena.put_integers(np.pad(integers, (0, leaves - pools * per_pool)))
        if shared:
            self._reserve_replicas(s, replicas, replicas if station["sharing"] else leaves)
        station["replicas"], station["per_pool"] = replicas, per_pool
        station["capacity"] = pools * per_pool
        self._changed.add(s)

    def _reserve_replicas(self, s: int, replicas: int, leaves: int) -> None:
        station = self.records[s]
        before = int(station["replicas"])
        # The tree has two leaves at least.
        there = max(2, replicas)
        for name in REPLICA_INTEGERS:
            station[name] = self._arena.put_integers(_longer(self.integers(s, name, before), 1, there))
        for name in ("r_virtual", "r_changed"):
            station[name] = self._arena.put_floats(_longer(self.floats(s, name, before), 1, replicas))
        self.integers(s, "r_load", there)[before:] = ABSENT
        self.integers(s, "r_chosen", there)[before:] = -1
        for name in ("line_head", "line_tail"):
            lines = np.full(replicas + 1, -1)
            lines[: before + 1 if before else 0] = self.integers(s, name, before + 1 if before else 0)
            station[name] = self._arena.put_integers(lines)
        station["e_leaves"], station["r_leaves"] = max(2, leaves), there
        for name, size in (("events", 2 * max(2, leaves)), ("best", 2 * there)):
            station[name] = self._arena.put_integers(np.zeros(size, dtype=np.int64))

    def _reserve_queue(self, s: int, ring: int) -> None:
        station = self.records[s]
        before, works = int(station["ring_capacity"]), int(station["works"])
        floats = ("q_arrival", "q_deadline", "q_draw") if station["kind"] == BALANCED else QUEUE_FLOATS
        for name in floats:
            station[name] = self._arena.put_floats(_longer(self.floats(s, name, before), 1, ring))
        for name in {FCFS: QUEUE_INTEGERS[:4], ORDERED: QUEUE_INTEGERS, BALANCED: LINE_INTEGERS}[int(station["kind"])]:
            station[name] = self._arena.put_integers(_longer(self.integers(s, name, before), 1, ring))
        if station["kind"] != FCFS:
            self.integers(s, "unused", ring)[before:] = np.arange(before, ring)
        elif station["limited"]:
            rings = self._classes + 1
            station["leave"] = self._arena.put_floats(_longer(self.floats(s, "leave", rings * before), rings, ring))
        station["q_work"] = self._arena.put_floats(_longer(self.floats(s, "q_work", works * before), works, ring))
        station["ring_capacity"] = ring


def _longer(array: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """The same rows, each filled up with zeros."""
    after = np.zeros((rows, columns), dtype=array.dtype)
    after[:, : len(array) // rows] = array.reshape(rows, -1)
    return after.ravel()


def _insert(array: NDArray[Any], at: int, value: float) -> None:
    """Put a value in, and let the last one go."""
    array[at + 1 :] = array[at:-1].copy()
    array[at] = value
