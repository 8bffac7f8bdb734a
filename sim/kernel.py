"""The compiled loops of the request plane: between two control instants they advance all requests of all pools.

Everything compiled is in this one module, since Numba's cache does not notice a change in another. State lies in two
flat arrays, `F` of floats and `I` of integers; small records tell where in them each thing begins: a call with many
arrays would cost more than the requests of a short window.

The idea is that of Kiefer and Wolfowitz (1955): capacity cannot change within a window, so the moment at which a
request starts, and on which slot, is known as soon as its turn is. A loser tree holds each slot's next free time; its
root is the slot that has been free longest, or will be free first. No `fastmath`: sums and comparisons are those of
the reference engine, bit by bit.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from sim.cluster import Counter, Outcome, Tallied
from sim.loghistogram import BUCKETS, LOWEST_OCTAVE, PER_OCTAVE_BITS, TICKS_PER_S


def _record(integers: str, floats: str = "") -> np.dtype[Any]:
    return np.dtype([(name, np.int64) for name in integers.split()] + [(name, np.float64) for name in floats.split()])


SOURCE = _record(
    "at end capacity ended only_class first_number works arrival work deadline has_deadlines route version"
    " balance request_class number home"
)
"""Requests to come, in order of time: those of one class, or those dealt to one station.

`at`..`end` are the next ones, in arrays that begin in `F` at arrival, work (of `works` versions, `capacity` apart),
deadline, route, balance, and in `I` at version, request_class, number and home; the last three only where
`only_class` is -1, else all are of that class and numbered from `first_number`.
"""

MODEL = _record("kind stations first_station classes first_class direct versions table recorded pooled first_pool")
"""A model's stations, and where in `I` its classes and in `F` its routing table (classes x versions) begin.

`direct` says that its one station reads its one class itself; `pooled` that one queue serves all its versions.
"""

STATION = _record(
    "kind pool pools per_pool works source leaves capacity dirty open room limited places window_queued rule tags"
    " loser loser_slot busy is_open slot_class slot_number slot_place slot_home"
    " free slot_arrival slot_start slot_work"
    " ring_capacity head queued q_arrival q_work q_deadline q_class q_number q_place q_home"
    " q_key heap where patience patience_where patient unused leave leave_head leave_count leaving"
    " balancer sharing spread replicas r_leaves e_leaves events best r_load r_chosen r_ready r_serving"
    " r_pending line_head line_tail ready_list ready pending_list pending last_chosen choices"
    " jobs jobs_where slot_finish r_virtual r_changed q_next q_prev q_line q_draw",
    "from_s last_tag clock_s",
)
"""One queue, the slots behind it, and where their arrays begin."""

CURSOR, KEPT, KEEP_ROOM, KEEP_BELOW, KEEP_F, KEEP_I, CLASSES, CELLS, TARGETS, PRIORITIES = range(10)
"""Places in `I` of what concerns all: where an interrupted advance goes on, records, and where tables begin."""
SHARED = 16

KEPT_FLOATS, KEPT_INTEGERS = 4, 5

WAIT_BUCKETS = len(Counter)
"""Where in a row of counters the three histograms begin."""
HIDDEN = len(Tallied) + 4
"""Columns after the histograms: `Tallied`, then these."""
BUSY_ENDED, INTERRUPTED, REQUEUED, MOVED = range(len(Tallied), HIDDEN)
"""`MOVED` balances pools that share a queue: of those that arrived here, how many more were served elsewhere."""

QUEUED, IN_SERVICE, ARRIVED, STARTED, COMPLETED, FAILED, REJECTED, ABANDONED, BUSY, WAIT, SERVICE, RESPONSE = (
    int(column) for column in Counter
)
T_ARRIVED, T_COMPLETED, T_FAILED, T_REJECTED, T_ABANDONED, T_MET, T_ABANDONED_WAIT = (int(c) for c in Tallied)
WAS_COMPLETED, WAS_REJECTED, WAS_ABANDONED = (int(x) for x in (Outcome.COMPLETED, Outcome.REJECTED, Outcome.ABANDONED))

FINE = 2 * BUCKETS
"""Numbers of one fine histogram: count and sum of each bucket."""
WAITS, SERVICES, RESPONSES = 0, FINE, 2 * FINE
FINE_CELL = 3 * FINE

DONE, REFILL, GROW, DRAIN, FULL = range(5)
"""What an advance says: at the end; needs requests of a class; needs a longer queue; the records; the inbox is full."""

FCFS, ORDERED, BALANCED = range(3)
"""Kinds of stations: first come first served; by a key; by replicas with lines of their own, or shared."""

CENTRAL, ROUND_ROBIN, RANDOM, TWO_CHOICES, SHORTEST_QUEUE, LONGEST_AGO = range(6)
"""Balancers."""

ABSENT = np.int64(1 << 40)
"""The load of a replica that may not be chosen."""

BY_PLACE, LAST_FIRST, SHORTEST, EARLIEST, PRIORITY, FAIR = range(6)
"""Rules that give a waiting request its key."""


def _can_be_kept() -> bool:
    """Whether Numba finds a folder for what it has compiled: beside this file, the user's, or NUMBA_CACHE_DIR."""
    try:
        njit(cache=True)(_can_be_kept)
    except RuntimeError:
        return False
    return True


CACHED = _can_be_kept()
"""Else every process compiles anew."""

INFINITE = np.int64(0x7FF0000000000000)
SHIFT = np.int64(52 - PER_OCTAVE_BITS)
FIRST_BUCKET = np.int64((1023 + LOWEST_OCTAVE) << PER_OCTAVE_BITS)
TICKS = float(TICKS_PER_S)


@intrinsic  # type: ignore[untyped-decorator]
def bits(_typing: Any, _x: Any) -> Any:
    """The bits of a float as an integer: for times >= 0 they are in the same order."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.int64))

    return types.int64(types.float64), generate


@intrinsic  # type: ignore[untyped-decorator]
def time_of(_typing: Any, _x: Any) -> Any:
    """The float with these bits."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float64))

    return types.float64(types.int64), generate


