"""Answers that take longer than a client waits for: begun at once, finished when the work is.

Source: Amazon S3 API Reference, CopyObject: the status is 200 as soon as the answer begins, white
space keeps the connection busy, and the body tells whether it went well. Work that is done within
`PATIENCE_S` is answered with its own status.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from proxy.http.message import Buffer, Response
from proxy.s3.xml import CONTENT_TYPE, DECLARATION

PATIENCE_S = 10.0  # clients wait a minute for the first byte, some half of that
INTERVAL_S = 10.0  # between the spaces that follow

_DECLARATION = DECLARATION.encode()


async def patiently(
    work: Coroutine[Any, Any, Response], patience_s: float = PATIENCE_S, interval_s: float = INTERVAL_S
) -> Response:
    """Return the response that `work` comes to, or one that begins now and ends with its body."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait({task}, timeout=patience_s)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.done():
        return task.result()
    return Response(200, [("Content-Type", CONTENT_TYPE)], _spaces_then_body(task, interval_s))


async def _spaces_then_body(task: asyncio.Task[Response], interval_s: float) -> AsyncIterator[Buffer]:
    try:
        yield _DECLARATION
        while not task.done():
            await asyncio.wait({task}, timeout=interval_s)
            if not task.done():
                yield b" "
        body = task.result().body
        assert isinstance(body, bytes), "only documents are waited for"
        yield body.removeprefix(_DECLARATION)
    finally:
        task.cancel()
