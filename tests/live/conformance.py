"""What poolwright takes for granted of a Kubernetes API, as checks that any server can be put through.

Each check takes a `Ground` and leaves nothing that the next one minds. Where versions differ, the check says so:
`minor` is the server's. Proved on Kubernetes 1.20; the ways of later versions are from their documentation.
"""

from collections.abc import Callable

import conformance_objects
import conformance_scaling
import conformance_versions
from conformance_ground import CUSTOM_RESOURCE, Ground

CHECKS: tuple[Callable[[Ground], None], ...] = tuple(
    check
    for module in (conformance_scaling, conformance_versions, conformance_objects)
    for name, check in vars(module).items()
    if name.startswith("check_")
)

__all__ = ["CHECKS", "CUSTOM_RESOURCE", "Ground"]
