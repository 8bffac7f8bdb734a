"""What one pool bore between two readings of it."""

from dataclasses import dataclass

from policies.observation import Flow, PoolReading

SAME_S = 1e-6
"""Readings this close together are one: the time of a reading comes from a difference of two clocks."""


@dataclass(frozen=True, slots=True)
class Between:
    """Requests in service, in the mean; requests queued, at both ends; arrivals per second. None where unknown.

    Of a first reading, which has none before it, there are only the gauges, and both ends are one.
    """

    start_s: float
    end_s: float
    in_service: float | None
    queued_before: float | None
    queued: float | None
    arrivals_per_s: float | None

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


class Follower:
    """Pairs each new reading of a pool with the one before."""

    def __init__(self) -> None:
        self._taken_s: float | None = None
        self._flow = Flow()

    def see(self, time_s: float, reading: PoolReading) -> Between | None:
        """What lies between the last reading and this one; None where this one is not new, or nothing was ever read."""
        if reading.age_s is None:
            return None
        before_s, taken_s = self._taken_s, time_s - reading.age_s
        if before_s is not None and taken_s <= before_s + SAME_S:
            return None
        before, self._taken_s, self._flow = self._flow, taken_s, reading.total
        if before_s is None:
            before, before_s = Flow(queued=reading.total.queued), taken_s
        return _between(before_s, before, taken_s, reading.total)


def _between(start_s: float, before: Flow, end_s: float, after: Flow) -> Between:
    length_s = end_s - start_s
    busy = _mean_growth(before.busy_s_total, after.busy_s_total, length_s)
    return Between(
        start_s=start_s,
        end_s=end_s,
        in_service=_middle(before.in_service, after.in_service) if busy is None else busy,
        queued_before=before.queued,
        queued=after.queued,
        arrivals_per_s=_mean_growth(before.arrived_total, after.arrived_total, length_s),
    )


def _mean_growth(before: float | None, after: float | None, length_s: float) -> float | None:
    """A counter's growth in a second; one that went back was restarted from zero."""
    if before is None or after is None or length_s <= 0:
        return None
    return (after - before if after >= before else after) / length_s


def _middle(before: float | None, after: float | None) -> float | None:
    return after if before is None or after is None else (before + after) / 2
