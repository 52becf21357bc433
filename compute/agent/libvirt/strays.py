"""Disks that a guest's qemu has and libvirt does not know of: what is left when libvirt ends while it attaches one.

They are taken from the guest again, with their connections to the volume: libvirt would tell that the guest does not
have the disk, and could not attach it any more, as its name is taken. Whoever wanted it attached asks again.
"""

import json
import re
import time
from typing import Any

import libvirt
import libvirt_qemu

from cluster.telemetry.log import get_logger

_DEVICE = re.compile(r"^/machine/peripheral/([^/]+)")
_LEFT_S = 10.0
_LOOK_S = 0.2
_log = get_logger("agent")


def clear(domain: Any) -> int:
    """Have a guest let go of such disks; return how many there were. Raise libvirtError."""
    found = unknown(_asked(domain, "query-block"), domain.XMLDesc())
    for device in found:
        _tried(domain, "device_del", id=device)
    until_s = time.monotonic() + _LEFT_S
    left = dict(found)
    while left and time.monotonic() < until_s:
        time.sleep(_LOOK_S)
        still = unknown(_asked(domain, "query-block"), domain.XMLDesc())
        for device in [each for each in left if each not in still]:
            node = left.pop(device)
            for name in (node, node.replace("-format", "-storage")):
                _tried(domain, "blockdev-del", **{"node-name": name})
    if found:
        _log.warning("stray_disks_cleared", guest=domain.UUIDString(), disks=len(found), left=len(left))
    return len(found)


def unknown(blocks: list[dict[str, Any]], description: str) -> dict[str, str]:
    """Return the devices that libvirt does not know, with the nodes that they have. Pure."""
    known = set(re.findall(r"<alias name=['\"]([^'\"]+)['\"]", description))
    found = {}
    for block in blocks:
        match = _DEVICE.match(block.get("qdev", ""))
        if match and match[1] not in known:
            found[match[1]] = str(block.get("inserted", {}).get("node-name", ""))
    return found


def _asked(domain: Any, command: str, **arguments: Any) -> Any:
    asked = json.dumps({"execute": command, "arguments": arguments})
    return json.loads(libvirt_qemu.qemuMonitorCommand(domain, asked, 0)).get("return")


def _tried(domain: Any, command: str, **arguments: Any) -> None:
    try:
        _asked(domain, command, **arguments)
    except libvirt.libvirtError as error:
        _log.info("stray_not_cleared", command=command, error=error)
