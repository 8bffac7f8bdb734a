"""Which policy is best: the candidate with one setting for all loads against rivals at their best in hindsight.

    python tests/benchmarks/policies_bench.py                          all loads, in less than half an hour
    python tests/benchmarks/policies_bench.py --quick                  shorter loads, fewer settings and seeds
    python tests/benchmarks/policies_bench.py --only mmpp50,azure120   some of them
    python tests/benchmarks/policies_bench.py --only anchors           the exact optimum of a small system

Prints a table for each load and, with --out, writes policies.json and policies.png there, anew after each load. The
traces are not part of poolwright; those that are absent are left out. Ends with 1 where the candidate misses an aim.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from policies_anchors import ANCHORS, Gap, gap, solved
from policies_loads import LOADS, LONG, QUICK, USUAL, Extent, Load, loads
from policies_race import Race, raced
from policies_table import plain_race, table, verdicts

from sim.files import write_whole

TRACES = Path(__file__).parents[3] / "shared" / "traces"
ANCHOR = "anchors"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and print it."""
    from rich.console import Console

    chosen = _parser().parse_args(arguments)
    console = Console(width=200, highlight=False)
    names = chosen.only or [*LOADS, ANCHOR]
    report = _Report(console, chosen.out)
    with TemporaryDirectory(prefix="poolwright-") as folder:
        for load in loads([n for n in names if n != ANCHOR], chosen.traces, Path(folder), _extent(chosen)):
            report.load(load, chosen)
    if ANCHOR in names:
        report.anchors(chosen.jobs, quick=chosen.quick)
    return report.missed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="shorter loads, fewer settings and seeds")
    extent.add_argument("--long", action="store_true", help="all days of the traces")
    parser.add_argument("--only", type=_names, metavar="LOAD,...", help=f"of {', '.join([*LOADS, ANCHOR])}")
    parser.add_argument("--seeds", type=int, metavar="N", help=f"replications of a random load ({USUAL.seeds})")
    parser.add_argument("--traces", type=Path, default=TRACES, metavar="DIR", help="where the traces are")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write policies.json and policies.png there")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (2)")
    parser.add_argument("--no-clairvoyant", action="store_true", help="no plan with foresight, which takes minutes")
    return parser


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in (*LOADS, ANCHOR)]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is no load; loads are {', '.join([*LOADS, ANCHOR])}")
    return names


def _extent(chosen: argparse.Namespace) -> Extent:
    extent = QUICK if chosen.quick else LONG if chosen.long else USUAL
    return extent if chosen.seeds is None else replace(extent, seeds=chosen.seeds)


class _Report:
    """What was found so far, printed as it comes and written anew each time."""

    def __init__(self, console: Any, out: Path | None) -> None:
        self._console, self._out = console, out
        self._races: list[Race] = []
        self._gaps: list[Gap] = []
        self._words: list[str] = []

    @property
    def missed(self) -> int:
        return 1 if any("[red]no" in words for words in self._words) else 0

    def load(self, load: Load | str, chosen: argparse.Namespace) -> None:
        if isinstance(load, str):
            self._say(load)
            return
        began_s = monotonic()
        extent = _extent(chosen)
        race = raced(load, chosen.jobs, _told, extent.one_in, yardstick=not chosen.no_clairvoyant)
        self._races.append(race)
        _clear()
        self._console.print(table(race))
        for words in verdicts(race):
            self._say(f"  {words}")
        self._console.print(f"  [dim]{len(race.wide.figures)} settings in {monotonic() - began_s:.0f} s[/]\n")
        self._write()

    def anchors(self, jobs: int, *, quick: bool) -> None:
        self._say(solved())
        for anchor in ANCHORS:
            found = gap(anchor, jobs, quick=quick)
            self._gaps.append(found)
            self._say(str(found))
            self._write()

    def _say(self, words: str) -> None:
        self._words.append(words)
        self._console.print(words)

    def _write(self) -> None:
        # A run that is broken off shows what it has found, in a file too.
        self._console.file.flush()
        if self._out is None:
            return
        self._out.mkdir(parents=True, exist_ok=True)
        write_whole(self._out / "policies.json", json.dumps(dict(self._plain()), indent=1, allow_nan=False).encode())
        if self._races:
            from policies_figure import draw

            draw(self._races, self._out / "policies.png")

    def _plain(self) -> Iterator[tuple[str, Any]]:
        yield "loads", {race.load.name: plain_race(race) for race in self._races}
        yield "anchors", [found.plain() for found in self._gaps]


def _told(share: float, _simulated_s: float, words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{share:.0%}  {words}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
