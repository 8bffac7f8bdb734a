"""The table: every row with its floor and its aims."""

from cases import Case
from clocks import day_mb, day_s, start_s, two_cores
from contenders import (
    CIW,
    CPP,
    DENSE_PLANE,
    LARGE,
    SIMPY,
    SIZES,
    SPARSE_PLANE,
    SPARSE_WHOLE,
    THREE,
    WORKED,
)
from disciplines import Discipline
from findings import Row
from measuring import Rate

SMALLEST, LARGEST = SIZES[0].name, SIZES[-1].name
DISCIPLINES = {
    "priority": Discipline((("queue", "priority"),)),
    "shortest job first": Discipline((("queue", "sjf"),)),
    "join the shortest queue": Discipline((("balancer", "join_shortest_queue"),)),
    "processor sharing": Discipline((("queue", "ps"),)),
}
GUARD = (4, 6)
"""A loop compiled to branches where it was to exchange by mask is several times slower, the more the more servers."""


def _against(number: int, peer: str, case: Case, floor: float, *aims: float) -> Row:
    what = f"plane to {peer}, {case.name}, dense"
    return Row(number, what, Rate(case.name, DENSE_PLANE, peer), floor, aims)


def _sparse(case: Case, who: str, words: str) -> Row:
    what = f"{words} to SimPy, {case.name}, sparse"
    return Row(2, what, Rate(case.name, who, SIMPY), 35, (60, 100))


def _share(case: Case) -> Row:
    what = f"plane to C++, {case.name}, dense"
    return Row(4, what, Rate(case.name, DENSE_PLANE, CPP), 0.55, (0.75, 0.9))


def _engines(name: str, discipline: Discipline) -> Row:
    return Row(9, f"plane to reference, {name}", discipline, 100, ())


ROWS = (
    _against(1, SIMPY, WORKED, 200, 400, 500),
    _against(1, SIMPY, THREE, 200, 400, 500),
    *(_sparse(case, SPARSE_PLANE, "plane") for case in (WORKED, THREE)),
    *(_sparse(case, SPARSE_WHOLE, "whole product") for case in (WORKED, THREE)),
    _against(3, CIW, WORKED, 400, 800),
    _against(3, CIW, THREE, 800, 1500),
    *(_share(case) for case in (WORKED, THREE, LARGE)),
    Row(5, "a day of 86.4 M requests, one pool, scaled", day_s, 10, (5, 3), "s", False),
    Row(5, "the same, peak memory", day_mb, 200, (), "MB", False),
    Row(6, "cost a request, c = 10,000 to c = 10", Rate("sizes", SMALLEST, LARGEST), 2.5, (2,), "x", False),
    Row(7, "command start to first result", start_s, 1.2, (0.6,), "s", False),
    Row(8, "two replications on two cores to one", two_cores, 1.8, (1.95,)),
    *(_engines(name, discipline) for name, discipline in DISCIPLINES.items()),
)
