"""Exact and numerical results of queueing models lie inside the intervals that runs give themselves.

The table below is a small selection, with its sources. Where a larger file of such cases lies beside the checkout, all
of its cases that this simulator has the queue for are run too.
"""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from sim.arrivals import Arrivals, Batch, Poisson, Renewal
from sim.cluster import Outcome
from sim.measures import Estimate, Sample
from sim.mmpp import Mmpp, RateState
from sim.result import Result
from sim.run import simulate
from sim.scenario import Control, Failures, Model, Replicas, RequestClass, Scenario, Version
from sim.service import (
    BalancedHyperexponential,
    Constant,
    Duration,
    Erlang,
    Exponential,
    Gamma,
    Law,
    Lognormal,
    Uniform,
)

BESIDE = Path(__file__).parents[3] / "shared" / "references" / "reference_numbers.json"


@dataclass(frozen=True, kw_only=True)
class Queue:
    """One pool under a steady load."""

    arrivals: Arrivals
    service: Law
    servers: int
    room: int | None = None
    patience: Duration | None = None
    failures: Failures | None = None
    queue: str = "fcfs"
    balancer: str = "central"
    slots: int = 1
    lower: tuple[Arrivals, ...] = ()
    """What comes of further classes, each of lower priority than those before."""

    def scenario(self, requests: int, seed: int) -> Scenario:
        classes = (self.arrivals, *self.lower)
        rate_per_s = sum(arrivals.mean_rate_per_s for arrivals in classes)
        version = Version(
            name="v1",
            service=self.service,
            slots=self.slots,
            replicas=Replicas(initial=self.servers),
            room=self.room,
            failures=self.failures,
        )
        return Scenario(
            name="queue",
            horizon_s=requests / rate_per_s,
            seed=seed,
            control=Control(tick_s=requests / rate_per_s / 100, scrape_s=requests / rate_per_s / 100),
            models=(Model(name="m", queue=self.queue, balancer=self.balancer, versions=(version,)),),  # type: ignore[arg-type]
            traffic=tuple(
                RequestClass(name=f"c{k or ''}", model="m", priority=k, arrivals=arrivals, patience_s=self.patience)
                for k, arrivals in enumerate(classes)
            ),
        )


@dataclass(frozen=True)
class Case:
    name: str
    queue: Queue
    expected: dict[str, float] = field(default_factory=dict)


def poisson(rate_per_s: float) -> Poisson:
    return Poisson(rate_per_s=rate_per_s)


def every_hour(law: Law) -> Renewal:
    return Renewal(interarrival=law)


ONE_S = Exponential(mean_s=1.0)

