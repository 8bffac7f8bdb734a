"""A row for each tick and pool: what is true of the replicas and, over all classes, of the requests."""

from policies.decision import Decision, Limit, Reason
from policies.loop import Turn
from policies.observation import Observation
from policies.testing import seen
from sim.arrivals import Times
from sim.history import DecisionRow
from sim.scenario import Control, Model, Replicas, RequestClass, Scenario, Version
from sim.service import Constant
from sim.world import World


def world(*arrivals_s: tuple[float, ...]) -> World:
    """Two replicas that serve for 4 s each, and a request class for each of these series; run to 3 s."""
    version = Version(name="v1", service=Constant(value_s=4.0), replicas=Replicas(initial=2))
    there = World(
        Scenario(
            name="rows",
            horizon_s=10.0,
            control=Control(tick_s=3.0),
            models=(Model(name="m", versions=(version,)),),
            traffic=tuple(
                RequestClass(name=f"c{k}", model="m", arrivals=Times(at_s=at_s)) for k, at_s in enumerate(arrivals_s)
            ),
        )
    )
    there.run_through(3.0)
    return there


def test_a_row_counts_the_requests_of_all_classes() -> None:
    for there in (world((1.0, 1.5, 2.0)), world((1.0, 2.0), (1.5,))):
        row = there.history.rows["m/v1"][1]
        assert (row.time_s, row.replicas_ready, row.replica_s_total, row.serving_s_total) == (3.0, 2, 6.0, 6.0)
        assert (row.requests_arrived_total, row.requests_started_total, row.requests_completed_total) == (3, 2, 0)
        assert (row.requests_queued, row.requests_in_service) == (1, 2)
        assert row.busy_s_total == 2.0 + 1.5


def test_a_decision_is_written_with_its_wish_its_limits_and_what_was_kept() -> None:
    history = world((1.0,)).history
    shown = Observation(3.0, {**seen(3.0, "m/v1", wanted=2).pools, **seen(3.0, "m/v2", wanted=None).pools})
    reason = Reason(9, "load", (Limit("bounds", 9, 5, "at most 5"), Limit("rate", 5, 3, "one at a time")))
    history.write(Turn(shown, Decision({"m/v1": reason}, {"m/v2": "nothing was read"}), {}))
    assert history.decisions[-2:] == [
        DecisionRow(3.0, "m/v1", 2, 9, "load", "bounds: 9 -> 5, at most 5; rate: 5 -> 3, one at a time", 3, 0.0),
        DecisionRow(3.0, "m/v2", None, None, "nothing was read", "", None, 0.0),
    ]
