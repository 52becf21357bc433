"""A program that a supervisor runs. A value."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Program:
    """A command, and the files by which it is known."""

    name: str
    arguments: tuple[str, ...]  # the first is the path of what is executed
    log: Path  # gets what it writes on stdout and stderr
    ready: Path  # made by the program once it serves
    pid: Path  # holds its process id while it runs
    stop_order: int = 0  # when all stop, lower ones stop first and are waited for
    stop_timeout_s: float = 15.0  # after SIGTERM; then SIGKILL
    namespace: str = ""  # network namespace that it runs in, as `ip netns` names it; empty: the supervisor's
