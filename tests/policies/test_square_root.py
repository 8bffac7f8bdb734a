"""Square-root staffing: what it asks for, how that moves with the load, and what it does not shrink on."""

from math import ceil, sqrt
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from policies.catalog import PolicySpec
from policies.histogram import Histogram
from policies.observation import Observation
from policies.policy import Policy
from policies.specfile import parse
from policies.square_root import SquareRootSpec
from policies.testing import seen, traits

TICK_S = 15.0
rates = st.floats(0.0, 50.0)


def policy(beta: float = 1.0, window_s: float = 300.0, **known: Any) -> Policy:
    return SquareRootSpec(beta=beta, window_s=window_s).build({"m/v1": traits(**{"service_s": 10.0} | known)})


def steady(rate_per_s: float, ticks: int, wanted: int | None = 5, **flow: Any) -> list[Observation]:
    """As many ticks of a load that does not change."""
    return [seen(k * TICK_S, wanted=wanted, arrived_total=rate_per_s * k * TICK_S, **flow) for k in range(ticks)]


def last(rule: Policy, observations: list[Observation]) -> int | None:
    """The target after the last of them; None where it keeps what there is."""
    return [rule.decide(each).targets.get("m/v1") for each in observations][-1]


def test_one_arrival_a_second_of_ten_seconds_needs_ten_slots_and_a_root() -> None:
    assert last(policy(), steady(1.0, 21)) == 14
    assert last(policy(slots=4), steady(1.0, 21)) == 4
    assert last(policy(beta=0.0), steady(1.0, 21)) == 10


def test_the_reason_shows_the_sum() -> None:
    rule = policy()
    decision = [rule.decide(each) for each in steady(1.0, 21)][-1]
    assert str(decision.reasons["m/v1"]) == (
        "wish 14: 1 arrivals/s x 10 s = 10 slots busy, and 1 times its root: 14 slots"
    )


@given(rates, rates, st.floats(0.0, 4.0))
def test_more_load_never_asks_for_less(one: float, other: float, beta: float) -> None:
    low, high = (last(policy(beta), steady(rate, 21, wanted=0)) for rate in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert low <= high


@given(rates, st.floats(0.0, 4.0), st.integers(1, 8))
def test_it_is_the_formula(rate_per_s: float, beta: float, slots: int) -> None:
    found = last(policy(beta, slots=slots), steady(rate_per_s, 21))
    load = 10 * rate_per_s
    exact = load + beta * sqrt(load)
    assert found in {ceil(ceil(exact * near) / slots) for near in (1 - 1e-9, 1 + 1e-9)}


def test_services_are_believed_once_a_hundred_were_seen() -> None:
    def shown(of: int) -> int | None:
        counts = [Histogram((50.0,), (n, n), 20.0 * n) for n in (0.0, float(of))]
        moments = [0.0, *(k * TICK_S for k in range(1, 21))]
        rule = policy()
        return last(rule, [seen(t, arrived_total=t, service_s=counts[t > 0]) for t in moments])

    assert shown(99) == ceil(10 + sqrt(10))
    assert shown(100) == ceil(20 + sqrt(20))


def test_no_service_time_is_no_wish() -> None:
    rule = SquareRootSpec().build({"m/v1": traits()})
    decision = [rule.decide(each) for each in steady(1.0, 3)][-1]
    assert decision.targets == {}
    assert decision.kept["m/v1"].startswith("no service time is known")


def test_it_grows_at_the_second_reading_and_shrinks_after_half_a_window() -> None:
    assert last(policy(), steady(1.0, 2, wanted=5)) == 14
    assert last(policy(), steady(0.1, 10, wanted=5)) == 5
    assert last(policy(), steady(0.1, 11, wanted=5)) == 2


def test_a_reading_that_was_seen_before_shrinks_nothing() -> None:
    rule = policy()
    last(rule, steady(0.1, 21, wanted=2))
    again = seen(315.0, wanted=5, age_s=15.0, arrived_total=30.0)
    assert str(rule.decide(again).reasons["m/v1"]).endswith("evidence: 2 -> 5 (no new reading)")


@given(st.lists(st.sampled_from(["read", "old", "empty", "away"]), max_size=60), st.integers(0, 30))
def test_what_is_missing_never_shrinks(fates: list[str], wanted: int) -> None:
    rule = policy(window_s=120.0)
    last(rule, steady(0.2, 20, wanted=wanted))
    read_s = 19 * TICK_S
    for k, fate in enumerate(fates, 20):
        now_s = k * TICK_S
        read_s = now_s if fate == "read" else read_s
        flow: dict[str, Any] = {} if fate == "empty" else {"arrived_total": 0.2 * read_s}
        age_s = None if fate == "away" else 0.0 if fate == "empty" else now_s - read_s
        target = rule.decide(seen(now_s, wanted=wanted, age_s=age_s, **flow)).targets.get("m/v1", wanted)
        assert fate == "read" or target >= wanted


def test_nobody_comes_and_nobody_is_kept_but_who_waits_is_served() -> None:
    assert last(policy(), steady(0.0, 21)) == 0
    assert last(policy(), steady(0.0, 21, wanted=0, queued=3.0)) == 1


@given(st.lists(st.integers(0, 40), min_size=30, max_size=60))
def test_a_fresh_one_that_is_fed_its_memory_decides_alike(arrivals: list[int]) -> None:
    totals = [sum(arrivals[: k + 1]) for k in range(len(arrivals))]
    observations = [seen(k * TICK_S, wanted=5, arrived_total=float(n)) for k, n in enumerate(totals)]
    old, new = policy(window_s=120.0), policy(window_s=120.0)
    back = ceil(new.memory_s / TICK_S) + 1
    assert last(old, observations) == last(new, observations[-back:])


def test_a_file_may_name_it() -> None:
    spec: object = parse(PolicySpec, "kind: square_root\nbeta: 2\n", "here")  # type: ignore[arg-type]
    assert spec == SquareRootSpec(beta=2.0)
