"""A journal put through a policy again: where it decides otherwise than was recorded, and what that would have cost."""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from policies import specfile
from policies.afresh import Afresh
from policies.catalog import PolicySpec
from policies.decision import Decision, Reason
from policies.journal import Gap, Header, rotated
from policies.loop import Turn
from policies.observation import Observation, PoolReading
from policies.pool import Pools, PoolTraits
from sim.journal import LONGEST_TICKS, Entry, built, entries, headers, moment, spec_of, tick_of
from sim.text import number, usd

MOST_LINES = 20
HOUR_S = 3600.0

Said = Reason | str | None
"""What a decision says of a pool: a wish with its reason, words why it is kept, or nothing."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One pool at one tick, of which two decisions say different things."""

    time_s: float
    pool: str
    recorded: Said
    replayed: Said
    recorded_wanted: int | None
    """Replicas that would be wanted after it, had each decision so far been followed; None where nobody knows."""
    replayed_wanted: int | None

    def to_json(self) -> dict[str, Any]:
        return {
            "time_s": self.time_s,
            "pool": self.pool,
            "recorded": {"wanted": self.recorded_wanted, **_said_json(self.recorded)},
            "replayed": {"wanted": self.replayed_wanted, **_said_json(self.replayed)},
        }


@dataclass(frozen=True, slots=True)
class Bill:
    """What a policy's wishes come to, had each been followed at once."""

    replica_hours: float
    cost_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A whole journal, replayed.

    `differences` are those that the policy alone explains. Those in `uncertain` may come from turns that the policy
    had seen and the journal lacks: before its first file, or in a gap.
    """

    journal: str
    recorded_policy: str
    policy: str
    """The kind of the policy that was replayed."""
    is_other: bool
    """Whether it was given, so that only what it wants is compared, not the words."""
    ticks: int
    starts: int
    """Of the daemon, or of the simulation."""
    missing: int
    """Turns that could not be written."""
    differences: tuple[Difference, ...]
    uncertain: tuple[Difference, ...]
    recorded: Bill
    replayed: Bill

    def to_json(self) -> dict[str, Any]:
        """One object for programs."""
        bills = {"recorded": self.recorded, "replayed": self.replayed}
        return {
            "journal": self.journal,
            "recorded_policy": self.recorded_policy,
            "policy": self.policy,
            "ticks": self.ticks,
            "starts": self.starts,
            "missing": self.missing,
            "differences": len(self.differences),
            "uncertain": len(self.uncertain),
            "replica_hours": {name: bill.replica_hours for name, bill in bills.items()},
            "cost_usd": {name: bill.cost_usd for name, bill in bills.items()},
            "each": [difference.to_json() for difference in self.differences],
            "each_uncertain": [difference.to_json() for difference in self.uncertain],
        }


def replay(journal: str | Path, policy: PolicySpec | str | Path | None = None) -> Replay:
    """Feed every observation of a journal, all its files in order, to its own policy, or to another (a spec or a file).

    Its own starts anew where the daemon did, and is given the memory that the daemon gave it. Another sees as many
    replicas as it would have, where it would have other ones, and requests as they were seen. Raises `InputError` for
    what is no journal, and for a policy that cannot decide on its pools.
    """
    path = Path(journal)
    other: PolicySpec | None = _read_policy(policy) if isinstance(policy, (str, Path)) else policy
    replayed = _Replayed(path, other)
    for entry in entries(path):
        replayed.take(entry)
    return replayed.done()


def _read_policy(file: str | Path) -> PolicySpec:
    spec: PolicySpec = specfile.read(PolicySpec, file)  # type: ignore[arg-type]
    return spec


@dataclass(slots=True)
class _Followed:
    """Replicas that would be wanted, had each decision been followed; a pool not yet spoken of has what was seen."""

    wanted: dict[str, int | None] = field(default_factory=dict)
    replica_s: dict[str, float] = field(default_factory=dict)

    def decide(self, observation: Observation, decision: Decision) -> None:
        seen = {pool: reading.wanted for pool, reading in observation.pools.items()}
        before = {pool: wanted for pool, wanted in self.wanted.items() if wanted is not None}
        self.wanted = {**seen, **{p: n for p, n in before.items() if p in seen}, **decision.targets}

    def last(self, length_s: float) -> None:
        for pool, wanted in self.wanted.items():
            self.replica_s[pool] = self.replica_s.get(pool, 0.0) + (wanted or 0) * length_s

    def bill(self, pools: Pools) -> Bill:
        hours = {pool: s / HOUR_S for pool, s in self.replica_s.items()}
        cost = sum(n * pools[pool].cost_per_hour for pool, n in hours.items() if pool in pools)
        return Bill(sum(hours.values()), cost)


class _Replayed:
    """Takes the entries of a journal one by one."""

    def __init__(self, path: Path, other: PolicySpec | None) -> None:
        self._path, self._other = path, other
        self._memory = _Memory(whole=[n for n, _ in rotated(path)][:1] in ([], [1]), most_s=_longest_s(path, other))
        self._header: Header | None = None
        self._policy: Afresh | None = None
        self._pools: dict[str, PoolTraits] = {}
        self._spec: PolicySpec | None = other
        self._must_start = self._may_start = False
        self._recorded, self._replayed = _Followed(), _Followed()
        self._times_s: list[float] = []
        self._found: list[tuple[bool, Difference]] = []
        self._longest_s = LONGEST_TICKS * tick_of(path)
        self.starts = self.missing = 0

    def take(self, entry: Entry) -> None:
        match entry.record:
            case Header() as header:
                self._head(header, entry.opens)
            case Gap(turns=lost):
                # After a write that failed the file is opened anew, as at a start; the daemon went on.
                self._may_start = False
                self.missing += lost
                self._memory.lose()
            case Turn() as turn:
                self._turn(turn)

    def _head(self, header: Header, opens: bool) -> None:
        known, self._header = self._header, header
        self._must_start |= known is None or _decides_otherwise(known, header)
        self._may_start |= not opens
        self._pools.update(header.pools)

    def _turn(self, turn: Turn) -> None:
        policy = self._start() if self._must_start or self._may_start else self._policy
        assert policy is not None
        self._last(turn.observation.time_s)
        shown = self._as_followed(turn.observation) if self._other else turn.observation
        decision = decided(policy, shown)
        certain = self._memory.see(shown, policy.memory_s)
        self._recorded.decide(turn.observation, turn.decision)
        self._replayed.decide(turn.observation, decision)
        self._found += ((certain, difference) for difference in self._differences(turn, decision))

    def _as_followed(self, observation: Observation) -> Observation:
        """With as many replicas more, or fewer, as the other policy wanted: it must not be held to what it never had.

        They are taken to be ready; what requests would have met is not known, and stays as it was seen.
        """
        pools = {
            pool: _with_more(reading, (self._replayed.wanted.get(pool) or 0) - (self._recorded.wanted.get(pool) or 0))
            for pool, reading in observation.pools.items()
        }
        return replace(observation, pools=pools)

    def _start(self) -> Afresh:
        assert self._header is not None
        self._must_start = self._may_start = False
        self.starts += 1
        self._spec = self._other or spec_of(self._header)
        self._policy = policy = built(self._spec, self._header.pools)
        with suppress(Exception):  # The daemon, too, starts without the rest.
            for observation in self._memory.recalled(self._header.pools, policy.memory_s):
                policy.decide(observation)
        return policy

    def _last(self, time_s: float) -> None:
        """Until now things were as decided last."""
        if self._times_s and 0.0 < time_s - self._times_s[-1] <= self._longest_s:
            self._recorded.last(time_s - self._times_s[-1])
            self._replayed.last(time_s - self._times_s[-1])
        self._times_s.append(time_s)

    def _differences(self, turn: Turn, decision: Decision) -> Iterator[Difference]:
        for pool in turn.observation.pools:
            ours, theirs = self._replayed.wanted.get(pool), self._recorded.wanted.get(pool)
            said, recorded = _said(decision, pool), _said(turn.decision, pool)
            if (ours != theirs) if self._other else (said != recorded):
                yield Difference(turn.observation.time_s, pool, recorded, said, theirs, ours)

    def done(self) -> Replay:
        assert self._header is not None
        return Replay(
            journal=str(self._path),
            recorded_policy=str(self._header.policy.get("kind")),
            policy=(self._spec or spec_of(self._header)).kind,
            is_other=self._other is not None,
            ticks=len(self._times_s),
            starts=self.starts,
            missing=self.missing,
            differences=tuple(found for certain, found in self._found if certain),
            uncertain=tuple(found for certain, found in self._found if not certain),
            recorded=self._recorded.bill(self._pools),
            replayed=self._replayed.bill(self._pools),
        )


class _Memory:
    """What the journal remembers, as the daemon reads it at a start, and whether the policy's own may hold more."""

    def __init__(self, whole: bool, most_s: float) -> None:
        self._most_s = most_s
        self._seen: deque[Observation] = deque()
        self._whole = whole
        """Whether nothing is missing before `_seen` that was there when the daemon began."""
        self._unsure = not whole
        self._since_s: float | None = None
        """The first turn after those that are missing."""

    def lose(self) -> None:
        self._unsure, self._since_s = True, None

    def see(self, observation: Observation, memory_s: float) -> bool:
        """Enter it, and say whether all that the policy remembers of it is in the journal."""
        self._seen.append(observation)
        while len(self._seen) > 1 and self._seen[1].time_s < observation.time_s - self._most_s:
            self._seen.popleft()
            self._whole = True
        if self._unsure and self._since_s is None:
            self._since_s = observation.time_s
        if self._since_s is not None and observation.time_s > self._since_s + memory_s:
            self._unsure, self._since_s = False, None
        return not self._unsure

    def recalled(self, pools: Pools, memory_s: float) -> list[Observation]:
        """The observations of these same pools over the last `memory_s`, and once before, oldest first."""
        found: list[Observation] = []
        enough = self._whole
        for observation in reversed(self._seen):
            if enough := observation.pools.keys() != pools.keys():
                break
            found.append(observation)
            if enough := observation.time_s < found[0].time_s - memory_s:
                break
        if enough or self._whole:
            # What a gap took from the daemon's journal it did not remember either.
            self._unsure, self._since_s = False, None
        return found[::-1]


