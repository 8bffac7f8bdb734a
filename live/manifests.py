"""The chart written out for one configuration, for those who apply manifests without Helm."""

from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from live.config import load
from live.deploy.syntax import TemplateError
from live.deploy.template import render
from policies.faults import InputError
from policies.spec import plain

HEADER = "# poolwright {version}, from {config}. Apply with: kubectl apply -f FILE\n"


def manifests(config: Path, values: Path | None = None, name: str = "poolwright", namespace: str = "poolwright") -> str:
    """All objects as one YAML text; `values` is a file with what differs from the chart's own values.

    Raises `InputError` for a configuration, or values, that cannot be used.
    """
    given = {} if values is None else _values(values)
    written = written_out(plain(load(config)), given, name, namespace)
    texts = (f"# {path}\n{text.strip()}\n" for path, text in written.items() if text.strip())
    return HEADER.format(version=version("poolwright"), config=config.name) + "---\n".join(("", *texts))


def written_out(
    config: Mapping[str, Any], values: Mapping[str, Any], name: str = "poolwright", namespace: str = "poolwright"
) -> dict[str, str]:
    """File of the chart -> YAML of its objects, perhaps none. Raises `InputError`."""
    chart = files("live.deploy") / "chart"
    templates = {
        path.name: path.read_text() for path in (chart / "templates").iterdir() if path.name.endswith((".yaml", ".tpl"))
    }
    about = _yaml((chart / "Chart.yaml").read_text())
    context = {
        "Values": merged(merged(_yaml((chart / "values.yaml").read_text()), values), {"config": config}),
        "Release": {"Name": name, "Namespace": namespace, "Service": "poolwright-live"},
        "Chart": {"Name": about["name"], "AppVersion": about["appVersion"]},
    }
    try:
        return render(templates, context)
    except TemplateError as error:
        raise InputError(str(error)) from None


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """What Helm makes of two files of values: mappings are merged, all else is replaced."""
    both = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], Mapping) and isinstance(over[key], Mapping):
            both[key] = merged(under[key], over[key])
    return both


def _values(path: Path) -> dict[str, Any]:
    """Raises `InputError` for values that the chart does not have."""
    try:
        given = _yaml(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    if not isinstance(given, dict):
        raise InputError(f"{path}: must be a mapping, such as the chart's values.yaml")
    known = _yaml((files("live.deploy") / "chart" / "values.yaml").read_text())
    if unknown := sorted(given.keys() - known.keys() | given.keys() & {"config"}):
        known.pop("config")
        raise InputError(f"{path}: {unknown[0]}: not one of the chart's values, {', '.join(known)}")
    return given


def _yaml(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text) or {}
    except YAMLError as error:
        raise InputError(f"not YAML: {error}") from None
