"""Paths under a data directory: cluster/layout.py."""

import os
from pathlib import Path

import pytest

from cluster.config import Config, DeviceConfig, fresh_cluster
from cluster.errors import ConfigError
from cluster.layout import Layout

DEVICE = DeviceConfig(id=3, node="a", directory="nodes/a/0", host="10.0.0.1")


def test_everything_is_in_the_directory_of_the_configuration() -> None:
    layout = Layout.of_config("/data/hf/cluster.toml")
    assert layout == Layout(Path("/data/hf"))
    assert layout.config == Path("/data/hf/cluster.toml")
    assert layout.coordination == Path("/data/hf/coordination.db")
    assert layout.log("proxy-0") == Path("/data/hf/log/proxy-0.log")
    assert layout.ready("proxy-0") == Path("/data/hf/run/proxy-0.ready")
    assert layout.pid("proxy-0") == Path("/data/hf/run/proxy-0.pid")
    assert layout.device(DEVICE) == Path("/data/hf/nodes/a/0")


def test_a_device_may_be_elsewhere() -> None:
    device = DeviceConfig(id=3, node="a", directory="/mnt/disk1")
    assert Layout(Path("/data/hf")).device(device) == Path("/mnt/disk1")


def test_a_relative_path_of_the_configuration_is_made_absolute() -> None:
    assert Layout.of_config("cluster.toml").directory == Path.cwd()


def test_the_address_of_a_device_follows_the_transport() -> None:
    layout = Layout(Path("/data/hf"))
    local = Config(cluster=fresh_cluster(), devices=(DEVICE,))
    assert layout.device_address(local, 3) == "unix:/data/hf/run/storage-3.sock"
    remote = Config(cluster=fresh_cluster(transport="tcp"), devices=(DEVICE,))
    assert layout.device_address(remote, 3) == "tcp:10.0.0.1:6003"
    with pytest.raises(ConfigError):
        layout.device_address(local, 4)


def test_sockets_of_a_deep_directory_are_in_a_short_one_of_its_own() -> None:
    """unix(7): sun_path has 108 bytes."""
    deep = [Layout(Path("/" + "x" * 120 + name)) for name in ("/a", "/b")]
    sockets = [layout.device_socket(0) for layout in deep]
    assert sockets[0] != sockets[1]
    for layout, socket in zip(deep, sockets, strict=True):
        assert len(os.fsencode(socket)) < 100
        assert socket.parent == layout.sockets


def test_the_longest_socket_path_still_fits() -> None:
    longest = max(
        (Layout(Path("/" + "x" * size)).device_socket(65_534) for size in range(1, 200)),
        key=lambda path: len(os.fsencode(path)),
    )
    assert len(os.fsencode(longest)) < 108
