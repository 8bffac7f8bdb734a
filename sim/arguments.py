"""What the commands take: their names, options and help."""

import argparse
from pathlib import Path

DESCRIPTION = "Simulate scaling policies for many versions of AI models: which policy, how many replicas, what p99."
EPILOG = "Times are in seconds. Bad input gives one line a fault and exit code 2."
ENGINES = ("plane", "reference")


def parser() -> argparse.ArgumentParser:
    """The commands and their options; `command` of what it parses is the name of the chosen one."""
    whole = argparse.ArgumentParser(prog="poolwright", description=DESCRIPTION, epilog=EPILOG)
    whole.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = whole.add_subparsers(metavar="COMMAND", required=True)
    _run_parser(commands.add_parser("run", help="simulate a scenario and print what it measured"))
    _compare_parser(commands.add_parser("compare", help="simulate a scenario under several policies: which is best"))
    _explain_parser(commands.add_parser("explain", help="why a policy decided as it did at one moment"))
    _check_parser(commands.add_parser("check", help="say everything that is wrong with scenario files"))
    _show_parser(commands.add_parser("show", help="print a saved result again, or what a journal tells"))
    _replay_parser(commands.add_parser("replay", help="put a journal through its policy again, or through another"))
    _from_journal_parser(commands.add_parser("scenario-from-journal", help="make a runnable scenario of a journal"))
    schema = commands.add_parser("schema", help="print the JSON schema of scenario files, for editors")
    schema.set_defaults(command="schema")
    traces = commands.add_parser("trace", help="describe a trace, or make a scenario of it")
    kinds = traces.add_subparsers(metavar="COMMAND", required=True)
    _describe_parser(kinds.add_parser("describe", help="what is in a trace: rates, variability, versions"))
    _scenario_parser(kinds.add_parser("scenario", help="make a runnable scenario of a trace"))
    return whole


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
    parser.add_argument("--journal", type=Path, metavar="FILE", help="write the first replication's journal here")
    parser.add_argument("--jobs", type=_count, default=1, metavar="N", help="processes that replications may take (1)")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help=f"request plane ({ENGINES[0]})")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.set_defaults(command="run")


def _compare_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", type=Path, help="a scenario file (YAML)")
    parser.add_argument(
        "--policies",
        nargs="+",
        required=True,
        metavar="POLICY",
        help="policy files (YAML), each as what stands under `policy:` of a scenario; `own` is the scenario's own",
    )
    parser.add_argument("--reference", metavar="NAME", help="hold the others against this one (the cheapest that does)")
    parser.add_argument("--clairvoyant", action="store_true", help="add the policy that knows the future")
    parser.add_argument("--seed", type=int, help="take the place of the scenario's seed")
    parser.add_argument("--replications", type=_count, metavar="N", help="independent runs of each policy")
    parser.add_argument("--out", type=Path, metavar="DIR", help="save the comparison (parquet, JSON, report.html) here")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="write the figure (PNG, SVG) and report.html here")
    parser.add_argument("--jobs", type=_count, default=1, metavar="N", help="processes that the runs may take (1)")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help=f"request plane ({ENGINES[0]})")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.set_defaults(command="compare")


def _explain_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", type=Path, help="a scenario file (YAML), or a folder that `run --out` wrote")
    parser.add_argument("--at", type=float, required=True, metavar="S", help="the moment, in seconds of the run")
    parser.add_argument("--pool", metavar="NAME", help="only this pool, or version")
    parser.add_argument("--replication", type=int, default=0, metavar="N", help="which run, from 0 on (0)")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help=f"request plane ({ENGINES[0]})")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.set_defaults(command="explain")


def _check_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenarios", type=Path, nargs="+", metavar="scenario", help="scenario files (YAML)")
    parser.set_defaults(command="check")


def _show_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("result", type=Path, help="a folder that `run --out` wrote, or a journal")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="write figures (PNG, SVG) and report.html here")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.set_defaults(command="show")


def _replay_parser(parser: argparse.ArgumentParser) -> None:
    parser.description = "Exit code 0 where every decision is as recorded, 1 where one differs."
    parser.add_argument("journal", type=Path, help="the newest file of a journal; older ones beside it are read too")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="another policy (YAML): what it would have wanted")
    parser.add_argument("--json", action="store_true", help="print one JSON object, with each difference")
    parser.set_defaults(command="replay")


def _from_journal_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("journal", type=Path, help="the newest file of a journal; older ones beside it are read too")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the scenario file to write")
    parser.set_defaults(command="scenario-from-journal")


def _describe_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", type=Path, help="a request log or a count series (CSV or JSON lines, plain or gzip)")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw it (PNG, SVG or PDF)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.set_defaults(command="describe")


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
    parser.set_defaults(command="scenario")


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
