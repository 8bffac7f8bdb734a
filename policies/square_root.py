"""Square-root staffing of what is seen: the slots that the load keeps busy, and a safety of beta times its root."""

from dataclasses import dataclass, field
from math import ceil
from typing import Literal

from pydantic.dataclasses import dataclass as checked

from policies.decision import Decision, Reason
from policies.loads import measured_service
from policies.observation import Observation, PoolReading
from policies.policy import Readings
from policies.pool import Pools, PoolTraits
from policies.queues.squareroot import servers
from policies.spec import STRICT, NonNegative, PositiveSeconds
from policies.windows import Window


@checked(frozen=True, kw_only=True, config=STRICT)
class SquareRootSpec:
    """Keep load + beta sqrt(load) slots, the load in slots being arrivals a second times the mean service time."""

    kind: Literal["square_root"] = "square_root"
    beta: NonNegative = 1.0
    """Safety: at 0.5, 1 and 2 about half, a fifth and one in fifty requests wait, where the load is steady."""
    window_s: PositiveSeconds = 300.0
    """Arrivals, and service times where enough end in it, are taken from this much of the past."""

    def build(self, pools: Pools) -> "SquareRoot":
        return SquareRoot(pools, self)


@dataclass(slots=True)
class SquareRoot:
    """Law: the more arrive in the window, and the longer they take, the more replicas.

    It neither looks ahead nor counts a backlog, but for one replica where requests wait before none.
    """

    pools: Pools
    spec: SquareRootSpec
    readings: Readings = Readings(
        needed=frozenset({"arrived_total"}),
        assumed={
            "service_s": "the service time stated for the version",
            "queued": "nobody waits where there are no replicas",
        },
    )
    _windows: dict[str, Window] = field(default_factory=dict, init=False)

    @property
    def memory_s(self) -> float:
        return 2 * self.spec.window_s

    def decide(self, observation: Observation, /) -> Decision:
        return Decision.of({name: self._wish(name, observation) for name in self.pools if name in observation.pools})

    def _wish(self, name: str, observation: Observation) -> Reason | str:
        pool, reading = self.pools[name], observation.pools[name]
        window = self._windows.setdefault(name, Window(self.spec.window_s))
        is_new = window.see(observation, name) and reading.total.arrived_total is not None
        rate_per_s, service = window.rate_per_s("arrived_total"), measured_service(pool, window)
        if rate_per_s is None:
            return "arrived_total was not read twice in the window"
        if service is None:
            return "no service time is known: too few were seen and none is stated for the version"
        wish = self._staffed(pool, rate_per_s, service[0])
        if reading.total.queued and wish.wish == 0:
            wish = wish.limited("cold start", 1, "requests are waiting")
        return self._held(wish, reading, window, is_new)

    def _staffed(self, pool: PoolTraits, rate_per_s: float, service_s: float) -> Reason:
        offered = max(rate_per_s, 0.0) * service_s
        slots = servers(offered, self.spec.beta)
        words = f"{rate_per_s:.3g} arrivals/s x {service_s:.3g} s = {offered:.3g} slots busy, and {self.spec.beta:g} "
        return Reason(ceil(slots / pool.slots), words + f"times its root: {slots} slots")

    def _held(self, wish: Reason, reading: PoolReading, window: Window, is_new: bool) -> Reason | str:
        """No shrinking on a reading that was seen before, nor on the evidence of less than half a window."""
        enough = window.covered_s >= self.spec.window_s / 2
        if (is_new and enough) or (reading.wanted is not None and wish.final >= reading.wanted):
            return wish
        why = f"only {window.covered_s:.0f} s were seen" if is_new else "no new reading"
        if reading.wanted is None:
            return f"{why}, and it is not known how many replicas are wanted"
        return wish.limited("evidence", reading.wanted, why)
