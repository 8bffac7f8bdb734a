"""The same pools in C++, tuned: how fast one core can be."""

import atexit
import json
import subprocess
from functools import cache
from pathlib import Path
from shutil import rmtree, which
from tempfile import mkdtemp

from cases import RHO, SERVICE_S, Case
from timing import NotHereError, Run

FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=off")


def in_cpp(case: Case, requests: int, per_tick: int) -> Run:
    """`limit.cpp`, its counters read at every tick. Raises `NotHereError` where there is no g++."""
    numbers = (case.servers, case.pools, RHO, SERVICE_S, case.tick_s(per_tick), requests, 1)
    done = subprocess.run([_built(), *map(str, numbers)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return Run(found["completed"], found["cpu_s"], found["response_s"])


@cache
def _built() -> Path:
    compiler = which("g++")
    if compiler is None:
        raise NotHereError("no g++ here to build limit.cpp with")
    folder = Path(mkdtemp(prefix="poolwright-"))
    atexit.register(rmtree, folder)
    subprocess.run([compiler, *FLAGS, Path(__file__).with_name("limit.cpp"), "-o", folder / "limit"], check=True)
    return folder / "limit"
