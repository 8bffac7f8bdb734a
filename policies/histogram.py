"""A cumulative histogram as a monitoring system keeps it, and what can be read off it."""

from bisect import bisect_left
from dataclasses import dataclass
from operator import sub


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values were at most each bound, as in the Prometheus exposition format.

    `bounds` ascend; `counts[i]` is the number of values <= `bounds[i]`; `counts[-1]`, one more than there
    are bounds, is the number of all values. `sum` is the sum of the values, in their unit.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    sum: float

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.bounds) + 1:
            raise ValueError(f"{len(self.bounds)} bounds need {len(self.bounds) + 1} counts, got {len(self.counts)}")

    @property
    def total(self) -> float:
        return self.counts[-1]

    def since(self, earlier: "Histogram") -> "Histogram":
        """The values added after `earlier`; all of this one where the histogram was reset or its bounds changed."""
        if earlier.bounds is not self.bounds and earlier.bounds != self.bounds:
            return self
        counts = tuple(map(sub, self.counts, earlier.counts))
        return self if min(counts) < 0 else Histogram(self.bounds, counts, self.sum - earlier.sum)

    def mean(self) -> float | None:
        """The mean, exact; None where there are no values."""
        total = self.counts[-1]
        return self.sum / total if total > 0 else None

    def quantile(self, fraction: float) -> float | None:
        """The value below which `fraction` of the values lie, linear inside a bucket; the last bound where it lies
        beyond; None where there are no values."""
        if self.total <= 0 or not self.bounds:
            return None
        rank = fraction * self.total
        i = bisect_left(self.counts, rank)
        if i >= len(self.bounds):
            return self.bounds[-1]
        low, below = (self.bounds[i - 1], self.counts[i - 1]) if i else (0.0, 0.0)
        inside = self.counts[i] - below
        return low + (self.bounds[i] - low) * (rank - below) / inside if inside > 0 else low

    def share_at_most(self, value: float) -> float | None:
        """The share of values <= `value`, linear inside a bucket; values past the last bound count as greater."""
        if self.total <= 0:
            return None
        i = bisect_left(self.bounds, value)
        if i >= len(self.bounds):
            return self.counts[-2] / self.total if self.bounds else 0.0
        low, below = (self.bounds[i - 1], self.counts[i - 1]) if i else (0.0, 0.0)
        return (below + (self.counts[i] - below) * (value - low) / (self.bounds[i] - low)) / self.total

    def scv(self) -> float | None:
        """Squared coefficient of variation; None where there are no values.

        Values are taken to lie evenly in a part of their bucket, all shifted alike so that their mean is the exact
        one, and those past the last bound at it. Errs upwards: wide buckets (1-2-5) make 1.3 of an exponential's 1.
        """
        if self.counts[-1] <= 0 or self.sum <= 0:
            return None
        return max(0.0, self._second_moment() / (self.sum / self.counts[-1]) ** 2 - 1.0)

    def _second_moment(self) -> float:
        width = middle = middle2 = both = width2 = 0.0
        total, low, below = self.counts[-1], 0.0, 0.0
        # Means over the buckets that hold values, of their widths and middles, and of the squares of these.
        for high, count in zip((*self.bounds, self.bounds[-1] if self.bounds else 0.0), self.counts, strict=True):
            if count > below:
                share, wide, mid = (count - below) / total, high - low, 0.5 * (low + high)
                width += share * wide
                middle += share * mid
                middle2 += share * mid * mid
                both += share * mid * wide
                width2 += share * wide * wide
            low, below = high, count
        shift = max(-0.5, min((self.sum / total - middle) / width, 0.5)) if width > 0 else 0.0
        # What is left of an even spread when its middle moves by `shift` widths and it stays within the bucket.
        spread = (0.25 - shift * shift) / 3
        return middle2 + 2.0 * shift * both + (shift * shift + spread) * width2
