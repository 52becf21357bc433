"""POST /v2/images/{image_id}/actions/golden: an image as the snapshot of a volume. Ours; the volume service asks."""

from cluster.controlplane.answer import Answer, ok
from compute.errors import Conflict
from compute.images import golden, goldens
from compute.images.api.context import Context, found
from compute.images.formats import declared
from compute.images.statuses import Status

RETRY_US = 30 * 1_000_000  # after which one that failed is tried again when it is asked for


def show(context: Context, image_id: str) -> Answer:
    """Return where the volume is, or have it made: 202 until it is there."""
    image = found(context, image_id, "golden_image")
    if image.status is not Status.ACTIVE:
        raise Conflict(f"Image {image.id} is {image.status.value}, not active.")
    if image.disk_format not in declared.DISKS or not image.virtual_size or not context.parts.has_volumes:
        raise Conflict(f"No volume can be made of image {image.id}.")
    known = goldens.get(context.connection, image.id)
    if known is None:
        goldens.want(context.connection, image.id, context.now_us)
    elif known.state == goldens.READY:
        return ok({
            "status": "ready",
            "volume": golden.name_of(image.id),
            "snapshot": golden.SNAPSHOT,
            "size": known.size,
            "disk_format": image.disk_format,
            "min_disk": image.min_disk,
        })
    elif known.state == goldens.FAILED:
        if context.now_us < known.changed_at_us + RETRY_US:
            raise Conflict(f"No volume could be made of image {image.id}: {known.message}")
        goldens.want_again(context.connection, known, context.now_us)
    return Answer(202, {"status": "converting"})
