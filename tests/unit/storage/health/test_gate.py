"""storage.health.gate and door: who gets in."""

import asyncio
import tempfile
from typing import Any

import pytest

from cluster.wire import Peer, PeerUnavailable, RemoteError, Reply, Request, Server
from storage.health.condition import Condition, Health, Service
from storage.health.door import Door
from storage.health.gate import Gate
from storage.messages import Operation, Refusal

KEY = b"k" * 32


def request(operation: int) -> Request:
    return Request(operation, (), b"", None, 0.0)


def test_a_disk_that_only_reads_answers_reads_of_objects_and_nothing_else() -> None:
    gate = Gate(lambda asked: Reply((asked.operation,)))
    gate.set(Service.READS, "read-only")
    for operation in (Operation.BLOB_STAT, Operation.BLOB_HEAD, Operation.BLOB_GET, Operation.STATUS):
        assert gate.handle(request(operation)).metadata == (operation,)
    for operation in (Operation.BLOB_PUT, Operation.BLOB_FETCH, Operation.INDEX_ROWS, Operation.INDEX_LIST):
        with pytest.raises(RemoteError) as refused:
            gate.handle(request(operation))
        assert refused.value.code == Refusal.DEVICE_FAILED
        assert refused.value.detail == "read-only"
    gate.set(Service.DELETIONS, "full")  # the stores know what needs room
    assert gate.is_open
    assert gate.handle(request(Operation.BLOB_PUT)).metadata == (Operation.BLOB_PUT,)


def test_who_waits_for_a_disk_that_hangs_learns_so_at_once_and_gets_in_again_afterwards() -> None:
    async def scenario(address: str) -> None:
        never: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def handle(asked: Request) -> Any:
            return never if asked.operation == Operation.BLOB_PUT else Reply((asked.operation,))

        gate = Gate(handle)
        door = Door(Server(KEY, gate.handle), gate, address)
        await door.open()
        peer = Peer(address, KEY, name="it")
        peer.start()
        assert await peer.ready(5.0)
        waiting = peer.call(Operation.BLOB_PUT, ())
        await peer.call(Operation.BLOB_STAT, ())
        door.follow(Health(Condition.HANGING, "no answer"))
        with pytest.raises(PeerUnavailable):
            await asyncio.wait_for(waiting, 0.5)
        assert not peer.up
        door.follow(Health(Condition.OK))
        assert await peer.ready(5.0)
        assert (await peer.call(Operation.BLOB_STAT, ())).metadata == (Operation.BLOB_STAT,)
        door.follow(Health(Condition.READ_ONLY, "read-only"))
        await asyncio.sleep(0.05)
        assert await peer.ready(5.0)
        assert (await peer.call(Operation.BLOB_STAT, ())).metadata == (Operation.BLOB_STAT,)
        with pytest.raises(RemoteError):
            await peer.call(Operation.BLOB_PUT, ())
        await peer.close()
        await door.close()

    with tempfile.TemporaryDirectory(prefix="door") as directory:
        asyncio.run(asyncio.wait_for(scenario(f"unix:{directory}/s"), 20))
