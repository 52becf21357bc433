"""What guests are told, in EC2's form: paths below / such as /latest/meta-data/instance-id. Pure.

Source: AWS's "Instance metadata categories", versions to 2009-04-04, as Nova has them. A directory lists its entries,
with a / behind those that are directories; keys are listed as 0=NAME, and are at 0/openssh-key.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from compute.agent.guest import Guest
from compute.agent.metadata.openstack import user_data

VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "latest",
)
_KEYS = "public-keys"


def found(guest: Guest, parts: Sequence[str]) -> bytes | None:
    """Return what is at a path below a version; None: nothing is."""
    if not parts:
        names = ["meta-data/"] + (["user-data"] if user_data(guest.told) else [])
        return "\n".join(names).encode()
    if parts[0] == "user-data" and len(parts) == 1:
        return user_data(guest.told) or None
    if parts[0] != "meta-data":
        return None
    return _at(tree(guest), parts[1:])


def tree(guest: Guest) -> dict[str, Any]:
    """Return all meta data: directories as mappings, and what is in them."""
    told = guest.told
    host_name = str(told.meta_data.get("hostname", guest.name))
    addresses = [address for nic in guest.nics for address in nic.addresses if "." in address]
    own: dict[str, Any] = {
        "instance-id": guest.id,
        "hostname": host_name,
        "local-hostname": host_name,
        "local-ipv4": addresses[0] if addresses else "",
        "placement": {"availability-zone": str(told.meta_data.get("availability_zone", ""))},
        **told.ec2,
    }
    keys = told.meta_data.get("public_keys")
    if _KEYS not in own and isinstance(keys, Mapping) and keys:
        own[_KEYS] = dict(keys)
    if isinstance(own.get(_KEYS), Mapping):
        own[_KEYS] = {
            f"{number}={name}": {"openssh-key": key} for number, (name, key) in enumerate(own[_KEYS].items())
        }
    return own


def _at(value: Any, parts: Sequence[str]) -> bytes | None:
    for part in parts:
        if not isinstance(value, Mapping):
            return None
        named = next((each for each in value if each == part or each.startswith(f"{part}=")), None)
        if named is None:
            return None
        value = value[named]
    if isinstance(value, Mapping):
        # keys are listed with their names, and without the / of directories
        return "\n".join(
            f"{name}/" if isinstance(value[name], Mapping) and "=" not in name else name for name in value
        ).encode()
    if isinstance(value, list | tuple):
        return "\n".join(str(each) for each in value).encode()
    return str(value).encode()
