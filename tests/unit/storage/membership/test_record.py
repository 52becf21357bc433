"""storage.membership.record: members in coordination, and what a device has of itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.membership.record import Local, Member, State, Unreadable, decode_local, decode_member, encode, voting

COUNTS = st.integers(0, 1 << 62)
MEMBERS = st.builds(
    Member, st.text(), COUNTS, st.sampled_from(State), COUNTS, st.text(), st.text(), COUNTS, COUNTS
)


@given(MEMBERS)
def test_a_member_survives_being_stored(member: Member) -> None:
    assert decode_member(encode(member)) == member


@given(st.builds(Local, COUNTS, st.text(), st.text()))
def test_what_a_device_knows_of_itself_survives_being_stored(local: Local) -> None:
    assert decode_local(encode(local)) == local


@given(st.binary(max_size=40))
def test_what_is_no_record_is_refused(data: bytes) -> None:
    for decode in (decode_member, decode_local):
        try:
            decode(data)
        except Unreadable:
            continue
        assert decode is decode_local
        assert data.strip().startswith(b"{")  # an object without anything of ours


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b'{"identity": "a", "incarnation": "1", "state": "whole"}',
        b'{"identity": "a", "incarnation": 1, "state": "fine"}',
        b'{"identity": "a", "incarnation": -1, "state": "whole"}',
        b'{"incarnation": 1, "state": "whole"}',
        b'{"identity": 7, "incarnation": 1, "state": "whole"}',
    ],
)
def test_fields_of_another_type_are_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        decode_member(data)


def test_fields_that_a_later_version_adds_are_passed_over() -> None:
    member = decode_member(b'{"identity": "a", "incarnation": 1, "state": "whole", "colour": "blue"}')
    assert member == Member("a", 1, State.WHOLE)


def test_who_is_rebuilding_does_not_vote_and_who_is_not_known_does() -> None:
    members = {1: Member("a", 5, State.WHOLE), 2: Member("b", 6, State.REBUILDING)}
    assert [voting(members, device_id) for device_id in (1, 2, 3)] == [5, None, 0]
