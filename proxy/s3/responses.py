"""Responses that many handlers make."""

from proxy.http.message import Response
from proxy.s3.xml import CONTENT_TYPE, document


def xml_response(body: bytes, status: int = 200) -> Response:
    """Answer with a document."""
    return Response(status, [("Content-Type", CONTENT_TYPE)], body)


def empty_document(root: str) -> Response:
    """Answer with a document that says nothing."""
    return xml_response(document(root, ""))
