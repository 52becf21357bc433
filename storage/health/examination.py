"""Before a device is opened: is the directory its own, its disk usable, and may it be filled?

What a device's directory was the last time (a mount point, or a plain directory) is remembered in coordination under
`health/device-N`: the directory itself cannot tell when it is gone. A directory is

    was a mount point, and is none           VANISHED, whatever is in it: what were written would go to the disk below,
                                             and what is there is from before something was mounted over it
    marked as another's                      FOREIGN
    never used before                        taken: marked, and filled
    without a mark, but with a log           taken: written before there were markers
    empty, and a mount point                 taken: the disk was replaced
    empty, and never was a mount point       taken: somebody emptied it, as good as a new disk

Whether a device that is taken may vote is not decided here (storage.membership). All of this blocks.
"""

import os
from dataclasses import dataclass

from storage.disk import RealDisk, replace_small_file
from storage.health import marker as markers
from storage.health.condition import Condition
from storage.health.heartbeat import HEARTBEAT_FILE, Place, beat, explained, read_marker
from storage.health.judgement import Verdict
from storage.health.marker import MARKER_FILE, Marker

MOUNTED, PLAIN = b"mounted", b"plain"
_NOT_DATA = ("lost+found", MARKER_FILE, HEARTBEAT_FILE, MARKER_FILE + ".new")


def memory_key(device_id: int) -> str:
    """Return the key in coordination under which it is remembered what the directory was."""
    return f"health/device-{device_id}"


@dataclass(frozen=True, slots=True)
class Directory:
    """What a directory looks like."""

    exists: bool
    mounted: bool = False
    marker: Marker | None = None
    empty: bool = True


@dataclass(frozen=True, slots=True)
class Examined:
    """What came of it. `place` is where the device is, if the verdict lets it be opened."""

    verdict: Verdict
    place: Place
    memory: bytes = PLAIN  # to be remembered


def refusal(found: Directory, expected: Marker, memory: bytes | None, require_mount: bool) -> Verdict | None:
    """Return why a directory must not be used; None when it may be."""
    if require_mount and not found.mounted:
        return Verdict(Condition.VANISHED, "nothing is mounted there, and the configuration requires it")
    if found.marker is not None:
        foreign = markers.disagreement(expected, found.marker)
        if foreign or found.marker.plain:
            return Verdict(Condition.FOREIGN, foreign) if foreign else None
    if memory == MOUNTED and not found.mounted:
        return Verdict(Condition.VANISHED, "nothing is mounted there, and it was a mount point before")
    return None


def examine(directory: str, expected: Marker, memory: bytes | None, require_mount: bool) -> Examined:
    """Look at a directory, make it the device's if that is right, and try its disk."""
    place = Place(directory, expected)
    try:
        found = look(directory)
        verdict = refusal(found, expected, memory, require_mount)
        if verdict is not None:
            return Examined(Verdict(verdict.condition, f"{directory}: {verdict.reason}"), place)
        if found.marker is None:
            _mark(directory, expected)
        place = Place(directory, expected, os.stat(directory).st_dev)
    except OSError as error:
        condition, reason = explained(error, directory, Condition.UNREADABLE)
        return Examined(Verdict(condition, reason), place)
    tried = beat(place, 0)
    if tried.condition.is_out:
        return Examined(Verdict(tried.condition, tried.reason), place)
    return Examined(Verdict(Condition.OK), place, MOUNTED if found.mounted else PLAIN)


def look(directory: str) -> Directory:
    """Return what a directory looks like. OSError."""
    try:
        own = os.stat(directory)
    except FileNotFoundError:
        return Directory(exists=False)
    above = os.stat(os.path.dirname(os.path.abspath(directory)))
    names = set(os.listdir(directory)) - set(_NOT_DATA)
    return Directory(True, own.st_dev != above.st_dev, read_marker(directory), not names)


def _mark(directory: str, marker: Marker) -> None:
    os.makedirs(directory, mode=0o700, exist_ok=True)
    replace_small_file(RealDisk(), os.path.join(directory, MARKER_FILE), markers.encode(marker))
