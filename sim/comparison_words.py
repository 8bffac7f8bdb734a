"""What a comparison says, in sentences: who meets the objective, who is cheaper, how sure that is."""

import math
from collections.abc import Iterator
from itertools import pairwise

from sim.chance import arrivals_replayed, chances
from sim.comparison import Comparison, Told
from sim.intervals import Estimate
from sim.paired import MOST_REPLICATIONS
from sim.text import NEVER, UNKNOWN, duration, listed, number, percent, seconds

FEW = 5
"""From fewer replications intervals are very wide: Student's law with few degrees of freedom."""
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
UNITS = {"cost_usd": ("cost", "USD"), "replica_hours": ("replica-hours", "replica-hours")}


def plus_minus(e: Estimate, unit: str = "", *, sign: str = "") -> str:
    """`99.2 +- 0.3 %`, `184.3 +- 1.2 USD`: a value and half its interval; `%` takes shares, `sign` may be `+`."""
    if math.isnan(e.value):
        return UNKNOWN
    if math.isinf(e.value):
        return NEVER
    scale, half = (100.0 if unit == "%" else 1.0), e.half_width
    if not math.isfinite(half) or half == 0:
        plain = percent(e.value) if unit == "%" else number(e.value, 4) + (f" {unit}" if unit else "")
        return ("+" if sign and e.value > 0 else "") + plain
    decimals = min(max(0, 1 - math.floor(math.log10(scale * half))), 4)
    value, spread = (f"{scale * x:,.{decimals}f}" for x in (e.value, half))
    return f"{'+' if sign and e.value > 0 else ''}{value} {PLUS_MINUS} {spread}{f' {unit}' if unit else ''}"


def verdicts(comparison: Comparison) -> Iterator[str]:
    """The reference first, then the others by price, then neighbours in price that cannot be told apart."""
    reference = comparison.reference
    others = [name for name in comparison.by_price if name != reference]
    yield _leading(comparison)
    for name in others:
        yield f"{name} {_objective(comparison, name)} and {_price(comparison, name, reference)}"
    for a, b in pairwise(others):
        told = comparison.priced[a, b]
        if told.apart is False and comparison.paired[a, b][comparison.price].absolute.value:
            what = UNITS[comparison.price][0]
            yield f"{a} and {b} are not distinguishable in {what} at this precision; {_more(comparison, told)}"
    if (gap := _foresight(comparison)) is not None:
        yield gap


def _leading(comparison: Comparison) -> str:
    name = comparison.reference
    e = comparison.figures[name][comparison.price]
    price = plus_minus(e, UNITS[comparison.price][1])
    does = f"{name} {_objective(comparison, name)}"
    if comparison.given_reference is not None or comparison.objective(name) == "none":
        return f"{does}; it takes {price}"
    if not comparison.attains(name):
        return f"no policy meets the SLO; {does} and takes {price}"
    # Foresight is a yardstick, not a policy that one could have.
    rivals = [n for n in comparison.policies if n not in (name, comparison.clairvoyant)]
    alone = not any(comparison.attains(n) for n in rivals)
    sure = all(comparison.objective(n) != "open" for n in (name, *rivals))
    seem = "" if sure else " or seem to"
    return f"{does}, {'the only one to do so' if alone else f'at the lowest price of those that do{seem}'}: {price}"


def _objective(comparison: Comparison, name: str) -> str:
    slo, share = comparison.scenario.slo, comparison.figures[name]["slo_attainment"]
    if slo is None and math.isnan(share.value):
        return f"answers 95 % within {plus_minus(comparison.figures[name]['response_p95_s'], 's')}"
    met = plus_minus(share, "%")
    if slo is None:
        return f"answers {met} in time"
    own = any(c.deadline_s is not None for c in comparison.scenario.traffic)
    found = f"{met} {'in time' if own else f'within {seconds(slo.response_s)}'}"
    match comparison.objective(name):
        case "met":
            return f"meets the SLO ({found})"
        case "missed":
            return f"misses the SLO ({found}, {percent(slo.quantile)} asked)"
        case "open":
            seems = "seems to meet" if share.value >= slo.quantile else "seems to miss"
            more = _more(comparison, comparison.attained[name])
            return f"{seems} the SLO ({found}, {percent(slo.quantile)} asked; {more})"
        case _:
            return "had no request to judge the SLO by"


