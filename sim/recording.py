"""A simulated run written down as the daemon writes its journal, line by line."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile

from policies.journal import Header, to_line
from policies.loop import Turn
from policies.spec import plain
from sim.cluster import Keep
from sim.history import RECENT
from sim.scenario import Scenario
from sim.world import Engine, World


def turns(scenario: Scenario, replication: int = 0, engine: Engine = "plane") -> Iterator[Turn]:
    """Every turn of one replication: what the policy saw, what it decided, what was done."""
    world = World(scenario, replication, engine, Keep(0.0, lambda _: None))
    tick_s, last_s, tick = scenario.control.tick_s, -1.0, -1
    while world.env.now < scenario.horizon_s:
        # The history keeps no more turns than these; the first is at 0.
        tick += RECENT
        world.run_through(min(tick * tick_s, scenario.horizon_s))
        for turn in tuple(world.history.recent):
            if turn.observation.time_s > last_s:
                last_s = turn.observation.time_s
                yield turn


def header(scenario: Scenario) -> Header:
    """What the turns of a scenario depend on; they begin at time 0."""
    return Header(
        time_s=0.0,
        version=version("poolwright"),
        policy=plain(scenario.policy),
        pools=scenario.pools,
        config={"tick_s": scenario.control.tick_s, "slo": plain(scenario.slo), "scenario": plain(scenario)},
    )


def write_journal(scenario: Scenario, path: str | Path, replication: int = 0, engine: Engine = "plane") -> int:
    """Simulate one replication and write its journal, whole or not at all; the number of turns."""
    path, written = Path(path), 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        new = Path(file.name)
        try:
            file.write(to_line(header(scenario)))
            for turn in turns(scenario, replication, engine):
                file.write(to_line(turn))
                written += 1
            file.flush()
            new.chmod(0o644)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
    return written
