"""Who runs against whom: groups of contenders that are measured in turn."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from cases import DENSE, SPARSE, Case
from limit import in_cpp
from ours import under_ticks, whole
from peers import in_ciw, in_simpy
from timing import Contender

from sim.world import Engine

SIMPY, CIW, CPP = "SimPy", "Ciw", "C++"
DENSE_PLANE, SPARSE_PLANE, SPARSE_WHOLE = "dense plane", "sparse plane", "sparse whole"

WORKED = Case(servers=10)
THREE = Case(servers=100, pools=3)
LARGE = Case(servers=1_000)
SIZES = tuple(Case(servers) for servers in (10, 100, 1_000, 10_000))


@dataclass(frozen=True, slots=True)
class Entrant:
    """A contender, and the case whose mean response time it must find."""

    case: Case
    run: Contender


def pools(case: Case, engine: Engine) -> Mapping[str, Entrant]:
    """Everybody who can simulate these pools."""
    contenders: dict[str, Contender] = {
        SIMPY: partial(in_simpy, case),
        CIW: partial(in_ciw, case),
        CPP: partial(in_cpp, case, per_tick=DENSE),
        DENSE_PLANE: partial(under_ticks, case, per_tick=DENSE, engine=engine),
        SPARSE_PLANE: partial(under_ticks, case, per_tick=SPARSE, engine=engine),
        SPARSE_WHOLE: partial(whole, case, per_tick=SPARSE, engine=engine),
    }
    return {name: Entrant(case, contender) for name, contender in contenders.items()}


def sizes(engine: Engine) -> Mapping[str, Entrant]:
    """The plane with ten servers and with ten thousand."""
    return {c.name: Entrant(c, partial(under_ticks, c, per_tick=DENSE, engine=engine)) for c in SIZES}


def groups(engine: Engine) -> Mapping[str, Mapping[str, Entrant]]:
    """Group -> name -> entrant."""
    return {c.name: pools(c, engine) for c in (WORKED, THREE, LARGE)} | {"sizes": sizes(engine)}
