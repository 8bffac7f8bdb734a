"""A runnable scenario from a trace, by rules that the file it writes states."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policies import specfile
from policies.fcfs import FcfsSpec
from policies.stabilized import StabilizedSpec
from sim.arrivals import Piecewise, RateFrom
from sim.arrivals import Trace as TraceArrivals
from sim.files import write_whole
from sim.scenario import Control, Model, Recorded, Replicas, RequestClass, Scenario, Slo, Version
from sim.service import Constant, Duration, Empirical, Exponential, Law, Lognormal
from sim.traces.form import Counts, Labels, LoadTimes, Trace, service_from_tokens, write_trace

Floats = NDArray[np.float64]

OTHERS = "others"
DAY_S = 86400.0
MOST_CLASSES = 8
STARTUP_QUANTILES = 50


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What a trace does not say; each is stated in the scenario that is made."""

    group_below: float = 0.01
    """Versions with a smaller share of the requests go into one pool, `others`."""
    startup_s: float = 60.0
    """Start-up time of a replica, where no load times are given."""
    slots: int = 1
    """Requests that a replica serves at a time."""
    slo_s: float | None = None
    """Response time of the objective; three times the mean service time where not given."""
    service_s: float = 1.0
    """Mean service time, exponential, where the trace has neither service times nor tokens."""
    prefill_tokens_per_s: float = 10_000.0
    decode_tokens_per_s: float = 33.0
    overhead_s: float = 0.05
    cost_per_hour: float = 1.0


@dataclass(frozen=True)
class Made:
    """A scenario, the trace file that it reads (None where it needs none), and what was decided on the way."""

    scenario: Scenario
    trace: Trace | None
    notes: tuple[str, ...]


def scenario_of(trace: Trace | Counts, name: str, assumed: Assumptions, loads: LoadTimes | None = None) -> Made:
    """The scenario that replays a request log, or that has the rates of a count series.

    `name` is the scenario's; its trace file will be `name.trace.csv.gz`.
    """
    if isinstance(trace, Counts):
        return _of_counts(trace, name, assumed, loads)
    return _of_requests(trace, name, assumed, loads)


def write_scenario(made: Made, path: Path) -> list[Path]:
    """Write the scenario and, beside it, its trace; the files written."""
    written = []
    if made.trace is not None:
        written.append(path.parent / _trace_file(made.scenario.name))
        write_trace(written[0], made.trace)
    notes = "\n".join(f"# - {note}" for note in made.notes)
    write_whole(path, f"# {made.scenario.description}\n{notes}\n{specfile.write(made.scenario)}".encode())
    return [path, *written]


def _of_requests(trace: Trace, name: str, assumed: Assumptions, loads: LoadTimes | None) -> Made:
    notes: list[str] = []
    trace = replace(trace, service_s=_service(trace, assumed, notes))
    trace = replace(trace, version=_grouped(trace, assumed.group_below, notes))
    startup = _startup(assumed, loads, notes)
    names = trace.version.names if trace.version else ("v1",)
    versions = tuple(_version(trace, v, assumed, startup) for v in names)
    scenario = Scenario(
        name=name,
        description=f"{len(trace.time_s):,} requests of {trace.name} ({trace.format}) as they came.",
        horizon_s=_horizon_s(trace),
        slo=_slo(_known(trace.service_s), assumed, notes),
        control=_control(trace.span_s, notes),
        models=(Model(name="model", routing=Recorded() if trace.version else None, versions=versions),),
        traffic=_traffic(trace, name, notes),
        policy=_policy(_known(trace.service_s), assumed),
    )
    notes.append("replicas at the start bear the busiest hour: load + 2 sqrt(load) slots (square-root staffing)")
    return Made(scenario, trace, (*(str(finding) for finding in trace.findings), *notes))


