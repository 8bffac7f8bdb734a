"""Compiled: what a timetable of replica counts costs and misses on known requests, and its improvement move by move.

Everything compiled is in this one module, since Numba's cache does not notice a change in another. The replay follows
`sim.replicas` and the reference engine rule by rule, first come, first served from one queue.

The state of a pool is one row of floats, so that the states before all ticks are one array and a move is judged by
replaying from its first tick until nothing tells that it was made. A row holds: first request not yet started, places
in use, births; then for each place its replica's birth (-1 where there is none), when it is ready, until when a
drained one still serves; then when each slot is free.
"""

from typing import Any

import numpy as np
from numba import njit

from sim.kernel import CACHED

HEAD, HIGH, BIRTHS = 0, 1, 2
FIXED = 3

MISSED, UNDECIDED, OVERTIME = 0, 1, 2
"""Of a tick: requests that miss, those whose time is not up at the end, replica-seconds of draining."""

SAME_S = 1e-6
"""Two states whose slots are free within this of each other, in sum, are one."""


@njit(inline="always")
def _born(place: Any) -> Any:
    return FIXED + place


@njit(inline="always")
def _ready(place: Any, places: Any) -> Any:
    return FIXED + places + place


@njit(inline="always")
def _until(place: Any, places: Any) -> Any:
    return FIXED + 2 * places + place


@njit(inline="always")
def _free(place: Any, places: Any, slots: Any) -> Any:
    return FIXED + 3 * places + place * slots


@njit(cache=CACHED)
def _first_free(row: Any, places: Any, slots: Any) -> Any:
    """Where in the row the slot is that has been free longest, or will be free first; -1 where there is none."""
    found, best = -1, np.inf
    for place in range(int(row[HIGH])):
        if row[_born(place)] >= 0:
            first = _free(place, places, slots)
            for at in range(first, first + slots):
                if row[at] < best:
                    found, best = at, row[at]
    return found


@njit(cache=CACHED)
def _serve(row: Any, pool: Any, requests: Any, to_s: Any, tallied: Any, times: Any) -> None:
    """Start all that can start up to and at `to_s`; `times` takes the end of each service, inf where given up."""
    places, slots, _, horizon_s = pool
    arrival, work, target, patience = requests
    i = int(row[HEAD])
    while i < len(arrival) and arrival[i] <= to_s:
        at = _first_free(row, places, slots)
        start_s = max(arrival[i], row[at]) if at >= 0 else np.inf
        leave_s = arrival[i] + patience[i]
        if start_s > to_s and leave_s > to_s:
            break
        if start_s > leave_s:
            times[i] = np.inf
            tallied[MISSED] += target[i] < np.inf
        else:
            end_s = start_s + work[i]
            row[at] = times[i] = end_s
            _judge(arrival[i], target[i], end_s, horizon_s, tallied)
        i += 1
    row[HEAD] = i


@njit(inline="always")
def _judge(arrival_s: Any, target_s: Any, end_s: Any, horizon_s: Any, tallied: Any) -> None:
    """One that is still there at the end has missed where its time is up; else nobody knows."""
    if end_s <= horizon_s:
        tallied[MISSED] += end_s - arrival_s > target_s
    elif horizon_s - arrival_s > target_s:
        tallied[MISSED] += 1
    elif target_s < np.inf:
        tallied[UNDECIDED] += 1


@njit(cache=CACHED)
def _leave_waiting(row: Any, pool: Any, requests: Any, tallied: Any, times: Any) -> None:
    """The run is over for those that wait."""
    arrival, _, target, patience = requests
    horizon_s = pool[3]
    for i in range(int(row[HEAD]), len(arrival)):
        times[i] = np.inf
        # Behind one that waits on, some gave up before the end.
        if arrival[i] + patience[i] <= horizon_s:
            tallied[MISSED] += target[i] < np.inf
        else:
            _judge(arrival[i], target[i], np.inf, horizon_s, tallied)


@njit(cache=CACHED)
def _there(row: Any) -> Any:
    """How many replicas are starting or ready."""
    count = 0
    for place in range(int(row[HIGH])):
        count += row[_born(place)] >= 0
    return count


