"""How operators write devices on a command line: to find them, to add one, to change some. Pure.

The three forms are those of swift-ring-builder; every part of the first and the last may be left out:
    search   d74r1z2-10.0.0.1:6200R10.1.0.1:6300/sdb1_meta
    add      r1z2-10.0.0.1:6200R10.1.0.1:6300/sdb1_meta
    change   10.0.0.1:6200R10.1.0.1:6300/sdb1_meta
IPv6 addresses are in brackets. Only options (`ring.cli.options`) take host names.
"""

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from ring.address import normal_address, normal_ip, shown
from ring.device import Device
from ring.errors import RingError

_LAST_PORT = 65_535
_IP = r"\d[\d.]*|\[[^\]]*\]"
_PLACE = (
    rf"(?P<ip>{_IP})?(?::(?P<port>\d+))?"
    rf"(?:R(?P<replication_ip>{_IP})?(?::(?P<replication_port>\d+))?)?"
    r"(?:/(?P<device>[^_]*))?(?:_(?P<meta>.*))?"
)
_CHANGE = re.compile(_PLACE, re.DOTALL)
_SEARCH = re.compile(rf"(?:d(?P<id>\d+))?(?:r(?P<region>\d+))?(?:z(?P<zone>\d+))?-?{_PLACE}", re.DOTALL)
_ADD = re.compile(
    r"(?:r(?P<region>\d+))?z(?P<zone>\d+)-(?P<ip>[^R/]*):(?P<port>\d+)"
    r"(?:R(?P<replication_ip>[^R/]*):(?P<replication_port>\d+))?"
    r"/(?P<device>[^_]*)(?:_(?P<meta>.*))?",
    re.DOTALL,
)
_NUMBERS = frozenset({"id", "region", "zone", "port", "replication_port"})
_ADDRESSES = frozenset({"ip", "replication_ip"})


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a device must be in order to be meant; None: that does not matter."""

    id: int | None = None
    region: int | None = None
    zone: int | None = None
    ip: str | None = None
    port: int | None = None
    replication_ip: str | None = None
    replication_port: int | None = None
    device: str | None = None
    weight: float | None = None
    meta: str | None = None  # is contained in the device's

    def meet(self, device: Device) -> bool:
        """Tell whether `device` is one that is meant."""
        facts = dataclasses.asdict(device) | {
            "ip": _stored(device.ip),
            "replication_ip": _stored(device.replication_ip or device.ip),
            "replication_port": device.replication_port or device.port,
        }
        wanted = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        meta = wanted.pop("meta", "")
        return meta in device.meta and all(facts[name] == value for name, value in wanted.items())


def parse_search(text: str) -> Criteria:
    """Return what the search value `text` asks for. Raise RingError."""
    match = _SEARCH.fullmatch(text)
    if match is None:
        raise RingError(f"{text!r} does not say which device: write it as d74, z1-10.0.0.1:6200, /sdb1 or _meta")
    return Criteria(**_values(match))


def parse_change(text: str) -> dict[str, Any]:
    """Return the new values of a device's fields, by name, that `text` asks for. Raise RingError."""
    match = _CHANGE.fullmatch(text)
    change = _values(match) if match else {}
    if not change:
        raise RingError(f"{text!r} is no change: write it as 10.0.0.1:6200R10.1.0.1:6300/sdb1_meta, or parts of it")
    return checked_change(change)


def parse_add(text: str, weight: float) -> tuple[Device, bool]:
    """Return the device to add at `text`, with id 0, and whether its region is given. Raise RingError."""
    match = _ADD.fullmatch(text)
    if match is None:
        raise RingError(f"{text!r} is no device: write it as r1z1-127.0.0.1:6200/sdb1")
    values = _values(match)
    region_given = "region" in values
    return new_device({"region": 1, **values, "weight": weight}), region_given


def new_device(values: dict[str, Any]) -> Device:
    """Return the device, with id 0, of the `values` given for its fields. Raise RingError."""
    device = Device(**{"id": 0, **checked_change(values)})
    return dataclasses.replace(
        device,
        replication_ip=device.replication_ip or device.ip,
        replication_port=device.replication_port or device.port,
    )


def checked_change(change: dict[str, Any]) -> dict[str, Any]:
    """Return `change` of a device's fields. Raise RingError when a device cannot be so."""
    name = change.get("device", "-")
    if not name or name != name.strip(" "):
        raise RingError(f"{name!r} is no name of a device: it is empty, or begins or ends with a space")
    for port in (change.get("port"), change.get("replication_port")):
        if port is not None and not 0 <= port <= _LAST_PORT:
            raise RingError(f"a port is a number up to {_LAST_PORT}, not {port}")
    for tier in ("region", "zone"):
        if change.get(tier, 0) < 0:
            raise RingError(f"a {tier} is a number from 0 up, not {change[tier]}")
    return change


def parse_weight(text: str) -> float:
    """Return the weight `text`, which may still be one that a builder refuses. Raise RingError."""
    return parse_number(text, "a weight")


def parse_number(text: str, what: str) -> float:
    """Return the number `text`, which is `what`. Raise RingError."""
    try:
        return float(text)
    except ValueError:
        raise RingError(f"{what} is a number, not {text!r}") from None


def parse_whole(text: str, what: str) -> int:
    """Return the whole number `text`, which is `what`. Raise RingError."""
    try:
        return int(text)
    except ValueError:
        raise RingError(f"{what} is a whole number, not {text!r}") from None


def described(device: Device) -> str:
    """Return the whole of `device` in the form that `parse_search` takes."""
    address = shown(device.ip, device.port)
    replication = shown(device.replication_ip or device.ip, device.replication_port or device.port)
    meta = f"_{device.meta}" if device.meta else ""
    return f"d{device.id}r{device.region}z{device.zone}-{address}R{replication}/{device.device}{meta}"


def _values(match: re.Match[str]) -> dict[str, Any]:
    return {name: _value(name, text) for name, text in match.groupdict().items() if text is not None}


def _value(name: str, text: str) -> Any:
    if name in _NUMBERS:
        return int(text)
    return normal_ip(text.strip("[]")) if name in _ADDRESSES else text


def _stored(address: str) -> str:
    try:
        return normal_address(address)
    except RingError:
        return address
