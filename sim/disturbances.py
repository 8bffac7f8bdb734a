"""What goes wrong or is changed by plan while a run goes on: crashes of replicas, shifts of traffic."""

from collections.abc import Generator, Sequence

from simpy.events import Event

from sim.cluster import Cluster
from sim.environment import Environment, Phase
from sim.replicas import Replica, Replicas
from sim.scenario import Failures, RequestClass, Shift
from sim.streams import Stream


class Crashes:
    """Each ready replica of a pool crashes after a time drawn anew, and is repaired in its place."""

    def __init__(self, env: Environment, replicas: Replicas, failures: Failures, stream: Stream) -> None:
        self._env = env
        self._replicas = replicas
        self._failures = failures
        self._stream = stream
        replicas.on_start.append(self._begin)

    def _begin(self, replica: Replica) -> None:
        self._env.process(self._life(replica))

    def _life(self, replica: Replica) -> Generator[Event, None, None]:
        # A stream for each replica: what one suffers does not depend on how many others there are.
        own = self._stream / str(replica.birth)
        every = self._failures.every.sampler(own / "every")
        repair = self._failures.repair.sampler(own / "repair")
        while True:
            yield self._env.at(replica.ready_s + float(every(1)[0]), Phase.CHANGE)
            if not self._replicas.is_there(replica):
                return
            self._replicas.crash(replica, self._failures.on_crash, float(repair(1)[0]))


def shifting(
    env: Environment, cluster: Cluster, shifts: Sequence[Shift], classes: Sequence[tuple[int, RequestClass]]
) -> Generator[Event, None, None]:
    """A process that gives `classes` (number and class, of one model) new weights at their times."""
    for shift in sorted(shifts, key=lambda s: s.at_s):
        yield env.at(shift.at_s, Phase.CHANGE)
        for number, c in classes:
            if shift.request_class in (None, c.name):
                cluster.shift(number, shift.weights)