@njit(cache=CACHED)
def _scale(row: Any, pool: Any, count: Any, now_s: Any) -> Any:
    """Start or stop replicas; the time that those stopped still serve, or -1 where there are too few places."""
    overtime_s = 0.0
    there = _there(row)
    for _ in range(there - count):
        overtime_s += _stop(row, pool, now_s)
    for _ in range(count - there):
        if not _start(row, pool, now_s):
            return -1.0
    return overtime_s


@njit(cache=CACHED)
def _start(row: Any, pool: Any, now_s: Any) -> Any:
    """In the lowest place that nobody has."""
    places, slots, startup_s, _ = pool
    place = 0
    while place < int(row[HIGH]) and (row[_born(place)] >= 0 or row[_until(place, places)] > now_s):
        place += 1
    if place == places:
        return False
    row[HIGH] = max(row[HIGH], place + 1)
    birth = int(row[BIRTHS])
    row[BIRTHS] = birth + 1
    ready_s = now_s + startup_s[min(birth, len(startup_s) - 1)]
    row[_born(place)], row[_ready(place, places)] = birth, ready_s
    first = _free(place, places, slots)
    row[first : first + slots] = ready_s
    return True


@njit(cache=CACHED)
def _stop(row: Any, pool: Any, now_s: Any) -> Any:
    """One that is starting, else the least busy one; of equals the youngest. For how long it still serves."""
    places, slots, _, horizon_s = pool
    found, least, youngest = -1, np.inf, -1.0
    for place in range(int(row[HIGH])):
        if row[_born(place)] >= 0:
            busy = -1.0
            if row[_ready(place, places)] <= now_s:
                first = _free(place, places, slots)
                busy = (row[first : first + slots] > now_s).sum() * 1.0
            if busy < least or (busy == least and row[_born(place)] > youngest):
                found, least, youngest = place, busy, row[_born(place)]
    row[_born(found)] = -1.0
    first = _free(found, places, slots)
    until_s = row[first : first + slots].max() if least > 0 else now_s
    row[_until(found, places)] = until_s
    return min(until_s, horizon_s) - now_s


@njit(cache=CACHED)
def _alike(a: Any, b: Any, places: Any, slots: Any, now_s: Any) -> Any:
    """Whether the future is the same from both states, but for who of the busy ones would be stopped first."""
    if a[HEAD] != b[HEAD]:
        return False
    apart_s, busy, there = 0.0, 0, 0
    for row, sign in ((a, 1), (b, -1)):
        for place in range(int(row[HIGH])):
            if row[_born(place)] >= 0:
                there += sign
                first = _free(place, places, slots)
                for at in range(first, first + slots):
                    if row[at] > now_s:
                        busy += sign
                        apart_s += sign * row[at]
    return there == 0 and busy == 0 and abs(apart_s) < SAME_S


@njit(cache=CACHED)
def _turn(row: Any, pool: Any, requests: Any, times_s: Any, k: Any, count: Any, tallied: Any, times: Any) -> Any:
    """From before the decision of tick `k` to before that of the next; False where there are too few places."""
    overtime_s = _scale(row, pool, count, times_s[k])
    if overtime_s < 0:
        return False
    tallied[OVERTIME] += overtime_s
    _serve(row, pool, requests, times_s[k + 1], tallied, times)
    if k + 2 == len(times_s):
        _leave_waiting(row, pool, requests, tallied, times)
    return True


@njit(cache=CACHED)
def _begin(row: Any, pool: Any, requests: Any, initial: Any, tallied: Any, times: Any) -> None:
    """As a run begins: `initial` ready replicas, and those that arrive at 0 s, before the first decision."""
    row[:] = 0.0
    row[FIXED : FIXED + pool[0]] = -1.0
    for place in range(initial):
        row[_born(place)] = place
    row[HIGH] = row[BIRTHS] = initial
    _serve(row, pool, requests, 0.0, tallied, times)


