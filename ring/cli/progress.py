"""A bar that shows how far a long command is: on a terminal only, and only if it takes long."""

import time
from collections.abc import Callable
from typing import TextIO

_PATIENCE_S = 0.5  # before a command counts as long
_PERIOD_S = 0.1  # between two looks of the bar
_WIDTH = 40


class ProgressBar:
    """Draws on `stream`; `clear` takes the bar away."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._next_s = clock() + _PATIENCE_S
        self._shown = False

    def __call__(self, done: float) -> None:
        """Show that the part `done` is done."""
        now_s = self._clock()
        if now_s < self._next_s or not self._stream.isatty():
            return
        self._next_s, self._shown = now_s + _PERIOD_S, True
        filled = round(_WIDTH * min(max(done, 0.0), 1.0))
        self._stream.write(f"\r[{'#' * filled}{'.' * (_WIDTH - filled)}] {100 * done:3.0f} %")
        self._stream.flush()

    def clear(self) -> None:
        """Take the bar off the screen if it is there."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
