"""storage.membership.decision: what a start makes of a device, and where it may crash meanwhile."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.membership import decision
from storage.membership.decision import EMPTY, OLDER_COPY, SHORT_LOG, Here
from storage.membership.record import Local, Member, State

KNOWN = Member("aa", 4, State.WHOLE, position=100)
HERE = Here("aa", Local(4), 100)


def test_a_device_that_comes_back_as_it_was_stays_whole() -> None:
    assert decision.loss(KNOWN, HERE) == ""
    entered = decision.entering(KNOWN, HERE, "", "t", 7)
    assert (entered.incarnation, entered.state, entered.token) == (5, State.WHOLE, "t")


@pytest.mark.parametrize(
    ("here", "reason"),
    [
        (Here("bb", Local(), 0), EMPTY),
        (Here("bb", Local(4), 100), EMPTY),
        (Here("aa", Local(3), 100), OLDER_COPY),
        (Here("aa", Local(), 100), OLDER_COPY),
        (Here("aa", Local(3, token="mine"), 100), OLDER_COPY),
        (Here("aa", Local(4), 99), SHORT_LOG),
        (Here("aa", None, 100), decision.UNKNOWN_SELF),
        (Here("aa", Local(4), 100, "12 files are missing"), "12 files are missing"),
        (Here("aa", Local(4, lost="told to nobody"), 100), "told to nobody"),
    ],
)
def test_what_is_lost_is_noticed(here: Here, reason: str) -> None:
    assert decision.loss(KNOWN, here) == reason
    entered = decision.entering(KNOWN, here, reason, "t", 7)
    assert (entered.state, entered.reason, entered.since_us, entered.lost_us) == (State.REBUILDING, reason, 7, 7)
    assert entered.identity == here.identity
    assert entered.incarnation == 5


def test_a_device_that_nobody_knows_is_whole() -> None:
    """A cluster is being made, or it joins, and nobody reads from it yet."""
    here = Here("aa", Local(), 0)
    assert decision.loss(None, here) == ""
    assert decision.entering(None, here, "", "t", 7).votes


def test_a_restart_does_not_end_a_rebuilding() -> None:
    rebuilding = replace(KNOWN, state=State.REBUILDING, reason=EMPTY, lost_us=3, since_us=3)
    entered = decision.entering(rebuilding, HERE, "", "t", 9)
    assert (entered.state, entered.since_us, entered.reason) == (State.REBUILDING, 3, EMPTY)


def test_the_moment_of_the_last_loss_is_remembered_when_the_device_is_whole_again() -> None:
    lost = decision.losing(KNOWN, "x", 50)
    assert decision.whole(lost, 60).lost_us == 50
    assert decision.whole(lost, 60).since_us == 60
    assert decision.losing(lost, "y", 40).lost_us == 50, "a clock that jumps back takes no promise back"


def test_a_coordination_that_is_older_than_the_device_is_overtaken() -> None:
    here = Here("aa", Local(9), 100)
    assert decision.loss(KNOWN, here) == ""
    assert decision.entering(KNOWN, here, "", "t", 7).incarnation == 10


@dataclass
class _World:
    """A device, coordination, and copies that somebody makes of the device's directory."""

    known: Member | None = None
    local: Local = field(default_factory=Local)
    data: int = 0  # how much was acknowledged, by what is on the disk
    acknowledged: int = 0  # in all
    tokens: int = 0

    def start(self, steps: int) -> bool:
        """Do so many steps of a start; tell whether it serves."""
        here = Here("aa", self.local, self.data)
        reason = decision.loss(self.known, here)
        local = decision.promoted(self.known, self.local)
        self.tokens += 1
        token = f"t{self.tokens}"
        if steps > 0:
            self.local = Local(local.incarnation, token, reason)
        if steps > 1:
            self.known = decision.entering(self.known, here, reason, token, self.tokens)
        if steps > 2:
            assert self.known is not None
            self.local = Local(self.known.incarnation)
        if steps > 3:
            assert self.known is not None
            self.known = decision.begun(self.known)
        return steps > 3


@settings(max_examples=300)
@given(st.lists(st.one_of(st.integers(0, 4), st.sampled_from(["serve", "copy", "restore"])), max_size=30))
def test_however_often_starts_fail_only_older_copies_are_found_to_be_such(events: list[int | str]) -> None:
    world, copy, serving, served_since_copy = _World(), None, False, False
    for event in events:
        if isinstance(event, int):
            serving = world.start(event)
            if world.data == world.acknowledged:
                assert world.known is None or world.known.votes, "a healthy device is rebuilt"
            elif serving:
                assert world.known is not None
                assert not world.known.votes, "a device that lacks something votes"
        elif event == "serve" and serving:
            world.data += 1
            world.acknowledged += 1
            world.known = world.known and decision.advanced(world.known, world.data)
            served_since_copy = True
        elif event == "copy":
            copy, served_since_copy = (world.local, world.data), False
        elif event == "restore" and copy is not None and served_since_copy:
            world.local, world.data = copy
            serving = False
    del serving
