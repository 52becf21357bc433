"""Starts of guests that ended with the agent: cleared away before the next one opens its libvirt.

When the process that libvirt runs in is killed while it starts a guest, the next one finds the start under way, and
waits for it for ever: nothing about that guest can be done any more, not even turning it off (libvirt 9.0). What is
left of the start is known by libvirt's own note of it, `run/qemu/NAME.xml`, which says "starting up". The guest has not
run an instruction then; its record has it started anew.
"""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from cluster.telemetry.log import get_logger

_STARTING = re.compile(r"<domstatus [^>]*reason='starting up'|<job [^>]*async='start'")
_ENDED_S = 10.0
_log = get_logger("agent")


def clear(directory: Path) -> None:
    """Clear away the starts that were interrupted, of an own libvirt (`own`) whose directory this is."""
    for path in (directory / "run" / "qemu").glob("*.xml"):
        try:
            is_starting = _STARTING.search(path.read_text(errors="replace")) is not None
        except OSError:
            continue
        if not is_starting:
            continue
        processes = list(_machines(path.stem))
        for process in processes:
            _end(process)
        path.unlink(missing_ok=True)
        path.with_suffix(".pid").unlink(missing_ok=True)
        _log.warning("interrupted_start_cleared", guest=path.stem, processes=len(processes))


def _machines(guest_id: str) -> Iterator[int]:
    """Yield the machines of a guest. Ids are unique, so they are nobody else's."""
    wanted = f"guest={guest_id},".encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if b"qemu" in words[0] and any(word.startswith(wanted) for word in words):
                yield int(path.parent.name)


def _end(process: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, signal.SIGKILL)
    until_s = time.monotonic() + _ENDED_S
    while Path(f"/proc/{process}").exists() and time.monotonic() < until_s:
        time.sleep(0.02)
