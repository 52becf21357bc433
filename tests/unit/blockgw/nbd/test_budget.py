"""blockgw/nbd/budget.py."""

from blockgw.nbd.budget import Budget


def test_who_waits_is_called_in_order_while_something_is_left() -> None:
    budget, called = Budget(100), []

    def first() -> None:
        called.append("first")
        budget.used += 100

    def second() -> None:
        called.append("second")

    budget.used = 150
    for resume in (first, second, first):
        budget.wait(resume)
    budget.give(50)
    assert called == []
    budget.give(1)
    assert called == ["first"]
    budget.give(100)
    assert called == ["first", "second"]


def test_who_does_not_wait_any_more_is_not_called() -> None:
    budget, called = Budget(100), []
    budget.used = 100
    resume = lambda: called.append(1)  # noqa: E731
    budget.wait(resume)
    budget.forget(resume)
    budget.forget(resume)
    budget.give(100)
    assert not called