@njit(inline="always")
def ticks(time_s):
    return np.int64(time_s * TICKS)


@njit(inline="always")
def bucket(time_s):
    return min(max((bits(time_s) >> SHIFT) - FIRST_BUCKET, 0), BUCKETS - 1)


@njit(inline="always")
def enter(time_s, column, histogram, counts):
    """Count a time in a row of counters, whose buckets begin at `column`, and in a fine histogram."""
    C, H, bounds, first_bound = counts
    b = bucket(time_s)
    c = np.int64(first_bound[b])
    while time_s > bounds[c]:
        c += 1
    C[column + c] += 1
    H[histogram + 2 * b] += 1
    H[histogram + 2 * b + 1] += ticks(time_s)


@njit(inline="always")
def keep(I, F, who, times, outcome):
    """Keep a record of a request that leaves, if it is one of those to be kept.

    `who` is its class, number, pool and slot; `times` are its arrival, start, leaving and work.
    """
    request_class, number, pool, slot = who
    arrival_s, start_s, leave_s, work_s = times
    z = np.uint64(number + 1) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(request_class) * np.uint64(0xD1342543DE82EF95)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    if np.int64(z >> np.uint64(11)) < I[KEEP_BELOW]:
        f = I[KEEP_F] + KEPT_FLOATS * I[KEPT]
        i = I[KEEP_I] + KEPT_INTEGERS * I[KEPT]
        F[f], F[f + 1], F[f + 2], F[f + 3] = arrival_s, start_s, leave_s, work_s
        I[i], I[i + 1], I[i + 2], I[i + 3], I[i + 4] = request_class, number, pool, outcome, slot
        I[KEPT] += 1


@njit(inline="always")
def occupy(station, F, I, slot, who, times):
    """Note who is in a slot: class, number, place and home; arrival, start and work."""
    I[station.busy + slot] = 1
    F[station.slot_arrival + slot], F[station.slot_start + slot], F[station.slot_work + slot] = times
    I[station.slot_class + slot], I[station.slot_number + slot], I[station.slot_place + slot] = who[:3]
    I[station.slot_home + slot] = who[3]


@njit(inline="always")
def replay(losers, slots, leaves, key, slot):
    """The least of all keys and its slot, after `slot`, the winner up to now, got `key`; ties to the lowest slot.

    The swap by mask keeps the processor from guessing wrong at half of the nodes.
    """
    n = slot + leaves
    while n > 1:
        right = n & 1
        n >>= 1
        other, other_slot = losers[n], slots[n]
        mask = -np.int64(other < key + right)
        swap = (key ^ other) & mask
        swap_slot = (slot ^ other_slot) & mask
        losers[n], key = other ^ swap, key ^ swap
        slots[n], slot = other_slot ^ swap_slot, slot ^ swap_slot
    return key, slot


@njit(cache=CACHED)
def rebuild(s, S, F, I):
    """Play the whole tree again after slots were opened or closed."""
    station = S[s]
    leaves = station.leaves
    free, is_open = F[station.free :], I[station.is_open :]
    losers, slots = I[station.loser :], I[station.loser_slot :]
    keys, who = np.empty(2 * leaves, np.int64), np.empty(2 * leaves, np.int64)
    for i in range(leaves):
        keys[leaves + i] = bits(free[i]) if is_open[i] else INFINITE
        who[leaves + i] = i
    for n in range(leaves - 1, 0, -1):
        winner, loser = 2 * n, 2 * n + 1
        if keys[loser] < keys[winner]:
            winner, loser = loser, winner
        keys[n], who[n] = keys[winner], who[winner]
        losers[n], slots[n] = keys[loser], who[loser]
    losers[0], slots[0] = keys[1], who[1]
    station.dirty = 0


@njit(inline="always")
def completes(row, fine, arrival_s, start_s, end_s, target_s, counts):
    """Count a completion."""
    C, _, bounds, _ = counts
    service_s, response_s = end_s - start_s, end_s - arrival_s
    buckets = bounds.shape[0]
    hidden = row + WAIT_BUCKETS + 3 * buckets
    C[row + COMPLETED] += 1
    C[row + SERVICE] += ticks(service_s)
    C[row + RESPONSE] += ticks(response_s)
    C[hidden + T_COMPLETED] += 1
    C[hidden + T_MET] += response_s <= target_s
    C[hidden + BUSY_ENDED] += ticks(service_s)
    enter(service_s, row + WAIT_BUCKETS + buckets, fine + SERVICES, counts)
    enter(response_s, row + WAIT_BUCKETS + 2 * buckets, fine + RESPONSES, counts)


@njit(inline="always")
def starts(row, fine, wait_s, counts):
    """Count a start of service."""
    C, _, _, _ = counts
    C[row + STARTED] += 1
    C[row + WAIT] += ticks(wait_s)
    enter(wait_s, row + WAIT_BUCKETS, fine + WAITS, counts)


@njit(inline="always")
def abandons(row, waited_s, C, buckets):
    """Count a request that gives up."""
    hidden = row + WAIT_BUCKETS + 3 * buckets
    C[row + ABANDONED] += 1
    C[hidden + T_ABANDONED] += 1
    C[hidden + T_ABANDONED_WAIT] += ticks(waited_s)


@njit(cache=CACHED)
def open_window(until_s, s, S, F, I, counts):
    """Let those end that were in service when the window began and end in it."""
    _, _, bounds, _ = counts
    station = S[s]
    width = WAIT_BUCKETS + 3 * bounds.shape[0] + HIDDEN
    free, busy = F[station.free :], I[station.busy :]
    for i in range(station.leaves):
        if busy[i] and free[i] <= until_s:
            k, pool = I[station.slot_class + i], station.pool + i // station.per_pool
            cell = I[I[CELLS] + pool * I[CLASSES] + k]
            arrival_s, start_s = F[station.slot_arrival + i], F[station.slot_start + i]
            completes(cell * width, cell * FINE_CELL, arrival_s, start_s, free[i], F[I[TARGETS] + k], counts)
            if I[KEEP_BELOW]:
                keep(
                    I,
                    F,
                    (k, I[station.slot_number + i], pool, i % station.per_pool),
                    (arrival_s, start_s, free[i], F[station.slot_work + i]),
                    WAS_COMPLETED,
                )
            busy[i] = 0
    if station.dirty:
        rebuild(s, S, F, I)
    station.open = 1


