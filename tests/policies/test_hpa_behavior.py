"""How fast a pool may follow its wish: facts from Kubernetes' horizontal_test.go, and laws."""

from hypothesis import given
from hypothesis import strategies as st

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
    stabilized,
    stored,
    with_change,
    within_double,
    within_rates,
)

BOUNDS = (1, 1000)
NONE_BEFORE = Changes()


def rule(kind: str, value: int, period_s: float = 60.0) -> RateRule:
    return RateRule(kind="percent" if kind == "percent" else "replicas", value=value, period_s=period_s)


def grows(*rules: RateRule, select: str = "max") -> Behavior:
    return Behavior(scale_up=GrowRules(select="min" if select == "min" else "max", policies=rules))


def shrinks(*rules: RateRule, select: str = "max") -> Behavior:
    return Behavior(scale_down=ShrinkRules(select="min" if select == "min" else "max", policies=rules))


def ago(*entries: tuple[float, int]) -> Entries:
    """Entries by age, as seen at time 0."""
    return tuple(Entry(-age_s, replicas) for age_s, replicas in entries)


def removed(*entries: tuple[float, int]) -> Changes:
    return Changes(removed=ago(*entries))


# Kubernetes, TestScalingWithRules.


def test_the_rule_that_allows_more_counts() -> None:
    behavior = grows(rule("replicas", 2), rule("percent", 100))
    assert within_rates(10, 500, BOUNDS, behavior, NONE_BEFORE, 0.0) == (20, "ScaleUpLimit")


def test_the_rule_that_allows_less_counts_where_that_is_selected() -> None:
    behavior = grows(rule("replicas", 2), rule("percent", 100), select="min")
    assert within_rates(10, 500, BOUNDS, behavior, NONE_BEFORE, 0.0) == (12, "ScaleUpLimit")
    behavior = shrinks(rule("replicas", 20), rule("percent", 1), select="min")
    assert within_rates(100, 2, BOUNDS, behavior, NONE_BEFORE, 0.0) == (99, "ScaleDownLimit")


def test_the_greatest_number_is_a_limit_too() -> None:
    behavior = grows(rule("replicas", 10000))
    assert within_rates(10, 2000, BOUNDS, behavior, NONE_BEFORE, 0.0) == (1000, "TooManyReplicas")
    assert within_rates(20, 1000, (1, 10), Behavior(), NONE_BEFORE, 0.0) == (10, "TooManyReplicas")


def test_shrinking_by_a_percentage_is_cut_off_and_growing_rounded_up() -> None:
    assert within_rates(100, 2, BOUNDS, shrinks(rule("percent", 1)), NONE_BEFORE, 0.0) == (99, "ScaleDownLimit")
    assert within_rates(15, 1, BOUNDS, shrinks(rule("percent", 50)), NONE_BEFORE, 0.0) == (7, "ScaleDownLimit")
    assert within_rates(15, 99, BOUNDS, grows(rule("percent", 50)), NONE_BEFORE, 0.0) == (23, "ScaleUpLimit")


def test_what_was_removed_before_counts_within_the_period() -> None:
    behavior, before = shrinks(rule("replicas", 5, 120.0)), removed((100, 1), (60, 5), (20, 9))
    assert within_rates(100, 2, BOUNDS, behavior, before, 0.0) == (100, "ScaleDownLimit")
    behavior = shrinks(rule("replicas", 115, 120.0))
    assert within_rates(100, 0, BOUNDS, behavior, before, 0.0) == (1, "TooFewReplicas")


def test_a_change_as_old_as_the_period_is_forgotten() -> None:
    assert changed_within(ago((15, 4)), 15.0, 0.0) == 0
    assert changed_within(ago((14.9, 4)), 15.0, 0.0) == 4


def test_what_was_removed_may_come_back() -> None:
    behavior = grows(rule("replicas", 1))
    assert within_rates(5, 10, BOUNDS, behavior, removed((20, 3)), 0.0) == (9, "ScaleUpLimit")


def test_a_disabled_direction_is_closed() -> None:
    closed = Behavior(scale_up=GrowRules(select="disabled"), scale_down=ShrinkRules(select="disabled"))
    assert within_rates(5, 9, BOUNDS, closed, NONE_BEFORE, 0.0) == (5, "ScaleUpLimit")
    assert within_rates(5, 2, BOUNDS, closed, NONE_BEFORE, 0.0) == (5, "ScaleDownLimit")


def test_without_behavior_at_most_twice_or_four() -> None:
    assert within_double(1, 9, (1, 100)) == (4, "ScaleUpLimit")
    assert within_double(10, 50, (1, 100)) == (20, "ScaleUpLimit")
    assert within_double(10, 50, (1, 15)) == (15, "TooManyReplicas")
    assert within_double(10, 0, (3, 15)) == (3, "TooFewReplicas")