@njit(cache=CACHED)
def replay(
    counts: Any, initial: Any, times_s: Any, pool: Any, requests: Any, rows: Any, tallied: Any, times: Any
) -> Any:
    """The whole run: fills `rows`, the states before each decision and at the end; `tallied` by tick, and in its last
    row what came before the first; and `times`, when each service ends, infinite where there is none.

    `times_s` are the ticks and the end of the run; `pool` is places, slots, start-up of the b-th replica (of all
    later ones the last) and the end; `requests` are arrival, work, target and patience. False where there are too few
    places.
    """
    tallied[:] = 0.0
    _begin(rows[0], pool, requests, initial, tallied[-1], times)
    for k in range(len(counts)):
        rows[k + 1] = rows[k]
        if not _turn(rows[k + 1], pool, requests, times_s, k, counts[k], tallied[k], times):
            return False
    return True


@njit(cache=CACHED)
def _trial(
    counts: Any,
    i: Any,
    j: Any,
    step: Any,
    floor: Any,
    cap: Any,
    times_s: Any,
    pool: Any,
    requests: Any,
    rows: Any,
    tallied: Any,
    row: Any,
    fresh: Any,
    times: Any,
    miss_s: Any,
    spare: Any,
    reach: Any,
    keep: Any,
) -> Any:
    """What `step` more replicas from tick `i` to before `j` change: replica-seconds and misses; inf where impossible.

    With `keep` the change is made, in all of `counts`, `rows`, `tallied`; without, it is given up, and inf, as soon as
    it seems not to be worth it.
    """
    row[:] = rows[i]
    paid_s = missed = 0.0
    for k in range(i, len(counts)):
        count = min(max(counts[k] + step, floor), cap) if k < j else counts[k]
        fresh[:] = 0.0
        if not _turn(row, pool, requests, times_s, k, count, fresh, times):
            return np.inf, np.inf
        paid_s += (count - counts[k]) * (times_s[k + 1] - times_s[k]) + fresh[OVERTIME] - tallied[k, OVERTIME]
        missed += fresh[MISSED] - tallied[k, MISSED]
        done = k >= j and _alike(row, rows[k + 1], pool[0], pool[1], times_s[k + 1])
        if keep:
            counts[k] = count
            tallied[k] = fresh
            rows[k + 1] = row
        if done:
            break
        if not keep and (
            (step < 0 and missed > spare) or (k >= j + (reach if step > 0 else 0) and _dear(paid_s, missed, miss_s))
        ):
            return np.inf, np.inf
    return paid_s, missed


@njit(inline="always")
def _dear(paid_s: Any, missed: Any, miss_s: Any) -> Any:
    return paid_s + miss_s * missed > 0


@njit(cache=CACHED)
def improve(
    counts: Any,
    spans: Any,
    miss_s: Any,
    spare: Any,
    floor: Any,
    cap: Any,
    times_s: Any,
    pool: Any,
    requests: Any,
    rows: Any,
    tallied: Any,
    times: Any,
    reach: Any,
) -> Any:
    """Try at each tick, for each span, one replica less and one more; make each change that is worth it at once.

    Worth it: it saves replica-seconds, a miss counted as `miss_s` of them, and adds at most `spare` misses in all.
    One more is tried only where somebody misses within the span or `reach` ticks after it. `counts` and all that
    belongs to them are changed in place; the number of changes, and the misses that they added.
    """
    row, fresh = np.empty(rows.shape[1]), np.zeros(3)
    made, added = 0, 0.0
    for span in spans:
        for i in range(0, len(counts) - span + 1, max(1, span // 4)):
            j = i + span
            for step in (-1, 1):
                if step < 0 and (counts[i] <= floor or counts[j - 1] <= floor):
                    continue
                if step > 0 and (counts[i] >= cap or tallied[i : j + reach, MISSED].sum() == 0):
                    continue
                paid_s, missed = _trial(
                    counts,
                    i,
                    j,
                    step,
                    floor,
                    cap,
                    times_s,
                    pool,
                    requests,
                    rows,
                    tallied,
                    row,
                    fresh,
                    times,
                    miss_s,
                    spare - added,
                    reach,
                    False,
                )
                if paid_s + miss_s * missed < -1e-6 and added + missed <= spare:
                    _trial(
                        counts,
                        i,
                        j,
                        step,
                        floor,
                        cap,
                        times_s,
                        pool,
                        requests,
                        rows,
                        tallied,
                        row,
                        fresh,
                        times,
                        miss_s,
                        spare - added,
                        reach,
                        True,
                    )
                    made += 1
                    added += missed
    return made, added
