"""All rows of Kubernetes' own test tables that lie beside the checkout, put through the policy's arithmetic.

Each kind of row names a function of the controller; below is how it is asked here, or why it cannot be.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from policies.hpa_behavior import (
    Behavior,
    Changes,
    Entries,
    Entry,
    GrowRules,
    RateRule,
    ShrinkRules,
    changed_within,
    greatest_wish,
    longest_period_s,
    stabilized,
    stored,
    with_change,
    within_double,
    within_rates,
)
from policies.hpa_replicas import (
    AverageTarget,
    Proposal,
    Readiness,
    Replica,
    Sample,
    Tolerance,
    Unknown,
    UtilizationTarget,
    by_average_value,
    by_replica,
    by_value,
    each,
    grouped,
    measured,
    total,
)

BESIDE = Path(__file__).parents[3] / "shared" / "references"
NOW_S = 0.0
LONG_AGO_S = -1e12
"""The zero time of Go, which comes before everything and yet is a time."""

READINESS = Readiness(initialization_s=120.0, delay_s=10.0)

Row = dict[str, Any]

NOT_APPLICABLE = {
    "calculatePodRequests": "a replica requests its slots; containers and their requests are not modelled",
    "computeReplicasForMetrics": "is told by observations here, not by a fake API server",
}
"""Functions of the controller with no counterpart, and why."""


def rows(name: str) -> Iterator[Any]:
    path = BESIDE / name
    if not path.exists():
        reason = f"no {name} beside the checkout"
        yield pytest.param({}, id=name, marks=pytest.mark.skip(reason=reason))
        return
    for i, row in enumerate(json.loads(path.read_text())["cases"]):
        function = row.get("method") or row["function"]
        reason = NOT_APPLICABLE.get(function) or ("" if function in ASKED else f"{function} is not known here")
        marks = [pytest.mark.skip(reason=reason)] if reason else []
        yield pytest.param(row, id=f"{function}-{i}-{row['name'][:60]}", marks=marks)


def answers(proposal: Proposal | Unknown) -> Row:
    """A proposal by the names of the rows."""
    if isinstance(proposal, Unknown):
        return {"error": proposal.why}
    answer = {"replicas": proposal.replicas, "usageMilli": proposal.usage, "rawAverageMilli": proposal.usage}
    return answer | {"utilizationPercent": proposal.percent}


def tolerance(given: Row) -> Tolerance:
    return Tolerance(given["tolerance"]["scaleDown"], given["tolerance"]["scaleUp"])


def replicas(given: Row) -> list[Replica]:
    count = given["podCount"]
    ready = given.get("podReady") or [True] * count
    phases = given.get("podPhase") or ["Running"] * count
    deleted = given.get("podDeleted") or [False] * count
    ages = given.get("podStartAgeSeconds") or [None] * count
    return [
        Replica(
            f"test-pod-{i}",
            LONG_AGO_S if ages[i] is None else NOW_S - ages[i],
            ready[i],
            LONG_AGO_S,
            pending=phases[i] == "Pending",
            gone=deleted[i] or phases[i] in ("Failed", "Succeeded"),
        )
        for i in range(count)
    ]


def ready_count(given: Row) -> int:
    return sum(r.ready is True and not r.pending and not _ended(given, i) for i, r in enumerate(replicas(given)))


def _ended(given: Row, i: int) -> bool:
    phases = given.get("podPhase") or []
    return bool(phases) and phases[i] in ("Failed", "Succeeded")


def samples(given: Row) -> dict[str, Sample]:
    """What each pod uses; of all its containers, or of the named one (`container1` and `container2`)."""
    names, container = given.get("metricPodNames"), given.get("container")
    each_pod = given.get("metricLevelsPerPodPerContainerMilli")
    levels = [[level] for level in given["metricLevelsMilli"]] if each_pod is None else each_pod
    found = {}
    for i, level in enumerate(levels):
        which = range(len(level)) if not container else [int(container.removeprefix("container")) - 1]
        if all(k < len(level) for k in which):
            name = names[i] if names else f"test-pod-{i}"
            found[name] = Sample(sum(level[k] for k in which), LONG_AGO_S, 60.0)
    return found


def requests(given: Row) -> dict[str, int | None]:
    containers = 1 if given.get("container") else 2
    known = given["requestsPerContainerMilli"] or []
    return {f"test-pod-{i}": known[i] * containers if i < len(known) else None for i in range(given["podCount"])}


def by_metrics(given: Row, target: UtilizationTarget | AverageTarget, *, processor: bool) -> Proposal | Unknown:
    seen = samples(given)
    groups = grouped(replicas(given), seen, NOW_S, READINESS if processor else None)
    found = measured(groups, seen, requests(given) if isinstance(target, UtilizationTarget) else None)
    if isinstance(found, Unknown):
        return found
    return by_replica(given["currentReplicas"], found, target, tolerance(given), "metric")


def get_resource_replicas(given: Row) -> Row:
    target = UtilizationTarget(given["targetUtilizationPercent"])
    return answers(by_metrics(given, target, processor=given.get("resource", "cpu") == "cpu"))


def get_raw_resource_replicas(given: Row) -> Row:
    target = AverageTarget(given["targetUsageMilli"])
    return answers(by_metrics(given, target, processor=given.get("resource", "cpu") == "cpu"))


def get_metric_replicas(given: Row) -> Row:
    return answers(by_metrics(given, AverageTarget(given["targetUsageMilli"]), processor=False))


def get_value_replicas(given: Row) -> Row:
    usage, target = total(given["metricLevelsMilli"]), given["targetUsageMilli"]
    return answers(
        by_value(given["currentReplicas"], ready_count(given), usage, target, tolerance(given), "metric"),
    )


def get_average_value_replicas(given: Row) -> Row:
    usage, target = total(given["metricLevelsMilli"]), given["perPodTargetUsageMilli"]
    return answers(by_average_value(given["currentReplicas"], usage, target, tolerance(given), "metric"))


def get_per_pod_usage(given: Row) -> Row:
    return {"value": each(given["usage"], given["statusReplicas"])}


def group_pods(given: Row) -> Row:
    pods = [_pod(pod) for pod in given["pods"]]
    seen = {name: _sample(metric) for name, metric in given["metrics"].items()}
    groups = grouped(pods, seen, NOW_S, READINESS if given["resource"] == "cpu" else None)
    names = {"unready": groups.unready, "missing": groups.missing, "ignored": groups.ignored}
    return {"readyPodCount": len(groups.ready), **{key: sorted(value) for key, value in names.items()}}


def _pod(pod: Row) -> Replica:
    condition = pod["readyCondition"] or {"status": None, "lastTransitionAgeSeconds": None}
    return Replica(
        pod["name"],
        None if pod["startAgeSeconds"] is None else NOW_S - pod["startAgeSeconds"],
        condition["status"],
        _ago(condition["lastTransitionAgeSeconds"]),
        pending=pod["phase"] == "Pending",
        gone=pod["deleted"] or pod["phase"] in ("Failed", "Succeeded"),
    )


def _sample(metric: Row) -> Sample:
    return Sample(metric["value"], _ago(metric["timestampAgeSeconds"]), metric["windowSeconds"] or 0.0)


def _ago(age_s: float | None) -> float:
    return LONG_AGO_S if age_s is None else NOW_S - age_s


def policies(rules: Row) -> dict[str, Any]:
    each_rule = tuple(
        RateRule(
            kind="replicas" if rule["type"] == "Pods" else "percent",
            value=rule["value"],
            period_s=rule["periodSeconds"],
        )
        for rule in rules["policies"]
    )
    return {
        "select": (rules.get("selectPolicy") or "Max").lower(),
        "stabilization_s": rules.get("stabilizationWindowSeconds") or 0.0,
        "policies": each_rule,
    }


def behavior(up: Row | None, down: Row | None) -> Behavior:
    return Behavior(
        scale_up=GrowRules(**policies(up)) if up else GrowRules(),
        scale_down=ShrinkRules(**policies(down)) if down else ShrinkRules(),
    )


def entries(given: list[Row], key: str) -> Entries:
    return tuple(Entry(NOW_S - entry["ageSeconds"], entry[key]) for entry in given)


def bounds(given: Row) -> tuple[int, int]:
    return given["minReplicas"], given["maxReplicas"]


def stabilize_recommendation(given: Row) -> Row:
    window_s = given["downscaleStabilizationSeconds"]
    wishes = entries(given["recommendations"], "recommendation")
    after = stored(wishes, Entry(NOW_S, given["desiredReplicas"]), NOW_S - window_s)
    held = greatest_wish(given["desiredReplicas"], wishes, window_s, NOW_S)
    return {"replicas": held, "logLength": len(after)}


def stabilize_recommendation_with_behaviors(given: Row) -> Row:
    up_s, down_s = given["scaleUpStabilizationSeconds"], given["scaleDownStabilizationSeconds"]
    wishes = entries(given["recommendations"], "recommendation")
    wish = given["desiredReplicas"]
    after = stored(wishes, Entry(NOW_S, wish), NOW_S - max(up_s, down_s))
    held = stabilized(given["currentReplicas"], wish, wishes, up_s, down_s, NOW_S)
    return {"replicas": held, "recommendationsAfter": [entry.replicas for entry in after]}


def convert_with_behavior_rate(given: Row) -> Row:
    rules = behavior(given["scaleUpRules"], given["scaleDownRules"])
    events = (entries(given[key] or [], "replicaChange") for key in ("scaleUpEvents", "scaleDownEvents"))
    current, wish = given["currentReplicas"], given["desiredReplicas"]
    limited, condition = within_rates(current, wish, bounds(given), rules, Changes(*events), NOW_S)
    return {"replicas": limited, "condition": condition}


def convert_with_rules(given: Row) -> Row:
    limited, condition = within_double(given["currentReplicas"], given["desiredReplicas"], bounds(given))
    return {"replicas": limited, "condition": condition}


def store_scale_event(given: Row) -> Row:
    """Without rules nothing is stored, so nothing happens here."""
    before, after = given["prevReplicas"], given["newReplicas"]
    events = entries(given["events"], "replicaChange")
    rules = given["rules"] and behavior(*((given["rules"], None) if after > before else (None, given["rules"])))
    kept, outdated_s = events, float("-inf")
    if rules:
        changes = with_change(Changes(events, events), rules, before, NOW_S, after)
        kept = changes.added if after > before else changes.removed
        outdated_s = NOW_S - longest_period_s(rules.scale_up if after > before else rules.scale_down)
    told = [{"replicaChange": entry.replicas, "outdated": entry.time_s < outdated_s} for entry in kept]
    return {"replicasChangeInLast60sBeforeStore": changed_within(events, 60.0, NOW_S), "eventsAfter": told}


ASKED: Mapping[str, Callable[[Row], Row]] = {
    "GetResourceReplicas": get_resource_replicas,
    "GetRawResourceReplicas": get_raw_resource_replicas,
    "GetMetricReplicas": get_metric_replicas,
    "GetObjectMetricReplicas": get_value_replicas,
    "GetExternalMetricReplicas": get_value_replicas,
    "GetObjectPerPodMetricReplicas": get_average_value_replicas,
    "GetExternalPerPodMetricReplicas": get_average_value_replicas,
    "getPerPodUsage": get_per_pod_usage,
    "groupPods": group_pods,
    "stabilizeRecommendation": stabilize_recommendation,
    "stabilizeRecommendationWithBehaviors": stabilize_recommendation_with_behaviors,
    "convertDesiredReplicasWithBehaviorRate": convert_with_behavior_rate,
    "convertDesiredReplicasWithRules": convert_with_rules,
    "storeScaleEvent": store_scale_event,
}


@pytest.mark.parametrize("row", [*rows("hpa_replica_calculator.json"), *rows("hpa_behavior.json")])
def test_the_policy_answers_as_the_controller_does(row: Row) -> None:
    function = row.get("method") or row["function"]
    answer, expected = ASKED[function](row["inputs"]), row["expected"]
    if "error" in expected:
        assert answer.keys() == {"error"}
    else:
        assert {key: answer.get(key) for key in expected} == expected
