"""blockgw/grants.py, and what a guarded gateway makes of them."""

import asyncio

import pytest

from blockgw.errors import NotAllowed, NotPermitted, TlsRequired
from blockgw.grants import Access, Asked, Grants, parted
from blockgw.interfaces import Client
from blockgw.nbd.access import Guarded, Rule
from tests.unit.blockgw.memory_export import MemoryExport, MemoryExports

GRANTS = Grants(b"k" * 32)
HOST = "192.0.2.1"


def asking(text: str, secure: bool = False) -> tuple[str, Client]:
    """Return what a client says that asks for an export by a grant."""
    asked = parted(text)
    return asked.name, Client(HOST, secure, holder=asked.holder, seal=asked.seal)


def test_what_a_client_asks_for_is_in_the_name() -> None:
    assert parted("disk") == Asked("disk")
    assert parted("disk@monday") == Asked("disk@monday")
    assert parted("disk~host-7") == Asked("disk", "host-7")
    assert parted("disk~host-7~seal") == Asked("disk", "host-7", "seal")


def test_a_grant_is_good_for_one_volume_and_one_holder_of_one_cluster() -> None:
    asked = parted(GRANTS.export("disk", "host"))
    assert GRANTS.access("disk", "host", asked.seal) is Access.WRITE
    for name, holder, grants in (
        ("disk2", "host", GRANTS),
        ("disk", "host2", GRANTS),
        ("disk", "", GRANTS),
        ("disk", "host", Grants(b"o" * 32)),
    ):
        assert grants.access(name, holder, asked.seal) is None
    assert GRANTS.access("disk", "host", asked.seal[:-1]) is None
    assert GRANTS.access("disk", "host", "") is None
    assert GRANTS.access("disk", "host", "ä" * 32) is None


def test_a_grant_lets_in_whom_no_rule_does() -> None:
    async def scenario() -> None:
        guarded = Guarded(MemoryExports(MemoryExport("disk", 4096)), [Rule("*", grant_required=True)], grants=GRANTS)
        assert list(guarded.list(Client(HOST))) == []
        with pytest.raises(NotAllowed):
            await guarded.open("disk", Client(HOST, holder="host"))
        with pytest.raises(NotAllowed):
            await guarded.describe(*asking("disk~host~" + "0" * 32))
        export = await guarded.open(*asking(GRANTS.export("disk", "host")))
        await export.write(0, memoryview(b"x"), False)

    asyncio.run(scenario())


def test_a_grant_for_reading_is_for_reading_alone() -> None:
    async def scenario() -> None:
        guarded = Guarded(MemoryExports(MemoryExport("disk", 4096)), [Rule()], grants=GRANTS)
        asked = asking(GRANTS.export("disk", "host", Access.READ))
        assert (await guarded.describe(*asked)).read_only
        export = await guarded.open(*asked)
        with pytest.raises(NotPermitted):
            await export.write(0, memoryview(b"x"), False)

    asyncio.run(scenario())


def test_a_forged_grant_is_refused_where_everybody_is_let_in() -> None:
    with pytest.raises(NotAllowed):
        asyncio.run(Guarded(MemoryExports(), [Rule()], grants=GRANTS).open(*asking("disk~host~seal")))


def test_a_grant_is_no_way_around_tls() -> None:
    async def scenario() -> None:
        guarded = Guarded(MemoryExports(MemoryExport("disk", 4096)), [Rule("*", tls_required=True)], grants=GRANTS)
        with pytest.raises(TlsRequired):
            await guarded.open(*asking(GRANTS.export("disk", "host")))
        await guarded.open(*asking(GRANTS.export("disk", "host"), secure=True))

    asyncio.run(scenario())


def test_a_grant_is_not_shown() -> None:
    assert parted(GRANTS.export("disk", "host")).seal not in repr(asking(GRANTS.export("disk", "host")))
