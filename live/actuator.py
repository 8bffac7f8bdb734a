"""The `Actuator` port on a real cluster: few writes, each with the lease in hand and from what is known to be so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf

from live.clock import Clock
from live.config import ASKED, Config
from live.kube import ApiError, KubeApi, Ref, Resource, Scale
from live.transport import LostError
from policies.decision import Decision, Reason
from policies.loop import Action
from policies.observation import Observation
from policies.policy import Readings
from policies.pool import Pools

ATTEMPTS = 3
"""So often a write is tried against conflicts of which none concerns the replicas."""
ANNOTATIONS = ("poolwright/recommended-replicas", "poolwright/because")
LONGEST_WORDS = 1000


@dataclass(frozen=True, slots=True)
class World:
    """What is known outside of a decision; each is asked right before it matters."""

    shown: Callable[[], Observation | None]
    """What was decided upon."""
    may_write: Callable[[], bool]
    """Whether the lease is certainly held."""
    keeps_off: Callable[[str], str | None]
    """Why another may scale a pool; None where it is known that none does."""
    since_s: Callable[[], float] = lambda: 0.0
    """How long ago that was which was shown."""


class RefusedError(Exception):
    """A write that does not take place, and why."""


@dataclass(slots=True)
class ShadowActuator:
    """Writes nothing, and says of nothing that it was done."""

    def apply(self, _decision: Decision, /) -> Mapping[str, Action]:
        return {}


@dataclass(slots=True)
class KubeActuator:
    """Writes replicas through the scale subresource.

    Laws: no write without the lease, out of the bounds, on a pool that another scales or may
    scale, upon a count that has changed
    since it was decided on; none that shrinks a pool whose metrics are unknown or older than `max_age_s`.
    """

    kube: KubeApi
    targets: Mapping[str, Ref]
    pools: Pools
    world: World
    clock: Clock
    max_age_s: float
    measured: bool = True
    """Whether the policy decides by metrics, so that unknown ones must not shrink a pool."""
    dry_run: bool = False
    """The server checks each write and keeps none."""
    problems: dict[str, str] = field(default_factory=dict)
    """What else went wrong in the last turn."""
    _written: dict[str, int] = field(default_factory=dict)
    """Pool -> the count that was written last, which the next observation may not show yet."""
    _not_before_s: float = -inf
    _lost: bool = False

    def apply(self, decision: Decision) -> Mapping[str, Action]:
        """An action for each target that differs from what was shown; its `error` says why it did not take effect."""
        self.problems, self._lost = {}, False
        shown = self.world.shown()
        actions = {}
        for pool, reason in decision.reasons.items():
            reading = shown.pools.get(pool) if shown else None
            wanted = reading.wanted if reading else None
            if wanted == reason.final:
                continue
            action = self._act(pool, wanted, reason, reading.age_s if reading else None)
            if action.error is not None or action.before != action.after:
                actions[pool] = action
        return actions

    def _act(self, pool: str, wanted: int | None, reason: Reason, age_s: float | None) -> Action:
        try:
            before = self._checked(pool, wanted, reason.final, age_s)
            scale = self._write(pool, before, reason.final, age_s)
        except RefusedError as refused:
            return Action(wanted, wanted, str(refused))
        except ApiError as error:
            self._heed(error)
            return Action(wanted, wanted, str(error))
        except LostError as error:
            self._lost = True
            return Action(wanted, None, f"no answer, it may have taken effect: {error}")
        if scale is None:
            return Action(reason.final, reason.final)
        if not self.dry_run:
            self._written[pool] = reason.final
            self._tell(pool, before, reason, scale)
        return Action(before, before if self.dry_run else reason.final, "dry run" if self.dry_run else None)

    def _checked(self, pool: str, wanted: int | None, target: int, age_s: float | None) -> int:
        """What was shown. Raises `RefusedError` where nothing may be written."""
        bounds = self.pools[pool]
        if wanted is None:
            raise RefusedError("replicas wanted are unknown")
        if not bounds.at_least <= target <= bounds.at_most:
            raise RefusedError(f"{target} is outside {bounds.at_least}..{bounds.at_most}")
        self._check_age(wanted, target, age_s)
        if (why := self.world.keeps_off(pool)) is not None:
            raise RefusedError(why)
        if self._lost:
            raise RefusedError("not tried: the API does not answer")
        if (left_s := self._not_before_s - self.clock.monotonic_s()) > 0:
            raise RefusedError(f"the API asked to wait {left_s:.0f} s more")
        self._check_lease()
        return wanted

    def _check_age(self, wanted: int, target: int, age_s: float | None) -> None:
        """Raises `RefusedError` where the reading is too old to shrink upon by now: a turn may last long."""
        too_old = age_s is None or age_s + self.world.since_s() > self.max_age_s
        if target < wanted and self.measured and too_old:
            raise RefusedError("not shrunk: its metrics are unknown or too old")

    def _check_lease(self) -> None:
        if not self.world.may_write():
            raise RefusedError("the lease is not held")

    def _write(self, pool: str, shown: int, target: int, age_s: float | None) -> Scale | None:
        """None where it is so already. A conflict is read again: only where the count is the same is it written on."""
        ref = self.targets[pool]
        for _ in range(ATTEMPTS):
            scale = self.kube.scale(ref)
            if scale.wanted == target:
                return None
            if scale.wanted not in (shown, self._written.get(pool)):
                raise RefusedError(f"changed to {scale.wanted} since {shown} was read; decided anew at the next tick")
            # Reading may have taken long, and have said that more are wanted than was shown.
            self._check_age(scale.wanted, target, age_s)
            self._check_lease()
            try:
                return self.kube.set_replicas(ref, target, scale.resource_version, self.dry_run)
            except ApiError as error:
                if error.status != 409:
                    raise
            except LostError as error:
                return self._found_out(ref, target, error)
        raise RefusedError(f"the object changed at each of {ATTEMPTS} attempts; decided anew at the next tick")

    def _found_out(self, ref: Ref, target: int, error: LostError) -> Scale:
        """Read whether a write without an answer took effect; it is not sent again."""
        scale = self.kube.scale(ref)
        if scale.wanted != target:
            raise RefusedError(f"lost on the way: {error}")
        return scale

    def _heed(self, error: ApiError) -> None:
        """A server that says when to come again is left alone until then, with all writes."""
        if error.status in (429, 503):
            self._not_before_s = self.clock.monotonic_s() + (error.retry_after_s or 1.0)

    def _tell(self, pool: str, before: int, reason: Reason, scale: Scale) -> None:
        """An Event on the target. That it cannot be written changes nothing."""
        if self._lost or not self.world.may_write():
            return
        try:
            self.kube.create(_events(self.targets[pool]), _event(self.targets[pool], before, reason, scale, self.clock))
        except ApiError as error:
            self._heed(error)
            self.problems["events"] = str(error)
        except LostError as error:
            self._lost = True
            self.problems["events"] = str(error)


@dataclass(slots=True)
class RecommendingActuator:
    """Writes what is recommended, and why, into annotations of the targets, and leaves their replicas alone."""

    kube: KubeApi
    targets: Mapping[str, Ref]
    world: World
    dry_run: bool = False
    problems: dict[str, str] = field(default_factory=dict)
    """Pool -> why its annotations could not be written."""
    _written: dict[str, int] = field(default_factory=dict)

    def apply(self, decision: Decision) -> Mapping[str, Action]:
        """No actions: no replicas change."""
        self.problems = {}
        for pool, reason in decision.reasons.items():
            if self._written.get(pool) != reason.final and self.world.may_write():
                try:
                    self._annotate(pool, reason)
                except LostError as error:
                    self.problems["annotations"] = str(error)
                    break
                except ApiError as error:
                    self.problems[pool] = str(error)
        return {}

    def _annotate(self, pool: str, reason: Reason) -> None:
        words = (str(reason.final), str(reason)[:LONGEST_WORDS])
        self.kube.annotate(self.targets[pool], dict(zip(ANNOTATIONS, words, strict=True)), self.dry_run)
        self._written[pool] = reason.final


def actuator(
    config: Config, kube: KubeApi, targets: Mapping[str, Ref], world: World, clock: Clock, dry_run: bool = False
) -> KubeActuator | RecommendingActuator | ShadowActuator:
    """What the configured mode does with decisions."""
    if config.mode == "active":
        measured = decides_by_metrics(config.policy.build(config.pools).readings)
        pools, max_age_s = config.pools, config.max_age_s
        return KubeActuator(kube, targets, pools, world, clock, max_age_s, measured, dry_run)
    if config.mode == "recommend" and config.recommend == "annotation":
        return RecommendingActuator(kube, targets, world, dry_run)
    return ShadowActuator()


def decides_by_metrics(readings: Readings) -> bool:
    """Whether a policy uses more than the counts of replicas."""
    return bool((readings.needed | readings.assumed.keys()) & {*ASKED, "replicas"})


def _events(ref: Ref) -> Resource:
    return Resource("v1", "events", ref.resource.namespace)


def _event(ref: Ref, before: int, reason: Reason, scale: Scale, clock: Clock) -> dict[str, object]:
    now_s = clock.now_s()
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    involved = {"apiVersion": ref.resource.group_version, "kind": ref.kind, "name": ref.name}
    involved |= {"namespace": ref.resource.namespace or "", "uid": scale.uid or ""}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{ref.name}.{int(now_s * 1e6):x}", "namespace": ref.resource.namespace},
        "involvedObject": involved,
        "type": "Normal",
        "reason": "ScaledUp" if reason.final > before else "ScaledDown",
        "message": f"{before} -> {reason.final} replicas: {reason}"[:LONGEST_WORDS],
        "source": {"component": "poolwright"},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
