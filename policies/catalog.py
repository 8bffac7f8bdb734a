"""The policies that a file may name."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import rebuild_dataclass

from policies.fcfs import FcfsSpec
from policies.fixed import FixedSpec
from policies.hpa import HpaSpec
from policies.keda import KedaSpec
from policies.schedule import ScheduleSpec
from policies.stabilized import StabilizedSpec
from policies.target import TargetSpec

PolicySpec = Annotated[
    FcfsSpec | FixedSpec | HpaSpec | KedaSpec | ScheduleSpec | TargetSpec | StabilizedSpec, Field(discriminator="kind")
]

# A policy around a policy names this union, which can only be known here.
rebuild_dataclass(StabilizedSpec, _types_namespace={"PolicySpec": PolicySpec})  # type: ignore[arg-type]
