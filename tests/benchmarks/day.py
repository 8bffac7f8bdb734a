"""A day of 86.4 million requests to one pool that a plain-Python policy scales; run in a process of its own.

python day.py ENGINE HORIZON_S      prints one JSON object
"""

import json
import resource
import sys
from pathlib import Path
from time import process_time

from ours import scenario_of

import sim
from sim.world import Engine

DAY_S = 86400.0
REQUESTS = 86.4e6
SERVICE_S = 0.105

SCENARIO = {
    "name": "a-day",
    "horizon_s": DAY_S,
    "slo": {"response_s": 0.5},
    "models": [
        {
            "name": "model",
            "versions": [
                {
                    "name": "v1",
                    "service": {"kind": "exponential", "mean_s": SERVICE_S},
                    "startup": {"kind": "constant", "value_s": 60.0},
                    "replicas": {"initial": 60, "at_most": 400},
                    "room": 1000,
                }
            ],
        }
    ],
    "traffic": [
        {
            "name": "users",
            "model": "model",
            "arrivals": {
                "kind": "diurnal",
                "mean_rate_per_s": REQUESTS / DAY_S,
                "peak_rate_per_s": 1630.0,
                "peak_at_s": DAY_S / 2,
            },
            "patience_s": {"kind": "constant", "value_s": 2.0},
        }
    ],
    "policy": {"kind": "target", "utilization": 0.7},
}


def main(engine: Engine, horizon_s: float) -> None:
    """Simulate the day, or the first seconds of it."""
    sim.simulate(scenario_of(SCENARIO | {"horizon_s": 1.0}), engine=engine)
    scenario = scenario_of(SCENARIO | {"horizon_s": horizon_s})
    began_s = process_time()
    result = sim.simulate(scenario, engine=engine)
    cpu_s, peak_bytes = process_time() - began_s, peak_rss_bytes()
    ready = result.pools["replicas_ready"]
    counts = result.figures.overall.requests
    found = {
        "horizon_s": horizon_s,
        "cpu_s": cpu_s,
        "peak_rss_bytes": peak_bytes,
        "arrived": counts.arrived,
        "completed": counts.completed,
        "response_s": result.figures.overall.response_s["mean"].value,
        "servers": [int(ready.min()), int(ready.max())],
    }
    print(json.dumps(found))


def peak_rss_bytes() -> int:
    """The most memory that this process ever had.

    Linux hands `ru_maxrss` on from the process that started this one, hence its own file comes first.
    """
    status = Path("/proc/self/status")
    if status.exists():
        kilobytes = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(kilobytes) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


if __name__ == "__main__":
    main("reference" if sys.argv[1] == "reference" else "plane", float(sys.argv[2]))
