"""KEDA's ScaledObject: from zero and to zero by what its triggers show, above that a HorizontalPodAutoscaler.

The operator looks at its triggers every `polling_s` and wakes or rests a pool; the autoscaler it makes looks at each
tick. Source: kedacore/keda, pkg/scaling/executor/scale_scaledobjects.go, pkg/scaling/scale_handler.go and
pkg/fallback/fallback.go, as of 2026.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import floor
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass as checked

from policies.decision import Decision, Reason
from policies.hpa import Hpa, HpaSpec
from policies.hpa_behavior import Behavior
from policies.hpa_metrics import PoolView, TotalMetric, UsageMetric, UtilizationMetric
from policies.hpa_replicas import Unknown, thousandths
from policies.observation import Observation
from policies.policy import Readings
from policies.pool import Pools, PoolTraits
from policies.spec import STRICT, Count, NonNegative, PositiveCount, PositiveSeconds, Seconds


@checked(frozen=True, kw_only=True, config=STRICT)
class TotalTrigger(TotalMetric):
    """Something of the whole pool: any scaler with `metricType: AverageValue` (`average`) or `Value` (`value`)."""

    activation: NonNegative = 0.0
    """The trigger is active while the reading is greater than this: `activationThreshold` and its like."""

    def active(self, usage: int | Unknown) -> bool:
        return not isinstance(usage, Unknown) and usage > thousandths(self.activation)


Trigger = Annotated[UtilizationMetric | UsageMetric | TotalTrigger, Field(discriminator="kind")]
"""`utilization` and `usage` are the cpu scaler, with `Utilization` and `AverageValue`: never active or failing."""


@checked(frozen=True, kw_only=True, config=STRICT)
class Fallback:
    """What to do when a trigger's reading cannot be had several times in a row."""

    failure_threshold: Count
    """More failures than this, one a tick while the pool has replicas, and the fallback holds."""
    replicas: Count
    behavior: Literal["static", "current_replicas", "current_replicas_if_higher", "current_replicas_if_lower"] = (
        "static"
    )
    """These replicas; those there are; the more of both; the fewer of both."""

    def count(self, current: int) -> int:
        match self.behavior:
            case "static":
                return self.replicas
            case "current_replicas":
                return current
            case "current_replicas_if_higher":
                return max(current, self.replicas)
            case "current_replicas_if_lower":
                return min(current, self.replicas)


@checked(frozen=True, kw_only=True, config=STRICT)
class KedaSpec:
    """Scale each pool as a KEDA ScaledObject does, down to none."""

    kind: Literal["keda"] = "keda"
    triggers: Annotated[tuple[Trigger, ...], Field(min_length=1)]
    polling_s: PositiveSeconds = 30.0
    """`pollingInterval`: so often triggers are looked at to wake or rest a pool."""
    cooldown_s: Seconds = 300.0
    """`cooldownPeriod`: so long after a trigger was last active the pool rests."""
    initial_cooldown_s: Seconds = 0.0
    """`initialCooldownPeriod`: so long from the beginning it does not, where no trigger was ever active."""
    min_replicas: Count | None = None
    """`minReplicaCount`; the pool's at_least where not given."""
    max_replicas: PositiveCount | None = None
    """`maxReplicaCount`; the pool's at_most where not given."""
    idle_replicas: Literal[0] | None = None
    """`idleReplicaCount`: with 0 a pool rests at none and wakes to `min_replicas`. KEDA supports no other."""
    fallback: Fallback | None = None
    behavior: Behavior | None = None
    """Of the autoscaler: `advanced.horizontalPodAutoscalerConfig.behavior`."""

    @model_validator(mode="after")
    def _idle_is_less(self) -> "KedaSpec":
        if self.idle_replicas is not None and not self.min_replicas:
            raise ValueError("idle_replicas needs a min_replicas above it")
        return self

    def build(self, pools: Pools) -> "Keda":
        """The policy. Raises `ValueError` where a pool could not rest or wake."""
        own = {name: self._own(pool) for name, pool in pools.items()}
        for name, pool in own.items():
            self._check(pools[name], pool)
        hpa = HpaSpec(metrics=self.triggers, behavior=self.behavior)
        return Keda(own, self, hpa.build({name: replace(p, at_least=max(1, p.at_least)) for name, p in own.items()}))

    def _own(self, pool: PoolTraits) -> PoolTraits:
        """The pool in the bounds of the ScaledObject."""
        least = pool.at_least if self.min_replicas is None else max(pool.at_least, self.min_replicas)
        most = pool.at_most if self.max_replicas is None else min(pool.at_most, self.max_replicas)
        return replace(pool, at_least=least, at_most=most)

    def _check(self, pool: PoolTraits, own: PoolTraits) -> None:
        if own.at_least > own.at_most:
            raise ValueError(f"{pool.name}: min_replicas {own.at_least} is more than max_replicas {own.at_most}")
        if self.idle_replicas is not None and pool.at_least > self.idle_replicas:
            raise ValueError(f"{pool.name}: idle_replicas {self.idle_replicas} is less than at_least {pool.at_least}")
        if own.at_least == 0 and not self.wakes:
            raise ValueError(f"{pool.name}: utilization wakes no pool; give a total trigger, or min_replicas 1")

    @property
    def wakes(self) -> bool:
        """Whether a trigger can tell of work while there are no replicas."""
        return any(isinstance(trigger, TotalTrigger) for trigger in self.triggers)


