"""How fast poolwright is: against SimPy, Ciw, a tuned C++ loop and its own reference engine, and by the clock.

    python tests/benchmarks/bench.py                the whole table, in a few minutes
    python tests/benchmarks/bench.py --only 1 4     rows of it
    python tests/benchmarks/bench.py --guard        what a slower compiled loop shows first, in half a minute

Broken off by Ctrl-C it prints what it has. Ends with 1 where a row misses its floor, or a contender found what theory
rules out.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import suppress

from findings import Finding
from measuring import Bench
from ours import ENGINES
from rows import GUARD, ROWS
from table import machine, plain, table

CPU_S = 1.0
REPETITIONS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the rows asked for and print them."""
    chosen = _parser().parse_args(arguments)
    numbers = set(GUARD if chosen.guard else chosen.only or [row.number for row in ROWS])
    rows = [row for row in ROWS if row.number in numbers]
    here = machine()
    bench = Bench(chosen.engine, rows, chosen.cpu_s, chosen.repetitions, _told)
    findings: list[Finding] = []
    with suppress(KeyboardInterrupt):
        findings.extend(bench.finding(row) for row in rows)
    _told("")
    if chosen.json:
        print(json.dumps(plain(bench, here, findings), indent=1, allow_nan=False))
    else:
        from rich.console import Console

        Console(width=160, highlight=False).print(table(bench, here, findings))
    return 1 if any(finding.fails for finding in findings) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    numbers = sorted({row.number for row in ROWS})
    parser.add_argument("--only", type=int, nargs="+", choices=numbers, metavar="ROW", help="only the rows so numbered")
    parser.add_argument("--guard", action="store_true", help=f"only rows {' and '.join(map(str, GUARD))}")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help=f"measure this one ({ENGINES[0]})")
    parser.add_argument(
        "--repetitions", type=int, default=REPETITIONS, metavar="N", help=f"runs of each contender ({REPETITIONS})"
    )
    parser.add_argument("--cpu-s", type=float, default=CPU_S, metavar="S", help=f"length of one run ({CPU_S:g} s)")
    return parser


def _told(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{words}", end="" if words else "\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
