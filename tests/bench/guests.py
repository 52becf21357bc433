"""How soon a guest's kernel starts, and what ten guests of one image store: `python -m tests.bench.guests`.

A cluster of its own, with all services and two agents, whose guests are emulated. For each size an image is made: the
tiny guest's disk (`tests.guests.tiny`), and behind it random bytes up to the size, or `--filled` MiB of them, spread
over all of it with holes between. It is sent as qcow2, so that holes are not sent. Then, `--rounds` times, a server is
asked for by openstacksdk; counted is the time until the API says ACTIVE, and until the guest's kernel has printed its
first line on the serial line.

Right after each comes the hypervisor's own time: the guest's command of qemu by hand, the same machine and devices, but
on a copy of the disk in a local file, until the same line. What is left is ours.

At last `--guests` guests of the first image are started, and what the devices hold on their disks is compared.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.guests import tiny
from tests.guests.agents import MiB
from tests.guests.clouds import Cloud

FIRST_LINE = "Linux version"
WORDS = "earlyprintk=serial,ttyS0,115200"  # or the line comes only once the kernel has found its serial line
LIMIT_S = 300.0
LOOK_S = 0.01
ENDS = ("-S", "-mon", "-add-fd", "-vnc", "-sandbox", "-name")  # of qemu's command: what leads to libvirt, or to people
_PIECES = 64  # of random bytes in a sparse image


@dataclass(frozen=True, slots=True)
class Start:
    """Of one guest; all in seconds from the request, or from qemu's start."""

    size_mib: int
    active_s: float
    kernel_s: float
    alone_s: float

    @property
    def ours_s(self) -> float:
        """What is not the hypervisor's own time."""
        return self.kernel_s - self.alone_s

    def line(self) -> str:
        """Return it as JSON."""
        values = {name: getattr(self, name) for name in (*self.__slots__, "ours_s")}
        return json.dumps({name: round(value, 3) for name, value in values.items()})


