"""A small virtual machine for tests: Debian's cloud kernel, busybox, and a script, under qemu without KVM.

    guest = Guest(directory, script, "-drive", "driver=nbd,...")
    guest.wait_for("ready")

It boots in three seconds. The script says things on the console, in lines that begin with GUEST; each is noted with the
time at which it came.
"""

import itertools
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

_MARK = "GUEST "
_MODULES = ("virtio_pci", "virtio_blk")
_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module; done
say() { echo "GUEST $*"; }
. /script
sync
poweroff -f
"""


class Guest:
    """One machine. It runs from the start; `close` ends it, however far it is."""

    def __init__(self, directory: Path, script: str, *options: str) -> None:
        """`options` of qemu tell what disks it has; `script` is a busybox shell's."""
        directory.mkdir(exist_ok=True)
        kernel = unpacked_kernel(directory / "kernel")
        initrd = directory / "initrd"
        initrd.write_bytes(initial_files(kernel, script))
        (vmlinuz,) = (kernel / "boot").glob("vmlinuz-*")
        self.console: list[str] = []
        self.said: list[tuple[float, str]] = []  # when, and what
        self._heard = threading.Condition()
        self._machine = subprocess.Popen(
            [
                "qemu-system-x86_64", "-accel", "tcg", "-M", "pc", "-cpu", "max", "-m", "256", "-nodefaults",
                "-nographic", "-no-reboot", "-serial", "stdio", "-kernel", str(vmlinuz), "-initrd", str(initrd),
                "-append", "console=ttyS0 quiet panic=-1", *options,
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._machine.stdout is not None
        for raw in self._machine.stdout:
            line = raw.decode(errors="replace").strip()
            with self._heard:
                self.console.append(line)
                if _MARK in line:
                    self.said.append((time.monotonic(), line.partition(_MARK)[2]))
                self._heard.notify_all()

    def wait_for(self, words: str, timeout_s: float = 90, count: int = 1) -> None:
        """Return when the guest has said `count` lines that begin with these words. Raise AssertionError."""
        with self._heard:
            found = self._heard.wait_for(
                lambda: sum(said.startswith(words) for _when, said in self.said) >= count, timeout_s
            )
        assert found, f"the guest has not said {words!r}: {self.console[-20:]}"

    def tell(self, line: str) -> None:
        """Write a line on the console."""
        assert self._machine.stdin is not None
        self._machine.stdin.write(line.encode() + b"\n")
        self._machine.stdin.flush()

    def times_of(self, words: str) -> list[float]:
        """Return when the guest said lines that begin with these words, in monotonic seconds."""
        return [when for when, said in self.said if said.startswith(words)]

    def ended(self, timeout_s: float = 30) -> None:
        """Return when the guest has switched itself off."""
        self._machine.wait(timeout_s)
        self._listener.join(timeout_s)

    def close(self) -> None:
        """End it at once, if it runs."""
        self._machine.kill()
        self._machine.wait()


def longest_pause_s(times: Iterable[float]) -> float:
    """Return the longest time between two that follow one another."""
    ordered = sorted(times)
    return max((later - earlier for earlier, later in itertools.pairwise(ordered)), default=0.0)


def unpacked_kernel(directory: Path) -> Path:
    """Return a directory with the files of Debian's cloud kernel. They are fetched with apt, and not installed."""
    if not directory.exists():
        part = directory.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        described = _run("apt-cache", "depends", "linux-image-cloud-amd64")
        found = re.search(r"Depends: (linux-image-\S+)", described)
        assert found, f"apt knows no kernel for guests: {described}"
        _run("apt-get", "download", "-q", found[1], cwd=part)
        for package in part.glob("*.deb"):
            _run("dpkg-deb", "-x", str(package), str(part))
            package.unlink()
        part.rename(directory)
    return directory


def initial_files(
    kernel: Path,
    script: str,
    init: str = _INIT,
    module_names: Iterable[str] = _MODULES,
    more: Mapping[str, tuple[int, bytes]] | None = None,
) -> bytes:
    """Return an initramfs that runs `script`, by `init`. `more`: files by path, with their modes."""
    busybox = shutil.which("busybox")
    assert busybox, "busybox-static is not installed"
    modules = list(_in_order(kernel, module_names))
    files = {
        "init": (0o100755, init.encode()),
        "script": (0o100644, script.encode()),
        "bin/busybox": (0o100755, Path(busybox).read_bytes()),
        "modules/order": (0o100644, "\n".join(module.name for module in modules).encode()),
    } | {f"modules/{module.name}": (0o100644, module.read_bytes()) for module in modules} | dict(more or {})
    directories = ("bin", "dev", "proc", "sys", "tmp", "mnt", "modules")
    entries = [_entry(name, 0o40755, b"") for name in directories]
    entries += [_entry(name, mode, data) for name, (mode, data) in files.items()]
    return b"".join([*entries, _entry("TRAILER!!!", 0, b"")])


def _entry(name: str, mode: int, data: bytes) -> bytes:
    """Return a file in an archive of the form that kernels read (cpio, "newc")."""
    path = name.encode() + b"\0"
    numbers = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08x" % number for number in numbers) + path
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def _in_order(kernel: Path, names: Iterable[str], seen: set[str] | None = None) -> Iterable[Path]:
    """Yield the files of modules, each after those that it depends on."""
    seen = set() if seen is None else seen
    for name in names:
        if name in seen:
            continue
        seen.add(name)
        for path in kernel.glob(f"lib/modules/*/kernel/**/{name}.ko"):
            depends = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
            needed = depends[1].decode().split(",") if depends and depends[1] else []
            yield from _in_order(kernel, needed, seen)
            yield path


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout
