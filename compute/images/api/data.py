"""The data of images: PUT and GET /v2/images/{image_id}/file, PUT /v2/images/{image_id}/stage.

These are no operations: a transaction that lasted as long as a client takes would keep others from writing. Who may do
what is looked at in a transaction of its own before, and nothing that a client sends is read before that.
"""

from collections.abc import Iterator

import falcon
from sqlalchemy import Connection

from cluster.controlplane.database import retried
from compute.context import caller_of
from compute.errors import Forbidden
from compute.images import contents, uploads
from compute.images.api.context import Parts, permitted
from compute.images.api.ranges import Span, span_of
from compute.images.api.reading import Data
from compute.images.contents import Content
from compute.images.records import Image
from compute.images.statuses import Status
from compute.images.uploads import Begun


class File:
    """The falcon resource of an image's data."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_put(self, request: falcon.Request, response: falcon.Response, image_id: str) -> None:
        """Take the data of an image."""
        data = Data(request)
        begun = _begin(self._parts, request, image_id, Status.SAVING, contents.DATA, data)
        uploads.upload(self._parts.dock, begun, data.chunks(), data.size)
        response.status = falcon.HTTP_204

    def on_get(self, request: falcon.Request, response: falcon.Response, image_id: str) -> None:
        """Send the data of an image, or a part of it."""
        image, content = self._find(request, image_id)
        if content is not None:
            span = _span(request, content) or Span(0, _size(content))
            response.stream = _begun(self._parts.dock.store.read(content.key, span.begin, span.end))
        _describe(request, response, image, content)

    def on_head(self, request: falcon.Request, response: falcon.Response, image_id: str) -> None:
        """Tell what would be sent."""
        _describe(request, response, *self._find(request, image_id))

    def _find(self, request: falcon.Request, image_id: str) -> tuple[Image, Content | None]:
        parts, caller = self._parts, caller_of(self._parts.tokens, request)
        with parts.database.reading() as connection:
            image = permitted(parts, connection, caller, image_id, "download_image")
            if image.status is Status.DEACTIVATED and not parts.policy.allows("download_deactivated", caller):
                raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
            if image.status not in (Status.ACTIVE, Status.DEACTIVATED) or image.content_key is None:
                return image, None
            return image, contents.get(connection, image.content_key)


class Stage:
    """The falcon resource of what an image is imported from."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_put(self, request: falcon.Request, response: falcon.Response, image_id: str) -> None:
        """Take data to be imported."""
        data = Data(request)
        begun = _begin(self._parts, request, image_id, Status.UPLOADING, contents.STAGED, data)
        uploads.stage(self._parts.dock, begun, data.chunks(), data.size)
        response.status = falcon.HTTP_204


def _begin(
    parts: Parts, request: falcon.Request, image_id: str, status: Status, purpose: str, data: Data
) -> Begun:
    caller = caller_of(parts.tokens, request)

    def work(connection: Connection) -> Begun:
        image = permitted(parts, connection, caller, image_id, "upload_image")
        return uploads.begin(connection, parts.dock, image, status, purpose, data.size)

    return retried(parts.database, work)


def _describe(request: falcon.Request, response: falcon.Response, image: Image, content: Content | None) -> None:
    """Set the status and headers of a download; without a content the image has no data."""
    if content is None:
        response.status = falcon.HTTP_204
        return
    span, size = _span(request, content), _size(content)
    response.status = falcon.HTTP_206 if span else falcon.HTTP_200
    response.content_type = "application/octet-stream"
    response.set_header("Content-Length", str(span.length if span else size))
    response.set_header("Accept-Ranges", "bytes")
    if span:
        response.set_header("Content-Range", f"bytes {span.begin}-{span.end - 1}/{size}")
    elif image.checksum:
        response.set_header("Content-MD5", image.checksum)  # in hexadecimal digits, as Glance has it


def _span(request: falcon.Request, content: Content) -> Span | None:
    return span_of(request.get_header("Range"), _size(content))


def _size(content: Content) -> int:
    return content.digest.size


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Return `pieces`, of which the first is there: what does not answer is told before the answer begins."""
    first = next(pieces, b"")
    return _from(first, pieces)


def _from(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces
