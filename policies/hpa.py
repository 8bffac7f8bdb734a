"""The HorizontalPodAutoscaler of Kubernetes, autoscaling/v2: the greatest wish of its metrics, held back by rules.

What the controller reads from its own store is read from observations: replicas wanted are `spec.replicas`, those
starting and ready `status.replicas`, and a change of replicas is taken from what is wanted at the next observation,
so that one that did not come to pass does not count. Its 15 s between two looks are the ticks of the control loop.
Source: kubernetes, pkg/controller/podautoscaler/horizontal.go, as of 2026.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from policies.decision import Decision, Reason
from policies.hpa_behavior import (
    Behavior,
    Changes,
    Condition,
    Entries,
    Entry,
    Window,
    greatest_wish,
    longest_period_s,
    stabilized,
    stored,
    with_change,
    within_double,
    within_rates,
)
from policies.hpa_metrics import Metric, PoolView, TotalMetric, UtilizationMetric, assumed, needed, view_of
from policies.hpa_replicas import Proposal, Readiness, Tolerance, Unknown
from policies.observation import Observation
from policies.policy import Readings
from policies.pool import Pools, PoolTraits
from policies.spec import STRICT, Fraction, Seconds


@checked(frozen=True, kw_only=True, config=STRICT)
class HpaSpec:
    """Scale each pool as a HorizontalPodAutoscaler does; `minReplicas` and `maxReplicas` are the pool's bounds.

    A pool without replicas is left alone, as there; with a `total` metric and at_least 0 it is not (feature gate
    HPAScaleToZero). Without such a metric at least one replica is kept.
    """

    kind: Literal["hpa"] = "hpa"
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1)] = (UtilizationMetric(),)
    """The greatest wish counts. While one is unknown, a pool grows by the others and never shrinks."""
    behavior: Behavior | None = None
    """Where not given: at most twice the replicas, or four, at a time, and `stabilization_s`."""
    tolerance: Fraction = 0.1
    """No change while usage over target is this close to 1: --horizontal-pod-autoscaler-tolerance."""
    stabilization_s: Window = 300.0
    """Never below the greatest wish of this long: --horizontal-pod-autoscaler-downscale-stabilization."""
    initialization_s: Seconds = 300.0
    """So long after its start a replica counts in `utilization` and `usage` only once it has been ready for a whole
    window: --horizontal-pod-autoscaler-cpu-initialization-period."""
    readiness_delay_s: Seconds = 30.0
    """A replica that ceased to be ready so soon after its start never was:
    --horizontal-pod-autoscaler-initial-readiness-delay."""

    def build(self, pools: Pools) -> "Hpa":
        return Hpa(pools, self)

    @property
    def tolerances(self) -> Tolerance:
        """By direction: what `behavior` says, else the policy's own."""
        if self.behavior is None:
            return Tolerance(self.tolerance, self.tolerance)
        down, up = self.behavior.scale_down.tolerance, self.behavior.scale_up.tolerance
        return Tolerance(self.tolerance if down is None else down, self.tolerance if up is None else up)

    @property
    def windows_s(self) -> tuple[float, float]:
        """Stabilization when growing and when shrinking."""
        if self.behavior is None:
            return 0.0, self.stabilization_s
        down_s = self.behavior.scale_down.stabilization_s
        return self.behavior.scale_up.stabilization_s, self.stabilization_s if down_s is None else down_s

    @property
    def memory_s(self) -> float:
        back_s = max(self.windows_s)
        if self.behavior is not None:
            rules = self.behavior.scale_up, self.behavior.scale_down
            back_s = max(back_s, *(longest_period_s(each) for each in rules))
        return back_s + 2 * max(metric.window_s for metric in self.metrics)


@dataclass(slots=True)
class _Pool:
    """What the controller keeps of one pool."""

    view: PoolView
    wishes: Entries = ()
    changes: Changes = field(default_factory=Changes)
    before: Entry | None = None
    """What was wanted at the observation before."""


