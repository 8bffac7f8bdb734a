"""What the chart puts into a cluster: enough for the daemon, and nothing more."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from live.board import Board
from live.check import rights
from live.config import KINDS, Config
from live.kube import Ref, Resource
from live.manifests import manifests, written_out
from live.tally import Tally
from live.telemetry import Telemetry
from live.twin.clock import VirtualClock
from policies.decision import Decision, Reason
from policies.faults import InputError
from policies.loop import Action, Turn
from policies.observation import Observation
from policies.spec import plain
from policies.specfile import parse
from policies.testing import seen

ROOT = Path(__file__).parents[2]
FILE = """
cluster: { namespace: models }
prometheus: { url: "http://prometheus.monitoring:9090" }
journal: { path: /var/lib/poolwright/journal.jsonl }
slo: { response_s: 8, quantile: 0.9 }
mode: active
targets:
  - { model: chat, version: v1, name: chat-v1, replicas: { at_least: 1, at_most: 9 } }
  - { model: chat, version: v2, name: chat-v2, replicas: { at_least: 1, at_most: 9 } }
  - { model: draw, version: v1, kind: StatefulSet, name: draw, namespace: art, replicas: { at_most: 3 } }
  - { model: talk, version: v1, kind: Serving, api_version: example.org/v1, name: talk, replicas: { at_most: 3 } }
policy: { kind: fixed, replicas: { chat/v1: 4 } }
"""
MODES = {
    "shadow": FILE.replace("active", "shadow"),
    "metrics": FILE.replace("active", "recommend"),
    "annotation": FILE.replace("active", "recommend\nrecommend: annotation"),
    "active": FILE,
}
ALL = {"monitoring": {"serviceMonitor": True, "alerts": True}}

Object = Mapping[str, Any]


def loaded(text: str) -> list[Any]:
    return [body for body in YAML(typ="safe", pure=True).load_all(text) if body]


def objects(file: str = FILE, values: Mapping[str, Any] = ALL) -> list[Any]:
    texts = written_out(plain(parse(Config, file)), values)
    return [body for text in texts.values() for body in loaded(text)]


def only(kind: str, found: list[Any]) -> Any:
    (body,) = [body for body in found if body["kind"] == kind]
    return body


def pod_of(found: list[Any], kind: str = "Deployment") -> Any:
    return only(kind, found)["spec"]["template"]


def granted(found: list[Any]) -> set[tuple[str, str, str, str, str]]:
    """Verb, group, resource, namespace, name: each right that some Role gives."""
    return {
        (verb, group, resource, role["metadata"]["namespace"], name)
        for role in found
        if role["kind"] == "Role"
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


def needed(config: Config) -> set[tuple[str, str, str, str, str]]:
    """The same, as the daemon's own check reviews it."""
    found = set()
    for right in rights(config, dict(reached(config))):
        resource = "/".join(filter(None, (right.resource.plural, right.subresource)))
        found.add((right.verb, right.resource.group, resource, right.resource.namespace or "", right.name))
    return found


def reached(config: Config) -> Iterator[tuple[str, Ref]]:
    for target in config.targets:
        plural = KINDS[target.kind][1] if target.kind in KINDS else "servings"
        resource = Resource(target.group_version, plural, config.namespace_of(target))
        yield target.pool, Ref(resource, target.kind, target.name)


@pytest.mark.parametrize("mode", MODES)
def test_the_roles_give_what_the_daemon_asks_for_and_nothing_else(mode: str) -> None:
    assert granted(objects(MODES[mode])) == needed(parse(Config, MODES[mode]))


def test_only_the_active_mode_may_scale_and_each_target_is_named() -> None:
    scaled = {(r[3], r[2], r[4]) for r in granted(objects()) if r[0] == "patch"}
    assert scaled == {
        ("models", "deployments/scale", "chat-v1"),
        ("models", "deployments/scale", "chat-v2"),
        ("models", "servings/scale", "talk"),
        ("art", "statefulsets/scale", "draw"),
    }
    writing = {"create", "update", "patch", "delete"}
    assert not [r for mode in ("shadow", "metrics") for r in granted(objects(MODES[mode])) if r[0] in writing]


def test_a_lease_in_a_namespace_without_targets_is_within_reach() -> None:
    file = FILE.replace("namespace: models", "namespace: home").replace("name: chat", "namespace: models, name: chat")
    file = file.replace("name: talk", "namespace: models, name: talk")
    at_home = {r[:3] for r in granted(objects(file)) if r[3] == "home"}
    assert at_home == {(verb, "coordination.k8s.io", "leases") for verb in ("get", "create", "update")}