@njit(cache=CACHED)
def close_window(until_s, s, S, F, I, C, buckets):
    """Write the gauges as they are at the end of the window."""
    station = S[s]
    width = WAIT_BUCKETS + 3 * buckets + HIDDEN
    pools = range(station.pool, station.pool + station.pools)
    for pool in pools:
        for k in range(I[CLASSES]):
            cell = I[I[CELLS] + pool * I[CLASSES] + k]
            if cell >= 0:
                row = cell * width
                hidden = row + WAIT_BUCKETS + 3 * buckets
                gone = C[row + STARTED] + C[hidden + MOVED] + C[row + REJECTED] + C[row + ABANDONED]
                C[row + QUEUED] = C[row + ARRIVED] + C[hidden + REQUEUED] - gone
                C[row + IN_SERVICE] = C[row + STARTED] - C[row + COMPLETED] - C[hidden + INTERRUPTED]
                C[row + BUSY] = C[hidden + BUSY_ENDED]
    for i in range(station.leaves):
        if I[station.busy + i]:
            pool = station.pool + i // station.per_pool
            cell = I[I[CELLS] + pool * I[CLASSES] + I[station.slot_class + i]]
            C[cell * width + BUSY] += ticks(until_s - F[station.slot_start + i])
    station.from_s = until_s
    station.open = 0


@njit(cache=CACHED)
def deal(until_s, m, M, D, S, F, I):
    """Deal a model's requests that arrive up to `until_s` to the inboxes of its stations, in order of arrival.

    Gives `DONE`, or `REFILL` and the class that needs more, or `FULL` and the station whose inbox is.
    """
    model = M[m]
    classes = I[model.first_class : model.first_class + model.classes]
    while True:
        first, first_s = -1, np.inf
        for j in range(model.classes):
            feed = D[classes[j]]
            if feed.at == feed.end:
                if not feed.ended:
                    return REFILL, classes[j]
            elif F[feed.arrival + feed.at] < first_s:
                first, first_s = j, F[feed.arrival + feed.at]
        if first < 0 or first_s > until_s:
            return DONE, 0
        k = classes[first]
        feed = D[k]
        i = feed.at
        version = 0
        table = model.table + first * model.versions
        if I[model.recorded + first]:
            version = I[feed.version + i]
        elif model.versions > 1:
            while F[table + version] <= F[feed.route + i]:
                version += 1
        station = S[model.first_station + (0 if model.pooled else version)]
        inbox = D[station.source]
        if inbox.end == inbox.capacity:
            if inbox.at < inbox.end:
                return FULL, station.source
            inbox.at = inbox.end = 0
        n = inbox.end
        F[inbox.arrival + n] = first_s
        if model.pooled:
            for v in range(model.versions):
                F[inbox.work + v * inbox.capacity + n] = F[feed.work + v * feed.capacity + i]
        else:
            F[inbox.work + n] = F[feed.work + version * feed.capacity + i]
        F[inbox.deadline + n] = F[feed.deadline + i] if feed.has_deadlines else np.inf
        if inbox.balance >= 0:
            F[inbox.balance + n] = F[feed.balance + i]
        I[inbox.request_class + n] = k
        I[inbox.number + n] = feed.first_number + i
        I[inbox.home + n] = model.first_pool + version
        inbox.end = n + 1
        feed.at = i + 1


