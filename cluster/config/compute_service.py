"""`[compute]`: servers, OpenStack's Nova, and the agent that runs them on a host."""

import importlib.util
from dataclasses import dataclass
from typing import Annotated

from cluster.settings import Choices, Limits, Meaning

AUTO, YES, NO = "auto", "yes", "no"
AGENT_MARK = "{agent}"  # in a URI: the number of the agent
_QUOTA = Limits(-1, 2_147_483_647)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeConfig:
    """The compute service, and its agent on this host."""

    start: Annotated[
        str,
        Meaning(
            "Whether the compute and network services run, and the agent: yes, no, or auto: where the identity, image "
            "and volume services do, and this installation has libvirt-python. They take about 400 MB."
        ),
        Choices((AUTO, YES, NO)),
    ] = AUTO
    database: Annotated[
        str,
        Meaning(
            "SQLAlchemy URL of its database, such as postgresql+psycopg://USER:PASSWORD@HOST/NAME. Empty: compute.db "
            "in the data directory, by SQLite."
        ),
    ] = ""
    public_url: Annotated[
        str,
        Meaning(
            "Where clients find it, without /v2.1, such as https://cloud.example:8774: links and the catalog have it. "
            "Empty: http, and the address and port of [ports]."
        ),
    ] = ""
    policy_file: Annotated[
        str,
        Meaning(
            "policy.yaml, in oslo.policy's format, relative to the data directory: rules that differ from the "
            "defaults. Empty: none do."
        ),
    ] = ""
    availability_zone: Annotated[str, Meaning("Zone of hosts that no aggregate gives another one.")] = "nova"
    agents: Annotated[
        int,
        Meaning("Agents on this host, each with guests of its own. More than one is for trying things out."),
        Limits(0, 16),
    ] = 1
    libvirt: Annotated[
        str,
        Meaning(
            "URI of the hypervisor, such as qemu:///system; {agent} in it is the agent's number, as no two may share "
            "one. Empty: a qemu of the agent's own, with all its state in the data directory (qemu:///embed)."
        ),
    ] = ""
    virtualization: Annotated[
        str,
        Meaning("kvm; qemu: emulated, slow; or auto: kvm where a guest was seen to run with it."),
        Choices((AUTO, "kvm", "qemu")),
    ] = AUTO
    networking: Annotated[
        str,
        Meaning(
            "bridge: bridges, namespaces and nftables, as root; user: qemu's own, without privileges, where guests "
            "reach nothing but their metadata; or auto: what can be had."
        ),
        Choices((AUTO, "bridge", "user")),
    ] = AUTO
    tunnel_address: Annotated[
        str,
        Meaning(
            "Address of this host at which the other hosts reach it for guests' packets (VXLAN, UDP 4789, and one more "
            "for each further agent). Empty: that from which it reaches the world. It must be one of this host."
        ),
    ] = ""
    guests_may_reach: Annotated[
        tuple[str, ...],
        Meaning(
            "Prefixes such as 192.168.7.0/24 that guests reach by their way out although they are private, or near "
            "this host. Empty: they reach what its default route leads to, but no private addresses."
        ),
    ] = ()
    guest_memory_mib: Annotated[
        int, Meaning("MiB of memory for guests on this host; 0: what it has, without a tenth."), Limits(0)
    ] = 0
    vcpu_ratio: Annotated[
        float, Meaning("Virtual CPUs a core of this host may be given out as."), Limits(0.1, 128)
    ] = 16.0
    operations: Annotated[
        int,
        Meaning("Operations at a time: each a server that is made, moved, deleted. Large: more load on hosts."),
        Limits(1, 64),
    ] = 16
    quota_instances: Annotated[
        int, Meaning("Servers of a project that has no quota of its own; -1: any number."), _QUOTA
    ] = 10
    quota_cores: Annotated[int, Meaning("The same of virtual CPUs."), _QUOTA] = 20
    quota_ram_mib: Annotated[int, Meaning("The same of MiB of memory."), _QUOTA] = 51_200
    quota_key_pairs: Annotated[int, Meaning("The same of a user's key pairs."), _QUOTA] = 100
    quota_server_groups: Annotated[int, Meaning("The same of server groups."), _QUOTA] = 10
    max_connections: Annotated[
        int, Meaning("Client connections at a time; more wait to be accepted."), Limits(8, 10_000)
    ] = 512

    def hypervisor_uri(self, agent: int) -> str:
        """Return the URI that an agent shall use; empty: one of its own."""
        return self.libvirt.replace(AGENT_MARK, str(agent))

    @property
    def enabled(self) -> bool:
        """Whether the service runs, as far as this section says."""
        return self.start == YES or (self.start == AUTO and importlib.util.find_spec("libvirt") is not None)
