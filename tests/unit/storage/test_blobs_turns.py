"""storage.blobs.turns."""

from cluster.clock import pack
from storage.blobs.turns import TURN_S, Turns

KEY = bytes(16)
MINE, AGAIN, OTHERS = pack(1, 0, 7), pack(2, 0, 7), pack(3, 0, 8)


def test_who_has_a_turn_goes_first_until_it_has_written() -> None:
    turns = Turns()
    turns.begin(KEY, MINE, now_s=10.0)
    assert not turns.may_write(KEY, OTHERS, 10.0)
    assert turns.may_write(bytes(15) + b"x", OTHERS, 10.0)
    assert turns.may_write(KEY, MINE, 10.0)
    turns.end(KEY, MINE)
    assert turns.may_write(KEY, OTHERS, 10.0)


def test_a_turn_ends_by_itself() -> None:
    turns = Turns()
    turns.begin(KEY, MINE, now_s=10.0)
    assert not turns.may_promise(KEY, OTHERS, 10.0 + TURN_S / 2)
    assert turns.may_promise(KEY, OTHERS, 10.0 + TURN_S)
    assert not turns


def test_the_same_process_may_begin_again() -> None:
    turns = Turns()
    turns.begin(KEY, MINE, now_s=10.0)
    assert turns.may_promise(KEY, AGAIN, 10.0)
    turns.begin(KEY, AGAIN, now_s=10.0)
    assert not turns.may_write(KEY, MINE, 10.0)
    assert turns.may_write(KEY, AGAIN, 10.0)


def test_turns_are_bounded(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("storage.blobs.turns._LIMIT", 2)
    turns = Turns()
    for number in range(4):
        turns.begin(bytes([number]) * 16, MINE, now_s=10.0)
    assert len(turns) == 2
    assert not turns.may_write(bytes([3]) * 16, OTHERS, 10.0)