@njit(cache=CACHED)
def first_come(until_s, s, final, S, D, F, I, counts):
    """Serve a station's requests first come, first served, up to `until_s`; `final` says that all have been dealt.

    A request whose turn is beyond the window waits in a ring for the next one. With limited room, rings of the times
    at which waiting requests of each class will have left tell how many wait when another comes: within a class these
    times ascend.
    """
    C, _, bounds, _ = counts
    station = S[s]
    buckets = bounds.shape[0]
    width = WAIT_BUCKETS + 3 * buckets + HIDDEN
    hidden = WAIT_BUCKETS + 3 * buckets
    leaves, pool = station.leaves, station.pool
    keeping = I[KEEP_BELOW] > 0
    if keeping and I[KEPT] + leaves + 4 > I[KEEP_ROOM]:
        return DRAIN
    classes, limited = I[CLASSES], station.limited
    leave, leave_head, leave_count = F[station.leave :], I[station.leave_head :], I[station.leave_count :]
    if not station.open:
        open_window(until_s, s, S, F, I, counts)
        station.window_queued = station.queued
        station.leaving = 0
        if limited:
            for k in range(classes + 1):
                leave_count[k] = 0
    from_s = station.from_s
    free = F[station.free :]
    losers, slots = I[station.loser :], I[station.loser_slot :]
    source = D[station.source]
    arrivals, works, deadlines = F[source.arrival :], F[source.work :], F[source.deadline :]
    only_class, has_deadlines = source.only_class, source.has_deadlines
    at, end = source.at, source.end
    q_arrival, q_work, q_deadline = F[station.q_arrival :], F[station.q_work :], F[station.q_deadline :]
    q_class, q_number, q_place = I[station.q_class :], I[station.q_number :], I[station.q_place :]
    ring = station.ring_capacity
    last = ring - 1
    head, queued, old = station.head, station.queued, station.window_queued
    leaving, room, places = station.leaving, station.room, station.places
    cells, targets = I[I[CELLS] + pool * classes :], F[I[TARGETS] :]
    free_s, slot = time_of(losers[0]), slots[0]
    current, row, fine, target_s = np.int64(-1), np.int64(0), np.int64(0), np.inf
    said = DONE
    while True:
        if keeping and I[KEPT] + 4 > I[KEEP_ROOM]:
            said = DRAIN
            break
        if old > 0:
            h = head & last
            arrival_s, work_s, deadline_s = q_arrival[h], q_work[h], q_deadline[h]
            k, number, place = q_class[h], q_number[h], q_place[h]
            head += 1
            queued -= 1
            old -= 1
            is_new = False
            due_s = max(free_s, from_s)
        else:
            if at == end:
                if not (final or source.ended):
                    said = REFILL
                break
            arrival_s = arrivals[at]
            if arrival_s > until_s:
                break
            if queued == ring or leaving >= ring:
                said = GROW
                break
            work_s = works[at]
            deadline_s = deadlines[at] if has_deadlines else np.inf
            if only_class >= 0:
                k, number = only_class, source.first_number + at
            else:
                k, number = I[source.request_class + at], I[source.number + at]
            at += 1
            place = places
            places += 1
            is_new = True
            due_s = max(free_s, arrival_s)
        if k != current:
            current = k
            row, fine, target_s = cells[k] * width, cells[k] * FINE_CELL, targets[k]
        if is_new:
            C[row + ARRIVED] += 1
            C[row + hidden + T_ARRIVED] += 1
        if limited:
            for j in range(classes + 1):
                while leave_count[j] > 0 and leave[j * ring + (leave_head[j] & last)] <= arrival_s:
                    leave_head[j] += 1
                    leave_count[j] -= 1
                    leaving -= 1
            if due_s > arrival_s:
                if is_new and leaving >= room:
                    C[row + REJECTED] += 1
                    C[row + hidden + T_REJECTED] += 1
                    if keeping:
                        keep(I, F, (k, number, pool, -1), (arrival_s, np.nan, arrival_s, work_s), WAS_REJECTED)
                    continue
                j = classes if deadline_s == np.inf else k
                leave[j * ring + ((leave_head[j] + leave_count[j]) & last)] = min(due_s, deadline_s)
                leave_count[j] += 1
                leaving += 1
        if due_s > deadline_s or due_s > until_s:
            if deadline_s <= until_s and due_s > deadline_s:
                abandons(row, deadline_s - arrival_s, C, buckets)
                if keeping:
                    keep(I, F, (k, number, pool, -1), (arrival_s, np.nan, deadline_s, work_s), WAS_ABANDONED)
            else:
                h = (head + queued) & last
                q_arrival[h], q_work[h], q_deadline[h] = arrival_s, work_s, deadline_s
                q_class[h], q_number[h], q_place[h] = k, number, place
                queued += 1
            continue
        starts(row, fine, due_s - arrival_s, counts)
        end_s = due_s + work_s
        free[slot] = end_s
        if end_s <= until_s:
            completes(row, fine, arrival_s, due_s, end_s, target_s, counts)
            if keeping:
                keep(I, F, (k, number, pool, slot), (arrival_s, due_s, end_s, work_s), WAS_COMPLETED)
        else:
            occupy(station, F, I, slot, (k, number, place, pool), (arrival_s, due_s, work_s))
        key, slot = replay(losers, slots, leaves, bits(end_s), slot)
        free_s = time_of(key)
    losers[0], slots[0] = bits(free_s), slot
    source.at = at
    station.head, station.queued, station.window_queued = head, queued, old
    station.leaving, station.places = leaving, places
    return said


@njit(inline="always")
def less(I, F, key, place, a, b):
    return F[key + a] < F[key + b] or (F[key + a] == F[key + b] and I[place + a] < I[place + b])


@njit(cache=CACHED, _nrt=False)
def rise(I, F, heap, where, i, key, place):
    """Move entry `i` of a heap up to where it belongs; `where` tells of each entry its place in the heap.

    Heaps are told by where they begin: a slice of an array costs more than the move.
    """
    entry = I[heap + i]
    while i > 0:
        parent = (i - 1) >> 1
        if not less(I, F, key, place, entry, I[heap + parent]):
            break
        I[heap + i] = I[heap + parent]
        I[where + I[heap + i]] = i
        i = parent
    I[heap + i] = entry
    I[where + entry] = i


@njit(cache=CACHED, _nrt=False)
def remove(I, F, heap, where, n, i, key, place):
    """Take entry `i` out of a heap of `n`."""
    last = I[heap + n - 1]
    n -= 1
    if i == n:
        return
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        if child + 1 < n and less(I, F, key, place, I[heap + child + 1], I[heap + child]):
            child += 1
        if not less(I, F, key, place, I[heap + child], last):
            break
        I[heap + i] = I[heap + child]
        I[where + I[heap + i]] = i
        i = child
    I[heap + i] = last
    rise(I, F, heap, where, i, key, place)


@njit(inline="always")
def key_of(s, S, F, I, k, place, work_s, arrival_s):
    """The key of a request that enters a queue: the least is served first."""
    station = S[s]
    rule = station.rule
    if rule == LAST_FIRST:
        return -float(place)
    if rule == SHORTEST:
        return work_s
    if rule == EARLIEST:
        return arrival_s + F[I[TARGETS] + k]
    if rule == PRIORITY:
        return F[I[PRIORITIES] + k]
    if rule == FAIR:
        tag = station.tags + k
        F[tag] = max(station.last_tag, F[tag]) + 1.0 / F[tag + I[CLASSES]]
        return F[tag]
    return 0.0


@njit(inline="always")
def waits(s, S, F, I, arrival_s, deadline_s, key, k, number, place, home):
    """Put a request into the queue, and give its entry; its work is for the caller to write down."""
    station = S[s]
    entry = I[station.unused + station.queued]
    F[station.q_arrival + entry], F[station.q_deadline + entry], F[station.q_key + entry] = arrival_s, deadline_s, key
    I[station.q_class + entry], I[station.q_number + entry] = k, number
    I[station.q_place + entry], I[station.q_home + entry] = place, home
    I[station.heap + station.queued] = entry
    rise(I, F, station.heap, station.where, station.queued, station.q_key, station.q_place)
    station.queued += 1
    is_patient(s, S, F, I, entry)
    return entry


