"""Secrets at rest: identity/keystone/sealing.py."""

import pytest

from identity.keystone.sealing import Seal, Unreadable


def test_a_secret_opens_where_it_belongs() -> None:
    sealed = Seal(bytes(32)).seal(b"secret", "row 1")
    assert Seal(bytes(32)).open(sealed, "row 1") == b"secret"
    assert b"secret" not in sealed


def test_a_secret_does_not_open_elsewhere_damaged_or_under_another_key() -> None:
    seal = Seal(bytes(32))
    sealed = seal.seal(b"secret", "row 1")
    for other, data, place in (
        (seal, sealed, "row 2"),
        (seal, sealed[:-1] + bytes((sealed[-1] ^ 1,)), "row 1"),
        (seal, b"", "row 1"),
        (seal, sealed[:12], "row 1"),
        (Seal(bytes(31) + b"\1"), sealed, "row 1"),
    ):
        with pytest.raises(Unreadable):
            other.open(data, place)


def test_the_same_secret_is_never_sealed_the_same() -> None:
    seal = Seal(bytes(32))
    assert seal.seal(b"secret", "row") != seal.seal(b"secret", "row")