@dataclass(slots=True)
class _State:
    """What the operator keeps of one pool."""

    failures: list[int]
    """In a row, of each trigger."""
    first_s: float | None = None
    seen_s: float | None = None
    active_s: float | None = None
    """When a trigger was last found active."""


@dataclass(slots=True)
class Keda:
    """Law: never to zero before the cooldown is over, nor while a trigger's reading is unknown and no fallback of
    zero replicas is given."""

    pools: Pools
    spec: KedaSpec
    hpa: Hpa
    _states: dict[str, _State] = field(default_factory=dict, init=False)

    @property
    def readings(self) -> Readings:
        return self.hpa.readings

    @property
    def memory_s(self) -> float:
        """Ticks are taken to be no longer than `polling_s`, as failures are counted by ticks."""
        failing_s = (self.spec.fallback.failure_threshold + 1) * self.spec.polling_s if self.spec.fallback else 0.0
        resting_s = max(self.spec.cooldown_s, self.spec.initial_cooldown_s)
        return self.hpa.memory_s + max(failing_s, resting_s) + 2 * self.spec.polling_s

    def decide(self, observation: Observation, /) -> Decision:
        seen = [name for name in self.pools if name in observation.pools]
        found = {name: self._size(name, observation) for name in seen}
        return Decision.of({name: size.why if isinstance(size, Unknown) else size for name, size in found.items()})

    def _size(self, name: str, observation: Observation) -> Reason | Unknown:
        view = self.hpa.see(name, observation)
        state = self._states.setdefault(name, _State([0] * len(self.spec.triggers)))
        if view.reading.wanted is None:
            return Unknown("wanted was not read")
        usages = {i: t.usage(view) for i, t in enumerate(self.spec.triggers) if isinstance(t, TotalTrigger)}
        stand_ins = self._stand_ins(view, state, usages) if view.current else {}
        done = self._woken_or_rested(name, view, state, usages) if self._polls(state, observation.time_s) else None
        if done is not None:
            return done
        if view.current == 0:
            return Unknown("no trigger was active when last looked at")
        return self.hpa.size(name, stand_ins)

    def _polls(self, state: _State, now_s: float) -> bool:
        """Whether a multiple of the polling interval has come since the observation before."""
        before_s, state.seen_s = state.seen_s, now_s
        if before_s is None:
            state.first_s = now_s
            return True
        return floor(now_s / self.spec.polling_s) > floor(before_s / self.spec.polling_s)

    def _stand_ins(self, view: PoolView, state: _State, usages: Mapping[int, int | Unknown]) -> dict[int, int]:
        """What the autoscaler is told in place of the readings that failed too often, in thousandths."""
        told = {}
        for i, usage in usages.items():
            state.failures[i] = state.failures[i] + 1 if isinstance(usage, Unknown) else 0
            trigger, fallback = self.spec.triggers[i], self.spec.fallback
            if fallback and state.failures[i] > fallback.failure_threshold and isinstance(trigger, TotalTrigger):
                replicas: float = fallback.count(view.current)
                if trigger.value is None:
                    told[i] = int(trigger.target * replicas)
                elif view.ready:
                    told[i] = int(trigger.target * replicas / view.ready)
        return told

    def _woken_or_rested(
        self, name: str, view: PoolView, state: _State, usages: Mapping[int, int | Unknown]
    ) -> Reason | None:
        """What the operator itself does with the pool, None where it leaves it to the autoscaler."""
        failing = [usage.why for usage in usages.values() if isinstance(usage, Unknown)]
        active = self._active(usages)
        if active:
            return self._woken(name, view, state, active, bool(failing))
        if failing and not (self.spec.fallback and self.spec.fallback.replicas == 0):
            return None
        return self._rested(name, view, state)

    def _active(self, usages: Mapping[int, int | Unknown]) -> str:
        """The first trigger that is active, in words; where none could ever be, all are."""
        if not usages:
            return "utilization is always active"
        for i, usage in usages.items():
            trigger = self.spec.triggers[i]
            if isinstance(trigger, TotalTrigger) and isinstance(usage, int) and trigger.active(usage):
                return f"{trigger.reading} {usage / 1000:g} is above its activation {trigger.activation:g}"
        return ""

    def _woken(self, name: str, view: PoolView, state: _State, why: str, failing: bool) -> Reason | None:
        least = self.pools[name].at_least
        wakes = view.current == 0 or (self.spec.idle_replicas is not None and view.current < least)
        if wakes or not failing:
            state.active_s = view.now_s
        return Reason(max(1, least), why) if wakes else None

    def _rested(self, name: str, view: PoolView, state: _State) -> Reason | None:
        least = self.pools[name].at_least
        rest = least if self.spec.idle_replicas is None else self.spec.idle_replicas
        if rest == 0 and view.current:
            over = self._over(state, view.now_s)
            return Reason(0, f"no trigger active for {self.spec.cooldown_s:g} s") if over else None
        if self.spec.idle_replicas is None and view.current < least:
            return Reason(least, f"{view.current} wanted, at least {least}")
        return None

    def _over(self, state: _State, now_s: float) -> bool:
        """Whether the cooldown is over."""
        if state.active_s is not None:
            return state.active_s + self.spec.cooldown_s < now_s
        return state.first_s is not None and state.first_s + self.spec.initial_cooldown_s < now_s
