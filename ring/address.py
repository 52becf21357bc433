"""Addresses of nodes, in the one spelling that devices are stored and compared in. Pure.

Source: OpenStack Swift, swift/common/ring/utils.py, `validate_and_normalize_address`: lower case, and
IPv6 as `inet_ntop` writes it. Host names: RFC 1123, section 2.1.
"""

import re
import socket

from ring.errors import RingError

_LABEL = re.compile(r"(?!-)[a-z\d-]{1,63}(?<!-)")
_HOST_NAME_LENGTH = 255


def normal_ip(text: str) -> str:
    """Return the address `text`, IPv4 or IPv6, as it is stored. Raise RingError."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, text.lower()))
        except (OSError, ValueError):  # ValueError: a NUL in it
            continue
    raise RingError(f"{text!r} is no IP address")


def normal_address(text: str) -> str:
    """Return the address or host name `text` as it is stored; brackets around an IPv6 address are taken off.

    Raise RingError.
    """
    bare = text.lstrip("[").rstrip("]").lower()
    try:
        return normal_ip(bare)
    except RingError:
        if text.startswith("[") or not _is_host_name(bare):
            raise RingError(f"{text!r} is neither an IP address nor a host name") from None
        return bare


def shown(address: str, port: int) -> str:
    """Return `address` and `port` as people write them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _is_host_name(text: str) -> bool:
    labels = text.removesuffix(".").split(".")
    return len(text) <= _HOST_NAME_LENGTH and all(_LABEL.fullmatch(label) for label in labels)
