"""What every request brings: an id that follows it through the services, and perhaps a JSON document.

Source: OpenStack API working group's guidelines, "Request IDs"; oslo.middleware's RequestId and SizeLimit.
"""

import json
import math
import re
import uuid
from typing import Any

import falcon

from cluster.controlplane.errors import Malformed, TooLarge

BODY_LIMIT = 114_688  # bytes; what OpenStack's services take by default
REQUEST_ID_HEADER = "X-Openstack-Request-Id"

_REQUEST_ID = re.compile(r"req-[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")


def request_id_of(request: falcon.Request) -> str:
    """Return the id that the client gave its request, if it is one, or a new id."""
    given = request.get_header(REQUEST_ID_HEADER) or ""
    return given if _REQUEST_ID.fullmatch(given) else f"req-{uuid.uuid4()}"


def read_document(request: falcon.Request) -> dict[str, Any]:
    """Read the JSON object that is the body; {} without a body. Raise Malformed or TooLarge."""
    body = _read_body(request)
    if not body:
        return {}
    media_type = media_type_of(request) or "application/json"
    if media_type != "application/json":
        raise Malformed(f"Expecting to find application/json in Content-Type header, not {media_type}.")
    document = _parsed(body)
    if not isinstance(document, dict):
        raise Malformed("Expecting to find valid JSON object in request body.")
    return document


def read_json(request: falcon.Request) -> object:
    """Read the JSON that is the body, whatever it is called. Raise Malformed or TooLarge."""
    return _parsed(_read_body(request))


def media_type_of(request: falcon.Request) -> str:
    """Return what the client calls the body, without parameters; empty: it does not say."""
    return (request.content_type or "").split(";")[0].strip().lower()


def _read_body(request: falcon.Request) -> bytes:
    if (request.content_length or 0) > BODY_LIMIT:
        raise TooLarge("Request is too large.")
    body = request.bounded_stream.read(BODY_LIMIT + 1)
    if len(body) > BODY_LIMIT:
        raise TooLarge("Request is too large.")
    return body


def _parsed(body: bytes) -> object:
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("Expecting to find valid JSON in request body.") from None
    if not _is_storable(document):
        raise Malformed("Expecting to find texts without NUL and lone surrogates, and finite numbers, in request body.")
    return document


def _is_storable(document: object) -> bool:
    """Tell whether databases and other readers of JSON take all that is in `document`."""
    remaining = [document]
    while remaining:
        value = remaining.pop()
        if isinstance(value, dict):
            remaining.extend(value)
            remaining.extend(value.values())
        elif isinstance(value, list):
            remaining.extend(value)
        elif isinstance(value, str):
            if "\0" in value or (not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value)):
                return False
        elif isinstance(value, float) and not math.isfinite(value):
            return False
    return True
