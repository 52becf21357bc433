"""Which processes a cluster has, and where they listen: tools/processes.py."""

from pathlib import Path

from cluster.config import Config, DeviceConfig, NodeConfig, PortsConfig, ProxyConfig, fresh_cluster
from cluster.layout import Layout
from tools.processes import ports, programs


def config(transport: str = "unix", nodes: tuple[NodeConfig, ...] = ()) -> Config:
    devices = tuple(DeviceConfig(id=each, node=f"n{each}", directory=f"d{each}") for each in range(2))
    cluster = fresh_cluster(transport=transport)
    return Config(cluster=cluster, proxy=ProxyConfig(workers=1), devices=devices, nodes=nodes, ports=PortsConfig())


def listening(cluster: Config) -> list[tuple[str, str, int]]:
    return [(port.owner, port.host, port.number) for port in ports(cluster)]


def test_every_port_is_named_once() -> None:
    assert listening(config("tcp")) == [
        ("S3", "127.0.0.1", 9000),
        ("Swift", "127.0.0.1", 8080),
        ("the metrics of proxy-0", "127.0.0.1", 6100),
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
        "the metrics of storage-0",
        "storage-0",
    ]


def test_programs_run_in_the_namespace_of_their_node() -> None:
    nodes = (NodeConfig(name="n1", namespace="apart", proxies=1),)
    found = {program.name: program.namespace for program in programs(config(nodes=nodes), Layout(Path("/data")))}
    assert found == {"storage-0": "", "storage-1": "apart", "proxy-0": "apart", "gateway-0": "apart"}