# Kubernetes, TestNormalizeDesiredReplicas and TestNormalizeDesiredReplicasWithBehavior.


def test_shrinking_stops_at_the_greatest_wish_of_its_window() -> None:
    wishes = ago((600, 10), (60, 4), (120, 5), (540, 9))
    assert stabilized(100, 3, wishes, 0.0, 180.0, 0.0) == 5
    assert greatest_wish(3, wishes, 300.0, 0.0) == 5


def test_growing_stops_at_the_least_wish_of_its_window() -> None:
    wishes = ago((6000, 10), (60, 6), (120, 5), (180, 9))
    assert stabilized(1, 100, wishes, 300.0, 0.0, 0.0) == 5


def test_only_without_behavior_does_a_wish_as_old_as_the_window_count() -> None:
    assert greatest_wish(3, ago((300, 8)), 300.0, 0.0) == 8
    assert stabilized(9, 3, ago((300, 8)), 0.0, 300.0, 0.0) == 3


def test_a_new_entry_takes_the_place_of_the_last_that_no_longer_matters() -> None:
    wishes = ago((600, 10), (60, 4), (540, 9), (30, 5))
    assert [e.replicas for e in stored(wishes, Entry(0.0, 3), -180.0)] == [10, 4, 3, 5]
    assert [e.replicas for e in stored(wishes, Entry(0.0, 3), -1000.0)] == [10, 4, 9, 5, 3]


def test_changes_are_kept_by_direction() -> None:
    behavior = grows(rule("replicas", 10))
    changes = with_change(with_change(NONE_BEFORE, behavior, 10, 1.0, 15), behavior, 15, 2.0, 12)
    assert changes == Changes(added=(Entry(1.0, 5),), removed=(Entry(2.0, 3),))


rules = st.builds(rule, st.sampled_from(["replicas", "percent"]), st.integers(1, 200), st.sampled_from([15.0, 60.0]))
some_rules = st.lists(rules, min_size=1, max_size=3).map(tuple)
selects = st.sampled_from(["max", "min", "disabled"])
behaviors = st.builds(
    Behavior,
    scale_up=st.builds(GrowRules, select=selects, policies=some_rules),
    scale_down=st.builds(ShrinkRules, select=selects, policies=some_rules),
)
counts = st.integers(1, 60)
befores = st.lists(st.tuples(st.floats(0, 100), st.integers(1, 20)), max_size=4).map(lambda e: ago(*e))
changes = st.builds(Changes, added=befores, removed=befores)


@given(counts, st.integers(0, 200), behaviors, changes)
def test_from_what_there_is_towards_the_wish_inside_the_bounds(
    current: int, wish: int, behavior: Behavior, done: Changes
) -> None:
    limited, _ = within_rates(current, wish, (1, 60), behavior, done, 0.0)
    nearest = min(max(wish, 1), 60)
    assert min(current, nearest) <= limited <= max(current, nearest)


@given(counts, st.integers(0, 200), st.integers(0, 200), behaviors, changes)
def test_who_wishes_more_gets_no_less(current: int, a: int, b: int, behavior: Behavior, done: Changes) -> None:
    least, most = (within_rates(current, w, (1, 60), behavior, done, 0.0)[0] for w in sorted((a, b)))
    assert least <= most


@given(counts, counts, befores, st.floats(0, 100), st.floats(0, 100))
def test_stabilized_lies_between_the_wish_and_what_there_is(
    current: int, wish: int, wishes: Entries, up_s: float, down_s: float
) -> None:
    held = stabilized(current, wish, wishes, up_s, down_s, 0.0)
    assert min(current, wish) <= held <= max(current, wish)


@given(st.lists(st.tuples(st.floats(0.1, 40), counts), max_size=40), st.floats(0, 300))
def test_what_is_kept_is_all_that_matters_and_hardly_more(steps: list[tuple[float, int]], window_s: float) -> None:
    """However long it goes on: every wish inside the window is there, and no more than ever were at one time."""
    all_of_them: list[Entry] = []
    kept: Entries = ()
    now_s, most = 0.0, 0
    for step_s, wish in steps:
        now_s += step_s
        kept = stored(kept, Entry(now_s, wish), now_s - window_s)
        all_of_them.append(Entry(now_s, wish))
        inside = sorted(e for e in all_of_them if e.time_s >= now_s - window_s)
        most = max(most, len(inside))
        assert sorted(e for e in kept if e.time_s >= now_s - window_s) == inside
        assert len(kept) <= most
