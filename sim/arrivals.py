"""Arrival processes: when requests come.

Every process has `mean_rate_per_s` (arrivals a second in the long run), `stationary` (whether its law is the same at
all times), `rate_at` (expected arrivals a second, at an array of times in seconds), and `source`: a reader of the
stream whose call with n returns the times of the next n arrivals, in seconds, never descending, in an array of the
caller's own; fewer, and then none, where the process ends. The times do not depend on how many are read at a time.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo
from pydantic.dataclasses import dataclass

from policies.spec import STRICT, Fraction, NonNegative, Positive, PositiveCount, PositiveSeconds, Seconds
from sim.draws import adding_to_one, chooser, running_total, scaled
from sim.mmpp import Mmpp, RateState
from sim.rates import NO_STEPS, Floats, Source, Steps, Wave, mean_of_wave, poisson_through
from sim.service import Duration
from sim.streams import Stream

__all__ = [
    "Arrivals",
    "Batch",
    "Diurnal",
    "GeometricSize",
    "Mmpp",
    "Piecewise",
    "Poisson",
    "RateFrom",
    "RateState",
    "Renewal",
    "Single",
    "SizeShare",
    "Times",
    "Trace",
    "replayed",
]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Poisson:
    """Arrivals that know nothing of one another, at a constant rate."""

    kind: Literal["poisson"] = "poisson"
    rate_per_s: Positive
    """Arrivals a second."""

    stationary: ClassVar[bool] = True

    @property
    def mean_rate_per_s(self) -> float:
        return self.rate_per_s

    def rate_at(self, t_s: Floats) -> Floats:
        return np.full_like(t_s, self.rate_per_s)

    def source(self, stream: Stream) -> Source:
        generator = stream.generator()
        return running_total(lambda n: scaled(generator.standard_exponential(n), 1 / self.rate_per_s))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RateFrom:
    from_s: Seconds
    """The rate holds from this time on."""
    rate_per_s: NonNegative
    """Arrivals a second."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Piecewise:
    """Poisson arrivals at a rate that changes in steps; none before the first step."""

    kind: Literal["piecewise"] = "piecewise"
    rates: Annotated[tuple[RateFrom, ...], Field(min_length=1)]
    """The steps, in order of time."""
    repeat_s: PositiveSeconds | None = None
    """Period after which the steps begin again; without it the last rate holds for good."""

    stationary: ClassVar[bool] = False

    def __post_init__(self) -> None:
        starts_s = [step.from_s for step in self.rates]
        if any(a >= b for a, b in pairwise(starts_s)):
            raise ValueError(f"from_s must ascend, got {', '.join(f'{t:g}' for t in starts_s)}; sort the rates")
        if self.repeat_s is not None and self.repeat_s <= starts_s[-1]:
            raise ValueError(f"repeat_s {self.repeat_s:g} must lie after the last from_s, {starts_s[-1]:g}")
        if not any(step.rate_per_s for step in self.rates):
            raise ValueError("all rates are 0; give one above 0, or leave this traffic out")

    @property
    def _steps(self) -> Steps:
        starts_s = [0.0, *(step.from_s for step in self.rates)]
        lengths_s = np.diff([*starts_s, self.repeat_s or math.inf])
        return NO_STEPS.followed_by(lengths_s, np.array([0.0, *(step.rate_per_s for step in self.rates)]))

    @property
    def mean_rate_per_s(self) -> float:
        steps = self._steps
        return float(steps.expected[-1]) / self.repeat_s if self.repeat_s else float(steps.rates[-1])

    def rate_at(self, t_s: Floats) -> Floats:
        steps = self._steps
        in_period_s = np.mod(t_s, self.repeat_s) if self.repeat_s else t_s
        return steps.rates[np.searchsorted(steps.edges_s[1:], in_period_s, side="right")]

    def source(self, stream: Stream) -> Source:
        steps = self._steps
        in_all = steps.expected[-1]
        if self.repeat_s is None:
            return poisson_through(lambda expected: steps.when(expected[expected < in_all]), stream)
        period_s = self.repeat_s

        def when(expected: Floats) -> Floats:
            cycle, rest = np.divmod(expected, in_all)
            return cycle * period_s + steps.when(rest)

        return poisson_through(when, stream)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Diurnal:
    """Poisson arrivals at a rate that swings between a trough and a peak, day after day; a sinusoid unless sharpened.

    The rate is floor + (peak - floor) * ((1 + cos(2 pi (t - peak_at_s) / period_s)) / 2) ** sharpness, the floor
    such that the mean is as given.
    """

    kind: Literal["diurnal"] = "diurnal"
    mean_rate_per_s: Positive
    """Arrivals a second, in the mean over a period."""
    peak_rate_per_s: Positive
    """Arrivals a second at the peak; at most twice the mean for a sinusoid."""
    peak_at_s: Seconds
    """When in the period the peak is."""
    period_s: PositiveSeconds = 86400.0
    """Time from peak to peak."""
    sharpness: Annotated[int, Field(ge=1, le=30)] = 1
    """1 is a sinusoid; more makes a narrower peak and a longer night."""

    stationary: ClassVar[bool] = False

    def __post_init__(self) -> None:
        mean, peak = self.mean_rate_per_s, self.peak_rate_per_s
        highest = mean / mean_of_wave(self.sharpness)
        if not mean <= peak <= highest:
            raise ValueError(
                f"peak_rate_per_s {peak:g} must lie in {mean:g}..{highest:g}, from the mean to what leaves no rate "
                "below 0; move it, or raise sharpness"
            )

    @property
    def _wave(self) -> Wave:
        return Wave(self.peak_rate_per_s / self.mean_rate_per_s, self.sharpness)

    @property
    def _first_peak_s(self) -> float:
        """The last peak at or before time 0."""
        return -(-self.peak_at_s % self.period_s)

    def rate_at(self, t_s: Floats) -> Floats:
        return self.mean_rate_per_s * self._wave.rate(2 * math.pi * (t_s - self.peak_at_s) / self.period_s)

    def source(self, stream: Stream) -> Source:
        wave, first_peak_s = self._wave, self._first_peak_s
        in_period = self.mean_rate_per_s * self.period_s
        per_radian = in_period / (2 * math.pi)
        at_zero = np.array(-2 * math.pi * first_peak_s / self.period_s)
        before_zero = float(wave.expected(at_zero)) * per_radian

        def when(expected: Floats) -> Floats:
            expected = expected + before_zero
            cycle = np.floor(expected / in_period)
            turns = cycle + wave.angle((expected - cycle * in_period) / per_radian) / (2 * math.pi)
            return first_peak_s + self.period_s * turns

        return poisson_through(when, stream)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Renewal:
    """Arrivals with independent gaps of one law; the first comes after one whole gap from time 0."""

    kind: Literal["renewal"] = "renewal"
    interarrival: Duration
    """The time from one arrival to the next."""

    stationary: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.interarrival.mean_s > 0:
            raise ValueError(
                "interarrival is always 0 s, which is endlessly many arrivals at once; give a mean above 0"
            )

    @property
    def mean_rate_per_s(self) -> float:
        return 1 / self.interarrival.mean_s

    def rate_at(self, t_s: Floats) -> Floats:
        return np.full_like(t_s, self.mean_rate_per_s)

    def source(self, stream: Stream) -> Source:
        return running_total(self.interarrival.sampler(stream))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Times:
    """Arrivals at exactly these times, and then no more."""

    kind: Literal["times"] = "times"
    at_s: Annotated[tuple[Seconds, ...], Field(min_length=1)]
    """The times, none before its predecessor; equal ones arrive in this order."""

    stationary: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for before_s, after_s in pairwise(self.at_s):
            if after_s < before_s:
                raise ValueError(f"at_s goes back from {before_s:g} to {after_s:g}; sort the times")

    @property
    def mean_rate_per_s(self) -> float:
        """Arrivals a second up to the last of them."""
        return len(self.at_s) / self.at_s[-1] if self.at_s[-1] else math.inf

    def rate_at(self, t_s: Floats) -> Floats:
        return np.where(t_s <= self.at_s[-1], self.mean_rate_per_s, 0.0)

    def source(self, _stream: Stream) -> Source:
        return replayed(np.array(self.at_s))


