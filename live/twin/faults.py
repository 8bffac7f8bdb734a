"""What can go wrong between a client and a server, as data: rules by time, verb and path."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np


@dataclass(frozen=True, slots=True)
class Refused:
    """Answered with a failure; nothing is done."""

    status: int
    message: str = "the server is not able to handle the request"
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer; what was asked is done or not."""

    done: bool = False


@dataclass(frozen=True, slots=True)
class Slow:
    """Done after a while, also where nobody waits for it any more."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """A watch breaks off after some events."""

    after: int = 0


@dataclass(frozen=True, slots=True)
class Gone:
    """A watch, or a list's next page, is told that its version is forgotten."""


@dataclass(frozen=True, slots=True)
class Stale:
    """Read as it was some changes ago."""

    changes: int = 10


@dataclass(frozen=True, slots=True)
class Truncated:
    """Half of the body, which then is no JSON."""


@dataclass(frozen=True, slots=True)
class Emptied:
    """A query finds nothing."""


@dataclass(frozen=True, slots=True)
class NotNumbers:
    """A query finds NaN."""


@dataclass(frozen=True, slots=True)
class Old:
    """A query is answered as some time ago: the samples since have not come in."""

    by_s: float


@dataclass(frozen=True, slots=True)
class Partial:
    """A query finds only each other series, and says so in a warning."""

    warning: str = "fetching series: store was not reachable"


@dataclass(frozen=True, slots=True)
class Failed:
    """A query fails in the body, whatever the HTTP status."""

    status: int = 200
    kind: str = "execution"
    message: str = "query processing would load too many samples into memory"


Effect = Refused | Lost | Slow | Cut | Gone | Stale | Truncated | Emptied | NotNumbers | Old | Partial | Failed


@dataclass(frozen=True, slots=True)
class Rule:
    """When an effect strikes. Times are since the beginning of the twin."""

    effect: Effect
    from_s: float = 0.0
    until_s: float = inf
    verbs: tuple[str, ...] = ()
    """All where empty."""
    path: str = ""
    """A regular expression found somewhere in the path; for a query, in its expression."""
    times: float = inf
    chance: float = 1.0

    def fits(self, verb: str, path: str, elapsed_s: float) -> bool:
        return (
            self.from_s <= elapsed_s < self.until_s
            and (not self.verbs or verb in self.verbs)
            and re.search(self.path, path) is not None
        )


@dataclass(slots=True)
class Weather:
    """Rules in force; the first that strikes is what happens. Chances are drawn from `generator`."""

    rules: Sequence[Rule] = ()
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    struck: dict[int, int] = field(default_factory=dict)
    """How often, by the place in `rules`."""

    def strike(self, verb: str, path: str, elapsed_s: float) -> Effect | None:
        for i, rule in enumerate(self.rules):
            if self.struck.get(i, 0) >= rule.times or not rule.fits(verb, path, elapsed_s):
                continue
            if rule.chance >= 1.0 or self.generator.random() < rule.chance:
                self.struck[i] = self.struck.get(i, 0) + 1
                return rule.effect
        return None


CONFLICT = Refused(409, "Operation cannot be fulfilled: the object has been modified")
TOO_MANY = Refused(429, "Too many requests, please try again later.", retry_after_s=1)
WRITES = ("create", "update", "patch", "delete")


def storm(generator: np.random.Generator, until_s: float, rules: int = 12) -> list[Rule]:
    """Faults of a Kubernetes API at random, all over at `until_s`."""
    made = []
    for _ in range(rules):
        effect, verbs = _API_FAULTS[generator.integers(len(_API_FAULTS))]
        made.append(_spell(generator, until_s, effect, verbs))
    return made


def drought(generator: np.random.Generator, until_s: float, rules: int = 6) -> list[Rule]:
    """Faults of a Prometheus at random, all over at `until_s`."""
    faults = [_QUERY_FAULTS[generator.integers(len(_QUERY_FAULTS))] for _ in range(rules)]
    return [_spell(generator, until_s, effect, ("query",)) for effect in faults]


def _spell(generator: np.random.Generator, until_s: float, effect: Effect, verbs: tuple[str, ...]) -> Rule:
    begin_s, end_s = sorted(generator.uniform(0.0, until_s, 2))
    return Rule(effect, float(begin_s), float(end_s), verbs, chance=float(generator.choice([0.1, 0.5, 1.0])))


_API_FAULTS: tuple[tuple[Effect, tuple[str, ...]], ...] = (
    (CONFLICT, ("update", "patch")),
    (Refused(422, "is invalid"), ("patch",)),
    (TOO_MANY, ()),
    (Refused(429, "Too many requests, please try again later.", retry_after_s=20), WRITES),
    (Refused(500, "etcdserver: request timed out"), ()),
    (Refused(503), ()),
    (Refused(403, "is forbidden"), ("patch", "list")),
    (Slow(3.0), ()),
    (Slow(40.0), ()),
    (Lost(done=False), ()),
    (Lost(done=True), WRITES),
    (Cut(1), ("watch",)),
    (Gone(), ("watch",)),
    (Stale(20), ("list", "get")),
)

_QUERY_FAULTS: tuple[Effect, ...] = (
    *(Refused(400), Refused(422), Refused(500), Refused(503), Failed(), Failed(422), Failed(503, "timeout")),
    *(Slow(2.0), Slow(40.0), Lost(), Truncated(), Emptied(), NotNumbers(), Old(120.0), Old(3600.0), Partial()),
)
