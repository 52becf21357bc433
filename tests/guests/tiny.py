"""A disk of 48 MiB that boots the tiny guest: the BIOS, grub, Debian's cloud kernel, busybox, `init.sh`.

It is built from Debian's packages within seconds, without root, and nothing of it is installed.
"""

import gzip
from pathlib import Path

from tests.guest import initial_files, unpacked_kernel
from tests.guests import bootable

SIZE = 48 << 20
MODULES = (
    "virtio_pci", "virtio_blk", "virtio_net", "virtio_scsi", "sd_mod", "isofs", "nls_ascii", "evdev", "button"
)  # fmt: skip
QUIET = "quiet"
_HERE = Path(__file__).parent
_MENU = """\
linux /boot/vmlinuz console=ttyS0 {words} panic=-1
initrd /boot/initrd
boot
"""


def disk(directory: Path, words: str = QUIET) -> Path:
    """Make the disk in `directory`, and return it. `words`: for the kernel."""
    boot = directory / "files" / "boot"
    (boot / "grub").mkdir(parents=True)
    kernel = unpacked_kernel(directory / "kernel")
    (vmlinuz,) = (kernel / "boot").glob("vmlinuz-*")
    (boot / "vmlinuz").write_bytes(vmlinuz.read_bytes())
    files = {"udhcpc.sh": (0o100755, (_HERE / "udhcpc.sh").read_bytes())}
    initrd = initial_files(kernel, "", (_HERE / "init.sh").read_text(), MODULES, files)
    (boot / "initrd").write_bytes(gzip.compress(initrd, 1))
    (boot / "grub" / "grub.cfg").write_text(_MENU.format(words=words))
    image = directory / "disk.raw"
    bootable.disk(image, SIZE, directory / "files", "tiny")
    return image
