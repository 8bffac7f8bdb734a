"""How many slots give each request class its due, where classes have a queue each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from policies.queues import GGC, NonPreemptive, PriorityClass, fewest
from policies.queues.priorities import mixture

SATURATED = 1.0 - 1e-6
"""Classes that may go without are taken to fill what others leave up to this utilization."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The requests of one class, and the share `quantile` of them that shall start within `wait_s`; None for any."""

    name: str
    load: PriorityClass
    wait_s: float | None = None
    quantile: float = 0.95
    priority: int = 0
    weight: float = 1.0

    def met(self, queue: NonPreemptive, position: int) -> bool:
        return self.wait_s is None or queue.wait_tail(position, self.wait_s) <= 1.0 - self.quantile


def slots_by_priority(claims: Sequence[Claim], upto: int, arrival_scv: float = 1.0, least: int = 0) -> int:
    """The fewest slots that meet the claims of priorities up to `upto`, non-preemptive; 0 where nothing arrives.

    Later classes are there too, but only as far as they do not overload the slots: they get what is left. Fewer than
    `least` are not looked at.
    """
    levels = [list(group) for _, group in groupby(sorted(claims, key=_priority), _priority)]
    asking = [(place, claim) for place, level in enumerate(levels) for claim in level if claim.priority <= upto]
    offered = sum(claim.load.offered for _, claim in asking)
    if offered <= 0.0:
        return 0
    # The last class is met last.
    asking.reverse()
    whole = tuple(map(_merged, levels))
    first = asking[0][0] + 1

    def meets(slots: int) -> bool:
        queue = NonPreemptive((*whole[:first], *_left(whole[first:], SATURATED * slots - offered)), slots, arrival_scv)
        return all(claim.met(queue, place) for place, claim in asking)

    return _fewest(meets, offered, least)


def slots_by_weight(claims: Sequence[Claim], arrival_scv: float = 1.0, least: int = 0) -> int:
    """Slots that meet every claim where classes are served in proportion to weights; 0 where nothing arrives.

    No formula for the tail of weighted queues is known. Two bounds are: a class has its share of the slots to itself
    at least, and waits at most as long as if all others went first. Each class gets the less of the two. Fewer than
    `least` are not looked at.
    """
    offered = sum(claim.load.offered for claim in claims)
    if offered <= 0.0:
        return 0
    asked = [claim for claim in claims if claim.load.offered > 0.0]
    weights = sum(claim.weight for claim in asked)

    def meets(slots: int) -> bool:
        return all(
            claim.met(_after(asked, claim, slots, arrival_scv), 1 if len(asked) > 1 else 0)
            or _alone(claim, int(slots * claim.weight / weights + 1e-9), arrival_scv)
            for claim in asked
        )

    return _fewest(meets, offered, least)


def _fewest(meets: Callable[[int], bool], offered: float, least: int) -> int:
    if least > offered and meets(least):
        return least
    return max(least, fewest(meets, offered, max(least, offered + offered**0.5)))


def _priority(claim: Claim) -> int:
    return claim.priority


def _merged(claims: Iterable[Claim]) -> PriorityClass:
    rate_per_s, service_s, service_scv = mixture([claim.load for claim in claims])
    return PriorityClass(rate_per_s, service_s, service_scv)


def _left(later: Sequence[PriorityClass], room: float) -> Iterator[PriorityClass]:
    """What is served of later classes by so many slots: the first of them go first here too."""
    for load in later:
        if load.offered <= room:
            yield load
        else:
            yield PriorityClass(max(0.0, room) / load.service_s, load.service_s, load.service_scv)
        room -= load.offered


def _after(claims: Sequence[Claim], last: Claim, slots: int, arrival_scv: float) -> NonPreemptive:
    """The queue in which a class goes after all others."""
    others = [claim for claim in claims if claim is not last]
    classes = (_merged(others), last.load) if others else (last.load,)
    return NonPreemptive(classes, slots, arrival_scv)


def _alone(claim: Claim, slots: int, arrival_scv: float) -> bool:
    """Whether a class would be served in time by so many slots of its own."""
    if claim.load.offered >= slots:
        return False
    queue = GGC(claim.load.rate_per_s, claim.load.service_s, slots, arrival_scv, claim.load.service_scv)
    return claim.wait_s is None or queue.wait_tail(claim.wait_s) <= 1.0 - claim.quantile
