"""blockgw/nbd/hold.py."""

from blockgw.nbd.budget import Budget
from blockgw.nbd.hold import Hold


def test_what_is_answered_is_held_until_the_answers_have_left() -> None:
    budget = Budget(100)
    hold = Hold(budget, 50, lambda: None)
    hold.take(30)
    hold.take(30)
    assert hold.is_full()
    hold.answer(30)
    assert (hold.size, budget.used) == (60, 60)
    hold.settle()
    assert (hold.size, budget.used) == (30, 30)
    assert not hold.is_full()
    hold.give(30)
    hold.settle()
    assert (hold.size, budget.used) == (0, 0)


def test_room_that_others_make_is_told_once_to_who_found_none() -> None:
    budget, told = Budget(100), []
    one, other = Hold(budget, 100, lambda: told.append("one")), Hold(budget, 100, lambda: told.append("other"))
    one.take(100)
    assert other.is_full()
    assert other.is_full()
    one.give(50)
    assert told == ["other"]
    assert not other.is_full()


def test_who_has_stopped_to_wait_is_not_told() -> None:
    budget, told = Budget(100), []
    one, other = Hold(budget, 100, lambda: None), Hold(budget, 100, lambda: told.append("other"))
    one.take(100)
    assert other.is_full()
    other.stop_waiting()
    one.give(100)
    assert not told
