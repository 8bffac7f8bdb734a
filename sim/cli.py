"""The command line: `poolwright run`, `compare`, `explain`, `check`, `show`, `replay`, `schema`, `trace` and more."""

import argparse
import gc
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policies.faults import InputError
from sim.arguments import parser

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

    from sim.comparison import Comparison
    from sim.result import Result
    from sim.run import Progress
    from sim.scenario import Scenario

ALLOCATED = 50_000
"""So many new objects are there before Python looks for garbage among them; 700 by itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 where it worked, 2 for bad input, 130 where the user broke it off."""
    chosen = parser().parse_args(arguments)
    # Most of a small run is loading, which makes hundreds of thousands of objects that stay, and little garbage.
    gc.set_threshold(ALLOCATED)
    try:
        return COMMANDS[chosen.command](chosen) or 0
    except InputError as fault:
        print(fault, file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not complain about it at exit.
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        print("broken off", file=sys.stderr)
        return 130


def _run(chosen: argparse.Namespace) -> int:
    from sim.result import vacant
    from sim.run import Interrupted
    from sim.scenario import load

    if chosen.out:
        vacant(chosen.out)
    status, scenario = 0, load(chosen.scenario)
    try:
        result = _simulated(scenario, chosen)
    except Interrupted as broken:
        status, result = 130, broken.result
        print(broken, file=sys.stderr)
    if chosen.out:
        _save(result, chosen.out)
    if chosen.journal and not status:
        _write_journal(result.scenario, chosen)
    _present(result, chosen.json, chosen.figures)
    return status


def _write_journal(scenario: "Scenario", chosen: argparse.Namespace) -> None:
    from sim.recording import write_journal

    turns = write_journal(scenario, chosen.journal, engine=chosen.engine)
    print(f"wrote {turns:,} turns of the first replication to {chosen.journal}", file=sys.stderr)


def _simulated(scenario: "Scenario", chosen: argparse.Namespace) -> "Result":
    from sim.run import simulate

    if chosen.engine == "plane":
        _load_numba()
    with _progress() as progress:
        return simulate(
            scenario,
            seed=chosen.seed,
            replications=chosen.replications,
            precision=chosen.precision,
            keep_requests=chosen.requests,
            jobs=chosen.jobs,
            engine=chosen.engine,
            beside=chosen.out,
            progress=progress,
        )


def _compare(chosen: argparse.Namespace) -> int:
    from sim.comparing import Interrupted
    from sim.comparison import RECORD
    from sim.result import vacant
    from sim.scenario import load

    if chosen.out:
        vacant(chosen.out, RECORD)
    status, scenario = 0, load(chosen.scenario)
    try:
        comparison = _compared(scenario, chosen)
    except Interrupted as broken:
        status, comparison = 130, broken.comparison
        print(broken, file=sys.stderr)
    if chosen.out:
        comparison.save(chosen.out)
        print(f"saved in {chosen.out}, to be read in {chosen.out / 'report.html'}", file=sys.stderr)
    _present_comparison(comparison, chosen.json, chosen.figures)
    return status


def _compared(scenario: "Scenario", chosen: argparse.Namespace) -> "Comparison":
    from sim.comparing import compare

    if chosen.engine == "plane":
        _load_numba()
    with _progress() as progress:
        return compare(
            scenario,
            chosen.policies,
            seed=chosen.seed,
            replications=chosen.replications,
            jobs=chosen.jobs,
            engine=chosen.engine,
            reference=chosen.reference,
            clairvoyant=chosen.clairvoyant,
            progress=progress,
        )


def _present_comparison(comparison: "Comparison", as_json: bool, figures: Path | None) -> None:
    if figures:
        for path in comparison.save_figures(figures):
            print(f"wrote {path}", file=sys.stderr)
    if as_json:
        _print_json(comparison.to_json())
    else:
        from sim.comparison_tables import tables

        _print_tables(tables(comparison))


def _explain(chosen: argparse.Namespace) -> None:
    from sim.explain import explain, lines

    explanation = explain(chosen.target, chosen.at, chosen.pool, replication=chosen.replication, engine=chosen.engine)
    if chosen.json:
        _print_json(explanation.to_json())
    else:
        print("\n".join(lines(explanation)))


def _load_numba() -> None:
    """Numba asks for SciPy's linear algebra, which takes longer to load than a small run and which no loop uses.

    In this process it is told that there is none. That is for a program to say of itself, not for a library.
    """
    if "scipy.linalg" not in sys.modules:
        sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
        try:
            import numba.np.arraymath  # noqa: F401
        finally:
            del sys.modules["scipy.linalg"]


def _check(chosen: argparse.Namespace) -> None:
    from sim.check import checked

    faults: list[str] = []
    for path in chosen.scenarios:
        try:
            for line in checked(path):
                print(line)
        except InputError as fault:
            faults.append(str(fault))
    if faults:
        raise InputError("\n".join(faults))


def _show(chosen: argparse.Namespace) -> None:
    from sim.recorded import read_journal
    from sim.result import read

    # A folder is a saved result, a file a journal; what is not there is told as a folder.
    result = read_journal(chosen.result) if chosen.result.is_file() else read(chosen.result)
    _present(result, chosen.json, chosen.figures)


def _replay(chosen: argparse.Namespace) -> int:
    from sim.replaying import lines, replay

    found = replay(chosen.journal, chosen.policy)
    if chosen.json:
        _print_json(found.to_json())
    else:
        print("\n".join(lines(found)))
    return 1 if found.differences else 0


def _from_journal(chosen: argparse.Namespace) -> None:
    from sim.from_journal import scenario_from_journal

    made = scenario_from_journal(chosen.journal)
    made.write(chosen.output)
    print(f"wrote {chosen.output}")
    for note in made.notes:
        print(f"- {note}")


def _schema(_chosen: argparse.Namespace) -> None:
    from policies.specfile import schema
    from sim.scenario import Scenario

    _print_json(schema(Scenario, "poolwright scenario"))


def _describe(chosen: argparse.Namespace) -> None:
    from sim.traces import read_trace
    from sim.traces.description import describe
    from sim.traces.figure import figure
    from sim.traces.tables import tables

    trace = read_trace(chosen.trace)
    description = describe(trace)
    if chosen.figure:
        _write_figure(figure(trace, description), chosen.figure)
        print(f"wrote {chosen.figure}", file=sys.stderr)
    if chosen.json:
        _print_json(description.plain())
    else:
        _print_tables(tables(description))


def _write_figure(figure: "Figure", path: Path) -> None:
    """Draw in the format that the file's name ends in. Raises `InputError` for one that cannot be drawn."""
    from io import BytesIO

    from sim.files import write_whole

    drawn = BytesIO()
    try:
        figure.savefig(drawn, format=path.suffix.removeprefix(".") or "png", dpi=150)
    except ValueError as fault:
        raise InputError(f"{path}: {fault}") from fault
    write_whole(path, drawn.getvalue())


def _scenario(chosen: argparse.Namespace) -> None:
    from dataclasses import fields

    from sim.traces import read_load_times, read_trace
    from sim.traces.scenario import Assumptions, scenario_of, write_scenario

    given = {f.name: getattr(chosen, f.name) for f in fields(Assumptions)}
    assumed = Assumptions(**{name: value for name, value in given.items() if value is not None})
    loads = read_load_times(chosen.load_times) if chosen.load_times else None
    made = scenario_of(read_trace(chosen.trace), chosen.output.stem, assumed, loads)
    for path in write_scenario(made, chosen.output):
        print(f"wrote {path}", file=sys.stderr)
    for note in made.notes:
        print(note)


def _save(result: "Result", folder: Path) -> None:
    from sim.report import write_report

    result.save(folder)
    write_report(result, folder / "report.html")
    print(f"saved in {folder}, to be read in {folder / 'report.html'}", file=sys.stderr)


def _present(result: "Result", as_json: bool, figures: Path | None) -> None:
    if figures:
        from sim.plots import save_figures
        from sim.report import write_report

        for path in [*save_figures(result, figures), write_report(result, figures / "report.html")]:
            print(f"wrote {path}", file=sys.stderr)
    if as_json:
        _print_json(result.to_json())
    else:
        from sim.tables import tables

        _print_tables(tables(result))


def _print_tables(tables: "Iterable[RenderableType]") -> None:
    from sim.tables import console

    out = console()
    for table in tables:
        out.print(table)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, allow_nan=False))


@contextmanager
def _progress() -> "Iterator[Progress | None]":
    """A bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from time import monotonic

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from sim.text import clock, short

    begin_s = monotonic()
    words = TextColumn("{task.fields[words]}")
    columns = (TextColumn("simulated"), BarColumn(), TextColumn("{task.description}"), words, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0, words="")

        def told(share: float, simulated_s: float, words: str) -> None:
            rate = short(simulated_s / max(monotonic() - begin_s, 1e-3))
            bar.update(task, completed=share, description=f"{clock(int(simulated_s))}, {rate} s/s", words=words)

        yield told


COMMANDS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "run": _run,
    "compare": _compare,
    "explain": _explain,
    "check": _check,
    "show": _show,
    "replay": _replay,
    "scenario-from-journal": _from_journal,
    "schema": _schema,
    "describe": _describe,
    "scenario": _scenario,
}
"""Name, as `sim.arguments` gives it -> what does it; its exit code, None for 0."""

if __name__ == "__main__":
    sys.exit(main())
