"""Why a policy decided as it did at one tick: what it saw, its wish, every limiter, what was done, what came next."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policies.decision import Limit
from policies.faults import InputError
from policies.loop import Turn
from policies.observation import PoolReading
from policies.pool import Pools, known
from sim.cluster import Keep
from sim.history import DecisionRow, PoolRow
from sim.scenario import Scenario, load
from sim.text import clock, duration, listed, number
from sim.world import Engine, World

if TYPE_CHECKING:
    import pandas as pd

RATES = ("arrived", "completed", "failed", "rejected", "abandoned")
"""Counters of requests whose growth is told."""
LAST_TICKS = 5
"""Rates are over so many ticks."""
LIMIT = re.compile(r"(?:^|; )([^:;]+): (-?\d+) -> (-?\d+), (.*?)(?=; [^:;]+: -?\d+ -> -?\d+, |$)")
"""One limiter, as `DecisionRow.limits` writes it."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What went on between two readings: requests a second by what became of them, and slots busy in the mean."""

    over_s: float
    per_s: Mapping[str, float]
    slots_busy: float | None


@dataclass(frozen=True, slots=True)
class Change:
    time_s: float
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class PoolExplained:
    """One pool at one tick.

    `readings` are those that the policy was shown, `age_s` old, where the run was simulated for this; of a saved result
    they are what was true at the tick. `wish` and `target` are None where the policy kept what there was. `wanted` are
    the replicas wanted after the tick; `next_change` is None where there was none until the end of the run.
    """

    pool: str
    readings: Mapping[str, float]
    age_s: float | None
    rates: Rates | None
    before: int | None
    wish: int | None
    because: str
    limits: tuple[Limit, ...]
    target: int | None
    wanted: int
    next_change: Change | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """All pools asked for, at the last tick that is not after the moment asked for."""

    scenario: str
    policy: str
    time_s: float
    seen: bool
    """Whether readings are those that the policy was shown, and not what was true."""
    end_s: float
    pools: tuple[PoolExplained, ...]

    def to_json(self) -> dict[str, Any]:
        """One object for programs; unknown figures are null."""
        return asdict(self)


def explain(
    target: str | Path, at_s: float, pool: str | None = None, *, replication: int = 0, engine: Engine = "plane"
) -> Explanation:
    """Explain the decisions at the last tick up to `at_s`, of one pool (or version), or of all.

    `target` is a scenario file, which is simulated up to that moment and on until the pools have changed once more; or
    the folder of a saved result. Raises `InputError` for a time outside the run, a pool or replication there is not.
    """
    if Path(target).is_dir():
        return _explain_saved(Path(target), at_s, pool, replication)
    return _explain_run(load(target), at_s, pool, replication, engine)


def _explain_run(scenario: Scenario, at_s: float, pool: str | None, replication: int, engine: Engine) -> Explanation:
    _check_time(at_s, scenario.horizon_s)
    if replication < 0:
        raise InputError(f"replication {replication} is no run; they are numbered from 0 on")
    pools = _pools(pool, scenario.pools)
    tick_s = scenario.control.tick_s
    time_s = _tick(at_s, tick_s)
    world = World(scenario, replication, engine=engine, keep=Keep(0.0, lambda _: None))
    world.run_through(time_s)
    turns = list(world.history.recent)
    rows = world.history.rows
    wanted = {name: rows[name][-1].replicas_wanted for name in pools}
    while world.env.now < scenario.horizon_s and any(not _next(rows[name], time_s) for name in pools):
        # Ever longer strides: looking for the change must not cost more than simulating it.
        world.run_through(min(world.env.now + max(tick_s, world.env.now - time_s), scenario.horizon_s))
    decided = {row.pool: row for row in world.history.decisions if row.time_s == time_s}
    return Explanation(
        scenario=scenario.name,
        policy=scenario.policy.kind,
        time_s=time_s,
        seen=True,
        end_s=scenario.horizon_s,
        pools=tuple(
            _pool(
                name,
                decided.get(name),
                _gauges(turns[-1].observation.pools[name]),
                turns[-1].observation.pools[name].age_s,
                _rates(list(_scraped(turns, name))),
                wanted[name],
                _next(rows[name], time_s),
            )
            for name in pools
        ),
    )


