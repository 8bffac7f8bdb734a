"""The image of the daemon: what is in it, and whose it is."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "live" / "deploy"


def test_the_image_has_what_the_daemon_imports_and_no_more() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {name_of(line): line for line in (*project["dependencies"], *project["optional-dependencies"]["live"])}
    lines = [line for line in (DEPLOY / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    imported = {top for path in sources() for top in imports(path)} - sys.stdlib_module_names - {"live", "policies"}
    packages = {{"ruamel": "ruamel.yaml", "prometheus_client": "prometheus-client"}.get(top, top) for top in imported}
    # zoneinfo, of the standard library, reads the zones from tzdata where the system has none.
    assert {name_of(line) for line in lines} | {"pydantic_core"} == packages | {"tzdata"}
    assert [wanted[name_of(line)] for line in lines] == lines


def name_of(requirement: str) -> str:
    return re.split(r"[<>=~!\[]", requirement)[0]


def sources() -> Iterator[Path]:
    for package in ("live", "policies"):
        yield from (ROOT / package).rglob("*.py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_the_image_is_not_roots_and_copies_what_there_is() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    chart = (DEPLOY / "chart" / "templates" / "workload.yaml").read_text()
    assert re.findall(r"^USER (\d+):\d+$", text, re.M) == re.findall(r"runAsUser: (\d+)", chart) == ["65532"]
    copied = [word for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.M) for word in line.split()[:-1]]
    assert [path for path in copied if not (ROOT / path).exists()] == []


def test_the_chart_takes_the_image_of_its_own_version() -> None:
    chart, guide = (DEPLOY / "chart" / "Chart.yaml").read_text(), (ROOT / "live" / "README.md").read_text()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f'\nappVersion: "{version}"\n' in chart
    assert f"\nversion: {version}\n" in chart
    assert set(re.findall(r"poolwright:(\d\S*)", guide)) == {version}
