"""One at a time: who writes or deletes backups of a volume holds a lock on the target.

The lock is an object that names its holder and is written anew every RENEW_S. It is taken by a put that succeeds only
if there is none. It is broken when its holder was a process of this host, since it started, that is gone; or when it
was not renewed for as long as one watched: clocks of different hosts are not compared. Whoever breaks it deletes it and
then takes it as anybody does, and looks again after a moment whether it has it.

A holder that slept too long finds out by `check`, before anything that matters: a manifest that is written, pieces that
are deleted. What is left is a holder that sleeps between that look and the request that follows it; so a backup
looks in the end whether all its pieces are there.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from blockgw.backup.errors import BackupError, Busy, NoSuchObject
from blockgw.backup.target import Target

RENEW_S = 15.0
DEAD_S = 90.0  # without being renewed
LOOK_S = 3.0
SETTLE_S = 1.0  # between breaking a lock and trusting in having it

Held = dict[str, Any]


class Lock:
    """Held inside a `with` block. Entering it raises Busy when another one holds it, and does so until he is dead."""

    def __init__(
        self, target: Target, name: str, doing: str, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        """`doing`: what for, to tell others."""
        self._target, self._name, self._sleep = target, name, sleep
        self._held: Held = {
            "holder": os.urandom(16).hex(),
            "host": socket.gethostname(),
            "processes": _processes(),
            "process": os.getpid(),
            "doing": doing,
            "renewed": 0,
        }
        self._stop = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="backup-lock", daemon=True)

    def __enter__(self) -> Self:
        if not self._take():
            other = self._read()
            if other is not None:
                self._break(other)
            if not self._take():
                raise Busy("somebody else has just begun to work on the backups of this volume")
            self._sleep(SETTLE_S)
            self.check()
        self._renewing.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._renewing.join()
        with suppress(BackupError):  # then others find out that it is not renewed any more
            found = self._read()
            if found is not None and self._is_mine(found):
                self._target.delete([self._name])

    def check(self) -> None:
        """Raise Busy when it is not held any more."""
        found = self._read()
        if found is None or not self._is_mine(found):
            raise Busy("this took a pause for so long that others went to work on the backups of this volume")

    def _take(self) -> bool:
        if self._target.put_new(self._name, json.dumps(self._held).encode()):
            return True
        found = self._read()
        return found is not None and self._is_mine(found)  # the answer to the first try was lost

    def _read(self) -> Held | None:
        try:
            found = json.loads(self._target.get(self._name))
        except NoSuchObject:
            return None
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _is_mine(self, found: Held) -> bool:
        return bool(found.get("holder") == self._held["holder"])

    def _break(self, other: Held) -> None:
        """Take a lock from a holder who is dead. Raise Busy when he is not."""
        if not self._is_gone(other):
            watched_s = 0.0
            while watched_s < DEAD_S:
                self._sleep(LOOK_S)
                watched_s += LOOK_S
                found = self._read()
                if found is None:
                    return
                if found != other:
                    raise Busy(
                        f"process {found.get('process')} on {found.get('host')} is at work on the backups of this "
                        f"volume ({found.get('doing')}): wait until it is through"
                    )
        if self._read() == other:
            self._target.delete([self._name])

    def _is_gone(self, other: Held) -> bool:
        """Tell whether the holder was a process of this host that is not there any more."""
        here = self._held["processes"]
        return bool(here) and other.get("processes") == here and not os.path.exists(f"/proc/{other.get('process')}")

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_S):
            self._held["renewed"] += 1
            try:
                self.check()
                self._target.put(self._name, json.dumps(self._held).encode())
            except BackupError:
                continue  # whoever holds it looks before anything that matters


def _processes() -> str:
    """Return what the set of processes that can be seen here is called, by no others; empty where it has no name."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
