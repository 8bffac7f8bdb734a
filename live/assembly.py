"""A daemon put together from its configuration, on any transports and any clock."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import TypeVar

from live.actuator import KubeActuator, RecommendingActuator, ShadowActuator, World, actuator
from live.board import Board, Leadership
from live.clock import Clock
from live.config import Config
from live.daemon import Daemon
from live.informer import Informer
from live.journal import JournalFile, header, remembered
from live.kube import ApiError, KubeApi, Ref, refs
from live.lease import KubeLease, new_identity
from live.owners import Owners
from live.prometheus import PrometheusApi
from live.sensor import PrometheusSensor
from live.tally import Tally
from live.telemetry import Telemetry, served
from live.transport import LostError, Transport
from policies.afresh import Afresh
from policies.faults import InputError
from policies.loop import ControlLoop

LOG = getLogger(__name__)
MEGABYTE = 1 << 20
LONGEST_TICKS = 4
"""Observations further apart, in ticks, are not counted upon: nobody knows what was in between."""
RETRY_S = 2.0

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Assembly:
    """A daemon and what works beside it. `close` it in the end."""

    daemon: Daemon
    journal: JournalFile
    informer: Informer
    owners: Owners
    lease: KubeLease | None
    """None where nothing is written to the cluster."""
    stopping: bool = False
    """From then on nothing more is written: what is in flight ends, what was to follow is dropped."""

    @property
    def works(self) -> Sequence[Callable[[], None]]:
        """What threads do until the clock stops."""
        lease = () if self.lease is None else (self.lease.run,)
        return (*lease, self.owners.run, *(reflector.run for reflector in self.informer.reflectors))

    def step(self) -> None:
        """One round of all that threads do, for those who keep time themselves."""
        if self.lease is not None:
            self.lease.step()
        self.informer.step()
        self.owners.step()

    @contextmanager
    def served(self) -> Iterator[int]:
        """The pages of the daemon over HTTP, at this port. Raises `InputError` where it cannot be had."""
        board = self.daemon.board
        telemetry = Telemetry(board, self.daemon.clock)
        self.daemon.watchers = (*self.daemon.watchers, lambda _turn, took_s: telemetry.turn_seconds.observe(took_s))
        with served(telemetry.page, board.config.telemetry.address, board.config.telemetry.port) as port:
            yield port

    def stop(self, clock_stops: Callable[[], None]) -> None:
        """End after the turn that runs, of which nothing more is written."""
        self.stopping = True
        clock_stops()

    def close(self) -> None:
        """Give up the lease, and the journal's file."""
        self.stopping = True
        self.daemon.close()
        self.journal.close()


def assemble(
    config: Config, kubernetes: Transport, prometheus: Transport, clock: Clock, dry_run: bool = False
) -> Assembly:
    """A daemon that remembers what its journal does. It waits for the API where it must ask it for the targets' kinds.

    Raises `InputError` for a journal, a policy or a target that cannot be used.
    """
    policy = _policy(config)
    kube = KubeApi(kubernetes, config.cluster.timeout_s)
    targets = _targets(config, kube, clock)
    informer = Informer(kube, targets, clock, config.max_age_s)
    owners = Owners(kube, targets, clock, config.owners == "if_listed")
    sensor = PrometheusSensor(config, PrometheusApi(prometheus, config.prometheus.timeout_s), informer, clock)
    identity = new_identity()
    lease = KubeLease(kube, config.lease, config.cluster.namespace, identity, clock) if writes(config) else None

    def may_write() -> bool:
        return lease is not None and lease.held() and not assembly.stopping

    world = World(lambda: sensor.shown, may_write, owners.keeps_off, sensor.since_read_s)
    hands = actuator(config, kube, targets, world, clock, dry_run)
    journal = _journal(config, clock)
    _recall(policy, config)
    board = _board(config, journal, clock, identity, dry_run)
    daemon = Daemon(
        loop=Daemon.guarding(ControlLoop(policy, sensor, hands, journal), clock, board),
        clock=clock,
        board=board,
        lease=lease,
        problems=_problems(sensor, informer, owners, lease, hands),
        synced=lambda: informer.synced and owners.listed and (lease is None or lease.holder is not None),
    )
    assembly = Assembly(daemon=daemon, journal=journal, informer=informer, owners=owners, lease=lease)
    return assembly


def writes(config: Config) -> bool:
    """Whether anything is ever written to the targets, so that there must be one leader."""
    return config.mode == "active" or (config.mode == "recommend" and config.recommend == "annotation")


def _policy(config: Config) -> Afresh:
    try:
        return Afresh.of(config.policy, config.pools)
    except ValueError as error:
        raise InputError(f"policy: {error}") from None


def _targets(config: Config, kube: KubeApi, clock: Clock) -> dict[str, Ref]:
    try:
        return _patiently(lambda: refs(config, kube), clock)
    except ValueError as error:
        raise InputError(f"targets: {error}") from None


def _patiently(ask: Callable[[], T], clock: Clock) -> T:
    """Raises `InputError` where the clock is stopped before there is an answer."""
    told = ""
    while True:
        try:
            return ask()
        except (ApiError, LostError) as error:
            if str(error) != told:
                LOG.warning("waits for the Kubernetes API: %s", error)
            told = str(error)
        if not clock.wait(RETRY_S):
            raise InputError(f"stopped before the Kubernetes API answered: {told}")


def _journal(config: Config, clock: Clock) -> JournalFile:
    spec = config.journal
    journal = JournalFile(Path(spec.path), lambda: header(config, clock.now_s()), spec.rotate_mb * MEGABYTE, spec.keep)
    journal.open()
    return journal


def _recall(policy: Afresh, config: Config) -> None:
    """Give the policy its memory back. What it decides on the way was done, or not, long ago."""
    seen = remembered(Path(config.journal.path), config.pools, policy.memory_s)
    try:
        for observation in seen:
            policy.decide(observation)
    except Exception:
        LOG.exception("the policy failed on what the journal remembers; it starts without the rest")
    if seen:
        LOG.info("remembers %d turn%s, %.0f s", len(seen), "s"[: len(seen) > 1], seen[-1].time_s - seen[0].time_s)


def _board(config: Config, journal: JournalFile, clock: Clock, identity: str, dry_run: bool) -> Board:
    response_s = config.slo.response_s if config.slo else None
    return Board(
        config=config,
        tally=Tally(config.pools, response_s, LONGEST_TICKS * config.tick_s),
        journal=journal,
        dry_run=dry_run,
        started_s=clock.now_s(),
        leadership=Leadership(identity, needed=writes(config)),
    )


def _problems(
    sensor: PrometheusSensor,
    informer: Informer,
    owners: Owners,
    lease: KubeLease | None,
    hands: KubeActuator | RecommendingActuator | ShadowActuator,
) -> Sequence[Callable[[], Mapping[str, str]]]:
    found: list[Callable[[], Mapping[str, str]]] = [
        lambda: sensor.problems,
        lambda: informer.problems,
        lambda: owners.problems,
        lambda: {pool: f"is scaled by {owner} as well" for pool, owner in owners.foreign.items()},
    ]
    if lease is not None:
        found.append(lambda: lease.problems)
    if not isinstance(hands, ShadowActuator):
        found.append(lambda: hands.problems)
    return found