@njit(inline="always")
def is_patient(s, S, F, I, entry):
    """Note when a waiting request gives up, if it does."""
    station = S[s]
    if F[station.q_deadline + entry] < np.inf:
        I[station.patience + station.patient] = entry
        rise(I, F, station.patience, station.patience_where, station.patient, station.q_deadline, station.q_place)
        station.patient += 1


@njit(inline="always")
def leaves_queue(s, S, F, I, entry):
    """Take an entry out of the queue."""
    station = S[s]
    i = I[station.where + entry]
    remove(I, F, station.heap, station.where, station.queued, i, station.q_key, station.q_place)
    forget(s, S, F, I, entry)


@njit(inline="always")
def forget(s, S, F, I, entry):
    """Let a waiting request's entry be used again."""
    station = S[s]
    station.queued -= 1
    I[station.unused + station.queued] = entry
    if F[station.q_deadline + entry] < np.inf:
        i = I[station.patience_where + entry]
        remove(I, F, station.patience, station.patience_where, station.patient, i, station.q_deadline, station.q_place)
        station.patient -= 1


@njit(cache=CACHED)
def ordered(until_s, s, final, S, D, F, I, counts):
    """Serve a station's requests by key up to `until_s`; `final` says that all have been dealt."""
    C, _, bounds, _ = counts
    station = S[s]
    buckets = bounds.shape[0]
    hidden = WAIT_BUCKETS + 3 * buckets
    width = hidden + HIDDEN
    keeping = I[KEEP_BELOW] > 0
    if keeping and I[KEPT] + station.leaves + 4 > I[KEEP_ROOM]:
        return DRAIN
    if not station.open:
        open_window(until_s, s, S, F, I, counts)
    leaves, classes, from_s = station.leaves, I[CLASSES], station.from_s
    free = F[station.free :]
    losers, slots = I[station.loser :], I[station.loser_slot :]
    source = D[station.source]
    arrivals, deadlines = F[source.arrival :], F[source.deadline :]
    q_deadline, q_class = F[station.q_deadline :], I[station.q_class :]
    cells, targets = I[I[CELLS] :], F[I[TARGETS] :]
    several = station.pools > 1
    free_s, slot = time_of(losers[0]), slots[0]
    said = DONE
    while True:
        if keeping and I[KEPT] + 4 > I[KEEP_ROOM]:
            said = DRAIN
            break
        next_s = np.inf
        if source.at < source.end:
            next_s = arrivals[source.at]
        elif not (final or source.ended):
            said = REFILL
            break
        horizon_s = min(next_s, until_s)
        due_s = max(free_s, from_s)
        entry = np.int64(-1)
        dispatches = station.queued > 0 and due_s <= horizon_s
        if station.patient > 0:
            hasty = I[station.patience]
            if q_deadline[hasty] < due_s if dispatches else q_deadline[hasty] <= horizon_s:
                k, home = q_class[hasty], I[station.q_home + hasty]
                arrival_s = F[station.q_arrival + hasty]
                abandons(cells[home * classes + k] * width, q_deadline[hasty] - arrival_s, C, buckets)
                if keeping:
                    work_s = F[station.q_work + (home - station.pool) * station.ring_capacity + hasty]
                    keep(
                        I,
                        F,
                        (k, I[station.q_number + hasty], home, -1),
                        (arrival_s, np.nan, q_deadline[hasty], work_s),
                        WAS_ABANDONED,
                    )
                leaves_queue(s, S, F, I, hasty)
                continue
        if dispatches:
            entry = I[station.heap]
            k, number, home = q_class[entry], I[station.q_number + entry], I[station.q_home + entry]
            arrival_s, place, key = F[station.q_arrival + entry], I[station.q_place + entry], F[station.q_key + entry]
            leaves_queue(s, S, F, I, entry)
        elif next_s > until_s:
            break
        else:
            if station.queued == station.ring_capacity:
                said = GROW
                break
            at = source.at
            source.at = at + 1
            arrival_s = next_s
            if source.only_class >= 0:
                k, number, home = source.only_class, source.first_number + at, station.pool
            else:
                k, number, home = I[source.request_class + at], I[source.number + at], I[source.home + at]
            place = station.places
            station.places = place + 1
            row = cells[home * classes + k] * width
            C[row + ARRIVED] += 1
            C[row + hidden + T_ARRIVED] += 1
            work_s = F[source.work + (home - station.pool if several else 0) * source.capacity + at]
            deadline_s = deadlines[at] if source.has_deadlines else np.inf
            if free_s > arrival_s and station.queued >= station.room:
                C[row + REJECTED] += 1
                C[row + hidden + T_REJECTED] += 1
                if keeping:
                    keep(I, F, (k, number, home, -1), (arrival_s, np.nan, arrival_s, work_s), WAS_REJECTED)
                continue
            key = key_of(s, S, F, I, k, place, work_s, arrival_s)
            if free_s > arrival_s:
                entry = waits(s, S, F, I, arrival_s, deadline_s, key, k, number, place, home)
                for v in range(source.works):
                    F[station.q_work + v * station.ring_capacity + entry] = F[source.work + v * source.capacity + at]
                continue
            due_s = arrival_s
        pool = station.pool
        if several:
            pool += slot // station.per_pool
            if entry < 0:
                work_s = F[source.work + (pool - station.pool) * source.capacity + at]
            if pool != home:
                C[cells[home * classes + k] * width + hidden + MOVED] += 1
                C[cells[pool * classes + k] * width + hidden + MOVED] -= 1
        if entry >= 0:
            work_s = F[station.q_work + (pool - station.pool) * station.ring_capacity + entry]
        station.last_tag = key
        cell = cells[pool * classes + k]
        starts(cell * width, cell * FINE_CELL, due_s - arrival_s, counts)
        end_s = due_s + work_s
        free[slot] = end_s
        if end_s <= until_s:
            completes(cell * width, cell * FINE_CELL, arrival_s, due_s, end_s, targets[k], counts)
            if keeping:
                keep(I, F, (k, number, pool, slot % station.per_pool), (arrival_s, due_s, end_s, work_s), WAS_COMPLETED)
        else:
            occupy(station, F, I, slot, (k, number, place, home), (arrival_s, due_s, work_s))
        top, slot = replay(losers, slots, leaves, bits(end_s), slot)
        free_s = time_of(top)
    losers[0], slots[0] = bits(free_s), slot
    return said