def _of_counts(counts: Counts, name: str, assumed: Assumptions, loads: LoadTimes | None) -> Made:
    notes = [
        f"counts of {counts.interval_s:g} s are the rates of a Poisson process in those intervals; "
        "an interval that is missing has the rate of the one before it",
        f"service times are not in the trace: exponential with mean {assumed.service_s:g} s is assumed",
    ]
    rates = tuple(
        RateFrom(from_s=t, rate_per_s=n / counts.interval_s)
        for t, n in zip(counts.time_s.tolist(), counts.count.tolist(), strict=True)
    )
    service = Exponential(mean_s=assumed.service_s)
    peak = float(np.quantile(counts.count, 0.99)) / counts.interval_s * assumed.service_s
    version = Version(
        name="v1",
        service=service,
        slots=assumed.slots,
        startup=_startup(assumed, loads, notes),
        cost_per_hour=assumed.cost_per_hour,
        replicas=_replicas(peak, assumed.slots),
    )
    sample = np.array([assumed.service_s])
    scenario = Scenario(
        name=name,
        description=f"The rates of {counts.name}: {int(counts.count.sum()):,} requests in {counts.span_s:,.0f} s.",
        horizon_s=counts.span_s,
        slo=_slo(sample, assumed, notes),
        control=_control(counts.span_s, notes),
        models=(Model(name="model", versions=(version,)),),
        traffic=(RequestClass(name="requests", model="model", arrivals=Piecewise(rates=rates)),),
        policy=_policy(sample, assumed),
    )
    return Made(scenario, None, (*(str(finding) for finding in counts.findings), *notes))


def _service(trace: Trace, assumed: Assumptions, notes: list[str]) -> Floats:
    """Seconds on a replica for each request: recorded, or from tokens; NaN where neither is known."""
    if trace.service_s is not None and not np.all(np.isnan(trace.service_s)):
        unknown = int(np.isnan(trace.service_s).sum())
        if unknown:
            notes.append(f"{unknown:,} requests have no service time: theirs are drawn from their version's law")
        return trace.service_s
    if trace.context_tokens is None or trace.generated_tokens is None:
        notes.append(f"no service times: exponential with mean {assumed.service_s:g} s is assumed")
        return np.full(len(trace.time_s), np.nan)
    rates = (assumed.prefill_tokens_per_s, assumed.decode_tokens_per_s, assumed.overhead_s)
    notes.append(
        f"service time = {rates[2]:g} s + context tokens / {rates[0]:g} per s + generated tokens / {rates[1]:g} per s, "
        "one request at a time in a slot; measure the coefficients of your own servers"
    )
    return service_from_tokens(trace.context_tokens, trace.generated_tokens, *rates)


def _grouped(trace: Trace, group_below: float, notes: list[str]) -> Labels | None:
    """The versions, small ones and unnamed ones in one group."""
    if trace.version is None:
        return None
    counts = np.bincount(trace.version.codes + 1, minlength=len(trace.version.names) + 1)[1:]
    large = [i for i, n in enumerate(counts.tolist()) if n >= group_below * len(trace.time_s)]
    names = _plain_names([trace.version.names[i] for i in large])
    small = len(counts) - len(large)
    if small or np.any(trace.version.codes < 0):
        rest = len(trace.time_s) - int(counts[large].sum())
        notes.append(
            f"{small} versions with less than {100 * group_below:g} % of the requests each, {rest:,} requests in all, "
            f"share the pool {OTHERS!r}"
        )
        names.append(OTHERS)
    place = {old: new for new, old in enumerate(large)}
    code = np.array([place.get(i, len(large)) for i in range(len(counts))] + [len(large)], dtype=np.int32)
    return Labels(code[trace.version.codes], tuple(names))


def _version(trace: Trace, name: str, assumed: Assumptions, startup: Duration) -> Version:
    rows = slice(None) if trace.version is None else trace.version.codes == trace.version.names.index(name)
    times = trace.time_s[rows]
    service = trace.service_s[rows] if trace.service_s is not None else np.empty(0)
    law = _fitted(service, assumed)
    busiest = _busiest_hour(times, np.where(np.isnan(service), law.mean_s, service))
    return Version(
        name=name,
        service=law,
        slots=assumed.slots,
        startup=startup,
        cost_per_hour=assumed.cost_per_hour,
        replicas=_replicas(busiest, assumed.slots),
    )


