"""The arrivals of several pools of one model taken together."""

from collections.abc import Mapping

from policies.loads import Looking, Seen
from policies.observation import Flow, PoolReading
from policies.pool import PoolTraits
from policies.windows import Window


class Joint:
    """What was seen of all pools of a model as if they were one.

    Counters are added up where each pool has a new reading: a pool whose reading was lost would show as a dip.
    """

    def __init__(self, pools: Mapping[str, PoolTraits], looking: Looking) -> None:
        self.traits = _as_one(pools)
        self.whole = Seen(looking)
        self.each = {name: Window(looking.window_s) for name in pools}
        self._pools = pools
        self._taken_s: dict[str, float] = {}
        self._counters: dict[str, float] = {}
        self._arrived = 0.0

    def see(self, time_s: float, readings: Mapping[str, PoolReading]) -> PoolReading:
        """Take in the readings of all pools, and give them as one."""
        for name, reading in readings.items():
            self.each[name].take(time_s, reading.age_s, reading.total)
        taken_s = {name: time_s - r.age_s for name, r in readings.items() if r.age_s is not None}
        if len(taken_s) == len(self._pools) and all(t > self._taken_s.get(n, -1e300) for n, t in taken_s.items()):
            self._taken_s = taken_s
            self._add(readings)
        one = self._one(time_s, readings)
        self.whole.see(time_s, one, self.traits)
        return one

    def _add(self, readings: Mapping[str, PoolReading]) -> None:
        for name, reading in readings.items():
            after = reading.total.arrived_total
            if after is not None:
                before = self._counters.get(name, after)
                self._arrived += after - before if after >= before else after
                self._counters[name] = after

    def _one(self, time_s: float, readings: Mapping[str, PoolReading]) -> PoolReading:
        taken_s = min(self._taken_s.values(), default=None)
        arrived = self._arrived if len(self._counters) == len(self._pools) else None
        queued = [r.total.queued for r in readings.values() if r.total.queued is not None]
        return PoolReading(
            wanted=_sum([r.wanted for r in readings.values()]),
            starting=sum(r.starting or 0 for r in readings.values()),
            ready=_sum([r.ready for r in readings.values()]),
            age_s=None if taken_s is None else time_s - taken_s,
            total=Flow(arrived_total=arrived, queued=sum(queued) if len(queued) == len(readings) else None),
        )


def _as_one(pools: Mapping[str, PoolTraits]) -> PoolTraits:
    """A pool of single slots with the services of all, as stated, in the mean, and the longest start-up."""
    services = [pool.service_s for pool in pools.values() if pool.service_s is not None]
    return PoolTraits(
        name="",
        model=next(iter(pools.values())).model,
        version="",
        at_most=sum(pool.at_most for pool in pools.values()),
        startup_s=max(pool.startup_s for pool in pools.values()),
        startup_p95_s=max(pool.startup_p95_s for pool in pools.values()),
        service_s=sum(services) / len(services) if services else 1.0,
    )


def _sum(numbers: list[int | None]) -> int | None:
    known = [n for n in numbers if n is not None]
    return sum(known) if len(known) == len(numbers) else None