def _price(comparison: Comparison, name: str, other: str) -> str:
    """What a policy costs, seen from another."""
    what, unit = UNITS[comparison.price]
    found, told = comparison.paired[name, other][comparison.price], comparison.priced[name, other]
    if found.absolute.value == 0:
        return f"{'costs' if what == 'cost' else 'takes'} the same as {other}"
    e, of = (found.relative, "%") if not math.isnan(found.relative.value) else (found.absolute, unit)
    if told.apart is False and not e.low > 0 and not e.high < 0:
        apart = f"is not distinguishable from {other} in {what} at this precision ({plus_minus(e, of, sign='+')})"
        return f"{apart}; {_more(comparison, told)}"
    amount = plus_minus(Estimate(abs(e.value), abs(e.value) - e.half_width, abs(e.value) + e.half_width, e.batches), of)
    less = e.value < 0
    if what == "cost":
        words = f"is {amount} cheaper than {other}" if less else f"costs {amount} more than {other}"
    else:
        words = f"takes {amount} {'fewer' if less else 'more'} replica-hours than {other}"
    if told.apart is False:
        unsure = f"as it seems: among {comparison.statements} statements that is not sure"
        return f"{words}, {unsure}; {_more(comparison, told)}"
    return words


def _more(comparison: Comparison, told: Told) -> str:
    """How many replications would tell, if value and spread are as they seem."""
    if told.needed is None:
        return f"not even {MOST_REPLICATIONS:,} replications would tell, if things are as they seem"
    batches = len(next(iter(comparison.batches.values())))
    serial = comparison.scenario.replications == 1
    more = max(math.ceil(told.needed / batches) - 1 if serial else told.needed - batches, 1)
    return f"about {more:,} more {'replication' if more == 1 else 'replications'} would tell"


def _foresight(comparison: Comparison) -> str | None:
    knowing, name = comparison.clairvoyant, comparison.reference
    if knowing is None or knowing == name:
        return None
    gap = comparison.paired[name, knowing][comparison.price].relative
    return f"the gap of {name} to perfect foresight ({knowing}) is {plus_minus(gap, '%', sign='+')}"


def notes(comparison: Comparison) -> Iterator[str]:
    """What to beware of."""
    if comparison.partial:
        yield f"the comparison was broken off: this is a part of it, {comparison.partial}"
    if comparison.interval == "none":
        yield _without_intervals(comparison)
    elif comparison.scenario.replications > 1 and comparison.replications < FEW:
        few = f"{comparison.replications} replications make wide intervals"
        yield f"{few}; with --replications {FEW} or more they narrow"
    for name, found in comparison.figures.items():
        if found["scale_events_per_pool_hour"].value == 0 and comparison.policies[name].kind != "fixed":
            yield f"{name} never changed a number of replicas; `poolwright explain` tells why"
    if comparison.price == "replica_hours":
        yield "no replica has a price (cost_per_hour): policies are compared by replica-hours"


def _without_intervals(comparison: Comparison) -> str:
    scenario = comparison.scenario
    lots = chances(scenario)
    if not lots:
        return "nothing is left to chance in this scenario: figures and differences are exact, and have no intervals"
    many = f"--replications {FEW} or more would tell"
    if arrivals_replayed(scenario):
        return (
            f"these figures are of one run of replayed arrivals; chance is left in {listed(lots)}, and how much that "
            f"does one run cannot tell; {many}"
        )
    return (
        "all policies met the same requests, but these are one course of a load that changes with time: the "
        f"differences are exact for these requests, and how much others would change them one run cannot tell; {many}"
    )


def footing(comparison: Comparison) -> Iterator[str]:
    """How the figures were made."""
    if comparison.interval != "none":
        yield (
            f"{PLUS_MINUS} and [ ] are 95 % intervals, each for itself, from {comparison.interval}: all policies met "
            "the same requests, so the interval of a difference leaves out what the requests have in common."
        )
    if comparison.statements:
        yield (
            f"What is said of the SLO and of price is {comparison.statements} statements, of every policy and every "
            "pair; all of them are right together with 95 % (Holm 1979)."
        )
    yield (
        "Requests never served count as missed, and as infinite times. Scale events are changes of the replicas "
        "wanted of a pool, reversals those that go the other way than the change before; both are for a pool and hour."
    )
    if comparison.warmup_s:
        yield f"Requests of the first {duration(comparison.warmup_s)} are left out as warm-up."
