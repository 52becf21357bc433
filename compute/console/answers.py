"""What the daemon answers by itself: documents, refusals, and the header fields of its own pages."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

# nothing from elsewhere, nothing inline: what is not a file of ours does not run
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src blob:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
GUARD = {
    "Server": "Holdfast",
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def document(value: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Return JSON that nobody keeps."""
    return web.Response(
        body=json.dumps(value, default=str).encode(),
        status=status.value,
        headers=GUARD | {"Content-Type": "application/json", "Cache-Control": "no-store"},
    )


def failure(status: HTTPStatus, message: str) -> web.Response:
    """Return a refusal in words."""
    return document({"error": {"code": status.value, "message": message}}, status)
