"""ring.notation, ring.address"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ring.address import normal_address, normal_ip
from ring.device import Device
from ring.errors import RingError
from ring.notation import Criteria, described, new_device, parse_add, parse_change, parse_search

DEVICE = Device(3, 1, 2, "10.0.0.1", 6200, "sdb1", 100.0, "10.1.0.1", 6300, "shelf 2")
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str).map(normal_ip)
PORTS = st.integers(0, 65535)
NAMES = st.text(st.characters(codec="ascii", exclude_characters="_ ", min_codepoint=32), min_size=1)
DEVICES = st.builds(
    Device,
    st.integers(0, 65535),
    st.integers(0, 99),
    st.integers(0, 99),
    ADDRESSES,
    PORTS,
    NAMES,
    st.just(1.0),
    ADDRESSES,
    PORTS.filter(bool),
    st.text(),
)


@given(DEVICES)
def test_a_device_is_found_by_its_description(device: Device) -> None:
    assert parse_search(described(device)).meet(device)


@given(DEVICES)
def test_a_device_is_added_as_it_is_described(device: Device) -> None:
    text = described(device).removeprefix(f"d{device.id}")
    added, region_given = parse_add(text, device.weight)
    assert region_given
    assert described(added) == described(device).replace(f"d{device.id}", "d0", 1)


@pytest.mark.parametrize(
    ("text", "criteria"),
    [
        ("d74", Criteria(id=74)),
        ("r4", Criteria(region=4)),
        ("z1", Criteria(zone=1)),
        ("z1-1.2.3.4", Criteria(zone=1, ip="1.2.3.4")),
        ("1.2.3.4", Criteria(ip="1.2.3.4")),
        ("z1:5678", Criteria(zone=1, port=5678)),
        (":5678", Criteria(port=5678)),
        ("R5.6.7.8", Criteria(replication_ip="5.6.7.8")),
        ("R:5678", Criteria(replication_port=5678)),
        ("1.2.3.4R5.6.7.8", Criteria(ip="1.2.3.4", replication_ip="5.6.7.8")),
        ("/sdb1", Criteria(device="sdb1")),
        ("_shiny", Criteria(meta="shiny")),
        ('_"snet: 5.6.7.8"', Criteria(meta='"snet: 5.6.7.8"')),
        ("[::1]", Criteria(ip="::1")),
        ("z1-[::1]:5678", Criteria(zone=1, ip="::1", port=5678)),
        (
            "d74r4z1-1.2.3.4:5678/sdb1_a_b",
            Criteria(id=74, region=4, zone=1, ip="1.2.3.4", port=5678, device="sdb1", meta="a_b"),
        ),
    ],
)
def test_every_part_of_a_search_value_may_be_left_out(text: str, criteria: Criteria) -> None:
    """swift-ring-builder, "The <search-value> can be of the form"."""
    assert parse_search(text) == criteria


@pytest.mark.parametrize("text", ["d", "r1d1", "z", "1.2.3", ":", "z1x", "sdb1", "[]", "10.0.0.1:x", "R:", "-r1"])
def test_other_search_values_are_refused(text: str) -> None:
    with pytest.raises(RingError):
        parse_search(text)


@pytest.mark.parametrize(
    ("criteria", "met"),
    [
        (Criteria(), True),
        (Criteria(meta="shelf"), True),
        (Criteria(meta="shelf 3"), False),
        (Criteria(ip="10.0.0.1", port=6200), True),
        (Criteria(ip="10.0.0.1", port=6201), False),
        (Criteria(replication_ip="10.1.0.1"), True),
        (Criteria(weight=100.0), True),
        (Criteria(zone=2, region=2), False),
        (Criteria(device="sdb"), False),
    ],
)
def test_a_device_meets_all_criteria_or_is_not_meant(criteria: Criteria, met: bool) -> None:
    assert criteria.meet(DEVICE) is met


def test_a_device_without_addresses_of_its_own_for_replication_replicates_at_its_address() -> None:
    plain = new_device({"region": 1, "zone": 1, "ip": "10.0.0.1", "port": 6200, "device": "sda", "weight": 1.0})
    assert (plain.replication_ip, plain.replication_port) == ("10.0.0.1", 6200)
    assert Criteria(replication_ip="10.0.0.1", replication_port=6200).meet(Device(0, 1, 1, "10.0.0.1", 6200, "sda"))


def test_a_device_without_a_region_is_told_apart_from_one_in_region_1() -> None:
    assert parse_add("z2-10.0.0.1:6200/sdb1", 1.0) == (parse_add("r1z2-10.0.0.1:6200/sdb1", 1.0)[0], False)


def test_a_change_names_only_what_changes() -> None:
    assert parse_change("10.0.0.2R:6301_x") == {"ip": "10.0.0.2", "replication_port": 6301, "meta": "x"}
    assert parse_change("_") == {"meta": ""}


@pytest.mark.parametrize("text", ["", "R", "d1", "host", "/", "/ sda", ":70000", "10.0.0.300"])
def test_other_changes_are_refused(text: str) -> None:
    with pytest.raises(RingError):
        parse_change(text)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("[FE80:0:0::1]", "fe80::1"),
        ("::FFFF:10.0.0.1", "::ffff:10.0.0.1"),
        ("Node-1.Example.", "node-1.example."),
        ("10.0.0", "10.0.0"),  # a host name may be digits
    ],
)
def test_an_address_has_one_spelling(text: str, stored: str) -> None:
    """swift.common.ring.utils, `validate_and_normalize_address`."""
    assert normal_address(text) == stored


@pytest.mark.parametrize("text", ["", "-node", "node-", "no_de", "a..b", "[node]", "x" * 64, "a." * 130])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(RingError):
        normal_address(text)
