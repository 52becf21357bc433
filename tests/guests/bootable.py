"""A disk that the BIOS boots through grub, with one partition that holds files: made without root, or a loop device."""

import struct
import subprocess
from pathlib import Path

SECTOR = 512
FIRST = 2048  # sector of the partition
_GRUB = Path("/usr/lib/grub/i386-pc")


def disk(image: Path, size: int, files: Path, label: str, features: str = "") -> None:
    """Make `image`, a disk of `size` bytes with a file system of all that is in `files`: boot/grub/grub.cfg, too."""
    with image.open("wb") as file:
        file.truncate(size)
    run("/sbin/sfdisk", "-q", str(image), said=f"label: dos\nstart={FIRST}, type=83, bootable\n")
    size_kib = (size - FIRST * SECTOR) // 1024
    run("/sbin/mke2fs", "-q", "-t", "ext4", *(["-O", features] if features else []), "-L", label, "-d", str(files),
        "-E", f"offset={FIRST * SECTOR}", str(image), f"{size_kib}k")  # fmt: skip
    core = image.with_name("core.img")
    run("grub-mkimage", "-O", "i386-pc", "-o", str(core), "-p", "(hd0,msdos1)/boot/grub",
        "biosdisk", "part_msdos", "ext2", "linux", "normal", "configfile")  # fmt: skip
    _install(image, (_GRUB / "boot.img").read_bytes(), core.read_bytes())


def _install(image: Path, boot: bytes, core: bytes) -> None:
    """Put grub's sectors before the partition, as grub-bios-setup does: it needs root, and a real disk."""
    first, rest = bytearray(boot[:SECTOR]), bytearray(core)
    struct.pack_into("<Q", first, 0x5C, 1)  # where the second stage begins
    first[0x66:0x68] = b"\x90\x90"  # boot from the drive that the BIOS names
    struct.pack_into("<QHH", rest, SECTOR - 12, 2, (len(rest) + SECTOR - 1) // SECTOR - 1, 0x820)  # and goes on
    assert len(rest) < (FIRST - 1) * SECTOR
    with image.open("r+b") as file:
        table = file.read(SECTOR)[440:]
        file.seek(0)
        file.write(bytes(first[:440]) + table + bytes(rest))


def run(*command: str, said: str = "", timeout_s: float = 300) -> str:
    """Run a program that must succeed; return what it printed."""
    done = subprocess.run(command, input=said, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout
