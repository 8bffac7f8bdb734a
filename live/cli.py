"""The daemon's command line: `poolwright-live run`, `check`, `demo`, `manifests`."""

import argparse
import gc
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING

from policies.faults import InputError

if TYPE_CHECKING:
    from live.assembly import Assembly
    from live.check import Finding
    from live.clock import WallClock
    from live.config import Config
    from live.connect import HttpTransport, KubeTransport
    from live.daemon import Daemon
    from policies.loop import Turn

DESCRIPTION = "Scale many versions of AI models on Kubernetes by the policies that poolwright simulates."
EPILOG = "Times are in seconds. Bad input gives one line a fault and exit code 2."
LEVELS = ("debug", "info", "warning", "error")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 where it worked, 1 where a check found faults or a single turn failed, 2 for bad input."""
    chosen = _parser().parse_args(arguments)
    try:
        status: int = chosen.command(chosen)
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
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="poolwright-live", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _run_parser(commands.add_parser("run", help="scale a cluster until stopped"))
    _check_parser(commands.add_parser("check", help="try everything that a configuration names, without acting"))
    _demo_parser(commands.add_parser("demo", help="see it scale a small cluster in this process"))
    _manifests_parser(commands.add_parser("manifests", help="print what to apply to a cluster, without Helm"))
    return parser


class _Version(argparse.Action):
    """Print the version, looked up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"poolwright-live {version('poolwright')}")
        parser.exit()


def _run_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="a configuration file (YAML)")
    parser.add_argument("--dry-run", action="store_true", help="let the API check each write and keep none")
    parser.add_argument("--once", action="store_true", help="make one turn, print what it decided, and end")
    parser.add_argument("--log", choices=("text", "json"), default="text", help="style of log lines (text)")
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="least level that is told (info)")
    parser.set_defaults(command=_run)


def _check_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="a configuration file (YAML)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.set_defaults(command=_check)


def _demo_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=_positive, default=60.0, metavar="N", help="how long it runs (60)")
    parser.add_argument("--journal", type=Path, metavar="FILE", help="keep its journal here")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="of the status page (any that is free)")
    parser.set_defaults(command=_demo)


def _manifests_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="a configuration file (YAML)")
    parser.add_argument("--values", type=Path, metavar="FILE", help="values of the chart, as Helm takes them (YAML)")
    parser.add_argument("--name", default="poolwright", help="of the release, and so of its objects (poolwright)")
    parser.add_argument("--namespace", default="poolwright", metavar="NS", help="where the daemon runs (poolwright)")
    parser.set_defaults(command=_manifests)


def _manifests(chosen: argparse.Namespace) -> int:
    from live.manifests import manifests

    print(manifests(chosen.config, chosen.values, chosen.name, chosen.namespace), end="")
    return 0


def _run(chosen: argparse.Namespace) -> int:
    from live import log
    from live.assembly import assemble
    from live.clock import WallClock
    from live.config import load
    from live.daemon import stopped_by_signals

    config = load(chosen.config)
    log.start(chosen.log, chosen.log_level)
    clock = WallClock()
    kubernetes, prometheus = _connected(config)
    with stopped_by_signals(clock.stop):
        assembly = assemble(config, kubernetes, prometheus, clock, chosen.dry_run)
    try:
        return _operate(assembly, clock, chosen.once)
    finally:
        assembly.close()


def _operate(assembly: "Assembly", clock: "WallClock", once: bool) -> int:
    from live.daemon import background, stopped_by_signals

    daemon = assembly.daemon
    with stopped_by_signals(lambda: assembly.stop(clock.stop)):
        if once:
            background(assembly.works, clock, daemon.board)
            daemon.sync()
            turn = daemon.turn()
            clock.stop()
            return 1 if turn is None else _told(turn) or _unread(turn, daemon)
        with assembly.served() as port:
            getLogger(__name__).info("status page at port %d", port)
            background(assembly.works, clock, daemon.board)
            daemon.sync()
            # What is there by now stays: looking for garbage among it would take most of the time of a turn.
            gc.freeze()
            daemon.run()
    return 0


def _told(turn: "Turn") -> int:
    """One line a pool."""
    for pool, reading in turn.observation.pools.items():
        reason, action = turn.decision.reasons.get(pool), turn.actions.get(pool)
        wanted = "?" if reading.wanted is None else reading.wanted
        target = wanted if reason is None else reason.final
        words = turn.decision.kept.get(pool, "the policy says nothing of it") if reason is None else str(reason)
        done = "" if action is None else f" [{action.error or 'written'}]"
        print(f"{pool}: {wanted} -> {target}{done}: {words}")
    return 0


def _unread(turn: "Turn", daemon: "Daemon") -> int:
    """1, and what, where nothing at all could be read of the cluster, or of requests where the policy goes by them."""
    from live.actuator import decides_by_metrics

    readings = turn.observation.pools.values()
    unread = {"the replicas": all(reading.wanted is None for reading in readings)}
    if decides_by_metrics(daemon.loop.policy.readings):
        unread["the metrics"] = all(reading.age_s is None for reading in readings)
    if not any(unread.values()):
        return 0
    # Why, the log has said.
    print(f"{' and '.join(what for what, so in unread.items() if so)} of no target could be read", file=sys.stderr)
    return 1


def _check(chosen: argparse.Namespace) -> int:
    from live.check import check
    from live.clock import WallClock
    from live.config import load

    config = load(chosen.config)
    found = check(config, *_connected(config), WallClock())
    counted = Counter(finding.level for finding in found)
    if chosen.json:
        print(json.dumps({"ok": not counted["fault"], "findings": [asdict(finding) for finding in found]}, indent=2))
    else:
        _list(found)
        print(f"{counted['ok']} ok, {_many(counted['warning'], 'warning')}, {_many(counted['fault'], 'fault')}")
    return 1 if counted["fault"] else 0


def _list(found: "Sequence[Finding]") -> None:
    about = ""
    for finding in found:
        if finding.about != about:
            about = finding.about
            print(about)
        print(f"  {finding.level:<8} {finding.what}: {finding.words}")


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _demo(chosen: argparse.Namespace) -> int:
    from live import demo, log

    log.start("text", "warning")
    demo.run(chosen.seconds, chosen.journal, chosen.port)
    return 0


def _connected(config: "Config") -> "tuple[KubeTransport, HttpTransport]":
    from live.connect import to_kubernetes, to_prometheus

    try:
        return to_kubernetes(config.cluster), to_prometheus(config.prometheus)
    except ValueError as error:
        raise InputError(str(error)) from None


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


if __name__ == "__main__":
    sys.exit(main())
