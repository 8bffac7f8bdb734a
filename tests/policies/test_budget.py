"""A budget over pools: held at every moment, shared by need or priority, and what it may not do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import cycle
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policies.bounded import Bounded
from policies.budget import Budget, BudgetSpec
from policies.budget_rule import Claim, shared
from policies.catalog import PolicySpec
from policies.decision import Decision, Reason
from policies.fixed import FixedSpec
from policies.observation import Observation, PoolReading
from policies.policy import Policy, Readings
from policies.specfile import read
from policies.stabilized import Stabilized
from policies.testing import traits

NAMES = ("m/v1", "m/v2", "m/v3")
POOLS = {
    name: traits(name, at_least=1, at_most=50, cost_per_hour=price)
    for name, price in zip(NAMES, (1, 2, 0.1), strict=True)
}

wishes = st.lists(st.tuples(*(st.none() | st.integers(0, 20) for _ in NAMES)), min_size=1, max_size=30)
claims = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 15), st.integers(0, 3)).map(
        lambda x: Claim(x[0], x[0] + x[1], (1, x[2]))
    ),
    max_size=5,
)


@dataclass
class Wishes:
    """A policy that wants what it was told to, turn by turn, the last for ever; None keeps."""

    turns: Sequence[Sequence[int | None]]
    memory_s: float = 0.0
    readings: Readings = Readings()
    _turn: int = field(default=0, init=False)

    def decide(self, _: Observation, /) -> Decision:
        turn = self.turns[min(self._turn, len(self.turns) - 1)]
        self._turn += 1
        return Decision({name: Reason(n, "as told") for name, n in zip(NAMES, turn, strict=True) if n is not None})


@dataclass
class Cluster:
    """Replicas that take some turns to go, each its own number of them."""

    wanted: dict[str, int]
    patience: Sequence[int]
    draining: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in NAMES})

    def __post_init__(self) -> None:
        self._turns = cycle(self.patience)

    def seen(self) -> Observation:
        """Half of what is wanted is starting."""
        return Observation(0.0, {name: self._reading(name) for name in self.wanted})

    def _reading(self, name: str) -> PoolReading:
        n = self.wanted[name]
        return PoolReading(wanted=n, starting=n // 2, ready=n - n // 2, draining=len(self.draining[name]), age_s=0.0)

    def apply(self, targets: Mapping[str, int]) -> None:
        for name, target in targets.items():
            gone = self.wanted[name] - target
            self.draining[name] += [next(self._turns) for _ in range(gone)]
            self.wanted[name] = target

    def wait(self) -> None:
        self.draining = {name: [n - 1 for n in left if n > 0] for name, left in self.draining.items()}

    @property
    def present(self) -> dict[str, int]:
        return {name: n + len(self.draining[name]) for name, n in self.wanted.items()}


def budget(policy: Policy, **fields: Any) -> Budget:
    """A budget around any policy."""
    built = BudgetSpec(policy=FixedSpec(), **fields).build(POOLS)
    return replace(built, policy=Bounded(policy, POOLS))


def cost(present: Mapping[str, int]) -> float:
    return sum(n * POOLS[name].cost_per_hour for name, n in present.items())


def lived(policy: Policy, cluster: Cluster, turns: int) -> list[dict[str, int]]:
    """All replicas that there are after each decision, those that drain included."""
    found = []
    for _ in range(turns):
        cluster.apply(policy.decide(cluster.seen()).targets)
        found.append(cluster.present)
        cluster.wait()
    return found


def shown(**wanted: int | None) -> Observation:
    return Observation(0.0, {f"m/{v}": PoolReading(wanted=n, starting=0, ready=n) for v, n in wanted.items()})


@given(wishes, st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(3, 30), st.integers(4, 40))
def test_there_are_never_more_replicas_nor_do_they_cost_more(
    told: list[tuple[int | None, ...]], patience: list[int], most: int, usd: int
) -> None:
    policy = budget(Wishes(told), replicas=most, cost_per_hour=usd)
    for present in lived(policy, Cluster(dict.fromkeys(NAMES, 1), patience), len(told)):
        assert sum(present.values()) <= most
        assert cost(present) <= usd + 1e-9


@given(wishes, st.integers(3, 30), st.permutations(NAMES))
def test_a_priority_holds_as_well(told: list[tuple[int | None, ...]], most: int, order: list[str]) -> None:
    policy = budget(Wishes(told), replicas=most, priority=tuple(order))
    for present in lived(policy, Cluster(dict.fromkeys(NAMES, 1), [3]), len(told)):
        assert sum(present.values()) <= most
        assert min(present.values()) >= 1


@given(st.tuples(*(st.integers(0, 20) for _ in NAMES)), st.integers(3, 30), st.integers(0, 5))
def test_wishes_that_stay_are_met_as_far_as_the_budget_goes(told: tuple[int, ...], most: int, slow: int) -> None:
    cluster = Cluster({"m/v1": 1, "m/v2": most - 2, "m/v3": 1}, [slow])
    present = lived(budget(Wishes([told]), replicas=most), cluster, 2 * slow + 4)[-1]
    assert sum(present.values()) == min(most, sum(max(1, n) for n in told))


@given(wishes)
def test_nothing_changes_where_all_wishes_fit(told: list[tuple[int | None, ...]]) -> None:
    free, cluster = Bounded(Wishes(told), POOLS), Cluster(dict.fromkeys(NAMES, 1), [0])
    policy = budget(Wishes(told), replicas=2000)
    for _ in told:
        seen = cluster.seen()
        decision = policy.decide(seen)
        assert decision == free.decide(seen)
        cluster.apply(decision.targets)
        cluster.wait()


@given(wishes, st.lists(st.tuples(*(st.none() | st.integers(0, 9) for _ in range(4))), min_size=1, max_size=30))
def test_no_target_leaves_its_bounds_whatever_is_seen(
    told: list[tuple[int | None, ...]], states: list[tuple[int | None, ...]]
) -> None:
    policy = budget(Wishes(told), replicas=6)
    for wanted, starting, ready, draining in states:
        reading = PoolReading(wanted=wanted, starting=starting, ready=ready, draining=draining)
        other = PoolReading(wanted=2, starting=0, ready=2, draining=draining)
        decision = policy.decide(Observation(0.0, {"m/v1": reading, "m/v2": other, "m/v3": other}))
        assert all(1 <= n <= 6 for n in decision.targets.values())
        if wanted is None:
            assert "m/v1" not in decision.targets
            assert all(n <= 2 for n in decision.targets.values())


@given(claims, st.integers(-5, 40), st.integers(-5, 40), st.data())
def test_sharing_is_what_one_replica_after_the_other_comes_to(
    asked: list[Claim], room: int, money: int, data: st.DataObject
) -> None:
    first = data.draw(st.lists(st.sampled_from(range(len(asked))), unique=True) if asked else st.just([]))
    assert shared(asked, (room, money), first) == one_by_one(asked, [room, money], first)


def one_by_one(asked: Sequence[Claim], left: list[int], first: Sequence[int]) -> list[int]:
    """Each of `first` until it has its wish or no room, then whoever lacks the largest share of its wish."""
    given_to = [claim.floor for claim in asked]

    def take(i: int) -> bool:
        after = [room - price for room, price in zip(left, asked[i].prices, strict=True)]
        fits = all(room >= 0 for room, price in zip(after, asked[i].prices, strict=True) if price)
        if given_to[i] < asked[i].wish and fits:
            left[:] = after
            given_to[i] += 1
            return True
        return False

    for i in first:
        while take(i):
            pass
    out: set[int] = set()
    while lacking := [i for i, c in enumerate(asked) if i not in out and given_to[i] < c.wish]:
        i = max(lacking, key=lambda i: (Fraction(asked[i].wish - given_to[i], asked[i].wish), -i))
        if not take(i):
            out.add(i)
    return given_to


def test_what_is_short_is_shared_in_proportion_to_the_wishes() -> None:
    policy = budget(Wishes([(20, 10, 10)]), replicas=20)
    decision = policy.decide(shown(v1=10, v2=5, v3=5))
    assert decision.targets == {"m/v1": 10, "m/v2": 5, "m/v3": 5}
    assert str(decision.reasons["m/v1"]) == (
        "wish 20: as told; budget: 20 -> 10 (20 replicas are short of all wishes, 40 replicas)"
    )


def test_a_pool_that_comes_first_has_all_it_wishes() -> None:
    policy = budget(Wishes([(20, 10, 10)]), replicas=20, priority=("v2", "v3"))
    assert policy.decide(shown(v1=1, v2=1, v3=1)).targets == {"m/v1": 1, "m/v2": 10, "m/v3": 9}


def test_what_one_gives_up_the_other_gets_when_it_is_gone() -> None:
    policy, cluster = budget(Wishes([(2, 7, 1)]), replicas=10), Cluster({"m/v1": 6, "m/v2": 3, "m/v3": 1}, [1])
    first = policy.decide(cluster.seen())
    assert first.targets == {"m/v1": 2, "m/v2": 3, "m/v3": 1}
    assert str(first.reasons["m/v2"]).endswith("room: 7 -> 3 (10 replicas leave no room for more until others go)")
    cluster.apply(first.targets)
    assert policy.decide(cluster.seen()).targets["m/v2"] == 3
    cluster.wait()
    cluster.wait()
    assert policy.decide(cluster.seen()).targets == {"m/v1": 2, "m/v2": 7, "m/v3": 1}


def test_replicas_that_are_there_though_not_wanted_count_until_they_are_gone() -> None:
    policy = budget(Wishes([(9, None, None)]), replicas=10)
    late = PoolReading(wanted=2, starting=1, ready=4, draining=1)
    others = {name: PoolReading(wanted=1, starting=0, ready=1) for name in ("m/v2", "m/v3")}
    assert policy.decide(Observation(0.0, {"m/v1": late, **others})).targets == {"m/v1": 4}


def test_a_pool_nobody_speaks_of_keeps_what_it_has() -> None:
    policy = budget(Wishes([(9, 9, None)]), replicas=10)
    assert policy.decide(shown(v1=1, v2=1, v3=6)).targets == {"m/v1": 2, "m/v2": 2}
    assert policy.decide(shown(v1=3, v2=3, v3=6)).targets == {"m/v1": 2, "m/v2": 2}


def test_while_one_pool_is_unknown_the_others_do_not_grow() -> None:
    policy = budget(Wishes([(9, 1, 9)]), replicas=30)
    decision = policy.decide(shown(v1=2, v2=4, v3=None))
    assert decision.targets == {"m/v1": 2, "m/v2": 1}
    assert str(decision.reasons["m/v1"]).endswith("budget: 9 -> 2 (how many replicas m/v3 has is not known)")
    assert decision.kept == {"m/v3": "how many replicas are wanted is not known; wish 9: as told"}


def test_a_pool_that_is_not_seen_at_all_is_unknown_too() -> None:
    assert budget(Wishes([(9, None, None)]), replicas=30).decide(shown(v1=2, v2=1)).targets == {"m/v1": 2}


def test_other_pools_are_not_touched() -> None:
    policy = budget(Wishes([(9, 30, 9)]), replicas=6, pools=("v1", "v3"))
    assert policy.decide(shown(v1=1, v2=1, v3=1)).targets == {"m/v1": 3, "m/v2": 30, "m/v3": 3}


def test_money_is_counted_exactly() -> None:
    policy = budget(Wishes([(1, 1, 9)]), cost_per_hour=3.3)
    assert policy.decide(shown(v1=1, v2=1, v3=1)).targets == {"m/v1": 1, "m/v2": 1, "m/v3": 3}


def test_a_budget_that_is_overdrawn_from_the_beginning_is_paid_back() -> None:
    policy, cluster = budget(Wishes([(9, 9, 9)]), replicas=6), Cluster(dict.fromkeys(NAMES, 9), [2])
    assert lived(policy, cluster, 4)[-1] == dict.fromkeys(NAMES, 2)


def test_a_stabilized_policy_inside_stays_within_it() -> None:
    policy = budget(Stabilized(Wishes([(9, 9, 9), (1, 1, 9)]), 300.0, 0.0), replicas=9)
    found = lived(policy, Cluster(dict.fromkeys(NAMES, 1), [2]), 9)
    assert found[0] == dict.fromkeys(NAMES, 3)
    assert all(sum(present.values()) <= 9 for present in found)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"replicas": 2}, r"^2 replicas cannot hold the at_least of all pools, 3 replicas; raise it or lower these$"),
        ({"replicas": 9, "cost_per_hour": 3.0}, "9 replicas and 3 USD/h cannot .*, 3 replicas and 3.1 USD/h"),
        ({"replicas": 9, "pools": ("v1",), "priority": ("v2",)}, "m/v2 does not share the budget; those are m/v1"),
        ({"replicas": 9, "pools": ("v9",)}, "'v9' is not the name of one pool"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BudgetSpec(policy=FixedSpec(), **fields).build(POOLS)


def test_the_example_puts_one_around_the_other() -> None:
    example = Path(__file__).parents[2] / "scenarios" / "policies" / "limits.yaml"
    spec, kinds = read(BudgetSpec, example), ["budget"]
    inner: Any = spec.policy
    while hasattr(inner, "policy"):
        kinds.append(inner.kind)
        inner = inner.policy
    assert kinds == ["budget", "paused", "fresh", "rate_limited", "cooldown", "cold_start"]
    assert [policy.kind for policy in inner.policies] == ["fcfs", "schedule"]


def test_a_budget_of_nothing_given_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs replicas or cost_per_hour, or both"):
        BudgetSpec(policy=FixedSpec())


def test_what_it_assumes_is_told() -> None:
    readings = BudgetSpec(replicas=9, policy=FixedSpec()).build(POOLS).readings
    assert readings.needed == {"wanted"}
    assert readings.assumed["draining"] == "no replica draining"


def test_a_thousand_pools_are_shared_among_in_a_tenth_of_a_second() -> None:
    pools = {f"m/v{i}": traits(f"m/v{i}", cost_per_hour=0.1 * (1 + i % 7)) for i in range(1000)}
    inner: PolicySpec = FixedSpec(replicas={name: 3 + i % 40 for i, name in enumerate(pools)})
    policy = BudgetSpec(replicas=15_000, cost_per_hour=5000.0, policy=inner).build(pools)
    seen = Observation(0.0, {name: PoolReading(wanted=10, starting=0, ready=10, draining=1) for name in pools})

    def tick_s() -> float:
        begin_s = process_time()
        policy.decide(seen)
        return process_time() - begin_s

    assert min(tick_s() for _ in range(7)) < 0.1
