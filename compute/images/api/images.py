"""Operations on images, but for their data."""

from urllib.parse import urlencode

from cluster.controlplane.answer import NO_CONTENT, Answer, ok
from compute.errors import BadRequest, Forbidden
from compute.images import attributes, images, imports, limits, listing, patch
from compute.images.api.context import SEE_ALL, Context, found, target_of
from compute.images.api.documents import STORE, of_image
from compute.images.records import Image, new_id
from compute.images.statuses import WITH_DATA, Status, Visibility


def list_all(context: Context) -> Answer:
    """GET /v2/images."""
    context.enforce("get_images", {"project_id": context.project_id})
    limit = _limit(context)
    page = listing.list_page(
        context.connection, context.query_lists, context.project_id, context.allows(SEE_ALL), limit
    )
    document = {"images": [of_image(image) for image in page], "schema": "/v2/schemas/images"}
    pairs = [(name, value) for name, values in context.query_lists.items() for value in values if name != "marker"]
    document["first"] = "/v2/images" + (f"?{urlencode(pairs)}" if pairs else "")
    if page and len(page) == limit:
        pairs.append(("marker", page[-1].id))
        document["next"] = f"/v2/images?{urlencode(pairs)}"
    return ok(document)


def create(context: Context) -> Answer:
    """POST /v2/images."""
    document = dict(context.document)
    for name in document:
        attributes.refuse_foreign(name)
    attributes.check(document)
    now_us = context.now_us
    image = Image(str(document.pop("id", "")).lower() or new_id(), context.project_id, now_us, now_us)
    image = attributes.with_attributes(image, document)
    attributes.check_whole(image, context.parts.settings)
    if image.owner != context.project_id and not context.allows("choose_owner"):
        raise Forbidden(f"You are not permitted to create images owned by '{image.owner}'.")
    target = {**target_of(context.connection, image, context.caller)}
    context.enforce("add_image", target)
    _check_visibility(context, image)
    limits.check_count(context.connection, image.owner, context.parts.settings.quota)
    images.create(context.connection, image)
    shown = of_image(images.get(context.connection, image.id))
    headers = {
        "Location": f"{context.base_url}/v2/images/{image.id}",
        "OpenStack-image-import-methods": ",".join(imports.methods(context.parts.dock)),
        "OpenStack-image-store-ids": STORE,
    }
    return Answer(201, shown, headers)


def show(context: Context, image_id: str) -> Answer:
    """GET /v2/images/{image_id}."""
    return ok(of_image(found(context, image_id)))


def change(context: Context, image_id: str) -> Answer:
    """PATCH /v2/images/{image_id}."""
    image = found(context, image_id)
    changes = patch.parse(*context.document)
    new = patch.applied(image, changes, context.parts.settings)
    context.enforce("modify_image", target_of(context.connection, image, context.caller))
    if new.owner != image.owner and not context.allows("choose_owner"):
        raise Forbidden("You are not permitted to modify 'owner' on this image.")
    if new.visibility is not image.visibility:
        _check_visibility(context, new)
    return ok(of_image(images.replace_attributes(context.connection, image, new, context.now_us)))


def remove(context: Context, image_id: str) -> Answer:
    """DELETE /v2/images/{image_id}."""
    images.remove(context.connection, found(context, image_id, "delete_image"), context.now_us)
    return NO_CONTENT


def deactivate(context: Context, image_id: str) -> Answer:
    """POST /v2/images/{image_id}/actions/deactivate."""
    return _set_active(context, found(context, image_id, "deactivate"), Status.DEACTIVATED)


def reactivate(context: Context, image_id: str) -> Answer:
    """POST /v2/images/{image_id}/actions/reactivate."""
    return _set_active(context, found(context, image_id, "reactivate"), Status.ACTIVE)


def remove_from_store(context: Context, store_id: str, image_id: str) -> Answer:
    """DELETE /v2/stores/{store_id}/{image_id}: the only store there is is the last one."""
    image = found(context, image_id, "delete_image_location")
    if store_id != STORE:
        raise BadRequest(f"Image {image.id} is not stored on store {store_id}.")
    raise Forbidden(f"Cannot delete the last location of image {image.id}.")


def _set_active(context: Context, image: Image, status: Status) -> Answer:
    if image.status not in WITH_DATA:
        raise Forbidden(f"Not allowed to {'de' if status is Status.DEACTIVATED else 're'}activate image in status "
                        f"'{image.status.value}'")
    if image.status is not status:
        images.step(context.connection, image, status, context.now_us)
    return NO_CONTENT


def _check_visibility(context: Context, image: Image) -> None:
    rule = {Visibility.PUBLIC: "publicize_image", Visibility.COMMUNITY: "communitize_image"}.get(image.visibility)
    if rule is not None:
        context.enforce(rule, target_of(context.connection, image, context.caller))


def _limit(context: Context) -> int:
    settings = context.parts.settings
    text = context.query.get("limit")
    if text is None:
        return settings.page_default
    if not (text.isascii() and text.isdigit()):
        raise BadRequest("limit param must be a positive integer" if text.startswith("-") else
                         "limit param must be an integer")
    return min(int(text[:9]), settings.page_limit)


