"""A device, as rings know it, and the way Swift's operators write one."""

import re
from dataclasses import dataclass

from ring.errors import RingError


@dataclass(frozen=True, slots=True)
class Device:
    """A place for replicas. What fails together is nested: region, zone, node (its ip), device."""

    id: int  # its index in a ring's devices
    region: int
    zone: int
    ip: str
    port: int
    device: str  # its name on the node
    weight: float = 100.0  # share of the partitions, relative to the other devices; 0: being emptied
    replication_ip: str = ""  # empty: ip
    replication_port: int = 0  # 0: port
    meta: str = ""  # the operator's own words

    @property
    def location(self) -> str:
        """The device in the form that `parse_location` takes."""
        ip = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"r{self.region}z{self.zone}-{ip}:{self.port}/{self.device}"


_IP = r"\[[0-9a-fA-F:.]+\]|[^:/R\[\]]+"
_LOCATION = re.compile(
    rf"r(?P<region>\d+)z(?P<zone>\d+)-(?P<ip>{_IP}):(?P<port>\d+)"
    rf"(?:R(?P<replication_ip>{_IP}):(?P<replication_port>\d+))?"
    r"/(?P<device>[^_/\s]+)(?:_(?P<meta>.*))?"
)


def parse_location(text: str, device_id: int, weight: float) -> Device:
    """Return the device at `text`: r1z2-10.0.0.1:6200[R10.1.0.1:6300]/sdb1[_meta]. Raise RingError."""
    match = _LOCATION.fullmatch(text)
    if match is None:
        raise RingError(f"{text!r} is no device: write it as r1z1-127.0.0.1:6200/sdb1")
    found = match.groupdict(default="")
    return Device(
        id=device_id,
        region=int(found["region"]),
        zone=int(found["zone"]),
        ip=found["ip"].strip("[]"),
        port=int(found["port"]),
        device=found["device"],
        weight=weight,
        replication_ip=found["replication_ip"].strip("[]"),
        replication_port=int(found["replication_port"] or 0),
        meta=found["meta"],
    )
