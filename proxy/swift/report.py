"""Reports of operations on many objects: bulk delete and upload, manifests with bad segments. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from proxy.swift.errors import status_line

FORMATS = ("text/plain", "application/json", "application/xml", "text/xml")


@dataclass(slots=True)
class Report:
    """What became of a bulk operation, while it runs and after."""

    root: str  # of the XML document
    fields: dict[str, str | int] = field(default_factory=dict)
    errors: list[tuple[str, str]] = field(default_factory=list)  # percent-encoded path, reason

    def fail(self, path: str, status: int) -> None:
        """Note that nothing became of `path`."""
        self.errors.append((path, status_line(status)))

    def render(self, content_type: str) -> bytes:
        """Return the report in one of FORMATS; XML comes without its declaration."""
        if content_type == "application/json":
            return json.dumps({**self.fields, "Errors": self.errors}).encode()
        if content_type.endswith("/xml"):
            return self._xml().encode()
        lines = [f"{name}: {self.fields[name]}\n" for name in sorted(self.fields)]
        return "".join([*lines, "Errors:\n", *_error_lines(self.errors)]).encode()

    def _xml(self) -> str:
        parts = [f"<{self.root}>\n"]
        for name in sorted(self.fields):
            tag = name.replace(" ", "_").lower()
            parts.append(f"<{tag}>{escape(str(self.fields[name]))}</{tag}>\n")
        parts.append("<errors>\n")
        for path, reason in self.errors:
            parts.append(f"<object><name>{escape(path)}</name><status>{escape(reason)}</status></object>\n")
        parts.append(f"</errors>\n</{self.root}>\n")
        return "".join(parts)


def _error_lines(errors: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{path}, {reason}\n" for path, reason in errors]
