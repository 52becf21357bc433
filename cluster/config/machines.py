"""`[[device]]` and `[[node]]`: what stores, and where."""

from dataclasses import dataclass
from typing import Annotated

from cluster.config.units import LOOPBACK
from cluster.settings import Limits, Meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """One device: a directory, and the process that serves it."""

    id: Annotated[
        int, Meaning("Number in the rings. It is never given to another device."), Limits(0, 65_534)
    ]
    node: Annotated[str, Meaning("The host, or what stands for one: its devices fail together.")]
    region: Annotated[int, Meaning("Replicas are spread over regions first."), Limits(1)] = 1
    zone: Annotated[int, Meaning("Then over zones: a rack, a power supply."), Limits(1)] = 1
    weight: Annotated[
        float,
        Meaning(
            "Share of the data, relative to the other devices; usually the size in TB. Once the rings are made, "
            "`holdfast device set-weight` changes it."
        ),
        Limits(0),
    ] = 1.0
    directory: Annotated[str, Meaning("Where it stores; relative to the data directory, or absolute.")]
    host: Annotated[
        str, Meaning("Where its peers reach it, with transport tcp. Rings tell nodes apart by it.")
    ] = LOOPBACK
    port: Annotated[
        int,
        Meaning("0: the wire port of [ports] plus id. The offset is not added to a port given here."),
        Limits(0, 65_535),
    ] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """A node with addresses of its own. One without such a table listens as [ports] says."""

    name: Annotated[str, Meaning("As its devices name their node.")]
    host: Annotated[
        str,
        Meaning("Where its peers reach devices that are added to it, with transport tcp. Empty: a loopback address."),
    ] = ""
    listen: Annotated[
        str, Meaning("Address of its admin ports, and of S3 and Swift on its proxies. Empty: as [ports] says.")
    ] = ""
    proxies: Annotated[
        int,
        Meaning("Proxy workers on this node. If any node has some, `workers` under [proxy] is not looked at."),
        Limits(0, 100),
    ] = 0
    namespace: Annotated[
        str,
        Meaning(
            "Network namespace that its processes enter when they start, as `ip netns` names it: a node with a network "
            "of its own on a shared host. It must be there, and the supervisor must be root. Empty: the supervisor's."
        ),
    ] = ""