def decided(policy: Afresh, observation: Observation) -> Decision:
    """What the daemon's loop takes from the policy: one that fails keeps everything."""
    try:
        return policy.decide(observation)
    except Exception as error:
        words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return Decision(kept=dict.fromkeys(observation.pools, f"the policy failed: {words}"))


def _with_more(reading: PoolReading, replicas: int) -> PoolReading:
    if not replicas:
        return reading
    wanted, ready = (None if n is None else max(n + replicas, 0) for n in (reading.wanted, reading.ready))
    return replace(reading, wanted=wanted, ready=ready)


def _decides_otherwise(before: Header, after: Header) -> bool:
    return before.policy != after.policy or before.pools != after.pools


def _longest_s(path: Path, other: PolicySpec | None) -> float:
    """The longest memory of all policies of the journal."""
    return max(built(other or spec_of(header), header.pools).memory_s for header in headers(path))


def _said(decision: Decision, pool: str) -> Said:
    return decision.reasons.get(pool, decision.kept.get(pool))


def _said_json(said: Said) -> dict[str, Any]:
    if isinstance(said, Reason):
        limits = [{"by": x.by, "before": x.before, "after": x.after, "why": x.why} for x in said.limits]
        return {"target": said.final, "wish": said.wish, "because": said.because, "limits": limits}
    return {"target": None, "because": said}


