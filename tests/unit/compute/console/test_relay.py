"""compute.console.relay and .application: requests pass as they are, streams stay streams, refusals are words."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.unit.compute.console.console import console
from tests.unit.compute.console.fake_service import FakeService, serving

MIB = 1 << 20


def test_path_and_query_arrive_as_they_were_written() -> None:
    """They are signed: nothing may be escaped anew, decoded or normalized."""

    async def scenario() -> None:
        target = "/bucket/a%2Fb%20c//d+e/%F0%9F%90%9A?list-type=2&prefix=%2F&delimiter=/&x=a%2bb&empty"
        async with serving(FakeService()) as service, console({"s3": service.port}) as page:
            status, _fields, body = await page.get(f"/api/s3{target}", {"X-Amz-Date": "20260102T030405Z"})
            assert (status, body) == (200, b"ok")
            assert service.heads[-1].startswith(f"GET {target} HTTP/1.1\r\n")
            assert service.header("host") == f"127.0.0.1:{service.port}"
            assert service.header("x-amz-date") == "20260102T030405Z"

    asyncio.run(scenario())


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "COPY"])
def test_every_method_passes(method: str) -> None:
    async def scenario() -> None:
        async with (
            serving(FakeService(b"HTTP/1.1 204 No Content\r\nX-Trans-Id: 7\r\n\r\n")) as service,
            console({"swift": service.port}) as page,
        ):
            status, fields, _body = await page.get("/api/swift/v1/A/c", method=method)
            assert status == 204
            assert fields["X-Trans-Id"] == "7"
            assert service.heads[-1].split()[0] == method
            assert service.header("transfer-encoding") is None

    asyncio.run(scenario())


def test_an_upload_passes_with_its_length_and_whole() -> None:
    async def scenario() -> None:
        data = bytes(range(256)) * 4096 * 5
        async with serving(FakeService()) as service, console({"s3": service.port}) as page:
            status, _fields, _body = await page.get("/api/s3/b/k", method="PUT", data=data)
            assert status == 200
            assert service.header("content-length") == str(len(data))
            assert service.bodies[-1] == data

    asyncio.run(scenario())


def test_an_upload_is_not_decompressed_on_its_way() -> None:
    """What says that it is compressed is stored as it is, as long as it says."""

    async def scenario() -> None:
        data = b"\x1f\x8b\x08\x00 not even gzip"
        async with serving(FakeService()) as service, console({"s3": service.port}) as page:
            headers = {"Content-Encoding": "gzip", "Content-Length": str(len(data))}
            status, _fields, _body = await page.get("/api/s3/b/k.gz", headers, method="PUT", data=data)
            assert status == 200
            assert service.header("content-encoding") == "gzip"
            assert service.bodies[-1] == data

    asyncio.run(scenario())


def test_what_a_service_does_not_take_waits_in_the_browser() -> None:
    """Memory is bounded: of 64 MiB only what sockets and buffers hold leaves the browser while the service stalls."""

    async def scenario() -> None:
        given = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal given
            for _ in range(64):
                given += MIB
                yield bytes(MIB)

        service = FakeService(hold=asyncio.Event())
        async with serving(service), console({"s3": service.port}) as page:
            headers = {"Content-Length": str(64 * MIB)}
            upload = asyncio.create_task(page.get("/api/s3/b/k", headers, method="PUT", data=endless()))
            last = -1
            while not service.heads or given != last:  # until nothing has moved for a while
                last = given
                await asyncio.sleep(0.5)
            assert given < 32 * MIB
            assert service.hold is not None
            service.hold.set()
            status, _fields, _body = await upload
            assert status == 200
            assert service.received == 64 * MIB

    asyncio.run(scenario())


def test_a_body_is_not_decompressed_on_its_way() -> None:
    async def scenario() -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
        async with serving(FakeService(answer)) as service, console({"s3": service.port}) as page:
            _status, fields, body = await page.get("/api/s3/b/k")
            assert fields["Content-Encoding"] == "gzip"
            assert body == b"\x1f\x8b\x08\x00"

    asyncio.run(scenario())


def test_an_answer_that_breaks_off_is_not_taken_for_whole() -> None:
    async def scenario() -> None:
        for answer in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        ):
            async with serving(FakeService(answer)) as service, console({"s3": service.port}) as page:
                with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, ConnectionResetError)):
                    await page.get("/api/s3/b/k")

    asyncio.run(scenario())


def test_redirects_and_refusals_are_the_browsers_to_read() -> None:
    async def scenario() -> None:
        for status in (301, 404, 503):
            answer = (
                f"HTTP/1.1 {status} X\r\nLocation: http://elsewhere.example/\r\nContent-Length: 2\r\n\r\nno".encode()
            )
            async with serving(FakeService(answer)) as service, console({"s3": service.port}) as page:
                assert (await page.get("/api/s3/b/k"))[0] == status

    asyncio.run(scenario())


def test_a_service_that_is_away_is_said_in_words() -> None:
    async def scenario() -> None:
        async with console({"volume": 1}) as page:
            status, _fields, body = await page.get("/api/volume/v3/volumes")
            assert status == 502
            assert "does not answer" in json.loads(body)["error"]["message"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "path",
    [
        "/api/nova/servers",
        "/api/admin/x",
        "/api/",
        "/api/s3",
        "/api/../s3/x",
        "//etc/passwd",
        "/static/../daemon.py",
        "/..%2fdaemon.py",
        "/daemon.py",
    ],
)
def test_there_is_nothing_else(path: str) -> None:
    async def scenario() -> None:
        async with console({}) as page:
            status, _fields, body = await page.get(path)
            assert status == 404
            assert json.loads(body)["error"]["message"]

    asyncio.run(scenario())