Single = Poisson | Piecewise | Diurnal | Mmpp | Renewal | Times
"""The processes whose arrivals come one by one."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GeometricSize:
    """Sizes 1, 2, 3, ..., each less likely than the one before by the same factor."""

    mean: Annotated[float, Field(ge=1)]
    """Mean number of requests in a batch, at least 1."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SizeShare:
    size: PositiveCount
    """Number of requests in a batch."""
    probability: Fraction
    """How likely this size is."""


def _certain(shares: tuple[SizeShare, ...]) -> tuple[SizeShare, ...]:
    adding_to_one([share.probability for share in shares])
    return shares


def _form_of_size(size: Any) -> str:
    """Which of the three forms of a batch size this is, for pydantic."""
    if isinstance(size, (list, tuple)):
        return "shares"
    return "geometric" if isinstance(size, (dict, GeometricSize)) else "fixed"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Batch:
    """Requests that come several at an instant."""

    kind: Literal["batch"] = "batch"
    batches: Annotated[Single, Field(discriminator="kind")]
    """When the batches come."""
    size: Annotated[
        Annotated[PositiveCount, Tag("fixed")]
        | Annotated[GeometricSize, Tag("geometric")]
        | Annotated[tuple[SizeShare, ...], AfterValidator(_certain), Tag("shares")],
        Discriminator(_form_of_size),
    ]
    """Requests in a batch: a number; or {mean}, geometric; or a list of {size, probability}."""

    @property
    def stationary(self) -> bool:
        return self.batches.stationary

    @property
    def mean_size(self) -> float:
        match self.size:
            case int():
                return float(self.size)
            case GeometricSize(mean=mean):
                return mean
            case shares:
                return sum(share.size * share.probability for share in shares)

    @property
    def mean_rate_per_s(self) -> float:
        return self.batches.mean_rate_per_s * self.mean_size

    def rate_at(self, t_s: Floats) -> Floats:
        return self.batches.rate_at(t_s) * self.mean_size

    def source(self, stream: Stream) -> Source:
        batches, sizes = self.batches.source(stream / "batches"), self._sizes(stream / "size")
        ahead_s = np.empty(0)

        def read(n: int) -> Floats:
            nonlocal ahead_s
            while len(ahead_s) < n:
                at_s = batches(math.ceil((n - len(ahead_s)) / self.mean_size))
                if not len(at_s):
                    break
                ahead_s = np.concatenate((ahead_s, np.repeat(at_s, sizes(len(at_s)))))
            now_s, ahead_s = ahead_s[:n], ahead_s[n:]
            return now_s

        return read

    def _sizes(self, stream: Stream) -> Callable[[int], NDArray[np.int64]]:
        """The sizes of the next n batches."""
        match self.size:
            case int(size):
                return lambda n: np.full(n, size)
            case GeometricSize(mean=mean):
                generator = stream.generator()
                return lambda n: generator.geometric(1 / mean, n)
            case shares:
                sizes = np.array([share.size for share in shares])
                index = chooser(stream, [share.probability for share in shares])
                return lambda n: sizes[index(n)]


