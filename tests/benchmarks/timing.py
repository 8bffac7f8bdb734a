"""Taking times: CPU seconds of contenders in turn, and of processes of their own."""

import gc
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any


class NotHereError(Exception):
    """Something that cannot be measured on this machine, or with this version; says why."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a contender: requests completed, the CPU time that they took, and what it found."""

    requests: int
    cpu_s: float
    response_s: float
    """Mean response time."""

    @property
    def rate_per_s(self) -> float:
        """Requests a CPU second."""
        return self.requests / self.cpu_s


Contender = Callable[[int], Run]
"""Simulates about so many requests."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What some repetitions measured."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median(values), min(values), max(values))


def race(contenders: Mapping[str, Contender], cpu_s: float, repetitions: int) -> dict[str, list[Run]]:
    """Every contender's runs of about `cpu_s` each, in turn, so that what disturbs one disturbs the others too."""
    sizes = {name: size(contender, cpu_s) for name, contender in contenders.items()}
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for _ in range(repetitions):
        for name, contender in contenders.items():
            gc.collect()
            runs[name].append(contender(sizes[name]))
    return runs


SMALLEST = 1 << 11


def size(contender: Contender, cpu_s: float) -> int:
    """How many requests take about `cpu_s`, beside what every run costs, once everything is compiled and loaded."""
    always_s = min(contender(SMALLEST).cpu_s for _ in range(3))
    requests = 4 * SMALLEST
    while True:
        gc.collect()
        took_s = contender(requests).cpu_s - always_s
        if took_s >= cpu_s / 4:
            return max(SMALLEST, int(requests * cpu_s / took_s))
        requests = int(requests * min(32.0, 0.5 * cpu_s / max(took_s, 1e-9)))


@dataclass(frozen=True, slots=True)
class Process:
    """A finished process, its children included."""

    wall_s: float
    cpu_s: float
    output: str

    def json(self) -> Any:
        return json.loads(self.output)


def fresh(arguments: Sequence[str]) -> Process:
    """Run a new Python process to its end. Raises `RuntimeError` with what it complained of where it failed."""
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    wall_s, after = perf_counter() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Process(wall_s, cpu_s, done.stdout)
