"""Planned counts by the calendar: cron lines in their time zones, daylight saving, and what is refused."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policies.cron import check_line, due, zone
from policies.observation import Observation, PoolReading
from policies.policy import Policy
from policies.schedule import CronStep, ScheduleSpec, Step
from policies.specfile import read
from policies.testing import seen, traits

POOLS = {"m/v1": traits("m/v1"), "m/v2": traits("m/v2")}

OFFICE = (
    CronStep(at="0 8 * * 1-5", timezone="Europe/Berlin", replicas={"v1": 12}),
    CronStep(at="0 18 * * 1-5", timezone="Europe/Berlin", replicas={"v1": 3, "v2": 1}),
)

lines = st.sampled_from(
    [
        "30 2 * * *",
        "0,30 2,3 * * *",
        "0 0 * * *",
        "15 1-3 * * 0",
        "*/20 * * * *",
        "0 */2 * * *",
        "5 */1 * * *",
        "0 8 1 * 1",
        "0 0 L * *",
        "59 23 29 2 *",
    ]
)
# Half an hour of daylight saving, two hours of it, and a zone that has none.
zones = st.sampled_from(
    ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll", "Asia/Kolkata", "UTC"]
)


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def at(policy: Policy, text: str) -> dict[str, int]:
    """The targets at a moment of a live clock."""
    shown = {pool: PoolReading(wanted=1) for pool in POOLS}
    return dict(policy.decide(Observation(unix(text), shown)).targets)


def due_times(line: str, place: str, begin: str, end: str) -> list[str]:
    """Hour and minute, on the clock there, of all due times after `begin` and up to `end`."""
    found, now_s = [], unix(begin)
    while (next_s := due(line, zone(place), now_s).next_s) is not None and next_s <= unix(end):
        found.append(f"{datetime.fromtimestamp(next_s, UTC).astimezone(zone(place)):%H:%M%z}")
        now_s = next_s
    return found


def test_the_line_that_came_due_last_holds() -> None:
    policy = ScheduleSpec(cron=OFFICE).build(POOLS)
    assert at(policy, "2026-11-23T07:59:59+01:00") == {"m/v1": 3, "m/v2": 1}
    assert at(policy, "2026-11-23T08:00:00+01:00") == {"m/v1": 12, "m/v2": 1}
    assert at(policy, "2026-11-27T18:00:00+01:00") == {"m/v1": 3, "m/v2": 1}
    assert at(policy, "2026-11-29T12:00:00+01:00") == {"m/v1": 3, "m/v2": 1}


def test_it_says_which_line_and_since_when() -> None:
    policy = ScheduleSpec(cron=OFFICE, starts="2026-11-23T00:00:00+01:00").build(POOLS)
    assert policy.decide(seen(12 * 3600.0)).reasons["m/v1"].because == (
        "planned by 0 8 * * 1-5 since Mon 2026-11-23 08:00 in Europe/Berlin"
    )


def test_a_simulation_starts_when_it_is_told_to() -> None:
    policy = ScheduleSpec(cron=OFFICE, starts="2026-11-23T00:00:00+01:00").build(POOLS)
    assert [policy.decide(seen(h * 3600.0)).targets["m/v1"] for h in (0, 7.9, 8, 17.9, 18, 32)] == [3, 3, 12, 12, 3, 12]


def test_of_two_lines_at_one_moment_the_later_in_the_file_holds() -> None:
    noon = tuple(CronStep(at="0 12 * * *", replicas={"v1": n}) for n in (5, 7))
    assert at(ScheduleSpec(cron=noon).build(POOLS), "2026-06-01T12:00:00Z") == {"m/v1": 7}


def test_eight_in_berlin_is_another_moment_in_summer() -> None:
    policy = ScheduleSpec(cron=OFFICE).build(POOLS)
    assert at(policy, "2026-07-01T06:00:00Z")["m/v1"] == 12
    assert at(policy, "2026-12-01T06:00:00Z")["m/v1"] == 3


def test_a_time_that_the_clocks_jump_over_is_due_when_they_have_jumped() -> None:
    assert due_times("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z") == [
        "03:00+0200",
        "02:30+0200",
    ]


def test_a_time_that_the_clocks_pass_twice_is_due_the_first_time_only() -> None:
    assert due_times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z") == [
        "02:30+0200",
        "02:30+0100",
    ]
    # On the day itself once, by summer time; the second one is of the day after.
    assert due("30 2 * * *", zone("Europe/Berlin"), unix("2026-10-25T02:15:00+01:00")).last_s == unix(
        "2026-10-25T02:30:00+02:00"
    )


def test_every_half_hour_goes_on_through_both_jumps() -> None:
    assert due_times("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:15:00Z", "2026-10-25T02:15:00Z") == [
        "02:30+0200",
        "02:00+0100",
        "02:30+0100",
        "03:00+0100",
    ]
    assert due_times("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", "2026-03-29T01:45:00Z") == [
        "01:30+0100",
        "03:00+0200",
        "03:30+0200",
    ]


@given(lines, zones, st.integers(int(unix("2025-01-01T00:00:00Z")), int(unix("2028-12-31T00:00:00Z"))), st.floats(0, 1))
def test_last_and_next_depend_on_the_moment_alone(line: str, place: str, second: int, part: float) -> None:
    there = zone(place)
    last_s, next_s = due(line, there, second + part * 0.999)
    assert last_s is not None
    assert next_s is not None
    assert last_s <= second < next_s
    assert due(line, there, last_s).last_s == last_s
    assert due(line, there, next_s).last_s == next_s
    assert due(line, there, last_s + part * (next_s - last_s) * 0.999999) == (last_s, next_s)
    assert due(line, there, next_s - 1) == (last_s, next_s)


@pytest.mark.parametrize("jump", ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"])
@pytest.mark.parametrize("line", ["30 2 * * *", "0,30 2,3 * * *", "0 */2 * * *", "*/20 * * * *"])
def test_nothing_is_lost_or_said_twice_around_a_jump(line: str, jump: str) -> None:
    moments = [unix(jump) + 300.0 * k for k in range(-40, 40)]
    found = [due(line, zone("Europe/Berlin"), now_s) for now_s in moments]
    for (now_s, before), (_, after) in pairwise(zip(moments, found, strict=True)):
        assert before.next_s is not None
        passed = before.next_s <= now_s + 300.0
        assert after.last_s == (before.next_s if passed else before.last_s)


@given(st.integers(0, 59), st.integers(0, 23), st.integers(0, 6), st.integers(0, 10**6))
def test_a_weekly_line_is_what_its_fields_say(minute: int, hour: int, day: int, start_min: int) -> None:
    next_s = due(f"{minute} {hour} * * {day}", zone("UTC"), start_min * 60.0).next_s
    assert next_s is not None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=next_s)
    assert (moment.minute, moment.hour, (moment.weekday() + 1) % 7, moment.second) == (minute, hour, day, 0)
    assert 0 < next_s - start_min * 60.0 <= 7 * 86400


@given(st.lists(st.floats(0, 3e6), min_size=1, max_size=20))
def test_what_it_says_depends_on_the_moment_alone(times_s: list[float]) -> None:
    spec = ScheduleSpec(cron=OFFICE, starts="2026-10-20T00:00:00Z")
    one = spec.build(POOLS)
    assert [one.decide(seen(t)) for t in times_s] == [spec.build(POOLS).decide(seen(t)) for t in times_s]


def test_the_very_same_is_said_until_a_line_comes_due() -> None:
    policy = ScheduleSpec(cron=OFFICE, starts="2026-11-23T00:00:00+01:00").build(POOLS)
    assert policy.decide(seen(0.0)) is policy.decide(seen(8 * 3600.0 - 1))
    assert policy.decide(seen(8 * 3600.0)) is not policy.decide(seen(8 * 3600.0 - 1))


def test_pools_that_are_not_seen_are_not_named() -> None:
    policy = ScheduleSpec(cron=OFFICE).build(POOLS)
    assert set(policy.decide(seen(0.0, "m/v2")).targets) == {"m/v2"}
    assert set(policy.decide(seen(0.0, "m/v1")).targets) == {"m/v1"}


def test_a_thousand_pools_and_a_year_of_ticks_are_not_walked_through() -> None:
    pools = {f"m/v{i}": traits(f"m/v{i}") for i in range(1000)}
    cron = tuple(CronStep(at=line, replicas=dict.fromkeys(pools, 2)) for line in ("0 8 * * *", "0 20 * * *"))
    policy = ScheduleSpec(cron=cron).build(pools)
    shown = dict.fromkeys(pools, PoolReading(wanted=1))

    def tick_s(time_s: float) -> float:
        begin_s = process_time()
        policy.decide(Observation(time_s, shown))
        return process_time() - begin_s

    assert min(tick_s(year * 3.15e7) for year in range(5)) < 0.1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 8 * *", "must have five fields"),
        ("@daily", "must have five fields"),
        ("0 0 0 8 * *", "must have five fields"),
        ("61 * * * *", "bad minute; the fields are minute, hour"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("0 8 * * mon-moon", "bad day-of-week"),
    ],
)
def test_a_wrong_line_is_refused(line: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CronStep(at=line, replicas={"v1": 1})


@given(st.lists(st.text("0123456789*/,-#LWMON?. ", min_size=1, max_size=6), min_size=5, max_size=5))
def test_whatever_stands_in_a_line_is_a_line_or_a_fault(fields: list[str]) -> None:
    line = " ".join(fields)
    with suppress(ValueError):
        assert check_line(line) == line


@pytest.mark.parametrize("name", ["Europe/Berln", "Europe", "../etc/passwd", "", "MEZ", "/usr"])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="is no time zone"):
        CronStep(at="0 8 * * *", timezone=name, replicas={"v1": 1})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "needs either steps or cron; found neither"),
        ({"steps": (Step(at_s=0, replicas={"v1": 1}),), "cron": OFFICE}, "found both"),
        ({"cron": OFFICE, "repeat_s": 86400}, "cron lines repeat by themselves"),
        ({"steps": (Step(at_s=0, replicas={"v1": 1}),), "starts": "2026-01-01T00:00Z"}, "starts goes with cron"),
        ({"cron": OFFICE, "starts": "2026-01-01T00:00"}, "has no offset from UTC"),
        ({"cron": OFFICE, "starts": "new year"}, "'new year' is not a date and time with its offset"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ScheduleSpec(**fields)  # type: ignore[arg-type]


def test_the_example_is_a_schedule() -> None:
    example = Path(__file__).parents[2] / "scenarios" / "policies" / "schedule.yaml"
    assert len(read(ScheduleSpec, example).cron) == 3
