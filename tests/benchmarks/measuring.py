"""The bench: it runs each group of contenders once, for all the rows that compare them."""

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from contenders import Entrant, groups
from findings import Figure, Finding, Row
from timing import SMALLEST, NotHereError, Run, Spread, race

from sim.world import Engine


@dataclass
class Bench:
    engine: Engine
    rows: Sequence[Row]
    cpu_s: float
    """Length of one run of a contender."""
    repetitions: int
    told: Callable[[str], None]
    """Called with what is being measured."""
    runs: dict[str, dict[str, list[Run]]] = field(default_factory=dict)
    """Group -> contender -> its runs, as far as rows have asked for them."""
    _absent: dict[tuple[str, str], str] = field(default_factory=dict)

    def finding(self, row: Row) -> Finding:
        self.told(f"{row.number}  {row.what}")
        try:
            return Finding(row, row.measure(self))
        except NotHereError as reason:
            return Finding(row, None, str(reason))
        except Exception as fault:
            # Minutes of other rows' measurements must not be lost with this one.
            traceback.print_exc()
            return Finding(row, None, f"{type(fault).__name__}: {fault}".splitlines()[0], broken=True)

    def raced(self, group: str, name: str) -> list[Run]:
        """This contender's runs. Raises `NotHereError` where it cannot run."""
        if group not in self.runs:
            self.runs[group] = self._race(group)
        if (group, name) in self._absent:
            raise NotHereError(self._absent[group, name])
        return self.runs[group][name]

    def wrong(self, group: str, names: Iterable[str]) -> str:
        """Which of these found a mean response time that theory rules out; empty where none did."""
        found = []
        for name in names:
            case, runs = groups(self.engine)[group][name].case, self.raced(group, name)
            odd = [run.response_s for run in runs if not case.agrees(run.response_s, run.requests)]
            found += [f"{name}: mean response {x:.4g} s, in theory {case.response_s:.4g} s" for x in odd[:1]]
        return "; ".join(found)

    def _race(self, group: str) -> dict[str, list[Run]]:
        asked = {name for row in self.rows if isinstance(row.measure, Rate) for name in row.measure.names(group)}
        entrants = {n: e for n, e in groups(self.engine)[group].items() if n in asked}
        able = dict(self._able(group, entrants))
        return race(able, self.cpu_s, self.repetitions)

    def _able(self, group: str, entrants: Mapping[str, Entrant]) -> Iterator[tuple[str, Callable[[int], Run]]]:
        for name, entrant in entrants.items():
            try:
                entrant.run(SMALLEST)
            except NotHereError as reason:
                self._absent[group, name] = str(reason)
            else:
                yield name, entrant.run


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a CPU second of one contender over those of another of its group."""

    group: str
    of: str
    over: str

    def names(self, group: str) -> tuple[str, ...]:
        """Whom of this group it compares."""
        return (self.of, self.over) if group == self.group else ()

    def __call__(self, bench: Bench) -> Figure:
        of, over = bench.raced(self.group, self.of), bench.raced(self.group, self.over)
        return compared(of, over, bench.wrong(self.group, (self.of, self.over)))


def compared(of: Sequence[Run], over: Sequence[Run], wrong: str) -> Figure:
    """The ratio of their rates, each run against the other's that came next to it."""
    ratios = [a.rate_per_s / b.rate_per_s for a, b in zip(of, over, strict=True)]
    rates = [Spread.of([run.rate_per_s for run in runs]).median for runs in (of, over)]
    return Figure(Spread.of(ratios), f"{short(rates[0])} to {short(rates[1])} requests/s", wrong)


def short(rate: float) -> str:
    """Three digits: 74.3 k, 23.4 M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if rate >= size:
            return f"{rate / size:.3g} {unit}"
    return f"{rate:.3g}"
