"""The windows of Knative's autoscaler: means over buckets of time, and the greatest of recent wishes."""

from collections import deque
from collections.abc import Sequence
from math import ceil, copysign, exp, floor, log

LEAST_DECAY = 0.2
"""The newest bucket weighs at least this much in a weighted mean, however long the window."""

WEIGHT_LEFT = 0.0001
"""Where the window is short enough, all buckets together weigh 1 less this."""

DECIMALS = 6
"""Of a linear mean, so that the noise of adding up does not make ceil(mean / target) one more."""


class Buckets:
    """Values by the time at which they hold, summed within each bucket, and their means over a window.

    As in Knative serving, `pkg/autoscaler/aggregation`: buckets without a value between two with one count as zero;
    buckets before the first value of a spell, and after the last, do not count in a linear mean. A spell ends when a
    whole window has passed without a value. Totals are carried on, not computed anew, to give the same bits.
    """

    def __init__(self, window_s: float, granularity_s: float = 1.0) -> None:
        self._window_s = window_s
        self._granularity_s = granularity_s
        self._size = ceil(window_s / granularity_s)
        # exp(log) and not a power: the original's power rounds that way.
        self._decay = max(1 - exp(log(WEIGHT_LEFT) * (1 / self._size)), LEAST_DECAY)
        self._sums = [0.0] * self._size
        self._total = 0.0
        self._first: int | None = None
        self._last: int | None = None

    def at(self, time_s: float) -> int:
        """The number of the bucket that this time lies in."""
        return floor(time_s / self._granularity_s)

    def record(self, bucket: int, value: float) -> None:
        """Add a value; one that is a window or more older than the newest is passed over."""
        if self._last is None or bucket != self._last:
            if self._last is not None and (self._last - bucket) * self._granularity_s >= self._window_s:
                return
            if self._first is None or bucket < self._first:
                self._first = bucket
            if self._last is None or bucket > self._last:
                self._clear_up_to(bucket)
        self._sums[bucket % self._size] += value
        self._total += value

    def fill(self, first: int, values: Sequence[float]) -> None:
        """`record` the values of consecutive buckets, all newer than any before."""
        self.record(first, values[0])
        for bucket, value in enumerate(values[1:], first + 1):
            place = bucket % self._size
            self._total += value - self._sums[place]
            self._sums[place] = value
        self._last = first + len(values) - 1

    def is_empty(self, now: int) -> bool:
        """Whether the newest value, if there is one, is more than a window older than bucket `now`."""
        return self._last is None or (now - self._last) * self._granularity_s > self._window_s

    def mean(self, now: int) -> float:
        """The linear mean over the window that ends with bucket `now`; 0 where there are no values in it."""
        if self._first is None or self._last is None:
            return 0.0
        late = max(now - self._last, 0)
        if late and late * self._granularity_s >= self._window_s:
            return 0.0
        total = self._total
        for bucket in range(self._last + 1, self._last + late + 1):
            total -= self._sums[bucket % self._size]
        return _rounded(total / min(self._last - self._first + 1, self._size - late))

    def weighted_mean(self, now: int) -> float:
        """The mean with weights that decay exponentially with age; 0 where there are no values."""
        if self._last is None or self.is_empty(now):
            return 0.0
        late = max(now - self._last, 0)
        weight = self._decay * _power(1 - self._decay, late)
        found = 0.0
        for bucket in range(self._last, self._last - self._size + late, -1):
            found += self._sums[bucket % self._size] * weight
            weight *= 1 - self._decay
        return found

    def _clear_up_to(self, bucket: int) -> None:
        """Make room for a newest bucket: at once, after a window of silence, or bucket by bucket."""
        last, self._last = self._last, bucket
        if last is None or (bucket - last) * self._granularity_s >= self._window_s:
            self._first, self._total, self._sums = bucket, 0.0, [0.0] * self._size
            return
        for passed in range(last + 1, bucket + 1):
            self._total -= self._sums[passed % self._size]
            self._sums[passed % self._size] = 0.0


class RecentMaximum:
    """The greatest value of the last `window_s`, by buckets of `granularity_s`; of one bucket the greatest counts."""

    def __init__(self, window_s: float, granularity_s: float) -> None:
        self._granularity_s = granularity_s
        self._size = ceil(window_s / granularity_s)
        self._maxima: deque[tuple[int, int]] = deque()

    def record(self, time_s: float, value: int) -> int:
        """Add a value and give the greatest; times must not go back."""
        bucket = floor(floor(time_s) / self._granularity_s)
        while self._maxima and self._maxima[-1][1] <= value:
            self._maxima.pop()
        if not self._maxima or self._maxima[-1][0] != bucket:
            self._maxima.append((bucket, value))
        while bucket - self._maxima[0][0] >= self._size:
            self._maxima.popleft()
        return self._maxima[0][1]


def _rounded(value: float) -> float:
    """Half away from zero, where Python's own goes to the even digit."""
    shifted = abs(value) * 10**DECIMALS
    whole = floor(shifted) + (shifted - floor(shifted) >= 0.5)
    return float(copysign(whole, value)) / 10.0**DECIMALS


def _power(base: float, exponent: int) -> float:
    """By repeated squaring, whose rounding is that of the original."""
    found = 1.0
    while exponent:
        if exponent & 1:
            found *= base
        base *= base
        exponent >>= 1
    return found
