"""Simulate a scenario under several policies, all of which meet the same requests, and compare them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from policies import specfile
from policies.catalog import PolicySpec
from policies.faults import Fault, InputError, SpecError
from sim.cluster import Keep
from sim.comparison import CLAIRVOYANT, Comparison, compared
from sim.jobs import Stopped, Told, each, interruptible
from sim.loghistogram import LogHistogram
from sim.measures import batches, mser
from sim.pieces import Piece, pieces_of, together, whole_run
from sim.run import Progress
from sim.scenario import Scenario
from sim.windows import Scopes, Windows
from sim.world import Engine, World

OWN = "own"
"""As the name of a policy file: the scenario's own policy."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while policies were compared; `comparison` is of the replications that all of them had finished."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__(f"broken off after {comparison.partial}")
        self.comparison = comparison


def compare(
    scenario: Scenario,
    policies: Mapping[str, PolicySpec] | Sequence[str | Path],
    *,
    seed: int | None = None,
    replications: int | None = None,
    jobs: int = 1,
    engine: Engine = "plane",
    reference: str | None = None,
    clairvoyant: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Run a scenario under each policy and compare them, replication by replication.

    `policies` maps names to specs, or lists policy files, each named by its stem; "own" among them is the scenario's
    own policy. The same seed and replication bring the same requests under every policy, so differences are paired.
    `seed` and `replications` take the place of the scenario's own. The others are held against `reference`; where it is
    None, against the cheapest whose figure meets the SLO. `clairvoyant` adds the policy that knows the future, the
    yardstick of all others. `jobs` is how many processes the runs may take; the result is the same.

    Ctrl-C ends it soon and raises `Interrupted`, a `KeyboardInterrupt` with what there is of a comparison; a plain one
    where no replication was finished under all policies. Raises `InputError` for a policy that cannot be used, a
    reference that is none of them, and fewer than two policies; `ValueError` for fewer jobs than one, or an engine
    that there is not.
    """
    if jobs < 1:
        raise ValueError(f"jobs {jobs} is no number of processes; give 1 or more")
    if engine not in get_args(Engine):
        raise ValueError(f"engine {engine!r} is unknown; engines are {', '.join(get_args(Engine))}")
    scenario = replace(
        scenario,
        seed=scenario.seed if seed is None else seed,
        replications=scenario.replications if replications is None else replications,
    )
    chosen = _chosen(scenario, policies, clairvoyant)
    if reference is not None and reference not in chosen:
        raise InputError(f"reference {reference!r} is none of the policies; they are {', '.join(chosen)}")
    tasks = [
        _Task(replace(scenario, policy=spec), name, number, engine)
        for number in range(scenario.replications)
        for name, spec in chosen.items()
    ]
    with interruptible() as stopped:
        found = each(_outcome, tasks, jobs, stopped, _told(scenario, len(tasks), progress or (lambda *_: None)))
        comparison = _comparison(scenario, chosen, found, reference)
        if stopped() and comparison is None:
            raise KeyboardInterrupt
        assert comparison is not None
        if stopped():
            raise Interrupted(comparison)
    return comparison


def read_policies(scenario: Scenario, files: Sequence[str | Path]) -> dict[str, PolicySpec]:
    """Name -> spec of policy files, each what stands under `policy:` of a scenario; "own" is the scenario's own.

    Raises `InputError` with every fault of every file, by line and column, and for a name that comes twice.
    """
    found: dict[str, PolicySpec] = {}
    faults: list[str] = []
    for file in files:
        name = OWN if str(file) == OWN else Path(file).stem
        if name in found:
            faults.append(f"{file}: the name {name} is taken; rename the file, as names must differ")
        try:
            found[name] = scenario.policy if name == OWN else _read(scenario, file)
        except SpecError as fault:
            faults.append(str(fault))
    if faults:
        raise InputError("\n".join(faults))
    return found


def _read(scenario: Scenario, file: str | Path) -> PolicySpec:
    spec: PolicySpec = specfile.read(PolicySpec, file)  # type: ignore[arg-type]
    if misfits := _misfits(scenario, spec):
        raise SpecError(str(file), [Fault(1, 1, "", words) for words in misfits])
    return spec


def _misfits(scenario: Scenario, spec: PolicySpec) -> list[str]:
    """Why a policy cannot run this scenario."""
    return [message for place, message in replace(scenario, policy=spec).faults() if place[0] in ("policy", "control")]


def _chosen(
    scenario: Scenario, policies: Mapping[str, PolicySpec] | Sequence[str | Path], clairvoyant: bool
) -> dict[str, PolicySpec]:
    given = dict(policies) if isinstance(policies, Mapping) else read_policies(scenario, policies)
    if clairvoyant and CLAIRVOYANT not in {spec.kind for spec in given.values()}:
        given[CLAIRVOYANT] = specfile.parse(PolicySpec, f"kind: {CLAIRVOYANT}", CLAIRVOYANT)  # type: ignore[arg-type]
    if len(given) < 2:
        raise InputError(f"policies: {', '.join(given) or 'none'}; give two or more, there is nothing to compare else")
    faults = [f"policy {name}: {words}" for name, spec in given.items() for words in _misfits(scenario, spec)]
    if faults:
        raise InputError("\n".join(faults))
    return given


@dataclass(frozen=True)
class _Task:
    """One replication under one policy."""

    scenario: Scenario
    policy: str
    replication: int
    engine: Engine


@dataclass(frozen=True, eq=False)
class _Outcome:
    """What is kept of one replication under one policy; no pieces where it was broken off."""

    policy: str
    replication: int
    pieces: Sequence[Piece]


def _outcome(task: _Task, stopped: Stopped, told: Told) -> _Outcome:
    scenario = task.scenario
    world = World(scenario, task.replication, engine=task.engine, keep=Keep(0.0, lambda _: None))
    windows = Windows(scenario.horizon_s, Scopes(scenario).masks[:1], _given_warmup_s(scenario) or 0.0)
    while world.env.now < scenario.horizon_s and not stopped():
        world.run_through(windows.next_s())
        windows.take(world.cluster.harvest(), world.env.now)
        told(world.env.now)
    if world.env.now < scenario.horizon_s:
        return _Outcome(task.policy, task.replication, ())
    pieces = pieces_of(scenario, windows.found, world.cluster.present(), world.rows())
    warmup_s = _given_warmup_s(scenario)
    if scenario.replications > 1 and warmup_s is not None:
        pieces = [whole_run(pieces, warmup_s)]
    return _Outcome(task.policy, task.replication, pieces)


def _told(scenario: Scenario, runs: int, progress: Progress) -> Callable[[Sequence[float]], None]:
    """Tells of the progress of all runs as of one."""

    def told(come: Sequence[float]) -> None:
        ended = sum(far >= scenario.horizon_s for far in come)
        progress(sum(come) / (runs * scenario.horizon_s), sum(come), f"{ended} of {runs} runs")

    return told


def _given_warmup_s(scenario: Scenario) -> float | None:
    """None where only the runs can tell when the warm-up ends."""
    if scenario.warmup_s != "auto":
        return scenario.warmup_s
    return None if scenario.stationary else 0.0


def _comparison(
    scenario: Scenario, policies: Mapping[str, PolicySpec], found: Sequence[_Outcome], reference: str | None
) -> Comparison | None:
    """Of the replications that all policies have finished; None where there is none."""
    by_run = {(one.policy, one.replication): one.pieces for one in found if one.pieces}
    whole = [r for r in range(scenario.replications) if all((name, r) in by_run for name in policies)]
    if not whole:
        return None
    runs = {name: [by_run[name, r] for r in whole] for name in policies}
    warmup_s = _warmup_s(scenario, list(runs.values()))
    partial = f"{len(whole)} of {scenario.replications} replications" if len(whole) < scenario.replications else None
    if scenario.replications > 1:
        batched = {name: [_whole(pieces, warmup_s) for pieces in runs[name]] for name in policies}
    else:
        batched = {name: _stretches(scenario, pieces, warmup_s) for name, (pieces,) in runs.items()}
    return compared(scenario, policies, batched, warmup_s, partial, reference)


def _whole(pieces: Sequence[Piece], warmup_s: float) -> Piece:
    return pieces[0] if len(pieces) == 1 else whole_run(pieces, warmup_s)


def _stretches(scenario: Scenario, pieces: Sequence[Piece], warmup_s: float) -> list[Piece]:
    """The batches of a single run: where the load changes with time, its stretches are not alike, and it is one."""
    if not scenario.stationary:
        return [whole_run(pieces, warmup_s)]
    measured = [piece for piece in pieces if piece.start_s >= warmup_s]
    return [together([measured[i] for i in batch]) for batch in batches(len(measured))]


def _warmup_s(scenario: Scenario, policies: Sequence[Sequence[Sequence[Piece]]]) -> float:
    """When the warm-up is over under every policy: as the scenario says, or as MSER finds it, the latest of them."""
    given = _given_warmup_s(scenario)
    return max(_found_warmup_s(runs) for runs in policies) if given is None else given


def _found_warmup_s(runs: Sequence[Sequence[Piece]]) -> float:
    """Before the first window that MSER keeps, of all replications together."""
    merged = [LogHistogram.merged(piece.response for piece in same) for same in zip(*runs, strict=True)]
    cut = mser([r.total_s / r.count if r.count else math.nan for r in merged])
    return runs[0][cut].start_s
