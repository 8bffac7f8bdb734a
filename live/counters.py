"""Counters and histograms of a pool that only grow, added up from replicas that restart, come and go.

A plain sum over replicas falls by all that a replica ever counted when it goes, which would look like a restart of
everything. So each source's growth is added to a total of our own, which begins with 0 when the daemon does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isinf
from operator import add, gt, sub

from policies.histogram import Histogram

Source = tuple[str, ...]
"""The labels that tell one source from another."""

Edges = tuple[float, ...]
"""Upper bounds of buckets, ascending, in the metric's own unit."""
Cumulative = tuple[Edges, tuple[float, ...]]
"""Bounds, and how many values were at most each."""

SOON, LATE = 2, 5
"""At which look in a row a source that went back is believed to have restarted: to less than half, or by less."""


@dataclass(slots=True)
class Doubts:
    """Sources that went back: restarted, or one of several servers answers that is some scrapes behind the others."""

    _looks: dict[Source, int] = field(default_factory=dict)

    def restarted(self, source: Source, before: float, now: float) -> bool:
        """Whether it is believed by now."""
        looks = self._looks.get(source, 0) + 1
        if looks >= (SOON if now < before / 2 else LATE):
            self._looks.pop(source, None)
            return True
        self._looks[source] = looks
        return False

    def settle(self, source: Source) -> None:
        """It went on from where it was."""
        self._looks.pop(source, None)


@dataclass(slots=True)
class Total:
    """One counter over all sources."""

    value: float = 0.0
    _last: dict[Source, float] = field(default_factory=dict)
    _doubts: Doubts = field(default_factory=Doubts)
    _begun: bool = False

    def add(self, seen: Mapping[Source, float]) -> float:
        """The total after these values.

        A source that was not there before counts from zero, and one that is missing goes on from where it was when it
        comes again. One that went back counts from zero once that is believed, and until then not at all.
        """
        grown, last = 0.0, self._last
        for source, now in seen.items():
            before = last.get(source)
            if before is None:
                # What there was before the first look is not ours.
                grown += now if self._begun else 0.0
            elif now >= before:
                grown += now - before
                self._doubts.settle(source)
            elif self._doubts.restarted(source, before, now):
                grown += now
            else:
                continue
            last[source] = now
        self._begun = True
        self.value += grown
        return self.value


@dataclass(slots=True)
class Distributed:
    """One cumulative histogram over all sources; times in seconds."""

    unit_s: float
    _edges: Edges = ()
    """Of which the last is infinite."""
    _bounds: tuple[float, ...] = ()
    _counts: list[float] = field(default_factory=list)
    _sum: float = 0.0
    _last: dict[Source, tuple[tuple[float, ...], float]] = field(default_factory=dict)
    _doubts: Doubts = field(default_factory=Doubts)
    _begun: bool = False

    def add(self, buckets: Mapping[Source, Cumulative], sums: Mapping[Source, float]) -> Histogram | None:
        """The histogram after these counts; None where a source lacks its sum, or there are no sources.

        Only bounds that all sources have are kept. Where these change, everything begins anew.
        """
        if not buckets or not buckets.keys() <= sums.keys():
            return None
        edges = self._common(buckets)
        if not edges or not isinf(edges[-1]):
            return None
        if edges != self._edges:
            self._begin(edges)
        for source, (own, counts) in buckets.items():
            self._grow(source, counts if own == edges else _of(edges, own, counts), sums[source] * self.unit_s)
        self._begun = True
        return Histogram(self._bounds, tuple(self._counts), self._sum)

    def _common(self, buckets: Mapping[Source, Cumulative]) -> Edges:
        """The bounds of all sources."""
        first, *others = {edges for edges, _ in buckets.values()}
        return tuple(sorted(set(first).intersection(*others))) if others else first

    def _begin(self, edges: Edges) -> None:
        self._edges = edges
        self._bounds = tuple(edge * self.unit_s for edge in edges[:-1])
        self._counts, self._sum, self._last, self._begun = [0.0] * len(edges), 0.0, {}, False

    def _grow(self, source: Source, counts: tuple[float, ...], total: float) -> None:
        """As with a `Total`, by the number of all values."""
        before = self._last.get(source)
        if before is None:
            if self._begun:
                self._count(counts, total)
        elif before[0] != counts:
            grown = tuple(map(sub, counts, before[0]))
            # What was added is cumulative as well, unless the source began anew.
            if grown[0] >= 0.0 and not any(map(gt, grown, grown[1:])):
                self._count(grown, total - before[1])
                self._doubts.settle(source)
            elif self._doubts.restarted(source, before[0][-1], counts[-1]):
                self._count(counts, total)
            else:
                return
        self._last[source] = (counts, total)

    def _count(self, counts: tuple[float, ...], total: float) -> None:
        self._counts = list(map(add, self._counts, counts))
        self._sum += max(0.0, total)


def _of(edges: Edges, own: Edges, counts: tuple[float, ...]) -> tuple[float, ...]:
    """The counts at some of a source's own bounds."""
    at = dict(zip(own, counts, strict=True))
    return tuple([at[edge] for edge in edges])
