"""storage.chunks.pace: when a call is made at once."""

from storage.chunks.pace import BRIEF_S, SLOW_S, Pace


def test_nothing_is_brief_before_it_was_measured() -> None:
    assert not Pace().is_brief


def test_calls_that_were_short_for_a_while_are_brief() -> None:
    pace = Pace()
    for _ in range(60):
        pace.note(BRIEF_S / 3)
    assert pace.is_brief


def test_one_call_that_took_a_little_longer_changes_nothing() -> None:
    pace = Pace()
    for _ in range(60):
        pace.note(BRIEF_S / 3)
    pace.note(3 * BRIEF_S)
    assert pace.is_brief
    for _ in range(30):
        pace.note(3 * BRIEF_S)
    assert not pace.is_brief


def test_one_slow_call_is_believed_at_once_and_forgotten_slowly() -> None:
    pace = Pace()
    for _ in range(60):
        pace.note(BRIEF_S / 3)
    pace.note(2 * SLOW_S)
    assert not pace.is_brief
    for _ in range(10):
        pace.note(BRIEF_S / 3)
    assert not pace.is_brief
    for _ in range(60):
        pace.note(BRIEF_S / 3)
    assert pace.is_brief
