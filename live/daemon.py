"""The driver of the loop on a clock: a turn each tick, whatever goes wrong in one, until it is told to stop."""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from logging import getLogger
from math import floor
from signal import SIGINT, SIGTERM, Signals, signal
from threading import Thread
from typing import Protocol

from live.board import Board, Leadership, is_fault
from live.clock import Clock
from policies.decision import Decision
from policies.loop import Action, Actuator, ControlLoop, Turn
from policies.observation import Observation
from policies.policy import Policy, Readings

LOG = getLogger(__name__)
SYNC_S = 0.05
"""How often, before the first turn, one looks whether the cluster has been read."""

AGAIN_S = 1.0
"""Before a thread that failed begins again."""


class Lease(Protocol):
    @property
    def identity(self) -> str: ...

    @property
    def holder(self) -> str | None:
        """Who holds it, as last read; None where nobody does, or it is unknown."""
        ...

    def held(self) -> bool:
        """Whether it is certainly ours, now."""
        ...

    def release(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Guarded:
    """A policy and an actuator of which a fault costs one turn what it wanted, and never the loop or the journal."""

    policy: Policy
    actuator: Actuator
    failed: Callable[[str, Exception], None]

    @property
    def readings(self) -> Readings:
        return self.policy.readings

    @property
    def memory_s(self) -> float:
        return self.policy.memory_s

    def decide(self, observation: Observation, /) -> Decision:
        try:
            return self.policy.decide(observation)
        except Exception as error:
            self.failed("policy", error)
            return Decision(kept=dict.fromkeys(observation.pools, f"the policy failed: {_words(error)}"))

    def apply(self, decision: Decision) -> Mapping[str, Action]:
        try:
            return self.actuator.apply(decision)
        except Exception as error:
            # What was written before the fault is seen at the next turn.
            self.failed("actuator", error)
            return {pool: Action(None, None, f"the actuator failed: {_words(error)}") for pool in decision.targets}


@dataclass(slots=True, kw_only=True)
class Daemon:
    """One daemon: `turn` for those who keep time themselves, `run` for those who have a clock.

    A daemon without the lease reads, decides and journals all the same, so that its policy's windows are full when
    it takes over, and its journal is its own policy's whole memory; the actuator refuses each of its writes.
    """

    loop: ControlLoop
    clock: Clock
    board: Board
    lease: Lease | None = None
    """None where nothing is ever written."""
    problems: Sequence[Callable[[], Mapping[str, str]]] = ()
    """Each says what is wrong right now: where -> what."""
    synced: Callable[[], bool] = lambda: True
    """Whether the cluster has been read once; the first turn waits a tick for it, no longer."""
    watchers: Sequence[Callable[[Turn, float], None]] = ()
    """Told of each turn, and how long it took in seconds."""
    _was_held: bool = field(default=False, init=False)

    @classmethod
    def guarding(cls, loop: ControlLoop, clock: Clock, board: Board) -> "ControlLoop":
        """The same loop, of which no fault of policy or actuator leaves."""

        def failed(where: str, error: Exception) -> None:
            if board.failed(where, _words(error), clock.now_s()):
                LOG.error("the %s failed", where, exc_info=error)

        guarded = Guarded(loop.policy, loop.actuator, failed)
        return ControlLoop(guarded, loop.sensor, guarded, loop.journal)

    def turn(self) -> Turn | None:
        """One turn, seen by the board; None where it broke off."""
        with _unswept():
            return self._turn()

    def _turn(self) -> Turn | None:
        began_s = self.clock.monotonic_s()
        self._lead()
        try:
            turn = self.loop.tick()
        except Exception as error:
            self.board.alive_s = self.clock.monotonic_s()
            self._failed("turn", _words(error), error)
            return None
        ended_s = self.clock.monotonic_s()
        self._lead()
        self.board.turned(turn, ended_s - began_s, ended_s)
        for watcher in self.watchers:
            watcher(turn, ended_s - began_s)
        self._tell(turn)
        return turn

    def run(self) -> None:
        """Turn at each multiple of the tick until the clock is stopped, then give up the lease.

        A tick that comes while a turn still runs is left out.
        """
        try:
            self.sync()
            self.board.alive_s = began_s = self.clock.monotonic_s()
            tick_s, due = self.board.config.tick_s, 0
            while True:
                self.turn()
                last, due = due, floor((self.clock.monotonic_s() - began_s) / tick_s) + 1
                self.board.skipped_total += due - last - 1
                if not self.clock.wait(began_s + due * tick_s - self.clock.monotonic_s()):
                    return
        finally:
            self.close()

    def close(self) -> None:
        """Let another lead."""
        if self.lease is not None:
            self.lease.release()
        self._lead()

    def sync(self) -> None:
        """Wait until the cluster has been read once, a tick at the most."""
        until_s = self.clock.monotonic_s() + self.board.config.tick_s
        while not self.synced() and self.clock.monotonic_s() < until_s and self.clock.wait(SYNC_S):
            pass

    def _lead(self) -> None:
        if self.lease is None:
            return
        held = self.lease.held()
        if held != self._was_held:
            LOG.info("leads now" if held else "leads no more", extra={"identity": self.lease.identity})
        self._was_held = held
        self.board.leadership = Leadership(self.lease.identity, held, self.lease.holder)

    def _tell(self, turn: Turn) -> None:
        for pool, action in turn.actions.items():
            if action.error is None:
                told = {"pool": pool, "before": action.before, "after": action.after}
                LOG.info("scaled", extra=told | {"because": str(turn.decision.reasons[pool])})
        for where, what in _refusals(turn.actions):
            self._failed(where, what)
        for problems in self.problems:
            for where, what in problems().items():
                self._failed(where, what)

    def _failed(self, where: str, what: str, error: Exception | None = None) -> None:
        """Tell a fault once; the board counts how often it comes again."""
        if self.board.failed(where, what, self.clock.now_s()):
            LOG.error("%s: %s", where, what, exc_info=error)


def _refusals(actions: Mapping[str, Action]) -> Iterable[tuple[str, str]]:
    """Why writes were refused, each reason once, with the pools that it hit."""
    hit: dict[str, list[str]] = {}
    for pool, action in actions.items():
        if action.error is not None and is_fault(action):
            hit.setdefault(action.error, []).append(pool)
    for error, pools in hit.items():
        more = f" and {len(pools) - 1} more" if len(pools) > 1 else ""
        yield "write", f"{pools[0]}{more}: {error}"


@contextmanager
def _unswept() -> Iterator[None]:
    """A turn makes very many objects and no cycles: the search for these waits until it is over."""
    swept = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if swept:
            gc.enable()


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT stop in good order; a second one ends the process as it always would."""
    signals = (SIGTERM, SIGINT)

    def stopped(number: int, _frame: object) -> None:
        signal(number, before[Signals(number)])
        LOG.info("stops: %s", Signals(number).name)
        stop()

    before = {number: signal(number, stopped) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal(number, handler)


def background(works: Iterable[Callable[[], None]], clock: Clock, board: Board) -> None:
    """Run each in a thread that ends with the process; one that fails is told and begun again."""
    for work in works:
        Thread(target=_lasting, args=(work, clock, board), name="background", daemon=True).start()


def _lasting(work: Callable[[], None], clock: Clock, board: Board) -> None:
    while True:
        try:
            work()
            return
        except Exception as error:
            if board.failed("background", _words(error), clock.now_s()):
                LOG.error("a thread failed and begins again", exc_info=error)
        if not clock.wait(AGAIN_S):
            return


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
