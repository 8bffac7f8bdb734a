"""A runnable what-if scenario from a journal: rates, service, start-up and bounds as they were, and what is assumed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log1p, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies import specfile
from policies.faults import InputError
from policies.pool import PoolTraits
from sim.arrivals import Piecewise, RateFrom
from sim.files import write_whole
from sim.fitted import fitted, of_moments, rounded
from sim.journal import moment, spec_of
from sim.observed import FlowSeries, Observed, PoolSeries, held, observe
from sim.scenario import Control, Model, Replicas, RequestClass, Scenario, Slo, Version, Weighted
from sim.service import Constant, Duration, Exponential, Law, Lognormal
from sim.text import duration, number

Floats = NDArray[np.float64]

REQUESTS_A_RATE = 200
"""Each interval of constant rate has so many in the mean, so that chance hardly shows in it."""
FEWEST_STARTUPS = 5
FEWEST_ABANDONED = 20
SURE = 2.0
"""Standard errors that a mean may be off before it is believed."""
NORMAL_P95 = 1.6448536269514722


@dataclass(frozen=True)
class Made:
    """A scenario, and what it was made of and what was assumed."""

    scenario: Scenario
    notes: tuple[str, ...]

    def write(self, path: str | Path) -> None:
        """Write the scenario's file, whole or not at all, the notes at its head."""
        notes = "\n".join(f"# - {note}" for note in self.notes)
        text = f"# {self.scenario.description}\n{notes}\n{specfile.write(self.scenario)}"
        write_whole(Path(path), text.encode())


def scenario_from_journal(journal: str | Path) -> Made:
    """The what-if scenario of a journal, all its files in order. Raises `InputError` where too little was seen."""
    return scenario_of(observe(journal))


def scenario_of(observed: Observed) -> Made:
    """The scenario whose simulation is like what the journal saw. Raises `InputError` where too little was seen."""
    notes = list(observed.notes)
    names = class_names(observed.classes)
    served = _served(observed)
    traffic = tuple(_traffic(observed, names, notes))
    if not traffic:
        raise InputError(f"{observed.path}: no request was counted; a scenario needs some")
    live = {c.model for c in traffic}
    models = tuple(_model(observed, model, names, served, notes) for model in observed.classes if model in live)
    notes += [f"of {model} no request was counted: it is left out" for model in observed.classes if model not in live]
    end_s = observed.timeline.end_s
    scenario = Scenario(
        name=plain_name(observed.path.stem),
        description=f"What {observed.path.name} saw in {duration(end_s)} from {moment(observed.timeline.begin_s)} on.",
        horizon_s=end_s,
        slo=_slo(observed.header.config),
        control=_control(observed, notes),
        models=models,
        traffic=traffic,
        policy=spec_of(observed.header),
    )
    return Made(scenario, tuple(notes))