CASES = [
    # Gross, Shortle, Thompson and Harris, Fundamentals of Queueing Theory, ch. 3 (Erlang C).
    Case("M/M/1", Queue(arrivals=poisson(0.5), service=ONE_S, servers=1), {"Wq": 1.0, "W": 2.0, "P_wait": 0.5}),
    Case(
        "M/M/10 of the worked case",
        Queue(arrivals=poisson(5 / 3), service=Exponential(mean_s=5.0), servers=10),
        {"Wq": 1.4628318, "W": 6.4628318, "P_wait": 0.4876106},
    ),
    # Pollaczek and Khinchine: Wq = rate E[S^2] / (2 (1 - rho)).
    Case("M/D/1", Queue(arrivals=poisson(0.8), service=Constant(value_s=1.0), servers=1), {"Wq": 2.0}),
    Case("M/U/1", Queue(arrivals=poisson(0.8), service=Uniform(low_s=0.0, high_s=2.0), servers=1), {"Wq": 8 / 3}),
    # Erlang B, whatever the law of service.
    Case(
        "M/G/5/5",
        Queue(arrivals=poisson(5.0), service=Lognormal(mean_s=1.0, scv=4.0), servers=5, room=0),
        {"P_block": 0.2848678},
    ),
    # M/M/2/6: birth and death by hand.
    Case(
        "M/M/2/6",
        Queue(arrivals=poisson(1.9), service=ONE_S, servers=2, room=4),
        {"P_block": 0.1328498, "Wq": 0.8498975, "W": 1.8498975},
    ),
    # Palm's M/M/c+M, 12 a second at 10 servers, patience 2 s.
    Case(
        "M/M/10+M",
        Queue(arrivals=poisson(12.0), service=ONE_S, servers=10, patience=Exponential(mean_s=2.0)),
        {"P_wait": 0.8503849, "P_abandon": 0.1956559, "W_queue_all": 0.3913119},
    ),
    # Batches of five at a single exponential server (Gross et al., bulk input).
    Case("M[5]/M/1", Queue(arrivals=Batch(batches=poisson(0.16), size=5), service=ONE_S, servers=1), {"T": 15.0}),
    # One server that fails 0.05 times a unit and is repaired in 2 on average, resuming what it served.
    Case(
        "M/M/1 with breakdowns",
        Queue(
            arrivals=poisson(0.5),
            service=ONE_S,
            servers=1,
            failures=Failures(every=Exponential(mean_s=20.0), repair=Exponential(mean_s=2.0), on_crash="resume"),
        ),
        {"T": 2.84848485},
    ),
    # Cobham (1954): what is found in service, 0.8 s, over 1 - 0.2, and over (1 - 0.2) (1 - 0.8).
    Case(
        "M/M/1 by priority",
        Queue(arrivals=poisson(0.2), lower=(poisson(0.6),), service=ONE_S, servers=1, queue="priority"),
        {"Wq class c": 1.0, "Wq class c1": 5.0, "Wq": 4.0},
    ),
    # The number present does not depend on the order of service.
    Case("M/M/1 last come first", Queue(arrivals=poisson(0.5), service=ONE_S, servers=1, queue="lcfs"), {"Wq": 1.0}),
    # Kleinrock (1967): 1 / (1 - rho), whatever the law of service.
    Case(
        "M/G/1-PS",
        Queue(arrivals=poisson(0.5), service=Lognormal(mean_s=1.0, scv=4.0), servers=1, queue="ps", slots=100),
        {"T": 2.0},
    ),
    # Kelly (1979): truncated geometric, whatever the law of service.
    Case(
        "M/G/1/5-PS",
        Queue(arrivals=poisson(0.9), service=Uniform(low_s=0.0, high_s=2.0), servers=1, queue="ps", slots=5, room=0),
        {"P_block": 0.126022549988, "T": 2.7902859515},
    ),
    # Each of two replicas is M/M/1.
    Case("random of two", Queue(arrivals=poisson(1.2), service=ONE_S, servers=2, balancer="random"), {"W": 2.5}),
    # Flatto & McKean (1977): two servers, the number present counted by a chain of states.
    Case(
        "shortest of two queues",
        Queue(arrivals=poisson(1.6), service=ONE_S, servers=2, balancer="join_shortest_queue"),
        {"W": 2.95573661764},
    ),
    # The same for two of four without replacement.
    Case(
        "two choices of four",
        Queue(arrivals=poisson(2.8), service=ONE_S, servers=4, balancer="two_choices"),
        {"W": 1.79835797474},
    ),
    # Each of five replicas is E5/M/1 (Gross et al., ch. 5).
    Case(
        "turns of five",
        Queue(arrivals=poisson(4.0), service=ONE_S, servers=5, balancer="round_robin"),
        {"W": 3.15225673015},
    ),
]


class Measured:
    """Estimates under the names that the literature has for them."""

    def __init__(self, result: Result) -> None:
        r = result.requests.sort_values("arrival_s", kind="stable")
        self._from_s = result.warmup_s
        self._end_s = result.end_s
        self._arrival_s = r["arrival_s"].to_numpy()
        self._wait_s = r["wait_s"].to_numpy()
        self._stay_s = (r["leave_s"] - r["arrival_s"]).to_numpy()
        self._outcome = r["outcome"].cat.codes.to_numpy()
        self._class = r["request_class"].to_numpy()

    def __getitem__(self, name: str) -> Estimate | None:
        settled = self._outcome != Outcome.PRESENT
        started = ~np.isnan(self._wait_s)
        done = self._outcome == Outcome.COMPLETED
        entered = settled & (self._outcome != Outcome.REJECTED)
        waited_s = np.where(started, self._wait_s, self._stay_s)
        late = np.where(started, self._wait_s > 0, True)
        match name:
            case "Wq" | "W_served":
                return self._sample(started, self._wait_s).mean()
            case _ if name.startswith("Wq class "):
                return self._sample(started & (self._class == name.removeprefix("Wq class ")), self._wait_s).mean()
            case "W" | "T" | "T_mean" | "T_mean_any_service_law":
                return self._sample(done, self._stay_s).mean()
            case "W_queue_all" | "W_all":
                return self._sample(entered, waited_s).mean()
            case "P_wait" | "P_wait_arrival":
                return self._sample(entered, late.astype(float)).mean()
            case "P_block" | "P_block_any_service_law":
                return self._share(Outcome.REJECTED)
            case "P_abandon":
                return self._share(Outcome.ABANDONED)
            case _ if name.startswith(("Wq_p", "T_p")):
                values = self._wait_s if name.startswith("Wq") else self._stay_s
                return self._sample(started if name.startswith("Wq") else done, values).quantile(float(name[-2:]) / 100)
        return None

    def _share(self, outcome: Outcome) -> Estimate:
        settled = self._outcome != Outcome.PRESENT
        return self._sample(settled, (self._outcome == outcome).astype(float)).mean()

    def _sample(self, mask: np.ndarray, values: np.ndarray) -> Sample:
        return Sample.of([(self._arrival_s[mask], values[mask])], self._from_s, self._end_s)