@njit(inline="always")
def better(I, load, chosen, a, b, longest_ago):
    """Whether replica `a` is to be preferred to a later one, `b`."""
    if I[load + a] != I[load + b]:
        return I[load + a] < I[load + b]
    return not longest_ago or I[chosen + a] <= I[chosen + b]


@njit(inline="always")
def change_load(s, S, I, r, change):
    """Count a request more or less at a replica."""
    station = S[s]
    load, chosen, best, balancer = station.r_load, station.r_chosen, station.best, station.balancer
    I[load + r] += change
    if balancer == SHORTEST_QUEUE or balancer == LONGEST_AGO or balancer == CENTRAL:
        n = (r + station.r_leaves) >> 1
        while n >= 1:
            a, b = I[best + 2 * n], I[best + 2 * n + 1]
            winner = a if better(I, load, chosen, a, b, balancer == LONGEST_AGO) else b
            if winner == I[best + n] and winner != r:
                break
            I[best + n] = winner
            n >>= 1


@njit(inline="always")
def set_event(I, events, n, time_s):
    """Write when a server's next event is, in a tree that has the first of all at its root."""
    I[events + n] = bits(time_s)
    while n > 1:
        n >>= 1
        first = min(I[events + 2 * n], I[events + 2 * n + 1])
        if first == I[events + n]:
            break
        I[events + n] = first


@njit(inline="always")
def set_share_event(s, S, F, I, r):
    """When the next of the requests that share a replica ends."""
    station = S[s]
    n = I[station.r_serving + r]
    if n == 0:
        set_event(I, station.events, station.e_leaves + r, np.inf)
        return
    job = I[station.jobs + r * station.spread]
    left_s = max(0.0, F[station.slot_finish + job] - F[station.r_virtual + r]) * n
    set_event(I, station.events, station.e_leaves + r, F[station.r_changed + r] + left_s)


@njit(inline="always")
def pass_time(s, S, F, I, r, now_s):
    """Let virtual time pass at a replica whose requests share it."""
    station = S[s]
    if I[station.r_serving + r] > 0:
        F[station.r_virtual + r] += (now_s - F[station.r_changed + r]) / I[station.r_serving + r]
    F[station.r_changed + r] = now_s


@njit(cache=CACHED)
def rebalance(s, S, F, I):
    """Play the trees of a balanced station again after replicas were opened or closed."""
    station = S[s]
    spread, events, best = station.spread, station.events, station.best
    replicas = station.replicas
    for n in range(2 * station.e_leaves):
        I[events + n] = INFINITE
    for r in range(replicas):
        first = r * spread
        opening = I[station.is_open + first] and not I[station.r_ready + r]
        if station.sharing:
            if I[station.r_serving + r] > 0:
                set_share_event(s, S, F, I, r)
            elif opening:
                set_event(I, events, station.e_leaves + r, F[station.free + first])
        else:
            for i in range(first, first + spread):
                if I[station.busy + i] or (opening and i == first):
                    set_event(I, events, station.e_leaves + i, F[station.free + i])
    station.ready = 0
    for r in range(station.r_leaves):
        I[best + station.r_leaves + r] = r
        if r < replicas and I[station.r_ready + r]:
            I[station.ready_list + station.ready] = r
            station.ready += 1
    for n in range(station.r_leaves - 1, 0, -1):
        a, b = I[best + 2 * n], I[best + 2 * n + 1]
        first = better(I, station.r_load, station.r_chosen, a, b, station.balancer == LONGEST_AGO)
        I[best + n] = a if first else b
    station.dirty = 0


@njit(inline="always")
def choose(s, S, F, I, draw):
    """The replica that a request is sent to; there is a ready one."""
    station = S[s]
    balancer, ready, n = station.balancer, station.ready_list, station.ready
    if balancer == ROUND_ROBIN:
        r = I[ready]
        for i in range(n):
            if I[ready + i] > station.last_chosen:
                r = I[ready + i]
                break
    elif balancer == RANDOM:
        r = I[ready + int(draw * n)]
    elif balancer == TWO_CHOICES:
        r = I[ready]
        if n > 1:
            v = draw * n
            a = int(v)
            b = int((v - a) * (n - 1))
            b += b >= a
            one, other = I[ready + a], I[ready + b]
            r = one if I[station.r_load + one] <= I[station.r_load + other] else other
    else:
        r = I[station.best + 1]
    station.last_chosen = r
    I[station.r_chosen + r] = station.choices
    station.choices += 1
    return r


@njit(inline="always")
def line_up(s, S, I, line, entry):
    """Put a waiting request at the end of a line: 0 is the hall, r + 1 that of replica r."""
    station = S[s]
    tail = I[station.line_tail + line]
    I[station.q_next + entry], I[station.q_prev + entry], I[station.q_line + entry] = -1, tail, line
    if tail < 0:
        I[station.line_head + line] = entry
    else:
        I[station.q_next + tail] = entry
    I[station.line_tail + line] = entry


@njit(inline="always")
def step_out(s, S, I, entry):
    """Take a waiting request out of its line."""
    station = S[s]
    line = I[station.q_line + entry]
    before, after = I[station.q_prev + entry], I[station.q_next + entry]
    if before < 0:
        I[station.line_head + line] = after
    else:
        I[station.q_next + before] = after
    if after < 0:
        I[station.line_tail + line] = before
    else:
        I[station.q_prev + after] = before


