"""Balancers: which replica of a pool a request is sent to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sim.ledger import Request
from sim.stations import Station

NEVER = -1


@dataclass(eq=False, slots=True)
class Replica:
    """One replica with a line of its own; what is open and ready may be chosen."""

    place: int
    station: Station
    open: bool = True
    ready: bool = False
    chosen: int = NEVER
    """How many choices its pool had made before this one was chosen last."""

    @property
    def outstanding(self) -> int:
        """Requests that wait there or are in service."""
        return self.station.outstanding


Balancer = Callable[[Sequence[Replica], Request, int], Replica]
"""One of these replicas, of which there is one at least, in order of place; given who is sent, and the place that was
chosen last in this pool, `NEVER` at first."""


def round_robin(replicas: Sequence[Replica], _request: Request, last: int) -> Replica:
    """The next in cyclic order of place, from place 0 on."""
    return next((replica for replica in replicas if replica.place > last), replicas[0])


def random(replicas: Sequence[Replica], request: Request, _last: int) -> Replica:
    return replicas[int(_draw(request) * len(replicas))]


def two_choices(replicas: Sequence[Replica], request: Request, _last: int) -> Replica:
    """The one of two different replicas with fewer requests, both from the one draw; the first of them if equal."""
    if len(replicas) == 1:
        return replicas[0]
    place = _draw(request) * len(replicas)
    a = int(place)
    b = int((place - a) * (len(replicas) - 1))
    b += b >= a
    return min(replicas[a], replicas[b], key=lambda replica: replica.outstanding)


def join_shortest_queue(replicas: Sequence[Replica], _request: Request, _last: int) -> Replica:
    """Fewest requests, waiting or in service; of these the first."""
    return min(replicas, key=lambda replica: replica.outstanding)


def least_outstanding(replicas: Sequence[Replica], _request: Request, _last: int) -> Replica:
    """Fewest requests, waiting or in service; of these the one chosen longest ago, never above all, then the first."""
    return min(replicas, key=lambda replica: (replica.outstanding, replica.chosen))


def _draw(request: Request) -> float:
    if request.balance is None:
        raise ValueError(f"request {request.number} brought no draw for the choice of a replica")
    return request.balance


BALANCERS: Mapping[str, Balancer] = {
    "round_robin": round_robin,
    "random": random,
    "two_choices": two_choices,
    "join_shortest_queue": join_shortest_queue,
    "least_outstanding": least_outstanding,
}