def image_file(disk: Path, size_mib: int, filled_mib: int, directory: Path) -> Path:
    """Return a disk of a size that begins as `disk`; random bytes follow."""
    made = directory / f"{size_mib}.raw"
    shutil.copy(disk, made)
    begins = disk.stat().st_size
    room = size_mib * MiB - begins
    piece = min(room, filled_mib * MiB) // _PIECES
    with made.open("r+b") as file:
        for number in range(_PIECES):
            file.seek(begins + room * number // _PIECES)
            for offset in range(0, piece, MiB):
                file.write(os.urandom(min(MiB, piece - offset)))
        file.truncate(size_mib * MiB)
    return made


def seconds_until(what: str, found: Callable[[], bool], begun_s: float) -> float:
    """Return how long after `begun_s` something is found."""
    while not found():
        if time.monotonic() - begun_s > LIMIT_S:
            sys.exit(f"not within {LIMIT_S:g} s: {what}")
        time.sleep(LOOK_S)
    return time.monotonic() - begun_s


def says(console: Path) -> bool:
    """Tell whether a guest's kernel has said its first line."""
    try:
        return FIRST_LINE in console.read_text(errors="replace")
    except FileNotFoundError:
        return False


def command_of(guest_id: str) -> list[str]:
    """Return how the qemu of a guest was started."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text().rstrip("\0").split("\0")
        except OSError:  # it has ended
            continue
        if "qemu" in words[0] and any(f"guest={guest_id}" in word for word in words):
            return words
    sys.exit(f"no qemu runs for {guest_id}")


def alone(command: Sequence[str], disk: Path, console: Path) -> list[str]:
    """Return the command of a guest's qemu with other ends: a local disk, its console in a file, no network."""
    words = [command[0], "-display", "none"]
    for option, value in options(command[1:]):
        if option in ENDS or value.startswith('{"qom-type":"secret"'):
            continue
        if option == "-blockdev" and '"driver":"nbd"' in value:
            value = json.dumps({"driver": "file", "filename": str(disk), "node-name": json.loads(value)["node-name"]})
        if option == "-netdev":
            value = f"user,id={json.loads(value)['id']},restrict=on"
        if option == "-chardev":
            name = next(part for part in value.split(",") if part.startswith("id="))
            value = f"file,{name},path={console}" if "serial" in name else f"null,{name}"
        words += [option, value] if value else [option]
    return words


def options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the options of a command, each with its value, or nothing."""
    for word, following in pairwise((*words, "-")):
        if word.startswith("-"):
            yield word, "" if following.startswith("-") else following


def alone_s(command: Sequence[str], disk: Path, directory: Path) -> float:
    """Return how long it takes without us until the kernel's first line: the machine of `command`, on a local file."""
    console = directory / "console"
    console.unlink(missing_ok=True)
    begun_s = time.monotonic()
    with subprocess.Popen(alone(command, disk, console), stdin=subprocess.DEVNULL) as machine:
        try:
            return seconds_until("qemu alone", lambda: says(console), begun_s)
        finally:
            machine.kill()


def start(cloud: Cloud, image: Any, size_mib: int, copy: Path, directory: Path) -> Start:
    """Start a guest and measure; then measure the hypervisor alone."""
    begun_s = time.monotonic()
    server = cloud.begin("measured", image_id=image.id)
    active_s = seconds_until("ACTIVE", lambda: cloud.compute.get_server(server).status == "ACTIVE", begun_s)
    console = next(cloud.cluster.directory.glob(f"agent-*/guests/{server.id}")) / "console.log"
    kernel_s = seconds_until("the kernel", lambda: says(console), begun_s)
    command = command_of(server.id)
    cloud.remove(server)
    return Start(size_mib, active_s, kernel_s, alone_s(command, copy, directory))


def table(starts: Sequence[Start]) -> Iterator[str]:
    """Yield the lines of a table: best and median."""
    yield f"{'image':>10}{'ACTIVE':>16}{'kernel':>16}{'hypervisor':>16}{'ours':>16}   (s, best and median)"
    for size_mib in dict.fromkeys(each.size_mib for each in starts):
        mine = [each for each in starts if each.size_mib == size_mib]
        columns = [
            [getattr(each, name) for each in mine] for name in ("active_s", "kernel_s", "alone_s", "ours_s")
        ]  # fmt: skip
        figures = "".join(f"{f'{min(each):.2f} {statistics.median(each):.2f}':>16}" for each in columns)
        yield f"{size_mib:>6} MiB{figures}"


def started(cloud: Cloud, image: Any, count: int) -> list[Any]:
    """Return guests whose kernels run."""
    servers = [cloud.begin(f"one of many {number}", image_id=image.id) for number in range(count)]
    for each in servers:
        cloud.compute.wait_for_server(each, wait=LIMIT_S, interval=0.2)
        cloud.console(each).wait_for("GUEST ready", 10 * LIMIT_S)
    return servers


@contextmanager
def running(directory: Path) -> Iterator[Cloud]:
    """Give a cluster that starts guests."""
    cloud = Cloud(directory)
    try:
        yield cloud
    finally:
        cloud.close()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.guests", description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 1024, 10 * 1024], help="of images, in MiB")
    parser.add_argument("--filled", type=int, default=1024, help="MiB of random bytes in an image, at most (1024)")
    parser.add_argument("--rounds", type=int, default=5, help="guests for each image (5)")
    parser.add_argument("--guests", type=int, default=10, help="that are started to see what they store (10)")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    starts, images = [], []
    try:
        disk = tiny.disk(directory / "tiny", WORDS)
        with running(directory) as cloud:
            for size_mib in arguments.sizes:
                copy = image_file(disk, size_mib, arguments.filled, directory)
                sent = directory / "sent.qcow2"
                subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(copy), str(sent)], check=True)
                images.append(cloud.image(sent, f"of {size_mib} MiB", "qcow2"))
                for _round in range(arguments.rounds):
                    starts.append(start(cloud, images[-1], size_mib, copy, directory))
                    print(starts[-1].line(), flush=True)
                copy.unlink()
            print("\n".join(table(starts)), flush=True)
            before = cloud.stored()
            servers = started(cloud, images[0], arguments.guests)
            after = cloud.stored()
            print(f"stored: {before} bytes; with {len(servers)} guests more: {after}; added: {after - before}")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
