"""The policies that a file may name."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import rebuild_dataclass

from policies.fcfs import FcfsSpec
from policies.fixed import FixedSpec
from policies.hpa import HpaSpec
from policies.keda import KedaSpec
from policies.kpa import KpaSpec
from policies.ray_serve import RayServeSpec
from policies.schedule import ScheduleSpec
from policies.stabilized import StabilizedSpec
from policies.step import StepSpec
from policies.target import TargetSpec

PolicySpec = Annotated[
    FcfsSpec
    | FixedSpec
    | HpaSpec
    | KedaSpec
    | KpaSpec
    | RayServeSpec
    | ScheduleSpec
    | StabilizedSpec
    | StepSpec
    | TargetSpec,
    Field(discriminator="kind"),
]

AROUND = (StabilizedSpec,)
"""Policies around a policy: these name the union, which can only be known here."""

for around in AROUND:
    rebuild_dataclass(around, _types_namespace={"PolicySpec": PolicySpec})  # type: ignore[arg-type]
