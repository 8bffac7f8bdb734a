"""The cheapest mix of versions with queues of their own, against every mix there is."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.mix_rule import Asked, Group, Mix, Part, mix
from policies.queues import servers_for_wait
from policies.sizing import Target

WAIT = Target(wait_s=2.0, quantile=0.9)
ONE = Part(
    name="m/v1",
    model="m",
    low_per_s=4.0,
    high_per_s=4.0,
    slots=1,
    service_s=1.0,
    service_scv=1.0,
    arrival_scv=1.0,
    at_least=0,
    at_most=20,
    cost_per_hour=1.0,
    quality=0.8,
)
TWO = replace(ONE, name="m/v2", cost_per_hour=3.0, quality=0.9)


def free(part: Part) -> Part:
    return replace(part, low_per_s=0.0, high_per_s=8.0)


def everything(asked: Asked) -> Iterator[dict[str, int]]:
    for counts in product(*(range(p.at_least, p.at_most + 1) for p in asked.parts)):
        yield dict(zip([p.name for p in asked.parts], counts, strict=True))


def cost(asked: Asked, replicas: Mapping[str, int]) -> float:
    return sum(p.cost_per_hour * replicas[p.name] for p in asked.parts)


def within(asked: Asked, replicas: Mapping[str, int]) -> bool:
    for group in asked.groups:
        own = [p for p in asked.parts if p.name in group.pools]
        if group.replicas is not None and sum(replicas[p.name] for p in own) > group.replicas:
            return False
        if group.cost_per_hour is not None and cost(replace(asked, parts=own), replicas) > group.cost_per_hour:
            return False
    return True


def serves(asked: Asked, replicas: Mapping[str, int], slack: float) -> bool:
    """Whether there are rates that all bear in time, the best versions being given as much as they can."""
    for model, rate in asked.rates_per_s.items():
        own = sorted((p for p in asked.parts if p.model == model), key=lambda p: -p.quality)
        most = {p.name: min(p.high_per_s, p.borne_per_s(asked.target, replicas[p.name]) * slack) for p in own}
        if any(most[p.name] < p.low_per_s for p in own):
            return False
        left, good = rate - sum(p.low_per_s for p in own), sum(p.low_per_s * p.quality for p in own)
        for p in own:
            more = min(left, most[p.name] - p.low_per_s)
            left, good = left - more, good + more * p.quality
        if left > 1e-6 or (asked.quality is not None and good < asked.quality * rate - 1e-6):
            return False
    return True


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    parts: list[Part] = []
    rates: dict[str, float] = {}
    for model in ("a", "b")[: draw(st.integers(1, 2))]:
        shares = [draw(st.floats(0.1, 1.0)) for _ in range(draw(st.integers(1, 2)))]
        rates[model] = draw(st.floats(0.5, 5.0))
        for k, share in enumerate(shares):
            own = share / sum(shares) * rates[model]
            loose = draw(st.booleans())
            part = Part(
                name=f"{model}/v{k}",
                model=model,
                low_per_s=0.5 * own if loose else own,
                high_per_s=min(2.0 * own, rates[model]) if loose else own,
                slots=draw(st.integers(1, 2)),
                service_s=draw(st.sampled_from([0.5, 1.0, 1.6])),
                service_scv=draw(st.sampled_from([0.0, 1.0, 2.0])),
                arrival_scv=draw(st.sampled_from([1.0, 2.0])),
                at_least=draw(st.integers(0, 1)),
                at_most=draw(st.integers(2, 7)),
                cost_per_hour=draw(st.sampled_from([0.5, 1.0, 1.7])),
                quality=draw(st.sampled_from([0.7, 0.8, 0.9])),
            )
            parts.append(part)
    some = frozenset(draw(st.sets(st.sampled_from([p.name for p in parts]), min_size=1)))
    groups = [
        Group(name="site", pools=some, replicas=draw(st.none() | st.integers(3, 12))),
        Group(name="budget", pools=frozenset(p.name for p in parts), cost_per_hour=draw(st.none() | st.floats(3, 15))),
    ]
    quality = draw(st.none() | st.sampled_from([0.75, 0.8]))
    return Asked(target=WAIT, parts=parts, rates_per_s=rates, quality=quality, groups=groups)


@settings(deadline=None, max_examples=60)
@given(questions())
def test_no_mix_is_cheaper(asked: Asked) -> None:
    found = mix(asked)
    allowed = [replicas for replicas in everything(asked) if within(asked, replicas)]
    surely = [replicas for replicas in allowed if serves(asked, replicas, 1.0 - 1e-5)]
    assert (found is None) == (not allowed)
    if found is None:
        return
    assert within(asked, found.replicas)
    if surely:
        assert not found.loss
        assert cost(asked, found.replicas) <= min(cost(asked, replicas) for replicas in surely) + 1e-3
    if not found.loss:
        assert serves(asked, found.replicas, 1.0 + 1e-5)
    if found.loss == "the quality floor is missed":
        assert serves(replace(asked, quality=None), found.replicas, 1.0 + 1e-5)


def test_shares_that_are_given_leave_each_version_its_own_queue() -> None:
    needed = servers_for_wait(4.0, 1.0, 2.0, 0.9)
    assert mix(Asked(target=WAIT, parts=[ONE, TWO], rates_per_s={"m": 8.0})) == Mix(
        {"m/v1": needed, "m/v2": needed}, {"m/v1": 4.0, "m/v2": 4.0}
    )


def test_where_traffic_may_move_one_queue_is_cheaper_than_two() -> None:
    found = mix(Asked(target=WAIT, parts=[free(ONE), free(TWO)], rates_per_s={"m": 8.0}))
    assert found is not None
    assert found.replicas == {"m/v1": servers_for_wait(8.0, 1.0, 2.0, 0.9), "m/v2": 0}


def test_what_is_given_up_first_is_quality_then_the_target_and_never_a_site() -> None:
    site = Group(name="site", pools=frozenset({"m/v2"}), replicas=2)
    asked = Asked(target=WAIT, parts=[free(ONE), free(TWO)], rates_per_s={"m": 8.0}, quality=0.88, groups=[site])
    poorer = mix(asked)
    assert poorer is not None
    assert poorer.loss == "the quality floor is missed"
    late = mix(replace(asked, parts=[replace(free(ONE), at_most=3), free(TWO)]))
    assert late is not None
    assert (late.replicas["m/v2"], late.loss) == (2, "the target is missed")
    assert mix(replace(asked, parts=[free(ONE), replace(free(TWO), at_least=3)])) is None