def verdicts(case: Case, requests: int, seed: int) -> Iterator[tuple[str, float, Estimate, bool]]:
    """(Measure, truth, estimate, inside) of each measure that a run can be asked for."""
    scenario = case.queue.scenario(requests, seed)
    measured = Measured(simulate(scenario, keep_requests=True))
    for name, truth in case.expected.items():
        estimate = measured[name]
        if estimate is not None:
            yield name, truth, estimate, estimate.low <= truth <= estimate.high


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_theory_lies_inside_the_interval(case: Case) -> None:
    for name, truth, estimate, inside in verdicts(case, requests=60_000, seed=3):
        assert inside, f"{name} is {truth}, simulated {estimate}"


def test_a_wrong_truth_lies_outside() -> None:
    case = Case("M/M/1", CASES[0].queue, {"W": 2.0 * 1.25})
    assert [inside for *_, inside in verdicts(case, requests=60_000, seed=3)] == [False]


def _law(params: dict[str, Any], model: str) -> Law | None:
    text = str(params.get("service", ""))
    if "deterministic" in text or "service_time" in params:
        return Constant(value_s=params.get("service_time", 1.0))
    if text.startswith("uniform"):
        return Uniform(low_s=0.0, high_s=2.0)
    if text.startswith("lognormal"):
        return Lognormal(mean_s=1.0, scv=float(text.split("scv")[1].split(maxsplit=1)[0]))
    if text.startswith("gamma"):
        return Gamma(mean_s=1.0, scv=float(text.split("scv")[1].split(")", maxsplit=1)[0]))
    if "scv_service" in params:
        return _by_scv(params["scv_service"], params["service_mean"])
    if text or "service_m2" in params:
        return None
    return Constant(value_s=1.0) if "M/D/" in model else Exponential(mean_s=1.0 / params.get("service_rate", 1.0))


def _by_scv(scv: float, mean_s: float) -> Law:
    if scv == 1:
        return Exponential(mean_s=mean_s)
    if scv < 1:
        return Erlang(mean_s=mean_s, stages=round(1 / scv))
    return BalancedHyperexponential(mean_s=mean_s, scv=scv)


def _arrivals(params: dict[str, Any], model: str) -> Arrivals | None:
    if "batch_rate" in params:
        return Batch(batches=poisson(params["batch_rate"]), size=params["batch_size"])
    if "rates" in params:
        low, high = params["rates"]
        states = (
            RateState(rate_per_s=low, mean_sojourn_s=1 / params["r12"]),
            RateState(rate_per_s=high, mean_sojourn_s=1 / params["r21"]),
        )
        return Mmpp(states=states)
    rate = params.get("arrival_rate", params.get("offered_load"))
    if rate is None:
        return None
    if model.startswith("D/"):
        return Renewal(interarrival=Constant(value_s=1 / rate))
    if "scv_arrival" in params:
        return (
            Renewal(interarrival=_by_scv(params["scv_arrival"], 1 / rate))
            if params["scv_arrival"] != 1
            else poisson(rate)
        )
    return poisson(rate)


FAMILIES = {
    "M/M/1", "M/M/c", "M/G/c/c", "M/M/c/K", "M/M/c+M", "M/M/c+D", "M/G/1", "M/D/1", "M/D/c", "D/M/c", "G/G/c", "G/G/1",
    "MMPP/M/c", "failures",
}  # fmt: skip


BALANCED = {"jsq": "join_shortest_queue", "roundrobin": "round_robin", "powerofd": "two_choices"}

MANY = 200
"""Replicas that come close to the limit of infinitely many."""


def _cases(record: dict[str, Any]) -> list[Case]:
    match record["family"]:
        case "priority-nonpreemptive" if "arrival_rates" in record["params"]:
            return [_by_priority(record)]
        case "processor-sharing" if record["model"].startswith("M/G/1"):
            return [_shared(record, law) for law in (ONE_S, Constant(value_s=1.0), Lognormal(mean_s=1.0, scv=4.0))]
        case "load-balancing":
            return list(_balanced(record))
        case _:
            case = _case(record)
            return [] if case is None else [case]


