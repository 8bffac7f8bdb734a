"""The whole daemon in storms of faults, each made by its seed: what must never happen does not, and all ends well.

One storm again: `STORM=17 python -m pytest tests/live/test_storms.py`.
"""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from storm_world import CALM_S, KINDS, SETTLING_S, STORM_S, TICK_S, Process, StormWorld, config
from storms import Storm

from policies.afresh import Afresh
from policies.journal import files, read
from policies.loop import Turn

QUICK, CENTURIES = 200, 30
"""Storms in every run of the suite; hundreds of storms in the longer proof."""


def recorded(path: Path) -> list[Turn]:
    return [record for record in read(*files(path)) if isinstance(record, Turn)]


def weathered(folder: Path, seed: int) -> StormWorld:
    """A world after a storm and the calm that follows."""
    world = StormWorld(folder, seed)
    Storm(world)
    world.clock.wait(STORM_S + SETTLING_S)
    for process in world.alive():
        process.errors_before = Counter(process.assembly.daemon.board.errors_total)
    world.clock.wait(CALM_S)
    return world


def unquiet(world: StormWorld) -> list[str]:
    """What is not as it should be long after a storm."""
    leaders = [process for process in world.alive() if process.held]
    if len(leaders) != 1:
        return [f"{len(leaders)} daemons lead"]
    (leader,) = leaders
    return [
        *_unsettled(world, leader),
        *(f"{process.name}: {process.errors}" for process in world.alive() if process.errors),
    ]


def _unsettled(world: StormWorld, leader: Process) -> list[str]:
    found, turn = [], leader.turns[-1]
    for name in KINDS:
        pool, wanted = f"m/{name}", world.in_force(name)
        if wanted != turn.decision.targets.get(pool):
            found.append(f"{pool} has {wanted}, and {turn.decision.targets.get(pool)} were decided on")
        if wanted is None or wanted < 2:
            found.append(f"{pool}: {wanted} replicas cannot bear its load")
        if (age_s := turn.observation.pools[pool].age_s) is None or age_s > 3 * TICK_S:
            found.append(f"{pool}: its reading is {age_s} s old")
    return found


def failures(world: StormWorld) -> list[str]:
    """Parts that failed, which no weather is to bring about."""
    boards = {process.name: process.assembly.daemon.board for process in world.processes}
    found = ((name, fault) for name, board in boards.items() for fault in board.faults())
    return [f"{name}: {fault.message}" for name, fault in found if fault.where in ("turn", "policy", "actuator")]


def forgotten(world: StormWorld) -> list[str]:
    """What journals lack, and where the same policy would have decided otherwise."""
    found = []
    for name in sorted({process.name for process in world.processes}):
        made = [turn for process in world.processes if process.name == name for turn in process.turns]
        kept = recorded(world.journal(name))
        if kept != made:
            found.append(f"{name}: {len(kept)} turns in its journal, {len(made)} were made")
        chosen = config(world.journal(name))
        policy = Afresh.of(chosen.policy, chosen.pools)
        other = [i for i, turn in enumerate(kept) if policy.decide(turn.observation) != turn.decision]
        found += [f"{name}: turn {i} replays otherwise" for i in other]
    return found


def broken(folder: Path, seed: int) -> list[str]:
    """The laws that did not hold in a storm."""
    world = weathered(folder, seed)
    found = [*world.broken, *unquiet(world), *failures(world), *forgotten(world)]
    for process in world.processes:
        if process.alive:
            process.assembly.close()
    return found


SEEDS = [int(os.environ["STORM"])] if "STORM" in os.environ else range(QUICK)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_storm_breaks_no_law_and_passes(tmp_path: Path, seed: int) -> None:
    assert broken(tmp_path, seed) == []


@pytest.mark.slow
@pytest.mark.parametrize("century", range(CENTURIES))
def test_a_hundred_storms_break_no_law(tmp_path: Path, century: int) -> None:
    found = {}
    for seed in range(100 * century, 100 * (century + 1)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        if laws := broken(folder, seed):
            found[seed] = laws
    assert found == {}
