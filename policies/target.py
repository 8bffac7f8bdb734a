"""Scale in proportion to utilisation: the rule that most autoscalers start from."""

from dataclasses import dataclass, field
from math import ceil
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from policies.decision import Decision, Reason
from policies.observation import Observation, PoolReading
from policies.policy import Readings
from policies.pool import Pools, PoolTraits
from policies.spec import STRICT, Fraction, PositiveSeconds
from policies.windows import Window


@checked(frozen=True, kw_only=True, config=STRICT)
class TargetSpec:
    """Keep a share of the slots busy."""

    kind: Literal["target"] = "target"
    utilization: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Busy slots over slots of ready replicas."""
    window_s: PositiveSeconds = 60.0
    """Utilisation is a mean over this time."""
    tolerance: Fraction = 0.1
    """No change while utilisation over target is this close to 1."""

    def build(self, pools: Pools) -> "Target":
        return Target(pools, self.utilization, self.window_s, self.tolerance)


@dataclass(slots=True)
class Target:
    """ceil(busy slots / (slots a replica * target)), unless utilisation over target is within the tolerance of 1.

    Never shrinks while replicas are starting, and starts one where requests wait before none.
    """

    pools: Pools
    utilization: float
    window_s: float
    tolerance: float
    readings: Readings = Readings(
        needed=frozenset({"busy_s_total"}),
        assumed={"ready": "as many replicas ready as are wanted"},
    )
    _windows: dict[str, Window] = field(default_factory=dict, init=False)

    @property
    def memory_s(self) -> float:
        return 2 * self.window_s

    def decide(self, observation: Observation, /) -> Decision:
        return Decision.of({name: self._wish(name, observation) for name in self.pools if name in observation.pools})

    def _wish(self, name: str, observation: Observation) -> Reason | str:
        window = self._windows.setdefault(name, Window(self.window_s))
        window.see(observation, name)
        busy = window.rate_per_s("busy_s_total")
        if busy is None:
            return "busy_s_total was not read twice yet"
        return self._size(self.pools[name], observation.pools[name], busy)

    def _size(self, pool: PoolTraits, reading: PoolReading, busy: float) -> Reason:
        ready = reading.wanted if reading.ready is None else reading.ready
        used = f"{busy:.2f} slots busy over {self.window_s:g} s"
        if ready and reading.wanted == ready:
            ratio = busy / (ready * pool.slots) / self.utilization
            if abs(ratio - 1) <= self.tolerance:
                return Reason(ready, f"{used}, {ratio:.2f} of the target: within the tolerance")
        wish = ceil(busy / (pool.slots * self.utilization) - 1e-9)
        reason = Reason(wish, f"{used} / ({pool.slots} slots a replica x {self.utilization:g})")
        if reading.starting and reading.wanted is not None and wish < reading.wanted:
            # Replicas that cannot be busy yet say nothing of how many are needed.
            return reason.limited("start-up", reading.wanted, f"{reading.starting} replicas are still starting")
        return reason.limited("cold start", max(wish, 1), "requests are waiting") if reading.total.queued else reason
