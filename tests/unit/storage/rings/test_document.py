"""storage/rings/document.py: the codec, and the walk over versions."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.rings import document as documents
from storage.rings.document import RingDocument, Stage, decode, encode
from storage.rings.errors import DocumentDamaged

DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
RINGS = st.dictionaries(st.text(min_size=1, max_size=10), DIGESTS, min_size=1, max_size=3)
CURRENT, TARGET = {"object-0": "a" * 64}, {"object-0": "b" * 64}
JOINING = documents.first(CURRENT, 1).begin(TARGET, "drain device 3", 2)


@st.composite
def some_documents(draw: st.DrawFn) -> RingDocument:
    document = documents.first(draw(RINGS), draw(st.integers(0, 1 << 60)))
    for _step in range(draw(st.integers(0, 12))):
        now = draw(st.integers(0, 1 << 60))
        if not document.enforced:
            document = document.enforce(now)
        elif document.settled:
            digest = draw(DIGESTS)
            document = document.begin(dict.fromkeys(document.current, digest), draw(st.text(max_size=20)), now)
        elif document.stage is Stage.JOINING and draw(st.booleans()):
            document = document.cancel(now)
        else:
            document = document.advance(now)
    return document


@given(some_documents())
def test_a_document_reads_back(document: RingDocument) -> None:
    assert decode(encode(document)) == document


@given(some_documents(), st.data())
def test_a_damaged_document_is_refused_or_reads_as_some_document(document: RingDocument, data: st.DataObject) -> None:
    encoded = bytearray(encode(document))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(encoded), bytes(encoded[:at]), bytes(encoded) + b"}"):
        try:
            found = decode(damaged)
        except DocumentDamaged:
            continue
        assert 0 <= found.floor < found.version


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"version": 0},
        {"version": "7"},
        {"version": True},
        {"floor": 9},
        {"floor": -1},
        {"stage": "resting"},
        {"stage": "stable"},
        {"current": {}},
        {"current": {"object-0": "../../etc/passwd"}},
        {"target": {}},
        {"target": {"container": "b" * 64}},
        {"target": ["b" * 64]},
        {"note": None, "target": 5},
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DocumentDamaged):
        decode(json.dumps({**json.loads(encode(JOINING)), **changes}).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentDamaged):
        decode(data)


def test_fields_that_are_not_known_are_passed_over() -> None:
    fields = {**json.loads(encode(JOINING)), "later": {"x": [1]}}
    assert decode(json.dumps(fields).encode()) == JOINING


def test_a_stored_document_is_still_read() -> None:
    """docs/ring-changes.md."""
    stored = (
        b'{"current": {"object-0": "' + b"a" * 64 + b'"}, "floor": 0, "format": 1, "note": "drain device 3", '
        b'"since_us": 2, "stage": "joining", "started_us": 2, '
        b'"target": {"object-0": "' + b"b" * 64 + b'"}, "version": 2}'
    )
    assert decode(stored) == JOINING
    assert encode(JOINING) == stored


def test_a_change_is_a_walk_over_versions_whose_floors_keep_stages_apart_that_are_not_neighbours() -> None:
    walk = [documents.first(CURRENT, 1), JOINING]
    while not walk[-1].settled:
        walk.append(walk[-1].advance(3) if walk[-1].enforced else walk[-1].enforce(3))
    told = [(document.version, document.stage.value, document.floor) for document in walk]
    assert told == [
        (1, "stable", 0),
        (2, "joining", 0),
        (3, "joining", 2),
        (4, "serving", 2),
        (5, "serving", 4),
        (6, "stable", 4),
        (7, "stable", 6),
    ]
    assert walk[-1].current == TARGET
    assert not walk[-1].target
    stages = {document.version: document.stage for document in walk}
    for document in walk[1:]:  # whoever is accepted works by this stage or the one before
        accepted = {stages[version] for version in range(max(1, document.floor), document.version + 1)}
        assert accepted <= {document.stage, walk[document.version - 3].stage, walk[document.version - 2].stage}
        assert len(accepted) <= 2


def test_cancelling_goes_back_to_the_rings_in_force() -> None:
    for joining in (JOINING, JOINING.enforce(3)):
        back = joining.cancel(4)
        assert (back.stage, back.current, dict(back.target)) == (Stage.STABLE, CURRENT, {})
        assert back.version == joining.version + 1
        assert not back.settled
        assert back.enforce(5).settled
