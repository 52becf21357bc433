"""blockgw/nbd/access.py."""

import asyncio
from ipaddress import ip_network

import pytest

from blockgw.errors import NotAllowed, TlsRequired, UnknownExport
from blockgw.interfaces import Client
from blockgw.nbd import Guarded, Rule
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
