"""A discrete-event simulator of multi-version replica pools.

result = sim.simulate(sim.load("scenarios/customer-service.yaml"))
result.pools, result.summary, result.decisions      # tidy pandas tables
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.result import Result, read
    from sim.run import simulate
    from sim.scenario import Scenario, load

__all__ = ["Result", "Scenario", "load", "read", "simulate"]

_WHERE = {"Result": "sim.result", "Scenario": "sim.scenario", "load": "sim.scenario", "read": "sim.result"}
_WHERE |= {"simulate": "sim.run"}


def __getattr__(name: str) -> object:
    # What is public loads when it is used: `poolwright --help` must not wait for NumPy.
    if name not in _WHERE:
        raise AttributeError(f"module 'sim' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
