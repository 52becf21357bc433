"""`[network]`: the network service, OpenStack's Neutron. It runs where the compute service does."""

from dataclasses import dataclass
from typing import Annotated

from cluster.settings import Limits, Meaning

_QUOTA = Limits(-1, 2_147_483_647)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """The network service."""

    enabled: Annotated[bool, Meaning("Whether it runs, where the compute service does. It takes about 150 MB.")] = True
    database: Annotated[
        str,
        Meaning(
            "SQLAlchemy URL of its database, such as postgresql+psycopg://USER:PASSWORD@HOST/NAME. Empty: network.db "
            "in the data directory, by SQLite."
        ),
    ] = ""
    public_url: Annotated[
        str,
        Meaning(
            "Where clients find it, without /v2.0, such as https://cloud.example:9696: links and the catalog have it. "
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
    dns_domain: Annotated[str, Meaning("Domain of guests' names.")] = "novalocal"
    mtu: Annotated[
        int,
        Meaning(
            "Bytes of the longest packet of networks. The wires between hosts must carry 50 more, or 70 where tunnels "
            "have IPv6 addresses."
        ),
        Limits(576, 65_535),
    ] = 1450
    default_cidr: Annotated[
        str,
        Meaning(
            "Addresses of the network `default`, which the first start makes for all projects, so that servers need "
            "name none. Empty: it is not made."
        ),
    ] = "10.20.0.0/22"
    external_cidr: Annotated[
        str,
        Meaning(
            "Floating addresses of the network `external`, which the first start makes, with the router that is the "
            "way out of the network `default`. Hosts have routes to those that guests have; they must be nobody "
            "else's. Empty: there is no way out of it, and hosts forward nothing."
        ),
    ] = "10.20.4.0/22"
    quota_networks: Annotated[
        int, Meaning("Networks of a project that has no quota of its own; -1: any number."), _QUOTA
    ] = 100
    quota_subnets: Annotated[int, Meaning("The same of subnets."), _QUOTA] = 100
    quota_ports: Annotated[int, Meaning("The same of ports."), _QUOTA] = 500
    quota_security_groups: Annotated[int, Meaning("The same of security groups."), _QUOTA] = 10
    quota_security_group_rules: Annotated[int, Meaning("The same of rules of security groups."), _QUOTA] = 100
    quota_routers: Annotated[int, Meaning("The same of routers."), _QUOTA] = 10
    quota_floating_ips: Annotated[int, Meaning("The same of floating addresses."), _QUOTA] = 50
    max_connections: Annotated[
        int, Meaning("Client connections at a time; more wait to be accepted."), Limits(8, 10_000)
    ] = 512
