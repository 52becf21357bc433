"""tools.creation"""

import stat
from pathlib import Path

import pytest

from cluster.config import load
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.errors import ConfigError
from cluster.layout import Layout
from identity.users import UserStore
from ring import file
from tools.creation import RING_NAMES, Wishes, create, plan


def test_a_cluster_has_a_node_per_zone_and_ports_moved_by_the_offset() -> None:
    config = plan(Wishes(node_count=3, devices_per_node=2, port_offset=500))
    assert [(each.id, each.node, each.zone) for each in config.devices] == [
        (0, "0", 1),
        (1, "0", 1),
        (2, "1", 2),
        (3, "1", 2),
        (4, "2", 3),
        (5, "2", 3),
    ]
    assert config.ports.s3_port == 9500
    assert config.ring.replicas == 3


def test_a_small_cluster_has_as_many_replicas_as_devices() -> None:
    assert plan(Wishes(node_count=1)).ring.replicas == 1


def test_each_cluster_has_secrets_of_its_own() -> None:
    one, other = plan(Wishes()).cluster, plan(Wishes()).cluster
    assert one.key != other.key
    assert one.hash_prefix != other.hash_prefix


def test_what_cannot_work_is_refused_before_anything_is_made() -> None:
    with pytest.raises(ConfigError, match="port"):
        plan(Wishes(port_offset=59_000))


def test_what_is_made_is_what_was_planned(tmp_path: Path) -> None:
    config = plan(Wishes())
    create(Layout(tmp_path), config)
    assert load(tmp_path / "cluster.toml") == config
    assert stat.S_IMODE((tmp_path / "cluster.toml").stat().st_mode) == 0o600
    assert (tmp_path / "VERSION").read_text() == "1\n"
    assert all((tmp_path / each.directory).is_dir() for each in config.devices)


def test_the_rings_are_in_coordination_and_spread_over_zones(tmp_path: Path) -> None:
    create(Layout(tmp_path), plan(Wishes()))
    coordination = EmbeddedCoordination(tmp_path / "coordination.db")
    for name in RING_NAMES:
        value = coordination.get(f"ring/{name}")
        assert value is not None
        ring = file.load(value.data)
        assert (ring.part_power, ring.replica_count) == (10, 3)
        assert all(len({each.zone for each in ring.primaries(partition)}) == 3 for partition in range(1024))
    assert [(user.name, user.admin) for user in UserStore(coordination).list()] == [("admin", True)]
    coordination.close()


def test_what_an_interrupted_creation_left_is_replaced(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    create(layout, plan(Wishes()))
    layout.version.unlink()
    config = plan(Wishes(node_count=3))
    create(layout, config)
    assert load(layout.config) == config
    coordination = EmbeddedCoordination(layout.coordination)
    assert len(UserStore(coordination).list()) == 1
    coordination.close()
