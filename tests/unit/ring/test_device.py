"""ring.device"""

import pytest

from ring.device import Device, parse_location
from ring.errors import RingError


def test_a_location_reads_as_swift_operators_write_it() -> None:
    expected = Device(3, 1, 2, "10.0.0.1", 6200, "sdb1", 50.0, "10.1.0.1", 6300, "rack 7")
    assert parse_location("r1z2-10.0.0.1:6200R10.1.0.1:6300/sdb1_rack 7", 3, 50.0) == expected


@pytest.mark.parametrize("location", ["r1z2-10.0.0.1:6200/sdb1", "r0z0-[::1]:6200/d", "r1z1-node-7:1/x"])
def test_a_location_survives_a_round_trip(location: str) -> None:
    assert parse_location(location, 0, 1.0).location == location


@pytest.mark.parametrize("text", ["", "sdb1", "r1-10.0.0.1:6200/sdb1", "r1z1-10.0.0.1/sdb1", "r1z1-10.0.0.1:6200"])
def test_what_is_no_location_is_refused(text: str) -> None:
    with pytest.raises(RingError, match="write it as"):
        parse_location(text, 0, 1.0)
