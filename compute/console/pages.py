"""The files of the page, read once at the start: there are few, and what is not among them is not there.

Guests' screens are shown by noVNC's modules, which are Debian's, and below `VIEWER` where they are installed.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from compute.console.answers import GUARD

STATIC = Path(__file__).parent / "static"
NOVNC = Path("/usr/share/novnc")
VIEWER = "/novnc/core/rfb.js"
_OF_VIEWER = ("core", "vendor")  # its own page is not needed
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
            found[f"/{path.relative_to(directory)}"] = _page(path)
    return found | {"/": found["/index.html"]}


def read_viewer(directory: Path) -> dict[str, Page]:
    """Return noVNC's modules by the path in their URL; none where it is not installed. Raise OSError."""
    paths = [path for name in _OF_VIEWER for path in (directory / name).rglob("*.js") if path.is_file()]
    return {f"/novnc/{path.relative_to(directory)}": _page(path) for path in paths}


def _page(path: Path) -> Page:
    content = path.read_bytes()
    return Page(content, _TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def answer(page: Page, fields: Mapping[str, str]) -> web.Response:
    """Return a page, or that the browser has it. It asks each time: after an upgrade nothing old is mixed in."""
    guard = GUARD | {"Cache-Control": "no-cache", "ETag": page.etag}
    if page.etag in fields.get("If-None-Match", ""):
        return web.Response(status=HTTPStatus.NOT_MODIFIED.value, headers=guard)
    return web.Response(body=page.content, headers=guard | {"Content-Type": page.content_type})
