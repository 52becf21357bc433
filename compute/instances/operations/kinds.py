"""All kinds of operations, by their names."""

from typing import cast

from compute.instances.operations import building, changing, deleting, imaging, power, rebuilding
from compute.instances.operations.moving import Evacuating, Resizing, Reverting
from compute.instances.operations.rescuing import Rescuing, Unrescuing
from compute.instances.operations.shelving import Shelving, Unshelving
from compute.instances.operations.work import Kind

_ALL = (
    building,
    deleting,
    changing,
    imaging,
    rebuilding,
    Resizing,
    Reverting,
    Evacuating,
    Shelving,
    Unshelving,
    Rescuing,
    Unrescuing,
    *power.ALL,
)
KINDS = {each.NAME: cast(Kind, each) for each in _ALL}
assert len(KINDS) == len(_ALL)