def plain_name(words: str) -> str:
    """A name as scenarios allow it: what they do not allow becomes `-`."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in words)[:63].strip("._-")
    return plain or "journal"


def class_names(classes: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], str]:
    """(model, class as the journal has it) -> the scenario's request class; "" is all of a model that tells none apart.

    `classes` are those of `Observed`.
    """
    every = [name for names in classes.values() for name in names] + list(classes)
    return {
        (model, name): plain_name((name or model) if every.count(name or model) == 1 else f"{model}.{name}")
        for model, names in classes.items()
        for name in (names or ("",))
    }


def _served(observed: Observed) -> list[str]:
    """The pools of which requests are known."""
    return [name for name, pool in observed.pools.items() if pool.total.count("completed") is not None]


def _traffic(observed: Observed, names: Mapping[tuple[str, str], str], notes: list[str]) -> Iterator[RequestClass]:
    for (model, request_class), name in names.items():
        found = [observed.flow(pool, request_class) for pool in _pools(observed, model)]
        flows = [flow for flow in found if flow is not None]
        grown = [n for flow in flows if (n := flow.count("arrived")) is not None]
        arrived = np.sum(grown, axis=0) if grown else np.zeros(1)
        if arrived.sum() > 0:
            yield RequestClass(
                name=name,
                model=model,
                arrivals=_rates(arrived, observed),
                patience_s=_patience(flows, observed, name, notes),
            )


def _pools(observed: Observed, model: str) -> list[str]:
    return [name for name, pool in observed.pools.items() if pool.traits.model == model]


def _rates(arrived: Floats, observed: Observed) -> Piecewise:
    """Arrivals in each window as steps, of so many windows that chance hardly shows."""
    steps = int(np.clip(arrived.sum() // REQUESTS_A_RATE, 1, len(arrived)))
    first = np.linspace(0, len(arrived), steps + 1).round().astype(int)
    ends_s = observed.timeline.edges_s[first]
    lengths_s = np.diff(ends_s)
    # What was read last is as old as readings are; the last window had less time.
    lengths_s[-1] = max(lengths_s[-1] - observed.age_s, lengths_s[-1] / 2)
    rates = np.add.reduceat(arrived, first[:-1]) / lengths_s
    pairs = zip(ends_s[:-1].tolist(), rates.tolist(), strict=True)
    return Piecewise(rates=tuple(RateFrom(from_s=round(t, 3), rate_per_s=rounded(rate)) for t, rate in pairs))


def _patience(flows: Sequence[FlowSeries], observed: Observed, name: str, notes: list[str]) -> Duration | None:
    """Its mean is the time spent waiting by all, over those who gave up (Garnett, Mandelbaum and Reiman 2002)."""
    abandoned = sum(float(flow.grown["abandoned"].sum()) for flow in flows if "abandoned" in flow.grown)
    if not abandoned:
        return None
    waiting_s = sum(float(held(flow.levels["queued"]) @ observed.timeline.steps_s) for flow in flows)
    if abandoned < FEWEST_ABANDONED or not waiting_s:
        notes.append(f"{name}: {number(abandoned)} gave up, too few to tell patience; it is taken for unlimited")
        return None
    mean_s = rounded(waiting_s / abandoned)
    notes.append(f"{name}: {number(abandoned)} gave up; patience is taken for exponential, its mean {mean_s:g} s")
    return Exponential(mean_s=mean_s)


def _model(
    observed: Observed, model: str, names: Mapping[tuple[str, str], str], served: Sequence[str], notes: list[str]
) -> Model:
    pools = [observed.pools[pool] for pool in _pools(observed, model)]
    versions = tuple(_version(pool, observed, pool.traits.name in served, notes) for pool in pools)
    for pool in pools:
        notes += _losses(pool)
    routing = _routing(observed, model, names) if len(pools) > 1 else None
    kind = observed.header.policy.get("kind")
    queue: Any = kind if kind in ("gq", "mcq") else "fcfs"
    notes.append(f"{model}: requests are taken to wait in one queue ({queue}) before the replicas of a version")
    if routing is not None:
        notes.append(f"{model}: requests go to versions by the shares that they had over the whole time")
    return Model(name=model, queue=queue, routing=routing, versions=versions)


def _losses(pool: PoolSeries) -> Iterator[str]:
    for what in ("rejected", "failed"):
        lost = float(pool.total.grown[what].sum()) if what in pool.total.grown else 0.0
        if lost:
            yield f"{pool.traits.name}: {number(lost)} requests were {what}; in the scenario none are"


def _routing(observed: Observed, model: str, names: Mapping[tuple[str, str], str]) -> Weighted:
    classes = {name: request_class for (m, request_class), name in names.items() if m == model}
    by_class = {name: shares for name, c in classes.items() if (shares := _shares(observed, model, c))}
    if len(by_class) == 1:
        return Weighted(weights=next(iter(by_class.values())))
    pools = [observed.pools[pool] for pool in _pools(observed, model)]
    weights = {p.traits.version: _sum(p.total.count("arrived")) for p in pools}
    return Weighted(weights=_parts(weights), by_class=by_class)


def _shares(observed: Observed, model: str, request_class: str) -> dict[str, float]:
    flows = {observed.pools[p].traits.version: observed.flow(p, request_class) for p in _pools(observed, model)}
    return _parts({version: _sum(flow.count("arrived")) for version, flow in flows.items() if flow is not None})


def _parts(arrived: Mapping[str, float]) -> dict[str, float]:
    total = sum(arrived.values())
    return {version: rounded(n / total) for version, n in arrived.items()} if total else {}


def _sum(counts: Floats | None) -> float:
    return 0.0 if counts is None else float(counts.sum())


def _version(pool: PoolSeries, observed: Observed, is_served: bool, notes: list[str]) -> Version:
    traits = pool.traits
    return Version(
        name=traits.version,
        service=_service(pool, observed.timeline.steps_s, notes) if is_served else _known_service(traits, notes),
        slots=traits.slots,
        startup=_startup(pool, observed.timeline.tick_s, notes),
        cost_per_hour=traits.cost_per_hour,
        quality=traits.quality,
        replicas=_replicas(pool, notes),
    )


def _service(pool: PoolSeries, steps_s: Floats, notes: list[str]) -> Law:
    name, flow = pool.traits.name, pool.total
    histogram = flow.histogram("service_s")
    if histogram is not None and (law := fitted(histogram)) is not None:
        notes.append(f"{name}: service is {_law_words(law)}, of {number(histogram.total)} services")
        return law
    completed = _sum(flow.count("completed"))
    busy_s = float(flow.grown["busy_s"].sum()) if "busy_s" in flow.grown else 0.0
    how = "time busy"
    if not busy_s:
        # Little's law: requests in service at a time are completions a second times service time.
        busy_s, how = float(held(flow.levels["in_service"]) @ steps_s), "requests in service"
    if completed and busy_s:
        law = of_moments(busy_s / completed, pool.traits.service_scv)
        notes.append(f"{name}: service is {_law_words(law)}: its mean is {how} over completions, its law assumed")
        return law
    return _known_service(pool.traits, notes)


def _known_service(traits: PoolTraits, notes: list[str]) -> Law:
    if traits.service_s is None:
        raise InputError(f"{traits.name}: nothing tells how long service takes; give `service_s` in the configuration")
    notes.append(f"{traits.name}: service times were not seen; they are as configured")
    return of_moments(traits.service_s, traits.service_scv)


def _law_words(law: Law) -> str:
    words = "constant" if law.scv == 0 else f"{law.kind} with SCV {law.scv:.3g}"
    return f"{words}, its mean {law.mean_s:g} s"


def _startup(pool: PoolSeries, tick_s: float, notes: list[str]) -> Duration:
    """As configured where what was seen agrees with it."""
    traits, seen_s = pool.traits, np.array(pool.startups.durations_s)
    known = _configured(traits)
    if len(seen_s) < FEWEST_STARTUPS:
        notes.append(f"{traits.name}: replicas seen to start: {len(seen_s)}; start-up is as configured")
        return known
    mean_s = float(seen_s.mean())
    seen = f"{traits.name}: {len(seen_s)} replicas took {duration(mean_s)} to start in the mean"
    error_s = SURE * max(float(seen_s.std()), tick_s / sqrt(12)) / sqrt(len(seen_s))
    # All may begin and end at the same place within a tick.
    if abs(mean_s - traits.startup_s) <= tick_s / 2 + error_s:
        notes.append(f"{seen}, which agrees with the {duration(traits.startup_s)} that are configured")
        return known
    notes.append(
        f"{seen}, and not the {duration(traits.startup_s)} that are configured; the scenario has what was seen"
    )
    # Seen are middles of ticks, which adds the variance of an even spread over one.
    scv = max(float(seen_s.var()) - tick_s**2 / 12, 0.0) / mean_s**2
    return Lognormal(mean_s=rounded(mean_s), scv=rounded(scv)) if scv > 1e-3 else Constant(value_s=rounded(mean_s))


def _configured(traits: PoolTraits) -> Duration:
    """Lognormal with the mean and 95th percentile that are known; constant where these are one."""
    mean_s, p95_s = traits.startup_s, traits.startup_p95_s
    # ln(p95 / mean) = z d - d^2 / 2 has a solution up to z^2 / 2.
    spread = min(log1p(p95_s / mean_s - 1), NORMAL_P95**2 / 2) if mean_s > 0 and p95_s > mean_s else 0.0
    if spread <= 1e-9:
        return Constant(value_s=rounded(mean_s))
    deviation = NORMAL_P95 - sqrt(NORMAL_P95**2 - 2 * spread)
    return Lognormal(mean_s=rounded(mean_s), scv=rounded(float(np.expm1(deviation**2))))


def _replicas(pool: PoolSeries, notes: list[str]) -> Replicas:
    traits = pool.traits
    first = int(pool.held("wanted")[0])
    initial = min(max(first, traits.at_least), traits.at_most)
    if initial != first:
        notes.append(f"{traits.name}: begins with {initial} replicas, the nearest that its bounds allow to {first}")
    return Replicas(initial=initial, at_least=traits.at_least, at_most=traits.at_most)


def _slo(config: Mapping[str, Any]) -> Slo | None:
    found = config.get("slo")
    return Slo(**found) if found else None


def _control(observed: Observed, notes: list[str]) -> Control:
    """The tick as it was; readings as old as they were in the mean, and never lost."""
    tick_s, age_s = observed.timeline.tick_s, observed.age_s
    notes.append(f"readings are taken at each tick and seen {age_s:.3g} s later, as old as half of them were")
    return Control(tick_s=tick_s, scrape_s=tick_s, lag_s=rounded(age_s), loss=0.0)
