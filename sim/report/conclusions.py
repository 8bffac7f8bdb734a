"""What a run comes to, in words: the objective, what was lost, how long it took, what it cost, whom theory supports."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, isinf, isnan
from typing import Literal

from sim.intervals import Estimate
from sim.result import Result
from sim.scenario import RequestClass, Slo
from sim.summary import Counts
from sim.text import estimate, listed, number, percent, seconds, usd

State = Literal["met", "missed", "open", "none"]
"""Of the objective; `open` where the interval spans it, `none` where there is none or no request to judge by."""

SATURATED = 0.98
BACKLOG, FEWEST_WAITING = 0.01, 20
"""From so large a share of all requests, and from so many, those still there at the end are a backlog."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    state: State
    sentences: tuple[str, ...]


def conclusion(result: Result) -> Conclusion:
    """The objective first, then all else that is worth a sentence."""
    parts = (_objective, _alone, _margin, _served, _times, _cost, _utilization, _scaling, _agreement)
    return Conclusion(objective_state(result), tuple(words for part in parts for words in part(result)))


def attained(result: Result) -> Estimate | None:
    """The share of requests that met their objective; None without an objective, or a request to judge it by."""
    found = result.figures.overall.slo_attainment
    return None if found is None or isnan(found.value) else found


def objective_state(result: Result) -> State:
    slo, share = result.scenario.slo, attained(result)
    if slo is None or share is None:
        return "none"
    low, high = (share.value if isnan(end) else end for end in (share.low, share.high))
    if low >= slo.quantile:
        return "met"
    return "missed" if high < slo.quantile else "open"


def policy_words(result: Result) -> str:
    """`stabilized, around fcfs`: the kinds of a policy and of those inside it."""
    kinds: list[str] = []
    policy: object = result.scenario.policy
    while kind := getattr(policy, "kind", None):
        kinds.append(kind)
        policy = getattr(policy, "policy", None)
    return ", around ".join(kinds)


def deadlines(result: Result) -> list[RequestClass]:
    """The request classes with an objective of their own."""
    return [c for c in result.scenario.traffic if c.deadline_s is not None]


def _objective(result: Result) -> Iterator[str]:
    slo, met = result.scenario.slo, attained(result)
    share = estimate(met, "%")
    if slo is None and not deadlines(result):
        yield "The scenario sets no objective."
    elif met is None:
        yield "There was no request to judge the objective by."
    elif slo is None:
        yield f"Of the requests that have a deadline ({_deadline_words(result)}), {share} were answered in time."
    else:
        yield _objective_words(result, slo, share)


def _objective_words(result: Result, slo: Slo, share: str) -> str:
    own = f" ({_deadline_words(result)})" if deadlines(result) else ""
    within, asked = f"within {seconds(slo.response_s)}{own}", percent(slo.quantile)
    match objective_state(result):
        case "met":
            return f"The objective is met: {share} of the requests were answered {within}, and {asked} are asked for."
        case "missed":
            return f"The objective is missed: {share} of the requests were answered {within}; {asked} are asked for."
        case _:
            return (
                f"It is open whether the objective is met: {share} of the requests were answered {within}, and the "
                f"{asked} asked for lie inside the interval; a longer run, or more replications, would decide it."
            )


def _deadline_words(result: Result) -> str:
    return listed(f"{c.name}: {seconds(c.deadline_s)}" for c in deadlines(result))


def _alone(result: Result) -> Iterator[str]:
    """Versions and classes that the figure over all hides: they do not reach what is asked for on their own."""
    slo = result.scenario.slo
    groups = [*result.figures.by_version.items(), *result.figures.by_class.items()]
    if slo is None or len(groups) == 2 or objective_state(result) != "met":
        return
    short = [
        f"{name} ({estimate(group.slo_attainment, '%')})"
        for name, group in groups
        if group.slo_attainment is not None and group.slo_attainment.value < slo.quantile
    ]
    if short:
        yield f"Taken alone, this does not hold for {listed(short)}."


def _margin(result: Result) -> Iterator[str]:
    """How far the quantile that the objective is about lies from its limit."""
    slo = result.scenario.slo
    name = f"p{100 * slo.quantile:g}" if slo else ""
    found = result.figures.overall.response_s.get(name)
    if slo is None or found is None or isnan(found.value) or deadlines(result):
        return
    if isinf(found.value):
        yield f"{name} of the response time is never reached: more than {percent(1 - slo.quantile)} were never served."
        return
    yield f"{name} of the response time is {estimate(found, 's')}, {_apart(found.value / slo.response_s)} the limit."


def _apart(ratio: float) -> str:
    if ratio >= 2:
        return f"{number(ratio, 2)} times"
    return f"{percent(round(abs(ratio - 1), 3))} {'over' if ratio > 1 else 'below'}"


def _served(result: Result) -> Iterator[str]:
    counts = result.figures.overall.requests
    lost = counts.rejected + counts.abandoned + counts.failed
    of_all = f"{number(counts.arrived)} requests" + " (the mean of all replications)" * (result.replications > 1)
    backlog = ""
    if counts.waiting > max(FEWEST_WAITING, BACKLOG * counts.arrived):
        backlog = f"; {number(counts.waiting)} were still there at the end: the run ends in a backlog"
    if lost:
        share = percent(lost / counts.arrived)
        yield f"Of {of_all} {number(lost)} ({share}) were lost: {_fates(counts)}{backlog}."
    else:
        yield f"None of {of_all} was lost{backlog}." if counts.arrived else "No request arrived."


def _fates(counts: Counts) -> str:
    fates = (
        (counts.rejected, "rejected for want of room"),
        (counts.abandoned, "gave up waiting"),
        (counts.failed, "failed in a crash"),
    )
    told = [(lost, words) for lost, words in fates if lost]
    if len(told) == 1:
        return told[0][1]
    return listed(f"{number(lost)} {words}" for lost, words in told)


def _times(result: Result) -> Iterator[str]:
    overall = result.figures.overall
    response, wait = overall.response_s["mean"], overall.wait_s["mean"]
    if isfinite(response.value):
        waiting = f", of which {estimate(wait, 's')} is waiting" if isfinite(wait.value) else ""
        yield f"The mean response time is {estimate(response, 's')}{waiting}."


def _cost(result: Result) -> Iterator[str]:
    overall = result.figures.overall
    hours = f"{number(overall.replica_hours)} replica-hours"
    if not overall.cost:
        yield f"{hours} were used; no version has a price."
        return
    rate = f"{usd(overall.cost / result.end_s * 3600)} an hour"
    if overall.requests.completed:
        rate += f", {usd(1000 * overall.cost / overall.requests.completed)} for 1,000 completed requests"
    yield f"{hours} cost {usd(overall.cost)}: {rate}."


def _utilization(result: Result) -> Iterator[str]:
    busy = result.figures.overall.utilization
    if result.figures.overall.replica_hours:
        saturated = ": they are saturated" * (busy > SATURATED)
        yield f"Replicas were busy {percent(busy)} of the time that they were ready{saturated}."


def _scaling(result: Result) -> Iterator[str]:
    events = result.figures.overall.scale_events
    changed = (
        f"changed the number of replicas {number(events)} times" if events else "never changed a number of replicas"
    )
    yield f"The policy ({policy_words(result)}) {changed}."


def _agreement(result: Result) -> Iterator[str]:
    for verdict in result.verdicts:
        says = f"{verdict.source[:1].upper()}{verdict.source[1:]} says {seconds(verdict.says_s)}"
        yield f"{says} for the {verdict.measure}: {verdict.words}."