@njit(inline="always")
def begin(s, S, F, I, counts, r, now_s, arrival_s, work_s, k, number, place):
    """Start a request at a replica that has a slot for it."""
    _, _, bounds, _ = counts
    station = S[s]
    first = r * station.spread
    slot = np.int64(-1)
    for i in range(first, first + station.spread):
        if not I[station.busy + i] and (
            slot < 0 or (not station.sharing and F[station.free + i] < F[station.free + slot])
        ):
            slot = i
            if station.sharing:
                break
    occupy(station, F, I, slot, (k, number, place, station.pool), (arrival_s, now_s, work_s))
    cell = I[I[CELLS] + station.pool * I[CLASSES] + k]
    width = WAIT_BUCKETS + 3 * bounds.shape[0] + HIDDEN
    starts(cell * width, cell * FINE_CELL, now_s - arrival_s, counts)
    if not station.sharing:
        F[station.free + slot] = now_s + work_s
        I[station.r_serving + r] += 1
        set_event(I, station.events, station.e_leaves + slot, now_s + work_s)
        return
    pass_time(s, S, F, I, r, now_s)
    n = I[station.r_serving + r]
    I[station.r_serving + r] = n + 1
    F[station.slot_finish + slot] = F[station.r_virtual + r] + work_s
    I[station.jobs + first + n] = slot
    rise(I, F, station.jobs + first, station.jobs_where, n, station.slot_finish, station.slot_place)
    set_share_event(s, S, F, I, r)


@njit(inline="always")
def ends(s, S, F, I, counts, slot, now_s):
    """Complete the request in a slot."""
    _, _, bounds, _ = counts
    station = S[s]
    k, arrival_s, start_s = I[station.slot_class + slot], F[station.slot_arrival + slot], F[station.slot_start + slot]
    cell = I[I[CELLS] + station.pool * I[CLASSES] + k]
    width = WAIT_BUCKETS + 3 * bounds.shape[0] + HIDDEN
    completes(cell * width, cell * FINE_CELL, arrival_s, start_s, now_s, F[I[TARGETS] + k], counts)
    if I[KEEP_BELOW]:
        keep(
            I,
            F,
            (k, I[station.slot_number + slot], station.pool, slot),
            (arrival_s, start_s, now_s, F[station.slot_work + slot]),
            WAS_COMPLETED,
        )
    I[station.busy + slot] = 0
    F[station.free + slot] = now_s
    r = slot // station.spread
    I[station.r_serving + r] -= 1
    change_load(s, S, I, r, -1)
    if I[station.line_head + r + 1] >= 0 and not I[station.r_pending + r]:
        I[station.r_pending + r] = 1
        I[station.pending_list + station.pending] = r
        station.pending += 1


@njit(inline="always")
def happens(s, S, F, I, counts, now_s):
    """Process the first event of the tree: a completion, or a replica gets ready."""
    station = S[s]
    events, first = station.events, I[station.events + 1]
    n = 1
    while n < station.e_leaves:
        n <<= 1
        n += I[events + n] != first
    server = n - station.e_leaves
    if station.sharing and I[station.r_serving + server] > 0:
        jobs = station.jobs + server * station.spread
        job = I[jobs]
        serving = I[station.r_serving + server]
        remove(I, F, jobs, station.jobs_where, serving, 0, station.slot_finish, station.slot_place)
        F[station.r_virtual + server], F[station.r_changed + server] = F[station.slot_finish + job], now_s
        ends(s, S, F, I, counts, job, now_s)
        set_share_event(s, S, F, I, server)
        return
    set_event(I, events, n, np.inf)
    if not station.sharing and I[station.busy + server]:
        ends(s, S, F, I, counts, server, now_s)
        return
    r = server if station.sharing else server // station.spread
    I[station.r_ready + r] = 1
    change_load(s, S, I, r, -ABSENT)
    i = station.ready
    while i > 0 and I[station.ready_list + i - 1] > r:
        I[station.ready_list + i] = I[station.ready_list + i - 1]
        i -= 1
    I[station.ready_list + i] = r
    station.ready += 1