@dataclass(slots=True)
class Hpa:
    """Law: inside the bounds or on the way to them, no faster than the rules; unknown metrics never shrink a pool."""

    pools: Pools
    spec: HpaSpec
    _pools: dict[str, _Pool] = field(init=False)
    _bounds: dict[str, tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        readiness = Readiness(self.spec.initialization_s, self.spec.readiness_delay_s)
        tolerance = self.spec.tolerances
        self._pools = {
            name: _Pool(view_of(pool, tolerance, readiness, self.spec.metrics)) for name, pool in self.pools.items()
        }
        self._bounds = {name: self._bounds_of(pool) for name, pool in self.pools.items()}

    def _bounds_of(self, pool: PoolTraits) -> tuple[int, int]:
        from_zero = any(isinstance(metric, TotalMetric) for metric in self.spec.metrics)
        return pool.at_least if from_zero else max(1, pool.at_least), pool.at_most

    @property
    def readings(self) -> Readings:
        return Readings(needed(self.spec.metrics) | {"wanted"}, assumed(self.spec.metrics))

    @property
    def memory_s(self) -> float:
        return self.spec.memory_s

    def decide(self, observation: Observation, /) -> Decision:
        seen = [name for name in self.pools if name in observation.pools]
        for name in seen:
            self.see(name, observation)
        found = {name: self.size(name) for name in seen}
        return Decision.of({name: size.why if isinstance(size, Unknown) else size for name, size in found.items()})

    def see(self, name: str, observation: Observation) -> PoolView:
        """Take in what is shown of one pool, once for each observation and before it is sized."""
        pool = self._pools[name]
        pool.view.see(observation)
        wanted = pool.view.reading.wanted
        if wanted is not None:
            if self.spec.behavior is not None and pool.before is not None and wanted != pool.before.replicas:
                before = pool.before
                pool.changes = with_change(pool.changes, self.spec.behavior, before.replicas, before.time_s, wanted)
            pool.before = Entry(observation.time_s, wanted)
        return pool.view

    def size(self, name: str, stand_ins: Mapping[int, int] = MappingProxyType({})) -> Reason | Unknown:
        """How many replicas one pool should have by what was seen last.

        `stand_ins` gives `total` metrics, by their place in the spec, that are taken to be so much (in thousandths).
        """
        pool, bounds = self._pools[name], self._bounds[name]
        current = pool.view.reading.wanted
        if current is None:
            return Unknown("wanted was not read")
        pool.wishes = pool.wishes or (Entry(pool.view.now_s, current),)
        if current == 0 and bounds[0] > 0:
            return Unknown("a pool without replicas is not scaled; start one")
        if not bounds[0] <= current <= bounds[1]:
            nearest = min(max(current, bounds[0]), bounds[1])
            return Reason(nearest, f"{current} wanted, outside {bounds[0]}..{bounds[1]}")
        wish = self._wish(pool.view, stand_ins)
        return wish if isinstance(wish, Unknown) else self._limited(wish, pool, bounds)

    def _wish(self, view: PoolView, stand_ins: Mapping[int, int]) -> Reason | Unknown:
        """The greatest wish of the metrics; while one is unknown, none that would shrink the pool."""
        found = [_proposal(metric, view, stand_ins.get(i)) for i, metric in enumerate(self.spec.metrics)]
        unknown = [why.why for why in found if isinstance(why, Unknown)]
        known = [proposal.reason for proposal in found if isinstance(proposal, Proposal)]
        if not known:
            return Unknown("; ".join(unknown))
        wish = max(known, key=lambda reason: reason.final)
        if not unknown:
            return wish
        if wish.final < view.current:
            return Unknown(f"{'; '.join(unknown)}: not shrunk to {wish.final}")
        return replace(wish, because=f"{wish.because}; {'; '.join(unknown)}")

    def _limited(self, reason: Reason, pool: _Pool, bounds: tuple[int, int]) -> Reason:
        current, now_s, wish = pool.view.current, pool.view.now_s, reason.final
        up_s, down_s = self.spec.windows_s
        behavior = self.spec.behavior
        if behavior is None:
            held = greatest_wish(wish, pool.wishes, down_s, now_s)
            limited, condition = within_double(current, held, bounds)
        else:
            held = stabilized(current, wish, pool.wishes, up_s, down_s, now_s)
            limited, condition = within_rates(current, held, bounds, behavior, pool.changes, now_s)
        pool.wishes = stored(pool.wishes, Entry(now_s, wish), now_s - max(up_s, down_s))
        window_s = down_s if held > wish else up_s
        reason = reason.limited("stabilization", held, f"held by the wishes of the last {window_s:g} s")
        return reason.limited(*_told(condition, limited))


def _proposal(metric: Metric, view: PoolView, stand_in: int | None) -> Proposal | Unknown:
    if stand_in is not None and isinstance(metric, TotalMetric):
        return metric.proposal_for(stand_in, view)
    return metric.proposal(view)


def _told(condition: Condition, replicas: int) -> tuple[str, int, str]:
    """Who limits, to what, and why."""
    if condition == "TooFewReplicas":
        return "bounds", replicas, f"at least {replicas}"
    if condition == "TooManyReplicas":
        return "bounds", replicas, f"at most {replicas}"
    way = "grow" if condition == "ScaleUpLimit" else "shrink"
    return "rate", replicas, f"may {way} to {replicas} now"
