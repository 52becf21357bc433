from storage.indexes.brake import Brake


def test_rows_come_in_at_the_rate_for_as_long_as_it_holds() -> None:
    brake = Brake(100, until=10.0)
    taken = sum(10 for tick in range(1000) if brake.admits(10, tick / 100))
    assert 990 <= taken <= 1030


def test_many_at_once_are_let_in_and_paid_for_after_the_fact() -> None:
    brake = Brake(100, until=1000.0)
    assert brake.admits(2000, 5.0)
    assert not brake.admits(1, 24.8)
    assert brake.admits(1, 25.0)


def test_afterwards_nobody_is_held_up() -> None:
    brake = Brake(1, until=2.0)
    assert brake.holds(1.9)
    assert brake.admits(1000, 1.9)
    assert not brake.admits(1, 1.95)
    assert not brake.holds(2.0)
    assert all(brake.admits(1000, 2.0) for _ in range(5))
