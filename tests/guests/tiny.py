"""A disk of 48 MiB that boots the tiny guest: the BIOS, grub, Debian's cloud kernel, busybox, `init.sh`.

It is built from Debian's packages within seconds, without root, and nothing of it is installed.
"""

import gzip
import struct
import subprocess
from pathlib import Path

from tests.guest import initial_files, unpacked_kernel

SECTOR = 512
FIRST = 2048  # sector of the partition
SIZE = 48 << 20
MODULES = (
    "virtio_pci", "virtio_blk", "virtio_net", "virtio_scsi", "sd_mod", "isofs", "nls_ascii", "evdev", "button"
)  # fmt: skip
_GRUB = Path("/usr/lib/grub/i386-pc")
_HERE = Path(__file__).parent
_MENU = """\
linux /boot/vmlinuz console=ttyS0 quiet panic=-1
initrd /boot/initrd
boot
"""


def disk(directory: Path) -> Path:
    """Make the disk in `directory`, and return it."""
    boot = directory / "files" / "boot"
    (boot / "grub").mkdir(parents=True)
    kernel = unpacked_kernel(directory / "kernel")
    (vmlinuz,) = (kernel / "boot").glob("vmlinuz-*")
    (boot / "vmlinuz").write_bytes(vmlinuz.read_bytes())
    files = {"udhcpc.sh": (0o100755, (_HERE / "udhcpc.sh").read_bytes())}
    initrd = initial_files(kernel, "", (_HERE / "init.sh").read_text(), MODULES, files)
    (boot / "initrd").write_bytes(gzip.compress(initrd, 1))
    (boot / "grub" / "grub.cfg").write_text(_MENU)
    image = directory / "disk.raw"
    with image.open("wb") as file:
        file.truncate(SIZE)
    _run("/sbin/sfdisk", "-q", str(image), said=f"label: dos\nstart={FIRST}, type=83, bootable\n")
    size_kib = (SIZE - FIRST * SECTOR) // 1024
    _run("/sbin/mke2fs", "-q", "-t", "ext4", "-L", "tiny", "-d", str(directory / "files"), "-E",
         f"offset={FIRST * SECTOR}", str(image), f"{size_kib}k")  # fmt: skip
    core = directory / "core.img"
    _run("grub-mkimage", "-O", "i386-pc", "-o", str(core), "-p", "(hd0,msdos1)/boot/grub",
         "biosdisk", "part_msdos", "ext2", "linux", "normal", "configfile")  # fmt: skip
    _install(image, (_GRUB / "boot.img").read_bytes(), core.read_bytes())
    return image


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


def _run(*command: str, said: str = "") -> None:
    done = subprocess.run(command, input=said, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
