"""blockgw/nbd/access.py."""

import asyncio
from ipaddress import ip_network

import pytest

from blockgw.errors import NotAllowed, NotPermitted, TlsRequired, UnknownExport
from blockgw.interfaces import Client
from blockgw.nbd.access import Guarded, Rule
from tests.unit.blockgw.memory_export import MemoryExport, MemoryExports

LOCAL, NEAR, FAR = Client(""), Client("10.1.2.3"), Client("192.0.2.1")
MAPPED, SCOPED = Client("::ffff:10.1.2.3"), Client("fe80::1%eth0")
ALICE, BOB = Client("192.0.2.1", secure=True, identity="alice"), Client("192.0.2.1", secure=True, identity="bob")

RULES = [
    Rule("alice-*", identities=frozenset({"alice"})),
    Rule("secret-*", tls_required=True),
    Rule("near-*", networks=(ip_network("10.0.0.0/8"), ip_network("fe80::/10"))),
    Rule("open-*"),
]


@pytest.mark.parametrize(
    ("export", "allowed"),
    [
        ("alice-1", [ALICE]),
        ("secret-1", [ALICE, BOB]),
        ("near-1", [LOCAL, NEAR, MAPPED, SCOPED]),
        ("open-1", [LOCAL, NEAR, FAR, ALICE, BOB, MAPPED, SCOPED]),
        ("other", []),
    ],
)
def test_the_first_rule_that_fits_says_who_may(export: str, allowed: list[Client]) -> None:
    async def scenario() -> None:
        guarded = Guarded(MemoryExports(MemoryExport(export, 4096)), RULES)
        for client in (LOCAL, NEAR, FAR, ALICE, BOB, MAPPED, SCOPED):
            assert list(guarded.list(client)) == ([export] if client in allowed else [])
            if client in allowed:
                guarded.release(await guarded.open(export, client))
            else:
                with pytest.raises(NotAllowed):
                    await guarded.open(export, client)

    asyncio.run(scenario())


def test_who_may_in_principle_is_told_to_use_tls() -> None:
    guarded = Guarded(MemoryExports(), RULES)
    for name in ("alice-1", "secret-1"):
        with pytest.raises(TlsRequired):
            asyncio.run(guarded.open(name, LOCAL))


def test_what_is_allowed_may_still_not_exist() -> None:
    with pytest.raises(UnknownExport):
        asyncio.run(Guarded(MemoryExports(), RULES).open("open-2", LOCAL))


def test_rules_with_the_same_pattern_are_tried_one_after_the_other() -> None:
    rules = [
        Rule("shared", identities=frozenset({"alice"})),
        Rule("shared", identities=frozenset({"bob"}), read_only=True),
        Rule(),
    ]

    async def scenario() -> None:
        guarded = Guarded(MemoryExports(MemoryExport("shared", 4096)), rules)
        assert not (await guarded.open("shared", ALICE)).read_only
        export = await guarded.open("shared", BOB)
        assert export.read_only
        assert [(await guarded.describe("shared", who)).read_only for who in (ALICE, BOB)] == [False, True]
        with pytest.raises(NotPermitted):
            await export.write(0, memoryview(b"x"), False)
        with pytest.raises(NotPermitted):
            await export.trim(0, 512, False)
        with pytest.raises(NotPermitted):
            await export.write_zeroes(0, 512, False, True, False)
        assert (export.name, export.size, list(export.contexts)) == ("shared", 4096, ["base:allocation"])
        assert export.read(0, 3) == [3]
        await export.flush()
        guarded.release(export)
        for refused in (guarded.open, guarded.describe):
            with pytest.raises(TlsRequired):
                await refused("shared", NEAR)

    asyncio.run(scenario())


def test_the_owner_of_the_unix_socket_needs_no_rule_if_it_is_said_so() -> None:
    async def scenario() -> None:
        exports = MemoryExports(MemoryExport("alice-1", 4096))
        guarded = Guarded(exports, RULES, owner_may=True)
        assert list(guarded.list(LOCAL)) == ["alice-1"]
        assert not (await guarded.open("alice-1", LOCAL)).read_only
        with pytest.raises(TlsRequired):
            await guarded.open("alice-1", NEAR)

    asyncio.run(scenario())
