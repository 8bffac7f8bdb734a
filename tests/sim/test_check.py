"""What the check of a scenario says of its queues, and which of their fields do not go together."""

import re
from pathlib import Path

import pytest

from policies.specfile import SpecError
from sim.check import checked

FILE = """
name: checked
horizon_s: 100
models:
  - name: m
    queue: QUEUE
    versions: [{ name: v1, slots: 4, service: { kind: constant, value_s: 2 }, replicas: { initial: 3 } }]
traffic:
  - { name: a, model: m, priority: RANK, arrivals: { kind: poisson, rate_per_s: 1 } }
  - { name: b, model: m, arrivals: { kind: poisson, rate_per_s: 1 } }
"""


@pytest.mark.parametrize(
    ("queue", "rank", "told"),
    [
        (
            "fcfs",
            2,
            ["m/v1: work for 4 slots on average, 12 at the start", "priority has no effect in m: its queue is fcfs"],
        ),
        ("priority", 2, ["m/v1: work for 4 slots on average, 12 at the start"]),
        (
            "mcq",
            0,
            [
                "m/v1: work for 4 slots on average, 12 at the start",
                "m serves first come, first: all its classes have priority 0",
            ],
        ),
        (
            "edf",
            0,
            [
                "m/v1: work for 4 slots on average, 12 at the start",
                "m serves first come, first: all its classes have the same deadline, or none",
            ],
        ),
        ("ps", 0, ["m/v1: work for 4 replicas on average, 3 at the start"]),
    ],
)
def test_what_has_no_effect_is_told(tmp_path: Path, queue: str, rank: int, told: list[str]) -> None:
    path = tmp_path / "checked.yaml"
    path.write_text(FILE.replace("QUEUE", queue).replace("RANK", str(rank)))
    assert [line.strip() for line in checked(path)][2:] == told


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ("mcq, weights: { z: 2 } }", "queue.weights.z: 'z' is no request class of this model"),
        ("gq\n    balancer: random", "balancer: queue gq is one for all replicas and leaves random nothing to balance"),
        ("fcfs\n    room: 3", "room: a model has room for one queue over all versions, gq; else give each version its"),
        ("gq\n    routing: { kind: recorded }", "routing: queue gq chooses versions itself; routing must be weighted"),
    ],
)
def test_what_does_not_go_together_is_a_fault(tmp_path: Path, fields: str, fault: str) -> None:
    path = tmp_path / "faulty.yaml"
    path.write_text(FILE.replace("RANK", "0").replace("QUEUE", fields.replace("mcq,", "{ kind: mcq,")))
    with pytest.raises(SpecError, match=re.escape(fault)):
        list(checked(path))


def test_a_version_has_no_room_of_its_own_before_one_queue_for_all(tmp_path: Path) -> None:
    path = tmp_path / "faulty.yaml"
    path.write_text(FILE.replace("RANK", "0").replace("QUEUE", "gq").replace("slots: 4", "room: 4"))
    with pytest.raises(SpecError, match="give the model `room` instead"):
        list(checked(path))


def test_what_only_the_reference_engine_can_simulate_is_told(tmp_path: Path) -> None:
    path = tmp_path / "slow.yaml"
    path.write_text(FILE.replace("RANK", "0").replace("QUEUE", "sjf\n    balancer: random"))
    assert any("choose the reference engine (--engine reference)" in line for line in checked(path))
    path.write_text(FILE.replace("RANK", "0").replace("QUEUE", "sjf"))
    assert not any("engine" in line for line in checked(path))
