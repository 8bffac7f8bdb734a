"""Which version a request goes to: a table of cumulated weights that a draw in [0, 1) falls into."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate


class Table:
    """The weights of one request class over a model's versions, in the model's order."""

    __slots__ = ("bounds",)

    def __init__(self, versions: Sequence[str], weights: Mapping[str, float]) -> None:
        shares = [weights.get(name, 0.0) for name in versions]
        total = sum(shares)
        bounds = [x / total for x in accumulate(shares)]
        last = max(i for i, share in enumerate(shares) if share > 0)
        # Rounding must not send a draw past the last version that has a share.
        self.bounds = [*bounds[:last], *[1.0] * (len(versions) - last)]
        """A draw below bounds[v], and not below the bound before, falls to version v."""

    def version(self, draw: float) -> int:
        return bisect_right(self.bounds, draw)
