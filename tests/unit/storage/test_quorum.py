"""storage.quorum: what replicas' answers allow."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.clock import Timestamp, pack
from storage.messages import Version
from storage.quorum import (
    Joint,
    Majority,
    Outcome,
    Quorum,
    Settled,
    Tally,
    Unsettled,
    WriteTally,
    both,
    judge,
    quorum_of,
    timestamp_of,
)

OF_THREE = Majority.of((1, 2, 3))
DEVICES = range(7)
SETS = st.sets(st.sampled_from(DEVICES), min_size=1, max_size=5)


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
            tally.durable(device_id)
        else:
            tally.failed(device_id, OSError())
        outcomes.append(tally.outcome())
    assert outcomes[0] is Outcome.PENDING
    assert outcomes[-1] is (Outcome.ACKNOWLEDGED if sum(answers) >= 2 else Outcome.HOPELESS)


def test_fewer_answers_than_a_quorum_allow_nothing() -> None:
    assert judge({1: _version(5)}, OF_THREE) is None


def test_a_quorum_that_holds_nothing_settles_it() -> None:
    assert judge({1: None, 2: None}, OF_THREE) == Settled(None, (1, 2))


def test_a_version_that_one_replica_alone_holds_is_not_settled() -> None:
    verdict = judge({1: _version(5), 2: _version(4), 3: None}, OF_THREE)
    assert verdict == Unsettled(_version(5), (1,), (2, 3))


def test_what_a_quorum_of_the_others_agrees_on_is_told_too() -> None:
    verdict = judge({1: _version(5), 2: _version(4), 3: _version(4)}, OF_THREE)
    assert verdict == Unsettled(_version(5), (1,), (2, 3), Settled(_version(4), (2, 3)))


def test_a_tombstone_is_a_version_like_any_other() -> None:
    gone = _version(6, deleted=True)
    assert judge({1: gone, 2: _version(5), 3: gone}, OF_THREE) == Settled(gone, (1, 3))


@given(st.dictionaries(st.integers(0, 4), st.none() | st.integers(1, 3).map(_version), min_size=3))
def test_the_newest_version_that_was_seen_is_never_passed_over(answers: dict[int, Version | None]) -> None:
    verdict = judge(answers, Majority.of(range(5)))
    assert verdict is not None
    newest = max(timestamp_of(version) for version in answers.values())
    assert timestamp_of(verdict.version) == newest
    assert isinstance(verdict, Settled) == (len(verdict.holders) >= 3)


def test_no_version_is_older_than_every_version() -> None:
    assert timestamp_of(None) < Timestamp(pack(1, 0, 0))


# two sets of replicas, while a partition moves


def _quorum(sets: list[set[int]]) -> Quorum:
    return both(Majority.of(sets[0]), Majority.of(sets[-1]))


def _is_quorum(sets: list[set[int]], devices: set[int]) -> bool:
    return all(2 * len(members & devices) > len(members) for members in sets)


def _outcome(sets: list[set[int]], durable: set[int], failed: set[int]) -> Outcome:
    """Say by trying out everything that may still be answered what a tally must say."""
    open_ = sorted(set().union(*sets) - durable - failed)
    ends = [
        _is_quorum(sets, durable | {device for at, device in enumerate(open_) if bits >> at & 1})
        for bits in range(1 << len(open_))
    ]
    if ends[0]:
        return Outcome.ACKNOWLEDGED
    return Outcome.PENDING if any(ends) else Outcome.HOPELESS


def _count(tally: Tally, durable: set[int], failed: set[int]) -> Outcome:
    for device_id in durable:
        tally.durable(device_id)
    for device_id in failed:
        tally.failed(device_id, OSError())
    return tally.outcome()


@given(st.lists(SETS, min_size=1, max_size=2), st.data())
def test_a_tally_says_after_each_answer_what_trying_all_out_says(sets: list[set[int]], data: st.DataObject) -> None:
    members = sorted(set().union(*sets))
    tally = _quorum(sets).tally()
    durable, failed = set[int](), set[int]()
    for device_id in data.draw(st.permutations(members)):
        if data.draw(st.booleans()):
            tally.durable(device_id)
            durable.add(device_id)
        else:
            tally.failed(device_id, OSError())
            failed.add(device_id)
        assert tally.outcome() is _outcome(sets, durable, failed)
    assert set(tally.failures) == failed


@given(st.lists(SETS, min_size=1, max_size=2), st.sets(st.sampled_from(DEVICES)))
def test_a_quorum_is_reached_by_a_majority_of_each_set(sets: list[set[int]], devices: set[int]) -> None:
    assert _quorum(sets).reached(devices) == _is_quorum(sets, devices)


@given(st.lists(SETS, min_size=1, max_size=2), st.data())
def test_what_some_hold_already_counts_as_taken(sets: list[set[int]], data: st.DataObject) -> None:
    members = set().union(*sets)
    subset = st.sets(st.sampled_from(sorted(members)))
    held = data.draw(subset)
    asked = data.draw(subset) - held
    durable = data.draw(subset) & asked
    tally = _quorum(sets).among(asked, held).tally()
    outcome = _count(tally, durable, asked - durable)
    assert (outcome is Outcome.ACKNOWLEDGED) == _is_quorum(sets, held | durable)


@given(st.lists(SETS, min_size=1, max_size=2), st.data())
def test_those_that_are_asked_first_are_a_quorum_without_a_member_too_many(
    sets: list[set[int]], data: st.DataObject
) -> None:
    members = sorted(set().union(*sets))
    quorum = _quorum(sets)
    replicas = [(device_id, "peer") for device_id in data.draw(st.permutations(members))]
    first, others = quorum.split(replicas)
    assert sorted([*first, *others]) == sorted(replicas)
    asked = [device_id for device_id, _peer in first]
    assert quorum.reached(asked)
    assert not quorum.reached(asked[:-1])


@given(st.lists(SETS, min_size=2, max_size=2), st.data())
def test_two_joint_quorums_meet_in_each_set(sets: list[set[int]], data: st.DataObject) -> None:
    subset = st.sets(st.sampled_from(sorted(set().union(*sets))))
    one, other = data.draw(subset), data.draw(subset)
    quorum = _quorum(sets)
    if quorum.reached(one) and quorum.reached(other):
        assert all(one & other & members for members in sets)


def test_sets_that_are_equal_are_one() -> None:
    assert both(OF_THREE, Majority.of((3, 2, 1))) == OF_THREE
    assert isinstance(both(OF_THREE, Majority.of((1, 2, 4))), Joint)


def test_a_member_of_both_sets_counts_in_both() -> None:
    quorum = both(OF_THREE, Majority.of((1, 2, 4)))
    assert quorum.reached({1, 2})
    assert not quorum.reached({1, 3})
    assert [quorum.share(device_id) for device_id in (1, 3, 4, 5)] == [2, 1, 1, 0]
    assert quorum.split([(3, "c"), (4, "d"), (1, "a"), (2, "b")]) == ([(3, "c"), (4, "d"), (1, "a")], [(2, "b")])


def test_a_version_that_one_set_alone_has_a_quorum_of_is_not_settled() -> None:
    quorum = both(OF_THREE, Majority.of((1, 2, 4)))
    answers = {1: _version(4), 2: _version(5), 3: _version(5), 4: _version(4)}
    assert judge({2: _version(5), 3: _version(5)}, quorum) is None
    assert judge(answers, quorum) == Unsettled(_version(5), (2, 3), (1, 4))
    answers[4] = _version(5)
    assert judge(answers, quorum) == Settled(_version(5), (2, 3, 4))


def test_what_each_set_needs_is_more_than_what_both_together_need() -> None:
    joint = Joint((Majority.of((0, 1, 2)), Majority.of((2, 3, 4))))
    assert not joint.reached({0, 1, 2}), "the second set has one of three"
    assert not joint.needs({3, 4}), "who goes by the first set alone has a quorum"
    assert joint.needs({1, 2, 3})
    assert Majority.of((0, 1, 2)).needs({1, 2})
    assert not Majority.of((0, 1, 2)).needs({1, 7})
