"""proxy.s3.patience"""

import asyncio

import pytest

from proxy.http.message import Response
from proxy.s3.patience import patiently
from proxy.s3.xml import document, parse


async def work(delay_s: float, status: int = 200) -> Response:
    await asyncio.sleep(delay_s)
    return Response(status, [], document("Done", "yes"))


def test_quick_work_is_answered_with_its_own_status() -> None:
    response = asyncio.run(patiently(work(0, 404), patience_s=5))
    assert (response.status, response.body) == (404, document("Done", "yes"))


def test_slow_work_begins_its_answer_early() -> None:
    async def run() -> tuple[int, list[bytes]]:
        response = await patiently(work(0.05, 404), patience_s=0.01, interval_s=0.01)
        assert not isinstance(response.body, bytes | bytearray | memoryview)
        assert response.length is None
        return response.status, [bytes(piece) async for piece in response.body]

    status, pieces = asyncio.run(run())
    assert status == 200
    assert b" " in pieces
    assert parse(b"".join(pieces)).text == "yes"


def test_work_ends_when_nobody_waits_for_it() -> None:
    async def run() -> bool:
        ended = asyncio.Event()

        async def endless() -> Response:
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()
            raise AssertionError

        waiting = asyncio.create_task(patiently(endless(), patience_s=60))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(ended.wait(), 1)
        return ended.is_set()

    assert asyncio.run(run())


def test_a_mistake_of_ours_is_not_hidden() -> None:
    async def broken() -> Response:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(patiently(broken()))