def _explain_saved(folder: Path, at_s: float, pool: str | None, replication: int) -> Explanation:
    from sim.result import read

    result = read(folder)
    _check_time(at_s, result.end_s)
    if not 0 <= replication < result.replications:
        raise InputError(f"replication {replication} is not in {folder}; it has 0 to {result.replications - 1}")
    pools = _pools(pool, result.scenario.pools)
    frame = result.pools[result.pools["replication"] == replication]
    # The last row of a run is of its end, which need be no tick.
    time_s = _tick(at_s, result.scenario.control.tick_s)
    decisions = result.decisions
    now = decisions[(decisions["replication"] == replication) & (decisions["time_s"] == time_s)]
    decided = {row["pool"]: _decision_row(row) for row in now.to_dict("records")}
    histories = {name: _history(frame, name) for name in pools}
    return Explanation(
        scenario=result.scenario.name,
        policy=result.scenario.policy.kind,
        time_s=time_s,
        seen=False,
        end_s=result.end_s,
        pools=tuple(_saved_pool(name, decided.get(name), rows, time_s) for name, rows in histories.items()),
    )


def _saved_pool(name: str, decided: DecisionRow | None, rows: Sequence[PoolRow], time_s: float) -> PoolExplained:
    until = [row for row in rows if row.time_s <= time_s]
    here = until[-1]
    before = decided.before if decided else None
    gauges = {f: float(getattr(here, f"{'replicas' if f in STATES else 'requests'}_{f}")) for f in GAUGES}
    age_s = decided.age_s if decided and not math.isnan(decided.age_s) else None
    # A row is written when the tick has acted: what it saw as wanted is what the decision says.
    gauges["wanted"] = float(here.replicas_wanted if before is None else before)
    rates = _rates([(row.time_s, _totals(row)) for row in until[-LAST_TICKS - 1 :]])
    return _pool(name, decided, gauges, age_s, rates, here.replicas_wanted, _next(rows, time_s))


STATES = ("wanted", "starting", "ready", "draining")
GAUGES = (*STATES, "queued", "in_service")


def _pool(
    name: str,
    decided: DecisionRow | None,
    readings: Mapping[str, float],
    age_s: float | None,
    rates: Rates | None,
    wanted: int,
    next_change: Change | None,
) -> PoolExplained:
    return PoolExplained(
        pool=name,
        readings=readings,
        age_s=age_s,
        rates=rates,
        before=decided.before if decided else None,
        wish=decided.wish if decided else None,
        because=decided.because if decided else "the policy said nothing of this pool",
        limits=limits_of(decided.limits) if decided else (),
        target=decided.target if decided and decided.wish is not None else None,
        wanted=wanted,
        next_change=next_change,
    )


def limits_of(words: str) -> tuple[Limit, ...]:
    """The limiters that a decision's row tells of, in order."""
    return tuple(Limit(by, int(before), int(after), why) for by, before, after, why in LIMIT.findall(words))


def _check_time(at_s: float, end_s: float) -> None:
    if not 0 <= at_s <= end_s:
        raise InputError(f"time {at_s:g} s is outside the run, which lasts from 0 s to {end_s:g} s")


def _tick(at_s: float, tick_s: float) -> float:
    """The last tick that is not after this time; ticks are at k * tick_s to the last bit."""
    k = math.floor(at_s / tick_s)
    return max(j * tick_s for j in (k - 1, k, k + 1) if 0 <= j * tick_s <= at_s)


def _pools(named: str | None, pools: Pools) -> list[str]:
    if named is None:
        return list(pools)
    try:
        return list(known({named: None}, pools))
    except ValueError as fault:
        raise InputError(f"pool {fault}") from None


def _gauges(reading: PoolReading) -> dict[str, float]:
    """The main readings that are known."""
    found = {name: getattr(reading if name in STATES else reading.total, name) for name in GAUGES}
    return {name: float(value) for name, value in found.items() if value is not None}


def _scraped(turns: Sequence[Turn], pool: str) -> Iterator[tuple[float, dict[str, float]]]:
    """When each reading of the last ticks was taken, and its counters; one that was shown twice counts once."""
    last_s = -math.inf
    for turn in turns[-LAST_TICKS - 1 :]:
        reading = turn.observation.pools[pool]
        if reading.age_s is None or turn.observation.time_s - reading.age_s <= last_s:
            continue
        last_s = turn.observation.time_s - reading.age_s
        totals = {name: getattr(reading.total, f"{name}_total") for name in RATES}
        totals["busy_s"] = reading.total.busy_s_total
        yield last_s, {name: float(value) for name, value in totals.items() if value is not None}


