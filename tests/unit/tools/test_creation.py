"""tools.creation"""

import stat
from pathlib import Path

import pytest

from cluster.config import load
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.errors import ConfigError
from cluster.layout import Layout
from cluster.version import DATA_LAYOUT
from identity.users import UserStore
from storage.rings.store import RingStore
from tools.creation import RING_NAMES, Wishes, build, create, plan
from tools.rings.builders import BuilderStore, digest_of


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
    assert (tmp_path / "VERSION").read_text() == f"{DATA_LAYOUT}\n"
    assert all((tmp_path / each.directory).is_dir() for each in config.devices)


def test_each_node_has_an_address_of_its_own_by_which_rings_tell_them_apart() -> None:
    config = plan(Wishes(node_count=300, devices_per_node=2))
    assert len({device.host for device in config.devices}) == 300
    assert config.device(0).host == config.device(1).host == "127.0.0.1"


def test_the_rings_are_in_coordination_and_spread_over_zones(tmp_path: Path) -> None:
    create(Layout(tmp_path), plan(Wishes()))
    coordination = EmbeddedCoordination(tmp_path / "coordination.db")
    store = RingStore(coordination)
    document = store.document()
    assert (document.version, document.settled) == (1, True)
    assert sorted(document.current) == sorted(RING_NAMES)
    for digest in document.current.values():
        ring = store.ring(digest)
        assert (ring.part_power, ring.replica_count) == (10, 3)
        assert all(len({each.zone for each in ring.primaries(partition)}) == 3 for partition in range(1024))
    assert len(set(document.current.values())) == 3  # what one device holds of a ring tells nothing of another
    assert [(user.name, user.admin) for user in UserStore(coordination).list()] == [("admin", True)]
    coordination.close()


def test_the_rings_have_their_builders_beside_them(tmp_path: Path) -> None:
    create(Layout(tmp_path), plan(Wishes()))
    coordination = EmbeddedCoordination(tmp_path / "coordination.db")
    document = RingStore(coordination).document()
    builders = BuilderStore(coordination).load(document.current)
    assert {name: digest_of(builder.to_ring()) for name, builder in builders.items()} == document.current
    assert all((each.min_part_hours, each.overload) == (0, 0.1) for each in builders.values())
    coordination.close()


def test_the_same_configuration_gives_the_same_rings() -> None:
    config = plan(Wishes())
    one, other = build(config), build(config)
    assert all(digest_of(one[name].to_ring()) == digest_of(other[name].to_ring()) for name in RING_NAMES)


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
