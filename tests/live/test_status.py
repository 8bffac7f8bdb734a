"""The status page: read as a person does, by its words."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from live.board import Board, Leadership
from live.config import Bounds, Config, JournalSpec, Prometheus, Slo, Target
from live.status import DASH, duration, page
from live.tally import Tally
from policies.decision import Decision, Reason
from policies.fixed import FixedSpec
from policies.loop import Action, Turn
from policies.observation import Flow, Observation, PoolReading
from policies.stabilized import StabilizedSpec

NOW_S = 1_700_000_100.0


def board(mode: Any = "active", versions: int = 2, **known: Any) -> Board:
    targets = tuple(
        Target(model="m", version=f"v{k}", name=f"m-v{k}", replicas=Bounds(at_most=9), cost_per_hour=3.6)
        for k in range(1, versions + 1)
    )
    config = Config(
        prometheus=Prometheus(url="http://prometheus:9090"),
        journal=JournalSpec(path="journal.jsonl"),
        slo=Slo(response_s=5.0),
        mode=mode,
        targets=targets,
        policy=StabilizedSpec(policy=FixedSpec()),
    )
    return Board(config=config, tally=Tally(config.pools, 5.0, 60.0), **{"leadership": Leadership("me"), **known})


def turn(error: str | None = None, because: str = "as told") -> Turn:
    fresh = PoolReading(wanted=4, starting=1, ready=3, draining=0, age_s=2.5, total=Flow(queued=7.0, in_service=3.0))
    reason = Reason(12, because).limited("bounds", 9, "at most 9")
    decision = Decision({"m/v1": reason}, {"m/v2": "no fresh reading"})
    actions = {"m/v1": Action(4, 9, error)}
    return Turn(Observation(NOW_S - 5.0, {"m/v1": fresh, "m/v2": PoolReading(wanted=2)}), decision, actions)


class Words(HTMLParser):
    """The text of a page, its tags, and everything that it would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.loads, self.open = "", list[str](), list[str]()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        self.loads += [f"{name}={value}" for name, value in attrs if name in ("src", "onload", "onclick")]
        self.loads += [tag for tag in (tag,) if tag in ("script", "link", "iframe", "img")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += f" {data}"


def words(html: str) -> str:
    return " ".join(Words(html).text.split())


def test_a_decision_is_told_from_the_wish_to_what_was_written() -> None:
    shown = board(leadership=Leadership("me", True, "me"))
    shown.turned(turn(), 0.0123, 0.0)
    text = words(page(shown, NOW_S))
    assert "m/v1 4 ↑ 9 3 1 0 1 to 9 7 3 2.5 s old wish 12 as told bounds 9 at most 9 written 9 from 4" in text
    assert "leads" in text
    assert "policy stabilized around fixed" in text
    assert "the last 5.0 s ago in 12 ms" in text


def test_what_is_wrong_comes_first_and_unknown_is_not_zero() -> None:
    shown = board()
    shown.turned(turn(), 0.0, 0.0)
    text = words(page(shown, NOW_S))
    assert text.index("m/v2") < text.index("m/v1")
    assert f"m/v2 2 {DASH} {DASH} {DASH} {DASH} 1 to 9 {DASH} {DASH} unknown keeps no fresh reading" in text
    assert "replicas wanted 6 ready ≥ 3" in text


def test_a_write_that_failed_says_why() -> None:
    shown = board()
    shown.turned(turn(error="409 Conflict: changed"), 0.0, 0.0)
    shown.failed("write", "m/v1: 409 Conflict: changed", NOW_S - 65.0)
    shown.failed("write", "m/v1: 409 Conflict: changed", NOW_S - 5.0)
    text = words(page(shown, NOW_S))
    assert "not written 409 Conflict: changed" in text
    assert "write: m/v1: 409 Conflict: changed 5.0 s ago, 2 times since 2023-11-14 22:13:55 UTC" in text


@pytest.mark.parametrize(
    ("leadership", "told"),
    [
        (Leadership("me", False, "you"), "scales follows you leads; this is me"),
        (Leadership("me"), "scales no leader this is me"),
        (Leadership("me", needed=False), "scales needs no leader as me"),
    ],
)
def test_who_leads_is_told(leadership: Leadership, told: str) -> None:
    assert told in words(page(board(leadership=leadership), NOW_S))


def test_a_shadow_shows_what_it_would_have_cost() -> None:
    shown = board(mode="shadow")
    shown.turned(turn(), 0.0, 0.0)
    text = words(page(shown, NOW_S))
    assert "shadow: decides and writes nothing" in text
    assert "the policy's cost $0.00" in text
    assert f"the policy would meet {DASH} no response time is known" in text


def test_before_the_first_turn_there_is_a_page() -> None:
    assert "No turn of the loop has ended yet." in words(page(board(), NOW_S))


def test_it_loads_nothing_and_runs_nothing() -> None:
    shown = board()
    shown.turned(turn(), 0.0, 0.0)
    html = page(shown, NOW_S)
    assert Words(html).loads == []
    assert "http" not in re.sub(r"http-equiv", "", html)


def test_words_from_outside_stay_words() -> None:
    shown = board()
    shown.turned(turn(because="<script>alert(1)</script>"), 0.0, 0.0)
    shown.failed("prometheus", "<img src=x onerror=alert(1)>", NOW_S)
    html = page(shown, NOW_S)
    assert Words(html).loads == []
    assert "&lt;script&gt;" in html


def test_it_loads_itself_again_unless_it_is_held_still() -> None:
    assert 'http-equiv="refresh" content="15"' in page(board(), NOW_S)
    assert "refresh" not in page(board(), NOW_S, still=True)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (119.0, "119 s"), (200.0, "3 min 20 s"), (3600.0, "1 h"),
     (18_600.0, "5 h 10 min"), (273_600.0, "3 d 4 h")],
)  # fmt: skip
def test_durations_are_as_people_say_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told
