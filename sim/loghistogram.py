"""Histograms of times with buckets of equal ratio: 128 an octave, told apart by the bits of the float alone."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TICKS_PER_S = 1 << 20
"""Sums of times are kept as whole numbers of 2**-20 s, so that no order of summation can change them."""

PER_OCTAVE_BITS = 7
LOWEST_OCTAVE = -20
OCTAVES = 44
BUCKETS = OCTAVES << PER_OCTAVE_BITS
"""Bucket 0 also holds what is below 2**-20 s, the last one what is above 2**24 s."""


def bucket(time_s: float) -> int:
    """The bucket of a time >= 0: the bits of its exponent and the first seven of its fraction."""
    fraction, exponent = math.frexp(time_s)
    within = int((2 * fraction - 1) * (1 << PER_OCTAVE_BITS))
    return min(max(((exponent - 1 - LOWEST_OCTAVE) << PER_OCTAVE_BITS) + within, 0), BUCKETS - 1) if time_s else 0


def lowest_s(number: int) -> float:
    """The time from which on this bucket holds times; 0 for the first, which also holds what is below its own."""
    exponent, within = divmod(number, 1 << PER_OCTAVE_BITS)
    return math.ldexp(1 + within / (1 << PER_OCTAVE_BITS), exponent + LOWEST_OCTAVE) if number else 0.0


def ticks(time_s: float) -> int:
    """A time as a whole number of `TICKS_PER_S`."""
    return int(time_s * TICKS_PER_S)


@dataclass(frozen=True, eq=False, slots=True)
class LogHistogram:
    """How many times fell into each bucket that is not empty, and their sum in `TICKS_PER_S`; buckets ascend."""

    buckets: NDArray[np.signedinteger[Any]]
    counts: NDArray[np.signedinteger[Any]]
    sums: NDArray[np.int64]

    @classmethod
    def of(cls, filled: Mapping[int, tuple[int, int]]) -> "LogHistogram":
        """From bucket -> (count, sum)."""
        rows = [(b, n, s) for b, (n, s) in sorted(filled.items()) if n]
        table = np.array(rows, dtype=np.int64).reshape(-1, 3)
        return cls(table[:, 0], table[:, 1], table[:, 2])

    @classmethod
    def dense(cls, counts: NDArray[np.int64], sums: NDArray[np.int64]) -> "LogHistogram":
        """From arrays with an entry for each bucket."""
        buckets = np.flatnonzero(counts)
        return cls(buckets, counts[buckets], sums[buckets])

    @classmethod
    def of_times(cls, times_s: NDArray[np.float64]) -> "LogHistogram":
        """From many times at once, each entered as `bucket` and `ticks` tell."""
        fraction, exponent = np.frexp(times_s)
        within = ((2 * fraction - 1) * (1 << PER_OCTAVE_BITS)).astype(np.int64)
        buckets = ((exponent.astype(np.int64) - 1 - LOWEST_OCTAVE) << PER_OCTAVE_BITS) + within
        buckets = np.where(times_s > 0, np.clip(buckets, 0, BUCKETS - 1), 0)
        return cls.summed(buckets, np.ones_like(buckets), (times_s * TICKS_PER_S).astype(np.int64))

    @classmethod
    def merged(cls, parts: Iterable["LogHistogram"]) -> "LogHistogram":
        """All of them together."""
        every = [part for part in parts if len(part.buckets)]
        if len(every) == 1:
            return every[0]
        if not every:
            return cls.of({})
        if sum(len(part.buckets) for part in every) < BUCKETS:
            columns = ([getattr(part, name) for part in every] for name in cls.__slots__)
            return cls.summed(*(np.concatenate(column, dtype=np.int64) for column in columns))
        table = np.zeros((2, BUCKETS), dtype=np.int64)
        for part in every:
            table[:, part.buckets] += part.counts, part.sums
        return cls.dense(*table)

    @classmethod
    def summed(cls, buckets: NDArray[np.int64], counts: NDArray[np.int64], sums: NDArray[np.int64]) -> "LogHistogram":
        """From entries in no order, buckets among them more than once."""
        order = np.argsort(buckets, kind="stable")
        ordered = buckets[order]
        if not len(ordered):
            return cls(buckets, counts, sums)
        first = np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1))
        ordered, counts, sums = (
            ordered[first],
            np.add.reduceat(counts[order], first),
            np.add.reduceat(sums[order], first),
        )
        if counts.all():
            return cls(ordered, counts, sums)
        filled = counts != 0
        return cls(ordered[filled], counts[filled], sums[filled])

    def thin(self) -> "LogHistogram":
        """The same in the least memory, to be kept; not to be added to but by `merged`."""
        small = np.int32 if np.abs(self.counts).max(initial=0) < 1 << 31 else np.int64
        return LogHistogram(self.buckets.astype(np.int16), self.counts.astype(small), self.sums.copy())

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    @property
    def total_s(self) -> float:
        """The sum of all times."""
        return int(self.sums.sum()) / TICKS_PER_S

    @property
    def means_s(self) -> NDArray[np.float64]:
        """The mean of each bucket's times: what stands for each of them, off by less than 0.4 %."""
        return self.sums / self.counts / TICKS_PER_S
