"""What is simulated: pools of servers with Poisson arrivals, exponential services and a rho of 5/6."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

from policies.queues import MMC

SERVICE_S = 5.0
RHO = 5 / 6
DENSE = 15_000
"""Requests a tick and pool where the cost of ticks is to vanish."""
SPARSE = 25
"""Requests a tick and pool of the worked case: ten servers, 100 requests a minute, ticks of 15 s."""


@dataclass(frozen=True, slots=True)
class Case:
    """Pools alike, each with a queue, arrivals and servers of its own."""

    servers: int
    pools: int = 1

    @property
    def name(self) -> str:
        return f"M/M/{self.servers}" if self.pools == 1 else f"{self.pools} x M/M/{self.servers}"

    @property
    def rate_per_s(self) -> float:
        """Arrivals a second of one pool."""
        return RHO * self.servers / SERVICE_S

    @property
    def response_s(self) -> float:
        """Mean response time, by Erlang C."""
        return MMC(self.rate_per_s, SERVICE_S, self.servers).response_s

    def horizon_s(self, requests: float) -> float:
        """How long it takes until so many requests have come to all pools together."""
        return requests / (self.rate_per_s * self.pools)

    def tick_s(self, per_tick: float) -> float:
        """Time in which so many requests come to one pool."""
        return per_tick / self.rate_per_s

    def agrees(self, response_s: float, requests: int) -> bool:
        """Whether so many requests may have had this mean response, by five standard deviations.

        While all servers are busy the queue is that of M/M/1 with a server as fast as all of them, for which Daley
        (1968) gives the variance of the mean wait. Who is still there at the end is missing from the mean.
        """
        waits = (SERVICE_S / self.servers) ** 2 * RHO * (2 + 5 * RHO - 4 * RHO**2 + RHO**3) / (1 - RHO) ** 4
        sampling_s = 5 * sqrt((waits + SERVICE_S**2) / requests)
        return abs(response_s - self.response_s) <= sampling_s + self.response_s**2 / self.horizon_s(requests)

    def scenario(self, horizon_s: float, tick_s: float, **of_model: Any) -> dict[str, Any]:
        """A scenario as a file would have it; `of_model` says what its models have of their own."""
        return {
            "name": "benchmark",
            "horizon_s": horizon_s,
            "warmup_s": 0.0,
            "control": {"tick_s": tick_s, "scrape_s": tick_s},
            "models": [self._model(i) | of_model for i in range(self.pools)],
            "traffic": [c for i in range(self.pools) for c in self._traffic(i)],
            "policy": {"kind": "fixed"},
        }

    def _model(self, i: int) -> dict[str, Any]:
        service = {"kind": "exponential", "mean_s": SERVICE_S}
        replicas = {"initial": self.servers, "at_most": max(1000, self.servers)}
        return {"name": f"model-{i}", "versions": [{"name": "v1", "service": service, "replicas": replicas}]}

    def _traffic(self, i: int) -> list[dict[str, Any]]:
        arrivals = {"kind": "poisson", "rate_per_s": self.rate_per_s}
        return [{"name": f"class-{i}", "model": f"model-{i}", "arrivals": arrivals}]


def two_classes(scenario: dict[str, Any]) -> dict[str, Any]:
    """The same load as two request classes, the second to be served before the first where priority counts."""
    halves = []
    for c in scenario["traffic"]:
        arrivals = c["arrivals"] | {"rate_per_s": c["arrivals"]["rate_per_s"] / 2}
        halves += [c | {"name": f"{c['name']}-{p}", "priority": p, "arrivals": arrivals} for p in (1, 0)]
    return scenario | {"traffic": halves}
