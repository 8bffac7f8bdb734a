"""What one metric asks for: facts from Kubernetes' replica_calculator_test.go, where pods request 2,000 thousandths of
a processor, and what follows from them."""

from collections.abc import Iterable

from policies.hpa_replicas import (
    AverageTarget,
    Measured,
    Proposal,
    Sums,
    Tolerance,
    Unknown,
    UtilizationTarget,
    by_average_value,
    by_replica,
    by_value,
)


def replicas_by(target: UtilizationTarget | AverageTarget, current: int, seen_: Measured) -> int:
    proposal = by_replica(current, seen_, target, Tolerance(), "metric")
    assert isinstance(proposal, Proposal)
    return proposal.replicas


def of(used: Iterable[int], ready: int, missing: int = 0, unready: int = 0, request: int = 2000) -> Measured:
    values = list(used)
    sums = Sums(sum(values), request * len(values), len(values), len(values))
    return Measured(ready, sums, (request,) * missing, (request,) * unready)


def test_unready_pods_count_as_idle_before_growing() -> None:
    """Kubernetes, TestReplicaCalcResourceScale: unready pod scales less."""
    assert replicas_by(UtilizationTarget(30), 3, of([1000, 1400], ready=2, unready=1)) == 4


def test_idle_ones_bring_usage_close_enough_to_the_target() -> None:
    """Nine at 60 % are 1.2 times the target, and with a tenth, not ready, 1.08 times."""
    assert replicas_by(UtilizationTarget(50), 10, of([1200] * 9, ready=9, unready=1)) == 10


def test_a_turn_of_direction_holds() -> None:
    """One idle and two missing: half the target, or one and a half; three of ten known: they ask for four."""
    assert replicas_by(UtilizationTarget(50), 3, of([500], ready=1, missing=2)) == 3
    assert replicas_by(UtilizationTarget(50), 10, of([2000] * 2, ready=2, missing=1)) == 10


def test_unready_pods_do_not_count_before_shrinking() -> None:
    """Kubernetes, TestReplicaCalcResourceScale: ignore hot-CPU pods."""
    assert replicas_by(UtilizationTarget(50), 5, of([200, 600, 1000], ready=3, unready=2)) == 2


def test_missing_pods_count_as_idle_before_growing_and_may_turn_the_direction() -> None:
    """Kubernetes, TestReplicaCalcResourceMissingMetrics: no change, metric above target."""
    assert replicas_by(UtilizationTarget(100), 2, of([3800], ready=1, missing=1)) == 2


def test_missing_pods_count_as_full_before_shrinking() -> None:
    """Kubernetes, TestReplicaCalcResourceMissingMetrics: target over 100."""
    seen_ = Measured(2, Sums(400, 6000, 2, 2), missing=(4000,), unready=(2000,))
    assert replicas_by(UtilizationTarget(300), 4, seen_) == 2


def test_utilization_is_cut_off_to_whole_percents() -> None:
    """Kubernetes, TestReplicaCalcResourceTolerance: 34 % below the target and less is close enough."""
    exactly = by_replica(3, of([1300] * 3, ready=3), UtilizationTarget(100), Tolerance(down=0.34), "cpu")
    assert isinstance(exactly, Proposal)
    assert (exactly.replicas, exactly.percent) == (2, 65)
    cut_off = by_replica(3, of([1339] * 3, ready=3), UtilizationTarget(66), Tolerance(0.0, 0.0), "cpu")
    assert isinstance(cut_off, Proposal)
    assert cut_off.replicas == 3


def test_the_average_of_a_pods_metric() -> None:
    """Kubernetes, TestReplicaCalcPodMetric: of 50, 10 and 30 with 15 wanted."""
    assert replicas_by(AverageTarget(15_000), 3, of([50_000, 10_000, 30_000], ready=3)) == 6


def test_a_value_grows_the_ready_pods_in_proportion() -> None:
    """Kubernetes, TestReplicaCalcExternalMetric: ignores unready pods."""
    assert by_value(3, 1, 8600, 4400, Tolerance(), "m").replicas == 2
    assert by_value(0, 0, 8600, 4400, Tolerance(), "m").replicas == 2


def test_an_average_value_is_what_one_replica_is_for() -> None:
    """Kubernetes, TestReplicaCalcObjectPerPodMetric and External: within default tolerance; none yet; overflow."""
    assert by_average_value(4, 20_166, 5_000, Tolerance(), "m").replicas == 4
    assert by_average_value(0, 20_000, 5_000, Tolerance(), "m").replicas == 4
    assert by_average_value(0, 0, 5_000, Tolerance(), "m").replicas == 0
    assert by_average_value(1, 2**63 - 1, 1, Tolerance(), "m").replicas == 2**31 - 1


def test_without_a_metric_there_is_no_wish() -> None:
    strangers = Measured(0, Sums(0, 0, 0, 1))
    found = by_replica(3, strangers, UtilizationTarget(50), Tolerance(), "m")
    assert found == Unknown("no replica that is known shows the metric")
