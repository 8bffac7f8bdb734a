"""Linear programs in whole numbers, solved exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf


@dataclass(slots=True)
class Program:
    """Find numbers within bounds that meet linear constraints at least cost; built up variable by variable."""

    _cost: list[float] = field(default_factory=list)
    _bounds: list[tuple[float, float]] = field(default_factory=list)
    _whole: list[bool] = field(default_factory=list)
    _rows: list[tuple[Mapping[int, float], float, float]] = field(default_factory=list)

    def variable(self, cost: float, low: float, high: float, whole: bool = True) -> int:
        """The number by which `constrain` and the solution know it."""
        self._cost.append(cost)
        self._bounds.append((low, high))
        self._whole.append(whole)
        return len(self._cost) - 1

    def constrain(self, weights: Mapping[int, float], low: float = -inf, high: float = inf) -> None:
        """The weighted sum of these variables lies in low..high."""
        self._rows.append((weights, low, high))

    def solve(self) -> list[float] | None:
        """The cheapest values, those of whole variables rounded; None where there are none."""
        import numpy as np
        from scipy.optimize import Bounds, LinearConstraint, milp

        rows = np.zeros((len(self._rows), len(self._cost)))
        for row, (weights, _, _) in zip(rows, self._rows, strict=True):
            row[list(weights)] = list(weights.values())
        low, high = zip(*self._bounds, strict=True)
        found = milp(
            np.array(self._cost),
            integrality=np.array(self._whole, dtype=int),
            bounds=Bounds(low, high),
            constraints=LinearConstraint(rows, [r[1] for r in self._rows], [r[2] for r in self._rows]),
            options={"mip_rel_gap": 0.0},
        )
        if found.x is None:
            return None
        return [float(round(x)) if whole else float(x) for x, whole in zip(found.x, self._whole, strict=True)]


def fewer_first(costs: Sequence[float]) -> float:
    """A cost for each replica, so small that it decides only between plans of the same cost."""
    dearest = max(costs, default=0.0)
    return 1e-6 * dearest if dearest > 0.0 else 1.0
