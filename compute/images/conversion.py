"""Images of other formats made into raw bytes on a volume, by qemu-img: strangers' data in a program written in C.

So it runs with limits on memory, processor time, open files and what it writes, in a directory of its own that has
nothing but the image; it is told the format, and that there is no backing file; and what it finds is compared with what
was found when the image came. It dies with the service, whose successor makes the volume anew. Both of qemu-img's calls
are here.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sh

from compute.images.errors import Refused

MiB = 1 << 20
_INFO_S, _INFO_MEMORY = 30, 1024 * MiB  # as Glance's and Nova's
_MEMORY = 2048 * MiB  # of a conversion, address space
_S_PER_GIB = 120  # of processor time, of the disk's size
_WAIT_FACTOR = 10  # of the clock on the wall, for each second that the processor may take
_OPEN_FILES = 64


class NoConverter(Exception):
    """The host lacks qemu-img, prlimit or setpriv; the operator installs them."""


@dataclass(frozen=True, slots=True)
class Source:
    """An image in a file."""

    path: Path
    disk_format: str
    virtual_size: int  # bytes, as it was found when the image came

    @property
    def description(self) -> str:
        """Return what qemu opens: the format is given, and nothing else is to be opened."""
        file = {"driver": "file", "filename": os.fspath(self.path), "locking": "off"}
        driver: dict[str, Any] = {"driver": self.disk_format, "read-only": True, "file": file}
        if self.disk_format in ("qcow2", "vmdk"):
            driver["backing"] = None
        return "json:" + json.dumps(driver)


def check(source: Source) -> None:
    """Raise Refused unless qemu, too, finds the disk that was found when the image came."""
    text = _qemu_img(source, _INFO_S, _INFO_MEMORY, "info", "--output=json", source.description)
    try:
        found = json.loads(text)
    except ValueError:
        raise Refused("qemu-img does not say what the image is.") from None
    specific = found.get("format-specific", {}).get("data", {})
    others = [found.get("backing-filename"), found.get("full-backing-filename"), specific.get("data-file")]
    others += [each.get("filename") for each in specific.get("extents", ())[1:]]
    if any(others):
        raise Refused("The image needs other files.")
    if found.get("format") != source.disk_format or found.get("virtual-size") != source.virtual_size:
        raise Refused("The image is not what its header says: qemu-img finds another disk in it.")


def write_to(source: Source, uri: str) -> None:
    """Write the disk in an image to the volume at `uri`, which reads as zeros so far. Raise Refused."""
    processor_s = 60 + _S_PER_GIB * -(-source.virtual_size // (1 << 30))
    arguments = ("convert", "-n", "--target-is-zero", "-m", "4", "-O", "raw", source.description, uri)
    _qemu_img(source, processor_s, _MEMORY, *arguments)


def _qemu_img(source: Source, processor_s: int, memory: int, *arguments: str) -> str:
    program, limiter, tie = map(shutil.which, ("qemu-img", "prlimit", "setpriv"))
    if program is None or limiter is None or tie is None:
        raise NoConverter("this takes qemu-img (package qemu-utils), prlimit and setpriv (package util-linux)")
    limits = (f"--cpu={processor_s}", f"--as={memory}", f"--nofile={_OPEN_FILES}", "--core=0", f"--fsize={MiB}")
    try:
        return str(
            sh.Command(tie)(
                "--pdeathsig", "KILL", "--", limiter, *limits, "--", program, *arguments,
                _cwd=os.fspath(source.path.parent), _env={"LANG": "C", "PATH": os.defpath}, _tty_out=False,
                _timeout=processor_s * _WAIT_FACTOR, _in="",
            )
        )
    except (sh.ErrorReturnCode, sh.TimeoutException) as error:
        said = getattr(error, "stderr", b"").decode(errors="replace").strip().splitlines()
        reason = said[-1].replace(os.fspath(source.path.parent), "") if said else type(error).__name__
        raise Refused(f"The image cannot be converted: {reason[:500]}") from None
