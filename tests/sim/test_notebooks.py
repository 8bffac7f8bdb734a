"""The notebooks run as they are, from their own folder or the root, and what they say in words is what they show."""

import ast
import json
import os
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

import sim

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PUBLIC = {"dataclasses", "pathlib", "matplotlib", "pandas", "scipy", "sim"}
MOST_LINES = 15
"""Of a cell of code."""

Shown = dict[str, str]
"""Name of a cell -> what it put out, as words."""


def read(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def code(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def run(name: str, folder: Path, home: Path) -> Shown:
    """Execute a notebook in a kernel of this Python that starts in `folder`."""
    import nbformat
    from nbclient import NotebookClient

    settings = {
        "IPYTHONDIR": str(home),
        "JUPYTER_PLATFORM_DIRS": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.execute(env={**os.environ, **settings, "PYTHONWARNINGS": "error::FutureWarning"})
    return {cell.id: "\n".join(words(o) for o in cell.outputs) for cell in notebook.cells if cell.cell_type == "code"}


def words(output: Any) -> str:
    """What a person reads: HTML without its tags, all spaces alike; pictures as `<png>`."""
    assert output.get("name") != "stderr", output.text
    if output.output_type == "stream":
        return str(output.text)
    if "image/png" in output.data:
        return "<png>"
    html = re.sub(r"(?s)<style.*?</style>|<svg.*?</svg>", " ", output.data.get("text/html", ""))
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split()) or str(output.data["text/plain"])


def row(shown: str, name: str) -> list[float]:
    """The figures that follow a name in a table."""
    match = re.search(rf"(?<!\S){re.escape(name)}((?: -?[\d.]+)+)", shown)
    assert match, f"{name} in {shown}"
    return [float(value) for value in match[1].split()]


def found(pattern: str, shown: str) -> float:
    """The figure in the one group of a pattern."""
    match = re.search(pattern, shown)
    assert match, f"{pattern} in {shown}"
    return float(match[1])


def said(name: str) -> str:
    """All the words of a notebook, in one line."""
    cells = (cell for cell in read(ROOT / "notebooks" / f"{name}.ipynb")["cells"] if cell["cell_type"] == "markdown")
    return " ".join(" ".join("".join(cell["source"]) for cell in cells).split())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ipython")


@pytest.fixture(scope="module")
def first_run(home: Path) -> Shown:
    return run("01-first-run", ROOT / "notebooks", home)


@pytest.fixture(scope="module")
def which_policy(home: Path) -> Shown:
    return run("02-which-policy", ROOT, home)


@pytest.fixture(scope="module")
def what_if(home: Path) -> Shown:
    return run("03-what-if", ROOT / "notebooks", home)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_what_it_put_out(path: Path) -> None:
    assert [(cell["outputs"], cell["execution_count"]) for cell in code(path)] == [([], None)] * len(code(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_needs_what_is_public_alone(path: Path) -> None:
    source = "\n".join("".join(cell["source"]) for cell in code(path))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            assert {name.name.split(".")[0] for name in node.names} <= PUBLIC
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] in PUBLIC
            assert not any(name.name.startswith("_") for name in node.names)
        elif isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_code_comes_in_few_lines_between_words(path: Path) -> None:
    kinds = [cell["cell_type"] for cell in read(path)["cells"]]
    assert kinds[0] == "markdown"
    assert all(len(cell["source"]) <= 2 * MOST_LINES for cell in code(path))
    assert ["code"] * 4 not in [kinds[i : i + 4] for i in range(len(kinds))]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_to_files_that_are_there(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", said(path.stem))
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_notebooks_are_read_in_the_order_of_their_numbers() -> None:
    assert [path.name[:3] for path in NOTEBOOKS] == ["01-", "02-", "03-", "04-"]


def test_a_result_says_in_a_line_what_it_is() -> None:
    short = replace(sim.load(ROOT / "scenarios" / "customer-service.yaml"), horizon_s=600.0, replications=2)
    assert repr(sim.simulate(short)) == "<result of customer-service: 2 x 10 min, seed 1, policy stabilized>"


def test_the_first_run_meets_its_objective_and_the_canary_does_not(first_run: Shown) -> None:
    verdict = first_run["simulate"]
    assert "The objective is met" in verdict
    assert "Taken alone, this does not hold for assistant/v2" in verdict
    cost_usd = found(r"replica-hours cost \$([\d.]+)", verdict)
    assert f"about ${cost_usd:.0f} a day" in said("01-first-run")
    assert row(first_run["versions"], "assistant/v2")[0] == pytest.approx(0.92, abs=0.005)


def test_the_canary_is_slow_in_service_and_not_in_the_queue(first_run: Shown) -> None:
    waiting_s, service_s = row(first_run["time-spent"], "assistant/v2")
    assert waiting_s < 0.25
    assert service_s == pytest.approx(7.5, rel=0.03)


def test_faults_are_shown_where_there_are_any(first_run: Shown, what_if: Shown) -> None:
    assert first_run["check"] == "[]"
    assert "must end before horizon_s" in first_run["check-fault"]
    assert "'v4' is no version of this model" in what_if["faults"]


def test_figures_are_shown_whether_the_axes_are_given_or_not(first_run: Shown, which_policy: Shown) -> None:
    assert [first_run[cell] for cell in ("tails", "course", "replicas")] == ["<png>"] * 3
    assert which_policy["frontier"] == "<png>"


def test_a_decision_tells_its_wish_and_both_of_its_limiters(first_run: Shown) -> None:
    assert "limit: half a window: 7 -> 8" in first_run["decisions"]
    assert "stabilization: 8 -> 9, held by the wishes of the last 600 s" in first_run["decisions"]
    assert "11 -> 12: 1 replica started" in first_run["explain"]


def test_own_is_the_cheapest_and_the_rest_is_as_sure_as_it_is_said_to_be(which_policy: Shown) -> None:
    shown = which_policy["compare"]
    assert re.search(r"own meets the SLO \([^)]*\), at the lowest price", shown)
    assert "kpa seems to meet the SLO" in shown
    assert re.search(r"fcfs meets the SLO \([^)]*\) and is not distinguishable from own in cost", shown)
    assert re.search(r"step meets the SLO \([^)]*\) and costs [^;]*, as it seems", shown)
    assert found(r"hpa meets the SLO \([^)]*\) and costs ([\d.]+)", shown) == pytest.approx(50, abs=10)


def test_twice_the_replications_make_a_third_of_the_interval_and_a_sure_verdict(which_policy: Shown) -> None:
    few, many = row(which_policy["more"], "0"), row(which_policy["more"], "1")
    assert (few[0], many[0]) == (3, 6)
    assert few[2] < 0 < many[2]
    assert (many[3] - many[2]) / (few[3] - few[2]) == pytest.approx(1 / 3, abs=0.05)
    verdict = which_policy["more-verdicts"].strip()
    assert found(r"fcfs meets the SLO .* and costs ([\d.]+) \S+ [\d.]+ % more than own$", verdict) == pytest.approx(
        3, abs=0.5
    )


def test_twice_the_traffic_costs_about_a_third_more(what_if: Shown) -> None:
    before, after = (found(r": ([\d.]+) \S+ [\d.]+ USD", what_if[cell]) for cell in ("load", "traffic"))
    assert after / before == pytest.approx(4 / 3, abs=0.05)
    assert what_if["traffic"].count("meets the SLO") == 2
    near, far = (found(r"costs ([\d.]+) \S+ [\d.]+ % more than own", what_if[cell]) for cell in ("load", "traffic"))
    assert near < far


def test_a_slow_start_undoes_the_plan_and_an_earlier_plan_mends_it(what_if: Shown) -> None:
    met = {name: row(what_if["startup-change"], name) for name in ("rule", "plan", "early plan")}
    assert met["rule"] == pytest.approx([0.9, 0.75], abs=0.02)
    assert met["plan"][0] > 0.99 > met["plan"][1]
    assert min(met["early plan"]) > 0.99
    assert "early plan meets the SLO" in what_if["startup"]


def test_half_of_the_chats_on_the_canary_is_more_than_they_bear(what_if: Shown) -> None:
    assert "own seems to meet the SLO" in what_if["canary"]
    tenth, half = row(what_if["canary-chats"], "chat")
    assert 0.97 < tenth < 0.98
    assert half == pytest.approx(0.94, abs=0.005)
    assert row(what_if["canary-chats"], "assistant/v2")[1] == pytest.approx(0.91, abs=0.01)


def test_the_paired_change_is_surer_than_the_figures_it_is_between(what_if: Shown) -> None:
    lost, plus_minus = row(what_if["canary-change"], "slo_attainment own")
    assert lost == pytest.approx(-0.02, abs=0.005)
    assert lost + plus_minus < 0
