"""For whom a volume is opened: clients may ask for NAME~HOLDER in place of NAME, or NAME@SNAPSHOT (`grants.parted`).

A holder is any word, such as the id of an attachment. Once a holder is dismissed its connections are cut, and there are
no new ones at any gateway: the volume's document in the catalog says so (`Volume.dismissed`). So a host that was given
up, and comes back by itself, writes no more. Who asks for the bare name is not told apart.
"""

import re
from dataclasses import replace

from blockgw.catalog.errors import InvalidRequest
from blockgw.catalog.volume import Volume
from blockgw.errors import NotAllowed
from blockgw.interfaces import Client

SEPARATOR = "~"  # which no name has, and URLs leave as it is
REMEMBERED = 100  # of a volume, the last ones
_HOLDER = re.compile(r"[A-Za-z0-9-]{1,64}")


def without(volume: Volume, holder: str) -> Volume:
    """Return the volume after a holder was dismissed. Raise InvalidRequest."""
    if not _HOLDER.fullmatch(holder):
        raise InvalidRequest(f"{holder!r} is no holder: letters, digits and -, at most 64")
    if holder in volume.dismissed:
        return volume
    return replace(volume, dismissed=(*volume.dismissed, holder)[-REMEMBERED:])


def check(volume: Volume, client: Client) -> None:
    """Raise NotAllowed when a client comes for somebody who was dismissed."""
    if client.holder and client.holder in volume.dismissed:
        raise NotAllowed(f"{volume.name} is not for {client.holder} any more")
