"""The files of the page, read once at the start: there are few, and what is not among them is not there."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from compute.console.answers import GUARD

STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True, slots=True)
class Page:
    """A file."""

    content: bytes
    content_type: str
    etag: str


def read_pages(directory: Path) -> dict[str, Page]:
    """Return the files below `directory` by the path in their URL; / is index.html. Raise OSError."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.suffix in _TYPES and path.is_file():
            content = path.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found[f"/{path.relative_to(directory)}"] = Page(content, _TYPES[path.suffix], etag)
    return found | {"/": found["/index.html"]}


def answer(page: Page, fields: Mapping[str, str]) -> web.Response:
    """Return a page, or that the browser has it. It asks each time: after an upgrade nothing old is mixed in."""
    guard = GUARD | {"Cache-Control": "no-cache", "ETag": page.etag}
    if page.etag in fields.get("If-None-Match", ""):
        return web.Response(status=HTTPStatus.NOT_MODIFIED.value, headers=guard)
    return web.Response(body=page.content, headers=guard | {"Content-Type": page.content_type})
