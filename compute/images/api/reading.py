"""What clients send: documents, patches, and data that may be of any size."""

from collections.abc import Iterator
from typing import Any

import falcon

from cluster.controlplane.requests import media_type_of, read_document, read_json
from compute.errors import BadRequest, Unsupported

READ_SIZE = 256 * 1024
_DATA_TYPE = "application/octet-stream"
_SIZE_HEADER = "X-Openstack-Image-Size"


def read(request: falcon.Request) -> Any:
    """Return the document of a request; of a PATCH its media type, and the document."""
    if request.method != "PATCH":
        return read_document(request)
    return media_type_of(request), read_json(request)


class Data:
    """The bytes that a request brings. They are read once."""

    def __init__(self, request: falcon.Request) -> None:
        """Raise Unsupported, BadRequest."""
        media_type = media_type_of(request)
        if media_type != _DATA_TYPE:
            raise Unsupported(f"Unsupported content type: {media_type or 'none'}. {_DATA_TYPE} is expected.")
        self._stream = request.stream
        self._is_chunked = "chunked" in (request.get_header("Transfer-Encoding") or "").lower()
        self._length = None if self._is_chunked else (request.content_length or 0)
        self.size = _announced(request) if self._length is None else self._length  # None: not known yet
        if self._length is not None and _announced(request) not in (None, self._length):
            raise BadRequest(f"{_SIZE_HEADER} differs from Content-Length.")

    def __repr__(self) -> str:
        return f"Data({self.size} bytes)"

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes. Raise BadRequest when they break off."""
        left = self._length
        while left is None or left > 0:
            try:
                chunk = self._stream.read(READ_SIZE if left is None else min(READ_SIZE, left))
            except (OSError, ValueError) as error:
                raise BadRequest(f"The data broke off: {type(error).__name__}.") from error
            if not chunk:
                break
            if left is not None:
                left -= len(chunk)
            yield chunk
        if left:
            raise BadRequest(f"The data broke off: {left} bytes are missing.")


def _announced(request: falcon.Request) -> int | None:
    """Return the size that a client gives beforehand: it may, also of data whose length HTTP does not tell."""
    text = request.get_header(_SIZE_HEADER)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadRequest(f"{_SIZE_HEADER} must be a number from 0 on.")
    return int(text)
