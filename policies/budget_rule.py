"""How replicas that are short are shared out: by priority, then by need."""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

LEVELS = 1 << 20


@dataclass(frozen=True, slots=True)
class Claim:
    """What a pool has already, what it wishes, at least that, and what each more takes of each limit."""

    floor: int
    wish: int
    prices: tuple[int, ...]


def shared(claims: Sequence[Claim], room: Sequence[int], priority: Sequence[int] = ()) -> list[int]:
    """Replicas for each claim, from its floor to its wish, so that all above the floors fits into the room.

    First the claims that `priority` gives by position, each as far as there is room. Then one by one a replica for
    whoever lacks the largest share of its wish, of equals the first; who has no room for one more is out. There may
    be less than no room: then all have their floors.
    """
    given = [claim.floor for claim in claims]
    left = list(room)
    for i in priority:
        given[i] = _filled(claims[i], left)
        left = _less(left, claims[i], given[i] - claims[i].floor)
    rest = [i for i in range(len(claims)) if given[i] < claims[i].wish and i not in priority]
    for i, count in _by_need([claims[i] for i in rest], left):
        given[rest[i]] = count
    return given


def _filled(claim: Claim, left: Sequence[int]) -> int:
    fitting = (max(room, 0) // price for room, price in zip(left, claim.prices, strict=True) if price)
    return claim.floor + min(claim.wish - claim.floor, *fitting)


def _less(left: Sequence[int], claim: Claim, count: int) -> list[int]:
    return [room - count * price for room, price in zip(left, claim.prices, strict=True)]


def _by_need(claims: Sequence[Claim], room: Sequence[int]) -> list[tuple[int, int]]:
    """(Position, replicas) of each claim."""
    # Far down all at once, as long as it fits for all, then one by one.
    level = _least_level(claims, room)
    given = [_down_to(claim, level) for claim in claims]
    left = list(room)
    for claim, count in zip(claims, given, strict=True):
        left = _less(left, claim, count - claim.floor)
    needs = [(-_lack(claim, count), i) for i, (claim, count) in enumerate(zip(claims, given, strict=True))]
    heapify(needs)
    while needs:
        _, i = heappop(needs)
        after = _less(left, claims[i], 1)
        if given[i] < claims[i].wish and _fits(claims[i], after):
            left, given[i] = after, given[i] + 1
            heappush(needs, (-_lack(claims[i], given[i]), i))
    return list(enumerate(given))


def _lack(claim: Claim, count: int) -> float:
    return (claim.wish - count) / claim.wish


def _down_to(claim: Claim, level: int) -> int:
    """Replicas until no more than `level` of `LEVELS` of the wish is lacking before the next is given."""
    return max(claim.floor, claim.wish - level * claim.wish // LEVELS)


def _least_level(claims: Sequence[Claim], room: Sequence[int]) -> int:
    low, high = 0, LEVELS
    while low < high:
        level = (low + high) // 2
        if all(_taken(claims, level, k) <= max(room[k], 0) for k in range(len(room))):
            high = level
        else:
            low = level + 1
    return low


def _taken(claims: Sequence[Claim], level: int, limit: int) -> int:
    return sum((_down_to(claim, level) - claim.floor) * claim.prices[limit] for claim in claims)


def _fits(claim: Claim, after: Sequence[int]) -> bool:
    return all(room >= 0 for room, price in zip(after, claim.prices, strict=True) if price)
