"""What operators ask of a gateway: one request and one answer per connection, each a line of JSON, on a unix socket.

    {"do": "create", "name": "disk", "size": 1073741824}  -> {"volume": {"name": "disk", …}}
    {"do": "list"}                                        -> {"volumes": [{…}, …], "next": null}

What may be long is answered by pages: "next" is what "first" has to be for the one after it. An answer with "error"
says why nothing was done. The form is that of the supervisor (cluster.supervision.control), and so is who may ask: the
socket is in a directory of its owner's alone.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from blockgw.catalog.errors import CatalogError
from blockgw.catalog.volume import Limits, Snapshot, Volume
from blockgw.errors import HeldElsewhere, VolumeError
from blockgw.gateway import Gateway
from blockgw.maintenance.jobs import Job
from blockgw.usage import Share
from cluster.supervision.control import MESSAGE_LIMIT, decode, encode
from cluster.telemetry.log import get_logger

REQUEST_S = 10.0  # for a request to come
OTHER_S = 60.0  # for another gateway to answer
PAGE_BYTES = 256 << 10  # of volumes in an answer, or somewhat more
PAGE_CHUNKS = 10_000  # numbers in an answer; ranges, or somewhat more
PAGE_COMPARED = 64  # chunks that are compared for an answer
_log = get_logger("blockgw")
Request = dict[str, Any]


class Control:
    """Answers for one gateway."""

    def __init__(self, gateway: Gateway, others: Mapping[str, Path] | None = None) -> None:
        """`others`: the control sockets of the other gateways, by their names as holders of leases."""
        self._gateway = gateway
        self._others = dict(others or {})
        self._server: asyncio.Server | None = None
        self._verbs: dict[str, Callable[[Request], Awaitable[Request]]] = {
            "list": self._list,
            "changed": self._changed_chunks,
            "du": self._usage,
            "diff": self._diff,
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
            "trash": lambda asked: self._changed(gateway.trash(asked["name"], _seconds(asked.get("keep_s")))),
            "undelete": lambda asked: self._changed(gateway.restore(asked["name"])),
            "purge": lambda asked: self._changed(gateway.purge(asked["name"])),
            "snapshot-group": self._snapshot_together,
            "flatten": self._flatten,
            "jobs": self._jobs,
            "limit": self._limit,
            "take": self._take,
            "give-away": self._give_away,
            "dismiss": lambda asked: self._changed(gateway.dismiss(asked["name"], str(asked["holder"]))),
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
        except HeldElsewhere as elsewhere:
            if asked.get("passed_on") or elsewhere.holder not in self._others:
                return {"error": str(elsewhere), "kind": type(elsewhere).__name__}
            return await self._ask_other(elsewhere.holder, asked)
        except (CatalogError, VolumeError) as error:
            return {"error": str(error), "kind": type(error).__name__}
        except (KeyError, ValueError, TypeError) as error:
            return {"error": f"not a request: {error!r}"}

    async def _list(self, asked: Request) -> Request:
        """{"first"?} -> {"volumes": […], "next": the name with which the next page begins, or null}."""
        first, size = str(asked.get("first") or ""), 0
        found: list[Request] = []
        for each in await self._gateway.catalog(lambda catalog: catalog.all()):
            if each.name < first:
                continue
            if size >= PAGE_BYTES:
                return {"volumes": found, "next": each.name}
            found.append(described(each))
            size += len(encode(found[-1]))
        return {"volumes": found, "next": None}

    async def _show(self, asked: Request) -> Request:
        return await self._changed(self._gateway.catalog(lambda catalog: catalog.find(asked["name"])))

    async def _changed_chunks(self, asked: Request) -> Request:
        """{"name", "snapshot"?, "since"?, "first"?} -> {"chunks": […], "next": where the next page begins, or null}."""
        pages = self._gateway.changed(
            asked["name"], asked.get("snapshot"), asked.get("since"), int(asked.get("first", 0))
        )
        found: list[int] = []
        async for page in pages:
            found += page
            if len(found) >= PAGE_CHUNKS:
                del found[PAGE_CHUNKS:]  # a page of many layers may be long
                return {"chunks": found, "next": found[-1] + 1}
        return {"chunks": found, "next": None}

    async def _usage(self, asked: Request) -> Request:
        """{"name"} -> {"shares": [{"of", "snapshot", "chunks", "data", "stored"}, …]}; bytes."""
        return {"shares": [_share(each) for each in await self._gateway.usage(asked["name"])]}

    async def _diff(self, asked: Request) -> Request:
        """{"name", "snapshot", "other"?, "fast"?, "first"?} -> {"extents": [[offset, length], …], "next"}."""
        fast = bool(asked.get("fast"))
        differences = self._gateway.diff(
            asked["name"], asked["snapshot"], asked.get("other"), fast, int(asked.get("first", 0))
        )
        found: list[tuple[int, int]] = []
        count = 0
        async with aclosing(differences):
            async for chunk, extents in differences:
                found += extents
                count += 1
                if len(found) >= PAGE_CHUNKS or (not fast and count == PAGE_COMPARED):
                    return {"extents": found, "next": chunk + 1}
        return {"extents": found, "next": None}

    async def _snapshot_together(self, asked: Request) -> Request:
        """{"names": […], "snapshot"} -> {"volumes": […]}: all at one moment."""
        names = [str(name) for name in asked["names"]]
        made = await self._gateway.snapshot_together(names, asked["snapshot"])
        return {"volumes": [described(each) for each in made]}

    async def _flatten(self, asked: Request) -> Request:
        """{"name"} -> {"job": {…}}: it is done in the background."""
        return {"job": _job(await self._gateway.flatten(asked["name"]))}

    async def _jobs(self, asked: Request) -> Request:
        """{} -> {"jobs": […]}: those of all gateways that answer."""
        found = [_job(each) for each in self._gateway.jobs.all()]
        if not asked.get("passed_on"):
            for name in self._others:
                found += (await self._ask_other(name, {"do": "jobs"})).get("jobs", [])
        return {"jobs": found}

    async def _take(self, asked: Request) -> Request:
        """{"name"} -> {"volume": {…}}: it is open here from now on, and was closed in order where it was."""
        name = asked["name"]
        try:
            return await self._changed(self._gateway.take(name))
        except HeldElsewhere as elsewhere:
            holder = elsewhere.holder
        if holder not in self._others:
            return {"error": f"{name} is open at {holder}, which is no gateway of this cluster"}
        given = await self._ask_other(holder, {"do": "give-away", "name": name})
        if "error" in given:
            return given
        try:
            return await self._changed(self._gateway.take(name))
        except HeldElsewhere as elsewhere:
            return {"error": str(elsewhere)}

    async def _give_away(self, asked: Request) -> Request:
        await self._gateway.give_away(asked["name"])
        return {}

    async def _ask_other(self, name: str, asked: Request) -> Request:
        """Return the answer of another gateway; an error, if it has none."""
        try:
            async with asyncio.timeout(OTHER_S):
                reader, writer = await asyncio.open_unix_connection(os.fspath(self._others[name]), limit=MESSAGE_LIMIT)
                try:
                    writer.write(encode({**asked, "passed_on": True}))
                    return decode(await reader.readline())
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError) as error:
            return {"error": f"{name} does not answer: {error}"}

    async def _limit(self, asked: Request) -> Request:
        """{"name", and what is to be changed of `Limits`} -> {"volume": {…}}."""
        names = {field.name for field in fields(Limits)}
        wanted = {name: value for name, value in asked.items() if name in names}
        return await self._changed(self._gateway.limit(asked["name"], wanted))

    async def _create(self, asked: Request) -> Request:
        made = self._gateway.create(
            asked["name"], int(asked["size"]), str(asked.get("description", "")), bool(asked.get("encrypted"))
        )
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
        "encrypted": bool(volume.key),
        "layers": len(volume.chain),
        "purge_us": volume.purge_us or None,
        "flattening": volume.flattening,
        "limits": asdict(volume.limits),
        "parent": None if volume.parent is None else _origin(volume.parent),
        "snapshots": [_described(snapshot) for snapshot in volume.snapshots],
    }


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)


def _share(share: Share) -> Request:
    of = "snapshot" if share.snapshot is not None else "parent" if share.inherited else "volume"
    return {
        "of": of, "snapshot": share.snapshot, "chunks": share.chunks, "data": share.data, "stored": share.stored
    }


def _job(job: Job) -> Request:
    return {
        "kind": job.kind,
        "volume": job.volume,
        "state": job.state.value,
        "started_us": job.started_us,
        "done": job.done,
        "total": job.total,
        "error": job.error,
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