def _by_priority(record: dict[str, Any]) -> Case:
    params = record["params"]
    first, *lower = [poisson(rate) for rate in params["arrival_rates"]]
    service, servers = Exponential(mean_s=1.0 / params["service_rate"]), params["servers"]
    waits = {f"Wq class c{k or ''}": wait_s for k, wait_s in enumerate(record["expected"]["Wq_by_class"])}
    queue = Queue(arrivals=first, lower=tuple(lower), service=service, servers=servers, queue="priority")
    return Case(record["id"], queue, {**waits, "Wq": record["expected"]["Wq_all"]})


def _shared(record: dict[str, Any], law: Law) -> Case:
    params = record["params"]
    slots, room = (params["capacity"], 0) if "capacity" in params else (1000, None)
    queue = Queue(arrivals=poisson(params["arrival_rate"]), service=law, servers=1, queue="ps", slots=slots, room=room)
    expected = {name: x for name, x in record["expected"].items() if name.startswith(("T_mean", "P_block"))}
    return Case(f"{record['id']} {type(law).__name__}", queue, expected)


def _balanced(record: dict[str, Any]) -> Iterator[Case]:
    params, expected = record["params"], record["expected"]
    servers, name = params.get("servers", MANY), record["id"].split("-")[0]
    by_balancer = {BALANCED.get(name, ""): expected.get("T_d2", expected.get("T"))}
    if "d" in params and params["d"] < servers:
        by_balancer = {"two_choices" if name == "jsq" and params["d"] == 2 else "": expected["T"]}
    by_balancer["random"] = expected.get("T_random", expected.get("T_d1_random"))
    by_balancer["central"] = expected.get("T_central_queue")
    arrivals = poisson(params["arrival_rate_per_server"] * servers)
    for balancer, response_s in by_balancer.items():
        if balancer and response_s is not None:
            queue = Queue(arrivals=arrivals, service=ONE_S, servers=servers, balancer=balancer)
            yield Case(f"{record['id']} {balancer}", queue, {"T": response_s})


def _case(record: dict[str, Any]) -> Case | None:
    params, model = record["params"], record["model"]
    batches = record["family"] == "batching" and "batch_size" in params
    if record["family"] not in FAMILIES and not batches:
        return None
    arrivals, service = _arrivals(params, model), _law(params, model)
    if arrivals is None or service is None:
        return None
    servers = params.get("servers", 1)
    patience: Duration | None = None
    if "patience_rate" in params:
        patience = Exponential(mean_s=1 / params["patience_rate"])
    elif "patience" in params:
        patience = Constant(value_s=params["patience"])
    failures = None
    if "fail_rate" in params:
        every, repair = Exponential(mean_s=1 / params["fail_rate"]), Exponential(mean_s=1 / params["repair_rate"])
        failures = Failures(every=every, repair=repair, on_crash="resume")
    room = params["capacity"] - servers if "capacity" in params else 0 if record["family"] == "M/G/c/c" else None
    queue = Queue(arrivals=arrivals, service=service, servers=servers, room=room, patience=patience, failures=failures)
    expected = {name: float(x) for name, x in record["expected"].items() if isinstance(x, int | float)}
    return Case(record["id"], queue, expected)


@pytest.mark.slow
@pytest.mark.skipif(not BESIDE.exists(), reason="no file of reference numbers beside the checkout")
def test_95_of_100_reference_numbers_lie_inside() -> None:
    records = json.loads(BESIDE.read_text())["cases"]
    cases = [case for record in records for case in _cases(record)]
    requests = int(os.environ.get("POOLWRIGHT_REFERENCE_REQUESTS", "200000"))
    # A seed for each case: on one seed all cases would share the luck of the same draws.
    found = [(case.name, *verdict) for case in cases for verdict in verdicts(case, requests, crc32(case.name.encode()))]
    outside = [
        (name, measure, truth, e.value, e.low, e.high) for name, measure, truth, e, inside in found if not inside
    ]
    whole = {name for name, *_ in found} - {name for name, *_ in outside}
    report = "\n".join(f"{n} {m}: {t:.5g} not in {v:.5g} [{low:.5g}, {high:.5g}]" for n, m, t, v, low, high in outside)
    print(f"{len(found)} figures of {len(cases)} cases, {len(outside)} outside; {len(whole)} cases whole\n{report}")
    assert len(outside) <= math.floor(0.05 * len(found))
