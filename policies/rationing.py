"""Who gets what of a budget that is too small for all."""

from collections.abc import Mapping, Sequence


def rationed(needs: Mapping[str, Sequence[int]], budget: int) -> dict[str, int]:
    """What each gets of `budget`: first all get their first need, then all their second, and so on.

    The needs of each ascend, and all have as many. Where a level is too much for what is left, what each lacks of it
    is cut in proportion, largest remainders first. The sum never exceeds the budget nor what is needed.
    """
    granted = dict.fromkeys(needs, 0)
    for level in range(max(map(len, needs.values()), default=0)):
        lacks = {name: max(0, steps[level] - granted[name]) for name, steps in needs.items()}
        left = budget - sum(granted.values())
        given = lacks if sum(lacks.values()) <= left else _shared(lacks, max(0, left))
        granted = {name: granted[name] + given[name] for name in needs}
        if given is not lacks:
            break
    return granted


def _shared(lacks: Mapping[str, int], left: int) -> dict[str, int]:
    total = sum(lacks.values())
    given = {name: lack * left // total for name, lack in lacks.items()}
    remainders = sorted(lacks, key=lambda name: (-(lacks[name] * left % total), name))
    for name in remainders[: left - sum(given.values())]:
        given[name] += 1
    return given
