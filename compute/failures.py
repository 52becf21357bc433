"""Errors as Cinder and Nova show them: `{"itemNotFound": {"code": 404, "message": …}}`."""

from collections.abc import Mapping
from typing import Any

_NAMES: Mapping[int, str] = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "notAcceptable",
    409: "conflictingRequest",
    410: "gone",
    412: "preconditionFailed",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}


def render(status: int, message: str) -> Mapping[str, Any]:
    """Return the document of an error."""
    return {_NAMES.get(status, "computeFault"): {"code": status, "message": message}}
