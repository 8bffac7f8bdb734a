"""The daemon's file: every fault at its place, and what each target's series are known by."""

import pytest

from live.config import Config
from live.presets import PODS
from policies.specfile import SpecError, parse

FILE = """
cluster: { namespace: models }
prometheus: { url: "http://prometheus:9090" }
journal: { path: journal.jsonl }
queries: { preset: vllm }
targets:
  - model: assistant
    version: v1
    name: assistant-v1
    replicas: { at_least: 2, at_most: 20 }
    slots: 8
    startup_s: 180
policy: { kind: fcfs, wait_s: 3 }
"""


def faults(text: str) -> list[str]:
    with pytest.raises(SpecError) as found:
        parse(Config, text, "live.yaml")
    return str(found.value).splitlines()


def test_a_short_file_is_whole_and_writes_nothing_to_the_cluster() -> None:
    config = parse(Config, FILE)
    assert config.mode == "shadow"
    pool = config.pools["assistant/v1"]
    assert (pool.at_least, pool.at_most, pool.slots, pool.startup_p95_s) == (2, 20, 8, 180.0)


def test_labels_of_a_target_are_filled_in_and_its_pods_stay_to_be_found() -> None:
    config = parse(Config, FILE)
    assert config.queries_of(config.targets[0]).labels == {"namespace": "models", "pod": PODS}


def test_a_target_adds_to_what_all_share_and_drops_a_label_by_an_empty_value() -> None:
    text = FILE.replace("preset: vllm", "preset: generic, override: { wait_s: null, queued: q }").replace(
        "    slots: 8", "    queries: { labels: { pod: '', deployment: '{name}' }, override: { queued: mine } }"
    )
    config = parse(Config, text)
    queries = config.queries_of(config.targets[0])
    assert queries.labels == {"namespace": "models", "deployment": "assistant-v1"}
    assert queries.scalars["queued"] == "mine"
    assert "wait_s" not in queries.histograms


def test_a_target_with_a_preset_of_its_own_does_not_take_what_was_written_for_another() -> None:
    text = FILE.replace("preset: vllm", "preset: vllm, override: { queued: q }").replace(
        "    slots: 8", "    queries: { preset: triton }"
    )
    config = parse(Config, text)
    assert config.queries_of(config.targets[0]).scalars["queued"] == "nv_inference_pending_request_count"


def test_every_fault_is_told_at_once() -> None:
    text = FILE.replace("name: assistant-v1", "name: assistant-v1\n    kind: Model").replace(
        "preset: vllm", "preset: vllm, override: { queud: a, queued: 'q{a=1}', age: null }"
    )
    assert faults(text) == [
        "live.yaml:5:45: queries.override.queud: 'queud' is no reading; readings are queued, in_service, "
        "arrived_total, started_total, completed_total, failed_total, rejected_total, abandoned_total, busy_s_total, "
        "wait_s, service_s, response_s, age",
        "live.yaml:5:56: queries.override.queued: 'q{a=1}' lacks {selector}, where the target's labels belong",
        "live.yaml:5:71: queries.override.age: must be an expression; without it nothing says how old a reading is",
        "live.yaml:10:11: targets[0].kind: 'Model' is not one of Deployment, StatefulSet, ReplicaSet; give its "
        "api_version, such as a.b/v1",
    ]


SECOND = """  - { model: assistant, version: v1, name: assistant-v1, replicas: { at_most: 3 } }
policy: {"""


def test_an_object_has_one_pool_and_a_pool_one_object() -> None:
    assert faults(FILE.replace("policy: {", SECOND)) == [
        "live.yaml:13:34: targets[1].version: 'assistant/v1' is targets[0] already; a version has one target",
        "live.yaml:13:44: targets[1].name: Deployment 'assistant-v1' is targets[0] already",
    ]


def test_targets_whose_series_cannot_be_told_apart_are_a_fault() -> None:
    other = SECOND.replace("v1, name: assistant-v1", "v2, name: other")
    text = FILE.replace("policy: {", other).replace(
        "preset: vllm", "preset: istio, labels: { destination_workload: x }"
    )
    (fault,) = faults(text)
    assert "targets[1]: has the labels of targets[0]" in fault


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("lease: { renew_s: 20 }", "lease: retry_s, renew_s and duration_s must ascend, got 2, 20, 15"),
        ("max_age_s: 5", "max_age_s: must not be below tick_s, 15 s, got 5"),
        ("mode: dream", "mode"),
    ],
)
def test_times_and_modes_that_cannot_be(wrong: str, told: str) -> None:
    (fault,) = faults(FILE + wrong + "\n")
    assert told in fault


def test_a_replica_count_has_bounds_that_ascend() -> None:
    (fault,) = faults(FILE.replace("at_least: 2", "at_least: 30"))
    assert "at_least, 30, must not exceed at_most, 20" in fault


def test_a_policy_that_the_targets_rule_out_is_a_fault_of_the_file() -> None:
    (fault,) = faults(FILE.replace("fcfs, wait_s: 3", "fixed, replicas: { v9: 3 }"))
    assert "'v9' is not the name of one pool" in fault


def test_few_targets_are_read_whole_and_many_only_as_the_policy_needs() -> None:
    many = [f"  - {{ model: m, version: v{i}, name: m-{i}, replicas: {{ at_most: 3 }} }}\n" for i in range(200)]
    text = FILE.replace("policy: { kind: fcfs, wait_s: 3 }", "".join(many) + "policy: { kind: fixed }")
    assert "wait_s" in parse(Config, FILE).reads
    assert parse(Config, text).reads == {"queued", "in_service"}
