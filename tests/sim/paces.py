"""Paces of the product that are minutes where a seed has seconds. Nothing relies on them but the time that things take.

What is a bound on how long somebody else may still be at it (storage.housekeeping.rebuild.SETTLE_S) stays as it is.
"""

from cluster.wire import client
from storage.housekeeping import rows
from storage.rings import conductor

ROWS_PATIENCE_S = 4.0  # for a proxy that has died before it saw to a row
GRACE_S = 1.5  # for a process that is slow to take over a version of the rings: some sleep through a change
PACE_S = 0.5  # of a change of the rings: so that two or three end in a seed
SWEEP_S = 0.2  # between looks for deadlines on a connection, of which there are thirty: slower than it is, to save time


def hasten() -> None:
    """Set them, for good."""
    rows.PATIENCE_S = ROWS_PATIENCE_S
    conductor.GRACE_S, conductor.PACE_S, conductor.RETRY_S = GRACE_S, PACE_S, 2 * PACE_S
    client.SWEEP_S = SWEEP_S
