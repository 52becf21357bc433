"""tools.membership and what `device list` says of devices that lost data."""

from typing import Any

from storage.membership.record import Member, State
from tools.membership import question
from tools.rings.listing import lines

LOST = Member("aa", 3, State.REBUILDING, reason="its disk is empty, or another one than before")


def row(**changes: Any) -> dict[str, Any]:
    device = {
        "id": 2, "node": "2", "region": 1, "zone": 1, "directory": "d2", "role": "in use", "weight": 1.0,
        "wanted_ratio": 0.25, "held_ratio": 0.25, "coming_ratio": 0.25, "serves": True, "live_bytes": 5,
        "data": "whole", "lost": "", "membership": {"state": "whole"}, "standing_in": {},
    }
    return {**device, **changes}


def test_a_question_says_what_is_lost_how_far_it_is_and_what_agreeing_means() -> None:
    asked = question(2, LOST, {"partitions_done": 7, "partitions_total": 90, "waiting": "device 1 must be up"})
    assert "its disk is empty" in asked
    assert "7 of its 90 partitions are whole again (device 1 must be up)" in asked
    assert "lost for good" in asked
    assert "Nothing of it has been copied yet" in question(2, LOST, {})


def test_a_list_without_losses_says_nothing_of_them() -> None:
    assert [line.split("  ")[-1] for line in lines([row()])][1:] == ["in use"]


def test_a_list_shows_who_is_rebuilt_how_far_and_what_it_waits_for() -> None:
    membership = {"partitions_done": 30, "partitions_total": 90, "eta_s": 41.4, "waiting": ""}
    told = list(lines([row(data="rebuilding", lost=LOST.reason, membership=membership)]))
    assert told[1].endswith("in use, rebuilding 33%")
    assert told[2] == (
        "Device 2 is being rebuilt, and others answer reads: its disk is empty, or another one than before, "
        "about 41 s to go."
    )
    membership["waiting"] = "3 partitions wait: device 1 must be up"
    told = list(lines([row(data="rebuilding", lost=LOST.reason, membership=membership)]))
    assert told[2].endswith("; 3 partitions wait: device 1 must be up.")


def test_a_list_shows_a_device_that_lost_data_and_is_down() -> None:
    told = list(lines([row(data="rebuilding", lost=LOST.reason, membership=None, serves=False, standing_in=None)]))
    assert told[1].endswith("in use, down, rebuilding")
    assert told[2].endswith("; it is down.")


def test_a_list_shows_for_whom_devices_stand_in() -> None:
    told = list(lines([row(standing_in={"partitions": 4, "lacking": 0, "for": [1, 3], "waiting": ""})]))
    assert told[1].endswith("in use, standing in for 1, 3")