def _found(file: str, info: ValidationInfo) -> str:
    """The file's name from the folder that validation is told in its context, if it is told one."""
    if not info.context or "folder" not in info.context:
        return file
    path = Path(info.context["folder"]) / file
    if not path.is_file():
        raise ValueError(f"no such file: {path}; a relative path starts at the scenario's folder")
    return str(path)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Trace:
    """Arrivals as a file recorded them, from its first request on."""

    kind: Literal["trace"] = "trace"
    file: Annotated[str, AfterValidator(_found)]
    """A request log or a count series; a relative path starts at the scenario's folder."""
    speed: Positive = 1.0
    """Times as many arrivals a second as recorded: 2 brings an hour's requests in half an hour."""
    repeat_s: PositiveSeconds | None = None
    """Recorded time after which the trace begins again, not before its last request; without it, it ends."""
    only_class: str | None = None
    """Only the requests of this class of the trace; all of them where not given."""

    stationary: ClassVar[bool] = False

    def replay(self, recorded_s: Floats) -> Source:
        """The arrivals of a trace whose requests were recorded at these times; the i-th is of row i % len(recorded_s).

        Raises `ValueError` where the trace would begin again before its end.
        """
        if self.repeat_s is not None and self.repeat_s < recorded_s[-1]:
            raise ValueError(f"repeat_s {self.repeat_s:g} cuts {self.file}, which lasts {recorded_s[-1]:g} s; raise it")
        return replayed(recorded_s, self.speed, self.repeat_s)


def replayed(recorded_s: Floats, speed: float = 1.0, repeat_s: float | None = None) -> Source:
    """Arrivals at these times, `speed` times as fast, and again after every `repeat_s` of recorded time."""
    first = 0

    def read(n: int) -> Floats:
        nonlocal first
        i = np.arange(first, first + n)
        first += n
        if repeat_s is None:
            return recorded_s[i[i < len(recorded_s)]] / speed
        cycle, row = np.divmod(i, len(recorded_s))
        return (cycle * repeat_s + recorded_s[row]) / speed

    return read


Arrivals = Annotated[Single | Batch | Trace, Field(discriminator="kind")]
"""Any arrival process, told apart by `kind`."""
