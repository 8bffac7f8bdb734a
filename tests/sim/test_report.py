"""The report says what the result says, needs nothing from outside, and lets nobody's words become markup."""

import re
import shutil
import subprocess
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from math import inf
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from policies.schedule import ScheduleSpec, Step
from policies.stabilized import StabilizedSpec
from sim.arrivals import Poisson, Times
from sim.intervals import Estimate
from sim.report import summary_html, write_report
from sim.report.page import shortened, unbroken
from sim.result import Result, ResultError, read
from sim.run import simulate
from sim.scenario import Claim, Model, Replicas, RequestClass, Scenario, Slo, Version, Weighted
from sim.service import Constant, Exponential
from sim.text import number, percent, usd, value_and_interval

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --v=0 --dump-dom"
)
EVIL = "<script>alert('x')</script>"


class Tables(HTMLParser):
    """Caption -> rows of cells, and every tag with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._rows: list[list[str]] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "caption":
            self._inside, self._rows = "caption", []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._inside = "cell"
            self._rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("caption", "td", "th"):
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "caption":
            self.tables[data] = self._rows
        elif self._inside == "cell":
            self._rows[-1][-1] += data

    def table(self, beginning: str) -> list[list[str]]:
        return next(rows for caption, rows in self.tables.items() if caption.startswith(beginning))


def busy_scenario() -> Scenario:
    """Forty minutes of two versions and two classes, with steps that a stabilizer holds back."""

    def version(name: str, room: int | None) -> Version:
        return Version(
            name=name,
            service=Exponential(mean_s=4.0),
            startup=Constant(value_s=60.0),
            cost_per_hour=1.2,
            replicas=Replicas(initial=3, at_least=1, at_most=6),
            room=room,
        )

    chat = RequestClass(name="chat", model="m", arrivals=Poisson(rate_per_s=0.7))
    steps = (Step(at_s=600.0, replicas={"v2": 5}), Step(at_s=1200.0, replicas={"v2": 2}))
    return Scenario(
        name="busy",
        description="Two versions & two classes.",
        horizon_s=2400.0,
        slo=Slo(response_s=12.0),
        models=(
            Model(
                name="m", routing=Weighted(weights={"v1": 1, "v2": 1}), versions=(version("v1", 2), version("v2", None))
            ),
        ),
        traffic=(chat, replace(chat, name="batch", arrivals=Poisson(rate_per_s=0.3), patience_s=Constant(value_s=2.0))),
        policy=StabilizedSpec(shrink_s=300.0, policy=ScheduleSpec(steps=steps)),
    )


def lone_scenario(**changes: Any) -> Scenario:
    version = Version(name="v1", service=Exponential(mean_s=5.0), replicas=Replicas(initial=2), room=0)
    given = Scenario(
        name="lone",
        horizon_s=600.0,
        slo=Slo(response_s=12.0),
        models=(Model(name="m", versions=(version,)),),
        traffic=(RequestClass(name="a", model="m", arrivals=Poisson(rate_per_s=1.0)),),
    )
    return replace(given, **changes)


@pytest.fixture(scope="module")
def busy() -> Result:
    return simulate(busy_scenario())


@pytest.fixture(scope="module")
def page(busy: Result, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(busy, tmp_path_factory.mktemp("report") / "report.html").read_text()


def page_of(result: Result, folder: Path) -> str:
    return write_report(result, folder / "report.html").read_text()


def shown(times: dict[str, Any]) -> list[str]:
    """The values and intervals of the JSON as the report has them; null is infinite there."""
    found: list[str] = []
    for name in ("mean", "p50", "p95", "p99"):
        value, low, high = (inf if x is None else x for x in (times[name], *times[f"{name}_ci95"]))
        found += value_and_interval(Estimate(value, low, high, 0))
    return found


def test_the_numbers_are_those_of_the_json(busy: Result, page: str) -> None:
    told = Tables(page)
    record = busy.to_json()
    groups = {"all": record["overall"], **record["by_version"], **record["by_class"]}
    requests, response, wait, usage = (
        {row[0]: row[1:] for row in told.table(caption)} for caption in ("Requests", "Response", "Wait", "Replicas")
    )
    for name, group in groups.items():
        assert requests[name][:6] == [number(n) for n in group["requests"].values()]
        low, high = group["slo_attainment_ci95"]
        attained = Estimate(group["slo_attainment"], low, high, 0)
        assert tuple(requests[name][6:]) == value_and_interval(attained, "%")
        for row, times in ((response[name], group["response_s"]), (wait[name], group["wait_s"])):
            assert row == shown(times)
        assert usage[name] == [
            percent(group["utilization"]),
            number(group["replica_hours"]),
            usd(group["cost"]),
            number(group["scale_events"]),
        ]
    assert set(groups) <= set(requests)


def test_all_parts_are_there_in_order(busy: Result, page: str) -> None:
    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", page)
    parts = [
        "Verdict",
        "Summary",
        "Figures",
        "Decisions",
        "How the intervals were made",
        "Scenario",
        "Seed and versions",
    ]
    assert headings == parts
    assert "<h1>busy</h1>" in page
    assert "Two versions &amp; two classes." in page
    for name, version in busy.versions.items():
        assert f"<dt>{name}</dt><dd>{version}</dd>" in page


def test_links_lead_somewhere(page: str) -> None:
    tags = Tables(page).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {str(attributes["href"])[1:] for tag, attributes in tags if tag == "a"} <= set(ids)


def test_everything_has_words_for_those_who_cannot_see_it(page: str) -> None:
    told = Tables(page)
    assert all(attributes["alt"] for tag, attributes in told.tags if tag == "img")
    assert sum(tag == "caption" for tag, _ in told.tags) == sum(tag == "table" for tag, _ in told.tags)
    assert all("scope" in attributes for tag, attributes in told.tags if tag == "th")


def test_nothing_comes_from_outside(page: str) -> None:
    outward = [
        attributes[name]
        for tag, attributes in Tables(page).tags
        for name in ("src", "href", "srcset", "action", "data")
        if name in attributes and not str(attributes[name]).startswith(("data:", "#"))
    ]
    assert outward == []
    assert not re.search(r"@import|url\(|<script|<iframe|<object", page)
    assert len(page) < 3_000_000


def test_figures_are_whole_pictures(page: str) -> None:
    sources = [str(attributes["src"]) for tag, attributes in Tables(page).tags if tag == "img"]
    roots = [ElementTree.fromstring(b64decode(source.partition("base64,")[2])) for source in sources]
    assert [root.tag for root in roots] == ["{http://www.w3.org/2000/svg}svg"] * 7


def test_decisions_that_changed_something_are_told_with_their_limits(busy: Result, page: str) -> None:
    table = Tables(page).table("All 2 changes of m/v2")
    assert [row[:3] for row in table[1:]] == [["0:10:00", "3 \u2192 5", "5"], ["0:25:00", "5 \u2192 2", "2"]]
    assert f"The policy made {len(busy.decisions):,} decisions" in page
    held = busy.decisions["limits"].str.startswith("stabilization: 2 -> 5").sum()
    assert f"2 changes (1 up, 1 down) in 121 decisions, {held} of them limited" in page


def test_only_the_first_of_many_decisions_are_told(tmp_path: Path) -> None:
    jagged = tuple(Step(at_s=30.0 * k, replicas={"v1": 1 + k % 2}) for k in range(1, 251))
    told = page_of(simulate(lone_scenario(horizon_s=7600.0, policy=ScheduleSpec(steps=jagged))), tmp_path)
    changed = int(re.findall(r"([\d,]+) changes \(", told)[0])
    assert changed > 200
    assert len(Tables(told).table(f"The first 200 of {changed} changes of m/v1")) == 201


def test_a_policy_that_changes_nothing_is_told_in_a_sentence(tmp_path: Path) -> None:
    told = page_of(simulate(lone_scenario()), tmp_path)
    assert "never changed a number of replicas.</p>" in told
    assert "<details>" not in told


def test_claims_stand_beside_theory_and_simulation(tmp_path: Path) -> None:
    claim = Claim(source="T + 1", response_s=6.0, note="adds a number to a time")
    told = page_of(simulate(lone_scenario(horizon_s=20000.0, claims=(claim,))), tmp_path)
    (_, claimed, theory) = Tables(told).table("What theory")
    assert claimed[:3] == ["T + 1", "mean response", "6 s"]
    assert theory[0].startswith("theory, M/M/2/2")
    assert {claimed[4], theory[4]} == {"outside the simulated interval", "inside the simulated interval"}
    assert "adds a number to a time" in told
    assert "G/G/c queues (general arrivals or services) are approximations" in told


def test_never_is_explained_where_it_is_said(tmp_path: Path) -> None:
    crowded = page_of(simulate(lone_scenario()), tmp_path)
    assert "never" in {cell for row in Tables(crowded).table("Response") for cell in row}
    assert "<b>never</b>: so many requests were never served" in crowded


def test_nobodys_words_become_markup(tmp_path: Path) -> None:
    claim = Claim(source=EVIL, response_s=6.0, note=EVIL)
    result = simulate(lone_scenario(description=EVIL, claims=(claim,)))
    for told in (page_of(result, tmp_path), summary_html(result)):
        assert "<script" not in told
        assert "&lt;script&gt;" in told


def test_long_lists_are_cut() -> None:
    assert shortened({"at_s": list(range(1000)), "name": "x"})["at_s"][18:] == [18, 19, "\u2026 980 more"]
    assert shortened([[1, 2], "x"]) == [[1, 2], "x"]


def test_a_trace_of_thousands_does_not_fill_the_page(tmp_path: Path) -> None:
    many = RequestClass(name="a", model="m", arrivals=Times(at_s=tuple(k / 10 for k in range(3000))))
    told = page_of(simulate(lone_scenario(traffic=(many,))), tmp_path)
    assert "\u2026 2,980 more" in told
    assert "299.8" not in told


def test_a_run_without_requests_has_a_report(tmp_path: Path) -> None:
    late = RequestClass(name="a", model="m", arrivals=Times(at_s=(700.0,)))
    told = page_of(simulate(lone_scenario(traffic=(late,))), tmp_path)
    assert "No request arrived." in told
    assert "There was no request to judge the objective by." in told


def test_the_same_result_gives_the_same_bytes_also_when_saved_and_read(busy: Result, page: str, tmp_path: Path) -> None:
    assert page_of(busy, tmp_path) == page
    busy.save(tmp_path / "saved")
    assert page_of(read(tmp_path / "saved"), tmp_path) == page


@pytest.mark.parametrize("changes", [{}, {"horizon_s": 0.1}])
def test_what_is_endless_or_unknown_is_read_back_as_such(changes: dict[str, Any], tmp_path: Path) -> None:
    result = simulate(lone_scenario(**changes))
    result.save(tmp_path / "saved")
    assert page_of(result, tmp_path) == page_of(read(tmp_path / "saved"), tmp_path)


def test_a_report_that_fails_leaves_the_old_one(busy: Result, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(ResultError, match="no table 'course'"):
        write_report(replace(busy, sources={}, _made={}), path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_file_that_somebody_still_reads_keeps_its_content(busy: Result, page: str, tmp_path: Path) -> None:
    path, opened = tmp_path / "report.html", tmp_path / "opened"
    path.write_text("old")
    opened.hardlink_to(path)
    write_report(busy, path)
    assert (path.read_text(), opened.read_text()) == (page, "old")


def test_of_several_replications_the_decisions_of_the_first_are_told(tmp_path: Path) -> None:
    scenario = replace(busy_scenario(), horizon_s=900.0)
    once, twice = (page_of(simulate(scenario, replications=n), tmp_path) for n in (1, 2))
    assert Tables(twice).table("The only change of m/v2") == Tables(once).table("The only change of m/v2")
    assert "They are of the first of 2 replications." in twice


def test_the_intervals_say_where_they_come_from(tmp_path: Path) -> None:
    several = page_of(simulate(lone_scenario(horizon_s=60.0, warmup_s=6.0), replications=3), tmp_path)
    assert "between 3 replications" in several
    assert "Warm-up: the first 6\u00a0s, 10\u00a0% of the run, are left out, as the scenario says." in several
    assert "means over replications" in several


def test_a_notebook_gets_verdict_and_tables(busy: Result) -> None:
    piece = summary_html(busy)
    assert piece.startswith('<div class="poolwright">')
    assert not re.search(r"<html|<img| id=", piece)
    assert number(busy.figures.overall.requests.arrived) in Tables(piece).table("Requests")[1]


def test_numbers_keep_their_units() -> None:
    assert unbroken("of 95 % within 8 s [7, 9], 3 more") == "of 95\u00a0% within 8\u00a0s [7, 9], 3 more"


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to look at the report with")
def test_a_browser_shows_it_without_complaint_and_without_the_network(busy: Result, page: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page)
    dom, complaints = looked_at(tmp_path / "report.html", tmp_path / "profile")
    assert complaints == []
    assert number(busy.figures.overall.requests.arrived) in Tables(dom).table("Requests")[1]
    assert "<h1>busy</h1>" in dom


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to look at the report with")
def test_a_browser_complains_of_what_comes_from_outside(page: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page.replace("<main>", '<main><img src="http://127.0.0.1:9/x.png">'))
    _, complaints = looked_at(tmp_path / "report.html", tmp_path / "profile")
    assert "violates" in complaints[0]


def looked_at(path: Path, profile: Path) -> tuple[str, list[str]]:
    """The page as a browser has it, and what the browser said of it."""
    command = [str(CHROMIUM), *QUIET.split(), f"--user-data-dir={profile}", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
