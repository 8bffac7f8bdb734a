"""What a Prometheus has stored: samples of series, and which of them is shown at an instant."""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import NamedTuple

LOOKBACK_S = 300.0
"""How old a sample may be and still stand for its series: Prometheus's own default."""

Labels = Mapping[str, str]
Samples = deque[tuple[float, float | None]]


class Matcher(NamedTuple):
    label: str
    act: str
    """=, !=, =~ or !~."""
    text: str


class Sample(NamedTuple):
    labels: Labels
    """With `__name__` where the value is that of a metric."""
    time_s: float
    value: float


class _Series(NamedTuple):
    labels: dict[str, str]
    samples: Samples


@dataclass(slots=True)
class SeriesStore:
    keep: int = 64
    """Samples kept of each series."""
    _metrics: dict[str, dict[tuple[tuple[str, str], ...], _Series]] = field(default_factory=dict)

    def add(self, metric: str, labels: Labels, time_s: float, value: float) -> None:
        self.samples(metric, labels).append((time_s, value))

    def samples(self, metric: str, labels: Labels) -> Samples:
        """Where the samples of a series are kept, for who adds many: time and value, or None where it ended."""
        key = tuple(sorted(labels.items()))
        series = self._metrics.setdefault(metric, {})
        if key not in series:
            series[key] = _Series({"__name__": metric, **labels}, deque(maxlen=self.keep))
        return series[key].samples

    def end(self, matching: Labels, time_s: float) -> None:
        """The series with these labels are no longer scraped: they are gone at once, as after a stale marker."""
        for series in self._all():
            if series.samples and series.samples[-1][1] is not None and matching.items() <= series.labels.items():
                series.samples.append((time_s, None))

    def forget(self, before_s: float) -> None:
        """Drop series that ended earlier."""
        for metric, series in self._metrics.items():
            self._metrics[metric] = {key: one for key, one in series.items() if not _ended(one.samples, before_s)}

    def instant(self, matchers: list[Matcher], time_s: float, behind_s: float = 0.0) -> list[Sample]:
        """The last sample of each series not older than the lookback; without the samples of the last `behind_s`."""
        found, newest_s, oldest_s = [], time_s - behind_s, time_s - LOOKBACK_S
        for series in self._matching(matchers):
            samples = series.samples
            last = samples[-1]
            if last[0] > newest_s:
                last = next((sample for sample in reversed(samples) if sample[0] <= newest_s), (oldest_s, None))
            if last[1] is not None and last[0] > oldest_s:
                found.append(Sample(series.labels, last[0], last[1]))
        return found

    def spans(
        self, matchers: list[Matcher], time_s: float, range_s: float, behind_s: float = 0.0
    ) -> list[tuple[Labels, list[tuple[float, float]]]]:
        """The samples of each series in a range that ends now."""
        found: list[tuple[Labels, list[tuple[float, float]]]] = []
        for series in self._matching(matchers):
            inside = [(t, v) for t, v in series.samples if v is not None and time_s - range_s < t <= time_s - behind_s]
            if inside:
                found.append((series.labels, inside))
        return found

    def _matching(self, matchers: list[Matcher]) -> Iterator[_Series]:
        name = next((m.text for m in matchers if m.label == "__name__" and m.act == "="), None)
        tests = [(m.label, _test(m)) for m in matchers if (m.label, m.act) != ("__name__", "=")]
        for series in self._all() if name is None else self._metrics.get(name, {}).values():
            for label, test in tests:
                if not test(series.labels.get(label, "")):
                    break
            else:
                if series.samples:
                    yield series

    def _all(self) -> Iterator[_Series]:
        return (one for series in self._metrics.values() for one in series.values())


def _ended(samples: Samples, before_s: float) -> bool:
    return bool(samples) and samples[-1][1] is None and samples[-1][0] < before_s


def _test(matcher: Matcher) -> Callable[[str], bool]:
    if matcher.act in ("=", "!="):
        return lambda value: (value == matcher.text) == (matcher.act == "=")
    wanted = matcher.act == "=~"
    if not re.search(r"[\\.+*?()\[\]{}^$]", matcher.text):
        # Mostly the names of pods with bars between: many of them, so no regular expression.
        words = frozenset(matcher.text.split("|"))
        return lambda value: (value in words) == wanted
    pattern = re.compile(matcher.text)
    return lambda value: (pattern.fullmatch(value) is not None) == wanted


def written(value: float) -> str:
    """A value as Prometheus writes it."""
    if isnan(value):
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
