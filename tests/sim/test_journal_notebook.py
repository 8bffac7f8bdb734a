"""The notebook that reads a journal runs, and its words hold."""

import json
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "04-read-the-live-journal.ipynb"


@pytest.fixture(scope="module")
def printed() -> dict[str, str]:
    """Name of a cell -> what it printed; every cell of code runs, in order, from the notebook's own folder."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(NOTEBOOK.parent)
        return {cell["id"]: _run("".join(cell["source"]), names) for cell in cells if cell["cell_type"] == "code"}


def _run(source: str, names: dict[str, Any]) -> str:
    with redirect_stdout(StringIO()) as out:
        exec(source, names)
    return out.getvalue()


def figures(text: str) -> list[float]:
    return [float(figure) for figure in re.findall(r"\d+\.\d+", text)]


def test_the_journal_replays_and_a_patient_policy_has_its_price(printed: dict[str, str]) -> None:
    assert printed["same"] == "160 ticks, 2 starts, 0 differences\n"
    before, after = figures(printed["patient"])
    assert after / before == pytest.approx(1.1, abs=0.02)


def test_the_simulated_world_is_like_the_one_that_was_seen(printed: dict[str, str]) -> None:
    (_, low, high, cost), (_, low_again, high_again, cost_again) = map(figures, printed["alike"].splitlines())
    assert max(low, low_again) <= min(high, high_again)
    assert cost_again == pytest.approx(cost, rel=0.07)


def test_patience_costs_in_the_simulation_about_what_replay_says(printed: dict[str, str]) -> None:
    own, patient = printed["what-if"].splitlines()
    assert own.startswith("own meets the SLO")
    assert "at the lowest price" in own
    found = re.search(r"patient meets the SLO .* and costs ([\d.]+) \S+ [\d.]+ % more than own", patient)
    assert found
    assert float(found[1]) == pytest.approx(10, abs=3)