def lines(found: Replay) -> Iterator[str]:
    """The replay for people."""
    against = f"{found.policy} instead of {found.recorded_policy}" if found.is_other else found.policy
    starts = f", {found.starts} starts" if found.starts > 1 else ""
    yield f"{found.journal}: {number(found.ticks)} ticks{starts}, replayed with {against}"
    if found.missing:
        yield f"{number(found.missing)} turns could not be written when they were decided"
    yield from _listed(found)
    if found.is_other:
        yield from _bills(found)


def _listed(found: Replay) -> Iterator[str]:
    differ = "other replicas wanted" if found.is_other else "decided otherwise"
    yield f"{differ}: {number(len(found.differences))} times" if found.differences else "no differences"
    for difference in found.differences[:MOST_LINES]:
        yield from _difference_lines(difference, found.is_other)
    if (more := len(found.differences) - MOST_LINES) > 0:
        yield f"  and {number(more)} more; --json tells all"
    if found.uncertain:
        yield (
            f"{number(len(found.uncertain))} more where the policy had seen turns that the journal lacks; "
            "--json tells them"
        )


def _difference_lines(difference: Difference, is_other: bool) -> Iterator[str]:
    wanted = f"{difference.recorded_wanted} -> {difference.replayed_wanted}"
    yield f"  {moment(difference.time_s)}  {difference.pool}: {wanted}"
    if not is_other:
        yield f"    recorded  {difference.recorded}"
        yield f"    replayed  {difference.replayed}"


def _bills(found: Replay) -> Iterator[str]:
    before, after = found.recorded, found.replayed
    yield (
        f"replica-hours wanted: {number(before.replica_hours)} -> {number(after.replica_hours)}, "
        f"cost: {usd(before.cost_usd)} -> {usd(after.cost_usd)}"
    )
    yield (
        "requests are as they were seen under the recorded decisions: how they would have fared under others, "
        "`poolwright scenario-from-journal` and `compare` tell"
    )
