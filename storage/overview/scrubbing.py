"""What scrubbing has found on a device, in sentences."""

from collections.abc import Iterator, Mapping
from typing import Any


def troubles(state: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is amiss."""
    if state["paused"]:
        yield "Scrub is paused: damage to what nobody reads is not found. Set scrub_bytes_per_s in [storage]."
    if state["too_slow"]:
        days = state["bytes"] / state["bytes_per_s"] / 86400
        yield (
            f"Scrub is too slow: a pass takes {days:.1f} days at scrub_bytes_per_s = {state['bytes_per_s']}, "
            f"and one is wanted every {state['cycle_s'] / 86400:.1f}."
        )
    waiting = state["quarantined"] - state["lost"]
    if waiting:
        yield f"{waiting} damaged versions are being fetched from other replicas."
    if state["databases_damaged"]:
        why = f" ({state['databases_wait']})" if state["databases_wait"] else ""
        yield f"{state['databases_damaged']} damaged databases are being made anew from other replicas{why}."
    if state["chunks_differ"]:
        names = ", ".join(state["differing_chunks"][:5]) + (", …" if state["chunks_differ"] > 5 else "")
        yield (
            f"Of {state['chunks_differ']} chunks of volumes no two replicas are the same: {names}. "
            "Restore their volumes from a backup; to write such a chunk anew ends this, too."
        )
    if state["lost"]:
        names = ", ".join(state["lost_objects"][:5]) + (", …" if state["lost"] > 5 else "")
        yield (
            f"LOST: {state['lost']} versions are damaged on every replica that can be asked: {names}. "
            "Bring back devices that are away, or write them again from a backup; deleting them ends this, too."
        )
