"""What to look for in each figure of a run, and what it shows, for those who cannot see it."""

from collections.abc import Callable
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from sim.plots import MOST_QUEUES, queues_in_parts
from sim.plotstyle import MOST_POOLS
from sim.result import Result
from sim.text import clock, duration, listed, number, percent, seconds, short, usd

if TYPE_CHECKING:
    import pandas as pd

LOOK_FOR = {
    "rates": (
        "Arrivals and completions",
        "A gap between the line and the areas is a backlog that grows, or requests that are never served; areas above "
        "the line work a backlog off.",
    ),
    "replicas": (
        "Replicas",
        "A pale area below the line is start-up, or repair after a crash: wanted and paid for, not yet serving. A line "
        "that jags up and down is a policy that flaps.",
    ),
    "queues": (
        "Queue",
        "Spikes that drain by themselves are chance; a hill is load that came faster than replicas could start; a "
        "slope without end is too little capacity.",
    ),
    "response_quantiles": (
        "Response time over time",
        "Where the line of the objective's quantile is over the dashed one, the objective is missed at that time of "
        "the run, whatever the mean says. Only requests that were completed have a response time.",
    ),
    "response_distribution": (
        "Distribution of response times",
        "What is right of the dashed line is late. A second hump is a second kind of request, or of wait. Percentiles "
        "count those never served as infinite.",
    ),
    "response_tails": (
        "Tails of response times",
        "Lower and further left is better. A version whose curve passes above the diamond misses the objective on its "
        "own; a curve that flattens to the right has a heavy tail.",
    ),
    "cost": (
        "Cost",
        "Where cost follows the arrivals above, scaling pays; where it stays high after a peak, replicas are let go "
        "late.",
    ),
}
"""Figure -> its title and what to look for."""
BY_TICK = ("replicas", "queues", "cost")


def title(name: str) -> str:
    return LOOK_FOR[name][0]


def caption(name: str, result: Result) -> str:
    """What to look for, and what part of the result is shown."""
    words = [LOOK_FOR[name][1]]
    pools = len(result.figures.by_version)
    if pools > MOST_POOLS and name in ("replicas", "queues", "response_tails"):
        words.append(f"Shown are the {MOST_POOLS} of {pools} pools that used the most replica-hours.")
    if name == "queues" and queues_in_parts(result):
        words.append(
            f"Where it changes too often to draw, the line is the mean of each {_part(result)}, the shade its peak."
        )
    if result.replications > 1:
        shown = "the first of" if name in BY_TICK else "all"
        words.append(f"From {shown} {result.replications} replications.")
    if result.warmup_s and name not in ("response_distribution", "response_tails"):
        words.append(f"Hatched: the warm-up of {duration(result.warmup_s)}, which the summary leaves out.")
    return " ".join(words)


def _part(result: Result) -> str:
    return duration(result.end_s / MOST_QUEUES)


def alternative(name: str, result: Result) -> str:
    """What the figure shows, with its most telling numbers."""
    return f"{title(name)}: {ALTERNATIVES[name](result)}."


def _rates(result: Result) -> str:
    whole = _scope(result.course, "all")
    per_s = whole["requests_arrived"] / whole["length_s"]
    at = clock(whole["time_s"].iloc[int(per_s.to_numpy().argmax())])
    return f"arrivals are highest, {number(per_s.max())} requests/s, at {at}, and {number(per_s.mean())} in the mean"


def _replicas(result: Result) -> str:
    return _extremes(result, "replicas_wanted", "wanted")


def _queues(result: Result) -> str:
    return _extremes(result, "requests_queued", "waiting at a tick")


def _extremes(result: Result, column: str, words: str) -> str:
    first = result.pools[result.pools["replication"] == 0]
    pools = first.groupby("pool", sort=False)[column].agg(["min", "max"])
    largest = pools.sort_values("max", ascending=False, kind="stable").head(MOST_POOLS)
    told = [f"{pool} from {row['min']:,} to {row['max']:,}" for pool, row in largest.iterrows()]
    return f"{listed(told)} {words}"


def _quantiles(result: Result) -> str:
    whole = _scope(result.course, "all")
    if not whole["requests_completed"].any():
        return "no request was completed"
    p95_s = whole["response_p95_s"].to_numpy()
    worst = int(np.nanargmax(p95_s))
    return f"p95 is highest, {seconds(p95_s[worst])}, at {clock(whole['time_s'].iloc[worst])}{_objective(result)}"


def _distribution(result: Result) -> str:
    found = result.figures.overall.response_s
    return f"{listed(f'{name} is {seconds(found[name].value)}' for name in ('p50', 'p95', 'p99'))}{_objective(result)}"


def _tails(result: Result) -> str:
    slo = result.scenario.slo
    met = [
        f"of {pool} {percent(group.slo_attainment.value)} meet the objective"
        for pool, group in result.figures.by_version.items()
        if group.slo_attainment is not None and not isnan(group.slo_attainment.value)
    ]
    return listed(met[:MOST_POOLS]) if slo and met else "share of requests that took longer than a time, by version"


def _cost(result: Result) -> str:
    parts = [f"{pool} {usd(group.cost)}" for pool, group in result.figures.by_version.items()]
    rest = [f"{short(len(parts) - MOST_POOLS)} others the rest"] if len(parts) > MOST_POOLS else []
    return f"{usd(result.figures.overall.cost)} in all, {listed([*parts[:MOST_POOLS], *rest])}"


def _objective(result: Result) -> str:
    slo = result.scenario.slo
    return f"; the objective is {percent(slo.quantile)} within {seconds(slo.response_s)}" if slo else ""


def _scope(frame: "pd.DataFrame", scope: str) -> "pd.DataFrame":
    return frame[frame["scope"] == scope]


ALTERNATIVES: dict[str, Callable[[Result], str]] = {
    "rates": _rates,
    "replicas": _replicas,
    "queues": _queues,
    "response_quantiles": _quantiles,
    "response_distribution": _distribution,
    "response_tails": _tails,
    "cost": _cost,
}
