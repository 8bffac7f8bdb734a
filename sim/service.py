"""The laws of durations: how long services, start-ups, patience and the gaps between arrivals last.

Every law has `mean_s` and `scv` (squared coefficient of variation, `math.inf` where the variance is), `quantile`
(seconds that a duration does not exceed with this probability, 0 < fraction < 1, `ValueError` elsewhere), and
`sampler`: a reader of the stream whose call with n returns the next n durations, finite and >= 0, in an array of
the caller's own. The durations do not depend on how many are read at a time.
"""

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from pydantic.dataclasses import dataclass

from policies.spec import STRICT, AList, Positive, PositiveCount, PositiveSeconds, Seconds
from sim.draws import Sampler, Shares, chooser, inner, scaled
from sim.empirical import Empirical, read_on_loading
from sim.streams import Stream

__all__ = [
    "BalancedHyperexponential",
    "Constant",
    "Duration",
    "Empirical",
    "Erlang",
    "Exponential",
    "Gamma",
    "Hyperexponential",
    "Law",
    "Lognormal",
    "Pareto",
    "Uniform",
    "Weibull",
]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Constant:
    kind: Literal["constant"] = "constant"
    value_s: Seconds
    """Every duration, in seconds."""

    @property
    def mean_s(self) -> float:
        return self.value_s

    @property
    def scv(self) -> float:
        return 0.0

    def quantile(self, fraction: float) -> float:
        inner(fraction)
        return self.value_s

    def sampler(self, _stream: Stream) -> Sampler:
        return lambda n: np.full(n, self.value_s)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Uniform:
    kind: Literal["uniform"] = "uniform"
    low_s: Seconds
    """The shortest duration, in seconds."""
    high_s: Seconds
    """The longest duration, in seconds."""

    def __post_init__(self) -> None:
        if self.low_s > self.high_s:
            raise ValueError(f"low_s {self.low_s:g} is above high_s {self.high_s:g}; exchange them")

    @property
    def mean_s(self) -> float:
        return (self.low_s + self.high_s) / 2

    @property
    def scv(self) -> float:
        return (self.high_s - self.low_s) ** 2 / (12 * self.mean_s**2) if self.mean_s else 0.0

    def quantile(self, fraction: float) -> float:
        return self.low_s + inner(fraction) * (self.high_s - self.low_s)

    def sampler(self, stream: Stream) -> Sampler:
        generator = stream.generator()
        return lambda n: generator.uniform(self.low_s, self.high_s, n)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Exponential:
    kind: Literal["exponential"] = "exponential"
    mean_s: PositiveSeconds
    """Mean duration, in seconds."""

    @property
    def scv(self) -> float:
        return 1.0

    def quantile(self, fraction: float) -> float:
        return -self.mean_s * math.log1p(-inner(fraction))

    def sampler(self, stream: Stream) -> Sampler:
        generator = stream.generator()
        return lambda n: scaled(generator.standard_exponential(n), self.mean_s)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Gamma:
    kind: Literal["gamma"] = "gamma"
    mean_s: PositiveSeconds
    """Mean duration, in seconds."""
    scv: Positive
    """Squared coefficient of variation: 1 is exponential, less is steadier."""

    def quantile(self, fraction: float) -> float:
        return _gamma_quantile(self.mean_s, 1 / self.scv, fraction)

    def sampler(self, stream: Stream) -> Sampler:
        generator = stream.generator()
        return lambda n: generator.gamma(1 / self.scv, self.mean_s * self.scv, n)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Erlang:
    kind: Literal["erlang"] = "erlang"
    mean_s: PositiveSeconds
    """Mean duration of all stages together, in seconds."""
    stages: PositiveCount
    """How many exponential stages of equal mean follow one another."""

    @property
    def scv(self) -> float:
        return 1 / self.stages

    def quantile(self, fraction: float) -> float:
        return _gamma_quantile(self.mean_s, self.stages, fraction)

    def sampler(self, stream: Stream) -> Sampler:
        generator = stream.generator()
        return lambda n: generator.gamma(self.stages, self.mean_s / self.stages, n)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Lognormal:
    kind: Literal["lognormal"] = "lognormal"
    mean_s: PositiveSeconds
    """Mean duration, in seconds."""
    scv: Positive
    """Squared coefficient of variation."""

    @property
    def _log_mean(self) -> float:
        return math.log(self.mean_s) - math.log1p(self.scv) / 2

    @property
    def _log_deviation(self) -> float:
        return math.sqrt(math.log1p(self.scv))

    def quantile(self, fraction: float) -> float:
        from scipy.special import ndtri

        return math.exp(self._log_mean + self._log_deviation * float(ndtri(inner(fraction))))

    def sampler(self, stream: Stream) -> Sampler:
        generator = stream.generator()
        return lambda n: generator.lognormal(self._log_mean, self._log_deviation, n)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Pareto:
    """Pareto of the first type: no duration is under mean_s * (shape - 1) / shape."""

    kind: Literal["pareto"] = "pareto"
    mean_s: PositiveSeconds
    """Mean duration, in seconds."""
    shape: Annotated[float, Field(gt=1)]
    """Tail index: the share of durations beyond x falls as x ** -shape; at 2 or less the variance is infinite."""

    @property
    def _shortest_s(self) -> float:
        return self.mean_s * (self.shape - 1) / self.shape

    @property
    def scv(self) -> float:
        return 1 / (self.shape * (self.shape - 2)) if self.shape > 2 else math.inf

    def quantile(self, fraction: float) -> float:
        return self._shortest_s * math.exp(-math.log1p(-inner(fraction)) / self.shape)

    def sampler(self, stream: Stream) -> Sampler:
        generator = stream.generator()
        return lambda n: self._shortest_s * (1 + generator.pareto(self.shape, n))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Weibull:
    kind: Literal["weibull"] = "weibull"
    mean_s: PositiveSeconds
    """Mean duration, in seconds."""
    # Below 0.05 durations outgrow what a float can hold.
    shape: Annotated[float, Field(ge=0.05)]
    """1 is exponential; less has a longer tail, more is steadier."""

    @property
    def _scale_s(self) -> float:
        return self.mean_s / math.gamma(1 + 1 / self.shape)

    @property
    def scv(self) -> float:
        return math.expm1(math.lgamma(1 + 2 / self.shape) - 2 * math.lgamma(1 + 1 / self.shape))

    def quantile(self, fraction: float) -> float:
        return float(self._scale_s * (-math.log1p(-inner(fraction))) ** (1 / self.shape))

    def sampler(self, stream: Stream) -> Sampler:
        generator = stream.generator()
        return lambda n: self._scale_s * generator.weibull(self.shape, n)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BalancedHyperexponential:
    """Two exponential branches that carry equal loads, of rates 2p/mean and 2(1-p)/mean (Tijms, Stochastic Models)."""

    kind: Literal["hyperexponential"] = "hyperexponential"
    mean_s: PositiveSeconds
    """Mean duration, in seconds."""
    scv: Annotated[float, Field(ge=1)]
    """Squared coefficient of variation, at least 1."""

    @property
    def branches(self) -> "Hyperexponential":
        spread = math.sqrt((self.scv - 1) / (self.scv + 1))
        shares = ((1 + spread) / 2, (1 - spread) / 2)
        return Hyperexponential(probabilities=shares, means_s=tuple(self.mean_s / (2 * share) for share in shares))

    def quantile(self, fraction: float) -> float:
        return self.branches.quantile(fraction)

    def sampler(self, stream: Stream) -> Sampler:
        return self.branches.sampler(stream)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Hyperexponential:
    """A mixture of exponentials, each branch with a mean of its own."""

    kind: Literal["hyperexponential"] = "hyperexponential"
    probabilities: Shares
    """How likely each branch is; together 1."""
    means_s: Annotated[tuple[PositiveSeconds, ...], AList]
    """Mean duration of each branch, in seconds."""

    def __post_init__(self) -> None:
        if len(self.probabilities) != len(self.means_s):
            raise ValueError(f"{len(self.probabilities)} probabilities need as many means_s, got {len(self.means_s)}")

    @property
    def mean_s(self) -> float:
        return self._expected(self.means_s)

    @property
    def scv(self) -> float:
        return 2 * self._expected([mean**2 for mean in self.means_s]) / self.mean_s**2 - 1

    def _expected(self, values: Iterable[float]) -> float:
        return sum(p * value for p, value in zip(self.probabilities, values, strict=True))

    def quantile(self, fraction: float) -> float:
        """Found numerically, between 0 and the quantile of the slowest branch."""
        from scipy.optimize import brentq

        beyond_s = -max(self.means_s) * math.log1p(-inner(fraction))

        def excess(share: float) -> float:
            return 1 - fraction - self._expected(math.exp(-share * beyond_s / mean) for mean in self.means_s)

        return beyond_s * float(brentq(excess, 0.0, 1.0 + 1e-9, xtol=1e-15))

    def sampler(self, stream: Stream) -> Sampler:
        branch = chooser(stream / "branch", self.probabilities)
        value = (stream / "value").generator()
        means_s = np.array(self.means_s)
        return lambda n: means_s[branch(n)] * value.standard_exponential(n)


def _branches_given(law: Any) -> str:
    """Which of the two hyperexponential specs this is, for pydantic."""
    given = law if isinstance(law, dict) else getattr(law, "__dict__", {})
    return "branches" if given.keys() & {"probabilities", "means_s"} else "balanced"


Law = Annotated[
    Constant
    | Uniform
    | Exponential
    | Gamma
    | Erlang
    | Lognormal
    | Pareto
    | Weibull
    | Annotated[
        Annotated[BalancedHyperexponential, Tag("balanced")] | Annotated[Hyperexponential, Tag("branches")],
        Discriminator(_branches_given),
    ]
    | Annotated[Empirical, AfterValidator(read_on_loading)],
    Field(discriminator="kind"),
]
"""Any law of durations, told apart by `kind`."""


def _number_as_law(value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {"kind": "constant", "value_s": value} if is_number else value


Duration = Annotated[Law, BeforeValidator(_number_as_law, json_schema_input_type=float | Law)]
"""A law of durations; in a file a plain number of seconds stands for the constant."""


def _gamma_quantile(mean_s: float, shape: float, fraction: float) -> float:
    from scipy.special import gammaincinv

    return mean_s / shape * float(gammaincinv(shape, inner(fraction)))
