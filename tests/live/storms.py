"""What goes wrong in a storm: all of it drawn from one seed, and over when the calm begins."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from storm_world import AT_MOST, GRACE_S, KINDS, SCALERS, STORM_S, StormWorld, workload

from live.twin import faults
from live.twin.faults import Rule
from live.twin.front import DirectTransport, Front
from live.twin.pods import Trouble

TROUBLES: tuple[Trouble, ...] = ("ImagePullBackOff", "CrashLoopBackOff", "Unschedulable")


@dataclass
class Storm:
    """Everything that happens to a world from without."""

    world: StormWorld

    def __post_init__(self) -> None:
        world, draw = self.world, self.world.generator
        self.calm = DirectTransport(Front(world.twin.api, world.clock))
        world.twin.weather.rules = self._weather(faults.storm(draw, STORM_S, int(draw.integers(0, 9))))
        world.twin.queries.rules = faults.drought(draw, STORM_S, int(draw.integers(0, 6)))
        for _ in range(int(draw.integers(2, 9))):
            what = MISHAPS[draw.integers(len(MISHAPS))]
            self._at(float(draw.uniform(0.0, STORM_S - 100.0)), partial(what, self, draw))
        self.people()
        self._at(STORM_S, self.over)

    def people(self) -> None:
        """Mostly two daemons of which one leads, sometimes one; now and then another that only looks."""
        draw = self.world.generator
        self.world.start("a")
        if draw.random() < 0.7:
            self._at(float(draw.uniform(0.0, 60.0)), lambda: self.world.start("b"))
        if draw.random() < 0.1:
            self._at(float(draw.uniform(0.0, 60.0)), lambda: self.world.start("shadow", "shadow"))

    def over(self) -> None:
        """All is mended, by whoever mends things."""
        twin = self.world.twin
        twin.trouble.clear()
        twin.scraping = True
        self.world.clock.jumped_s = 0.0
        twin.weather.rules = twin.queries.rules = ()
        for name in KINDS:
            self.restore(name)
            self.calm.send("DELETE", f"{SCALERS}/{name}")

    def restore(self, name: str) -> None:
        if self.world.in_force(name) is None:
            self.world.twin.deploy(workload(name))

    def _weather(self, rules: list[Rule]) -> list[Rule]:
        """Sometimes nothing answers for minutes."""
        draw = self.world.generator
        if draw.random() < 0.3:
            begin_s = float(draw.uniform(0.0, STORM_S - 200.0))
            rules.insert(0, Rule(faults.Lost(), begin_s, begin_s + float(draw.uniform(30.0, 200.0))))
        return rules

    def _at(self, elapsed_s: float, call: Callable[[], Any]) -> None:
        self.world.clock.later(elapsed_s - self.world.clock.monotonic_s(), call)

    def later(self, draw: np.random.Generator, most_s: float, call: Callable[[], Any]) -> None:
        self.world.clock.later(float(draw.uniform(1.0, most_s)), call)


Draw = np.random.Generator


def _named(draw: Draw) -> str:
    return str(draw.choice(list(KINDS)))


def clock_jumps(storm: Storm, draw: Draw) -> None:
    storm.world.clock.jump(float(draw.choice([-3600.0, -90.0, -20.0, 20.0, 90.0, 3600.0])))


def somebody_scales(storm: Storm, draw: Draw) -> None:
    name = _named(draw)
    if storm.world.in_force(name) is not None:
        storm.world.twin.meddle(storm.world.keys[name], int(draw.integers(1, AT_MOST + 3)))


def an_autoscaler_comes_and_goes(storm: Storm, draw: Draw) -> None:
    name = _named(draw)
    target = {"apiVersion": "apps/v1", "kind": KINDS[name], "name": name}
    storm.calm.send(
        "POST", SCALERS, body={"metadata": {"name": name}, "spec": {"scaleTargetRef": target, "maxReplicas": 9}}
    )
    storm.later(draw, 300.0, lambda: storm.calm.send("DELETE", f"{SCALERS}/{name}"))


def a_target_is_made_anew(storm: Storm, draw: Draw) -> None:
    name = _named(draw)
    plural = KINDS[name].lower() + "s"
    storm.calm.send("DELETE", f"/apis/apps/v1/namespaces/default/{plural}/{name}")
    storm.later(draw, 120.0, lambda: storm.restore(name))


def pods_do_not_start(storm: Storm, draw: Draw) -> None:
    key = storm.world.keys[_named(draw)]
    storm.world.twin.trouble[key] = TROUBLES[draw.integers(len(TROUBLES))]
    storm.later(draw, 200.0, lambda: storm.world.twin.trouble.pop(key, None))


def counters_begin_anew(storm: Storm, draw: Draw) -> None:
    storm.world.twin.loads[storm.world.keys[_named(draw)]].reset()


def nothing_is_scraped(storm: Storm, draw: Draw) -> None:
    storm.world.twin.scraping = False

    def again() -> None:
        storm.world.twin.scraping = True

    storm.later(draw, 200.0, again)


def the_past_is_forgotten(storm: Storm, draw: Draw) -> None:
    del draw
    storm.world.twin.compact()


def a_daemon_is_killed(storm: Storm, draw: Draw) -> None:
    if alive := storm.world.alive():
        process = alive[draw.integers(len(alive))]
        process.kill(torn=int(draw.choice([0, 1, 12, 24])))
        storm.later(draw, 60.0, lambda: storm.world.start(process.name, process.mode))


def a_daemon_is_told_to_stop(storm: Storm, draw: Draw) -> None:
    if alive := storm.world.alive():
        process = alive[draw.integers(len(alive))]
        storm.world.clock.later(GRACE_S + 5.0, lambda: storm.world.start(process.name, process.mode))
        process.terminate()


MISHAPS: tuple[Callable[[Storm, Draw], None], ...] = (
    clock_jumps,
    somebody_scales,
    an_autoscaler_comes_and_goes,
    a_target_is_made_anew,
    pods_do_not_start,
    counters_begin_anew,
    nothing_is_scraped,
    the_past_is_forgotten,
    a_daemon_is_killed,
    a_daemon_is_killed,
    a_daemon_is_told_to_stop,
)
