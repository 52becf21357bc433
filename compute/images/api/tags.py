"""Operations on tags, one at a time."""

from dataclasses import replace

from cluster.controlplane.answer import NO_CONTENT, Answer
from compute.errors import NotFound
from compute.images import attributes, images
from compute.images.api.context import Context, found


def add(context: Context, image_id: str, tag: str) -> Answer:
    """PUT /v2/images/{image_id}/tags/{tag}."""
    image = found(context, image_id, "modify_image")
    attributes.check({"tags": [tag]})
    if tag not in image.tags:
        new = replace(image, tags=(*image.tags, tag))
        attributes.check_whole(new, context.parts.settings)
        images.replace_attributes(context.connection, image, new, context.now_us)
    return NO_CONTENT


def remove(context: Context, image_id: str, tag: str) -> Answer:
    """DELETE /v2/images/{image_id}/tags/{tag}."""
    image = found(context, image_id, "modify_image")
    if tag not in image.tags:
        raise NotFound(f"The tag {tag} was not found on image {image.id}.")
    new = replace(image, tags=tuple(each for each in image.tags if each != tag))
    images.replace_attributes(context.connection, image, new, context.now_us)
    return NO_CONTENT
