"""What is at a path of 169.254.169.254 for a guest. Pure."""

from dataclasses import dataclass

from compute.agent.guest import Guest
from compute.agent.metadata import ec2, openstack

JSON, TEXT, BYTES = "application/json", "text/plain; charset=utf-8", "application/octet-stream"
_PARTS_LIMIT = 12


@dataclass(frozen=True, slots=True)
class Content:
    """What is at a path."""

    data: bytes
    kind: str = TEXT


def content(guest: Guest, path: str) -> Content | None:
    """Return what a guest finds at a path; None: nothing."""
    parts = [part for part in path.partition("?")[0].split("/") if part]
    if len(parts) > _PARTS_LIMIT:
        return None
    if not parts:
        return _listed([*ec2.VERSIONS, "openstack"])
    if parts[0] == "openstack":
        return _openstack(guest, parts[1:])
    if parts[0] not in ec2.VERSIONS:
        return None
    data = ec2.found(guest, parts[1:])
    return None if data is None else Content(data, BYTES if parts[1:] == ["user-data"] else TEXT)


def _openstack(guest: Guest, parts: list[str]) -> Content | None:
    if not parts:
        return _listed(openstack.VERSIONS)
    files = openstack.files(guest.told, parts[0])
    if not files:
        return None
    if len(parts) == 1:
        return _listed(list(files))
    if len(parts) > 2 or parts[1] not in files:
        return None
    kind = JSON if parts[1].endswith(".json") else BYTES if parts[1] == openstack.USER_DATA else TEXT
    return Content(files[parts[1]], kind)


def _listed(names: list[str] | tuple[str, ...]) -> Content:
    return Content("\n".join(names).encode())
