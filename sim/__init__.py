"""A discrete-event simulator of multi-version replica pools.

result = sim.simulate(sim.load("scenarios/customer-service.yaml"))
result.pools, result.summary, result.decisions      # tidy pandas tables

comparison = sim.compare(result.scenario, ["scenarios/policies/hpa.yaml", "scenarios/policies/kpa.yaml"])
comparison.verdicts, comparison.tables, comparison.plot_frontier()

seen = sim.read_journal("journal.jsonl")            # what a live daemon saw, as the same tables
sim.replay("journal.jsonl").differences
made = sim.scenario_from_journal("journal.jsonl")
sim.simulate(made.scenario)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.comparing import compare
    from sim.comparison import Comparison
    from sim.from_journal import scenario_from_journal
    from sim.recorded import read_journal
    from sim.recording import write_journal
    from sim.replaying import Replay, replay
    from sim.result import Result, read
    from sim.run import simulate
    from sim.scenario import Scenario, load

__all__ = [
    "Comparison",
    "Replay",
    "Result",
    "Scenario",
    "compare",
    "load",
    "read",
    "read_journal",
    "replay",
    "scenario_from_journal",
    "simulate",
    "write_journal",
]

_WHERE = {"Result": "sim.result", "Scenario": "sim.scenario", "load": "sim.scenario", "read": "sim.result"}
_WHERE |= {"simulate": "sim.run", "compare": "sim.comparing", "Comparison": "sim.comparison"}
_WHERE |= {"read_journal": "sim.recorded", "scenario_from_journal": "sim.from_journal"}
_WHERE |= {"Replay": "sim.replaying", "replay": "sim.replaying", "write_journal": "sim.recording"}


def __getattr__(name: str) -> object:
    # What is public loads when it is used: `poolwright --help` must not wait for NumPy.
    if name not in _WHERE:
        raise AttributeError(f"module 'sim' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
