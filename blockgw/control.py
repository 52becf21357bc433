"""What operators ask of a gateway: one request and one answer per connection, each a line of JSON, on a unix socket.

    {"do": "create", "name": "disk", "size": 1073741824}  -> {"volume": {"name": "disk", …}}
    {"do": "list"}                                        -> {"volumes": [{…}, …]}

An answer with "error" says why nothing was done. The form is that of the supervisor (cluster.supervision.control), and
so is who may ask: the socket is in a directory of its owner's alone.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from blockgw.catalog.errors import CatalogError
from blockgw.catalog.volume import Snapshot, Volume
from blockgw.errors import VolumeError
from blockgw.gateway import Gateway
from cluster.supervision.control import MESSAGE_LIMIT, decode, encode
from cluster.telemetry.log import get_logger

REQUEST_S = 10.0  # for a request to come
_log = get_logger("blockgw")
Request = dict[str, Any]


class Control:
    """Answers for one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._server: asyncio.Server | None = None
        self._verbs: dict[str, Callable[[Request], Awaitable[Request]]] = {
            "list": self._list,
            "show": self._show,
            "create": self._create,
            "clone": self._clone,
            "snapshot": lambda asked: self._changed(gateway.snapshot(asked["name"], asked["snapshot"])),
            "delete-snapshot": lambda asked: self._changed(gateway.delete_snapshot(asked["name"], asked["snapshot"])),
            "rollback": lambda asked: self._changed(gateway.rollback(asked["name"], asked["snapshot"])),
            "resize": lambda asked: self._changed(
                gateway.resize(asked["name"], int(asked["size"]), bool(asked.get("shrink")))
            ),
            "delete": lambda asked: self._changed(gateway.delete(asked["name"])),
            "trash": lambda asked: self._changed(gateway.trash(asked["name"])),
            "undelete": lambda asked: self._changed(gateway.restore(asked["name"])),
        }

    async def start(self, path: Path) -> None:
        """Listen."""
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, os.fspath(path), limit=MESSAGE_LIMIT)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                line = await reader.readline()
            writer.write(encode(await self._answer(line)))
            await writer.drain()
        except (OSError, TimeoutError, ValueError) as error:
            _log.info("control_broken_off", error=str(error))
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Request:
        try:
            asked = decode(line)
            verb = self._verbs.get(str(asked.get("do")))
            if verb is None:
                return {"error": f"nothing is called {asked.get('do')!r}"}
            return await verb(asked)
        except (CatalogError, VolumeError) as error:
            return {"error": str(error), "kind": type(error).__name__}
        except (KeyError, ValueError, TypeError) as error:
            return {"error": f"not a request: {error!r}"}

    async def _list(self, _asked: Request) -> Request:
        return {"volumes": [described(each) for each in await self._gateway.catalog(lambda catalog: catalog.all())]}

    async def _show(self, asked: Request) -> Request:
        return await self._changed(self._gateway.catalog(lambda catalog: catalog.find(asked["name"])))

    async def _create(self, asked: Request) -> Request:
        made = self._gateway.create(asked["name"], int(asked["size"]), str(asked.get("description", "")))
        return await self._changed(made)

    async def _clone(self, asked: Request) -> Request:
        return await self._changed(self._gateway.clone(asked["parent"], asked["snapshot"], asked["name"]))

    @staticmethod
    async def _changed(change: Awaitable[Volume]) -> Request:
        return {"volume": described(await change)}


def described(volume: Volume) -> Request:
    """Return what people and programs are told of a volume."""
    return {
        "name": volume.name,
        "id": volume.id,
        "size": volume.size,
        "state": volume.state.value,
        "created_us": volume.created_us,
        "description": volume.description,
        "layers": len(volume.chain),
        "parent": None if volume.parent is None else _origin(volume.parent),
        "snapshots": [_described(snapshot) for snapshot in volume.snapshots],
    }


def _origin(parent: Any) -> Request:
    """Return where a clone comes from."""
    return {"volume": parent.volume_id, "snapshot": parent.snapshot_id}


def _described(snapshot: Snapshot) -> Request:
    return {
        "name": snapshot.name,
        "id": snapshot.id,
        "size": snapshot.size,
        "created_us": snapshot.created_us,
    }
