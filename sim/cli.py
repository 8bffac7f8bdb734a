"""The command line: `poolwright run`, `check`, `show`, `schema`, `trace`."""

import argparse
import gc
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policies.faults import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

    from sim.result import Result
    from sim.run import Progress
    from sim.scenario import Scenario

DESCRIPTION = "Simulate scaling policies for many versions of AI models: which policy, how many replicas, what p99."
ENGINES = ("plane", "reference")
ALLOCATED = 50_000
"""So many new objects are there before Python looks for garbage among them; 700 by itself."""
EPILOG = "Times are in seconds. Bad input gives one line a fault and exit code 2."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 where it worked, 2 for bad input, 130 where the user broke it off."""
    chosen = _parser().parse_args(arguments)
    # Most of a small run is loading, which makes hundreds of thousands of objects that stay, and little garbage.
    gc.set_threshold(ALLOCATED)
    try:
        return chosen.command(chosen) or 0
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="poolwright", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _run_parser(commands.add_parser("run", help="simulate a scenario and print what it measured"))
    _check_parser(commands.add_parser("check", help="say everything that is wrong with scenario files"))
    _show_parser(commands.add_parser("show", help="print a saved result again"))
    schema = commands.add_parser("schema", help="print the JSON schema of scenario files, for editors")
    schema.set_defaults(command=_schema)
    traces = commands.add_parser("trace", help="describe a trace, or make a scenario of it")
    kinds = traces.add_subparsers(metavar="COMMAND", required=True)
    _describe_parser(kinds.add_parser("describe", help="what is in a trace: rates, variability, versions"))
    _scenario_parser(kinds.add_parser("scenario", help="make a runnable scenario of a trace"))
    return parser


class _Version(argparse.Action):
    """Print the version, looked up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"poolwright {version('poolwright')}")
        parser.exit()


def _run_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", type=Path, help="a scenario file (YAML)")
    parser.add_argument("--seed", type=int, help="take the place of the scenario's seed")
    parser.add_argument("--replications", type=_count, metavar="N", help="independent runs")
    parser.add_argument("--precision", type=_share, metavar="1%", help="run until the mean response is this sure")
    parser.add_argument("--out", type=Path, metavar="DIR", help="save the result (parquet, JSON, report.html) here")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="write figures (PNG, SVG) and report.html here")
    parser.add_argument(
        "--requests",
        type=_kept,
        nargs="?",
        const=1.0,
        default=0.0,
        metavar="1%",
        help="keep a row for each request, or for this share of them, in the saved result",
    )
    parser.add_argument("--jobs", type=_count, default=1, metavar="N", help="processes that replications may take (1)")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help=f"request plane ({ENGINES[0]})")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.set_defaults(command=_run)


def _check_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenarios", type=Path, nargs="+", metavar="scenario", help="scenario files (YAML)")
    parser.set_defaults(command=_check)


def _show_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("result", type=Path, help="a folder that `run --out` wrote")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="write figures (PNG, SVG) and report.html here")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.set_defaults(command=_show)


def _describe_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", type=Path, help="a request log or a count series (CSV or JSON lines, plain or gzip)")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw it (PNG, SVG or PDF)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.set_defaults(command=_describe)


def _scenario_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", type=Path, help="a request log or a count series (CSV or JSON lines, plain or gzip)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the scenario file to write")
    parser.add_argument("--load-times", type=Path, metavar="FILE", help="a log of load times, for start-up")
    parser.add_argument("--startup-s", type=_positive, metavar="S", help="start-up time without one (60)")
    parser.add_argument("--group-below", type=_share, metavar="1%", help="smaller versions share a pool (1%%)")
    parser.add_argument("--slots", type=_count, metavar="N", help="requests a replica serves at a time (1)")
    parser.add_argument("--slo-s", type=_positive, metavar="S", help="objective: response time (3 x mean service)")
    parser.add_argument("--service-s", type=_positive, metavar="S", help="mean service where nothing tells it (1)")
    parser.add_argument("--cost-per-hour", type=_positive, metavar="USD", help="price of a replica (1)")
    parser.add_argument("--prefill-tokens-per-s", type=_positive, metavar="N", help="of LLM traces (10000)")
    parser.add_argument("--decode-tokens-per-s", type=_positive, metavar="N", help="of LLM traces (33)")
    parser.add_argument("--overhead-s", type=_positive, metavar="S", help="of LLM traces (0.05)")
    parser.set_defaults(command=_scenario)


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
    _present(result, chosen.json, chosen.figures)
    return status


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
    from sim.result import read

    _present(read(chosen.result), chosen.json, chosen.figures)


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


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text}")
    return number


def _share(text: str) -> float:
    """A share: `1%` or `0.01`."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"must be a share such as 1% or 0.01, got {text!r}")
    return share


def _kept(text: str) -> float:
    try:
        return 1.0 if text == "100%" else _share(text)
    except argparse.ArgumentTypeError as fault:
        raise argparse.ArgumentTypeError(f"{fault}; the scenario's name goes before --requests") from fault


if __name__ == "__main__":
    sys.exit(main())
