"""Images that consist of snapshots: what the compute service makes of a server that begins with a volume. Pure.

Such an image has no data; its property `block_device_mapping` lists the snapshots of the server's volumes, as JSON. A
volume of the image is one of the snapshot that the server begins with.

Source: Cinder's API reference, version 3.46.
"""

import json
from typing import Any

from compute.volumes.backend import Image

_PROPERTY = "block_device_mapping"


def root_snapshot_id(image: Image) -> str | None:
    """Return the snapshot that an image begins with; None: it has data of its own."""
    for each in _mapping(image.about.get(_PROPERTY, "")):
        if isinstance(each, dict) and each.get("source_type") == "snapshot" and each.get("boot_index") == 0:
            snapshot_id = each.get("snapshot_id")
            return snapshot_id if isinstance(snapshot_id, str) else None
    return None


def _mapping(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return found if isinstance(found, list) else []
