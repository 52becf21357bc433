"""tools.rings.growing: what new devices are like."""

import dataclasses
from pathlib import Path

import pytest

from cluster.layout import Layout
from tests.unit.tools.ring_samples import config
from tools.errors import OperatorError
from tools.rings.growing import another_device, node_devices, usual_weight


def test_a_new_node_is_in_a_zone_of_its_own_at_an_address_of_its_own() -> None:
    devices = node_devices(config(4), range(4, 6), name=None, region=1, zone=None, weight=None)
    assert [(each.id, each.node, each.zone, each.host, each.directory) for each in devices] == [
        (4, "4", 5, "127.0.0.5", "nodes/4/d0"),
        (5, "4", 5, "127.0.0.5", "nodes/4/d1"),
    ]


def test_a_new_region_begins_with_its_first_zone() -> None:
    (device,) = node_devices(config(4), range(9, 10), name="far", region=2, zone=None, weight=3.0)
    assert (device.node, device.region, device.zone, device.weight) == ("far", 2, 1, 3.0)


def test_a_node_in_the_zone_of_another_has_another_address() -> None:
    before = config(4)
    (device,) = node_devices(before, range(4, 5), name=None, region=1, zone=2, weight=None)
    assert device.zone == 2
    assert device.host not in {each.host for each in before.devices}


@pytest.mark.parametrize("name", ["2", "a/b", "..", "", "x" * 65])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(OperatorError):
        node_devices(config(4), range(4, 5), name=name, region=1, zone=None, weight=None)


def test_another_device_of_a_node_is_beside_the_others(tmp_path: Path) -> None:
    """What a device that was removed has left is not taken for new."""
    (tmp_path / "nodes/2/d1").mkdir(parents=True)
    device = another_device(config(4), Layout(tmp_path), 7, "2", None)
    assert (device.id, device.zone, device.host, device.directory) == (7, 3, "127.0.0.3", "nodes/2/d2")


def test_a_device_of_no_node_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="there is no node 9: choose one of 0, 1, 2, 3"):
        another_device(config(4), Layout(tmp_path), 7, "9", None)


def test_the_usual_weight_is_that_of_most_devices_that_are_not_drained() -> None:
    before = config(4)
    weights = (0.0, 4.0, 4.0, 9.0)
    devices = [dataclasses.replace(each, weight=own) for each, own in zip(before.devices, weights, strict=True)]
    assert usual_weight(dataclasses.replace(before, devices=tuple(devices))) == 4.0
    assert usual_weight(dataclasses.replace(before, devices=())) == 1.0
