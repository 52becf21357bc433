"""Structured log: one line per event, as `key=value` (logfmt) or as JSON.

    log = get_logger("storage")
    log.warning("replica_stale", device=3, partition=17)
    ts=2024-05-01T09:30:00.123Z level=warning component=storage event=replica_stale device=3 partition=17

error: somebody must act; warning: we degraded and acted; info: state changed; debug: for developers.
A line is written whole, by one call, and never spans lines: what values hold is quoted. Values of
fields that are named like secrets are left out. An exception also tells where it was raised.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from enum import IntEnum
from types import TracebackType
from typing import Any, TextIO

_VALUE_LIMIT = 2000  # characters of one value; what is beyond says nothing more
_FRAMES_SHOWN = 8  # of an exception's traceback, innermost first
_SECRET_FIELDS = frozenset(
    ("authorization", "cluster_key", "cookie", "password", "secret", "secret_key", "signature", "token")
)
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:+@,*%#~()[]<>!?&;|")


class Level(IntEnum):
    """How much a line matters."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


class Sink:
    """Where the lines of a process go, and which."""

    __slots__ = ("json", "level", "stream")

    def __init__(self, level: Level = Level.INFO, json: bool = False, stream: TextIO | None = None) -> None:
        self.level = level
        self.json = json
        self.stream = stream  # None: whatever stderr is at the time

    def write(self, level: Level, fields: Mapping[str, Any]) -> None:
        """Write one line. A log that cannot be written stops nothing."""
        line = render_json(time.time(), level, fields) if self.json else render(time.time(), level, fields)
        try:
            stream = self.stream or sys.stderr
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError):
            pass


_process_sink = Sink()  # the one exception to "no globals": loggers exist before the configuration is read


def configure(level: str, style: str) -> None:
    """Set what this process writes: `level` and `format` of `cluster.config.LogConfig`."""
    _process_sink.level = Level[level.upper()]
    _process_sink.json = style == "json"


class Logger:
    """A component's log, with fields that are in each of its lines."""

    __slots__ = ("_bound", "_sink")

    def __init__(self, sink: Sink, bound: Mapping[str, Any]) -> None:
        self._sink = sink
        self._bound = bound

    def bind(self, **fields: Any) -> "Logger":
        """Return a logger that adds `fields` to its lines."""
        return Logger(self._sink, {**self._bound, **fields})

    def is_enabled(self, level: Level) -> bool:
        """Tell whether lines of `level` are written: for fields that are dear to make."""
        return level >= self._sink.level

    def debug(self, event: str, **fields: Any) -> None:
        """For developers."""
        self._write(Level.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """State changed."""
        self._write(Level.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """We degraded and acted."""
        self._write(Level.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Somebody must act."""
        self._write(Level.ERROR, event, fields)

    def _write(self, level: Level, event: str, fields: Mapping[str, Any]) -> None:
        if level >= self._sink.level:
            component = self._bound.get("component", "")
            self._sink.write(level, {"component": component, "event": event, **self._bound, **fields})


def get_logger(component: str, sink: Sink | None = None) -> Logger:
    """Return the log of `component`; without `sink`, to where the whole process writes."""
    return Logger(sink or _process_sink, {"component": component})


def render(now_s: float, level: Level, fields: Mapping[str, Any]) -> str:
    """Return a line of logfmt."""
    shown = _shown_fields(fields)
    pairs = " ".join(f"{name}={_quoted(str(value))}" for name, value in shown.items())
    return f"ts={_timestamp(now_s)} level={level.name.lower()} {pairs}"


def render_json(now_s: float, level: Level, fields: Mapping[str, Any]) -> str:
    """Return a line of JSON."""
    head = {"ts": _timestamp(now_s), "level": level.name.lower()}
    return json.dumps({**head, **_shown_fields(fields)}, separators=(",", ":"))


def _timestamp(now_s: float) -> str:
    milliseconds = int(now_s * 1000)
    date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
    return f"{date}.{milliseconds % 1000:03}Z"


def _shown_fields(fields: Mapping[str, Any]) -> dict[str, str | int | float]:
    shown: dict[str, str | int | float] = {}
    for name, value in fields.items():
        shown[name] = "***" if name in _SECRET_FIELDS else _shown(value)
        if isinstance(value, BaseException) and value.__traceback__ is not None:
            shown[f"{name}_at"] = _origin(value.__traceback__)
    return shown


def _shown(value: Any) -> str | int | float:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, bytes | bytearray | memoryview):
        return value[: _VALUE_LIMIT // 2].hex()
    if isinstance(value, BaseException):
        value = f"{type(value).__name__}: {value}"
    text = str(value)
    return text if len(text) <= _VALUE_LIMIT else text[:_VALUE_LIMIT] + "…"


def _quoted(text: str) -> str:
    """Return `text`, in quotes where logfmt would misread it; the quotes and escapes are JSON's."""
    return text if text and _PLAIN.issuperset(text) else json.dumps(text)


def _origin(traceback: TracebackType) -> str:
    """Return where an exception came from, innermost first: `file:line function < …`."""
    places: list[str] = []
    step: TracebackType | None = traceback
    while step is not None:
        code = step.tb_frame.f_code
        package = "/".join(code.co_filename.split(os.sep)[-2:])
        places.append(f"{package}:{step.tb_lineno} {code.co_name}")
        step = step.tb_next
    return " < ".join(reversed(places[-_FRAMES_SHOWN:]))
