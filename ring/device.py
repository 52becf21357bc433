"""A device, as rings know it."""

from dataclasses import dataclass


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
        """The device as operators write it (ring.notation)."""
        ip = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"r{self.region}z{self.zone}-{ip}:{self.port}/{self.device}"
