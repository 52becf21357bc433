"""Manifests as objects."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockgw.backup import manifest as manifests
from blockgw.backup.cipher import Cipher, Plain, Sealed
from blockgw.backup.manifest import Counts, Kind, Manifest, Origin, runs
from blockgw.backup.piece import PIECE, Stored

ORIGIN = Origin("ab" * 16, "disk", 100 * PIECE + 512, "cd" * 16, "holdfast-backup-x")
BACKUP = "20260102T030405Z-00112233"
SEALED = Sealed(bytes(32))
KEY: dict[str, Any] = {"from": "file", "salt": "AAAA", "wrapped": "BBBB"}


def stored(number: int) -> Stored:
    return Stored(number.to_bytes(32, "big"), number + 100)


def sample(positions: set[int], done: set[int] | None = None) -> Manifest:
    pieces = {position: stored(position) for position in positions}
    return Manifest(BACKUP, ORIGIN, 123456789, "parent", pieces, Counts(4, 3, 2, 1), frozenset(done or ()))


def content(manifest: Manifest) -> dict[str, Any]:
    names = ("id", "origin", "created_us", "parent", "pieces", "counts", "done")
    return {name: getattr(manifest, name) for name in names}


@given(positions=st.sets(st.integers(0, 100)), done=st.sets(st.integers(0, 100)), kind=st.sampled_from(Kind))
@settings(max_examples=60)
def test_a_manifest_comes_back(positions: set[int], done: set[int], kind: Kind) -> None:
    for cipher, key in ((Plain(), None), (SEALED, KEY)):
        data = manifests.encode(sample(positions, done), kind, key, cipher)
        assert manifests.key_document(data) == key
        assert content(manifests.decode(BACKUP, data, kind, cipher)) == content(sample(positions, done))


@pytest.mark.parametrize(("cipher", "key"), [(Plain(), None), (SEALED, KEY)], ids=["plain", "sealed"])
def test_a_manifest_that_was_changed_cut_or_continued_is_noticed(cipher: Cipher, key: Any) -> None:
    data = manifests.encode(sample({1, 2, 5}), Kind.WHOLE, key, cipher)
    spoiled = [data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :] for at in range(len(data))]
    for each in [*spoiled, *(data[:length] for length in range(len(data))), data + b"\0"]:
        with pytest.raises(ValueError, match=r".+"):
            manifests.decode(BACKUP, each, Kind.WHOLE, cipher)


def test_a_manifest_under_another_name_or_of_another_kind_is_noticed() -> None:
    data = manifests.encode(sample({1}), Kind.UNDER_WAY, None, Plain())
    with pytest.raises(ValueError, match="it is the manifest of"):
        manifests.decode("20260102T030405Z-99999999", data, Kind.UNDER_WAY, Plain())
    with pytest.raises(ValueError, match="head"):
        manifests.decode(BACKUP, data, Kind.WHOLE, Plain())


def test_a_sealed_manifest_tells_neither_names_nor_sizes() -> None:
    data = manifests.encode(sample({1}), Kind.WHOLE, KEY, SEALED)
    assert b"disk" not in data
    with pytest.raises(ValueError, match="not sealed with this key"):
        manifests.decode(BACKUP, data, Kind.WHOLE, Sealed(bytes(31) + b"1"))


def test_pieces_beyond_the_end_of_the_volume_are_refused() -> None:
    beyond = replace(sample(set()), pieces={101: stored(1)})
    with pytest.raises(ValueError, match="beyond the end"):
        manifests.decode(BACKUP, manifests.encode(beyond, Kind.WHOLE, None, Plain()), Kind.WHOLE, Plain())


def test_the_last_piece_is_as_long_as_what_is_left_of_the_volume() -> None:
    assert sample(set()).positions == 101
    assert [sample(set()).length(position) for position in (0, 99, 100)] == [PIECE, PIECE, 512]


@given(st.sets(st.integers(0, 60)))
def test_runs_are_the_positions_in_order_and_never_touch(positions: set[int]) -> None:
    found = list(runs(positions))
    assert [position for run in found for position in run] == sorted(positions)
    assert all(one.stop < other.start for one, other in pairwise(found))