def _totals(row: PoolRow) -> dict[str, float]:
    totals = {name: float(getattr(row, f"requests_{name}_total")) for name in RATES}
    return {**totals, "busy_s": row.busy_s_total}


def _rates(points: Sequence[tuple[float, Mapping[str, float]]]) -> Rates | None:
    """Between the first and the last point; None where there are fewer than two."""
    if len(points) < 2:
        return None
    (start_s, first), (end_s, last) = points[0], points[-1]
    grown = {name: (last[name] - first[name]) / (end_s - start_s) for name in first if name in last}
    return Rates(end_s - start_s, {name: grown[name] for name in RATES if name in grown}, grown.get("busy_s"))


def _next(rows: Iterable[PoolRow], time_s: float) -> Change | None:
    """The first change of the wanted replicas after this tick."""
    wanted: int | None = None
    for row in rows:
        if row.time_s > time_s and wanted is not None and row.replicas_wanted != wanted:
            return Change(row.time_s, wanted, row.replicas_wanted)
        wanted = row.replicas_wanted
    return None


def _history(frame: "pd.DataFrame", pool: str) -> list[PoolRow]:
    rows = frame.loc[frame["pool"] == pool, list(PoolRow._fields)]
    return [PoolRow(*row) for row in rows.itertuples(index=False)]


def _decision_row(row: Mapping[Any, Any]) -> DecisionRow:
    import pandas as pd

    # Counts come as pandas' own integers, unknown ones as its NA.
    counts = {name: None if pd.isna(row[name]) else int(row[name]) for name in ("before", "wish", "target")}
    return DecisionRow(**{**{name: row[name] for name in DecisionRow._fields}, **counts})


def lines(explanation: Explanation) -> Iterator[str]:
    """The explanation for people."""
    where = f"{explanation.scenario} at {clock(explanation.time_s)} ({explanation.time_s:g} s)"
    yield f"{where}, policy {explanation.policy}"
    for one in explanation.pools:
        yield ""
        yield one.pool
        for label, words in _told(one, explanation):
            yield f"  {label:<7} {words}".rstrip()


def _told(one: PoolExplained, explanation: Explanation) -> Iterator[tuple[str, str]]:
    yield ("seen" if explanation.seen else "true"), _seen_words(one, explanation.seen)
    if one.rates is not None:
        yield "rates", _rate_words(one.rates)
    yield "wish", f"{'none' if one.wish is None else one.wish}: {one.because}"
    for limit in one.limits:
        yield "limit", f"{limit.by}: {limit.before} -> {limit.after}, {limit.why}"
    if one.wish is not None:
        yield "target", f"{one.target}"
    yield "done", _done_words(one)
    yield "next", _next_words(one.next_change, explanation.end_s)


def _seen_words(one: PoolExplained, seen: bool) -> str:
    replicas = [f"{one.readings[name]:.0f} {name}" for name in STATES if name in one.readings]
    requests = [
        f"{one.readings[name]:.0f} {name.replace('_', ' ')}"
        for name in ("queued", "in_service")
        if name in one.readings
    ]
    if seen:
        age = "nothing was ever read" if one.age_s is None else f"{number(one.age_s)} s before"
        about = f"requests {listed(requests)} ({age})" if requests else f"requests unknown ({age})"
        return f"replicas {listed(replicas)}; {about}"
    age = "" if one.age_s is None else f"; what the policy saw of requests was {number(one.age_s)} s old"
    return f"replicas {listed(replicas)}; requests {listed(requests)} (as it was{age})"


def _rate_words(rates: Rates) -> str:
    shown = [f"{number(v)}/s {name}" for name, v in rates.per_s.items() if v or name in ("arrived", "completed")]
    busy = [] if rates.slots_busy is None else [f"{number(rates.slots_busy)} slots busy in the mean"]
    return f"{', '.join([*shown, *busy])} (over {duration(rates.over_s)})"


def _done_words(one: PoolExplained) -> str:
    if one.before is None or one.before == one.wanted:
        return f"nothing, {one.wanted} replicas stay wanted"
    step = abs(one.wanted - one.before)
    verb = "started" if one.wanted > one.before else "stopped"
    return f"{one.before} -> {one.wanted}: {step} {'replica' if step == 1 else 'replicas'} {verb}"


def _next_words(change: Change | None, end_s: float) -> str:
    if change is None:
        return f"no change until the end, {clock(end_s)}"
    return f"{change.before} -> {change.after} at {clock(change.time_s)} ({change.time_s:g} s)"
