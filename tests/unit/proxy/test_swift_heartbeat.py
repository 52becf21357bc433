"""White space until a result is there."""

import asyncio

import pytest

from proxy.swift.heartbeat import SEPARATOR, XML_DECLARATION, with_heartbeats


async def _all(content_type: str, delay_s: float, interval_s: float) -> list[bytes]:
    async def work() -> bytes:
        await asyncio.sleep(delay_s)
        return b"result"

    return [bytes(piece) async for piece in with_heartbeats(work, content_type, interval_s)]


def test_a_quick_result_comes_alone() -> None:
    assert asyncio.run(_all("application/json", 0, 1.0)) == [b"result"]
    assert asyncio.run(_all("text/xml", 0, 1.0)) == [XML_DECLARATION, b"result"]


def test_a_slow_result_comes_after_white_space() -> None:
    pieces = asyncio.run(_all("text/plain", 0.03, 0.01))
    assert pieces[-1] == SEPARATOR + b"result"
    assert pieces[:-1] == [b" "] * (len(pieces) - 1)
    assert len(pieces) > 1


def test_the_work_ends_when_nobody_waits_for_it() -> None:
    ended = []

    async def work() -> bytes:
        try:
            await asyncio.sleep(10)
        finally:
            ended.append(True)
        return b""

    async def leave_early() -> None:
        pieces = with_heartbeats(work, "text/plain", 0.001)
        await anext(pieces)
        await pieces.aclose()
        await asyncio.sleep(0)

    asyncio.run(leave_early())
    assert ended == [True]


def test_an_error_of_the_work_is_raised() -> None:
    async def work() -> bytes:
        raise RuntimeError("broken")

    async def read() -> None:
        async for _piece in with_heartbeats(work, "text/plain", 1.0):
            pass

    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(read())
