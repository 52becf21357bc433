"""Which processes a cluster has, and where they listen: tools/processes.py."""

from dataclasses import replace
from pathlib import Path

from cluster.config import (
    ComputeConfig,
    Config,
    DeviceConfig,
    IdentityConfig,
    ImagesConfig,
    NodeConfig,
    PortsConfig,
    ProxyConfig,
    fresh_cluster,
)
from cluster.layout import Layout
from tools.processes import ports, programs


def config(transport: str = "unix", nodes: tuple[NodeConfig, ...] = ()) -> Config:
    devices = tuple(DeviceConfig(id=each, node=f"n{each}", directory=f"d{each}") for each in range(2))
    cluster = fresh_cluster(transport=transport)
    without_guests = ComputeConfig(start="no")  # whatever is installed here
    return Config(
        cluster=cluster,
        compute=without_guests,
        proxy=ProxyConfig(workers=1),
        devices=devices,
        nodes=nodes,
        ports=PortsConfig(),
    )


SERVICES = {  # their ports, and those of their metrics
    "the identity service": (5000, 6170),
    "the image service": (9292, 6171),
    "the volume service": (8776, 6172),
    "the console": (9001, 6175),
}
PORTS_OF_SERVICES = [
    (owner, "127.0.0.1", port)
    for service, ports in SERVICES.items()
    for owner, port in zip((service, f"the metrics of {service}"), ports, strict=True)
]


def listening(cluster: Config) -> list[tuple[str, str, int]]:
    return [(port.owner, port.host, port.number) for port in ports(cluster)]


def test_every_port_is_named_once() -> None:
    assert listening(config("tcp")) == [
        ("S3", "127.0.0.1", 9000),
        ("Swift", "127.0.0.1", 8080),
        ("the metrics of proxy-0", "127.0.0.1", 6100),
        *PORTS_OF_SERVICES,
        ("NBD", "127.0.0.1", 10809),
        ("the metrics of gateway-0", "127.0.0.1", 6150),
        ("the metrics of storage-0", "127.0.0.1", 6200),
        ("storage-0", "127.0.0.1", 6000),
        ("the metrics of storage-1", "127.0.0.1", 6201),
        ("storage-1", "127.0.0.1", 6001),
    ]


def test_a_node_listens_at_its_own_address() -> None:
    nodes = (NodeConfig(name="n1", listen="10.0.0.1", proxies=1),)
    assert ("S3", "10.0.0.1", 9000) in listening(config(nodes=nodes))
    assert ("the metrics of storage-1", "10.0.0.1", 6201) in listening(config(nodes=nodes))
    assert ("the metrics of storage-0", "127.0.0.1", 6200) in listening(config(nodes=nodes))


def test_what_is_on_another_network_takes_no_port_here() -> None:
    nodes = (NodeConfig(name="n1", namespace="apart", proxies=2),)
    assert [owner for owner, _host, _port in listening(config("tcp", nodes))] == [
        *(owner for owner, _host, _port in PORTS_OF_SERVICES),
        "the metrics of storage-0",
        "storage-0",
    ]


def test_programs_run_in_the_namespace_of_their_node() -> None:
    nodes = (NodeConfig(name="n1", namespace="apart", proxies=1),)
    found = {program.name: program.namespace for program in programs(config(nodes=nodes), Layout(Path("/data")))}
    services = dict.fromkeys(("identity", "images", "volumes", "console"), "")
    assert found == {"storage-0": "", "storage-1": "apart", "proxy-0": "apart", "gateway-0": "apart", **services}


def test_services_run_where_they_are_enabled_and_none_without_identity() -> None:
    disabled = replace(config(), images=ImagesConfig(enabled=False))
    names = [program.name for program in programs(disabled, Layout(Path("/data")))]
    assert {"identity", "images", "volumes"} & set(names) == {"identity", "volumes"}
    disabled = replace(config(), identity=IdentityConfig(enabled=False))
    names = [program.name for program in programs(disabled, Layout(Path("/data")))]
    assert not {"identity", "images", "volumes"} & set(names)
    assert not {5000, 9292, 8776} & {port for _owner, _host, port in listening(disabled)}
