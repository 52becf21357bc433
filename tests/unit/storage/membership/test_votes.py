"""storage.membership.votes: what is refused, and of which partitions."""

from typing import Any, cast

import pytest

from cluster.clock import ZERO
from cluster.wire import RemoteError, Request
from storage.membership.votes import Votes
from storage.messages import BlobGet, DatabaseKind, IndexMove, Operation, Refusal
from storage.rings.document import ACCOUNT, CONTAINER, OBJECT

POWERS = {OBJECT: 8, CONTAINER: 4, ACCOUNT: 4}
KEY = b"\x12" + bytes(15)  # partition 0x12 of the objects, 1 of the databases
C, A = int(DatabaseKind.CONTAINER), int(DatabaseKind.ACCOUNT)
VOTES = [
    (Operation.BLOB_STAT, (KEY,)),
    (Operation.BLOB_HEAD, (KEY,)),
    (Operation.BLOB_GET, BlobGet(KEY)),
    (Operation.BLOB_PROMISE, (KEY, ZERO)),
    (Operation.BLOB_UPDATE, (KEY, ZERO, ZERO, 0, b"")),
    (Operation.INDEX_INFO, (C, KEY, "a", "c", None)),
    (Operation.INDEX_ROWS, (C, KEY, "a", "c", ZERO, [])),
    (Operation.INDEX_LIST, (C, KEY, "a", "c", 10)),
    (Operation.INDEX_FREEZE, (C, KEY, b"t", 1.0)),
    (Operation.INDEX_INFO, (A, KEY, "a", "", None)),
    (Operation.INDEX_MOVE, IndexMove(C, KEY, "a", "c", ZERO, ZERO, [], {}, ZERO, b"token")),
]
OTHERS = [
    (Operation.BLOB_PUT, (KEY, ZERO, 0, b"")),
    (Operation.BLOB_DELETE, (KEY, ZERO, 0, b"")),
    (Operation.BLOB_COMMIT, (b"u", KEY, ZERO, 0, b"")),
    (Operation.BLOB_FETCH, (KEY, ZERO, 1)),
    (Operation.BLOB_COPY, (KEY,)),
    (Operation.BLOB_COPY_MANY, ((KEY,), 10)),
    (Operation.BLOB_DIGESTS, (4, (1,))),
    (Operation.BLOB_VERSIONS, (KEY, None, 10)),
    (Operation.INDEX_CREATE, (C, KEY, "a", "c", ZERO, {})),
    (Operation.INDEX_INVENTORY, (C, b"", None, 10)),
    (Operation.INDEX_CHANGES, (C, KEY, b"", 0, 10)),
    (Operation.INDEX_MOVE, IndexMove(C, KEY, "a", "c", ZERO, ZERO, [], {}, ZERO)),
    (Operation.CHUNK_FLUSH, (KEY, 1)),
    (Operation.CHUNK_COPY, (KEY, 0, 1, (1, 1))),
    (Operation.CHUNK_PULL, (KEY, 0, 1, (1, 1), 1)),
    (Operation.CHUNK_MAP, (KEY, 1, 0, 10)),
    (Operation.CHUNK_DROP, (KEY, 1, (0,))),
    (Operation.CHUNK_DIGESTS, (8, (1,))),
    (Operation.CHUNK_LIST, (8, 1, None, 10)),
    (Operation.CHUNK_FENCES, (b"", None, 10)),
    (Operation.CHUNK_SUM, (KEY, 0, 1, (1, 1))),
    (Operation.CHUNK_MEND, (KEY, 0, 1, (1, 1), 1)),
    (Operation.STATUS, ()),
]


def check(votes: Votes, operation: int, arguments: Any) -> bool:
    """Tell whether it is let through."""
    request = cast(Request, type("Asked", (), {"operation": int(operation), "metadata": tuple(arguments)})())
    try:
        votes.check(request)
    except RemoteError as refused:
        return refused.code != Refusal.REBUILDING
    return True


@pytest.mark.parametrize(("operation", "arguments"), VOTES)
def test_a_vote_is_refused_until_its_partition_is_whole(operation: int, arguments: Any) -> None:
    votes = Votes()
    votes.restrict()
    assert not check(votes, operation, arguments)
    whole: dict[str, set[int]] = {OBJECT: {0x13}, CONTAINER: {2}, ACCOUNT: {2}}
    votes.allow(POWERS, whole)
    assert not check(votes, operation, arguments)
    whole[OBJECT].add(0x12)
    whole[CONTAINER].add(1)
    whole[ACCOUNT].add(1)
    assert check(votes, operation, arguments)
    votes.restrict()
    assert not check(votes, operation, arguments)


@pytest.mark.parametrize(("operation", "arguments"), OTHERS)
def test_writes_copies_and_what_housekeeping_asks_are_answered(operation: int, arguments: Any) -> None:
    votes = Votes()
    votes.restrict()
    assert check(votes, operation, arguments)


def test_nothing_is_reclaimed_before_all_is_whole() -> None:
    votes = Votes()
    votes.restrict()
    votes.allow(POWERS, {OBJECT: set(range(256)), CONTAINER: set(), ACCOUNT: set()})
    assert not check(votes, Operation.BLOB_RECLAIM, (ZERO, ()))
    assert not check(votes, Operation.INDEX_RECLAIM, (ZERO, (), 0))


CHUNK_VOTES = [
    (Operation.CHUNK_STAT, (KEY, (1,), 0)),
    (Operation.CHUNK_FENCE, (KEY, 1, 1)),
    (Operation.CHUNK_WRITE, (KEY, 0, 1, None, 1, 1, (0, 0), ())),
    (Operation.CHUNK_WRITE_MANY, ()),
    (Operation.CHUNK_READ, (KEY, 0, (), 0, 1)),
    (Operation.CHUNK_EXTENTS, (KEY, 0, 1)),
]


@pytest.mark.parametrize(("operation", "arguments"), CHUNK_VOTES)
def test_of_chunks_only_copies_are_taken_before_all_is_whole(operation: int, arguments: Any) -> None:
    votes = Votes()
    votes.restrict()
    votes.allow(POWERS, {OBJECT: set(range(256)), CONTAINER: set(), ACCOUNT: set()})
    assert not check(votes, operation, arguments)


def test_who_has_everything_is_not_even_asked() -> None:
    votes = Votes()
    assert not votes.restricted
    votes.restrict()
    assert votes.restricted
    votes.allow_all()
    assert not votes.restricted


def test_every_operation_is_a_vote_or_known_not_to_be_one() -> None:
    """A new operation has to be judged."""
    judged = {operation for operation, _arguments in VOTES + OTHERS + CHUNK_VOTES}
    known_not = {
        Operation.BLOB_PREPARE, Operation.BLOB_ABORT, Operation.BLOB_SUBDIGESTS, Operation.ROWS_CONFIRM,
        Operation.INDEX_SAMPLE, Operation.INDEX_THAW, Operation.SCRUB, Operation.BLOB_RECLAIM, Operation.INDEX_RECLAIM,
    }
    assert set(Operation) - judged - known_not == set()
