"""Where versions come from, as writes that are decided upon what is there tell each other. Pure.

See proxy.objects.decision, which explains what for, and storage.metadata, which keeps it.
"""

from cluster.clock import ZERO
from storage.messages import Version
from storage.metadata import LINEAGE_LENGTH, Lineage, lineage_in


def lineage_of(version: Version | None) -> Lineage:
    """Return the lineage of a version that has its metadata, with its origin; None is a version too: of nothing."""
    if version is None:
        return Lineage(origin=ZERO)
    lineage = lineage_in(version.metadata)
    return lineage if lineage.origin else Lineage(lineage.before, version.timestamp)


def successor_of(version: Version | None) -> Lineage:
    """Return the lineage of what is written upon `version`."""
    before, origin = lineage_of(version)
    return Lineage((origin, *before)[:LINEAGE_LENGTH])
