"""What a host needs to use a volume: where it is served by NBD, under which name, and how.

The serial is what the disk is recognised by in the guest. A volume is open at one gateway at a time, so all hosts that
ask are sent to the same one; any other would serve it as well once that one has let go. The name has the attachment
behind it, so that the gateway can keep out whoever has lost it (`blockgw.holders`), and a seal, without which the
gateway lets nobody in (`blockgw.grants`): it is a secret.
"""

import hashlib
from typing import Any

from sqlalchemy import Connection

from blockgw.grants import Access
from compute.volumes import qos_specs
from compute.volumes.attachments import Attachment
from compute.volumes.settings import NbdAddress, Settings
from compute.volumes.statuses import AttachMode
from compute.volumes.volumes import Volume

DRIVER = "nbd"
UNTOLD = "host"  # the holder of who was told how to connect without an attachment
RECONNECT_S = 60  # for which a client may wait while a gateway is started anew


def gateway_of(settings: Settings, volume_id: str) -> NbdAddress:
    """Return the gateway where a volume's clients meet."""
    number = int.from_bytes(hashlib.sha256(volume_id.encode()).digest()[:4], "big")
    return settings.gateways[number % len(settings.gateways)]


def connection_info(
    connection: Connection, settings: Settings, volume: Volume, mode: str, attachment: Attachment | None = None
) -> dict[str, Any]:
    """Return it as Cinder's `connection_info`."""
    address = gateway_of(settings, volume.id)
    read_only = mode == AttachMode.READ_ONLY or bool(volume.readonly)
    holder = UNTOLD if attachment is None else attachment.id
    export = settings.grants.export(volume.backend_name, holder, Access.READ if read_only else Access.WRITE)
    return {
        "driver_volume_type": DRIVER,
        "data": {
            "host": address.host,
            "port": address.port,
            "export": export,
            "url": f"nbd://{_bracketed(address.host)}:{address.port}/{export}",
            "serial": volume.id,
            "volume_id": volume.id,
            "attachment_id": None if attachment is None else attachment.id,
            "access_mode": AttachMode.READ_ONLY if read_only else AttachMode.READ_WRITE,
            "reconnect_delay": RECONNECT_S,
            "discard": True,
            "cacheable": False,
            "encrypted": False,  # the gateway does it: a host has nothing to decrypt
            "qos_specs": qos_specs.host_specs(connection, volume.volume_type_id),
        },
    }


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
