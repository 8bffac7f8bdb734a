"""What is known of a pool before anything is seen: the facts that a policy may count on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTraits:
    """The version that a pool serves, its bounds, and what its replicas are like.

    `service_s` and `service_scv` (mean and squared coefficient of variation of one request's time in a slot) are
    prior knowledge, None where there is none; a policy that measures them prefers what it measures.
    """

    name: str
    model: str
    version: str
    at_least: int = 0
    at_most: int
    slots: int = 1
    startup_s: float = 0.0
    """Mean time from the wish for a replica to its being ready."""
    startup_p95_s: float = 0.0
    service_s: float | None = None
    service_scv: float | None = None
    cost_per_hour: float = 0.0
    quality: float | None = None


Pools = Mapping[str, PoolTraits]
"""Pool name -> traits."""


def known(named: Mapping[str, T], pools: Pools) -> dict[str, T]:
    """The same mapping with each key, a pool's name or a version's that only one pool has, made a pool's name.

    Raises `ValueError` for a name that no pool or more than one pool has.
    """
    return {_pool(name, pools): value for name, value in named.items()}


def _pool(name: str, pools: Pools) -> str:
    if name in pools:
        return name
    matches = [pool.name for pool in pools.values() if pool.version == name]
    if len(matches) == 1:
        return matches[0]
    found = f"it could be {' or '.join(matches)}" if matches else f"pools are {', '.join(pools)}"
    raise ValueError(f"{name!r} is not the name of one pool; {found}")


def check_qualities(floor: float | None, pools: Pools) -> None:
    """Raise `ValueError` where there is a quality floor and a version whose quality is not known."""
    unknown = [name for name, pool in pools.items() if pool.quality is None]
    if floor is not None and unknown:
        raise ValueError(f"quality is {floor:g}, but that of {', '.join(unknown)} is not known; give it")
