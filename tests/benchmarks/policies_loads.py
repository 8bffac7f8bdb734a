"""The loads that policies are tried on: three recorded ones and a process that swings, each a scenario of its own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import sim
from sim.mmpp import Mmpp, RateState
from sim.scenario import Control, Model, Replicas, RequestClass, Scenario, Slo, Version
from sim.service import Constant, Exponential, Lognormal
from sim.traces import Trace, read_load_times, read_trace
from sim.traces.scenario import Assumptions, scenario_of, write_scenario

HOUR_S, DAY_S = 3600.0, 86400.0
AZURE = "azure_llm_2023_conv.csv.gz"
NAB = "nab_elb_request_count.csv.gz"
GENTD = "alibaba_gentd26_requests.csv.gz"
GENTD_LOADS = "alibaba_gentd26_basemodel_load_ms.csv.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much of the loads is run."""

    seeds: int = 10
    mmpp_s: float = 100_000.0
    nab_s: float = 4 * DAY_S
    gentd_s: float = 4 * DAY_S
    one_in: int = 3
    """One of so many settings of each rival is tried; no even number, or whole columns of a grid are left out."""


USUAL = Extent()
QUICK = Extent(seeds=4, mmpp_s=25_000.0, nab_s=DAY_S, gentd_s=DAY_S, one_in=5)
LONG = Extent(nab_s=14 * DAY_S, gentd_s=16 * DAY_S, one_in=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A scenario without a policy of its own, how often it is run, and what a policy should reach on it."""

    name: str
    scenario: Scenario
    seeds: int
    chance: str
    """What differs between replications, in words."""
    shaped: bool = False
    """Has a course that can be foreseen, so that the clairvoyant is the yardstick; else a burst."""
    first: float = 1.0
    """All settings are tried on this share of the horizon, the best on the whole."""
    cheaper: float = 0.10
    """Where it is a burst: by this share cheaper than the cheapest rival, that is the aim."""

    @property
    def slo(self) -> Slo:
        assert self.scenario.slo is not None
        return self.scenario.slo

    @property
    def title(self) -> str:
        v = self.scenario.models[0].versions[0]
        slo = f"{self.slo.quantile:.0%} within {self.slo.response_s:g} s"
        hours = self.scenario.horizon_s / HOUR_S
        return f"{self.name}: {slo}, start-up {v.startup.mean_s:.3g} s, {hours:.3g} h, {self.chance}"


class AbsentError(Exception):
    """A trace is not there."""


def azure(traces: Path, folder: Path, extent: Extent, startup_s: float) -> Load:
    """An hour of conversations with a language model, arrivals and services as recorded."""
    name = f"azure{startup_s:g}"
    assumed = Assumptions(startup_s=startup_s, slo_s=25.0)
    found = _made(traces, folder, name, AZURE, assumed)
    scenario = _with(found, Slo(response_s=25.0, quantile=0.99), 15.0, Replicas(initial=49, at_least=1, at_most=196))
    chance = f"requests recorded, {extent.seeds} draws of which scrapes are lost"
    return Load(name=name, scenario=scenario, seeds=extent.seeds, chance=chance, shaped=True)


def nab(traces: Path, folder: Path, extent: Extent) -> Load:
    """Two weeks of a load balancer, counts of five minutes as the rates of a Poisson process."""
    found = _made(traces, folder, "nab", NAB, Assumptions(startup_s=120.0, slo_s=100.0, service_s=20.0))
    scenario = _with(found, Slo(response_s=100.0, quantile=0.99), 30.0, Replicas(initial=25, at_least=1, at_most=100))
    scenario = _serving(scenario, Lognormal(mean_s=20.0, scv=0.5))
    horizon_s = min(extent.nab_s, found.horizon_s)
    chance = f"{extent.seeds} draws of arrivals and services"
    scenario = replace(scenario, horizon_s=horizon_s, warmup_s=0.0)
    return Load(name="nab", scenario=scenario, seeds=extent.seeds, chance=chance, shaped=True)


def gentd(traces: Path, folder: Path, extent: Extent) -> Load:
    """The versions of an image generator that come and go; a pool each, which may rest."""
    found = _made(traces, folder, "gentd26", GENTD, Assumptions(group_below=0.05, slo_s=120.0), GENTD_LOADS)
    scenario = _with(found, Slo(response_s=120.0, quantile=0.95), 15.0, Replicas(initial=1, at_least=0, at_most=12))
    scenario = replace(scenario, horizon_s=min(extent.gentd_s, found.horizon_s), warmup_s=0.0)
    chance = "requests recorded, one draw of start-ups and lost scrapes: no intervals"
    return Load(name="gentd26", scenario=scenario, seeds=1, chance=chance)


def mmpp(_traces: Path, _folder: Path, extent: Extent, startup_s: float) -> Load:
    """A load that is one slot for most of the time and eight now and then, without a sign beforehand."""
    states = (RateState(rate_per_s=0.1, mean_sojourn_s=1000.0), RateState(rate_per_s=0.8, mean_sojourn_s=333.33))
    version = Version(
        name="v1",
        service=Exponential(mean_s=10.0),
        startup=Constant(value_s=startup_s),
        replicas=Replicas(initial=9, at_least=0, at_most=40),
    )
    name = f"mmpp{startup_s:g}"
    scenario = Scenario(
        name=name,
        horizon_s=extent.mmpp_s,
        warmup_s=0.0,
        slo=Slo(response_s=50.0, quantile=0.95),
        control=Control(tick_s=5.0, scrape_s=5.0, lag_s=1.0),
        models=(Model(name="model", versions=(version,)),),
        traffic=(RequestClass(name="requests", model="model", arrivals=Mmpp(states=states)),),
    )
    # Where start-up outlasts a burst, the best fixed pool is all that can be asked for.
    cheaper = 0.10 if startup_s < 300 else 0.0
    chance = f"{extent.seeds} draws of arrivals and services"
    return Load(name=name, scenario=scenario, seeds=extent.seeds, chance=chance, first=0.25, cheaper=cheaper)


LOADS: Mapping[str, Callable[[Path, Path, Extent], Load]] = {
    "azure30": partial(azure, startup_s=30.0),
    "azure120": partial(azure, startup_s=120.0),
    "azure300": partial(azure, startup_s=300.0),
    "nab": nab,
    "gentd26": gentd,
    "mmpp50": partial(mmpp, startup_s=50.0),
    "mmpp500": partial(mmpp, startup_s=500.0),
}
"""Name -> how it is made of the folder of traces, with a folder to write in."""


def loads(names: list[str], traces: Path, folder: Path, extent: Extent) -> Iterator[Load | str]:
    """Those asked for; in words, why one is left out."""
    for name in names:
        try:
            yield LOADS[name](traces, folder, extent)
        except AbsentError as reason:
            yield f"{name} left out: {reason}"


def _made(traces: Path, folder: Path, name: str, file: str, assumed: Assumptions, starts: str = "") -> Scenario:
    """The scenario that `poolwright trace scenario` makes of a trace."""
    for each in filter(None, (file, starts)):
        if not (traces / each).is_file():
            raise AbsentError(f"no {traces / each}; give the folder with --traces")
    times = read_load_times(traces / starts) if starts else None
    trace = read_trace(traces / file)
    if isinstance(trace, Trace):
        # No policy here asks for classes, and a reading of each takes its time.
        trace = replace(trace, request_class=None)
    write_scenario(scenario_of(trace, name, assumed, times), folder / f"{name}.yaml")
    return sim.load(folder / f"{name}.yaml")


def _with(scenario: Scenario, slo: Slo, tick_s: float, replicas: Replicas) -> Scenario:
    """The same requests with this objective and control, all pools within these bounds."""
    (model,) = scenario.models
    versions = tuple(replace(v, replicas=replicas) for v in model.versions)
    control = replace(scenario.control, tick_s=tick_s, scrape_s=tick_s)
    return replace(scenario, slo=slo, control=control, models=(replace(model, versions=versions),))


def _serving(scenario: Scenario, service: Lognormal) -> Scenario:
    (model,) = scenario.models
    versions = tuple(replace(v, service=service) for v in model.versions)
    return replace(scenario, models=(replace(model, versions=versions),))