@njit(cache=CACHED)
def balanced(until_s, s, final, S, D, F, I, counts):
    """Send a station's requests to replicas, each with a line of its own, and serve them there, up to `until_s`.

    With the central balancer those wait in the hall for whom no replica has a slot: that is how replicas whose
    requests share them are served. Else the hall is for those who come while no replica is ready.
    """
    C, _, bounds, _ = counts
    station = S[s]
    buckets = bounds.shape[0]
    hidden = WAIT_BUCKETS + 3 * buckets
    width = hidden + HIDDEN
    classes, spread = I[CLASSES], station.spread
    if not station.open:
        if station.dirty:
            rebalance(s, S, F, I)
        station.open = 1
        station.clock_s = station.from_s
    source = D[station.source]
    q_deadline = F[station.q_deadline :]
    central = station.balancer == CENTRAL
    while True:
        if I[KEEP_BELOW] > 0 and I[KEPT] + 4 > I[KEEP_ROOM]:
            return DRAIN
        now_s = station.clock_s
        event_s = time_of(I[station.events + 1])
        if event_s <= now_s:
            happens(s, S, F, I, counts, now_s)
            continue
        able = I[station.r_load + I[station.best + 1]] < spread if central else station.ready > 0
        entry = np.int64(-1)
        r = np.int64(-1)
        if station.pending > 0:
            station.pending -= 1
            r = I[station.pending_list + station.pending]
            I[station.r_pending + r] = 0
            if I[station.line_head + r + 1] < 0 or I[station.r_serving + r] >= spread:
                continue
            entry = I[station.line_head + r + 1]
        elif able and I[station.line_head] >= 0:
            entry = I[station.line_head]
        if entry >= 0:
            arrival_s, work_s = F[station.q_arrival + entry], F[station.q_work + entry]
            k, number, place = I[station.q_class + entry], I[station.q_number + entry], I[station.q_place + entry]
            step_out(s, S, I, entry)
            if r < 0:
                r = choose(s, S, F, I, F[station.q_draw + entry])
                change_load(s, S, I, r, 1)
                if I[station.r_serving + r] >= spread:
                    line_up(s, S, I, r + 1, entry)
                    continue
            forget(s, S, F, I, entry)
            begin(s, S, F, I, counts, r, now_s, arrival_s, work_s, k, number, place)
            if I[station.line_head + r + 1] >= 0 and not I[station.r_pending + r]:
                I[station.r_pending + r] = 1
                I[station.pending_list + station.pending] = r
                station.pending += 1
            continue
        next_s = np.inf
        if source.at < source.end:
            next_s = F[source.arrival + source.at]
        elif not (final or source.ended):
            return REFILL
        horizon_s = min(next_s, until_s)
        if station.patient > 0:
            hasty = I[station.patience]
            if q_deadline[hasty] <= horizon_s and q_deadline[hasty] < event_s:
                k, arrival_s = I[station.q_class + hasty], F[station.q_arrival + hasty]
                abandons(I[I[CELLS] + station.pool * classes + k] * width, q_deadline[hasty] - arrival_s, C, buckets)
                if I[KEEP_BELOW]:
                    keep(
                        I,
                        F,
                        (k, I[station.q_number + hasty], station.pool, -1),
                        (arrival_s, np.nan, q_deadline[hasty], F[station.q_work + hasty]),
                        WAS_ABANDONED,
                    )
                step_out(s, S, I, hasty)
                if I[station.q_line + hasty] > 0:
                    change_load(s, S, I, I[station.q_line + hasty] - 1, -1)
                forget(s, S, F, I, hasty)
                continue
        if event_s <= horizon_s:
            station.clock_s = event_s
            continue
        if next_s > until_s:
            return DONE
        if station.queued == station.ring_capacity:
            return GROW
        station.clock_s = next_s
        at = source.at
        source.at = at + 1
        if source.only_class >= 0:
            k, number = source.only_class, source.first_number + at
        else:
            k, number = I[source.request_class + at], I[source.number + at]
        place = station.places
        station.places = place + 1
        row = I[I[CELLS] + station.pool * classes + k] * width
        C[row + ARRIVED] += 1
        C[row + hidden + T_ARRIVED] += 1
        work_s, draw = F[source.work + at], F[source.balance + at] if source.balance >= 0 else 0.0
        if able:
            r = choose(s, S, F, I, draw)
            if I[station.r_serving + r] < spread:
                change_load(s, S, I, r, 1)
                begin(s, S, F, I, counts, r, next_s, next_s, work_s, k, number, place)
                continue
        rejected = station.queued >= station.room
        if r >= 0:
            change_load(s, S, I, r, 0 if rejected else 1)
        if rejected:
            C[row + REJECTED] += 1
            C[row + hidden + T_REJECTED] += 1
            if I[KEEP_BELOW]:
                keep(I, F, (k, number, station.pool, -1), (next_s, np.nan, next_s, work_s), WAS_REJECTED)
            continue
        entry = I[station.unused + station.queued]
        station.queued += 1
        F[station.q_arrival + entry], F[station.q_work + entry], F[station.q_draw + entry] = next_s, work_s, draw
        I[station.q_class + entry], I[station.q_number + entry], I[station.q_place + entry] = k, number, place
        line_up(s, S, I, r + 1, entry)
        q_deadline[entry] = F[source.deadline + at] if source.has_deadlines else np.inf
        is_patient(s, S, F, I, entry)


@njit(inline="always")
def advance_all(serve, kind, until_s, M, S, D, F, I, counts):
    """Advance all stations of a kind, which `serve` serves, to `until_s` and close their windows."""
    for m in range(I[CURSOR], M.shape[0]):
        model = M[m]
        if model.kind != kind:
            continue
        while True:
            dealt, which = (DONE, np.int64(0)) if model.direct else deal(until_s, m, M, D, S, F, I)
            for s in range(model.first_station, model.first_station + model.stations):
                final = dealt == DONE and not model.direct
                said = serve(until_s, s, final, S, D, F, I, counts)
                if said == GROW or said == DRAIN or (said == REFILL and model.direct):
                    I[CURSOR] = m
                    return said, S[s].source if said == REFILL else s
            if dealt == DONE:
                break
            if dealt == REFILL:
                I[CURSOR] = m
                return REFILL, which
        for s in range(model.first_station, model.first_station + model.stations):
            close_window(until_s, s, S, F, I, counts[0], counts[2].shape[0])
    I[CURSOR] = 0
    return DONE, np.int64(0)


# Each is compiled when a scenario first needs it, which takes a while, and then kept on disk.


@njit(cache=CACHED, nogil=True)
def advance_first_come(until_s, M, S, D, F, I, C, H, bounds, first_bound):
    return advance_all(first_come, FCFS, until_s, M, S, D, F, I, (C, H, bounds, first_bound))


@njit(cache=CACHED, nogil=True)
def advance_ordered(until_s, M, S, D, F, I, C, H, bounds, first_bound):
    return advance_all(ordered, ORDERED, until_s, M, S, D, F, I, (C, H, bounds, first_bound))


@njit(cache=CACHED, nogil=True)
def advance_balanced(until_s, M, S, D, F, I, C, H, bounds, first_bound):
    return advance_all(balanced, BALANCED, until_s, M, S, D, F, I, (C, H, bounds, first_bound))


def advance(kind: int, *state: Any) -> tuple[int, int]:
    """Advance all stations of a kind to a time and close their windows.

    Gives what keeps it from going on (`DONE` where nothing does) and the number of the class or station concerned;
    once that is mended, another call goes on where this one stopped.
    """
    said, which = ADVANCE[kind](*state)
    return said, which


ADVANCE = {FCFS: advance_first_come, ORDERED: advance_ordered, BALANCED: advance_balanced}
