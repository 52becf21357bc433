"""Debian's stable release as a cloud image: cloud-init, the cloud kernel, ssh; from packages, as root.

    .venv/bin/python -m tests.guests.debian      # builds it if it is not there, and says where it is

Packages come from where this machine's apt gets its own. The image is kept in /var/tmp, or in the directory that
HOLDFAST_DEBIAN_IMAGE names, by a digest of this recipe: another recipe is another image, and the old one is removed.
A recipe knows nothing of newer packages: remove the file to have them.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from tests.guests import bootable

RELEASE = "bookworm"
SIZE = 2 << 30
ROOT_LABEL = "root"
TIMEOUT_S = 1800.0  # for what takes one or two minutes
PACKAGES = (
    "linux-image-cloud-amd64", "cloud-init", "cloud-guest-utils", "fdisk", "e2fsprogs", "lz4", "zstd", "udev", "dbus",
    "systemd-sysv", "systemd-resolved", "netplan.io", "iproute2", "netbase", "openssh-server", "sudo", "ca-certificates"
)  # fmt: skip
# before the packages are set up: the kernel's first files are made only once
INITIAL = {
    "etc/initramfs-tools/conf.d/small": "MODULES=list\nCOMPRESS=lz4\n",
    "usr/share/initramfs-tools/modules.d/virtio": "virtio_pci\nvirtio_blk\nvirtio_scsi\nvirtio_net\nsd_mod\next4\n",
}
FILES = {
    "etc/fstab": f"LABEL={ROOT_LABEL} / ext4 defaults,discard 0 1\n",
    "etc/hostname": "localhost\n",
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/machine-id": "",
    "etc/cloud/cloud.cfg.d/90_dpkg.cfg": "datasource_list: [ ConfigDrive, OpenStack, Ec2, None ]\n",
    # emulated, on a machine that has much else to do
    "etc/systemd/system.conf.d/patient.conf": "[Manager]\nDefaultTimeoutStartSec=900s\nDefaultDeviceTimeoutSec=900s\n",
    # on an emulated machine RSA keys alone take twenty seconds, and so does a locale that is to be made
    "etc/cloud/cloud.cfg.d/91_quick.cfg": "ssh_genkeytypes: [ed25519]\nlocale: C.UTF-8\npackage_update: false\n",
}
ENABLED = ("systemd-networkd", "systemd-resolved")
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer", "man-db.timer")
DROPPED = ("var/lib/apt/lists", "var/cache/apt", "usr/share/doc", "usr/share/man")
_MENU = """\
linux /boot/{kernel} root=LABEL={label} ro console=ttyS0 net.ifnames=0
initrd /boot/{initial}
boot
"""


def place() -> Path:
    """Return where the image is, if it was built: a qcow2 file."""
    directory = Path(os.environ.get("HOLDFAST_DEBIAN_IMAGE") or "/var/tmp")
    recipe = Path(__file__).read_bytes() + Path(bootable.__file__).read_bytes()
    return directory / f"holdfast-debian-{hashlib.sha256(recipe).hexdigest()[:16]}.qcow2"


def image() -> Path:
    """Return the image; build it if need be."""
    made = place()
    if not made.exists():
        for old in made.parent.glob("holdfast-debian-*.qcow2"):
            old.unlink()
        with tempfile.TemporaryDirectory(prefix="holdfast-debian-", dir=made.parent) as name:
            _build(Path(name)).rename(made)
    return made


def _build(directory: Path) -> Path:
    root, before = directory / "root", directory / "before"
    for path, text in INITIAL.items():
        _write(before / path, text)
    bootable.run(
        "mmdebstrap", "--mode=root", "--variant=apt", f"--include={','.join(PACKAGES)}",
        "--aptopt=Apt::Install-Recommends false", f"--essential-hook=copy-in {before}/etc {before}/usr /",
        *(f"--customize-hook=systemctl --root=\"$1\" --quiet enable {each}" for each in ENABLED),
        *(f"--customize-hook=systemctl --root=\"$1\" --quiet mask {each}" for each in MASKED),
        RELEASE, str(root), *_mirrors(), timeout_s=TIMEOUT_S,
    )  # fmt: skip
    for path in DROPPED:
        shutil.rmtree(root / path, ignore_errors=True)
    for path, text in FILES.items():
        _write(root / path, text)
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    (initial,) = (root / "boot").glob("initrd.img-*")
    _write(root / "boot/grub/grub.cfg", _MENU.format(kernel=kernel.name, initial=initial.name, label=ROOT_LABEL))
    raw, packed = directory / "disk.raw", directory / "disk.qcow2"
    bootable.disk(raw, SIZE, root, ROOT_LABEL)
    bootable.run("qemu-img", "convert", "-O", "qcow2", "-c", str(raw), str(packed), timeout_s=TIMEOUT_S)
    return packed


def _mirrors() -> list[str]:
    """Return the lines of sources from which apt on this machine gets this release's main part."""
    wanted = "$(REPO_URI) $(CODENAME) $(COMPONENT) $(CREATED_BY)"
    told = bootable.run("apt-get", "indextargets", "--format", wanted)
    of_release = {
        f"deb {uri} {name} {part}"
        for uri, name, part, kind in (line.split() for line in told.splitlines())
        if kind == "Packages" and part == "main" and name.partition("-")[0] == RELEASE
    }
    assert of_release, f"apt on this machine has no packages of {RELEASE}"
    return sorted(of_release)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # it may be a link to somewhere on this machine
    path.write_text(text)


if __name__ == "__main__":
    print(image())
