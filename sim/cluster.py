"""The port between control and requests: what control processes may ask of a request plane."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sim.loghistogram import LogHistogram

OnCrash = Literal["lose", "retry", "resume"]


class Outcome(IntEnum):
    """What became of a request."""

    PRESENT = 0
    """Still waiting or in service."""
    COMPLETED = 1
    REJECTED = 2
    ABANDONED = 3
    FAILED = 4


class Counter(IntEnum):
    """The columns of `Cluster.look`; times are sums in `TICKS_PER_S`.

    After them come the buckets of three histograms: wait (of each start), service and response (of each completion).
    Bucket i of each counts values in (bound[i-1], bound[i]], the last one those above all bounds.
    """

    QUEUED = 0
    IN_SERVICE = 1
    ARRIVED = 2
    STARTED = 3
    COMPLETED = 4
    FAILED = 5
    REJECTED = 6
    ABANDONED = 7
    BUSY = 8
    """Time spent serving, running services included."""
    WAIT = 9
    SERVICE = 10
    RESPONSE = 11


class Tallied(IntEnum):
    """The columns of `Harvest.counts`."""

    ARRIVED = 0
    COMPLETED = 1
    FAILED = 2
    REJECTED = 3
    ABANDONED = 4
    MET = 5
    """Completed within the target of their class."""
    ABANDONED_WAIT = 6
    """How long those that gave up had waited, in `TICKS_PER_S`."""


@dataclass(frozen=True, eq=False, slots=True)
class Harvest:
    """What happened since the harvest before, for each pool and request class.

    `counts` has shape (pools, classes, `Tallied`). The histograms, one for each pool and class, are of waits, entered
    at the start of service (and taken out again where a crash sends the request back), of service and of response
    times, entered at completion.
    """

    counts: NDArray[np.int64]
    wait: Sequence[Sequence[LogHistogram]]
    service: Sequence[Sequence[LogHistogram]]
    response: Sequence[Sequence[LogHistogram]]


@dataclass(frozen=True, slots=True)
class Requests:
    """Some of the requests of a run, one entry each; times not reached are NaN.

    `number` counts the arrivals of the request's class from 0. `start_s` is the start of service, the last one where a
    crash sent the request back; `leave_s` the end of service, or when the request gave up, was turned away or lost;
    `slot` the slot that serves or served it, -1 where it waits or none did.
    """

    request_class: NDArray[np.int16]
    number: NDArray[np.int64]
    pool: NDArray[np.int16]
    arrival_s: NDArray[np.float64]
    start_s: NDArray[np.float64]
    leave_s: NDArray[np.float64]
    work_s: NDArray[np.float64]
    outcome: NDArray[np.int8]
    slot: NDArray[np.int32]

    @classmethod
    def together(cls, parts: Sequence["Requests"]) -> "Requests":
        """All of them, in order of arrival; at one instant by class, then number."""
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__}
        order = np.lexsort((columns["number"], columns["request_class"], columns["arrival_s"]))
        return cls(**{name: column[order] for name, column in columns.items()})


@dataclass(frozen=True, slots=True)
class Keep:
    """Which requests to keep a record of, and who takes them as they leave, some at a time."""

    share: float
    """Of all requests, chosen by class and number: the same ones under every policy."""
    sink: Callable[[Requests], None]


def kept(request_class: int, number: int, share: float) -> bool:
    """Whether a request belongs to the share to keep: its place in [0, 1), by the finaliser of SplitMix64."""
    z = (number + 1) * 0x9E3779B97F4A7C15 + request_class * 0xD1342543DE82EF95 & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return (z ^ z >> 31) >> 11 < share * 2.0**53


MASK = (1 << 64) - 1


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

    def look(self, pool: int) -> NDArray[np.int64]:
        """What is counted of a pool: a row for each request class, columns as `Counter` tells; the caller's own."""
        ...

    def harvest(self) -> Harvest:
        """What happened since the last harvest; what is to be kept of it has gone to its sink."""
        ...

    def present(self) -> Requests:
        """The requests that are waiting or in service, in no order."""
        ...
