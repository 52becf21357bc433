"""What this machine lacks for guests, and how to get it: for `holdfast up` and `status`, and for the host's state.

Nothing of libvirt is imported to find out.
"""

import ctypes.util
import glob
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from compute.agent.config_drive import TOOLS

_DRIVER = "libvirt/connection-driver/libvirt_driver_qemu.so"
_KVM = Path("/dev/kvm")
_PATH = "/usr/local/sbin:/usr/sbin:/sbin"  # where some are, and not everybody looks


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that is not there."""

    what: str  # in words
    needed: str  # for what, in words
    get: str  # a command that gets it
    is_vital: bool = True  # without it there are no guests


def missing(networking: str = "auto") -> list[Missing]:
    """Return what is not there. `networking`: as `[compute]` has it."""
    found = [each for each, is_there in _VITAL if not is_there()]
    found += [each for each, is_there in _USEFUL if not is_there()]
    if networking != "user":
        found += [each for each, is_there in _BRIDGE if not is_there()]
    return found


def lines(found: list[Missing]) -> list[str]:
    """Return what to tell an operator: what is missing, then the commands that get it all."""
    told = [f"{each.what} is missing, which {each.needed}" for each in found]
    packages = sorted({word for each in found if each.get.startswith("apt-get") for word in each.get.split()[2:]})
    commands = [f"apt-get install {' '.join(packages)}"] if packages else []
    commands += list(dict.fromkeys(each.get for each in found if each.get and not each.get.startswith("apt-get")))
    return told + [f"get it by: {command}" for command in commands]


def kvm_missing() -> str:
    """Return why KVM cannot be used at all; empty: it may be, which a guest will show."""
    if not _KVM.exists():
        return "this host has no /dev/kvm"
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return "/dev/kvm is not this user's to open: be in the group kvm"
    return ""


def _program(*names: str) -> Callable[[], bool]:
    path = f"{os.environ.get('PATH', '/usr/bin:/bin')}:{_PATH}"
    return lambda: any(shutil.which(name, path=path) for name in names)


def _library() -> bool:
    return ctypes.util.find_library("virt") is not None


def _driver() -> bool:
    places = ("/usr/lib/*/", "/usr/lib64/", "/usr/lib/")
    return any(glob.glob(place + _DRIVER) for place in places)


def _binding() -> bool:
    return importlib.util.find_spec("libvirt") is not None


def _version() -> str:
    """Return the command that installs the binding, of the version of the library: a newer one does not fit."""
    pip = f"{sys.executable} -m pip install"
    return f'{pip} "libvirt-python==$(pkg-config --modversion libvirt)"'


_VITAL: tuple[tuple[Missing, Callable[[], bool]], ...] = (
    (Missing("libvirt's library", "runs guests", "apt-get install libvirt-dev pkg-config gcc"), _library),
    (Missing("libvirt's driver for qemu", "runs guests", "apt-get install libvirt-daemon"), _driver),
    (Missing("libvirt's binding for Python", "the agent asks libvirt by", _version()), _binding),
    (
        Missing("qemu-system-x86_64", "is the machine that guests run in", "apt-get install qemu-system-x86"),
        _program("qemu-system-x86_64"),
    ),
)
_USEFUL: tuple[tuple[Missing, Callable[[], bool]], ...] = (
    (
        Missing("genisoimage, or xorriso", "makes config drives", "apt-get install genisoimage", is_vital=False),
        _program(*TOOLS),
    ),
)
_BRIDGE: tuple[tuple[Missing, Callable[[], bool]], ...] = (
    (
        Missing("ip", "makes bridges and namespaces", "apt-get install iproute2", is_vital=False),
        _program("ip"),
    ),
    (
        Missing("dnsmasq", "gives guests their addresses", "apt-get install dnsmasq-base", is_vital=False),
        _program("dnsmasq"),
    ),
    (
        Missing("nft", "enforces security groups", "apt-get install nftables", is_vital=False),
        _program("nft"),
    ),
)
