"""A page of the images that somebody asks for."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from compute.errors import BadRequest
from compute.images import filters, images, sorting, visibility
from compute.images.errors import NoSuchImage
from compute.images.records import Image, with_attributes
from compute.images.schema import images as table


def list_page(
    connection: Connection, query: Mapping[str, Sequence[str]], project_id: str | None, is_admin: bool, limit: int
) -> list[Image]:
    """Return up to `limit` images that a project sees and `query` asks for. Raise BadRequest."""
    keys = sorting.keys_of(query)
    seen = visibility.listed(
        project_id, is_admin, filters.wanted_visibility(query), filters.wanted_member_status(query)
    )
    rows = select(table).where(table.c.deleted_at_us.is_(None), seen, *filters.conditions(query))
    if "marker" in query:
        rows = rows.where(sorting.behind(keys, _marker(connection, query["marker"][-1], project_id, is_admin)))
    rows = rows.order_by(*sorting.ordered(keys)).limit(limit)
    return with_attributes(connection, connection.execute(rows).all())


def _marker(connection: Connection, image_id: str, project_id: str | None, is_admin: bool) -> Image:
    """Return the last image that the client has; it must be one that it sees."""
    try:
        image = images.get(connection, image_id)
    except NoSuchImage as error:
        raise BadRequest(str(error)) from None
    if not is_admin and not visibility.sees(connection, image, project_id):
        raise BadRequest(str(NoSuchImage(image_id)))
    return image
