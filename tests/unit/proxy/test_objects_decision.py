"""proxy.objects.decision: what became of a write that did not find its quorum."""

import msgpack
import pytest

from cluster.clock import ZERO, Timestamp, pack
from proxy.objects.decision import Fate, Tries, fate
from storage import metadata as stored
from storage.lineage import lineage_of, successor_of
from storage.messages import Version
from storage.metadata import LINEAGE_LENGTH, Lineage, ObjectMetadata


def at(microseconds: int) -> Timestamp:
    return pack(microseconds, 0, 1)


def version(timestamp: Timestamp, *before: bytes, origin: bytes = b"") -> Version:
    metadata = ObjectMetadata("a", "c", "o", 0, "", "", 0, {}, {}, {}, {})
    return Version(timestamp, False, 0, 0, stored.pack(metadata, Lineage(before, origin)))


def tried(*timestamps: Timestamp, asked: bool = True) -> Tries:
    tries = Tries()
    for timestamp in timestamps:
        tries.add(timestamp, asked)
    return tries


@pytest.mark.parametrize("newest", [None, version(at(5)), version(at(5), ZERO)])
def test_who_has_not_tried_has_done_nothing(newest: Version | None) -> None:
    assert fate(newest, Tries(), conditional=True) is Fate.NOTHING


@pytest.mark.parametrize("newest", [None, version(at(9))])
def test_a_try_that_only_older_versions_are_found_of_has_not_happened(newest: Version | None) -> None:
    assert fate(newest, tried(at(10)), conditional=True) is Fate.NOTHING


def test_a_try_that_is_there_has_happened() -> None:
    assert fate(version(at(10)), tried(at(10), at(12)), conditional=True) is Fate.NEWEST


def test_a_try_that_was_brought_to_a_newer_timestamp_has_happened() -> None:
    assert fate(version(at(20), origin=at(10)), tried(at(10)), conditional=True) is Fate.NEWEST


def test_a_try_that_something_newer_was_decided_upon_has_happened() -> None:
    assert fate(version(at(20), at(15), at(10)), tried(at(10)), conditional=True) is Fate.OVERWRITTEN


def test_a_try_that_something_newer_was_decided_without_has_not_happened() -> None:
    """A lineage is of what was there immediately before."""
    assert fate(version(at(20), at(15), at(9)), tried(at(10)), conditional=True) is Fate.NOTHING
    assert fate(version(at(20), ZERO), tried(at(10), at(15)), conditional=False) is Fate.NOTHING


def test_a_conditional_try_below_a_write_that_was_decided_upon_nothing_is_in_doubt() -> None:
    assert fate(version(at(20)), tried(at(10)), conditional=True) is Fate.UNKNOWN


def test_a_blind_try_may_be_said_to_have_come_just_before_a_blind_write_that_was_not_complete() -> None:
    assert fate(version(at(20)), tried(at(10)), conditional=False) is Fate.OVERWRITTEN
    assert fate(version(at(20)), tried(at(10), asked=False), conditional=False) is Fate.UNKNOWN


def test_what_was_decided_upon_a_blind_write_follows_that() -> None:
    assert fate(version(at(20), at(15)), tried(at(10)), conditional=False) is Fate.OVERWRITTEN
    assert fate(version(at(20), at(15)), tried(at(10)), conditional=True) is Fate.UNKNOWN


def test_beyond_what_a_lineage_remembers_a_try_is_in_doubt() -> None:
    long = version(at(50), *(at(40 - number) for number in range(LINEAGE_LENGTH)))
    assert fate(long, tried(at(10)), conditional=False) is Fate.UNKNOWN


def test_lineages_grow_and_are_cut() -> None:
    newest = None
    for number in range(1, 20):
        newest = version(at(number), *successor_of(newest).before)
    assert lineage_of(newest) == (tuple(at(18 - number) for number in range(LINEAGE_LENGTH)), at(19))
    assert successor_of(None) == ((ZERO,), b"")


def test_metadata_of_before_has_no_lineage() -> None:
    """`storage.metadata`: a reader fills in what an older record lacks."""
    plain = Version(at(7), False, 0, 0, msgpack.packb(["a", "c", "o", 0, "", "", 0, {}, {}, {}, {}]))
    assert lineage_of(plain) == ((), at(7))
