"""The port between control and requests: what control processes may ask of a request plane."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

TICKS_PER_S = 1 << 20
"""Sums of times are kept as whole numbers of 2**-20 s, so that no order of summation can change them."""

OnCrash = Literal["lose", "retry", "resume"]


class Outcome(IntEnum):
    """What became of a request."""

    PRESENT = 0
    """Still waiting or in service."""
    COMPLETED = 1
    REJECTED = 2
    ABANDONED = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class Counters:
    """One request class in one pool, as an engine counts it; times are sums in `TICKS_PER_S`.

    The histograms count values per bucket (not cumulated): bucket i holds values in (bound[i-1], bound[i]].
    """

    queued: int
    in_service: int
    arrived: int
    started: int
    completed: int
    failed: int
    rejected: int
    abandoned: int
    busy: int
    wait: int
    service: int
    response: int
    wait_buckets: Sequence[int]
    service_buckets: Sequence[int]
    response_buckets: Sequence[int]


def together(counters: Iterable[Counters]) -> Counters:
    """The sum of several classes' counters."""
    every = list(counters)
    counted = [c for c in every if c.arrived]
    if len(counted) <= 1:
        return (counted or every)[0]
    return Counters(*(_sum([getattr(c, name) for c in counted], name) for name in Counters.__slots__))


def _sum(values: Sequence[Any], name: str) -> Any:
    return tuple(map(sum, zip(*values, strict=True))) if name.endswith("_buckets") else sum(values)


@dataclass(frozen=True, slots=True)
class Requests:
    """Every request of a run in order of arrival, one entry each; times not reached are NaN.

    `start_s` is the last start of service; `leave_s` the end of service, or when the request gave up, was turned away
    or lost; `slot` the slot that last served it, -1 where none did.
    """

    request_class: NDArray[np.int16]
    pool: NDArray[np.int16]
    arrival_s: NDArray[np.float64]
    start_s: NDArray[np.float64]
    leave_s: NDArray[np.float64]
    work_s: NDArray[np.float64]
    outcome: NDArray[np.int8]
    slot: NDArray[np.int32]


class Cluster(Protocol):
    """A request plane. Slots are numbered within a pool; control names them, opens and closes them.

    Each call sees everything that happened up to now, and what it changes holds from now on.
    """

    def open(self, pool: int, slots: range, from_s: float) -> None:
        """These slots serve from `from_s` (now or later) on."""
        ...

    def close(self, pool: int, slots: range) -> None:
        """These slots take no more requests; those that are busy finish what they have."""
        ...

    def crash(self, pool: int, slots: range, on_crash: OnCrash) -> None:
        """Close these slots at once: what is in service fails, or goes back into the queue by its arrival.

        A request that goes back waits as long as it takes: patience counts only before a first start.
        """
        ...

    def busy(self, pool: int, slots: range) -> int:
        """How many of these slots serve now."""
        ...

    def freed_s(self, pool: int, slots: range) -> float:
        """When the last of these slots ended its last service; -inf where none ever served since it was opened."""
        ...

    def shift(self, request_class: int, weights: Mapping[str, float]) -> None:
        """Route this class's arrivals by these weights from now on."""
        ...

    def counters(self, pool: int) -> Sequence[Counters]:
        """One for each request class of the scenario, in its order; the same objects while nothing happens."""
        ...

    def total(self, pool: int) -> Counters:
        """The sum of `counters`; the same object while nothing happens."""
        ...

    def requests(self) -> Requests:
        """Every request that arrived so far."""
        ...
