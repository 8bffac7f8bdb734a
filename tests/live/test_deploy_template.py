"""Go templates as Helm carries them out: what the chart uses of them."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from live.deploy.syntax import TemplateError
from live.deploy.template import render, to_yaml
from live.manifests import merged, written_out

CHART = Path(__file__).parents[2] / "live" / "deploy" / "chart"
VALUES = {
    "name": "web",
    "count": 3,
    "ports": [443, 6443],
    "labels": {"b": "2", "a": "1"},
    "none": None,
    "no": False,
    "share": 0.95,
    "big": 15.0,
}


def shown(text: str) -> str:
    return render({"t.yaml": text}, {"Values": VALUES})["t.yaml"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a {{ .Values.name }} b", "a web b"),
        ("a\n  {{- .Values.name -}}  \n b", "awebb"),
        (
            "{{ .Values.share }} {{ .Values.big }} {{ .Values.no }}{{ .Values.none }}{{ .Values.other }}",
            "0.95 15 false",
        ),
        ("{{/* nothing */}}x{{- /* more */ -}} y", "xy"),
        ("{{ `{{ $x }}` }}", "{{ $x }}"),
        ('{{ "a\\"b" | quote }}', '"a\\"b"'),
        ("{{ if .Values.none }}a{{ else if .Values.no }}b{{ else }}c{{ end }}", "c"),
        ("{{ if and .Values.name (not .Values.no) }}a{{ end }}", "a"),
        ("{{ with .Values.labels }}{{ .a }}{{ $.Values.name }}{{ else }}none{{ end }}", "1web"),
        ("{{ with .Values.none }}x{{ else }}none{{ end }}", "none"),
        ("{{ range .Values.ports }}{{ . }};{{ end }}", "443;6443;"),
        ("{{ range $i, $port := .Values.ports }}{{ $i }}={{ $port }} {{ end }}", "0=443 1=6443 "),
        ("{{ range $key, $value := .Values.labels }}{{ $key }}{{ $value }}{{ end }}", "a1b2"),
        ("{{ range .Values.none }}x{{ else }}none{{ end }}", "none"),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"),
        ("{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ end }}{{ $x }}", "1"),
        ('{{ define "n" }}<{{ .a }}>{{ end }}{{ include "n" .Values.labels }}', "<1>"),
        ('{{ .Values.none | default "x" }}{{ .Values.count | default 7 }}', "x3"),
        ('{{ printf "%s-%d %q" .Values.name 3 "q" }}', 'web-3 "q"'),
        ('{{ (index .Values.ports 1) }}{{ (dict "a" 5).a }}', "64435"),
        ("x:{{ toYaml .Values.labels | nindent 2 }}", 'x:\n  a: "1"\n  b: "2"'),
    ],
)
def test_what_is_shown(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ .Values.none.a }}", "t.yaml: .a: None has no fields"),
        ("{{ frobnicate 1 }}", "'frobnicate' is not one of add, "),
        ("{{ $x }}", r"variable \$x is not declared"),
        ("{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}", r"variable \$x is not declared"),
        ("{{ if true }}", "a block without an end"),
        ("{{ end }}", "'end' without a beginning"),
        ("{{ .Values.labels }}", "cannot be shown; toYaml writes it out"),
        ('{{ fail "too bad" }}', "t.yaml: too bad"),
        ('{{ include "n" . }}', "no template 'n' is defined"),
        ("{{ (1 }}", "a parenthesis is not closed"),
        ("{{ .Values.name ] }}", "cannot read"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        shown(text)


PLAIN = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text() | st.sampled_from(["on", "1e3", "~", "y"])
TREES = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@given(TREES)
def test_yaml_that_is_written_is_read_as_the_same(tree: Any) -> None:
    for version in ((1, 1), (1, 2)):
        yaml = YAML(typ="safe", pure=True)
        yaml.version = version
        assert yaml.load(to_yaml({"tree": tree})) == {"tree": tree}


CONFIG = {
    "cluster": {"namespace": "models"},
    "prometheus": {"url": "http://prometheus:9090"},
    "journal": {"path": "/j/k.jsonl", "rotate_mb": 3},
    "mode": "active",
    "slo": {"response_s": 8},
    "targets": [
        {"model": "m", "version": "v1", "name": "web", "replicas": {"at_most": 9}},
        {"model": "m", "version": "v2", "name": "odd", "kind": "Serving", "api_version": "a.b/v1", "namespace": "art"},
    ],
    "policy": {"kind": "fixed"},
}
MORE = {
    "monitoring": {"serviceMonitor": True, "alerts": True, "labels": {"release": "on"}},
    "journal": {"storageClass": "fast"},
    "plurals": {"Serving": "servingen"},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"operator": "Exists"}],
    "volumes": [{"name": "ca", "secret": {"secretName": "ca"}}],
    "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    "image": {"pullSecrets": [{"name": "key"}], "tag": "7"},
}


@pytest.mark.parametrize("mode", ["active", "shadow"])
@pytest.mark.parametrize("values", [{}, MORE], ids=["plain", "more"])
def test_helm_makes_the_same_objects(mode: str, values: dict[str, Any], tmp_path: Path) -> None:
    if (helm := shutil.which("helm")) is None:
        pytest.skip("helm is not installed")
    config = {**CONFIG, "mode": mode}
    yaml = YAML(typ="safe", pure=True)
    yaml.dump(merged(values, {"config": config}), tmp_path / "values.yaml")
    words = [helm, "template", "poolwright", CHART, "--namespace", "poolwright", "--values", tmp_path / "values.yaml"]
    run = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, "HOME": str(tmp_path)})
    ours = "\n---\n".join(written_out(config, values).values()).replace("poolwright-live", "Helm")
    assert by_name(run.stdout) == by_name(ours)


def by_name(text: str) -> dict[tuple[str, str], Any]:
    """Kind and namespace of each object -> the object, the ConfigMap's text as what it means."""
    yaml = YAML(typ="safe", pure=True)
    found = {(body["kind"], body["metadata"]["namespace"]): body for body in yaml.load_all(text) if body}
    data = found["ConfigMap", "poolwright"]["data"]
    data["config.yaml"] = yaml.load(data["config.yaml"])
    workload = found.get(("Deployment", "poolwright")) or found["StatefulSet", "poolwright"]
    # The two write the same YAML in other letters.
    del workload["spec"]["template"]["metadata"]["annotations"]["poolwright/config"]
    return found
