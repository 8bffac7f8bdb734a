"""The policies that a file may name."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import rebuild_dataclass

from policies.budget import BudgetSpec
from policies.clairvoyant import ClairvoyantSpec
from policies.cold_start import ColdStartSpec
from policies.cooldown import CooldownSpec
from policies.fcfs import FcfsSpec
from policies.fixed import FixedSpec
from policies.forecast import ForecastSpec
from policies.fresh import FreshSpec
from policies.gq import GqSpec
from policies.hpa import HpaSpec
from policies.keda import KedaSpec
from policies.kpa import KpaSpec
from policies.maximum import MaximumSpec
from policies.mcq import McqSpec
from policies.mix import MixSpec
from policies.mpc import MpcSpec
from policies.paused import PausedSpec
from policies.rate_limited import RateLimitedSpec
from policies.ray_serve import RayServeSpec
from policies.schedule import ScheduleSpec
from policies.square_root import SquareRootSpec
from policies.stabilized import StabilizedSpec
from policies.step import StepSpec
from policies.target import TargetSpec

PolicySpec = Annotated[
    BudgetSpec
    | ClairvoyantSpec
    | ColdStartSpec
    | CooldownSpec
    | FcfsSpec
    | FixedSpec
    | ForecastSpec
    | FreshSpec
    | GqSpec
    | HpaSpec
    | KedaSpec
    | KpaSpec
    | MaximumSpec
    | McqSpec
    | MixSpec
    | MpcSpec
    | PausedSpec
    | RateLimitedSpec
    | RayServeSpec
    | ScheduleSpec
    | SquareRootSpec
    | StabilizedSpec
    | StepSpec
    | TargetSpec,
    Field(discriminator="kind"),
]

AROUND = (
    BudgetSpec,
    ColdStartSpec,
    CooldownSpec,
    ForecastSpec,
    FreshSpec,
    MaximumSpec,
    PausedSpec,
    RateLimitedSpec,
    StabilizedSpec,
)
"""Policies around a policy: these name the union, which can only be known here."""

for around in AROUND:
    rebuild_dataclass(around, _types_namespace={"PolicySpec": PolicySpec})  # type: ignore[arg-type]
