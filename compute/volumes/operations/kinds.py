"""All kinds of operations, by their names."""

from collections.abc import Mapping
from typing import cast

from compute.volumes.operations import (
    backing_up,
    creation,
    deletion,
    dismissing,
    extension,
    imaging,
    restoring,
    retyping,
    reversion,
    snapshotting,
    uploading,
)
from compute.volumes.operations.work import Kind

_ALL = (
    creation,
    deletion.OfVolume,
    deletion.OfSnapshot,
    snapshotting,
    extension,
    reversion,
    retyping,
    uploading,
    imaging,
    backing_up.Taking,
    backing_up.Deleting,
    restoring,
    dismissing,
)

KINDS: Mapping[str, Kind] = {each.NAME: cast(Kind, each) for each in _ALL}
assert len(KINDS) == len(_ALL)
