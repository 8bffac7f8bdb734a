"""Whose each sample of an answer is: worked out once, and good for as long as answers have the same series in the same
order, as they mostly have from tick to tick.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from operator import itemgetter

from live.counters import Cumulative, Edges, Source
from live.prometheus import Batch, Labels, Subject

Values = Sequence[float]
Picked = Callable[[Values], tuple[float, ...]]
SourceOf = Callable[[Labels], Source]


@dataclass(frozen=True, slots=True)
class Share:
    """One subject's part of an answer: its sources, and the value of each."""

    subject: Subject
    sources: tuple[Source, ...]
    pick: Picked

    def taken(self, values: Values) -> dict[Source, float]:
        return dict(zip(self.sources, self.pick(values), strict=True))


@dataclass(frozen=True, slots=True)
class BucketShare:
    """One subject's part of an answer with buckets: of each source its bounds, ascending, and their counts."""

    subject: Subject
    sources: tuple[tuple[Source, Edges, Picked], ...]

    def taken(self, values: Values) -> dict[Source, Cumulative]:
        return {source: (edges, pick(values)) for source, edges, pick in self.sources}


@dataclass(frozen=True, slots=True)
class Layout:
    """The shares of all subjects in answers that have just these series, while pods belong to just these pools."""

    series: Sequence[Labels]
    pools: Mapping[str, Sequence[str]]
    shares: Sequence[Share | BucketShare]

    def fits(self, series: Sequence[Labels], pools: Mapping[str, Sequence[str]]) -> bool:
        return pools is self.pools and (series is self.series or series == self.series)


def layout(batch: Batch, name: str, series: Sequence[Labels], pools: Mapping[str, Sequence[str]]) -> Layout:
    """For the answers to one query of a batch; `name` says what it asks for."""
    owned = _owned(batch, series, pools)
    if name.endswith(".bucket"):
        source_of = values_of((*batch.names, *batch.queries.sources))
        return Layout(series, pools, [_buckets(*each, series, source_of) for each in owned])
    if "." in name or name.endswith("_total"):
        source_of = values_of((*batch.names, *batch.queries.sources))
    else:
        source_of = _pod_of(batch.pod_label or "")
    return Layout(series, pools, [_share(*each, series, source_of) for each in owned])


def _owned(
    batch: Batch, series: Sequence[Labels], pools: Mapping[str, Sequence[str]]
) -> Iterable[tuple[Subject, list[int]]]:
    """Each subject, and where its series are."""
    names = values_of(batch.names)
    found: dict[Source, Subject | None] = {}
    places: dict[tuple[str, str | None], tuple[Subject, list[int]]] = {}
    for at, labels in enumerate(series):
        key = names(labels)
        if key not in found:
            found[key] = batch.subject_of(labels, pools)
        if (subject := found[key]) is not None:
            places.setdefault((subject.pool, subject.request_class), (subject, []))[1].append(at)
    return places.values()


def _share(subject: Subject, places: Iterable[int], series: Sequence[Labels], source_of: SourceOf) -> Share:
    at = {source_of(series[i]): i for i in places}
    return Share(subject, tuple(at), _picker(at.values()))


def _buckets(subject: Subject, places: Iterable[int], series: Sequence[Labels], source_of: SourceOf) -> BucketShare:
    of_source: dict[Source, dict[float, int]] = {}
    for i in places:
        if (edge := _edge(series[i])) is not None:
            of_source.setdefault(source_of(series[i]), {})[edge] = i
    return BucketShare(subject, tuple(_sorted(of_source)))


def _sorted(of_source: Mapping[Source, Mapping[float, int]]) -> Iterator[tuple[Source, Edges, Picked]]:
    for source, at in of_source.items():
        edges = tuple(sorted(at))
        yield source, edges, _picker(at[edge] for edge in edges)


def _edge(labels: Labels) -> float | None:
    """The upper bound of a bucket; None for a series that is no bucket."""
    try:
        edge = float(labels.get("le", "nan"))
    except ValueError:
        return None
    return None if isnan(edge) else edge


def _picker(places: Iterable[int]) -> Picked:
    first, *others = places
    if others:
        return itemgetter(first, *others)
    return lambda values: (values[first],)


def _pod_of(label: str) -> SourceOf:
    return lambda labels: (labels.get(label, ""),)


def values_of(names: Iterable[str]) -> SourceOf:
    """The values of some labels; empty for a label that a series lacks, as Prometheus leaves out empty ones."""
    wanted = tuple(dict.fromkeys(names))
    return lambda labels: tuple([labels.get(name, "") for name in wanted])