def test_nothing_is_granted_by_a_star_or_in_the_whole_cluster() -> None:
    found = objects()
    assert not [body for body in found if body["kind"].startswith("Cluster")]
    assert not [right for right in granted(found) if "*" in right]


def test_an_odd_plural_is_told_by_the_values() -> None:
    odd = objects(values={"plurals": {"Serving": "servingen"}})
    assert ("patch", "example.org", "servingen/scale", "models", "talk") in granted(odd)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_named_is_there(mode: str) -> None:
    found = objects(MODES[mode])
    pod = pod_of(found)
    labels, (container,) = pod["metadata"]["labels"], pod["spec"]["containers"]
    (port,) = container["ports"]
    account, me = only("ServiceAccount", found)["metadata"], ("poolwright", "poolwright")
    assert (account["name"], account["namespace"], pod["spec"]["serviceAccountName"]) == (*me, account["name"])
    roles = {(body["metadata"]["namespace"], body["metadata"]["name"]) for body in found if body["kind"] == "Role"}
    bound = [body for body in found if body["kind"] == "RoleBinding"]
    assert {(body["metadata"]["namespace"], body["roleRef"]["name"]) for body in bound} == roles
    assert {(s["name"], s["namespace"]) for body in bound for s in body["subjects"]} == {me}
    for kind in ("Deployment", "PodDisruptionBudget", "ServiceMonitor"):
        assert only(kind, found)["spec"]["selector"]["matchLabels"].items() <= labels.items()
    service, monitor = only("Service", found), only("ServiceMonitor", found)
    assert service["spec"]["selector"].items() <= labels.items()
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert only("NetworkPolicy", found)["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    probes = [container[f"{which}Probe"]["httpGet"] for which in ("startup", "liveness", "readiness")]
    named = [*(probe["port"] for probe in probes), *(p["targetPort"] for p in service["spec"]["ports"])]
    assert {*named, *(end["port"] for end in monitor["spec"]["endpoints"])} == {port["name"]}
    assert {probe["path"] for probe in probes} == {"/healthz", "/readyz"}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {"config": "/etc/poolwright", "journal": "/var/lib/poolwright"}
    assert mounts.keys() == {volume["name"] for volume in pod["spec"]["volumes"]}
    assert container["args"][:2] == ["run", f"{mounts['config']}/{next(iter(only('ConfigMap', found)['data']))}"]


def test_the_daemon_reads_the_same_configuration_as_its_author_did() -> None:
    text = only("ConfigMap", objects())["data"]["config.yaml"]
    assert parse(Config, text) == parse(Config, FILE)


def test_another_configuration_makes_new_pods() -> None:
    stamps = {str(pod_of(objects(file))["metadata"]["annotations"]) for file in MODES.values()}
    assert len(stamps) == len(MODES)


def test_a_pod_may_do_no_more_than_the_restricted_profile_lets_it() -> None:
    spec = pod_of(objects())["spec"]
    (container,) = spec["containers"]
    assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"] > 0) == (True, True)
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert {"requests", "limits"} <= container["resources"].keys()


def test_two_replicas_stand_by_for_each_other_and_one_is_drained_at_a_time() -> None:
    found = objects()
    assert only("Deployment", found)["spec"]["replicas"] == 2
    assert only("PodDisruptionBudget", found)["spec"]["maxUnavailable"] == 1


def test_a_journal_lasts_as_long_as_its_pod_or_has_a_volume_of_its_own_in_each() -> None:
    short = {volume["name"]: volume for volume in pod_of(objects())["spec"]["volumes"]}
    # Ten old files, the one being written, and one more, of 64 MiB each.
    assert short["journal"]["emptyDir"] == {"sizeLimit": "768Mi"}
    lasting = objects(values={"journal": {"storageClass": "fast", "size": "2Gi"}})
    spec = only("StatefulSet", lasting)["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    assert (claim["spec"]["storageClassName"], claim["spec"]["resources"]["requests"]["storage"]) == ("fast", "2Gi")
    assert "journal" not in {volume["name"] for volume in pod_of(lasting, "StatefulSet")["spec"]["volumes"]}
    assert spec["serviceName"] == only("Service", lasting)["metadata"]["name"]


def test_the_network_is_open_to_names_the_api_and_prometheus_only() -> None:
    file = FILE.replace("http://prometheus.monitoring:9090", "https://thanos.example.org/prefix")
    spec = only("NetworkPolicy", objects(file))["spec"]
    out = [{port["port"] for port in rule["ports"]} for rule in spec["egress"]]
    assert out == [{53}, {443, 6443}, {443, 9090}]
    assert [port["port"] for rule in spec["ingress"] for port in rule["ports"]] == ["http"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        ("namespace: models", "context: mine", "a pod uses its service account"),
        ("/var/lib/poolwright/", "", "must begin with /"),
        ("/var/lib/poolwright/", "/", "needs a folder of its own"),
        ("mode: active", "telemetry: { port: 0 }", "no probe finds"),
    ],
)
def test_what_cannot_work_in_a_pod_is_refused(was: str, now: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        objects(FILE.replace(was, now))


def test_all_is_one_text_for_kubectl_and_values_that_are_none_are_refused(tmp_path: Path) -> None:
    config, values = tmp_path / "config.yaml", tmp_path / "values.yaml"
    config.write_text(FILE)
    values.write_text("replicas: 3\nimage: { tag: '7' }\n")
    found = loaded(manifests(config, values, "mine", "there"))
    assert only("Deployment", found)["metadata"]["namespace"] == "there"
    assert only("Deployment", found)["spec"]["replicas"] == 3
    assert pod_of(found)["spec"]["containers"][0]["image"] == "poolwright:7"
    assert {body["metadata"]["name"] for body in found} == {"mine"}
    values.write_text("replica: 3\n")
    with pytest.raises(InputError, match=r"values.yaml: replica: not one of the chart's values, image, "):
        manifests(config, values)


def rules(file: str = FILE) -> list[Any]:
    (group,) = only("PrometheusRule", objects(file))["spec"]["groups"]
    return list(group["rules"])


def told(file: str) -> dict[str, set[str]]:
    """Metric that the daemon tells -> its labels."""
    config = parse(Config, file)
    board = Board(config=config, tally=Tally(config.pools, 8.0, 60.0))
    telemetry = Telemetry(board, VirtualClock())
    pools = {"chat/v1": seen(0.0, wanted=1).pools["m/v1"]}
    reason = Reason(5, "as told").limited("bounds", 4, "at most 4")
    for error in (None, "refused"):
        turn = Turn(Observation(0.0, pools), Decision({"chat/v1": reason}), {"chat/v1": Action(1, 4, error)})
        board.turned(turn, 0.1, 0.0)
    families = text_string_to_metric_families(telemetry.page("/metrics").body.decode())
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


@pytest.mark.parametrize("mode", MODES)
def test_alerts_ask_for_metrics_and_labels_that_the_daemon_tells(mode: str) -> None:
    metrics, scraped = told(MODES[mode]), {"job", "namespace", "pod"}
    for rule in rules(MODES[mode]):
        asked = re.findall(r"(poolwright_\w+)\{([^}]*)\}", rule["expr"])
        assert len(asked) == rule["expr"].count("poolwright_")
        for metric, matchers in asked:
            assert set(re.findall(r"(\w+)=", matchers)) <= metrics[metric] | scraped, rule["alert"]
            assert set(re.findall(r"by \((\w+)\)", rule["expr"])) <= metrics[metric], rule["alert"]
        words = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$labels\.(\w+)", words)) <= {*re.findall(r"by \((\w+)\)", rule["expr"]), "pod"}


def test_who_needs_no_leader_is_not_told_that_there_is_none() -> None:
    leads = {mode: "PoolwrightNoLeader" in {rule["alert"] for rule in rules(file)} for mode, file in MODES.items()}
    assert leads == {"shadow": False, "metrics": False, "annotation": True, "active": True}


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    all_labels = {"job": "poolwright", "namespace": "poolwright", **labels}
    told = ",".join(f'{label}="{value}"' for label, value in all_labels.items())
    return {"series": f"{name}{{{told}}}", "values": values}


FIRING = {
    "PoolwrightDown": [],
    "PoolwrightStuck": [series("poolwright_last_turn_timestamp_seconds", "0x500", pod="a")],
    "PoolwrightSlowTurns": [series("poolwright_skipped_ticks_total", "0+1x500", pod="a")],
    "PoolwrightNoLeader": [series("poolwright_leader", "0x500", pod=pod) for pod in "ab"],
    "PoolwrightTwoLeaders": [series("poolwright_leader", "1x500", pod=pod) for pod in "ab"],
    "PoolwrightReadingsStale": [series("poolwright_unknown_readings", "1x500", pod="a", pool="m/v1")],
    "PoolwrightAtMaximum": [
        series(f"poolwright_{name}_replicas", f"{count}x500", pod="a", pool="m/v1")
        for name, count in (("target", 9), ("max", 9), ("min", 1))
    ],
    "PoolwrightNotReady": [
        series("poolwright_replicas", f"{count}x500", pod="a", pool="m/v1", state=state)
        for state, count in (("ready", 2), ("wanted", 3))
    ],
    "PoolwrightWritesFail": [
        series("poolwright_writes_total", "0+1x500", pod="a", pool="m/v1", outcome="failed"),
    ],
    # Three in five are late where one in ten may be.
    "PoolwrightSloBurnFast": [
        series("poolwright_slo_requests_total", "0+10x500", pod="a", of="seen"),
        series("poolwright_slo_met_requests_total", "0+4x500", pod="a", of="seen"),
    ],
    "PoolwrightJournalLoses": [series("poolwright_journal_lost_turns_total", "0+1x500", pod="a")],
}
FIRING["PoolwrightSloBurnSlow"] = FIRING["PoolwrightSloBurnFast"]


def test_each_alert_fires_where_it_should_and_not_where_all_is_well(tmp_path: Path) -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed")
    spec = only("PrometheusRule", objects())["spec"]
    assert FIRING.keys() == {rule["alert"] for rule in spec["groups"][0]["rules"]}
    yaml = YAML(typ="safe", pure=True)
    yaml.dump(spec, tmp_path / "rules.yaml")
    well = [series("poolwright_leader", "1x500", pod="a"), series("poolwright_turns_total", "0+4x500", pod="a")]
    well += [series("poolwright_last_turn_timestamp_seconds", "0+60x500", pod="a")]
    well += [dict(one, values=one["values"].replace("4x", "9x")) for one in FIRING["PoolwrightSloBurnFast"]]
    # There cannot be no leader and two at a time.
    wrong = [one for alert, inputs in FIRING.items() if alert != "PoolwrightTwoLeaders" for one in inputs]
    tests = [
        asked(wrong, FIRING.keys() - {"PoolwrightTwoLeaders"}, fires=True),
        asked(FIRING["PoolwrightTwoLeaders"], {"PoolwrightTwoLeaders"}, fires=True),
        asked(well, FIRING.keys(), fires=False),
    ]
    yaml.dump({"rule_files": ["rules.yaml"], "tests": tests}, tmp_path / "tests.yaml")
    run = subprocess.run(
        [promtool, "test", "rules", tmp_path / "tests.yaml"], check=False, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def asked(inputs: list[dict[str, str]], alerts: Iterable[str], fires: bool) -> dict[str, Any]:
    """Whether alerts fire after seven hours of these series; by a query, so that words may change."""
    expected = [{"labels": "{}", "value": 1}] if fires else []
    firing = 'count(ALERTS{{alertname="{}",alertstate="firing"}}) > bool 0'
    queries = [{"expr": firing.format(a), "eval_time": "7h", "exp_samples": expected} for a in sorted(alerts)]
    return {"interval": "1m", "input_series": inputs, "promql_expr_test": queries}


def test_the_guide_knows_each_alert_and_its_configuration_is_one() -> None:
    guide = (ROOT / "live" / "README.md").read_text()
    assert [rule["alert"] for rule in rules() if f"`{rule['alert']}`" not in guide] == []
    (config,) = re.findall(r"```yaml config.yaml\n(.*?)```", guide, re.S)
    assert parse(Config, config).mode == "shadow"


def test_the_guides_own_line_makes_values_that_the_chart_takes(tmp_path: Path) -> None:
    guide = (ROOT / "live" / "README.md").read_text()
    (tmp_path / "config.yaml").write_text(FILE)
    (line,) = re.findall(r"^\(echo .* > values.yaml$", guide, re.M)
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
    values = YAML(typ="safe", pure=True).load((tmp_path / "values.yaml").read_text())
    found = [body for text in written_out(values.pop("config"), values).values() for body in loaded(text)]
    assert granted(found) == granted(objects())
    assert pod_of(found)["spec"]["containers"][0]["image"] == "registry.example.org/poolwright:0.1.0"
