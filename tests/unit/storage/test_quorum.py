"""storage.quorum: what replicas' answers allow."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.clock import Timestamp, pack
from storage.messages import Version
from storage.quorum import Outcome, Settled, Unsettled, WriteTally, judge, quorum_of, timestamp_of


def _version(number: int, deleted: bool = False) -> Version:
    return Version(pack(number, 0, 1), deleted, 0, 10)


def test_a_quorum_is_a_majority() -> None:
    assert [quorum_of(count) for count in (1, 2, 3, 4, 5)] == [1, 2, 2, 3, 3]


@given(st.lists(st.booleans(), min_size=3, max_size=3))
def test_a_write_is_acknowledged_by_two_of_three_and_hopeless_without(answers: list[bool]) -> None:
    tally = WriteTally(needed=2, asked=3)
    outcomes = []
    for device_id, well in enumerate(answers):
        if well:
            tally.durable()
        else:
            tally.failed(device_id, OSError())
        outcomes.append(tally.outcome())
    assert outcomes[0] is Outcome.PENDING
    assert outcomes[-1] is (Outcome.ACKNOWLEDGED if sum(answers) >= 2 else Outcome.HOPELESS)


def test_fewer_answers_than_a_quorum_allow_nothing() -> None:
    assert judge({1: _version(5)}, needed=2) is None


def test_a_quorum_that_holds_nothing_settles_it() -> None:
    assert judge({1: None, 2: None}, needed=2) == Settled(None, (1, 2))


def test_a_version_that_one_replica_alone_holds_is_not_settled() -> None:
    verdict = judge({1: _version(5), 2: _version(4), 3: None}, needed=2)
    assert verdict == Unsettled(_version(5), (1,), (2, 3))


def test_what_a_quorum_of_the_others_agrees_on_is_told_too() -> None:
    verdict = judge({1: _version(5), 2: _version(4), 3: _version(4)}, needed=2)
    assert verdict == Unsettled(_version(5), (1,), (2, 3), Settled(_version(4), (2, 3)))


def test_a_tombstone_is_a_version_like_any_other() -> None:
    gone = _version(6, deleted=True)
    assert judge({1: gone, 2: _version(5), 3: gone}, needed=2) == Settled(gone, (1, 3))


@given(st.dictionaries(st.integers(0, 4), st.none() | st.integers(1, 3).map(_version), min_size=3))
def test_the_newest_version_that_was_seen_is_never_passed_over(answers: dict[int, Version | None]) -> None:
    verdict = judge(answers, needed=3)
    assert verdict is not None
    newest = max(timestamp_of(version) for version in answers.values())
    assert timestamp_of(verdict.version) == newest
    assert isinstance(verdict, Settled) == (len(verdict.holders) >= 3)


def test_no_version_is_older_than_every_version() -> None:
    assert timestamp_of(None) < Timestamp(pack(1, 0, 0))
