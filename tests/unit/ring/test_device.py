"""ring.device"""

import pytest

from ring.errors import RingError
from ring.notation import parse_add


@pytest.mark.parametrize("location", ["r1z2-10.0.0.1:6200/sdb1", "r0z0-[::1]:6200/d"])
def test_a_location_survives_a_round_trip(location: str) -> None:
    assert parse_add(location, 1.0)[0].location == location


@pytest.mark.parametrize("text", ["", "sdb1", "r1-10.0.0.1:6200/sdb1", "r1z1-10.0.0.1/sdb1", "r1z1-10.0.0.1:6200"])
def test_what_is_no_location_is_refused(text: str) -> None:
    with pytest.raises(RingError, match="write it as"):
        parse_add(text, 1.0)