def _fitted(service: Floats, assumed: Assumptions) -> Law:
    """A law of the same mean and variability, for what a policy knows beforehand and for requests without a time."""
    known = _known(service)
    if len(known) == 0:
        return Exponential(mean_s=assumed.service_s)
    mean, scv = float(known.mean()), float(known.var() / known.mean() ** 2) if known.mean() > 0 else 0.0
    return Lognormal(mean_s=_rounded(mean), scv=_rounded(scv)) if scv > 1e-6 else Constant(value_s=_rounded(mean))


def _known(values: Floats | None) -> Floats:
    return np.empty(0) if values is None else values[~np.isnan(values)]


def _busiest_hour(times: Floats, service: Floats) -> float:
    """The greatest work that arrives in an hour (or the whole, if shorter), per second: slots kept busy by it."""
    length_s = min(3600.0, max(float(times[-1]), 1.0)) if len(times) else 3600.0
    work = np.bincount((times // length_s).astype(np.int64), weights=service) if len(times) else np.zeros(1)
    return float(work.max()) / length_s


def _replicas(load: float, slots: int) -> Replicas:
    initial = max(1, ceil((load + 2 * sqrt(load)) / slots))
    return Replicas(initial=initial, at_least=1, at_most=max(4, 4 * initial))


def _startup(assumed: Assumptions, loads: LoadTimes | None, notes: list[str]) -> Duration:
    if loads is None:
        notes.append(f"start-up takes {assumed.startup_s:g} s: assumed")
        return Constant(value_s=assumed.startup_s)
    shares = (np.arange(STARTUP_QUANTILES) + 0.5) / STARTUP_QUANTILES
    values = tuple(_rounded(x) for x in np.quantile(loads.load_s, shares).tolist())
    known = len(loads.load_s)
    notes.append(f"start-up times are {STARTUP_QUANTILES} quantiles of {known:,} load times of {loads.name}")
    return Empirical(values_s=values)


def _horizon_s(trace: Trace) -> float:
    """Until the last request can have been served: the span and ten mean service times, in whole minutes."""
    service = _known(trace.service_s)
    rest_s = 10 * float(service.mean()) if len(service) else 60.0
    return 60.0 * ceil((trace.span_s + rest_s) / 60)


def _slo(service: Floats, assumed: Assumptions, notes: list[str]) -> Slo:
    if assumed.slo_s is not None:
        return Slo(response_s=assumed.slo_s)
    mean = float(service.mean()) if len(service) else assumed.service_s
    notes.append("the objective, 95 % within three mean service times, is assumed")
    return Slo(response_s=_rounded(3 * mean))


def _policy(service: Floats, assumed: Assumptions) -> StabilizedSpec:
    mean = float(service.mean()) if len(service) else assumed.service_s
    return StabilizedSpec(shrink_s=300.0, policy=FcfsSpec(wait_s=_rounded(mean), quantile=0.95))


def _control(span_s: float, notes: list[str]) -> Control:
    if span_s <= DAY_S:
        return Control()
    notes.append("ticks and scrapes come each minute, since the trace is longer than a day")
    return Control(tick_s=60.0, scrape_s=60.0)


def _traffic(trace: Trace, name: str, notes: list[str]) -> tuple[RequestClass, ...]:
    arrivals = TraceArrivals(file=_trace_file(name))
    labels = trace.request_class
    if labels is None or np.any(labels.codes < 0) or not 1 < len(labels.names) <= MOST_CLASSES:
        return (RequestClass(name="requests", model="model", arrivals=arrivals),)
    notes.append("each class of the trace is a request class")
    names = _plain_names(labels.names)
    return tuple(
        RequestClass(name=name, model="model", arrivals=replace(arrivals, only_class=c))
        for name, c in zip(names, labels.names, strict=True)
    )


def _trace_file(name: str) -> str:
    return f"{name}.trace.csv.gz"


def _plain_names(names: Sequence[str]) -> list[str]:
    """Names that scenarios allow, all different: what they do not allow becomes `-`."""
    found: list[str] = []
    for name in names:
        plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name)[:56].strip("._-")
        plain = plain or "unnamed"
        found.append(plain if plain not in (*found, OTHERS) else f"{plain}-{len(found)}")
    return found


def _rounded(value: float) -> float:
    """Four digits are enough for what is measured or assumed."""
    return float(f"{value:.4g}")
