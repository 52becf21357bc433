"""The judges of the games of conditional writes: each thing that they must notice, noticed."""

from tests.faults.conditions import Holdings, Lists


def judged(*reads: tuple[str, ...], acknowledged: tuple[str, ...] = (), refused: tuple[str, ...] = ()) -> list[str]:
    """Return what a game of appending finds wrong with lists that are read one after the other."""
    violations: list[str] = []
    lists = Lists(violations)
    for token in refused:
        lists.refuse(token)
    for number, tokens in enumerate(reads):
        if number == len(reads) - 1:
            for token in acknowledged:
                lists.acknowledge("k", token)
        lists.saw("k", tokens, lists.begin("k"))
    return violations


def test_a_list_that_grows_is_right() -> None:
    assert not judged((), ("a",), ("a", "b"), ("a", "b"), acknowledged=("a", "b"))


def test_what_is_in_doubt_may_be_there_or_not() -> None:
    assert not judged(("a", "doubtful"), ("a", "doubtful", "b"), acknowledged=("a", "b"))
    assert not judged(("a",), ("a", "b"), acknowledged=("a", "b"))


def test_two_appends_to_the_same_list_are_noticed() -> None:
    assert any("two lists part at 1" in each for each in judged(("a", "b"), ("a", "c")))


def test_an_append_that_was_lost_is_noticed() -> None:
    assert any("appended and not there: ['b']" in each for each in judged(("a",), ("a", "c"), acknowledged=("a", "b")))


def test_a_list_of_the_past_is_noticed() -> None:
    assert any("1 tokens after 2 were read" in each for each in judged(("a", "b"), ("a",)))


def test_an_append_that_was_refused_and_took_effect_is_noticed() -> None:
    assert any("refused and there: ['b']" in each for each in judged(("a", "b"), refused=("b",)))


def test_an_append_that_took_effect_twice_is_noticed() -> None:
    assert any("twice" in each for each in judged(("a", "b", "a")))


def test_a_read_that_began_before_may_be_shorter() -> None:
    violations: list[str] = []
    lists = Lists(violations)
    begun = lists.begin("k")
    lists.saw("k", ("a", "b"), lists.begin("k"))
    lists.saw("k", ("a",), begun)
    assert not violations


def test_two_holders_at_once_are_noticed() -> None:
    violations: list[str] = []
    holdings = Holdings(violations)
    holdings.took("k", "first")
    holdings.took("k", "second")
    assert violations == ["k: second was created while first held it"]


def test_one_holder_after_the_other_is_right() -> None:
    violations: list[str] = []
    holdings = Holdings(violations)
    for token in ("first", "second"):
        holdings.took("k", token)
        holdings.leave("k", token)
        holdings.finish(token)
    holdings.saw("k", None, holdings.gone())
    holdings.saw("k", "third", holdings.gone())
    assert not violations


def test_what_comes_back_after_its_deletion_is_noticed() -> None:
    violations: list[str] = []
    holdings = Holdings(violations)
    holdings.finish("first")
    holdings.saw("k", "first", holdings.gone())
    assert violations == ["k: first is there after it was deleted or refused"]
