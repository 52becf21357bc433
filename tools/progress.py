"""A line on the terminal that says how far something is; nothing when there is no terminal."""

import sys
from types import TracebackType
from typing import Self


class Progress:
    """Rewrites one line of stderr; leaving it clears the line."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.show("")

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._is_shown and text != self._shown:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._shown = text
