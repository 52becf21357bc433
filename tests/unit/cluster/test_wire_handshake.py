"""Proofs and versions, without sockets."""

import dataclasses

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.wire import handshake
from cluster.wire.errors import HandshakeError
from cluster.wire.handshake import CLIENT, NEWEST_VERSION, NONCE_SIZE, SERVER, Challenge, Hello

KEY = b"k" * 32
CHALLENGE = Challenge(1, NEWEST_VERSION, b"s" * NONCE_SIZE, 1 << 20, 100)
HELLO = Hello(1, b"c" * NONCE_SIZE, "proxy-1", 1 << 20)


def test_challenge_and_hello_survive_the_wire() -> None:
    assert handshake.unpack_challenge(handshake.pack_challenge(CHALLENGE)) == CHALLENGE
    assert handshake.unpack_hello(handshake.pack_hello(HELLO)) == HELLO


def test_a_name_is_cut_to_what_fits_into_the_handshake() -> None:
    hello = dataclasses.replace(HELLO, name="x" * 500)
    assert handshake.unpack_hello(handshake.pack_hello(hello)).name == "x" * handshake.NAME_LIMIT


def test_what_a_newer_peer_adds_is_passed_over() -> None:
    fields = msgpack.unpackb(handshake.pack_challenge(CHALLENGE))
    assert handshake.unpack_challenge(msgpack.packb({**fields, "compression": ["zstd"]})) == CHALLENGE


@pytest.mark.parametrize("missing", ["oldest", "newest", "nonce", "window", "requests"])
def test_a_challenge_with_a_gap_is_refused(missing: str) -> None:
    fields = msgpack.unpackb(handshake.pack_challenge(CHALLENGE))
    del fields[missing]
    with pytest.raises(HandshakeError):
        handshake.unpack_challenge(msgpack.packb(fields))


@pytest.mark.parametrize(
    ("name", "value"),
    [("window", 0), ("window", 1 << 32), ("requests", 0), ("nonce", b"short"), ("oldest", True), ("newest", -1)],
)
def test_a_challenge_that_makes_no_sense_is_refused(name: str, value: object) -> None:
    fields = msgpack.unpackb(handshake.pack_challenge(CHALLENGE))
    with pytest.raises(HandshakeError):
        handshake.unpack_challenge(msgpack.packb({**fields, name: value}))


@given(st.binary(max_size=100) | st.none() | st.integers())
def test_anything_else_is_refused(packed: object) -> None:
    with pytest.raises(HandshakeError):
        handshake.unpack_hello(packed)


@pytest.mark.parametrize(
    ("oldest", "newest", "chosen"),
    [(1, NEWEST_VERSION, NEWEST_VERSION), (1, 98, NEWEST_VERSION), (NEWEST_VERSION, 99, NEWEST_VERSION)],
)
def test_the_newest_common_version_is_chosen(oldest: int, newest: int, chosen: int) -> None:
    challenge = dataclasses.replace(CHALLENGE, oldest_version=oldest, newest_version=newest)
    assert handshake.choose_version(challenge) == chosen


@pytest.mark.parametrize(("oldest", "newest"), [(NEWEST_VERSION + 1, NEWEST_VERSION + 2), (0, 0)])
def test_without_a_common_version_there_is_no_conversation(oldest: int, newest: int) -> None:
    with pytest.raises(HandshakeError):
        handshake.choose_version(dataclasses.replace(CHALLENGE, oldest_version=oldest, newest_version=newest))


def test_a_proof_holds_for_its_key_role_and_conversation_only() -> None:
    proof = handshake.prove(KEY, CLIENT, b"challenge", b"hello")
    handshake.check_proof(KEY, CLIENT, b"challenge", b"hello", proof)
    for key, role, challenge, hello in [
        (b"x" * 32, CLIENT, b"challenge", b"hello"),
        (KEY, SERVER, b"challenge", b"hello"),
        (KEY, CLIENT, b"other", b"hello"),
        (KEY, CLIENT, b"challenge", b"other"),
        (KEY, CLIENT, b"challengeh", b"ello"),
    ]:
        with pytest.raises(HandshakeError):
            handshake.check_proof(key, role, challenge, hello, proof)


@pytest.mark.parametrize("proof", [b"", None, 5, "text", b"\0" * 32])
def test_what_is_no_proof_is_refused(proof: object) -> None:
    with pytest.raises(HandshakeError):
        handshake.check_proof(KEY, CLIENT, b"challenge", b"hello", proof)
