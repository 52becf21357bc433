"""Errors as Neutron shows them: `{"NeutronError": {"type": …, "message": …, "detail": ""}}`.

Only who asks without a token is answered as by Keystone's middleware: `{"error": {"code": 401, …}}`.
"""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.errors import Refusal
from compute.errors import ComputeError
from compute.network.errors import NetworkError

_TYPES: Mapping[int, str] = {
    400: "HTTPBadRequest",
    403: "HTTPForbidden",
    404: "HTTPNotFound",
    405: "HTTPMethodNotAllowed",
    409: "HTTPConflict",
    412: "HTTPPreconditionFailed",
    413: "HTTPRequestEntityTooLarge",
    415: "HTTPUnsupportedMediaType",
    503: "HTTPServiceUnavailable",
}
_DEFECT = "Request Failed: internal server error while processing your request."


def render(status: int, message: str) -> Mapping[str, Any]:
    """Return the document of an error of which no more is known than its status."""
    if status == 401:
        return {"error": {"code": 401, "title": "Unauthorized", "message": message}}
    if status == 404:
        message = "The resource could not be found."
    if status >= 500 and status not in _TYPES:
        message = _DEFECT
    return _document(_TYPES.get(status, "HTTPInternalServerError"), message)


def document_of(error: Exception) -> Mapping[str, Any] | None:
    """Return the document of a refusal; None: it is a defect of ours."""
    if isinstance(error, NetworkError):
        return _document(type(error).__name__, str(error))
    if isinstance(error, Refusal | ComputeError):
        return render(int(error.status), str(error))
    return None


def _document(kind: str, message: str) -> Mapping[str, Any]:
    return {"NeutronError": {"type": kind, "message": message, "detail": ""}}
